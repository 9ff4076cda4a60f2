/* tests/unit/relay_config_routes_test.c - relay/config_routes.c and relay/config_sources.c: accounts and passwords, TLS by port, what does not go together,
 * what is printed (never a password), and what is warned of. */
#include "relay/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define TEXT_MAX (1 << 20)
#define HOST "hostname: relay.example.com\n"
#define SECRET "sesam open"

static char folder[] = "/tmp/config_routes_XXXXXX";

static void put(const char *name, const char *text, size_t len, mode_t mode)
{
	char path[256];
	snprintf(path, sizeof(path), "%s/%s", folder, name);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, len, f), len);
	fclose(f);
	chmod(path, mode);
}

static const char *const names[] = { "plain", "crlf", "bare", "empty", "blank", "nul", "long", "open", "other" };

static int make_files(void **state)
{
	(void)state;
	char longer[600];
	memset(longer, 'x', sizeof(longer));
	assert_non_null(mkdtemp(folder));
	put("plain", SECRET "\nmore\n", strlen(SECRET "\nmore\n"), 0600);
	put("crlf", SECRET "\r\n", strlen(SECRET "\r\n"), 0640);
	put("bare", SECRET, strlen(SECRET), 0600);
	put("empty", "", 0, 0600);
	put("blank", "\nsecret\n", 8, 0600);
	put("nul", "a\0b\n", 4, 0600);
	put("long", longer, sizeof(longer), 0600);
	put("open", SECRET "\n", strlen(SECRET) + 1, 0644);
	put("other", "another\n", 8, 0600);
	return 0;
}

static int remove_files(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_COUNT(names); i++) {
		char path[256];
		snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
		unlink(path);
	}
	return rmdir(folder);
}

/* "$" stands for the folder. */
static char *with_folder(const char *text)
{
	struct sp_buf b;
	sp_buf_init(&b, TEXT_MAX);
	for (; *text; text++) {
		if (*text == '$')
			sp_buf_adds(&b, folder);
		else
			sp_buf_addc(&b, *text);
	}
	return sp_buf_take(&b);
}

static struct config *parse(const char *file, struct sp_buf *problems)
{
	char *text = with_folder(file);
	sp_buf_init(problems, TEXT_MAX);
	struct config *c = config_parse(sp_str_of(text), "t.yaml", problems);
	free(text);
	assert_int_equal(c == NULL, problems->len > 0);
	return c;
}

static struct config *parse_sound(const char *file)
{
	struct sp_buf problems;
	struct config *c = parse(file, &problems);
	print_message("%s", sp_buf_cstr(&problems));
	assert_non_null(c);
	sp_buf_clear(&problems);
	return c;
}

/* ---- what is read ---- */

#define ACCOUNT ", user: app, password_file: $/plain"

static const struct { const char *label, *item; bool implicit; const char *user, *password; } routes[] = {
	{ "STARTTLS", "{domain: a.example, via: mx.example}", false, "", NULL },
	{ "RFC 8314: 465 is TLS from the first octet", "{domain: a.example, via: \"mx.example:465\"}", true, "", NULL },
	{ "unless it is said otherwise", "{domain: a.example, tls: starttls, via: \"mx.example:465\"}", false, "", NULL },
	{ "implicit on another port", "{domain: a.example, via: \"mx.example:4650\", tls: implicit}", true, "", NULL },
	{ "an account", "{domain: a.example, via: \"mx.example:587\"" ACCOUNT "}", false, "app", SECRET },
	{ "a line end of two octets", "{sender: a.example, via: mx.example, user: app, password_file: $/crlf}", false, "app", SECRET },
	{ "no line end", "{sender: \"me@a.example\", via: mx.example, user: \"me@a.example\", password_file: $/bare}", false, "me@a.example", SECRET },
};

static void check_print(const struct config *c)
{
	struct sp_buf once, twice;
	sp_buf_init(&once, TEXT_MAX);
	sp_buf_init(&twice, TEXT_MAX);
	config_print(c, &once);
	assert_null(strstr(sp_buf_cstr(&once), SECRET));
	struct config *again = parse_sound(sp_buf_cstr(&once));
	config_print(again, &twice);
	assert_string_equal(sp_buf_cstr(&once), sp_buf_cstr(&twice));
	config_unref(again);
	sp_buf_clear(&once);
	sp_buf_clear(&twice);
}

static void test_routes(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_COUNT(routes); i++) {
		char file[1024];
		snprintf(file, sizeof(file), HOST "routes: [%s]\n", routes[i].item);
		print_message("%s\n", routes[i].label);
		struct config *c = parse_sound(file);
		const struct config_route *r = &c->routes.items[0];
		assert_int_equal(c->routes.count, 1);
		assert_int_equal(r->implicit_tls, routes[i].implicit);
		assert_string_equal(r->user, routes[i].user);
		assert_int_equal(r->password == NULL, routes[i].password == NULL);
		if (r->password)
			assert_string_equal(r->password, routes[i].password);
		check_print(c);
		config_unref(c);
	}
}

static void test_limits_of_a_route(void **state)
{
	(void)state;
	struct config *c = parse_sound(HOST "routes: [{sender: \"App@B\xc3\xbc""cher.example\", via: mx.example, rate: 100/1m, concurrency: 3, requiretls: relaxed}]\n");
	const struct config_route *r = &c->routes.items[0];
	assert_string_equal(r->sender, "App@xn--bcher-kva.example");
	assert_null(r->domain);
	assert_int_equal(r->rate.count, 100);
	assert_int_equal(r->rate.per_ms, 60000);
	assert_int_equal(r->concurrency, 3);
	assert_int_equal(r->requiretls, CONFIG_REQUIRETLS_RELAXED);
	check_print(c);
	config_unref(c);
}

static void test_sources(void **state)
{
	(void)state;
	struct config *c = parse_sound(HOST "source:\n  - {name: bulk-1, addresses: [192.0.2.10, \"2001:db8::10\"], hostname: Bulk.Example.COM, "
	                               "senders: [News.example, \"a@b.example\"]}\n  - {name: rest, addresses: [\"2001:db8::11\"]}\n");
	assert_int_equal(c->sources.count, 2);
	const struct config_source *s = &c->sources.items[0];
	char text[SP_ADDR_TEXT];
	assert_string_equal(s->name, "bulk-1");
	assert_string_equal(s->hostname, "bulk.example.com");
	assert_string_equal(sp_addr_ip_str(&s->v4, text), "192.0.2.10");
	assert_string_equal(sp_addr_ip_str(&s->v6, text), "2001:db8::10");
	assert_int_equal(s->sender_count, 2);
	assert_string_equal(s->senders[0], "news.example");
	assert_string_equal(s->senders[1], "a@b.example");
	s = &c->sources.items[1];
	assert_int_equal(sp_addr_family(&s->v4), AF_UNSPEC);
	assert_string_equal(sp_addr_ip_str(&s->v6, text), "2001:db8::11");
	assert_string_equal(s->hostname, "");
	assert_int_equal(s->sender_count, 0);
	check_print(c);
	config_unref(c);
}

/* ---- mistakes ---- */

#define TWO(a, b) HOST "routes:\n  - {" a "}\n  - {" b "}\n"
#define ONE(a) HOST "routes:\n  - {" a "}\n"
#define SOURCE(a) HOST "source:\n  - {" a "}\n"
#define SOURCES(a, b) HOST "source:\n  - {" a "}\n  - {" b "}\n"
#define ONE_DESTINATION " has another tls, rate, concurrency or requiretls; it is one destination, so say the same in both\n"

static const struct { const char *label, *file, *want; } mistakes[] = {
	{ "by domain and by sender", ONE("domain: a.example, sender: b.example, via: mx.example"), "t.yaml:3: routes: an item is by domain or by sender; make two of it\n" },
	{ "a sender that is none", ONE("sender: \"@a.example\", via: mx.example"), "t.yaml:3: routes.sender: " },
	{ "* is no sender", ONE("sender: \"*\", via: mx.example"), "t.yaml:3: routes.sender: " },
	{ "a sender twice", TWO("sender: \"A@a.example\", via: mx.example", "sender: \"a@A.example\", via: mx.example"), "t.yaml:4: routes: the sender a@a.example is there twice\n" },
	{ "an unknown tls", ONE("domain: a.example, via: mx.example, tls: smtps"), "t.yaml:3: routes.tls: takes one of: starttls implicit\n" },
	{ "a user without a password", ONE("domain: a.example, via: mx.example, user: app"), "t.yaml:3: routes: user needs a password_file\n" },
	{ "a password without a user", ONE("domain: a.example, via: mx.example, password_file: $/plain"), "t.yaml:3: routes: password_file needs a user\n" },
	{ "a user with a line end", ONE("domain: a.example, via: mx.example, password_file: $/plain, user: \"a\\nb\""), "t.yaml:3: routes.user: takes 1 to 200 printable characters\n" },
	{ "an empty user", ONE("domain: a.example, via: mx.example, password_file: $/plain, user: \"\""), "t.yaml:3: routes.user: takes 1 to 200 printable characters\n" },
	{ "no such file", ONE("domain: a.example, via: mx.example, user: a, password_file: $/none"), "t.yaml:3: routes.password_file: cannot read $/none: there is no such file" },
	{ "a folder", ONE("domain: a.example, via: mx.example, user: a, password_file: $"), "t.yaml:3: routes.password_file: cannot read $: it is not a plain file" },
	{ "a path that is not absolute", ONE("domain: a.example, via: mx.example, user: a, password_file: plain"), "t.yaml:3: routes.password_file: takes the absolute path of a file\n" },
	{ "an empty file", ONE("domain: a.example, via: mx.example, user: a, password_file: $/empty"), "t.yaml:3: routes.password_file: $/empty has no password in its first line\n" },
	{ "an empty line", ONE("domain: a.example, via: mx.example, user: a, password_file: $/blank"), "t.yaml:3: routes.password_file: $/blank has no password in its first line\n" },
	{ "RFC 4616: NUL", ONE("domain: a.example, via: mx.example, user: a, password_file: $/nul"), "t.yaml:3: routes.password_file: the first line of $/nul is no password" },
	{ "a long line", ONE("domain: a.example, via: mx.example, user: a, password_file: $/long"), "t.yaml:3: routes.password_file: the first line of $/long is no password" },
	{ "a rate that is none", ONE("domain: a.example, via: mx.example, rate: fast"), "t.yaml:3: routes.rate: takes a rate such as 100/1m, or 0 for no limit\n" },
	{ "no sessions", ONE("domain: a.example, via: mx.example, concurrency: 0"), "t.yaml:3: routes.concurrency: takes a number from 1 to 1000\n" },
	{ "an unknown requiretls", ONE("domain: a.example, via: mx.example, requiretls: no"), "t.yaml:3: routes.requiretls: takes one of: enforce relaxed\n" },
	{ "one hop with two kinds of TLS", TWO("domain: a.example, via: mx.example", "domain: b.example, via: mx.example, tls: implicit"),
	  "t.yaml:4: routes: another route to mx.example:25" ONE_DESTINATION },
	{ "one hop with two rates", TWO("domain: a.example, via: mx.example, rate: 1/1s", "sender: b.example, via: mx.example"),
	  "t.yaml:4: routes: another route to mx.example:25" ONE_DESTINATION },
	{ "one account with two passwords", TWO("domain: a.example, via: mx.example" ACCOUNT, "domain: b.example, via: mx.example, user: app, password_file: $/other"),
	  "t.yaml:4: routes: another route to mx.example:25 as app has another password\n" },
	{ "two accounts at one hop are two destinations", TWO("domain: a.example, via: mx.example, tls: implicit" ACCOUNT, "domain: b.example, via: mx.example, rate: 1/1s"), "" },
	{ "two routes that agree", TWO("domain: a.example, via: mx.example" ACCOUNT, "sender: b.example, via: mx.example" ACCOUNT), "" },

	{ "a source without a name", SOURCE("addresses: [192.0.2.1]"), "t.yaml:3: source: an item needs a name\n" },
	{ "a source's name with a slash", SOURCE("name: a/b, addresses: [192.0.2.1]"), "t.yaml:3: source.name: 'a/b' has something other than letters, digits and \"-\"\n" },
	{ "a source that changes nothing", SOURCE("name: a, addresses: []"), "t.yaml:3: source: 'a' has neither addresses nor a hostname of its own\n" },
	{ "two of one family", SOURCE("name: a, addresses: [192.0.2.1, 192.0.2.2]"), "t.yaml:3: source.addresses: takes one address of each family; make another source for another address\n" },
	{ "an address with a port", SOURCE("name: a, addresses: [\"192.0.2.1:25\"]"), "t.yaml:3: source.addresses: an item is not an address such as 192.0.2.10 or \"2001:db8::10\"\n" },
	{ "one address is no list", SOURCE("name: a, addresses: 192.0.2.1"), "t.yaml:3: source.addresses: takes a list of addresses\n" },
	{ "a name twice", SOURCES("name: a, hostname: a.example", "name: a, hostname: b.example, senders: [c.example]"), "t.yaml:4: source: the name a is there twice\n" },
	{ "two for everybody", SOURCES("name: a, hostname: a.example", "name: b, hostname: b.example"), "t.yaml:4: source: only one can be for all senders, and a is; give this one `senders`\n" },
	{ "a sender in two", SOURCES("name: a, hostname: a.example, senders: [x.example]", "name: b, hostname: b.example, senders: [y.example, X.example]"),
	  "t.yaml:4: source: the sender x.example is there twice\n" },
	{ "a sender twice in one", SOURCE("name: a, hostname: a.example, senders: [x.example, x.example]"), "t.yaml:3: source: the sender x.example is there twice\n" },
};

static void test_mistakes(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_COUNT(mistakes); i++) {
		struct sp_buf problems;
		struct config *c = parse(mistakes[i].file, &problems);
		char *want = with_folder(mistakes[i].want);
		print_message("%s: want %s got  %s", mistakes[i].label, want, sp_buf_cstr(&problems));
		if (mistakes[i].want[0] == '\0')
			assert_non_null(c);
		else
			assert_memory_equal(sp_buf_cstr(&problems), want, sp_min(strlen(want), problems.len));
		assert_null(strstr(sp_buf_cstr(&problems), SECRET));
		free(want);
		sp_buf_clear(&problems);
		config_unref(c);
	}
}

/* ---- what is sound, and worth a word ---- */

#define QUIET "report: {enabled: no}\n"

static const struct { const char *label, *file, *want; } warnings[] = {
	{ "a password that only its owner reads", ONE("domain: a.example, via: mx.example" ACCOUNT) QUIET, "" },
	{ "one that everybody reads, told once", TWO("domain: a.example, via: mx.example, user: a, password_file: $/open",
	  "domain: b.example, via: mx.example, user: b, password_file: $/open") QUIET,
	  "routes: $/open has mode 0644, so more than the relay may read or change the password" },
	{ "an address of this machine", SOURCE("name: a, addresses: [127.0.0.1]") QUIET, "" },
	{ "an address of another", SOURCE("name: a, addresses: [192.0.2.1]") QUIET, "source: 'a': 192.0.2.1 is not an address of this machine, so mail from there waits\n" },
};

static void test_warnings(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_COUNT(warnings); i++) {
		struct sp_buf got;
		sp_buf_init(&got, TEXT_MAX);
		struct config *c = parse_sound(warnings[i].file);
		char *want = with_folder(warnings[i].want);
		config_warnings(c, 0, &got);
		print_message("%s: want %s\n got %s\n", warnings[i].label, want, sp_buf_cstr(&got));
		assert_int_equal(got.len > 0, *want != '\0');
		assert_int_equal(strncmp(sp_buf_cstr(&got), want, strlen(want)), 0);
		assert_true(got.len == 0 || strchr(sp_buf_cstr(&got), '\n')[1] == '\0');
		free(want);
		sp_buf_clear(&got);
		config_unref(c);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_routes),
		cmocka_unit_test(test_limits_of_a_route),
		cmocka_unit_test(test_sources),
		cmocka_unit_test(test_mistakes),
		cmocka_unit_test(test_warnings),
	};
	return cmocka_run_group_tests(tests, make_files, remove_files);
}
