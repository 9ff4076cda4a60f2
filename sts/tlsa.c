/* sts/tlsa.c - see tlsa.h. */
#include "sts/tlsa.h"

#include "core/buf.h"

#include <stdio.h>
#include <stdlib.h>

/* RFC 6698 7: the numbers, by the names that RFC 7218 gives them. */
enum { USAGE_DANE_TA = 2, USAGE_DANE_EE = 3 };
enum { SELECTOR_CERT = 0, SELECTOR_SPKI = 1 };
enum { MATCHING_FULL = 0, MATCHING_SHA256 = 1, MATCHING_SHA512 = 2 };

#define RECORD_TEXT_MAX (2 * UINT16_MAX + 16)   /* of one record: its data in hexadecimal digits */

const char *sts_tlsa_state_str(enum sts_tlsa_state s)
{
	static const char *const names[] = {
#define X(name, text) [STS_TLSA_##name] = text,
		STS_TLSA_STATES(X)
#undef X
	};
	return names[s];
}

/* ---- one record ---- */

static size_t digest_size(uint8_t matching)
{
	return matching == MATCHING_SHA256 ? 32 : 64;
}

/* What keeps a record from being used: a word for reports, and *text for people. NULL: it can be used. */
static const char *what_is_wrong(const struct core_tlsa *r, const char **text)
{
	if (r->usage != USAGE_DANE_TA && r->usage != USAGE_DANE_EE) {   /* RFC 7672 3.1.3: PKIX-TA and PKIX-EE are unusable for SMTP */
		*text = "certificate usages other than 2 and 3 are not for SMTP (RFC 7672 3.1.3)";
		return "tlsa-usage";
	}
	if (r->selector != SELECTOR_CERT && r->selector != SELECTOR_SPKI) {
		*text = "there is no such selector";
		return "tlsa-selector";
	}
	if (r->matching > MATCHING_SHA512) {
		*text = "there is no such matching type";
		return "tlsa-matching";
	}
	if (r->matching != MATCHING_FULL && r->data.len != digest_size(r->matching)) {
		*text = "the digest has the wrong length";
		return "tlsa-length";
	}
	if (r->matching == MATCHING_FULL && !core_tlsa_is_full(r)) {
		*text = r->selector == SELECTOR_CERT ? "its data is no certificate" : "its data is no public key";
		return "tlsa-data";
	}
	return NULL;
}

/* Higher usages, selectors and matching types first: what proves most directly is what a text names first. */
static int by_numbers(const void *a, const void *b)
{
	const struct core_tlsa *x = a, *y = b;
	if (x->usage != y->usage)
		return y->usage - x->usage;
	if (x->selector != y->selector)
		return y->selector - x->selector;
	if (x->matching != y->matching)
		return y->matching - x->matching;
	size_t len = sp_min(x->data.len, y->data.len);
	int order = len ? memcmp(x->data.p, y->data.p, len) : 0;
	return order ? order : (x->data.len > y->data.len) - (x->data.len < y->data.len);
}

static void print_record(const struct core_tlsa *r, struct sp_buf *out)
{
	sp_buf_printf(out, "%u %u %u%s", r->usage, r->selector, r->matching, r->data.len ? " " : "");
	for (size_t i = 0; i < r->data.len; i++)
		sp_buf_printf(out, "%02X", (unsigned char)r->data.p[i]);
}

/* ---- the set ---- */

/* Copies of the first STS_TLSA_MAX, sorted, each once: the order in which an answer has them changes from one to the next. */
static struct core_tlsa *collect(const struct core_dns_answer *a, struct sp_arena *arena, size_t *count)
{
	size_t n = sp_min(a->count, STS_TLSA_MAX), kept = 0;
	struct core_tlsa *all = sp_arena_alloc(arena, n * sizeof(*all));
	for (size_t i = 0; i < n; i++) {
		all[i] = a->records[i].tlsa;
		all[i].data.p = sp_arena_dup(arena, all[i].data);
	}
	qsort(all, n, sizeof(*all), by_numbers);
	for (size_t i = 0; i < n; i++)
		if (kept == 0 || by_numbers(&all[kept - 1], &all[i]) != 0)
			all[kept++] = all[i];
	*count = kept;
	return all;
}

static const char *print_all(const struct core_tlsa *all, size_t count, struct sp_arena *arena)
{
	struct sp_buf text;
	sp_buf_init(&text, STS_TLSA_MAX * RECORD_TEXT_MAX);
	for (size_t i = 0; i < count; i++) {
		print_record(&all[i], &text);
		sp_buf_addc(&text, '\n');
	}
	const char *strings = sp_arena_dup(arena, sp_buf_str(&text));
	sp_buf_clear(&text);
	return strings;
}

/* RFC 7671 9: of the digests for one usage and selector, only the strongest; what is published in full counts beside it. `kept` is sorted by strength,
 * and holds only records that can be used: one that is broken pushes nothing aside. */
static bool is_outdone(const struct core_tlsa *kept, size_t count, const struct core_tlsa *r)
{
	for (size_t i = 0; i < count; i++)
		if (kept[i].usage == r->usage && kept[i].selector == r->selector)
			return r->matching != MATCHING_FULL && kept[i].matching > r->matching;
	return false;
}

static void tell_unusable(struct sts_tlsa *out, size_t count, const struct core_tlsa *first)
{
	const char *text = "", *reason = what_is_wrong(first, &text);
	sp_fail_tls(&out->fail, SP_FAIL_POLICY, SP_RESULT_TLSA_INVALID, reason, "none of the TLSA records of %s (%zu) can be used; the first is %u %u %u "
	            "with %zu octets: %s", out->base, count, first->usage, first->selector, first->matching, first->data.len, text);
	snprintf(out->fail.esc, sizeof(out->fail.esc), "4.7.5");
}

static void judge_records(const struct core_dns_answer *a, struct sp_arena *arena, struct sts_tlsa *out)
{
	size_t count, kept = 0;
	struct core_tlsa *all = collect(a, arena, &count), first = all[0];
	out->ignored = a->count - sp_min(a->count, STS_TLSA_MAX);
	out->strings = print_all(all, count, arena);
	for (size_t i = 0; i < count; i++) {
		const char *text;
		if (what_is_wrong(&all[i], &text) == NULL && !is_outdone(all, kept, &all[i]))
			all[kept++] = all[i];
	}
	out->state = kept > 0 ? STS_TLSA_USABLE : STS_TLSA_UNUSABLE;
	out->records = all;
	out->count = kept;
	if (kept == 0)
		tell_unusable(out, count, &first);
}

/* ---- the answer ---- */

static void tell_failed(const struct core_dns_answer *a, const char *reason, struct sts_tlsa *out)
{
	out->state = STS_TLSA_FAILED;
	sp_fail_tls(&out->fail, SP_FAIL_POLICY, SP_RESULT_DNSSEC_INVALID, reason, "the TLSA records of %s, whose zone is signed, cannot be had: %s", out->base,
	            core_dns_status_str(a->status));
	snprintf(out->fail.esc, sizeof(out->fail.esc), "4.7.5");
}

void sts_tlsa_judge(const struct core_dns_answer *answer, const char *base, struct sp_arena *arena, struct sts_tlsa *out)
{
	*out = (struct sts_tlsa){ .state = STS_TLSA_NONE, .base = sp_arena_strdup(arena, base), .strings = "" };
	switch (answer->status) {
	case CORE_DNS_OK:
		if (answer->authenticated && answer->count > 0)         /* RFC 7672 2.1.1: what is insecure is as if it were not there */
			judge_records(answer, arena, out);
		break;
	case CORE_DNS_NODATA:
	case CORE_DNS_NXDOMAIN:
	case CORE_DNS_BADNAME:                  /* too long with its _25._tcp: nobody can publish there */
		break;
	case CORE_DNS_SERVFAIL:                 /* RFC 7672 2.1.2, 2.2: lost, kept from us or bogus; the host must not be used */
		tell_failed(answer, "servfail", out);
		break;
	case CORE_DNS_REFUSED:
		tell_failed(answer, "refused", out);
		break;
	case CORE_DNS_TIMEOUT:
		tell_failed(answer, "timeout", out);
		break;
	case CORE_DNS_MALFORMED:
		tell_failed(answer, "malformed", out);
		break;
	case CORE_DNS_CHAIN:
		tell_failed(answer, "cname-chain", out);
		break;
	}
}

bool sts_tlsa_equal(const struct sts_tlsa *a, const struct sts_tlsa *b)
{
	enum sts_tlsa_state x = a ? a->state : STS_TLSA_NONE, y = b ? b->state : STS_TLSA_NONE;
	if (x != y || x != STS_TLSA_USABLE)
		return x == y;
	if (a->count != b->count || strcmp(a->base, b->base) != 0)     /* the base is a name that the certificate may be for */
		return false;
	for (size_t i = 0; i < a->count; i++)
		if (by_numbers(&a->records[i], &b->records[i]) != 0)
			return false;
	return true;
}
