/* tests/fuzz/address_fuzz.c - smtp_address_parse() and smtp_domain_ascii() on anything: what is printed parses to the same. */
#include "smtp/address.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_text(const struct smtp_address *a)
{
	size_t len = strlen(a->text);
	sp_assert(len + 2 <= SMTP_PATH_MAX && strlen(a->local) <= SMTP_LOCAL_MAX && strlen(a->domain) <= SMTP_DOMAIN_MAX);
	for (size_t i = 0; i < len; i++)
		sp_assert(sp_is_print(a->text[i]) || (a->utf8 && (unsigned char)a->text[i] > 127));
	for (const char *d = a->domain; *d; d++)
		sp_assert(a->literal || sp_is_digit(*d) || (*d >= 'a' && *d <= 'z') || strchr("-_.", *d));
	sp_assert(!a->literal || sp_addr_port(&a->ip) == 0);
}

static void check_mailbox(struct sp_str s, bool utf8)
{
	struct sp_arena arena = SP_ARENA_EMPTY;
	struct smtp_address a, again;
	const char *why = NULL;
	if (smtp_address_parse(s, utf8, &arena, &a, &why)) {
		check_text(&a);
		sp_assert(utf8 || !a.utf8);
		sp_assert(smtp_address_parse(sp_str_of(a.text), utf8, &arena, &again, &why));
		sp_assert(strcmp(a.text, again.text) == 0 && a.literal == again.literal && a.utf8 == again.utf8);
	} else {
		sp_assert(why != NULL);
	}
	sp_arena_clear(&arena);
}

static void check_domain(struct sp_str s)
{
	struct sp_arena arena = SP_ARENA_EMPTY;
	const char *why = NULL;
	const char *domain = smtp_domain_ascii(s, &arena, &why);
	if (domain) {
		const char *again = smtp_domain_ascii(sp_str_of(domain), &arena, &why);
		sp_assert(again && strcmp(domain, again) == 0 && strlen(domain) <= 253);
	} else {
		sp_assert(why != NULL);
	}
	sp_arena_clear(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct sp_str s = sp_str_make((const char *)data, len);
	check_mailbox(s, false);
	check_mailbox(s, true);
	check_domain(s);
	return 0;
}
