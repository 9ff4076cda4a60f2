/* tests/unit/naive_content.h - a decoder of DATA content that is plainly right and slow, and a collector that drives the real one in
 * pieces. For smtp_content_test.c and fuzz/server_fuzz.c. */
#ifndef NAIVE_CONTENT_H
#define NAIVE_CONTENT_H

#include "smtp/content.h"
#include "core/buf.h"

struct naive_result {
	bool ended;
	size_t used;                    /* octets of the input, the end of data included */
	int fault;                      /* enum smtp_content_fault; the naive decoder only tells some from none */
	struct sp_buf out;              /* unspecified after a fault */
};

/* Where the content ends: the first CRLF "." CRLF, where the CRLF of the DATA command may be the first. in.len when nowhere. */
static inline size_t naive_end(struct sp_str in, bool *ended)
{
	for (size_t i = 0; i + 3 <= in.len; i++) {
		bool at_start = i == 0 || (i >= 2 && memcmp(in.p + i - 2, "\r\n", 2) == 0);
		if (at_start && memcmp(in.p + i, ".\r\n", 3) == 0) {
			*ended = true;
			return i;
		}
	}
	*ended = false;
	return in.len;
}

static inline bool naive_at(struct sp_str in, size_t i, char c)
{
	return i < in.len && in.p[i] == c;
}

static inline void naive_data(struct sp_str in, bool normalise, struct naive_result *r)
{
	*r = (struct naive_result){ 0 };
	sp_buf_init(&r->out, 1024 * 1024);
	size_t end = naive_end(in, &r->ended);
	r->used = r->ended ? end + 3 : in.len;
	bool line_start = true;
	for (size_t i = 0; i < end; i++) {
		char c = in.p[i];
		bool crlf = c == '\r' && naive_at(in, i + 1, '\n');
		bool lone_dot = naive_at(in, i + 1, '\n') || (naive_at(in, i + 1, '\r') && naive_at(in, i + 2, '\n'));
		if (c == '\0' || (c == '\r' && !crlf) || (c == '\n' && !normalise))
			r->fault = 1;
		if (crlf || c == '\n')
			sp_buf_adds(&r->out, "\r\n");
		else if (!(line_start && c == '.') || lone_dot)
			sp_buf_addc(&r->out, c);
		line_start = crlf || c == '\n';
		i += crlf;
	}
}

/* Feeds `in` to `c` in pieces of at most `piece` octets until it ends. */
static inline void naive_collect(struct smtp_content *c, struct sp_str in, size_t piece, struct naive_result *r)
{
	*r = (struct naive_result){ 0 };
	sp_buf_init(&r->out, 1024 * 1024);
	while (!r->ended) {
		struct sp_str part = sp_str_make(in.p, sp_min(piece, in.len)), slice;
		size_t before = part.len;
		switch (smtp_content_read(c, &part, &slice)) {
		case SMTP_CONTENT_SLICE:
			sp_assert(slice.len > 0 && r->fault == 0);
			sp_buf_add(&r->out, slice);
			break;
		case SMTP_CONTENT_FAULT:
			sp_assert(r->fault == 0);
			r->fault = (int)c->fault;
			break;
		case SMTP_CONTENT_END:
			r->ended = true;
			break;
		case SMTP_CONTENT_MORE:
			sp_assert(part.len == 0);
			if (in.len <= before) {
				r->used += before;
				return;
			}
			break;
		}
		r->used += before - part.len;
		in = sp_str_from(in, before - part.len);
	}
}

#endif
