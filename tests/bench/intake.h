/* tests/bench/intake.h - one message on its way into the sink: takes the end of data and the dot stuffing
 * off (RFC 5321 4.1.1.4, 4.5.2), or counts the octets of a BDAT chunk (RFC 3030), and checks the content
 * against what the generator sent. Used by smtpsink. */
#ifndef BENCH_INTAKE_H
#define BENCH_INTAKE_H

#include "payload.h"

#define INTAKE_HEAD_MAX 16384            /* a longer head counts as a foreign message */

struct intake {
	enum { INTAKE_LINE, INTAKE_START, INTAKE_DOT, INTAKE_DOT_CR } state;
	bool cr;                        /* the last octet before this piece was CR */
	bool in_body;
	size_t head_len;
	struct payload_check check;
	char head[INTAKE_HEAD_MAX];
};

void intake_begin(struct intake *in);
/* Takes dot-stuffed data up to and with the final dot; *done is then true. Returns the octets taken. */
size_t intake_data(struct intake *in, const char *p, size_t n, bool *done);
/* Takes octets of a chunk as they are. */
void intake_raw(struct intake *in, const char *p, size_t n);

#endif
