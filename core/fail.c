/* core/fail.c - see fail.h. */
#include "core/fail.h"

#include "core/buf.h"

#include <stdio.h>

SP_PRINTF(2, 0) static void set_text(struct sp_fail *f, const char *fmt, va_list args)
{
	vsnprintf(f->text, sizeof(f->text), fmt, args);
	for (char *c = f->text; *c; c++)
		if (!sp_is_print(*c))
			*c = '?';
}

void sp_fail_set(struct sp_fail *f, enum sp_fail_kind kind, const char *fmt, ...)
{
	if (f == NULL)
		return;
	*f = (struct sp_fail){ .kind = kind };
	va_list args;
	va_start(args, fmt);
	set_text(f, fmt, args);
	va_end(args);
}

void sp_fail_tls(struct sp_fail *f, enum sp_fail_kind kind, enum sp_result result, const char *reason,
                 const char *fmt, ...)
{
	if (f == NULL)
		return;
	*f = (struct sp_fail){ .kind = kind, .result = result };
	snprintf(f->reason, sizeof(f->reason), "%s", reason);
	va_list args;
	va_start(args, fmt);
	set_text(f, fmt, args);
	va_end(args);
}

const char *sp_fail_kind_str(enum sp_fail_kind kind)
{
	static const char *const names[] = {
#define X(name, text) [SP_FAIL_##name] = text,
		SP_FAIL_KINDS(X)
#undef X
	};
	return names[kind];
}

static const char *const result_names[] = {
#define X(name, text) [SP_RESULT_##name] = text,
	SP_RESULTS(X)
#undef X
};

const char *sp_result_str(enum sp_result result)
{
	return result_names[result];
}

bool sp_result_parse(struct sp_str s, enum sp_result *out)
{
	size_t i;
	bool found = sp_str_among(s, result_names, SP_COUNT(result_names), &i);
	if (found)
		*out = (enum sp_result)i;
	return found;
}
