/* sts/record.c - see record.h. */
#include "sts/record.h"

#include "core/tagged.h"

#define VERSION SP_STR("v=STSv1")

static const char *const none_because[] = {
	[SP_TAGGED_EMPTY] = "there is no TXT record",
	[SP_TAGGED_CUT] = "the record ends after \"v=STSv1\"; it must go on with \"; id=\" and an id",
	[SP_TAGGED_RESEMBLES] = ("a record resembles one, but it must begin with exactly \"v=STSv1;\": no blank or quote before it, "
	                         "the letters as here, version 1"),
	[SP_TAGGED_OTHERS] = "no TXT record begins with \"v=STSv1;\"",
};

/* RFC 8461 3.1: sts-ext-value = 1*(%x21-3A / %x3C / %x3E-7E): printable, neither blank nor "=" nor ";" */
static bool value_ok(struct sp_str value)
{
	for (size_t i = 0; i < value.len; i++)
		if (!sp_is_print(value.p[i]) || value.p[i] == ' ' || value.p[i] == '=' || value.p[i] == ';')
			return false;
	return value.len > 0;
}

/* RFC 8461 3.1: sts-id = %s"id=" 1*32(ALPHA / DIGIT) */
static const char *take_id(struct sp_str value, char id[STS_ID_MAX + 1])
{
	for (size_t i = 0; i < value.len; i++)
		if (!sp_is_alnum(value.p[i]))
			return "the id may hold letters and digits only";
	if (value.len == 0)
		return "the id is empty";
	if (value.len > STS_ID_MAX)
		return "the id is longer than 32 characters";
	memcpy(id, value.p, value.len);
	id[value.len] = '\0';
	return NULL;
}

/* One field, its delimiter gone. */
static const char *read_field(struct sp_str field, bool *has_id, char id[STS_ID_MAX + 1])
{
	if (field.len == 0)
		return "there is an empty field: two semicolons in a row";
	if (!sp_str_contains(field, '='))
		return "a field is not of the form name=value";
	struct sp_str name = sp_take_until(&field, '=');
	if (!sp_tagged_name_ok(name))
		return "the name of a field may hold letters, digits, \"_\", \"-\" and \".\" only (at most 32, no blanks)";
	if (sp_str_eq(name, SP_STR("id")) && !*has_id) {        /* RFC 8461 3.2: of a repeated field the first counts */
		*has_id = true;
		return take_id(field, id);
	}
	if (!value_ok(field))
		return "the value of a field is empty, or holds a blank, \"=\" or a character that does not print";
	return NULL;
}

/* What stands before the next semicolon. Blanks in front of one belong to it; at the end of the record they belong to nothing. */
static struct sp_str take_field(struct sp_str *s, bool *more)
{
	size_t end = sp_str_find(*s, ';');
	struct sp_str field = sp_str_make(s->p, end);
	*s = sp_str_from(*s, end);
	*more = s->len > 0;
	while (*more && field.len > 0 && sp_is_blank(field.p[field.len - 1]))
		field.len--;
	return field;
}

/* NULL, or why not. */
static const char *read_record(struct sp_str s, char id[STS_ID_MAX + 1])
{
	bool has_id = false;
	bool more = sp_take_prefix(&s, VERSION);
	sp_assert(more);
	while (more && sp_tagged_take_delimiter(&s) && s.len > 0) {       /* RFC 8461 3.1: the last field may have a semicolon behind it */
		struct sp_str field = take_field(&s, &more);
		const char *why = read_field(field, &has_id, id);
		if (why)
			return why;
	}
	return has_id ? NULL : "the id is missing; add \"id=\" and letters or digits that change with every change of the policy";
}

enum sts_record_status sts_record_parse(const struct sp_str *txts, size_t count, char id[STS_ID_MAX + 1], const char **why)
{
	struct sp_str txt = { NULL, 0 };
	size_t n = sp_tagged_find(txts, count, VERSION, &txt);          /* RFC 8461 3.1 */
	id[0] = '\0';
	if (n == 0) {
		*why = none_because[sp_tagged_slip(txts, count, VERSION)];
		return STS_RECORD_NONE;
	}
	if (n > 1) {                                            /* RFC 8461 3.1: not one: as if there were none */
		*why = "several TXT records begin with \"v=STSv1;\", which counts as none; remove all but one";
		return STS_RECORD_SEVERAL;
	}
	*why = read_record(txt, id);
	if (*why == NULL)
		return STS_RECORD_OK;
	id[0] = '\0';
	return STS_RECORD_INVALID;
}
