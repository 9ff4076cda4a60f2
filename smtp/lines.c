/* smtp/lines.c - see lines.h. */
#include "smtp/lines.h"

/* `piece` is of one line; the last of it, with its LF, if `ended`. */
static void take_piece(struct smtp_lines *l, struct sp_str piece, bool ended)
{
	if (piece.len == 0)
		return;
	size_t text = piece.len - (ended ? 1 : 0);
	bool cr = text > 0 ? piece.p[text - 1] == '\r' : l->after_cr;
	l->broken |= (l->after_cr && text > 0) || (ended && !cr);
	text -= cr && text > 0 ? 1 : 0;
	l->broken |= sp_str_contains(sp_str_make(piece.p, text), '\r');
	l->len += piece.len;
	l->broken |= l->len > SMTP_TEXT_LINE_MAX + 2 || (l->len > SMTP_TEXT_LINE_MAX && !ended && !cr);
	l->after_cr = cr && !ended;
	if (ended)
		l->len = 0;
}

void smtp_lines_feed(struct smtp_lines *l, struct sp_str data)
{
	l->broken = l->broken || sp_str_contains(data, '\0');
	while (data.len > 0 && !l->broken) {
		size_t lf = sp_str_find(data, '\n');
		bool ended = lf < data.len;
		take_piece(l, sp_str_make(data.p, ended ? lf + 1 : lf), ended);
		data = sp_str_from(data, ended ? lf + 1 : lf);
	}
}

bool smtp_lines_fine(const struct smtp_lines *l)
{
	return !l->broken && l->len == 0;
}
