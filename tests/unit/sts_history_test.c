/* tests/unit/sts_history_test.c - sts/change.c and sts/history.c against a real database: what is noted of policies that change, what of it is weaker, what goes; and cache.c's lists. */
#include "sts/history.h"

#include "sts_place.h"

#define NOW INT64_C(1800000000)

/* "enforce 604800 mx1.example *.example.net" */
static struct sts_policy *policy(const char *words)
{
	char mode[16], mx[200] = "";
	unsigned max_age;
	int at = 0;
	if (words == NULL)
		return NULL;
	assert_int_equal(sscanf(words, "%15s %u%n", mode, &max_age, &at), 2);
	struct sp_buf body;
	sp_buf_init(&body, 4096);
	sp_buf_printf(&body, "version: STSv1\nmode: %s\nmax_age: %u\n", mode, max_age);
	for (int n; sscanf(words + at, "%199s%n", mx, &n) == 1; at += n)
		sp_buf_printf(&body, "mx: %s\n", mx);
	struct sts_policy *p = sts_policy_parse(sp_buf_str(&body), NULL, NULL, NULL);
	assert_non_null(p);
	sp_buf_clear(&body);
	return p;
}

/* ---- weaker ---- */

static void test_weaker(void **state SP_UNUSED)
{
	static const struct { const char *label, *from, *to, *why; } rows[] = {
		{ "first seen", NULL, "enforce 604800 mx.a", "" },
		{ "the same", "enforce 604800 mx.a", "enforce 604800 mx.a", "" },
		{ "enforce to testing", "enforce 604800 mx.a", "testing 604800 mx.a", "mode enforce became testing" },
		{ "enforce to none", "enforce 604800 mx.a", "none 86400", "mode enforce became none" },
		{ "enforce is gone", "enforce 604800 mx.a", NULL, "mode enforce is gone" },
		{ "testing protects nothing", "testing 604800 mx.a", "none 86400", "" },
		{ "testing is gone", "testing 604800 mx.a", NULL, "" },
		{ "stronger", "testing 604800 *.a", "enforce 604800 mx.a", "" },
		{ "a wildcard more", "enforce 604800 mx.a", "enforce 604800 mx.a *.b", "mx *.b was added" },
		{ "a wildcard in place of a name", "enforce 604800 mx.a", "enforce 604800 *.a", "mx *.a was added" },
		{ "a name in place of a wildcard", "enforce 604800 *.a", "enforce 604800 mx.a", "" },
		{ "another name", "enforce 604800 mx.a", "enforce 604800 mx.b", "" },
		{ "the same wildcard elsewhere", "enforce 604800 *.a *.b", "enforce 604800 *.b *.a", "" },
		{ "a wildcard in testing", "testing 604800 mx.a", "testing 604800 *.a", "" },
		{ "max_age under half and a week", "enforce 604800 mx.a", "enforce 302399 mx.a", "max_age fell from 604800 to 302399 s" },
		{ "max_age at half", "enforce 604800 mx.a", "enforce 302400 mx.a", "" },
		{ "max_age of a week still", "enforce 31557600 mx.a", "enforce 604800 mx.a", "" },
		{ "max_age under a week, of a year", "enforce 31557600 mx.a", "enforce 604799 mx.a", "max_age fell from 31557600 to 604799 s" },
		{ "max_age 0", "enforce 604800 mx.a", "enforce 0 mx.a", "max_age fell from 604800 to 0 s" },
		{ "both", "enforce 604800 mx.a", "enforce 60 *.a", "mx *.a was added; max_age fell from 604800 to 60 s" },
	};
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		struct sts_policy *from = policy(rows[i].from), *to = policy(rows[i].to);
		struct sp_buf why;
		sp_buf_init(&why, 1024);
		bool weaker = sts_change_weaker(from, to, &why);
		print_message("%s: want '%s', got '%s'\n", rows[i].label, rows[i].why, sp_buf_cstr(&why));
		assert_string_equal(sp_buf_cstr(&why), rows[i].why);
		assert_int_equal(weaker, rows[i].why[0] != '\0');
		assert_int_equal(sts_change_weaker(from, to, NULL), weaker);
		sp_buf_clear(&why);
		sts_policy_unref(from);
		sts_policy_unref(to);
	}
}

/* ---- what is noted ---- */

static struct sts_note keep(struct place *p, const char *domain, const char *words, const char *id, int64_t at_s)
{
	struct sts_entry e;
	struct sts_note note;
	sts_entry_init(&e);
	e.policy = policy(words);
	snprintf(e.id, sizeof(e.id), "%s", id);
	e.fetched_s = at_s;
	e.expires_s = at_s + sts_policy_max_age_s(e.policy);
	assert_int_equal(sts_history_put(p->db, domain, &e, at_s, &note), CORE_DB_OK);
	sts_entry_clear(&e);
	return note;
}

static void fetch_fails(struct place *p, const char *domain, int64_t at_s)
{
	struct sts_entry e;
	struct sts_note note;
	sts_entry_init(&e);
	assert_true(sts_cache_get(p->db, domain, &e) <= CORE_DB_ROW);
	e.failures++;
	e.retry_s = at_s + 300;
	assert_int_equal(sts_history_put(p->db, domain, &e, at_s, &note), CORE_DB_OK);
	assert_false(note.noted);
	sts_entry_clear(&e);
}

static size_t expire(struct place *p, int64_t now_s)
{
	const char *domains[4];
	struct sts_note notes[4];
	size_t count = 99;
	assert_int_equal(sts_history_expire(p->db, now_s, 4, &p->arena, domains, notes, &count), CORE_DB_OK);
	for (size_t i = 0; i < count; i++)
		assert_true(notes[i].noted);
	return count;
}

/* "how from>to!" a change, the oldest first; ! where it is weaker. */
static void expect(struct place *p, const char *label, const char *domain, const char *want)
{
	struct sts_change rows[100];
	size_t count;
	int64_t next;
	struct sp_buf got;
	sp_buf_init(&got, 8192);
	assert_int_equal(sts_history_list(p->db, domain, false, 0, SP_COUNT(rows), &p->arena, rows, &count, &next), CORE_DB_OK);
	assert_int_equal(next, 0);
	for (size_t i = count; i-- > 0;)
		sp_buf_printf(&got, "%s%s %s>%s%s", got.len ? ", " : "", sts_how_str(rows[i].how), rows[i].from.mode, rows[i].to.mode, rows[i].weaker ? "!" : "");
	print_message("%s: want '%s', got '%s'\n", label, want, sp_buf_cstr(&got));
	assert_string_equal(sp_buf_cstr(&got), want);
	sp_buf_clear(&got);
}

static void test_a_life(void **state)
{
	struct place *p = *state;
	const char *d = "d.example";
	fetch_fails(p, d, NOW - 10);
	expect(p, "failures are no policy", d, "");
	keep(p, d, "testing 604800 mx.a", "1", NOW);
	keep(p, d, "testing 604800 mx.a", "1", NOW + 5);
	fetch_fails(p, d, NOW + 6);
	expect(p, "the same again, and a failure, change nothing", d, "first-seen >testing");
	keep(p, d, "testing 604800 mx.a", "2", NOW + 10);
	keep(p, d, "enforce 604800 mx.a", "3", NOW + 20);
	struct sts_note note = keep(p, d, "testing 604800 mx.a", "4", NOW + 30);
	assert_true(note.noted && note.weaker);
	assert_string_equal(note.from, "enforce");
	assert_string_equal(note.to, "testing");
	assert_string_equal(note.why, "mode enforce became testing");
	keep(p, d, "none 86400", "5", NOW + 40);
	expect(p, "removed", d, "first-seen >testing, changed testing>testing, changed testing>enforce, changed enforce>testing!, removed testing>none");
	keep(p, "e.example", "enforce 604800 mx.a", "1", NOW);
	keep(p, "e.example", "none 86400", "1", NOW);
	expect(p, "enforce removed", "e.example", "first-seen >enforce, removed enforce>none!");
}

static void test_expiry_is_noted_once(void **state)
{
	struct place *p = *state;
	const char *d = "d.example";
	keep(p, d, "enforce 604800 mx.a", "1", NOW);
	assert_int_equal(expire(p, NOW + WEEK - 1), 0);
	assert_int_equal(expire(p, NOW + WEEK), 1);
	assert_int_equal(expire(p, NOW + WEEK + 15), 0);
	fetch_fails(p, d, NOW + WEEK + 20);                    /* writes the row again: still expired */
	assert_int_equal(expire(p, NOW + WEEK + 30), 0);
	expect(p, "expired", d, "first-seen >enforce, expired enforce>!");
	keep(p, d, "enforce 604800 mx.a", "1", NOW + WEEK + DAY);
	assert_int_equal(expire(p, NOW + WEEK + DAY), 0);
	assert_int_equal(expire(p, NOW + 2 * WEEK + DAY), 1);
	expect(p, "again", d, "first-seen >enforce, expired enforce>!, seen-again >enforce, expired enforce>!");
}

static void test_expiry_of_what_protects_nothing(void **state)
{
	struct place *p = *state;
	keep(p, "none.example", "none 86400", "1", NOW);
	keep(p, "short.example", "enforce 300 mx.a", "1", NOW);
	keep(p, "testing.example", "testing 86400 mx.a", "1", NOW);
	fetch_fails(p, "never.example", NOW);
	assert_int_equal(expire(p, NOW + DAY), 1);
	assert_int_equal(expire(p, NOW + DAY), 0);
	expect(p, "none", "none.example", "first-seen >none");
	expect(p, "testing", "testing.example", "first-seen >testing, expired testing>");
	keep(p, "short.example", "testing 300 mx.a", "2", NOW + 2 * DAY);
	expect(p, "of minutes: compared with the one before", "short.example", "first-seen >enforce, changed enforce>testing!");
}

/* What expired under a clock that was ahead expires once more when the time has come. */
static void test_a_clock_that_jumped(void **state)
{
	struct place *p = *state;
	keep(p, "d.example", "enforce 604800 mx.a", "1", NOW);
	assert_int_equal(expire(p, NOW + 52 * WEEK), 1);
	assert_int_equal(expire(p, NOW + 15), 0);
	assert_int_equal(expire(p, NOW + WEEK), 1);
}

static void test_more_expire_than_are_asked_for(void **state)
{
	struct place *p = *state;
	char domain[32];
	for (int i = 0; i < 10; i++) {
		snprintf(domain, sizeof(domain), "d%d.example", i);
		keep(p, domain, "enforce 604800 mx.a", "1", NOW);
	}
	assert_int_equal(expire(p, NOW + WEEK), 4);
	assert_int_equal(expire(p, NOW + WEEK), 4);
	assert_int_equal(expire(p, NOW + WEEK), 2);
}

static struct sts_note forget(struct place *p, const char *domain, bool want)
{
	struct sts_note note;
	bool found = !want;
	assert_int_equal(sts_history_forget(p->db, domain, "ticket 7: 'gone'", NOW + 99, &found, &note), CORE_DB_OK);
	assert_int_equal(found, want);
	return note;
}

static void test_forgotten(void **state)
{
	struct place *p = *state;
	keep(p, "d.example", "enforce 604800 mx.a", "1", NOW);
	keep(p, "e.example", "enforce 604800 mx.a", "1", NOW);
	fetch_fails(p, "never.example", NOW);
	assert_true(forget(p, "d.example", true).weaker);
	assert_false(forget(p, "d.example", false).noted);
	assert_false(forget(p, "never.example", true).noted);           /* found, but no policy */
	assert_false(forget(p, "never.example", false).noted);
	struct sts_entry e;
	sts_entry_init(&e);
	assert_int_equal(sts_cache_get(p->db, "d.example", &e), CORE_DB_OK);
	assert_int_equal(sts_cache_get(p->db, "e.example", &e), CORE_DB_ROW);
	sts_entry_clear(&e);
	struct sts_change row;
	size_t count;
	int64_t next;
	assert_int_equal(sts_history_list(p->db, "d.example", true, 0, 1, &p->arena, &row, &count, &next), CORE_DB_OK);
	assert_int_equal(count, 1);
	assert_string_equal(row.reason, "ticket 7: 'gone'");
	assert_string_equal(row.why, "mode enforce is gone");
	assert_string_equal(row.from.mx, "mx.a");
	assert_int_equal(row.at_s, NOW + 99);
	keep(p, "d.example", "testing 604800 mx.a", "1", NOW + 100);
	expect(p, "and seen again", "d.example", "first-seen >enforce, forgotten enforce>!, seen-again >testing");
}

/* ---- bounds ---- */

static void test_each_domain_keeps_its_latest(void **state)
{
	struct place *p = *state;
	keep(p, "other.example", "enforce 604800 mx.a", "1", NOW);
	for (int i = 0; i < STS_HISTORY_EACH + 7; i++) {
		char id[16];
		snprintf(id, sizeof(id), "%d", i);
		keep(p, "d.example", "enforce 604800 mx.a", id, NOW + i);
	}
	struct sts_change rows[STS_HISTORY_EACH + 10];
	size_t count;
	int64_t next;
	assert_int_equal(sts_history_list(p->db, "d.example", false, 0, SP_COUNT(rows), &p->arena, rows, &count, &next), CORE_DB_OK);
	assert_int_equal(count, STS_HISTORY_EACH);
	assert_string_equal(rows[0].to.id, "56");
	assert_string_equal(rows[count - 1].from.id, "6");
	expect(p, "others keep theirs", "other.example", "first-seen >enforce");
}

static void test_the_sweep_keeps_what_is_weaker(void **state)
{
	struct place *p = *state;
	keep(p, "d.example", "enforce 604800 mx.a", "1", NOW);
	keep(p, "d.example", "testing 604800 mx.a", "2", NOW);
	assert_int_equal(core_db_exec(p->db,
		"WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 50003) INSERT INTO sts_history SELECT 2 + i, 'x' || i, 0, 'first-seen', 0,"
		" '', '', '', '', 0, '', 0, 'testing', '', 1, '', 0 FROM c"), CORE_DB_OK);
	assert_int_equal(sts_history_sweep(p->db), CORE_DB_OK);
	expect(p, "the weaker one stays", "d.example", "changed enforce>testing!");
	expect(p, "the oldest go", "x4", "");
	expect(p, "the fifth stays", "x5", "first-seen >testing");
	assert_int_equal(sts_history_sweep(p->db), CORE_DB_OK);
	expect(p, "and goes with no other sweep", "x5", "first-seen >testing");
}

static void test_pages(void **state)
{
	struct place *p = *state;
	for (int i = 0; i < 7; i++)
		keep(p, i % 2 ? "a.example" : "b.example", i % 3 ? "enforce 604800 mx.a" : "testing 604800 mx.a", "1", NOW + i);
	struct sts_change rows[3];
	size_t count, seen = 0;
	int64_t next = 0, last = INT64_MAX;
	do {
		assert_int_equal(sts_history_list(p->db, NULL, false, next, 3, &p->arena, rows, &count, &next), CORE_DB_OK);
		for (size_t i = 0; i < count; i++) {
			assert_true(rows[i].n < last);
			last = rows[i].n;
		}
		seen += count;
	} while (next != 0);
	print_message("%zu changes\n", seen);
	assert_int_equal(seen, 6);
}

/* A list of a thousand patterns is told by those that fit, and by how many there are. */
static void test_a_long_list_is_cut(void **state)
{
	struct place *p = *state;
	struct sts_entry e;
	struct sts_note note;
	struct sp_buf body;
	sp_buf_init(&body, 65536);
	sp_buf_adds(&body, "version: STSv1\nmode: enforce\nmax_age: 604800\n");
	for (int i = 0; i < 100; i++)
		sp_buf_printf(&body, "mx: mx%03d.d.example\n", i);
	sts_entry_init(&e);
	e.policy = sts_policy_parse(sp_buf_str(&body), NULL, NULL, NULL);
	assert_int_equal(sts_history_put(p->db, "d.example", &e, NOW, &note), CORE_DB_OK);
	struct sts_change row;
	size_t count;
	int64_t next;
	assert_int_equal(sts_history_list(p->db, NULL, false, 0, 1, &p->arena, &row, &count, &next), CORE_DB_OK);
	assert_int_equal(row.to.mx_count, 100);
	assert_in_range(strlen(row.to.mx), STS_HISTORY_MX_MAX - 20, STS_HISTORY_MX_MAX);
	assert_string_equal(row.to.mx + strlen(row.to.mx) - strlen(".d.example"), ".d.example");
	sts_entry_clear(&e);
	sp_buf_clear(&body);
}

/* ---- version 1 ---- */

static void load(struct place *p, const char *name)
{
	const char *tests = getenv("TESTS_DIR");
	char path[512];
	snprintf(path, sizeof(path), "%s/unit/spool/%s", tests ? tests : "tests", name);
	FILE *f = fopen(path, "r");
	if (f == NULL)
		fail_msg("cannot read %s", path);
	struct sp_buf sql;
	sp_buf_init(&sql, 1 << 20);
	sp_buf_wrote(&sql, fread(sp_buf_room(&sql, 1 << 19), 1, 1 << 19, f));
	sp_buf_addc(&sql, '\0');
	fclose(f);
	assert_int_equal(core_db_exec(p->db, sql.p), CORE_DB_OK);
	sp_buf_clear(&sql);
}

static void list(struct place *p, const char *label, struct sts_cache_filter f, int64_t now_s, const char *want)
{
	struct sts_cached rows[2];
	const char *after = "";
	size_t count;
	struct sp_buf got;
	sp_buf_init(&got, 1024);
	while (after) {
		assert_int_equal(sts_cache_list(p->db, &f, after, SP_COUNT(rows), now_s, &p->arena, rows, &count, &after), CORE_DB_OK);
		for (size_t i = 0; i < count; i++) {
			sp_buf_printf(&got, "%s%s", got.len ? " " : "", rows[i].domain);
			sts_entry_clear(&rows[i].entry);
		}
	}
	print_message("%s: want '%s', got '%s'\n", label, want, sp_buf_cstr(&got));
	assert_string_equal(sp_buf_cstr(&got), want);
	sp_buf_clear(&got);
}

/* tests/unit/spool/sts-version-1.sql is what the code of that version wrote. */
static void test_from_version_1(void **state)
{
	struct place *p = *state;
	load(p, "sts-version-1.sql");
	assert_int_equal(sts_cache_migrate(p->db, 1), CORE_DB_OK);
	list(p, "all", (struct sts_cache_filter){ 0 }, NOW, "enforce.example never.example none.example over.example testing.example");
	list(p, "enforce", (struct sts_cache_filter){ .by_mode = true, .mode = STS_MODE_ENFORCE }, NOW, "enforce.example over.example");
	list(p, "none", (struct sts_cache_filter){ .by_mode = true, .mode = STS_MODE_NONE }, NOW, "none.example");
	list(p, "failing", (struct sts_cache_filter){ .failing = true }, NOW, "never.example over.example testing.example");
	list(p, "expiring within a week", (struct sts_cache_filter){ .expires_by_s = NOW + WEEK }, NOW, "none.example testing.example");
	list(p, "failing and testing", (struct sts_cache_filter){ .by_mode = true, .mode = STS_MODE_TESTING, .failing = true }, NOW, "testing.example");
	struct sts_cache_counts g;
	assert_int_equal(sts_cache_count(p->db, NOW, &g), CORE_DB_OK);
	assert_int_equal(g.valid[STS_MODE_ENFORCE], 1);
	assert_int_equal(g.valid[STS_MODE_TESTING], 1);
	assert_int_equal(g.valid[STS_MODE_NONE], 1);
	assert_int_equal(g.failing, 1);
	assert_int_equal(g.lapsing, 0);
	assert_int_equal(g.unfetched, 1);
	assert_int_equal(g.expired[STS_MODE_ENFORCE], 1);
	assert_int_equal(g.lapses_s, NOW + WEEK);
	assert_int_equal(sts_cache_count(p->db, NOW + 5 * DAY, &g), CORE_DB_OK);
	assert_int_equal(g.lapsing, 1);
	assert_int_equal(expire(p, NOW), 1);                    /* over.example, which expired under version 1 */
	keep(p, "enforce.example", "testing 604800 mx.a", "1", NOW);
	expect(p, "compared with what version 1 cached", "enforce.example", "changed enforce>testing!");
}

static void test_a_damaged_row_is_passed_over(void **state)
{
	struct place *p = *state;
	keep(p, "a.example", "enforce 604800 mx.a", "1", NOW);
	keep(p, "b.example", "enforce 604800 mx.a", "1", NOW);
	keep(p, "c.example", "enforce 604800 mx.a", "1", NOW);
	assert_int_equal(core_db_exec(p->db, "UPDATE sts_policy SET policy = 'x' WHERE domain = 'b.example'"), CORE_DB_OK);
	list(p, "without it", (struct sts_cache_filter){ 0 }, NOW, "a.example c.example");
	keep(p, "b.example", "enforce 604800 mx.a", "1", NOW);
	list(p, "mended", (struct sts_cache_filter){ 0 }, NOW, "a.example b.example c.example");
}

#define ON_DB(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_weaker), ON_DB(test_a_life), ON_DB(test_expiry_is_noted_once), ON_DB(test_expiry_of_what_protects_nothing),
		ON_DB(test_a_clock_that_jumped), ON_DB(test_more_expire_than_are_asked_for), ON_DB(test_forgotten), ON_DB(test_each_domain_keeps_its_latest),
		ON_DB(test_the_sweep_keeps_what_is_weaker), ON_DB(test_pages), ON_DB(test_a_long_list_is_cut), ON_DB(test_a_damaged_row_is_passed_over),
		cmocka_unit_test_setup_teardown(test_from_version_1, set_up_empty, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
