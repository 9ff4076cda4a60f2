/* smtp/reply.c - see reply.h. */
#include "smtp/reply.h"

void smtp_reply_reader_init(struct smtp_reply_reader *r)
{
	*r = (struct smtp_reply_reader){ .fresh = true };
	sp_buf_init(&r->reply.text, SMTP_REPLY_KEPT_MAX);
	sp_buf_init(&r->line, SMTP_REPLY_LINE_MAX);
}

void smtp_reply_reader_clear(struct smtp_reply_reader *r)
{
	sp_buf_clear(&r->reply.text);
	sp_buf_clear(&r->line);
	smtp_reply_reader_init(r);
}

static void begin(struct smtp_reply_reader *r)
{
	r->reply.code = 0;
	r->reply.esc[0] = '\0';
	r->reply.lines = 0;
	sp_buf_reset(&r->reply.text);
	sp_buf_reset(&r->line);
	r->read = 0;
	r->fresh = false;
	r->why = NULL;
}

static enum smtp_reply_status broken(struct smtp_reply_reader *r, const char *why)
{
	r->why = why;
	r->fresh = true;
	return SMTP_REPLY_BROKEN;
}

/* RFC 3463 2: class "." 1*3digit "." 1*3digit; taken only when the class is the code's first digit (RFC 2034 4). */
static void take_esc(struct smtp_reply *reply, struct sp_str s)
{
	struct sp_str rest = s;
	uint64_t class, subject, detail;
	if (!sp_take_digits(&rest, 1, &class) || !sp_take_char(&rest, '.') || !sp_take_digits(&rest, 3, &subject) ||
	    !sp_take_char(&rest, '.') || !sp_take_digits(&rest, 3, &detail))
		return;
	if (class != (uint64_t)(reply->code / 100) || (rest.len > 0 && rest.p[0] != ' '))
		return;
	size_t len = s.len - rest.len;
	memcpy(reply->esc, s.p, len);           /* at most 9 octets */
	reply->esc[len] = '\0';
}

/* The text of one more line; what passes SMTP_REPLY_KEPT_MAX is dropped. */
static void keep(struct smtp_reply *reply, struct sp_str text)
{
	struct sp_buf *kept = &reply->text;
	size_t room = kept->max - kept->len;
	if (reply->lines > 0 && room > 0) {
		sp_buf_addc(kept, '\n');
		room--;
	}
	sp_buf_add(kept, sp_str_make(text.p, sp_min(text.len, room)));
}

static int take_code(struct sp_str *line)
{
	if (line->len < 3 || !sp_is_digit(line->p[0]) || !sp_is_digit(line->p[1]) || !sp_is_digit(line->p[2]))
		return 0;
	int code = (line->p[0] - '0') * 100 + (line->p[1] - '0') * 10 + (line->p[2] - '0');
	*line = sp_str_from(*line, 3);
	return code;
}

/* One whole line, without its end. RFC 5321 4.2: code, then "-" (more follows) or SP, then text. */
static enum smtp_reply_status take_line(struct smtp_reply_reader *r, struct sp_str line)
{
	struct smtp_reply *reply = &r->reply;
	int code = take_code(&line);
	if (code < 200 || code > 599)           /* RFC 5321 4.2.1: SMTP has no 1yz replies, and none above 5yz */
		return broken(r, "a reply line without a reply code");
	if (reply->lines > 0 && code != reply->code)
		return broken(r, "a reply whose lines have different codes");   /* RFC 5321 4.2.1 */
	reply->code = code;
	bool more = sp_take_char(&line, '-');
	/* RFC 5321 4.2: a code with nothing behind it SHOULD be accepted */
	if (!more && line.len > 0 && !sp_take_char(&line, ' '))
		return broken(r, "a reply code that no blank or hyphen follows");
	if (reply->lines == 0)
		take_esc(reply, line);
	keep(reply, line);
	reply->lines++;
	if (more)
		return SMTP_REPLY_MORE;
	r->fresh = true;
	return SMTP_REPLY_DONE;
}

static struct sp_str without_cr(struct sp_str line)
{
	if (line.len > 0 && line.p[line.len - 1] == '\r')
		line.len--;
	return line;
}

enum smtp_reply_status smtp_reply_feed(struct smtp_reply_reader *r, struct sp_str *in)
{
	if (r->fresh && in->len > 0)
		begin(r);
	while (in->len > 0) {
		size_t at = sp_str_find(*in, '\n');
		bool whole = at < in->len;
		struct sp_str piece = sp_str_make(in->p, at);
		*in = sp_str_from(*in, whole ? at + 1 : at);
		r->read += piece.len + whole;
		if (r->read > SMTP_REPLY_READ_MAX)
			return broken(r, "a reply that is too long");
		if (r->line.len + piece.len > SMTP_REPLY_LINE_MAX)
			return broken(r, "a reply line that is too long");
		if (!whole || r->line.len > 0)          /* a line that came in one piece is not copied */
			sp_buf_add(&r->line, piece);
		if (!whole)
			return SMTP_REPLY_MORE;
		struct sp_str line = without_cr(r->line.len > 0 ? sp_buf_str(&r->line) : piece);
		enum smtp_reply_status status = take_line(r, line);
		sp_buf_reset(&r->line);
		if (status != SMTP_REPLY_MORE)
			return status;
	}
	return SMTP_REPLY_MORE;
}

/* Many servers say the status again on each line; once is enough for a reader. */
static struct sp_str without_esc(struct sp_str line, const char *esc)
{
	struct sp_str rest = line;
	if (esc[0] && sp_take_prefix(&rest, sp_str_of(esc)) && (rest.len == 0 || rest.p[0] == ' '))
		return sp_str_trim(rest);
	return line;
}

void smtp_reply_print(const struct smtp_reply *r, size_t max, struct sp_buf *out)
{
	size_t start = out->len;
	struct sp_str rest = sp_buf_str(&r->text);
	sp_buf_printf(out, "%d", r->code);
	bool any = false;                       /* a line was printed */
	while (rest.len > 0 && out->len - start < max) {
		struct sp_str line = sp_str_trim(sp_take_until(&rest, '\n'));
		if (any)
			line = without_esc(line, r->esc);
		if (line.len == 0)
			continue;
		sp_buf_adds(out, any ? "; " : " ");
		sp_buf_add_printable(out, sp_str_make(line.p, sp_min(line.len, max)));
		any = true;
	}
	if (out->len - start > max)
		sp_buf_truncate(out, start + max);
}
