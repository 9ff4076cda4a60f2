/* queue/id.c - identifiers as people see them: Crockford base 32, without leading zeros. See store.h. */
#include "queue/store.h"

static const char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

const char *queue_id_str(uint64_t id, char text[QUEUE_ID_TEXT])
{
	char backwards[QUEUE_ID_TEXT];
	size_t len = 0;
	do {
		backwards[len++] = digits[id & 31];
		id >>= 5;
	} while (id > 0);
	for (size_t i = 0; i < len; i++)
		text[i] = backwards[len - 1 - i];
	text[len] = '\0';
	return text;
}

/* Lenient as Crockford wants it, because operators type these: either case, I and L for 1, O for 0. -1: no digit. */
static int value_of(char c)
{
	c = sp_lower(c);
	if (c == 'i' || c == 'l')
		return 1;
	if (c == 'o')
		return 0;
	for (int v = 0; v < 32; v++)
		if (sp_lower(digits[v]) == c)
			return v;
	return -1;
}

bool queue_id_parse(struct sp_str s, uint64_t *out)
{
	if (s.len == 0 || s.len > 13)
		return false;
	uint64_t id = 0;
	for (size_t i = 0; i < s.len; i++) {
		int v = value_of(s.p[i]);
		if (v < 0 || id >> 59)                  /* the next five bits would push others out */
			return false;
		id = id << 5 | (uint64_t)v;
	}
	*out = id;
	return true;
}
