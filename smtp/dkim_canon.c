/* smtp/dkim_canon.c - see dkim_canon.h. */
#include "smtp/dkim_canon.h"

/* ---- fields ---- */

/* Octets up to and with the LF that ends the field at the front of `s`: the first whose next line does not begin with a blank. */
static size_t field_len(struct sp_str s)
{
	size_t len = 0;
	do {
		size_t lf = sp_str_find(sp_str_from(s, len), '\n');
		len = sp_min(len + lf + 1, s.len);
	} while (len < s.len && sp_is_blank(s.p[len]));
	return len;
}

static struct sp_str without_line_end(struct sp_str s)
{
	if (s.len > 0 && s.p[s.len - 1] == '\n') {
		s.len--;
		if (s.len > 0 && s.p[s.len - 1] == '\r')
			s.len--;
	}
	return s;
}

static bool is_name(struct sp_str s)            /* RFC 5322 3.6.8 */
{
	for (size_t i = 0; i < s.len; i++)
		if (s.p[i] <= ' ' || s.p[i] > '~')
			return false;
	return s.len > 0;
}

bool smtp_field_take(struct sp_str *header, struct smtp_field *out)
{
	while (header->len > 0) {
		struct sp_str raw = sp_str_make(header->p, field_len(*header));
		*header = sp_str_from(*header, raw.len);
		raw = without_line_end(raw);
		size_t colon = sp_str_find(raw, ':');
		struct sp_str name = sp_str_make(raw.p, colon);
		while (name.len > 0 && sp_is_blank(name.p[name.len - 1]))
			name.len--;
		if (colon == raw.len || !is_name(name))
			continue;
		*out = (struct smtp_field){ name, sp_str_from(raw, colon + 1) };
		return true;
	}
	return false;
}

static bool is_fold(struct sp_str s, size_t i)  /* every line end that is left inside a value */
{
	return s.p[i] == '\n' || (s.p[i] == '\r' && i + 1 < s.len && s.p[i + 1] == '\n');
}

void smtp_dkim_canon_field(const struct smtp_field *f, struct sp_buf *out)     /* RFC 6376 3.4.2 */
{
	for (size_t i = 0; i < f->name.len; i++)
		sp_buf_addc(out, sp_lower(f->name.p[i]));
	sp_buf_addc(out, ':');
	struct sp_str v = f->value;
	bool blank = false, any = false;
	for (size_t i = 0; i < v.len; i++) {
		if (is_fold(v, i))                      /* unfolded: only the blanks around it remain */
			continue;
		if (sp_is_blank(v.p[i])) {
			blank = true;
			continue;
		}
		if (blank && any)                       /* none behind the colon, none at the end */
			sp_buf_addc(out, ' ');
		sp_buf_addc(out, v.p[i]);
		blank = false;
		any = true;
	}
	sp_buf_adds(out, "\r\n");
}

/* ---- the body ---- */

void smtp_dkim_canon_init(struct smtp_dkim_canon *c, void (*sink)(void *arg, struct sp_str piece), void *arg)
{
	*c = (struct smtp_dkim_canon){ .sink = sink, .arg = arg };
}

static void flush(struct smtp_dkim_canon *c)
{
	if (c->len > 0)
		c->sink(c->arg, sp_str_make(c->piece, c->len));
	c->len = 0;
}

static void put(struct smtp_dkim_canon *c, char octet)
{
	if (c->len == SMTP_DKIM_PIECE)
		flush(c);
	c->piece[c->len++] = octet;
}

/* Something stands on the line: what was held back before it counts after all. */
static void release(struct smtp_dkim_canon *c)
{
	for (; c->line_ends > 0; c->line_ends--) {
		put(c, '\r');
		put(c, '\n');
	}
	if (c->blank)
		put(c, ' ');
	if (c->cr)                              /* no LF followed: an octet like others */
		put(c, '\r');
	c->blank = c->cr = false;
	c->any = true;
}

/* Octets that may have to be held back, or left out. */
static const bool delicate[256] = { [' '] = true, ['\t'] = true, ['\r'] = true };

static bool is_plain(struct sp_str data, size_t i)
{
	return i < data.len && !delicate[(unsigned char)data.p[i]];
}

/* The octets at the front of `data` that stand for themselves; so do, between such, one SP and one line end: most of a text goes by at once. */
static size_t plain_len(struct sp_str data)
{
	size_t n = 0;
	while (is_plain(data, n)) {
		do
			n++;
		while (is_plain(data, n));
		if (is_plain(data, n + 1) && data.p[n] == ' ')
			n += 1;
		else if (is_plain(data, n + 2) && data.p[n] == '\r' && data.p[n + 1] == '\n')
			n += 2;
	}
	return n;
}

static void put_plain(struct smtp_dkim_canon *c, struct sp_str run)
{
	release(c);
	while (run.len > 0) {
		if (c->len == SMTP_DKIM_PIECE)
			flush(c);
		size_t n = sp_min(run.len, SMTP_DKIM_PIECE - c->len);
		memcpy(c->piece + c->len, run.p, n);
		c->len += n;
		run = sp_str_from(run, n);
	}
}

/* One octet that is held back, or that decides about one that was. */
static void hold(struct smtp_dkim_canon *c, char octet)
{
	if (octet == '\n') {                    /* behind a CR: RFC 6376 3.4.4: blanks at the end of a line go */
		c->cr = c->blank = false;
		c->line_ends++;
		return;
	}
	if (c->cr)
		release(c);
	if (octet == '\r')
		c->cr = true;
	else
		c->blank = true;                /* RFC 6376 3.4.4: however many, they become one SP */
}

void smtp_dkim_canon_add(struct smtp_dkim_canon *c, struct sp_str data)
{
	while (data.len > 0) {
		size_t n = c->cr && data.p[0] == '\n' ? 0 : plain_len(data);
		if (n > 0) {
			put_plain(c, sp_str_make(data.p, n));
			data = sp_str_from(data, n);
		} else {
			hold(c, data.p[0]);
			data = sp_str_from(data, 1);
		}
	}
}

void smtp_dkim_canon_finish(struct smtp_dkim_canon *c)
{
	if (c->cr)
		release(c);
	/* RFC 6376 3.4.4: empty lines at the end go, but the last line has its CRLF, whether it had or not. A body without any line that
	 * has something in it is empty. */
	if (c->any) {
		put(c, '\r');
		put(c, '\n');
	}
	flush(c);
}
