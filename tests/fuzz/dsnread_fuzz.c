/* tests/fuzz/dsnread_fuzz.c - smtp_dsnread() on anything: bounded, printable where it says so, addresses that parse again; and the same of what is
 * cut off behind it is never another recipient. */
#include "smtp/address.h"
#include "smtp/dsnread.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_address(const char *text)
{
	struct sp_arena arena = SP_ARENA_EMPTY;
	struct smtp_address a;
	const char *why;
	if (*text) {
		bool ok = smtp_address_parse(sp_str_of(text), true, &arena, &a, &why);
		sp_assert(ok && strcmp(a.text, text) == 0);
	}
	sp_arena_clear(&arena);
}

static void check(const struct smtp_dsnread *r)
{
	check_address(r->final);
	check_address(r->original);
	sp_assert(strlen(r->status) <= 9 && (*r->status == '\0' || strchr("245", *r->status) != NULL));
	sp_assert(strlen(r->diagnostic) <= 200);
	for (const char *p = r->diagnostic; *p; p++)
		sp_assert(sp_is_print(*p));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct smtp_dsnread all[SMTP_DSNREAD_MAX], part[SMTP_DSNREAD_MAX];
	size_t count, fewer;
	struct sp_arena arena = SP_ARENA_EMPTY;
	struct sp_str message = sp_str_make((const char *)data, len);
	bool ok = smtp_dsnread(message, &arena, all, &count);
	sp_assert(count <= SMTP_DSNREAD_MAX && (ok || count == 0));
	for (size_t i = 0; i < count; i++)
		check(&all[i]);
	message.len = len / 2;
	if (smtp_dsnread(message, &arena, part, &fewer)) {
		sp_assert(fewer <= count || !ok);
		for (size_t i = 0; ok && i < fewer; i++)
			sp_assert(strcmp(part[i].final, all[i].final) == 0 && part[i].failed == all[i].failed && strcmp(part[i].status, all[i].status) == 0);
	}
	sp_arena_clear(&arena);
	return 0;
}
