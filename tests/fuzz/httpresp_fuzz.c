/* tests/fuzz/httpresp_fuzz.c - core/httpresp.c on anything: fed whole and fed in pieces (the first octet says how large), it must
 * come to the same end, and keep its limits. */
#include "core/httpresp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define HEAD_MAX 512
#define BODY_MAX 256

static enum core_httpresp_state feed(struct core_httpresp *r, struct sp_str text, size_t piece)
{
	enum core_httpresp_state state = CORE_HTTPRESP_MORE;
	while (text.len > 0 && state == CORE_HTTPRESP_MORE) {
		struct sp_str now = sp_str_make(text.p, sp_min(piece, text.len));
		state = core_httpresp_feed(r, now);
		text = sp_str_from(text, now.len);
	}
	return state == CORE_HTTPRESP_MORE ? core_httpresp_end(r) : state;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	if (len == 0)
		return 0;
	struct sp_str text = sp_str_make((const char *)data + 1, len - 1);
	struct core_httpresp *whole = core_httpresp_new(HEAD_MAX, BODY_MAX), *pieces = core_httpresp_new(HEAD_MAX, BODY_MAX);
	enum core_httpresp_state state = feed(whole, text, SIZE_MAX);
	sp_assert(state != CORE_HTTPRESP_MORE);
	sp_assert(feed(pieces, text, data[0] % 16 + 1u) == state);
	sp_assert(sp_failed(core_httpresp_fail(whole)) == (state == CORE_HTTPRESP_FAILED));
	sp_assert(core_httpresp_status(whole) == core_httpresp_status(pieces));
	if (state == CORE_HTTPRESP_DONE) {
		sp_assert(sp_str_eq(core_httpresp_body(whole), core_httpresp_body(pieces)));
		sp_assert(core_httpresp_body(whole).len <= BODY_MAX);
		sp_assert(strcmp(core_httpresp_content_type(whole), core_httpresp_content_type(pieces)) == 0);
	}
	core_httpresp_free(whole);
	core_httpresp_free(pieces);
	return 0;
}
