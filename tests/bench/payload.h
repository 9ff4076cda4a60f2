/* tests/bench/payload.h - the messages of the benchmark, which both ends know by heart.
 * Message number `id` is a head that names it and a body of whole lines, taken from one fixed text from
 * a line on that depends on the id. So the sink compares every octet that arrives with what was sent, at
 * the speed of memcmp, and tells lost, repeated and damaged messages apart. Used by smtpgen and smtpsink. */
#ifndef BENCH_PAYLOAD_H
#define BENCH_PAYLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAYLOAD_FIELD "X-Bench: "        /* "X-Bench: ID LINES" in the head of every message */
#define PAYLOAD_LINE_LEN 78              /* octets of a body line with its CRLF, before dot stuffing */
#define PAYLOAD_HEAD_MAX 1024

/* Makes the text. Once, before anything else here. */
void payload_init(void);

/* Writes the head of message `id` with the blank line after it, so that head and body together come to
 * about `size` octets; *lines is then the number of body lines. Returns the octets written. */
size_t payload_head(char out[PAYLOAD_HEAD_MAX], uint64_t id, const char *to, size_t size, uint64_t *lines);

/* Appends to `out` as many body lines from number `line` on as fit in `room` octets, but not past line
 * number `end`; dot-stuffed. Returns the octets written; *line moves on. */
size_t payload_lines(char *out, size_t room, uint64_t id, uint64_t *line, uint64_t end);

/* A body as it comes in, without dot stuffing. */
struct payload_check {
	uint64_t id;
	uint64_t len;           /* octets that the body must have */
	uint64_t seen;
	bool known;             /* the head named a message */
	bool damaged;
};

/* Reads the head, `n` octets up to the blank line. */
void payload_check_head(struct payload_check *c, const char *head, size_t n);
void payload_check_body(struct payload_check *c, const char *p, size_t n);
/* True if the whole body came, and nothing else. */
bool payload_check_end(const struct payload_check *c);

#endif
