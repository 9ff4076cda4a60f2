/* rpt/utf8.c - see utf8.h. */
#include "rpt/utf8.h"

#include "core/utf8.h"

/* RFC 7493 2.1: noncharacters are forbidden, as surrogates are. */
static bool is_noncharacter(uint32_t code)
{
	return (code >= 0xfdd0 && code <= 0xfdef) || (code & 0xfffe) == 0xfffe;
}

void rpt_utf8_add(struct sp_buf *out, struct sp_str s)
{
	uint32_t code;
	while (s.len > 0) {
		size_t len = sp_utf8_char(s, &code);
		if (len > 0 && is_noncharacter(code))
			len = 0;
		if (len > 0)
			sp_buf_add(out, sp_str_make(s.p, len));
		else
			sp_buf_adds(out, "\xef\xbf\xbd");
		s = sp_str_from(s, sp_max(len, 1));
	}
}
