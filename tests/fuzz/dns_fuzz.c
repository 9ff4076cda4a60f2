/* tests/fuzz/dns_fuzz.c - core_dnsmsg_parse() on anything. The first octet picks the type; the name is the one in the question,
 * so that the walk gets past it. What comes out must keep the promises of core/dnsmsg.h. */
#include "core/dnsmsg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static const enum core_dns_type types[] = {
	CORE_DNS_A, CORE_DNS_CNAME, CORE_DNS_SOA, CORE_DNS_MX, CORE_DNS_TXT, CORE_DNS_AAAA, CORE_DNS_TLSA,
};

/* The uncompressed name at octet 12, as text; "x" when it is none. */
static void question_name(struct sp_str message, char name[256])
{
	size_t at = 12, len = 0;
	while (at < message.len && message.p[at] != 0) {
		size_t label = (unsigned char)message.p[at++];
		if (label > 63 || label > message.len - at || len + label + 1 > 254)
			break;
		memcpy(name + len, message.p + at, label);
		len += label;
		at += label;
		name[len++] = '.';
	}
	name[len] = '\0';
	if (len == 0)
		memcpy(name, "x", 2);
}

/* Reads every octet that the answer says it has. */
static size_t touch(const struct core_dns_answer *a, enum core_dns_type type)
{
	size_t sum = strlen(a->name);
	for (size_t i = 0; i < a->count; i++) {
		const struct core_dns_record *r = &a->records[i];
		struct sp_str bytes = SP_STR("");
		sp_assert(r->type == type && r->ttl_s <= INT32_MAX && a->ttl_s <= r->ttl_s);
		if (type == CORE_DNS_MX) {
			bytes = sp_str_of(r->mx.host);
			sp_assert(bytes.len == 0 || core_dns_name_ok(bytes));
		} else if (type == CORE_DNS_TXT) {
			bytes = r->txt;
		} else if (type == CORE_DNS_TLSA) {
			bytes = r->tlsa.data;
		}
		for (size_t j = 0; j < bytes.len; j++)
			sum += (unsigned char)bytes.p[j];
	}
	return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	if (len == 0)
		return 0;
	enum core_dns_type type = types[data[0] % SP_COUNT(types)];
	struct sp_str message = sp_str_make((const char *)data + 1, len - 1);
	char name[256];
	question_name(message, name);
	struct sp_arena arena = SP_ARENA_EMPTY;
	struct core_dns_answer a;
	core_dnsmsg_parse(message, name, type, &arena, &a);
	sp_assert((a.count > 0) == (a.status == CORE_DNS_OK));
	sp_assert(a.count <= CORE_DNS_RECORDS_MAX && a.cnames <= CORE_DNS_CNAME_MAX);
	volatile size_t sum = touch(&a, type);
	(void)sum;
	sp_arena_clear(&arena);
	return 0;
}
