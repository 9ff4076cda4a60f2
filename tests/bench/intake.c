/* tests/bench/intake.c - see intake.h. */
#include "intake.h"

#include <string.h>

void intake_begin(struct intake *in)
{
	in->state = INTAKE_START;
	in->cr = in->in_body = false;
	in->head_len = 0;
	in->check = (struct payload_check){0};
}

void intake_raw(struct intake *in, const char *p, size_t n)
{
	size_t from = in->head_len > 3 ? in->head_len - 3 : 0;
	size_t part = INTAKE_HEAD_MAX - in->head_len < n ? INTAKE_HEAD_MAX - in->head_len : n;
	const char *blank;
	size_t len;

	if (in->in_body) {
		payload_check_body(&in->check, p, n);
		return;
	}
	memcpy(in->head + in->head_len, p, part);
	in->head_len += part;
	blank = memmem(in->head + from, in->head_len - from, "\r\n\r\n", 4);
	if (blank == NULL && in->head_len < INTAKE_HEAD_MAX)
		return;
	len = blank != NULL ? (size_t)(blank + 4 - in->head) : in->head_len;
	payload_check_head(&in->check, in->head, len);
	in->in_body = true;
	n -= part - (in->head_len - len);
	p += part - (in->head_len - len);
	payload_check_body(&in->check, p, n);
}

/* Moves over the rest of a line; the state is START behind a CRLF. Returns the octets of it in `p`. */
static size_t skip_line(struct intake *in, const char *p, size_t n)
{
	const char *lf = memchr(p, '\n', n);
	size_t len = lf != NULL ? (size_t)(lf - p) + 1 : n;
	bool cr = len > 1 && lf != NULL ? lf[-1] == '\r' : in->cr;

	if (lf == NULL) {
		in->cr = p[n - 1] == '\r';
		return n;
	}
	in->state = cr ? INTAKE_START : INTAKE_LINE;
	in->cr = false;
	return len;
}

size_t intake_data(struct intake *in, const char *p, size_t n, bool *done)
{
	size_t run = 0;                      /* content from here to i is not taken over yet */
	size_t i = 0;

	*done = false;
	while (i < n)
		switch (in->state) {
		case INTAKE_LINE:
			i += skip_line(in, p + i, n - i);
			break;
		case INTAKE_START:
			if (p[i] != '.') {
				in->state = INTAKE_LINE;
				break;
			}
			intake_raw(in, p + run, i - run);
			run = ++i;                   /* without the dot */
			in->state = INTAKE_DOT;
			break;
		case INTAKE_DOT:
			in->state = p[i] == '\r' ? INTAKE_DOT_CR : INTAKE_LINE;
			if (p[i] == '\r')
				run = ++i;
			break;
		case INTAKE_DOT_CR:
			if (p[i] == '\n') {
				*done = true;
				return i + 1;
			}
			intake_raw(in, "\r", 1);
			in->cr = true;
			in->state = INTAKE_LINE;
			break;
		}
	intake_raw(in, p + run, i - run);
	return n;
}
