/* smtp/line.c - see line.h. */
#include "smtp/line.h"

#define KEEP_MAX 512    /* octets of memory that an idle session may hold on to for its next line */

void smtp_line_reader_init(struct smtp_line_reader *r, bool allow_bare_lf)
{
	*r = (struct smtp_line_reader){ .allow_bare_lf = allow_bare_lf, .fault = SMTP_LINE_MORE };
	sp_buf_init(&r->partial, SMTP_LINE_MAX);
}

void smtp_line_reader_clear(struct smtp_line_reader *r)
{
	sp_buf_wipe(&r->partial);
}

static void forget_partial(struct smtp_line_reader *r)
{
	if (r->partial.p)
		explicit_bzero(r->partial.p, r->partial.len);
	if (r->partial.cap > KEEP_MAX)
		sp_buf_clear(&r->partial);
	else
		sp_buf_reset(&r->partial);
	r->lent = false;
}

/* Grows by a copy of our own, since realloc() would leave the old one in freed memory as it is. */
static void keep(struct smtp_line_reader *r, struct sp_str piece)
{
	if (r->partial.len + piece.len >= r->partial.cap) {
		struct sp_buf bigger;
		sp_buf_init(&bigger, r->partial.max);
		char *room = sp_buf_room(&bigger, sp_min(2 * r->partial.len + piece.len, bigger.max));
		sp_assert(room);
		sp_buf_add(&bigger, sp_buf_str(&r->partial));
		sp_buf_wipe(&r->partial);
		r->partial = bigger;
	}
	sp_buf_add(&r->partial, piece);
}

/* Takes octets up to and including the next LF. *crlf: it stands behind a CR. */
static struct sp_str take_piece(struct smtp_line_reader *r, struct sp_str *in, bool *ended, bool *crlf)
{
	size_t at = sp_str_find(*in, '\n');
	*ended = at < in->len;
	struct sp_str piece = sp_str_make(in->p, *ended ? at + 1 : at);
	*in = sp_str_from(*in, piece.len);
	*crlf = *ended && (at > 0 ? piece.p[at - 1] == '\r' : r->cr);
	r->cr = !*ended && piece.p[piece.len - 1] == '\r';
	r->len += piece.len;
	return piece;
}

static enum smtp_line_status fail(struct smtp_line_reader *r, enum smtp_line_status fault)
{
	r->fault = fault;
	forget_partial(r);
	return fault;
}

/* The line has come to its end, of which `piece` is the last part. True if that is to be told. */
static bool finish(struct smtp_line_reader *r, struct sp_str piece, bool crlf, struct sp_str *line,
                   enum smtp_line_status *status)
{
	*status = r->fault == SMTP_LINE_MORE ? SMTP_LINE_DONE : r->fault;
	r->fault = SMTP_LINE_MORE;
	r->len = 0;
	if (*status != SMTP_LINE_DONE)
		return *status != SMTP_LINE_BARE_LF;    /* told when the LF came */
	if (r->partial.len > 0) {
		keep(r, piece);
		piece = sp_buf_str(&r->partial);
		r->lent = true;
	}
	*line = sp_str_make(piece.p, piece.len - (crlf ? 2 : 1));
	return true;
}

enum smtp_line_status smtp_line_read(struct smtp_line_reader *r, struct sp_str *in, struct sp_str *line)
{
	if (r->lent)
		forget_partial(r);
	while (in->len > 0 && r->fault != SMTP_LINE_HOPELESS) {
		bool ended, crlf;
		struct sp_str piece = take_piece(r, in, &ended, &crlf);
		if (r->len > SMTP_LINE_DROP_MAX)
			return fail(r, SMTP_LINE_HOPELESS);
		if (r->len > SMTP_LINE_MAX && r->fault == SMTP_LINE_MORE)
			fail(r, SMTP_LINE_TOO_LONG);
		if (ended && !crlf && !r->allow_bare_lf)
			return fail(r, r->fault == SMTP_LINE_MORE ? SMTP_LINE_BARE_LF : SMTP_LINE_HOPELESS);
		enum smtp_line_status status;
		if (ended && finish(r, piece, crlf, line, &status))
			return status;
		if (!ended && r->fault == SMTP_LINE_MORE)
			keep(r, piece);
	}
	return r->fault == SMTP_LINE_HOPELESS ? SMTP_LINE_HOPELESS : SMTP_LINE_MORE;
}
