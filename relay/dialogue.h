/* relay/dialogue.h - the SMTP dialogue of one connection as people are to see it: line by line with times, without what must not be kept. Content is "(1234 octets of content)", what
 * AUTH says is "(secret)", and of a reply to it only the code is kept, since it may repeat what was said. Bounded, whatever a peer says: a line is cut at 512 octets, of a part the
 * first and last 32 lines are kept, and of each half 32 KiB. Knows our own commands, which it sees go out; of what comes in it reads the code alone. Pure. Used by
 * relay/delivery_evidence.c. */
#ifndef RELAY_DIALOGUE_H
#define RELAY_DIALOGUE_H

#include "core/json.h"

#define DIALOGUE_LINE_MAX 512           /* octets of a line */
#define DIALOGUE_HALF 32                /* lines of a part that are kept, at its beginning and at its end */
#define DIALOGUE_HALF_OCTETS 32768

/* A part: a session's beginning, or a message. Elements of a JSON array, [ms, "<", "220 mx1"]: "<" the peer said, ">" we did, "*" happened. Zeroed: nothing. */
struct dialogue_part {
	struct sp_buf first, last;
	unsigned first_count, last_count, left_out;
	unsigned last_len[DIALOGUE_HALF];       /* of the elements in `last`, the oldest first */
};
void dialogue_part_clear(struct dialogue_part *p);
/* An array of its elements. */
void dialogue_part_print(const struct dialogue_part *p, const char *key, struct sp_json *j);

struct dialogue {
	struct dialogue_part part;              /* the present one */
	struct sp_buf in, out;                  /* the beginning of a line that is not complete */
	enum { DIALOGUE_LINES, DIALOGUE_DATA, DIALOGUE_CONTENT, DIALOGUE_CHUNK } sending;       /* DATA: it was said, and may be granted */
	uint64_t chunk_left;                    /* CHUNK: octets to come */
	uint64_t content;                       /* octets of it so far */
	char tail[4];                           /* CONTENT: its last octets */
	bool auth;                              /* AUTH was said, and is not answered */
};
void dialogue_init(struct dialogue *d);
void dialogue_clear(struct dialogue *d);
/* `ms`: since whatever the caller counts from. */
void dialogue_in(struct dialogue *d, uint64_t ms, struct sp_str octets);
void dialogue_out(struct dialogue *d, uint64_t ms, struct sp_str octets);
void dialogue_out_unseen(struct dialogue *d, uint64_t ms, uint64_t octets);     /* content that went beside dialogue_out() */
void dialogue_content(struct dialogue *d);              /* content goes out next: behind DATA, also where the peer granted it before it was said */
void dialogue_note(struct dialogue *d, uint64_t ms, const char *text);
/* The part is complete: it is the caller's, and the next begins. */
struct dialogue_part dialogue_take(struct dialogue *d, uint64_t ms);

#endif
