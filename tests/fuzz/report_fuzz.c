/* tests/fuzz/report_fuzz.c - a file that somebody says is a report: found, read, printed, checked. What was understood reads the same again, no line
 * is wider than the page, and no control character comes through. */
#include "rpt/lint.h"
#include "rpt/read.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define PAGE_MAX (16u * 1024 * 1024)

static void check_text(struct sp_str s)
{
	for (size_t i = 0; i < s.len; i++)
		sp_assert((unsigned char)s.p[i] >= ' ' && s.p[i] != 0x7f);
}

static void on_finding(void *arg, bool error, const char *where, const char *section, const char *text)
{
	sp_assert(*section && *text);
	check_text(sp_str_of(where));
	check_text(sp_str_of(text));
	*(unsigned *)arg += error;
}

static size_t width(struct sp_str s)
{
	size_t n = 0;
	for (size_t i = 0; i < s.len; i++)
		n += ((unsigned char)s.p[i] & 0xc0) != 0x80;
	return n;
}

static void check_page(const struct rpt_read_report *r, unsigned columns)
{
	struct sp_buf page;
	sp_buf_init(&page, PAGE_MAX);
	rpt_read_print(r, columns, false, &page);
	struct sp_str rest = sp_buf_str(&page), line;
	while (!sp_buf_failed(&page) && sp_take_line(&rest, &line)) {
		check_text(line);
		sp_assert(width(line) <= columns || sp_str_starts(line, SP_STR("TLS report of ")) || sp_str_starts(line, SP_STR("Policy of ")) ||
		          sp_str_starts(line, SP_STR("  sessions ")) || sp_str_starts(line, SP_STR("  ... and ")));
	}
	sp_buf_clear(&page);
}

static void check_again(const struct rpt_read_report *r, struct sp_arena *arena)
{
	struct rpt_read_report again;
	struct sp_buf why;
	sp_buf_init(&why, 4096);
	json_t *v = rpt_read_json(r);
	sp_assert(v != NULL);
	if (rpt_read(v, arena, &again, &why)) {
		json_t *w = rpt_read_json(&again);
		sp_assert(json_equal(v, w));
		json_decref(w);
	}
	json_decref(v);
	sp_buf_clear(&why);
}

static void on_document(void *arg, const json_t *document, const struct rpt_carrier *carrier)
{
	struct sp_arena arena = SP_ARENA_EMPTY;
	struct rpt_read_report report;
	struct sp_buf why;
	unsigned errors = 0;
	sp_assert(rpt_lint(document, carrier, on_finding, &errors) == errors);
	sp_buf_init(&why, 4096);
	if (rpt_read(document, &arena, &report, &why)) {
		check_page(&report, 60);
		check_page(&report, 120);
		check_again(&report, &arena);
	} else
		sp_assert(why.len > 0);
	sp_buf_clear(&why);
	sp_arena_clear(&arena);
	(*(unsigned *)arg)++;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct sp_buf why;
	unsigned seen = 0;
	sp_buf_init(&why, 8192);
	unsigned count = rpt_unwrap_each(sp_str_make((const char *)data, len), on_document, &seen, &why);
	sp_assert(count == seen && (count > 0 || why.len > 0));
	check_text(sp_buf_str(&why));
	sp_buf_clear(&why);
	return 0;
}
