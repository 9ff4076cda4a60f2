/* rpt/record.c - see record.h. What an entry of the `rua` means is in rua.c. */
#include "rpt/rua.h"

#define VERSION SP_STR("v=TLSRPTv1")
#define FIELD_NAME_MAX 32

/* RFC 8460 3: field-delim = *WSP ";" *WSP. Nothing is taken when there is none. */
static bool take_delimiter(struct sp_str *s)
{
	struct sp_str rest = *s;
	sp_take_blanks(&rest);
	if (!sp_take_char(&rest, ';'))
		return false;
	sp_take_blanks(&rest);
	*s = rest;
	return true;
}

/* RFC 8460 3: records that do not begin with "v=TLSRPTv1;" are discarded. The grammar behind that sentence allows blanks before the
 * semicolon: we take such a record when no other begins exactly so, because its owner did ask for reports. */
static bool begins(struct sp_str txt, bool blanks_allowed)
{
	return sp_take_prefix(&txt, VERSION) && (blanks_allowed ? take_delimiter(&txt) : sp_take_char(&txt, ';'));
}

static size_t candidates(const struct sp_str *txts, size_t count, bool blanks_allowed, struct sp_str *found)
{
	size_t n = 0;
	for (size_t i = 0; i < count; i++) {
		if (begins(txts[i], blanks_allowed)) {
			*found = txts[i];
			n++;
		}
	}
	return n;
}

/* What kept a set without candidates from having one: the usual slips are told apart. */
static const char *none_because(const struct sp_str *txts, size_t count)
{
	if (count == 0)
		return "there is no TXT record";
	for (size_t i = 0; i < count; i++) {
		struct sp_str txt = txts[i];
		if (sp_str_eq(txt, VERSION))
			return "the record ends after \"v=TLSRPTv1\"; it must go on with \"; rua=\" and where reports are to go";
		while (txt.len > 0 && !sp_is_alnum(txt.p[0]))
			txt = sp_str_from(txt, 1);
		if (sp_str_starts_nocase(txt, SP_STR("v=tlsrpt")) || sp_str_starts_nocase(txt, SP_STR("v =")))
			return "a record resembles one, but it must begin with exactly \"v=TLSRPTv1;\": no blank or quote before it, "
			       "the letters as here, version 1";
	}
	return "no TXT record begins with \"v=TLSRPTv1;\"";
}

/* RFC 8460 3: (ALPHA / DIGIT) *31(ALPHA / DIGIT / "_" / "-" / ".") */
static bool name_ok(struct sp_str name)
{
	if (name.len == 0 || name.len > FIELD_NAME_MAX || !sp_is_alnum(name.p[0]))
		return false;
	for (size_t i = 1; i < name.len; i++)
		if (!sp_is_alnum(name.p[i]) && name.p[i] != '_' && name.p[i] != '-' && name.p[i] != '.')
			return false;
	return true;
}

static bool printable(struct sp_str s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!sp_is_print(s.p[i]) && s.p[i] != '\t')
			return false;
	return true;
}

/* RFC 8460 3: tlsrpt-uri *(*WSP "," *WSP tlsrpt-uri). An entry that cannot be used leaves the others as they are. */
static void read_rua(struct sp_str value, struct sp_arena *arena, struct rpt_record *out)
{
	while (value.len > 0 && out->count < RPT_RUA_MAX) {
		struct sp_str entry = sp_str_trim(sp_take_until(&value, ','));
		if (entry.len > 0)
			rpt_rua_add(entry, arena, out);
	}
}

/* One field, its delimiters gone. NULL, or why the record is none. RFC 8460 3: unknown fields are ignored; we look only whether it is a
 * field at all, as values of today ("mailto:a@b?x=y") break the grammar of extensions. */
static const char *read_field(struct sp_str field, struct sp_arena *arena, struct rpt_record *out, bool *has_rua)
{
	if (field.len == 0)                             /* two semicolons: forgiven, as nothing can be meant by it */
		return NULL;
	if (!sp_str_contains(field, '='))
		return "a field is not of the form name=value";
	struct sp_str name = sp_take_until(&field, '=');
	if (!name_ok(name))
		return "the name of a field may hold letters, digits, \"_\", \"-\" and \".\" only (at most 32, no blanks)";
	if (sp_str_eq(name, SP_STR("rua"))) {           /* RFC 8460 3: %s"rua=" */
		*has_rua = true;
		read_rua(field, arena, out);
	} else if (!printable(field)) {
		return "the value of a field holds a character that does not print";
	}
	return NULL;
}

/* NULL, or why not. */
static const char *read_record(struct sp_str s, struct sp_arena *arena, struct rpt_record *out)
{
	bool has_rua = false;
	s = sp_str_from(s, VERSION.len);
	while (s.len > 0) {
		struct sp_str field = sp_str_trim(sp_take_until(&s, ';'));
		const char *why = read_field(field, arena, out, &has_rua);
		if (why)
			return why;
	}
	if (!has_rua)
		return "there is no \"rua=\" (in lower case), so nobody knows where reports are to go";
	if (out->count > 0)
		return NULL;
	if (out->skipped_count == 0)
		return "the \"rua\" is empty: it needs mailto: and an address, or https:// and a host";
	return sp_arena_printf(arena, "no entry of the \"rua\" can be used: %s", out->skipped[0]);
}

enum rpt_record_status rpt_record_parse(const struct sp_str *txts, size_t count, struct sp_arena *arena, struct rpt_record *out, const char **why)
{
	*out = (struct rpt_record){ .count = 0 };
	struct sp_str txt = { NULL, 0 };
	size_t n = candidates(txts, count, false, &txt);
	if (n == 0)
		n = candidates(txts, count, true, &txt);
	if (n == 0) {
		*why = none_because(txts, count);
		return RPT_RECORD_NONE;
	}
	if (n > 1) {                                    /* RFC 8460 3: not one: as if there were none */
		*why = "several TXT records begin with \"v=TLSRPTv1;\", which counts as none; remove all but one";
		return RPT_RECORD_SEVERAL;
	}
	*why = read_record(txt, arena, out);
	if (*why == NULL)
		return RPT_RECORD_OK;
	out->count = 0;                                 /* what was skipped is still worth telling */
	return RPT_RECORD_INVALID;
}
