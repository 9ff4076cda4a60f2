/* core/tagged.c - see tagged.h. */
#include "core/tagged.h"

bool sp_tagged_take_delimiter(struct sp_str *s)
{
	struct sp_str rest = *s;
	sp_take_blanks(&rest);
	if (!sp_take_char(&rest, ';'))
		return false;
	sp_take_blanks(&rest);
	*s = rest;
	return true;
}

static bool begins(struct sp_str txt, struct sp_str version, bool blanks_allowed)
{
	return sp_take_prefix(&txt, version) && (blanks_allowed ? sp_tagged_take_delimiter(&txt) : sp_take_char(&txt, ';'));
}

static size_t candidates(const struct sp_str *txts, size_t count, struct sp_str version, bool blanks_allowed, struct sp_str *found)
{
	size_t n = 0;
	for (size_t i = 0; i < count; i++) {
		if (begins(txts[i], version, blanks_allowed)) {
			*found = txts[i];
			n++;
		}
	}
	return n;
}

size_t sp_tagged_find(const struct sp_str *txts, size_t count, struct sp_str version, struct sp_str *found)
{
	size_t n = candidates(txts, count, version, false, found);
	return n > 0 ? n : candidates(txts, count, version, true, found);
}

enum sp_tagged_slip sp_tagged_slip(const struct sp_str *txts, size_t count, struct sp_str version)
{
	struct sp_str name = sp_str_make(version.p, version.len - sizeof("v1") + 1);    /* "v=STS" */
	if (count == 0)
		return SP_TAGGED_EMPTY;
	for (size_t i = 0; i < count; i++) {
		struct sp_str txt = txts[i];
		if (sp_str_eq(txt, version))
			return SP_TAGGED_CUT;
		while (txt.len > 0 && !sp_is_alnum(txt.p[0]))
			txt = sp_str_from(txt, 1);
		if (sp_str_starts_nocase(txt, name) || sp_str_starts_nocase(txt, SP_STR("v =")))
			return SP_TAGGED_RESEMBLES;
	}
	return SP_TAGGED_OTHERS;
}

bool sp_tagged_name_ok(struct sp_str name)
{
	if (name.len == 0 || name.len > SP_TAGGED_NAME_MAX || !sp_is_alnum(name.p[0]))
		return false;
	for (size_t i = 1; i < name.len; i++)
		if (!sp_is_alnum(name.p[i]) && name.p[i] != '_' && name.p[i] != '-' && name.p[i] != '.')
			return false;
	return true;
}
