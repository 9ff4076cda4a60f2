/* smtp/xtext.c - see xtext.h. */
#include "smtp/xtext.h"

static bool decode(struct sp_str text, struct sp_buf *out)
{
	while (text.len > 0) {
		char c = text.p[0];
		if (c == '+') {
			if (!sp_take_escape(&text, '+', &c))
				return false;
		} else if (c <= ' ' || c > '~' || c == '=') {
			return false;
		} else {
			text = sp_str_from(text, 1);
		}
		sp_buf_addc(out, c);
	}
	return !sp_buf_failed(out);
}

bool smtp_xtext_decode(struct sp_str text, struct sp_buf *out)
{
	size_t before = out->len;
	if (decode(text, out))
		return true;
	sp_buf_truncate(out, before);
	return false;
}
