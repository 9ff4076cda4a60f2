/* tests/unit/relay_config_admin_test.c - relay/config_admin.c: who may listen where, and what is a token. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "relay/config.h"

#define SECRET "0123456789abcdef"

static char folder[] = "/tmp/config_admin_XXXXXX";

static void put(const char *name, const char *text, mode_t mode)
{
	char path[64];
	snprintf(path, sizeof(path), "%s/%s", folder, name);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	assert_int_equal(chmod(path, mode), 0);
}

/* "$" in `admin` is the folder. */
static struct config *parse(const char *admin, struct sp_buf *problems)
{
	struct sp_buf text;
	sp_buf_init(&text, 4096);
	sp_buf_adds(&text, "hostname: a.example\nadmin: ");
	for (; *admin; admin++)
		*admin == '$' ? sp_buf_adds(&text, folder) : sp_buf_addc(&text, *admin);
	sp_buf_addc(&text, '\n');
	struct config *c = config_parse(sp_buf_str(&text), "t.yaml", problems);
	sp_buf_clear(&text);
	return c;
}

static const struct { const char *label, *admin, *want; } rows[] = {          /* want: a part of the problem; NULL: sound */
	{ "none", "{}", NULL },
	{ "loopback without a token", "{http: '127.0.0.1:8025'}", NULL },
	{ "loopback, IPv6", "{http: '[::1]:8025'}", NULL },
	{ "everywhere without a token", "{http: '0.0.0.0:8025'}", "t.yaml:2: admin.http: 0.0.0.0:8025 is not a loopback address" },
	{ "everywhere without a token, IPv6", "{http: '[::]:8025'}", "is not a loopback address" },
	{ "mapped, and not loopback", "{http: '[::ffff:10.0.0.1]:8025'}", "is not a loopback address" },
	{ "everywhere with a token", "{http: '0.0.0.0:8025', token_file: $/good}", NULL },
	{ "a token for nobody yet", "{token_file: $/good}", NULL },
	{ "a name", "{http: 'localhost:8025'}", "t.yaml:2: admin.http: 'localhost:8025' is not address:port" },
	{ "no port", "{http: '127.0.0.1'}", "is not address:port" },
	{ "port of nothing", "{http: '127.0.0.1:0'}", "is not address:port" },
	{ "a unix socket", "{http: 'unix:/run/x'}", "is not address:port" },
	{ "IPv6 without brackets", "{http: '::1:8025'}", "is not address:port" },
	{ "no such file", "{token_file: $/none}", "t.yaml:2: admin.token_file: cannot read " },
	{ "not absolute", "{token_file: good}", "admin.token_file: 'good' is not an absolute path" },
	{ "a short token", "{token_file: $/short}", "no token: under 16 characters; make one: openssl rand -hex 32" },
	{ "an empty file", "{token_file: $/empty}", "no token: under 16 characters" },
	{ "a token that no field can carry", "{token_file: $/blank}", "others than letters" },
	{ "a token of padding alone", "{token_file: $/padding}", "others than letters" },
	{ "a long token", "{token_file: $/long}", "over 512 characters" },
	{ "a missing token is told once", "{http: '0.0.0.0:8025', token_file: $/none}", "cannot read " },
};

static void test_rows(void **state SP_UNUSED)
{
	struct sp_buf problems;
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		sp_buf_init(&problems, 4096);
		struct config *c = parse(rows[i].admin, &problems);
		const char *got = sp_buf_cstr(&problems), *end = strchr(got, '\n');
		if ((c != NULL) != (rows[i].want == NULL) || (rows[i].want && !strstr(got, rows[i].want)) || (end && end[1]))
			fail_msg("%s: want %s, got %s", rows[i].label, rows[i].want ? rows[i].want : "nothing", got);
		config_unref(c);
		sp_buf_clear(&problems);
	}
}

static void test_token_is_the_first_line(void **state SP_UNUSED)
{
	struct sp_buf text;
	sp_buf_init(&text, 65536);
	struct config *c = parse("{http: '[::1]:8025', token_file: $/good}", &text);
	assert_non_null(c);
	assert_string_equal(c->admin.token, SECRET "-._~+/==");
	assert_int_equal(sp_addr_port(&c->admin.http_address), 8025);
	config_print(c, &text);
	assert_null(strstr(sp_buf_cstr(&text), SECRET));
	assert_non_null(strstr(sp_buf_cstr(&text), "  http: \"[::1]:8025\"\n"));
	assert_false(config_files_changed(c));
	put("good", SECRET "another\n", 0600);
	assert_true(config_files_changed(c));
	put("good", SECRET "-._~+/==\r\nmore\n", 0600);
	config_unref(c);
	sp_buf_clear(&text);
}

static void test_warnings(void **state SP_UNUSED)
{
	struct sp_buf text;
	sp_buf_init(&text, 65536);
	struct config *c = parse("{http: '0.0.0.0:8025', token_file: $/open}", &text);
	assert_non_null(c);
	config_warnings(c, 0, &text);
	assert_non_null(strstr(sp_buf_cstr(&text), "/open has mode 0644"));
	assert_non_null(strstr(sp_buf_cstr(&text), "the token goes over it in clear"));
	config_unref(c);
	sp_buf_reset(&text);
	c = parse("{http: '127.0.0.1:8025', token_file: $/good}", &text);
	assert_non_null(c);
	config_warnings(c, 0, &text);
	assert_null(strstr(sp_buf_cstr(&text), "admin:"));
	config_unref(c);
	sp_buf_clear(&text);
}

static int setup(void **state SP_UNUSED)
{
	char text[600];
	assert_non_null(mkdtemp(folder));
	memset(text, 'x', 513);
	memcpy(text + 513, "\n", 2);
	put("good", SECRET "-._~+/==\r\nmore\n", 0600);
	put("short", "0123456789abcde\n", 0600);
	put("empty", "", 0600);
	put("blank", "0123456789 abcdef\n", 0600);
	put("padding", "====================\n", 0600);
	put("long", text, 0600);
	put("open", SECRET "\n", 0644);
	return 0;
}

static int teardown(void **state SP_UNUSED)
{
	static const char *const names[] = { "good", "short", "empty", "blank", "padding", "long", "open" };
	char path[64];
	for (size_t i = 0; i < SP_COUNT(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
		unlink(path);
	}
	return rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_token_is_the_first_line),
		cmocka_unit_test(test_warnings),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
