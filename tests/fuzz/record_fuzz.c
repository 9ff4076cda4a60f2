/* tests/fuzz/record_fuzz.c - rpt_record_parse() on a set of anything: the input is records, a line each. */
#include "rpt/record.h"

#include "core/buf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define RECORDS_MAX 16

/* Nothing that ends a line, a command or a field, whoever wrote the record. */
static void check_harmless(const char *s, bool blanks)
{
	for (; *s; s++)
		sp_assert(sp_is_print(*s) && (blanks || *s != ' '));
}

static void check_endpoint(const struct rpt_rua *rua)
{
	check_harmless(rua->uri, false);
	if (rua->kind == RPT_RUA_HTTPS) {
		sp_assert(rua->path[0] == '/' && rua->port > 0 && rua->host[0] != '\0');
		check_harmless(rua->path, false);
		for (const char *c = rua->host; *c; c++)
			sp_assert((sp_is_alnum(*c) && *c == sp_lower(*c)) || *c == '-' || *c == '.' || *c == '_');
		return;
	}
	check_harmless(rua->address, true);
	sp_assert(strchr(rua->address, '@') != NULL && strlen(rua->address) <= 64 + 1 + 253);
}

/* RFC 8460 3: what a record escapes. */
static void add_escaped(struct sp_buf *b, const char *uri)
{
	for (; *uri; uri++) {
		if (strchr(",!;", *uri) != NULL)
			sp_buf_printf(b, "%%%02X", (unsigned)*uri);
		else
			sp_buf_addc(b, *uri);
	}
}

/* Printed as a record, it is the same record. */
static void check_again(const struct rpt_record *r, struct sp_arena *arena)
{
	struct sp_buf b;
	sp_buf_init(&b, 1 << 20);
	sp_buf_adds(&b, "v=TLSRPTv1; rua=");
	for (size_t i = 0; i < r->count; i++) {
		const struct rpt_rua *rua = &r->rua[i];
		sp_buf_adds(&b, i > 0 ? ", " : "");
		add_escaped(&b, rua->uri);
	}
	struct sp_str txt = sp_buf_str(&b);
	struct rpt_record again;
	const char *why = NULL;
	enum rpt_record_status status = rpt_record_parse(&txt, 1, arena, &again, &why);
	sp_assert(status == RPT_RECORD_OK && again.count == r->count);
	for (size_t i = 0; i < r->count; i++) {
		const struct rpt_rua *a = &r->rua[i], *c = &again.rua[i];
		sp_assert(a->kind == c->kind && strcmp(a->uri, c->uri) == 0);
		if (a->kind == RPT_RUA_HTTPS)
			sp_assert(strcmp(a->host, c->host) == 0 && a->port == c->port && strcmp(a->path, c->path) == 0);
		else
			sp_assert(strcmp(a->address, c->address) == 0);
	}
	sp_buf_clear(&b);
}

/* What does not begin as one changes nothing. */
static void check_company(const struct sp_str *txts, size_t count, enum rpt_record_status want, size_t endpoints, struct sp_arena *arena)
{
	struct sp_str more[RECORDS_MAX + 2];
	more[0] = SP_STR("v=spf1 include:example.com -all");
	memcpy(more + 1, txts, count * sizeof(*txts));
	more[count + 1] = SP_STR("v=TLSRPTv10; rua=mailto:a@b.example");
	struct rpt_record r;
	const char *why = NULL;
	enum rpt_record_status status = rpt_record_parse(more, count + 2, arena, &r, &why);
	sp_assert(status == want && r.count == endpoints);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct sp_str rest = sp_str_make((const char *)data, len);
	struct sp_str txts[RECORDS_MAX] = { { NULL, 0 } };
	size_t count = 0;
	while (rest.len > 0 && count < RECORDS_MAX)
		txts[count++] = sp_take_until(&rest, '\n');
	struct sp_arena arena = SP_ARENA_EMPTY;
	struct rpt_record r;
	const char *why = NULL;
	enum rpt_record_status status = rpt_record_parse(txts, count, &arena, &r, &why);
	sp_assert(r.count <= RPT_RUA_MAX && r.skipped_count <= RPT_RUA_MAX);
	sp_assert(status == RPT_RECORD_OK ? r.count > 0 : r.count == 0 && why && *why);
	for (size_t i = 0; i < r.count; i++)
		check_endpoint(&r.rua[i]);
	for (size_t i = 0; i < r.skipped_count; i++)
		check_harmless(r.skipped[i], true);
	if (status == RPT_RECORD_OK)
		check_again(&r, &arena);
	check_company(txts, count, status, r.count, &arena);
	sp_arena_clear(&arena);
	return 0;
}
