/* tests/fuzz/base64_fuzz.c - what a received report is wrapped in: sp_base64_decode() and core_gunzip() on anything, and both ways. */
#include "core/base64.h"
#include "core/gzip.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define OUT_MAX (1 << 18)

static void check_decode(struct sp_str text)
{
	struct sp_buf octets, again, back;
	sp_buf_init(&octets, text.len);
	sp_buf_init(&again, 2 * text.len + 4);
	sp_buf_init(&back, text.len);
	bool ok = sp_base64_decode(text, &octets);
	sp_assert(ok || octets.len == 0);
	if (ok) {                       /* exactly one text stands for these octets, but for blanks */
		sp_base64_add(&again, sp_buf_str(&octets), 76);
		bool same = sp_base64_decode(sp_buf_str(&again), &back);
		sp_assert(same && sp_str_eq(sp_buf_str(&octets), sp_buf_str(&back)));
	}
	sp_buf_clear(&octets);
	sp_buf_clear(&again);
	sp_buf_clear(&back);
}

static void check_gunzip(struct sp_str data)
{
	struct sp_buf out;
	sp_buf_init(&out, OUT_MAX);
	const char *why = NULL;
	bool ok = core_gunzip(data, &out, &why);
	sp_assert(ok ? why == NULL : why && *why && out.len == 0);
	sp_assert(out.cap <= OUT_MAX + 1);
	sp_buf_clear(&out);
}

static void check_both_ways(struct sp_str data)
{
	struct sp_buf packed, out;
	sp_buf_init(&packed, 2 * data.len + 1024);
	sp_buf_init(&out, data.len);
	struct core_gzip *g = core_gzip_new(&packed);
	core_gzip_add(g, data);
	core_gzip_finish(g);
	const char *why = NULL;
	bool ok = core_gunzip(sp_buf_str(&packed), &out, &why);
	sp_assert(ok && sp_str_eq(sp_buf_str(&out), data));
	sp_buf_clear(&packed);
	sp_buf_clear(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct sp_str in = sp_str_make((const char *)data, len);
	check_decode(in);
	check_gunzip(in);
	check_both_ways(in);
	return 0;
}
