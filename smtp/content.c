/* smtp/content.c - see content.h. */
#include "smtp/content.h"

/*  AT_START -> TEXT -> (CR) -> AT_START -> ...      a CR or dot that ends the input is held back until its next octet is known
 *  AT_START, AT_LF_START -> DOT -> TEXT             the dot was stuffing: dropped
 *                           DOT -> DOT_CR -> end    from AT_START only */

void smtp_content_begin_data(struct smtp_content *c, bool normalise_bare_lf)
{
	*c = (struct smtp_content){ .dots = true, .normalise_bare_lf = normalise_bare_lf };
}

void smtp_content_begin_chunks(struct smtp_content *c, bool normalise_bare_lf, bool binary)
{
	*c = (struct smtp_content){ .normalise_bare_lf = normalise_bare_lf, .binary = binary };
}

void smtp_content_chunk(struct smtp_content *c, uint64_t len, bool last)
{
	c->left = len;
	c->last = last;
}

static void find_fault(struct smtp_content *c, enum smtp_content_fault fault)
{
	if (c->fault == SMTP_CONTENT_FINE)
		c->fault = fault;
}

/* How a step of the walk ends. What stands before *pos is text, and is given out as one slice. */
enum walk {
	WALK_ON,        /* go round again */
	WALK_MORE,      /* the input is used up; an octet behind *pos may be held back */
	WALK_CUT,       /* the slice ends here; `skip` octets behind it are done with, and `insert` stands in their place */
	WALK_END        /* as CUT, and the content is complete */
};
/* `insert` is not empty only where *pos is 0: every octet held back began a walk of its own. */
struct cut {
	size_t skip;
	struct sp_str insert;
};

#define CUT(n, text) (*cut = (struct cut){ (n), SP_STR(text) }, WALK_CUT)

static enum walk at_line_start(struct smtp_content *c, struct sp_str rest, struct cut *cut)
{
	bool dot = c->dots && rest.p[0] == '.';
	c->after_lf = c->state == SMTP_CONTENT_AT_LF_START;
	c->state = dot ? SMTP_CONTENT_DOT : SMTP_CONTENT_TEXT;
	return dot ? CUT(1, "") : WALK_ON;
}

/* A dot began the line and was held back. */
static enum walk behind_dot(struct smtp_content *c, struct sp_str rest, struct cut *cut)
{
	if (rest.p[0] == '\r') {
		c->state = SMTP_CONTENT_DOT_CR;
		return CUT(1, "");
	}
	c->state = SMTP_CONTENT_TEXT;
	if (rest.p[0] == '\n')                          /* no end of data, so the dot is no part of one: it stays */
		return CUT(0, ".");
	return WALK_ON;                                 /* RFC 5321 4.5.2: the first dot is deleted if more follows */
}

static enum walk behind_dot_cr(struct smtp_content *c, struct sp_str rest, struct cut *cut)
{
	if (rest.p[0] != '\n') {
		find_fault(c, SMTP_CONTENT_BARE_CR);
		c->state = SMTP_CONTENT_TEXT;
		return WALK_ON;
	}
	c->state = SMTP_CONTENT_AT_START;
	if (c->after_lf)
		return CUT(1, ".\r\n");                 /* LF "." CRLF */
	*cut = (struct cut){ .skip = 1 };
	return WALK_END;                                /* RFC 5321 4.1.1.4: CRLF "." CRLF */
}

static enum walk behind_cr(struct smtp_content *c, struct sp_str rest, struct cut *cut)
{
	if (rest.p[0] == '\n') {
		c->state = SMTP_CONTENT_AT_START;
		return CUT(1, "\r\n");
	}
	find_fault(c, SMTP_CONTENT_BARE_CR);
	c->state = SMTP_CONTENT_TEXT;
	return WALK_ON;
}

static enum walk bare_lf(struct smtp_content *c, size_t pos, struct cut *cut)
{
	if (pos > 0)
		return CUT(0, "");                      /* the text before it first */
	if (c->normalise_bare_lf) {
		c->state = SMTP_CONTENT_AT_LF_START;
		return CUT(1, "\r\n");
	}
	find_fault(c, SMTP_CONTENT_BARE_LF);
	return CUT(1, "");
}

/* The middle of a line: on to its end, or to where the input stops. */
static enum walk in_text(struct smtp_content *c, struct sp_str rest, size_t *pos, struct cut *cut)
{
	size_t lf = sp_str_find(rest, '\n');
	bool cr = lf > 0 && rest.p[lf - 1] == '\r';
	size_t text = lf - (cr ? 1 : 0);
	if (c->fault == SMTP_CONTENT_FINE && sp_str_contains(sp_str_make(rest.p, text), '\r'))
		find_fault(c, SMTP_CONTENT_BARE_CR);
	if (lf == rest.len) {
		*pos += text;
		if (cr)
			c->state = SMTP_CONTENT_CR;
		return WALK_MORE;
	}
	*pos += lf;
	if (!cr)
		return bare_lf(c, *pos, cut);
	*pos += 1;
	c->state = SMTP_CONTENT_AT_START;
	return WALK_ON;
}

static enum walk walk(struct smtp_content *c, struct sp_str in, size_t *pos, struct cut *cut)
{
	enum walk w = WALK_ON;
	while (w == WALK_ON && *pos < in.len) {
		struct sp_str rest = sp_str_from(in, *pos);
		switch (c->state) {
		case SMTP_CONTENT_AT_START:
		case SMTP_CONTENT_AT_LF_START:
			w = at_line_start(c, rest, cut);
			break;
		case SMTP_CONTENT_DOT:
			w = behind_dot(c, rest, cut);
			break;
		case SMTP_CONTENT_DOT_CR:
			w = behind_dot_cr(c, rest, cut);
			break;
		case SMTP_CONTENT_TEXT:
			w = in_text(c, rest, pos, cut);
			break;
		case SMTP_CONTENT_CR:
			w = behind_cr(c, rest, cut);
			break;
		}
	}
	return w == WALK_ON ? WALK_MORE : w;
}

static bool is_new_fault(struct smtp_content *c)
{
	bool new = c->fault != SMTP_CONTENT_FINE && !c->fault_told;
	c->fault_told |= new;
	return new;
}

/* One slice, or what else a stretch of input yields; MORE when it yields nothing. Takes what it has dealt with from `in`. */
static enum smtp_content_step read_stretch(struct smtp_content *c, struct sp_str *in, struct sp_str *slice)
{
	size_t pos = 0;
	struct cut cut = { 0 };
	enum walk w = walk(c, *in, &pos, &cut);
	struct sp_str text = sp_str_make(in->p, pos);
	if (c->fault == SMTP_CONTENT_FINE && sp_str_contains(text, '\0'))
		find_fault(c, SMTP_CONTENT_NUL);
	sp_assert(pos == 0 || cut.insert.len == 0);
	*in = sp_str_from(*in, w == WALK_MORE ? in->len : pos + cut.skip);
	*slice = pos > 0 ? text : cut.insert;
	if (is_new_fault(c))
		return SMTP_CONTENT_FAULT;
	if (w == WALK_END)
		return SMTP_CONTENT_END;
	return slice->len > 0 && c->fault == SMTP_CONTENT_FINE ? SMTP_CONTENT_SLICE : SMTP_CONTENT_MORE;
}

static enum smtp_content_step end_chunk(struct smtp_content *c, struct sp_str *slice)
{
	if (!c->last)
		return SMTP_CONTENT_END;
	if (c->state == SMTP_CONTENT_CR)
		find_fault(c, SMTP_CONTENT_BARE_CR);
	if (is_new_fault(c))
		return SMTP_CONTENT_FAULT;
	if (c->state != SMTP_CONTENT_TEXT || c->fault != SMTP_CONTENT_FINE)
		return SMTP_CONTENT_END;
	c->state = SMTP_CONTENT_AT_START;
	*slice = SP_STR("\r\n");
	return SMTP_CONTENT_SLICE;
}

/* RFC 3030 3. */
static enum smtp_content_step read_binary(struct smtp_content *c, struct sp_str *in, struct sp_str *slice)
{
	*slice = sp_str_make(in->p, in->len > c->left ? (size_t)c->left : in->len);
	*in = sp_str_from(*in, slice->len);
	c->left -= slice->len;
	if (slice->len > 0)
		return SMTP_CONTENT_SLICE;
	return c->left > 0 ? SMTP_CONTENT_MORE : SMTP_CONTENT_END;
}

enum smtp_content_step smtp_content_read(struct smtp_content *c, struct sp_str *in, struct sp_str *slice)
{
	if (c->binary)
		return read_binary(c, in, slice);
	enum smtp_content_step step = SMTP_CONTENT_MORE;
	while (step == SMTP_CONTENT_MORE && in->len > 0 && (c->dots || c->left > 0)) {
		struct sp_str mine = *in;
		if (!c->dots && mine.len > c->left)
			mine.len = (size_t)c->left;
		size_t before = mine.len;
		step = read_stretch(c, &mine, slice);
		*in = sp_str_from(*in, before - mine.len);
		c->left -= c->dots ? 0 : before - mine.len;
	}
	if (step == SMTP_CONTENT_MORE && !c->dots && c->left == 0)
		return end_chunk(c, slice);
	return step;
}
