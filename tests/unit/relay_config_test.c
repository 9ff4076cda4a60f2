/* tests/unit/relay_config_test.c - relay/config.c, config_lists.c, config_rows.c: every row of the table with its default and the ends of its
 * range, every kind of mistake with its line, and what is printed reads back to the same. */
#include "relay/config.h"
#include "relay/config_rows.h"
#include "relay/config_value.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define TEXT_MAX (1 << 20)
#define KNOWN " hostname state_dir shards limits auth resolver tls sts delivery report evidence log alarm admin listen routes source domains dkim"
#define LISTEN " address unix_mode allow bare_lf tls tls_required certificate key tls_client_ca tickets auth xclient proxy"
#define ADDRESS "takes 127.0.0.1:2525, [::1]:2525 or unix:/run/strictpost/submit.sock"
#define HOST "hostname: relay.example.com\n"

/* NULL: refused; then `problems` says why. */
static struct config *parse(struct sp_str text, struct sp_buf *problems)
{
	sp_buf_init(problems, TEXT_MAX);
	struct config *c = config_parse(text, "t.yaml", problems);
	assert_false(sp_buf_failed(problems));
	assert_int_equal(c == NULL, problems->len > 0);
	return c;
}

static struct config *parse_sound(const char *text)
{
	struct sp_buf problems;
	struct config *c = parse(sp_str_of(text), &problems);
	if (c == NULL)
		print_message("%s", sp_buf_cstr(&problems));
	assert_non_null(c);
	sp_buf_clear(&problems);
	return c;
}

static char *print(const struct config *c)
{
	struct sp_buf out;
	sp_buf_init(&out, TEXT_MAX);
	config_print(c, &out);
	assert_false(sp_buf_failed(&out));
	return sp_buf_take(&out);
}

/* Prints, parses, prints again: the same; and gives the first print. */
static char *round_trip(const struct config *c)
{
	char *once = print(c);
	struct config *again = parse_sound(once);
	char *twice = print(again);
	assert_string_equal(once, twice);
	config_unref(again);
	free(twice);
	return once;
}

/* Everything that a configuration says, as text: for comparing two. */
static void check_same(const struct config *a, const struct config *b)
{
	char *x = print(a), *y = print(b);
	assert_string_equal(x, y);
	free(x);
	free(y);
}

/* ---- the contract ---- */

/* As it stands in the issue that this configuration is the contract of. */
static const char contract[] =
	"hostname: relay.example.com            # EHLO, Received, Message-ID, DSN\n"
	"state_dir: /var/lib/strictpost         # spool; exclusive lock inside\n"
	"shards: 0                              # 0 = one per core\n"
	"listen:\n"
	"  - address: 127.0.0.1:2525            # host:port, [v6]:port; several allowed\n"
	"    allow: [127.0.0.0/8, \"::1/128\"]    # who may relay; nobody else, ever, by default\n"
	"limits: {message_size: 50M, recipients: 1000, connections: 10000, connections_per_client: 0, inline_body: 128K, memory: 256M}\n"
	"resolver: {servers: [], trust_ad: auto, timeout: 5s}     # empty: /etc/resolv.conf\n"
	"tls: {ca_file: \"\", verified_min: \"1.2\", opportunistic_min: \"1.0\"}   # empty: the system's store\n"
	"sts: {enabled: true, first_contact: deliver, refresh: 24h, fetch_timeout: 60s, policy_size: 64K}\n"
	"delivery:\n"
	"  port: 25\n"
	"  allow_private: []                    # networks an MX or policy host may be in although private or loopback\n"
	"  concurrency: 20                      # sessions per destination\n"
	"  messages_per_session: 100\n"
	"  retry: {first: 5m, growth: 2, max: 4h, jitter: 0.2}\n"
	"  expire: 5d\n"
	"  delay_notice: 4h\n"
	"routes: []                             # - {domain: corp.example, via: \"mx.corp.example:25\"}; \"*\" for all\n"
	"log: {format: text, level: info}       # text | json, to standard error\n"
	"admin: {socket: /run/strictpost/control.sock}\n";

static void check_defaults(const struct config *c)
{
	char text[SP_ADDR_TEXT];
	assert_string_equal(c->hostname, "relay.example.com");
	assert_string_equal(c->state_dir, "/var/lib/strictpost");
	assert_int_equal(c->shards, 0);
	assert_int_equal(c->listen.count, 1);
	assert_string_equal(sp_addr_str(&c->listen.items[0].address, text), "127.0.0.1:2525");
	assert_int_equal(c->listen.items[0].allow.count, 2);
	assert_string_equal(sp_addr_ip_str(&c->listen.items[0].allow.nets[0].addr, text), "127.0.0.0");
	assert_int_equal(c->listen.items[0].allow.nets[0].bits, 8);
	assert_string_equal(sp_addr_ip_str(&c->listen.items[0].allow.nets[1].addr, text), "::1");
	assert_int_equal(c->listen.items[0].allow.nets[1].bits, 128);
	assert_int_equal(c->listen.items[0].bare_lf.count, 0);
	assert_int_equal(c->limits.message_size, 50 * 1024 * 1024);
	assert_int_equal(c->limits.recipients, 1000);
	assert_int_equal(c->limits.connections, 10000);
	assert_int_equal(c->limits.connections_per_client, 0);
	assert_int_equal(c->limits.inline_body, 128 * 1024);
	assert_int_equal(c->limits.memory, 256 * 1024 * 1024);
	assert_string_equal(c->auth.users_file, "");
	assert_null(c->auth.users);
	assert_string_equal(c->resolver.servers, "");
	assert_int_equal(c->resolver.trust_ad, CONFIG_TRUST_AUTO);
	assert_int_equal(c->resolver.timeout_ms, 5000);
	assert_string_equal(c->tls.ca_file, "");
	assert_int_equal(c->tls.verified_min, CORE_TLS_1_2);
	assert_int_equal(c->tls.opportunistic_min, CORE_TLS_1_0);
	assert_true(c->sts.enabled);
	assert_int_equal(c->sts.first_contact, CONFIG_FIRST_DELIVER);
	assert_int_equal(c->sts.refresh_ms, 24 * 3600 * 1000);
	assert_int_equal(c->sts.fetch_timeout_ms, 60 * 1000);
	assert_int_equal(c->sts.policy_size, 65536);
	assert_int_equal(c->delivery.port, 25);
	assert_int_equal(c->delivery.allow_private.count, 0);
	assert_int_equal(c->delivery.concurrency, 20);
	assert_int_equal(c->delivery.messages_per_session, 100);
	assert_int_equal(c->delivery.expire_ms, 5 * 24 * 3600 * 1000);
	assert_int_equal(c->delivery.delay_notice_ms, 4 * 3600 * 1000);
	struct queue_retry retry = config_retry(c);
	assert_int_equal(retry.first_ms, 5 * 60 * 1000);
	assert_int_equal(retry.max_ms, 4 * 3600 * 1000);
	assert_true(retry.growth > 1.999 && retry.growth < 2.001);
	assert_true(retry.jitter > 0.199 && retry.jitter < 0.201);
	assert_int_equal(c->routes.count, 0);
	assert_int_equal(c->log.format, SP_LOG_TEXT);
	assert_int_equal(c->log.level, SP_LOG_INFO);
	assert_string_equal(c->admin.socket, "/run/strictpost/control.sock");
}

static void test_the_contract_and_its_defaults(void **state)
{
	(void)state;
	struct config *c = parse_sound(contract), *defaults = parse_sound(HOST);
	check_defaults(c);
	check_defaults(defaults);
	check_same(c, defaults);
	free(round_trip(c));
	config_unref(c);
	config_unref(defaults);
}

/* Every key is optional, hostname too where the system's name is fully qualified. */
static void test_an_empty_file(void **state)
{
	(void)state;
	static const char *const files[] = { "", "\n", "# nothing\n", "---\n", "---\n...\n", "{}\n", "~", "\xef\xbb\xbf" };
	char system[256] = "";
	gethostname(system, sizeof(system) - 1);
	for (size_t i = 0; i < SP_COUNT(files); i++) {
		struct sp_buf problems;
		struct config *c = parse(sp_str_of(files[i]), &problems);
		print_message("%zu, system's name '%s': %s\n", i, system, c ? "sound" : sp_buf_cstr(&problems));
		if (strcmp(files[i], "~") == 0)
			assert_non_null(strstr(sp_buf_cstr(&problems), "t.yaml:1: the file: takes a group of keys\n"));
		else if (strchr(system, '.') == NULL)
			assert_int_equal(strncmp(sp_buf_cstr(&problems), "t.yaml: hostname is not set, and the system's name", 50), 0);
		config_unref(c);
		sp_buf_clear(&problems);
	}
}

/* ---- the rows ---- */

/* "a.b.c" and a value as a file of its own; the value is on the last line. */
static void write_key(const struct conf_row *row, const char *value, struct sp_buf *out)
{
	sp_buf_init(out, 65536);
	if (strcmp(row->path, "hostname") != 0)
		sp_buf_adds(out, HOST);
	struct sp_str rest = sp_str_of(row->path);
	for (unsigned depth = 0; rest.len > 0; depth++) {
		struct sp_str part = sp_take_until(&rest, '.');
		sp_buf_printf(out, "%*s%.*s:%s", (int)depth * 2, "", SP_STR_ARG(part), rest.len ? "\n" : " ");
	}
	sp_buf_printf(out, "%s\n", value);
}

static unsigned lines_in(const struct sp_buf *text)
{
	unsigned n = 0;
	for (size_t i = 0; i < text->len; i++)
		n += text->p[i] == '\n';
	return n;
}

static const char *row_value(const struct config *c, const struct conf_row *row, struct sp_buf *out)
{
	sp_buf_init(out, 8192);
	conf_print(c, row, out);
	return sp_buf_cstr(out);
}

/* The row accepts `value`, and prints it as `want`. */
static void check_accepted(const struct conf_row *row, const char *value, const char *want)
{
	struct sp_buf file, problems, got;
	write_key(row, value, &file);
	struct config *c = parse(sp_buf_str(&file), &problems);
	print_message("%s: %.60s: want %.60s, got %.60s\n", row->path, value, want, c ? row_value(c, row, &got) : sp_buf_cstr(&problems));
	assert_non_null(c);
	assert_string_equal(sp_buf_cstr(&got), want);
	free(round_trip(c));
	config_unref(c);
	sp_buf_clear(&file);
	sp_buf_clear(&problems);
	sp_buf_clear(&got);
}

/* The row refuses `value`: one problem, with the line of the value and the row's name. */
static void check_refused(const struct conf_row *row, const char *value, const char *what)
{
	struct sp_buf file, problems;
	write_key(row, value, &file);
	struct config *c = parse(sp_buf_str(&file), &problems);
	print_message("%s: %.60s: want refused (%s), got %s", row->path, value, what, c ? "accepted\n" : sp_buf_cstr(&problems));
	assert_null(c);
	char start[128];
	snprintf(start, sizeof(start), "t.yaml:%u: %s", lines_in(&file), row->path);
	assert_int_equal(strncmp(sp_buf_cstr(&problems), start, strlen(start)), 0);
	assert_non_null(strstr(sp_buf_cstr(&problems), what));
	assert_int_equal(lines_in(&problems), 1);
	sp_buf_clear(&file);
	sp_buf_clear(&problems);
}

static void number_text(const struct conf_row *row, int64_t n, struct sp_buf *out)
{
	sp_buf_init(out, 64);
	if (row->type == CONF_DURATION)
		sp_buf_printf(out, "%" PRId64 "ms", n);
	else
		sp_buf_printf(out, "%" PRId64, n);
}

/* What other rows want of the ends of this one's range. */
static const char *companion(const char *path, bool top)
{
	if (top && strcmp(path, "limits.inline_body") == 0)
		return "limits: {inline_body: 16777216, memory: 64M}\n";
	if (!top && strcmp(path, "limits.memory") == 0)
		return "limits: {memory: 8388608, inline_body: 1K}\n";
	if (top && strcmp(path, "delivery.retry.first") == 0)
		return "delivery: {retry: {first: 86400000ms, max: 1d}}\n";
	if (!top && strcmp(path, "delivery.retry.max") == 0)
		return "delivery: {retry: {max: 100ms, first: 100ms}}\n";
	if (top && strcmp(path, "delivery.delay_notice") == 0)
		return "delivery: {delay_notice: 60d, expire: 60d}\n";
	return NULL;
}

static void check_end(const struct conf_row *row, int64_t n, bool top)
{
	struct sp_buf text, want, got;
	number_text(row, n, &text);
	sp_buf_init(&want, 64);
	if (row->type == CONF_DURATION)
		config_print_duration(n, &want);
	else if (row->type == CONF_SIZE)
		config_print_size(n, &want);
	else
		sp_buf_printf(&want, "%" PRId64, n);
	const char *with = companion(row->path, top);
	if (with == NULL) {
		check_accepted(row, sp_buf_cstr(&text), sp_buf_cstr(&want));
	} else {
		char file[256];
		snprintf(file, sizeof(file), "%s%s", HOST, with);
		struct config *c = parse_sound(file);
		/* A delay notice that would come with the bounce, or after it, is none. */
		assert_string_equal(row_value(c, row, &got), strcmp(row->path, "delivery.delay_notice") == 0 ? "0" : sp_buf_cstr(&want));
		config_unref(c);
		sp_buf_clear(&got);
	}
	sp_buf_clear(&text);
	number_text(row, top ? n + 1 : n - 1, &text);
	if (top || n > 0)
		check_refused(row, sp_buf_cstr(&text), "is out of range; it takes ");
	else
		check_refused(row, sp_buf_cstr(&text), " is not a");        /* "-1" */
	sp_buf_clear(&text);
	sp_buf_clear(&want);
}

static void check_number_row(const struct conf_row *row)
{
	check_end(row, row->min, false);
	check_end(row, row->max, true);
	static const char *const wrong[] = { "x", "1.5", "-1", "\"\"", "10 apples", "99999999999999999999" };
	for (size_t i = 0; i < SP_COUNT(wrong); i++)
		check_refused(row, wrong[i], "' is not a");
	check_refused(row, "[1]", "takes one value, not a list or a group");
	check_refused(row, "{a: 1}", "takes one value, not a list or a group");
}

static void check_float_row(const struct conf_row *row)
{
	char text[32];
	for (int end = 0; end < 2; end++) {
		int64_t n = end ? row->max : row->min;
		snprintf(text, sizeof(text), "%" PRId64, n / 1000);
		check_accepted(row, text, text);
		if (n == 0)
			continue;
		snprintf(text, sizeof(text), end ? "%" PRId64 ".000000001" : "0.999999999", n / 1000);
		check_refused(row, text, "is not a number from ");
	}
	check_refused(row, "-1", "is not a number from ");
	check_refused(row, "much", "is not a number from ");
	check_refused(row, "[2]", "takes one value, not a list or a group");
}

static void check_word_row(const struct conf_row *row)
{
	char quoted[40];
	for (size_t i = 0; row->words[i]; i++) {
		snprintf(quoted, sizeof(quoted), "\"%s\"", row->words[i]);
		check_accepted(row, quoted, quoted);
		check_accepted(row, row->words[i], quoted);
	}
	check_refused(row, "perhaps", "is none of: ");
	check_refused(row, "\"\"", "is none of: ");
	check_refused(row, "[a]", "takes one value, not a list or a group");
}

static void check_string_row(const struct conf_row *row)
{
	if (strcmp(row->path, "hostname") == 0)
		return;                                         /* rows of its own below */
	if (strcmp(row->path, "report.contact") == 0 || strcmp(row->path, "report.submitter") == 0)
		return;                                         /* names and addresses: relay_config_identity_test.c */
	if (strcmp(row->path, "resolver.probe") == 0) {
		check_accepted(row, ".", "\".\"");
		check_accepted(row, "corp.example", "\"corp.example\"");
		check_refused(row, "a..b", "is not a domain name");
		check_refused(row, "\"\"", "takes ");
		return;
	}
	if (strcmp(row->path, "auth.users_file") == 0)
		return;                                         /* read with the configuration: test_users_file() */
	if (strcmp(row->path, "admin.http") == 0 || strcmp(row->path, "admin.token_file") == 0)
		return;                                         /* relay_config_admin_test.c */
	char *longest = sp_alloc((size_t)row->max + 2);
	memset(longest, 'x', (size_t)row->max + 1);
	longest[0] = '/';
	check_refused(row, longest, "takes ");
	longest[row->max] = '\0';
	struct sp_buf want;
	sp_buf_init(&want, 8192);
	sp_buf_printf(&want, "\"%s\"", longest);
	check_accepted(row, longest, sp_buf_cstr(&want));
	sp_buf_clear(&want);
	free(longest);
	if (row->min == 0)
		check_accepted(row, "\"\"", "\"\"");
	else
		check_refused(row, "\"\"", "takes ");
	check_refused(row, "\"/a\\0b\"", "takes ");
	check_refused(row, "[/a]", "takes one value, not a list or a group");
	check_accepted(row, "'/a \"b\" \\'", "\"/a \\\"b\\\" \\\\\"");
	check_accepted(row, "\"/tab\\tand\\x02\\x7f\"", "\"/tab\\x09and\\x02\\x7f\"");
	check_accepted(row, "/\xc3\xa9t\xc3\xa9", "\"/\xc3\xa9t\xc3\xa9\"");
	check_accepted(row, "\"/\\x85\\u2028\\ufeff\\x80\"", "\"/\\x85\\u2028\\ufeff\\x80\"");
}

static void check_bool_row(const struct conf_row *row)
{
	check_accepted(row, "no", "no");
	check_accepted(row, "TRUE", "yes");
	check_accepted(row, "off", "no");
	check_refused(row, "1", "is neither yes nor no");
	check_refused(row, "maybe", "is neither yes nor no");
	check_refused(row, "\"\"", "is neither yes nor no");
	check_refused(row, "[yes]", "takes one value, not a list or a group");
}

static void check_nets_row(const struct conf_row *row)
{
	check_accepted(row, "[]", "[]");
	check_accepted(row, "", "[]");
	check_accepted(row, "[10.0.0.0/8, \"::1/128\", 192.0.2.1]", "[\"10.0.0.0/8\", \"::1/128\", \"192.0.2.1/32\"]");
	check_accepted(row, "[\"0.0.0.0/0\", \"::/0\"]", "[\"0.0.0.0/0\", \"::/0\"]");
	check_accepted(row, "[\"::ffff:10.0.0.0/104\"]", "[\"::ffff:10.0.0.0/104\"]");
	check_refused(row, "[10.0.0.1/8]", "the bits behind the length must be 0");
	check_refused(row, "[10.0.0.0/33]", "is not a network such as");
	check_refused(row, "[localhost]", "'localhost' is not a network such as");
	check_refused(row, "[\"\"]", "is not a network such as");
	check_refused(row, "[[10.0.0.0/8]]", "an item is not a plain value");
	check_refused(row, "10.0.0.0/8", "takes a list, such as [a, b]");
	check_refused(row, "{a: b}", "takes a list, such as [a, b]");
}

static void check_addrs_row(const struct conf_row *row)
{
	check_accepted(row, "[]", "[]");
	check_accepted(row, "", "[]");
	check_accepted(row, "[192.0.2.1, \"192.0.2.2:5353\"]", "[\"192.0.2.1\", \"192.0.2.2:5353\"]");
	check_accepted(row, "[\"2001:db8::1\", \"[2001:db8::1]:53\"]", "[\"2001:db8::1\", \"[2001:db8::1]:53\"]");
	check_refused(row, "[dns.example.com]", "'dns.example.com' is not an address such as");
	check_refused(row, "[\"192.0.2.1,192.0.2.2\"]", "is not an address such as");
	check_refused(row, "[\"unix:/run/dns\"]", "is not an address such as");
	check_refused(row, "[\"192.0.2.1:65536\"]", "is not an address such as");
	check_refused(row, "[{a: b}]", "an item is not a plain value");
	check_refused(row, "192.0.2.1", "takes a list, such as [a, b]");
}

static void check_rate_row(const struct conf_row *row)
{
	check_accepted(row, "100/1m", "\"100/1m\"");
	check_accepted(row, "1/60", "\"1/1m\"");
	check_accepted(row, "0", "\"0\"");
	check_refused(row, "100", "'100' is not a rate such as 100/1m, nor 0 for no limit");
	check_refused(row, "[100/1m]", "takes one value, not a list or a group");
}

static void test_every_row(void **state)
{
	(void)state;
	struct config *defaults = parse_sound(HOST);
	for (size_t i = 0; i < conf_row_count; i++) {
		const struct conf_row *row = &conf_rows[i];
		switch (row->type) {
		case CONF_INT:
		case CONF_SIZE:
		case CONF_DURATION:
			check_number_row(row);
			break;
		case CONF_FLOAT:
			check_float_row(row);
			break;
		case CONF_WORD:
			check_word_row(row);
			break;
		case CONF_STRING:
			check_string_row(row);
			break;
		case CONF_BOOL:
			check_bool_row(row);
			break;
		case CONF_NETS:
			check_nets_row(row);
			break;
		case CONF_ADDRS:
			check_addrs_row(row);
			break;
		case CONF_RATE:
			check_rate_row(row);
			break;
		}
		assert_true(*row->help);
	}
	config_unref(defaults);
}

static void test_users_file(void **state)
{
	(void)state;
	char path[] = "/tmp/relay_config_test.XXXXXX", text[200], want[200];
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "# nobody\nann:x:*\n", 18), 18);
	snprintf(text, sizeof(text), HOST "auth: {users_file: %s}\n", path);
	snprintf(want, sizeof(want), "t.yaml:2: auth.users_file: %s:2: it is no password hash", path);
	struct sp_buf problems;
	assert_null(parse(sp_str_of(text), &problems));
	assert_int_equal(strncmp(sp_buf_cstr(&problems), want, strlen(want)), 0);
	sp_buf_clear(&problems);
	assert_int_equal(ftruncate(fd, 9), 0);
	struct config *c = parse_sound(text);
	assert_non_null(c->auth.users);
	free(round_trip(c));
	config_unref(c);
	close(fd);
	unlink(path);
	assert_null(parse(sp_str_of(text), &problems));
	assert_non_null(strstr(sp_buf_cstr(&problems), "there is no such file; strictpost user add makes one"));
	sp_buf_clear(&problems);
}

static const struct { const char *label, *hostname, *want; } hostnames[] = {           /* want NULL: refused */
	{ "plain", "relay.example.com", "relay.example.com" },
	{ "lower case", "Relay.Example.COM", "relay.example.com" },
	{ "the root's dot goes", "relay.example.com.", "relay.example.com" },
	{ "U-labels", "relais.b\xc3\xbc""cher.example", "relais.xn--bcher-kva.example" },
	{ "one label", "relay", NULL },
	{ "an address", "192.0.2.1", NULL },
	{ "a literal", "\"[192.0.2.1]\"", NULL },
	{ "blanks", "\"relay example.com\"", NULL },
	{ "an empty label", "relay..example.com", NULL },
	{ "a port", "relay.example.com:25", NULL },
	{ "a label of 64", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.example", NULL },
};

static void test_hostnames(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_COUNT(hostnames); i++) {
		char file[256];
		struct sp_buf problems;
		snprintf(file, sizeof(file), "shards: 1\nhostname: %s\n", hostnames[i].hostname);
		struct config *c = parse(sp_str_of(file), &problems);
		print_message("%s: want %s, got %s\n", hostnames[i].label, hostnames[i].want ? hostnames[i].want : "refused",
		              c ? c->hostname : sp_buf_cstr(&problems));
		if (hostnames[i].want) {
			assert_non_null(c);
			assert_string_equal(c->hostname, hostnames[i].want);
		} else {
			assert_null(c);
			assert_int_equal(strncmp(sp_buf_cstr(&problems), "t.yaml:2: hostname '", 20), 0);
			assert_int_equal(lines_in(&problems), 1);
		}
		config_unref(c);
		sp_buf_clear(&problems);
	}
}

/* ---- mistakes, each with its line ---- */

static const struct { const char *label, *file, *want; } mistakes[] = {
	{ "unknown key", HOST "shard: 1\n",
	  "t.yaml:2: there is no key 'shard'; known here:" KNOWN "\n" },
	{ "unknown key in a group", HOST "limits:\n  memory: 8M\n  recipient: 5\n  inline_body: 1K\n",
	  "t.yaml:4: there is no key 'recipient' in limits; known here: message_size recipients connections connections_per_client inline_body memory hold priority\n" },
	{ "unknown key two groups down", HOST "delivery:\n  retry:\n    last: 5m\n",
	  "t.yaml:4: there is no key 'last' in delivery.retry; known here: first growth max jitter\n" },
	{ "a group's own keys and groups are known", HOST "delivery: {x: 1}\n",
	  "t.yaml:2: there is no key 'x' in delivery; known here: port allow_private dane requiretls tls_required_no concurrency host_concurrency sessions rate messages_per_session expire delay_notice retry\n" },
	{ "unknown key of a listener", HOST "listen:\n  - address: 127.0.0.1:25\n    alow: []\n",
	  "t.yaml:4: listen: there is no key 'alow'; known here:" LISTEN "\n" },
	{ "unknown key of a route", HOST "routes:\n  - {domain: a.example, via: b.example, port: 25}\n",
	  "t.yaml:3: routes: there is no key 'port'; known here: domain sender via tls user password_file rate concurrency requiretls\n" },
	{ "keys are case-sensitive", HOST "Shards: 1\n",
	  "t.yaml:2: there is no key 'Shards'; known here:" KNOWN "\n" },
	{ "a list's key where there is none", HOST "limits: {listen: []}\n",
	  "t.yaml:2: there is no key 'listen' in limits; known here: message_size recipients connections connections_per_client inline_body memory hold priority\n" },
	{ "an empty key", HOST "\"\": 1\n",
	  "t.yaml:2: there is no key ''; known here:" KNOWN "\n" },
	{ "a key with a dot is no path", HOST "log.level: debug\n",
	  "t.yaml:2: there is no key 'log.level'; known here:" KNOWN "\n" },
	{ "merge keys are not known", HOST "log: {<<: {level: debug}}\n", "t.yaml:2: there is no key '<<' in log; known here: format level\n" },
	{ "a list as a key", HOST "[a, b]: 1\n", "t.yaml:2: a key is not a plain word\n" },
	{ "a list as a key of a listener", HOST "listen: [{address: 127.0.0.1:25, [a]: 1}]\n",
	  "t.yaml:2: listen: a key is not a plain word; known here:" LISTEN "\n" },
	{ "twice", HOST "shards: 1\nshards: 2\n", "t.yaml:3: 'shards' is there twice\n" },
	{ "a group twice", HOST "log: {level: info}\nlog: {format: json}\n", "t.yaml:3: 'log' is there twice\n" },
	{ "a list twice", HOST "routes: []\nroutes: []\n", "t.yaml:3: 'routes' is there twice\n" },
	{ "twice in a group", HOST "log:\n  level: info\n  level: debug\n", "t.yaml:4: 'level' is there twice\n" },
	{ "twice in a listener", HOST "listen:\n  - address: 127.0.0.1:25\n    allow: []\n    allow: [0.0.0.0/0]\n", "t.yaml:5: listen: 'allow' is there twice\n" },
	{ "twice in a route", HOST "routes:\n  - domain: a.example\n    via: b.example\n    via: c.example\n", "t.yaml:5: routes: 'via' is there twice\n" },
	{ "a value for a group", HOST "limits: 5\n", "t.yaml:2: limits: takes a group of keys\n" },
	{ "a list for a group", HOST "limits: [5]\n", "t.yaml:2: limits: takes a group of keys\n" },
	{ "the file is a list", "- hostname\n", NULL },
	{ "state_dir is not absolute", HOST "state_dir: spool\n", "t.yaml:2: state_dir: 'spool' is not an absolute path\n" },
	{ "retry.max under retry.first", HOST "delivery:\n  retry:\n    max: 1m\n    first: 2m\n", "t.yaml:4: delivery.retry.max is less than delivery.retry.first\n" },
	{ "retry.first over the default max", HOST "delivery:\n  retry:\n    first: 5h\n", "t.yaml:4: delivery.retry.max is less than delivery.retry.first\n" },
	{ "inline_body over a quarter of memory", HOST "limits:\n  memory: 8M\n  inline_body: 2049K\n",
	  "t.yaml:4: limits.inline_body is more than a quarter of limits.memory\n" },
	{ "listen is no list", HOST "listen: 127.0.0.1:25\n", "t.yaml:2: listen: takes a list of groups\n" },
	{ "an item of listen is no group", HOST "listen:\n  - 127.0.0.1:25\n", "t.yaml:3: listen: an item takes the keys:" LISTEN "\n" },
	{ "a listener without an address", HOST "listen:\n  - allow: []\n", "t.yaml:3: listen: an item needs an address, such as 127.0.0.1:2525\n" },
	{ "a listener at a name", HOST "listen:\n  - address: localhost:25\n", "t.yaml:3: listen.address: " ADDRESS "\n" },
	{ "a listener without a port", HOST "listen:\n  - address: 127.0.0.1\n", "t.yaml:3: listen.address: " ADDRESS "\n" },
	{ "a listener at a unix socket of no folder", HOST "listen:\n  - address: unix:x\n", "t.yaml:3: listen.address: " ADDRESS "\n" },
	{ "an address that is a list", HOST "listen:\n  - address: [127.0.0.1:25]\n", "t.yaml:3: listen.address: " ADDRESS "\n" },
	{ "the same address twice", HOST "listen:\n  - address: 127.0.0.1:25\n  - address: 127.0.0.1:26\n  - address: 127.0.0.1:25\n",
	  "t.yaml:5: listen: the address is there twice\n" },
	{ "allow is no list", HOST "listen:\n  - address: 127.0.0.1:25\n    allow: 10.0.0.0/8\n",
	  "t.yaml:4: listen.allow: takes a list of networks, such as [10.0.0.0/8, \"::1/128\"]\n" },
	{ "allow with nothing behind it is not everybody", HOST "listen:\n  - address: 127.0.0.1:25\n    allow:\n",
	  "t.yaml:4: listen.allow: takes a list of networks, such as [10.0.0.0/8, \"::1/128\"]\n" },
	{ "a network with host bits", HOST "listen:\n  - address: 127.0.0.1:25\n    allow:\n    - 10.0.0.0/8\n    - 10.0.0.1/8\n",
	  "t.yaml:6: listen.allow: '10.0.0.1/8' is not a network such as 10.0.0.0/8 or ::1/128 (the bits behind the length must be 0)\n" },
	{ "a network that is a group", HOST "listen: [{address: 127.0.0.1:25, bare_lf: [{}]}]\n", "t.yaml:2: listen.bare_lf: an item is not a network\n" },
	{ "a route without via", HOST "routes:\n  - domain: a.example\n", "t.yaml:3: routes: an item needs via, and domain or sender\n" },
	{ "a route without domain", HOST "routes:\n  - via: a.example\n", "t.yaml:3: routes: an item needs via, and domain or sender\n" },
	{ "an item of routes is no group", HOST "routes: [a.example]\n", "t.yaml:2: routes: an item takes the keys: domain sender via tls user password_file rate concurrency requiretls\n" },
	{ "a route's domain is no name", HOST "routes:\n  - domain: a_b..example\n    via: b.example\n", "t.yaml:3: routes.domain: empty label in the domain\n" },
	{ "a route's domain is a list", HOST "routes:\n  - domain: [a]\n    via: b.example\n", "t.yaml:3: routes.domain: takes a domain, or \"*\" for all\n" },
	{ "via with a port that is none", HOST "routes:\n  - domain: a.example\n    via: b.example:smtp\n",
	  "t.yaml:4: routes.via: takes host:port, such as mx.example.com:25\n" },
	{ "via with port 0", HOST "routes:\n  - domain: a.example\n    via: b.example:0\n", "t.yaml:4: routes.via: takes host:port, such as mx.example.com:25\n" },
	{ "via an address with port 0", HOST "routes:\n  - domain: a.example\n    via: 192.0.2.1:0\n", "t.yaml:4: routes.via: takes host:port, such as mx.example.com:25\n" },
	{ "via with a port over 65535", HOST "routes:\n  - domain: a.example\n    via: b.example:65536\n", "t.yaml:4: routes.via: takes host:port, such as mx.example.com:25\n" },
	{ "via a unix socket", HOST "routes:\n  - domain: a.example\n    via: unix:/run/x\n", "t.yaml:4: routes.via: takes host:port, such as mx.example.com:25\n" },
	{ "via nothing", HOST "routes:\n  - domain: a.example\n    via: \"\"\n", "t.yaml:4: routes.via: empty domain\n" },
	{ "the same domain twice", HOST "routes:\n  - {domain: a.example, via: b.example}\n  - {domain: A.Example., via: c.example}\n",
	  "t.yaml:4: routes: the domain a.example is there twice\n" },
	{ "* twice", HOST "routes:\n  - {domain: \"*\", via: b.example}\n  - {domain: \"*\", via: c.example}\n", "t.yaml:4: routes: the domain * is there twice\n" },
	{ "two bad domains are not one twice", HOST "routes:\n  - {domain: \"\", via: b.example}\n  - {domain: \"\", via: c.example}\n",
	  "t.yaml:3: routes.domain: empty domain\nt.yaml:4: routes.domain: empty domain\n" },
	{ "several at once, those that concern the whole last", "state_dir: spool\nshards: many\nhostname: relay\nlimits:\n  memory: 1K\nlog: {level: loud}\nnonsense: 1\n",
	  "t.yaml:2: shards: 'many' is not a number\n"
	  "t.yaml:5: limits.memory: 1K is out of range; it takes 8M to 1024G\n"
	  "t.yaml:6: log.level: 'loud' is none of: error warning info debug\n"
	  "t.yaml:7: there is no key 'nonsense'; known here:" KNOWN "\n"
	  "t.yaml:3: hostname 'relay' is not fully qualified; set hostname: relay.example.com (the name that this relay's address resolves back to)\n"
	  "t.yaml:1: state_dir: 'spool' is not an absolute path\n" },
	{ "a bad row is told once", HOST "delivery:\n  retry:\n    first: never\n    max: 1m\n",
	  "t.yaml:4: delivery.retry.first: 'never' is not a duration such as 30s, 5m, 4h or 5d\n" },
	{ "a bad hostname is told once", "hostname: [a]\n", "t.yaml:1: hostname: takes one value, not a list or a group\n" },
	{ "text that does not print", HOST "log: {level: \"\\e[31m\\u00e9\"}\n", "t.yaml:2: log.level: '?[31m?\?' is none of: error warning info debug\n" },
};

static void test_mistakes(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_COUNT(mistakes); i++) {
		struct sp_buf problems;
		struct config *c = parse(sp_str_of(mistakes[i].file), &problems);
		print_message("%s: want %sgot  %s", mistakes[i].label, mistakes[i].want ? mistakes[i].want : "refused\n", sp_buf_cstr(&problems));
		assert_null(c);
		if (mistakes[i].want)
			assert_string_equal(sp_buf_cstr(&problems), mistakes[i].want);
		else
			assert_non_null(strstr(sp_buf_cstr(&problems), "t.yaml:1: the file: takes a group of keys\n"));
		sp_buf_clear(&problems);
	}
}

/* ---- not YAML ---- */

static const struct { const char *label, *file, *line; } broken[] = {
	{ "a tab as indent", HOST "limits:\n\tmemory: 8M\n", "t.yaml:3: not YAML: " },
	{ "a bracket left open", HOST "resolver: {servers: [\n", "t.yaml:3: not YAML: " },
	{ "a quote left open", HOST "state_dir: \"/var\n", "t.yaml:3: not YAML: " },
	{ "a bad escape", HOST "\nstate_dir: \"/var\\q\"\n", "t.yaml:3: not YAML: " },
	{ "no blank behind the colon", HOST "shards:1\nlog: {}\n", "t.yaml:3: not YAML: " },
	{ "an alias of nothing", HOST "shards: *n\n", "t.yaml:2: not YAML: " },
	{ "not UTF-8", HOST "shards: 1\nstate_dir: /\xff\n", "t.yaml:3: not YAML: " },
	{ "a control character", HOST "shards: 1\n\nstate_dir: /\x01\n", "t.yaml:4: not YAML: " },
	{ "half a character at the end", HOST "state_dir: /\xc3", "t.yaml:2: not YAML: " },
	{ "a second document", HOST "---\nshards: 1\n", "t.yaml:2: a second document begins here" },
	{ "an empty document in front", "---\n---\n" HOST, "t.yaml:2: a second document begins here" },
	{ "garbage behind the document", HOST "...\n]\n", "t.yaml:3: not YAML: " },
	{ "a directive of another time", "%YAML 9.9\n---\n" HOST, "t.yaml:1: not YAML: " },
};

static void test_not_yaml(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_COUNT(broken); i++) {
		struct sp_buf problems;
		struct config *c = parse(sp_str_of(broken[i].file), &problems);
		print_message("%s: want %s, got %s", broken[i].label, broken[i].line, c ? "sound\n" : sp_buf_cstr(&problems));
		assert_null(c);
		assert_int_equal(strncmp(sp_buf_cstr(&problems), broken[i].line, strlen(broken[i].line)), 0);
		assert_int_equal(lines_in(&problems), 1);
		sp_buf_clear(&problems);
	}
}

/* ---- forms ---- */

static const struct { const char *label, *file, *same; } forms[] = {
	{ "empty groups and lists are the defaults", HOST "limits:\nresolver: {}\ntls:\nsts:\ndelivery:\n  retry:\nlisten:\nroutes:\nlog:\nadmin:\n", HOST },
	{ "an empty list of listeners is the default", HOST "listen: []\n", HOST },
	{ "quotes do not matter", "\"hostname\": 'relay.example.com'\n'shards': \"3\"\n", HOST "shards: 3\n" },
	{ "flow and block", HOST "log: {\"level\":\"debug\",\"format\":\"json\"}\n", HOST "log:\n  format: json\n  level: debug\n" },
	{ "JSON", "{\"hostname\": \"relay.example.com\", \"delivery\": {\"retry\": {\"growth\": 3}}}", HOST "delivery:\n  retry:\n    growth: 3\n" },
	{ "CRLF", "hostname: relay.example.com\r\nshards: 3\r\n", HOST "shards: 3\n" },
	{ "no line end", "hostname: relay.example.com", HOST },
	{ "a byte order mark", "\xef\xbb\xbf" HOST, HOST },
	{ "document marks", "%YAML 1.1\n---\n" HOST "...\n", HOST },
	{ "tags are passed over", HOST "shards: !!int 3\n", HOST "shards: 3\n" },
	{ "folded text", HOST "state_dir: >-\n  /var/lib/mail\n", HOST "state_dir: /var/lib/mail\n" },
	{ "an alias of a value", HOST "limits: {connections: &n 77, connections_per_client: *n}\n", HOST "limits: {connections: 77, connections_per_client: 77}\n" },
	{ "an alias of a list", HOST "delivery: {allow_private: &lo [127.0.0.0/8]}\nlisten: [{address: 127.0.0.1:25, allow: *lo}]\n",
	  HOST "delivery: {allow_private: [127.0.0.0/8]}\nlisten: [{address: 127.0.0.1:25, allow: [127.0.0.0/8]}]\n" },
	{ "an alias of a listener's networks", HOST "listen: [{address: 127.0.0.1:25, allow: &a [10.0.0.0/8]}, {address: \"[::1]:25\", allow: *a, bare_lf: *a}]\n",
	  HOST "listen: [{address: 127.0.0.1:25, allow: [10.0.0.0/8]}, {address: \"[::1]:25\", allow: [10.0.0.0/8], bare_lf: [10.0.0.0/8]}]\n" },
	{ "via's port is 25", HOST "routes: [{domain: a.example, via: b.example}]\n", HOST "routes: [{domain: a.example, via: \"b.example:25\"}]\n" },
	{ "via an address without a port", HOST "routes: [{domain: a.example, via: 192.0.2.1}]\n", HOST "routes: [{domain: a.example, via: \"192.0.2.1:25\"}]\n" },
	{ "via IPv6 without a port", HOST "routes: [{domain: a.example, via: \"[2001:db8::1]\"}]\n", HOST "routes: [{domain: a.example, via: \"[2001:db8::1]:25\"}]\n" },
	{ "via IPv6 without brackets", HOST "routes: [{domain: a.example, via: \"2001:db8::1\"}]\n", HOST "routes: [{domain: a.example, via: \"[2001:db8::1]:25\"}]\n" },
	{ "names are made lower case A-labels", HOST "routes: [{domain: B\xc3\xbc""cher.Example., via: MX.B\xc3\xbc""cher.Example}]\n",
	  HOST "routes: [{domain: xn--bcher-kva.example, via: mx.xn--bcher-kva.example}]\n" },
	{ "units", HOST "delivery: {expire: 120h, retry: {first: 300}}\nlimits: {message_size: 51200k}\n", HOST },
};

static void test_forms(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_COUNT(forms); i++) {
		print_message("%s\n", forms[i].label);
		struct config *a = parse_sound(forms[i].file), *b = parse_sound(forms[i].same);
		check_same(a, b);
		free(round_trip(a));
		config_unref(a);
		config_unref(b);
	}
}

static void test_everything_is_printed_back(void **state)
{
	(void)state;
	struct config *c = parse_sound(
		"hostname: a.example\nstate_dir: \"/s p/\\\"x\\\"\"\nshards: 4\n"
		"listen:\n- {address: 0.0.0.0:25, allow: [10.0.0.0/8, \"2001:db8::/32\"], bare_lf: [10.1.2.3]}\n- {address: \"[::1]:2525\", allow: []}\n"
		"limits: {message_size: 65537, recipients: 100, connections: 1, connections_per_client: 9, inline_body: 1K, memory: 8M}\n"
		"resolver: {servers: [127.0.0.53, \"[::1]:5353\"], trust_ad: no, timeout: 250ms}\n"
		"tls: {ca_file: /etc/ca.pem, verified_min: \"1.3\", opportunistic_min: \"1.1\"}\n"
		"sts: {enabled: no, first_contact: defer, refresh: 61s, fetch_timeout: 1s, policy_size: 1025}\n"
		"delivery: {port: 2526, allow_private: [127.0.0.0/8], concurrency: 1, messages_per_session: 1, expire: 1h, delay_notice: 59m,\n"
		"  retry: {first: 100ms, growth: 1.5, max: 1500ms, jitter: 0.000001}}\n"
		"routes:\n- {domain: corp.example, via: \"mx.corp.example:2525\"}\n- {domain: four.example, via: \"192.0.2.1:26\", tls: starttls, rate: \"0\"}\n"
		"- {domain: six.example, via: \"[2001:db8::1]:27\"}\n- {domain: \"*\", via: smart.example}\n"
		"log: {format: json, level: error}\nadmin: {socket: \"\"}\n");
	char *text = round_trip(c);
	static const char *const lines[] = {
		"hostname: \"a.example\"\n", "state_dir: \"/s p/\\\"x\\\"\"\n", "shards: 4\n", "limits:\n  message_size: 65537\n", "  connections_per_client: 9\n",
		"  servers: [\"127.0.0.53\", \"[::1]:5353\"]\n", "  trust_ad: \"no\"\n", "  timeout: 250ms\n", "  verified_min: \"1.3\"\n", "  enabled: no\n",
		"  refresh: 61s\n", "  policy_size: 1025\n", "  delay_notice: 59m\n", "  retry:\n    first: 100ms\n    growth: 1.5\n    max: 1500ms\n    jitter: 0.000001\n",
		"  - address: \"0.0.0.0:25\"\n    allow: [\"10.0.0.0/8\", \"2001:db8::/32\"]\n    bare_lf: [\"10.1.2.3/32\"]\n",
		"  - address: \"[::1]:2525\"\n    allow: []\n    bare_lf: []\n",
		"  - {domain: \"corp.example\", via: \"mx.corp.example:2525\", tls: starttls, rate: \"0\"}\n", "  - {domain: \"four.example\", via: \"192.0.2.1:26\", tls: starttls, rate: \"0\"}\n",
		"  - {domain: \"six.example\", via: \"[2001:db8::1]:27\", tls: starttls, rate: \"0\"}\n", "  - {domain: \"*\", via: \"smart.example:25\", tls: starttls, rate: \"0\"}\n", "  socket: \"\"\n",
	};
	for (size_t i = 0; i < SP_COUNT(lines); i++) {
		print_message("want %s", lines[i]);
		assert_non_null(strstr(text, lines[i]));
	}
	free(text);
	config_unref(c);
}

/* A default that config_print() writes is the default that config_print_rows() tells. */
static void test_the_rows_are_told(void **state)
{
	(void)state;
	struct sp_buf out;
	sp_buf_init(&out, TEXT_MAX);
	config_print_rows(&out);
	assert_false(sp_buf_failed(&out));
	for (size_t i = 0; i < conf_row_count; i++)
		assert_non_null(strstr(sp_buf_cstr(&out), conf_rows[i].path));
	assert_true(lines_in(&out) > conf_row_count);           /* the keys of lists besides */
	sp_buf_clear(&out);
}

/* ---- size ---- */

static void test_a_long_value_is_told_in_part(void **state)
{
	(void)state;
	static const char *const before[] = { "shards: ", "? ", "log: {level: ", "listen: [{address: 127.0.0.1:25, allow: [", "resolver: {servers: [", "listen: [{? " };
	static const char *const behind[] = { "", "\n: 1", "}", "]}]", "]}", " : 1}]" };      /* an explicit key may be long, a plain one 1024 octets */
	char *large = sp_alloc(100001);
	memset(large, 'x', 100000);
	for (size_t i = 0; i < SP_COUNT(before); i++) {
		struct sp_buf file, problems;
		sp_buf_init(&file, TEXT_MAX);
		sp_buf_printf(&file, HOST "%s%s%s\n", before[i], large, behind[i]);
		struct config *c = parse(sp_buf_str(&file), &problems);
		print_message("%s...: %s", before[i], sp_buf_cstr(&problems));
		assert_null(c);
		assert_non_null(strstr(sp_buf_cstr(&problems), "t.yaml:2: "));
		assert_non_null(strstr(sp_buf_cstr(&problems), "xxxxxxxxxx'"));
		assert_in_range(problems.len, 100, 500);
		sp_buf_clear(&file);
		sp_buf_clear(&problems);
	}
	free(large);
}

/* As many mistakes as a file holds: the first hundred are told, in little time. */
static void test_problems_without_end(void **state)
{
	(void)state;
	struct sp_buf file, problems;
	sp_buf_init(&file, TEXT_MAX);
	while (file.len < 1000000)
		sp_buf_adds(&file, "a: \n");
	struct config *c = parse(sp_buf_str(&file), &problems);
	assert_null(c);
	assert_int_equal(lines_in(&problems), 101);
	assert_non_null(strstr(sp_buf_cstr(&problems), "\nt.yaml: more than 100 problems; the rest was not read\n"));
	sp_buf_clear(&file);
	sp_buf_clear(&problems);
}

/* ---- files ---- */

static struct config *load(const char *path, struct sp_buf *problems)
{
	sp_buf_init(problems, TEXT_MAX);
	return config_load(path, problems);
}

static void test_files(void **state)
{
	(void)state;
	struct sp_buf problems;
	assert_null(load("/nonexistent/strictpost.yaml", &problems));
	assert_string_equal(sp_buf_cstr(&problems), "/nonexistent/strictpost.yaml: cannot be read: No such file or directory\n");
	sp_buf_clear(&problems);
	assert_null(load("/tmp", &problems));
	assert_string_equal(sp_buf_cstr(&problems), "/tmp: cannot be read: Is a directory\n");
	sp_buf_clear(&problems);
	char path[] = "/tmp/config_test.XXXXXX";
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, contract, sizeof(contract) - 1), sizeof(contract) - 1);
	struct config *c = load(path, &problems);
	assert_non_null(c);
	check_defaults(c);
	config_unref(c);
	assert_int_equal(ftruncate(fd, (16 << 20) + 1), 0);
	assert_null(load(path, &problems));
	assert_non_null(strstr(sp_buf_cstr(&problems), ": larger than 16 MiB; is this the right file?\n"));
	sp_buf_clear(&problems);
	close(fd);
	unlink(path);
}

static void test_references(void **state)
{
	(void)state;
	struct config *c = parse_sound(HOST);
	assert_ptr_equal(config_ref(c), c);
	config_unref(c);
	assert_string_equal(c->hostname, "relay.example.com");
	config_unref(c);
	config_unref(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_contract_and_its_defaults),
		cmocka_unit_test(test_an_empty_file),
		cmocka_unit_test(test_every_row),
		cmocka_unit_test(test_users_file),
		cmocka_unit_test(test_hostnames),
		cmocka_unit_test(test_mistakes),
		cmocka_unit_test(test_not_yaml),
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_everything_is_printed_back),
		cmocka_unit_test(test_the_rows_are_told),
		cmocka_unit_test(test_a_long_value_is_told_in_part),
		cmocka_unit_test(test_problems_without_end),
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_references),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
