/* tests/fuzz/httpreq_fuzz.c - core/httpreq.c on anything: fed whole and fed in pieces (the first octet says how large), it must come to the
 * same end at the same octet, and keep its limits. What it takes for a request has lines that end as they must. */
#include "core/httpreq.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define HEAD_MAX 512
#define BODY_MAX 256

struct result {
	struct core_httpreq *r;
	enum core_httpreq_state state;
	size_t used;
};

static void feed(struct result *got, struct sp_str text, size_t piece)
{
	got->r = core_httpreq_new(HEAD_MAX, BODY_MAX);
	got->state = CORE_HTTPREQ_MORE;
	got->used = 0;
	while (text.len > 0 && got->state == CORE_HTTPREQ_MORE) {
		struct sp_str now = sp_str_make(text.p, sp_min(piece, text.len));
		size_t used;
		got->state = core_httpreq_feed(got->r, now, &used);
		sp_assert(used <= now.len && (used == now.len || got->state != CORE_HTTPREQ_MORE));
		got->used += used;
		text = sp_str_from(text, used);
	}
}

/* The body apart, CR and LF come in pairs only, and no NUL. */
static void check_octets(struct sp_str request, size_t body_len)
{
	for (size_t i = 0; body_len == 0 && i < request.len; i++) {
		sp_assert(request.p[i] != '\0');
		sp_assert(request.p[i] != '\n' || (i > 0 && request.p[i - 1] == '\r'));
		sp_assert(request.p[i] != '\r' || (i + 1 < request.len && request.p[i + 1] == '\n'));
	}
	sp_assert(body_len > 0 || sp_str_ends(request, SP_STR("\r\n\r\n")));
}

/* What decides whether a request is answered is the same however it came, and can be no more than one line says. */
static void check_fields(const struct core_httpreq *a, const struct core_httpreq *b)
{
	static const enum core_httpreq_field fields[] = { CORE_HTTPREQ_HOST, CORE_HTTPREQ_ORIGIN, CORE_HTTPREQ_AUTHORIZATION };
	for (size_t i = 0; i < SP_COUNT(fields); i++) {
		struct sp_str value = core_httpreq_field(a, fields[i]);
		sp_assert(sp_str_eq(value, core_httpreq_field(b, fields[i])) && core_httpreq_has(a, fields[i]) == core_httpreq_has(b, fields[i]));
		sp_assert(core_httpreq_has(a, fields[i]) || value.len == 0);
		sp_assert(!sp_str_contains(value, '\r') && !sp_str_contains(value, '\n') && !sp_str_contains(value, '\0'));
	}
}

static void check_request(const struct core_httpreq *r, struct sp_str request)
{
	check_octets(request, core_httpreq_body(r).len);
	sp_assert(core_httpreq_body(r).len <= BODY_MAX);
	sp_assert(sp_str_starts(core_httpreq_path(r), SP_STR("/")));
	sp_assert(!sp_str_contains(core_httpreq_path(r), '?'));
	sp_assert(core_httpreq_method(r)[0] != '\0' && !core_httpreq_expects(r));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	if (len == 0)
		return 0;
	struct sp_str text = sp_str_make((const char *)data + 1, len - 1);
	struct result whole, pieces;
	feed(&whole, text, SIZE_MAX);
	feed(&pieces, text, data[0] % 16 + 1u);
	sp_assert(whole.state == pieces.state && core_httpreq_status(whole.r) == core_httpreq_status(pieces.r));
	sp_assert(whole.state == CORE_HTTPREQ_FAILED || whole.used == pieces.used);
	sp_assert((core_httpreq_status(whole.r) != 0) == (whole.state == CORE_HTTPREQ_FAILED));
	if (whole.state == CORE_HTTPREQ_DONE) {
		sp_assert(sp_str_eq(core_httpreq_body(whole.r), core_httpreq_body(pieces.r)));
		sp_assert(sp_str_eq(core_httpreq_path(whole.r), core_httpreq_path(pieces.r)));
		sp_assert(core_httpreq_keep_alive(whole.r) == core_httpreq_keep_alive(pieces.r));
		check_fields(whole.r, pieces.r);
		check_request(whole.r, sp_str_make(text.p, whole.used));
	}
	core_httpreq_free(whole.r);
	core_httpreq_free(pieces.r);
	return 0;
}
