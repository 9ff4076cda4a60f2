/* rpt/record.c - see record.h. What an entry of the `rua` means is in rua.c. */
#include "core/tagged.h"
#include "rpt/rua.h"

#define VERSION SP_STR("v=TLSRPTv1")

static const char *const none_because[] = {
	[SP_TAGGED_EMPTY] = "there is no TXT record",
	[SP_TAGGED_CUT] = "the record ends after \"v=TLSRPTv1\"; it must go on with \"; rua=\" and where reports are to go",
	[SP_TAGGED_RESEMBLES] = ("a record resembles one, but it must begin with exactly \"v=TLSRPTv1;\": no blank or quote before it, "
	                         "the letters as here, version 1"),
	[SP_TAGGED_OTHERS] = "no TXT record begins with \"v=TLSRPTv1;\"",
};

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
	if (!sp_tagged_name_ok(name))
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
	size_t n = sp_tagged_find(txts, count, VERSION, &txt);        /* RFC 8460 3 */
	if (n == 0) {
		*why = none_because[sp_tagged_slip(txts, count, VERSION)];
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
