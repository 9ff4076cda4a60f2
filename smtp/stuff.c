/* smtp/stuff.c - see stuff.h. */
#include "smtp/stuff.h"

void smtp_stuff_init(struct smtp_stuff *s)
{
	s->last[0] = '\r';
	s->last[1] = '\n';
}

void smtp_stuff_note(struct smtp_stuff *s, struct sp_str piece)
{
	if (piece.len == 0)
		return;
	s->last[0] = piece.len > 1 ? piece.p[piece.len - 2] : s->last[1];
	s->last[1] = piece.p[piece.len - 1];
}

bool smtp_stuff_at_line_end(const struct smtp_stuff *s)
{
	return s->last[0] == '\r' && s->last[1] == '\n';
}

/* RFC 5321 4.5.2 stuffs after CRLF. We stuff after a lone CR or LF too, which a spooled message does not hold, because there
 * are servers that take "LF.CRLF" for the end of the content: it must never leave here, whatever came in. */
static bool begins_line(char before)
{
	return before == '\n' || before == '\r';
}

void smtp_stuff_add(struct smtp_stuff *s, struct sp_str piece, struct sp_buf *out)
{
	struct sp_str rest = piece;             /* not yet in `out` */
	size_t from = 0;                        /* of `rest`, where to look for the next dot */
	/* Dots are rarer than lines, and base64 has none: so search those, and look back. */
	for (;;) {
		struct sp_str ahead = sp_str_from(rest, from);
		size_t dot = from + sp_str_find(ahead, '.');
		if (dot == rest.len)
			break;
		size_t at = piece.len - rest.len + dot;
		from = dot + 1;
		if (!begins_line(at > 0 ? piece.p[at - 1] : s->last[1]))
			continue;
		sp_buf_add(out, sp_str_make(rest.p, dot));
		sp_buf_adds(out, "..");
		rest = sp_str_from(rest, dot + 1);
		from = 0;
	}
	sp_buf_add(out, rest);
	smtp_stuff_note(s, piece);
}
