/* tests/unit/relay_users_test.c - relay/users.c: the users file, its faults with their line, and who may send as whom. */
#include "relay/users.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define HASH "$y$j9T$abcdefgh$9WNEpu8Mx2S4KNGvbVWKM6clOSoY6.YEl7AYF4DGV04"
#define OTHER "$5$abc$sCOGUciM.GdmYMCUvmUcgu03oRH87O0clF96.9mwWGB"

static struct users *parse(const char *text)
{
	struct sp_fail why;
	struct users *u = users_parse(sp_str_of(text), "users", &why);
	if (u == NULL)
		fail_msg("%s", why.text);
	return u;
}

static void add(void *arg, const char *name, const char *senders)
{
	sp_buf_printf(arg, "%s=%s ", name, senders);
}

static void test_lines(void **state)
{
	(void)state;
	struct users *u = parse("# who may send\n\nzoe:" HASH ":*\r\n  \nApp:" OTHER ":app@example.com, @Example.NET\nwithout-end:" HASH ":<>");
	struct sp_buf list;
	sp_buf_init(&list, 1000);
	users_each(u, add, &list);
	assert_string_equal(sp_buf_cstr(&list), "App=app@example.com, @Example.NET without-end=<> zoe=* ");
	sp_buf_clear(&list);
	assert_string_equal(user_hash(users_find(u, "App")), OTHER);
	assert_string_equal(user_hash(users_find(u, "without-end")), HASH);
	assert_null(users_find(u, "app"));
	assert_null(users_find(u, ""));
	assert_null(users_find(u, "# who may send"));
	users_unref(users_ref(u));
	assert_non_null(users_find(u, "zoe"));
	users_unref(u);
	users_unref(NULL);
	u = parse("");
	assert_null(users_find(u, "zoe"));
	users_unref(u);
}

static void test_faults_are_told_with_their_line(void **state)
{
	(void)state;
	static const struct { const char *label, *text, *says; } rows[] = {
		{ "no senders field", "a:" HASH "\n", "users:1: a line has three fields" },
		{ "one field", "#\n\na\n", "users:3: a line has three fields" },
		{ "no senders", "a:" HASH ":\n", "users:1: say who" },
		{ "twice", "a:" HASH ":*\nb:" HASH ":*\na:" OTHER ":*\n", "users:3: the user a is there twice" },
		{ "no name", ":" HASH ":*\n", "users:1: the name is empty" },
		{ "blank before the name", " a:" HASH ":*\n", "users:1: a name is made" },
		{ "a name that is not ASCII", "j\xc3\xbcrgen:" HASH ":*\n", "users:1: a name is made" },
		{ "a fourth field", "a:" HASH ":*:x\n", "users:1: senders hold neither" },
		{ "a password in clear", "a:secret!:*\n", "users:1: it is no password hash of crypt(3) of user a; strictpost user passwd a" },
		{ "MD5", "a:$1$abc$OGyl6dDvZCDiGmIVbeuCq/:*\n", "too weak" },
		{ "half a hash", "a:$6$abc$:*\n", "not whole" },
		{ "a sender without @", "a:" HASH ":example.com\n", "users:1: a sender is an address" },
		{ "an empty item", "a:" HASH ":a@example.com,,b@example.com\n", "users:1: a sender is an address" },
		{ "no domain", "a:" HASH ":a@\n", "users:1: " },
		{ "a domain that is none", "a:" HASH ":@exa mple.com\n", "users:1: " },
	};
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		struct sp_fail why = SP_FAIL_OK;
		struct users *u = users_parse(sp_str_of(rows[i].text), "users", &why);
		if (u || strstr(why.text, rows[i].says) == NULL)
			fail_msg("%s: %s", rows[i].label, u ? "taken" : why.text);
	}
	struct sp_fail why = SP_FAIL_OK;
	assert_null(users_parse(sp_str_make("a:\0$y$:*", 8), "users", &why));
	assert_non_null(strstr(why.text, "NUL"));
	assert_null(users_parse(sp_str_make("a\0b:" HASH ":*", sizeof("a\0b:" HASH ":*") - 1), "users", &why));
	char name[USERS_NAME_MAX + 2] = { 0 };
	memset(name, 'n', USERS_NAME_MAX);
	assert_null(users_name_fault(sp_str_of(name)));
	name[USERS_NAME_MAX] = 'n';
	assert_non_null(users_name_fault(sp_str_of(name)));
}

static void test_who_may_send_as_whom(void **state)
{
	(void)state;
	static const struct { const char *label, *senders, *sender; bool may; } rows[] = {
		{ "any", "*", "who@ever.example", true },
		{ "any, a null path", "*", "", true },
		{ "an address", "app@example.com", "app@example.com", true },
		{ "domains have no case", "app@example.com", "app@EXAMPLE.com", true },
		{ "nor in the file", "app@Example.COM", "app@example.com", true },
		{ "local parts have", "app@example.com", "App@example.com", false },
		{ "another address", "app@example.com", "bob@example.com", false },
		{ "its end is not enough", "app@example.com", "myapp@example.com", false },
		{ "a domain", "@example.com", "bob@example.com", true },
		{ "not its subdomain", "@example.com", "bob@sub.example.com", false },
		{ "nor a longer name", "@example.com", "bob@notexample.com", false },
		{ "a domain within the local part", "@example.com", "\"x@example.com\"@evil.example", false },
		{ "the null path for everybody: RFC 5321 4.5.5", "app@example.com", "", true },
		{ "bounces alone", "<>", "app@example.com", false },
		{ "bounces alone, a bounce", "<>", "", true },
		{ "the second of a list", "a@example.com, @example.net", "x@example.net", true },
		{ "none of a list", "a@example.com,@example.net", "x@example.org", false },
		{ "U-labels in the file", "@b\xc3\xbc" "cher.example", "a@xn--bcher-kva.example", true },
		{ "a local part in UTF-8", "j\xc3\xbcrgen@example.com", "j\xc3\xbcrgen@example.com", true },
		{ "a sender without a domain", "@example.com", "postmaster", false },
	};
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		char text[500];
		snprintf(text, sizeof(text), "u:" HASH ":%s\n", rows[i].senders);
		struct users *u = parse(text);
		if (user_may_send(users_find(u, "u"), rows[i].sender) != rows[i].may)
			fail_msg("%s: '%s' as '%s'", rows[i].label, rows[i].senders, rows[i].sender);
		users_unref(u);
	}
}

static void test_a_decoy_is_one_of_the_hashes_and_stays(void **state)
{
	(void)state;
	struct users *u = parse("a:" HASH ":*\nb:" OTHER ":*\n");
	bool had[2] = { false, false };
	for (int i = 0; i < 100; i++) {
		char name[20];
		snprintf(name, sizeof(name), "n%d", i);
		const char *decoy = users_decoy(u, name);
		had[strcmp(decoy, OTHER) == 0] = true;
		assert_ptr_equal(decoy, users_decoy(u, name));
		assert_true(strcmp(decoy, OTHER) == 0 || strcmp(decoy, HASH) == 0);
	}
	assert_true(had[0] && had[1]);
	users_unref(u);
	u = parse("");
	assert_non_null(users_decoy(u, "a"));
	assert_non_null(users_decoy(NULL, "a"));
	users_unref(u);
}

static void test_many(void **state)
{
	(void)state;
	struct sp_buf text;
	sp_buf_init(&text, USERS_FILE_MAX);
	for (int i = 0; i < 1000; i++)
		sp_buf_printf(&text, "user%d:" HASH ":*\n", i);
	struct users *u = parse(sp_buf_cstr(&text));
	for (int i = 0; i < 1000; i++) {
		char name[20];
		snprintf(name, sizeof(name), "user%d", i);
		assert_non_null(users_find(u, name));
	}
	users_unref(u);
	sp_buf_clear(&text);
}

static void test_a_file_that_everybody_may_read_is_refused(void **state)
{
	(void)state;
	char path[] = "/tmp/relay_users_test.XXXXXX";
	struct sp_fail why = SP_FAIL_OK;
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "a:" HASH ":*\n", sizeof("a:" HASH ":*\n") - 1), sizeof("a:" HASH ":*\n") - 1);
	static const struct { unsigned mode; bool ok; } rows[] = { { 0600, true }, { 0640, true }, { 0644, false }, { 0602, false }, { 0601, false } };
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		assert_int_equal(fchmod(fd, rows[i].mode), 0);
		struct users *u = users_load(path, &why);
		if ((u != NULL) != rows[i].ok || (u == NULL && strstr(why.text, "chmod o= /tmp/relay_users_test.") == NULL))
			fail_msg("%04o: %s", rows[i].mode, u ? "taken" : why.text);
		users_unref(u);
	}
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(fchmod(fd, 0600), 0);
	assert_int_equal(pwrite(fd, "a\n", 2, 0), 2);
	assert_null(users_load(path, &why));
	assert_non_null(strstr(why.text, path));
	close(fd);
	unlink(path);
	assert_null(users_load(path, &why));
	assert_non_null(strstr(why.text, "strictpost user add makes one"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_faults_are_told_with_their_line),
		cmocka_unit_test(test_who_may_send_as_whom),
		cmocka_unit_test(test_a_decoy_is_one_of_the_hashes_and_stays),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_a_file_that_everybody_may_read_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
