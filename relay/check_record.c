/* relay/check_record.c - see check_impl.h: what the DNS said at `_mta-sts` and `_smtp._tls`, every record as it is, and how the policy was fetched. */
#include "relay/check_impl.h"

#include "core/tagged.h"
#include "rpt/record.h"

static bool is_answer(const struct core_dns_answer *a)
{
	return a->status == CORE_DNS_OK || core_dns_status_lasting(a->status);
}

/* All of them, and whether each counts: those that do not begin with the version are dropped first (RFC 8461 3.1, RFC 8460 3). */
static json_t *tell_records(const struct core_dns_answer *a, struct sp_str version)
{
	json_t *list = json_array();
	for (size_t i = 0; i < a->count; i++) {
		struct sp_str found;
		bool used = sp_tagged_find(&a->records[i].txt, 1, version, &found) == 1;
		json_array_append_new(list, json_pack("{s:o, s:b}", "text", plan_tell_text(a->records[i].txt), "used", used));
	}
	return list;
}

static struct sp_str *list_texts(const struct core_dns_answer *a, struct sp_arena *arena)
{
	struct sp_str *texts = sp_arena_alloc(arena, (a->count + 1) * sizeof(*texts));
	for (size_t i = 0; i < a->count; i++)
		texts[i] = a->records[i].txt;
	return texts;
}

/* "ok", "none", "several", "invalid"; "resembles": none, and one that was surely meant to be. */
static const char *word_of(const struct sp_str *texts, size_t count, struct sp_str version, enum sts_record_status status)
{
	static const char *const words[] = { [STS_RECORD_OK] = "ok", [STS_RECORD_NONE] = "none", [STS_RECORD_SEVERAL] = "several", [STS_RECORD_INVALID] = "invalid" };
	enum sp_tagged_slip slip = sp_tagged_slip(texts, count, version);
	return status == STS_RECORD_NONE && (slip == SP_TAGGED_CUT || slip == SP_TAGGED_RESEMBLES) ? "resembles" : words[status];
}

void check_take_record(struct check *c, const char *domain, const struct core_dns_answer *a)
{
	if (c->over || c->making == NULL || c->policy_domain == NULL || strcmp(domain, c->policy_domain) != 0)
		return;
	struct sp_arena arena = SP_ARENA_EMPTY;
	char id[STS_ID_MAX + 1] = "";
	const char *why = NULL;
	const struct sp_str *texts = list_texts(a, &arena);
	enum sts_record_status status = sts_record_parse(texts, a->count, id, &why);
	bool ok = is_answer(a) && status == STS_RECORD_OK;
	json_decref(c->mta_sts);
	c->mta_sts = json_pack("{s:o, s:s, s:o, s:s, s:s?, s:s?, s:n}", "name", json_sprintf("_mta-sts.%s", domain), "answer", core_dns_status_str(a->status),
	                       "records", tell_records(a, SP_STR("v=STSv1")), "found", is_answer(a) ? word_of(texts, a->count, SP_STR("v=STSv1"), status) : "unknown", "id", ok ? id : NULL,
	                       "why", ok || !is_answer(a) ? NULL : why, "fetch");
	sp_arena_clear(&arena);
}

/* --- the fetch --- */

static void on_warning(void *arg, const char *text)
{
	json_array_append_new(arg, plan_tell_text(sp_str_of(text)));
}

/* As `strictpost policy lint` warns. */
static json_t *list_warnings(const struct core_http_response *r)
{
	json_t *list = json_array();
	if (!sp_failed(&r->fail) && r->status == 200 && r->body.len <= STS_POLICY_SIZE_MAX)
		sts_policy_unref(sts_policy_parse(r->body, on_warning, list, NULL));
	return list;
}

void check_take_fetch(struct check *c, const char *domain, const struct core_http_response *r, uint64_t took_ms)
{
	char text[SP_ADDR_TEXT];
	if (c->over || c->mta_sts == NULL || c->making == NULL || strcmp(domain, c->policy_domain) != 0)
		return;
	const char *address = sp_addr_family(&r->remote) == AF_UNSPEC ? NULL : sp_addr_ip_str(&r->remote, text);
	json_object_set_new(c->mta_sts, "fetch",
	                    json_pack("{s:o, s:i, s:o, s:s?, s:I, s:I, s:o, s:o}", "host", json_sprintf("mta-sts.%s", domain), "status", r->status,
	                              "content_type", plan_tell_text(sp_str_of(r->content_type)), "address", address, "took_ms", (json_int_t)took_ms,
	                              "octets", (json_int_t)r->body.len, "warnings", list_warnings(r), "failure", plan_tell_fail(&r->fail)));
}

/* --- TLS-RPT --- */

json_t *check_tell_tls_rpt(const char *domain, const struct core_dns_answer *a)
{
	static const enum sts_record_status like[] = { [RPT_RECORD_OK] = STS_RECORD_OK, [RPT_RECORD_NONE] = STS_RECORD_NONE,
	                                               [RPT_RECORD_SEVERAL] = STS_RECORD_SEVERAL, [RPT_RECORD_INVALID] = STS_RECORD_INVALID };
	struct sp_arena arena = SP_ARENA_EMPTY;
	struct rpt_record record = { .count = 0 };
	const char *why = NULL;
	const struct sp_str *texts = list_texts(a, &arena);
	json_t *rua = json_array(), *skipped = json_array();
	enum rpt_record_status status = rpt_record_parse(texts, a->count, &arena, &record, &why);
	for (size_t i = 0; i < record.count; i++)
		json_array_append_new(rua, plan_tell_text(sp_str_of(record.rua[i].uri)));
	for (size_t i = 0; i < record.skipped_count; i++)
		json_array_append_new(skipped, plan_tell_text(sp_str_of(record.skipped[i])));
	const char *found = is_answer(a) ? word_of(texts, a->count, SP_STR("v=TLSRPTv1"), like[status]) : "unknown";
	json_t *told = json_pack("{s:o, s:s, s:o, s:s, s:o, s:o, s:o}", "name", json_sprintf("_smtp._tls.%s", domain), "answer", core_dns_status_str(a->status),
	                         "records", tell_records(a, SP_STR("v=TLSRPTv1")), "found", found, "rua", rua, "skipped", skipped,
	                         "why", status == RPT_RECORD_OK || !is_answer(a) ? json_null() : plan_tell_text(sp_str_of(why)));
	sp_arena_clear(&arena);
	return told;
}
