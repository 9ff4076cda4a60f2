/* tests/unit/relay_config_listen_test.c - relay/config_listen.c, config_listen_check.c and config_origin.c: what goes together at a listener, what is to be
 * warned of, and files that change under a configuration. */
#include "relay/config.h"
#include "tls_fixture.h"

#include <fcntl.h>
#include <openssl/pem.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define HOST "hostname: relay.example.com\n"
#define AT HOST "listen:\n- address: 127.0.0.1:587\n"           /* two lines; what follows is on line 4 */
#define PAIR "  certificate: /DIR/pair.pem\n"
#define USERS "auth: {users_file: /DIR/users}\n"

static char dir[] = "/tmp/strictpost-test-XXXXXX";

static void write_pair(const char *name, const struct cert *cert, const struct cert *key)
{
	char path[128];
	snprintf(path, sizeof(path), "%s/%s.new", dir, name);
	FILE *f = fopen(path, "w");
	sp_assert(f && PEM_write_X509(f, cert->x509) == 1 && PEM_write_PrivateKey(f, key->key, NULL, NULL, 0, NULL, NULL) == 1);
	fclose(f);
	char to[128];
	snprintf(to, sizeof(to), "%s/%s", dir, name);
	sp_assert(rename(path, to) == 0);
}

static void make_pair(const char *name, const char *host, int from_d, int to_d)
{
	char alt[64];
	snprintf(alt, sizeof(alt), "DNS:%s", host);
	struct cert cert = cert_make(&(struct cert_ask){ .cn = "x", .alt = alt, .from_s = from_d * CERT_DAY, .to_s = to_d * CERT_DAY }, NULL);
	write_pair(name, &cert, &cert);
	cert_clear(&cert);
}

static int set_up(void **state)
{
	(void)state;
	sp_assert(mkdtemp(dir));
	make_pair("pair.pem", "relay.example.com", -1, 90);
	char path[128];
	snprintf(path, sizeof(path), "%s/users", dir);
	int fd = open(path, O_WRONLY | O_CREAT, 0600);
	sp_assert(fd >= 0 && close(fd) == 0);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	char command[64];
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command);
}

/* `text` with /DIR made the folder of this test. */
static struct config *parse(const char *text, struct sp_buf *problems)
{
	struct sp_buf file;
	sp_buf_init(&file, 65536);
	sp_buf_init(problems, 65536);
	for (const char *p = text, *next; *p; p = next) {
		next = strstr(p, "/DIR");
		size_t len = next ? (size_t)(next - p) : strlen(p);
		sp_buf_add(&file, sp_str_make(p, len));
		sp_buf_adds(&file, next ? dir : "");
		next = next ? next + 4 : p + len;
	}
	struct config *c = config_parse(sp_buf_str(&file), "t.yaml", problems);
	sp_buf_clear(&file);
	return c;
}

static const struct { const char *label, *text, *want; } rows[] = {      /* want NULL: it is sound */
	{ "starttls", AT "  tls: starttls\n" PAIR, NULL },
	{ "implicit", AT "  tls: implicit\n" PAIR "  key: /DIR/pair.pem\n  tls_client_ca: /DIR/pair.pem\n  tickets: no\n", NULL },
	{ "required", AT "  tls: starttls\n  tls_required: yes\n" PAIR, NULL },
	{ "networks", AT "  xclient: [10.0.0.1]\n  proxy: [10.0.0.0/8]\n", NULL },
	{ "AUTH", AT "  tls: starttls\n" PAIR "  auth: required\n" USERS, NULL },
	{ "unix socket", HOST "listen:\n- {address: \"unix:/run/x.sock\", unix_mode: 0666}\n", NULL },
	{ "old versions", AT "  tls: implicit\n" PAIR "tls: {listen_min: 1.0}\n", NULL },
	{ "no certificate", AT "  tls: starttls\n", "t.yaml:4: listen.tls: needs a certificate (and its key)\n" },
	{ "no such certificate", AT "  tls: starttls\n  certificate: /none.pem\n", "t.yaml:5: listen.certificate: cannot read /none.pem: there is no such file\n" },
	{ "tls is no word", AT "  tls: yes\n" PAIR, "t.yaml:4: listen.tls: takes one of: none starttls implicit\n" },
	{ "a certificate and no tls", AT PAIR, "t.yaml:4: listen.certificate: needs tls: starttls or tls: implicit\n" },
	{ "clients' authority and no tls", AT "  tls_client_ca: /DIR/pair.pem\n", "t.yaml:4: listen.tls_client_ca: needs tls: starttls or tls: implicit\n" },
	{ "required without tls", AT "  tls_required: yes\n", "t.yaml:4: listen.tls_required: needs tls: starttls\n" },
	{ "AUTH in clear", AT "  auth: offered\n" USERS, "t.yaml:4: listen.auth: needs tls: starttls or tls: implicit, for passwords are never taken in clear\n" },
	{ "AUTH without users", AT "  tls: starttls\n" PAIR "  auth: required\n", "t.yaml:6: listen.auth: needs auth.users_file; strictpost user add NAME makes one\n" },
	{ "auth is no word", AT "  auth: yes\n", "t.yaml:4: listen.auth: takes one of: none offered required\n" },
	{ "tickets is neither", AT "  tickets: some\n", "t.yaml:4: listen.tickets: takes yes or no\n" },
	{ "a path that is a list", AT "  tls: starttls\n" PAIR "  key: []\n", "t.yaml:6: listen.key: takes the absolute path of a file\n" },
	{ "networks of a unix socket", HOST "listen:\n- {address: \"unix:/run/x.sock\", allow: [10.0.0.0/8]}\n",
	  "t.yaml:3: listen.allow: has no meaning at a unix socket, where whoever may open it may relay (unix_mode)\n" },
	{ "TLS at a unix socket", HOST "listen:\n- {address: \"unix:/run/x.sock\", tls: starttls}\n",
	  "t.yaml:3: listen.tls: has no meaning at a unix socket, where whoever may open it may relay (unix_mode)\n" },
	{ "unix_mode of a port", AT "  unix_mode: 0600\n", "t.yaml:4: listen.unix_mode: is for an address such as unix:/run/strictpost/submit.sock\n" },
	{ "a mode that is none", HOST "listen:\n- {address: \"unix:/run/x.sock\", unix_mode: rw}\n",
	  "t.yaml:3: listen.unix_mode: takes the permission bits of the socket, such as 0660\n" },
	{ "a mode with more than permissions", HOST "listen:\n- {address: \"unix:/run/x.sock\", unix_mode: 1777}\n",
	  "t.yaml:3: listen.unix_mode: takes the permission bits of the socket, such as 0660\n" },
};

static void test_what_goes_together(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		struct sp_buf problems;
		struct config *c = parse(rows[i].text, &problems);
		if (strcmp(sp_buf_cstr(&problems), rows[i].want ? rows[i].want : "") != 0)
			fail_msg("%s: want %s, got %s", rows[i].label, rows[i].want ? rows[i].want : "nothing", sp_buf_cstr(&problems));
		if (c) {
			struct sp_buf once, twice;
			sp_buf_init(&once, 65536);
			sp_buf_init(&twice, 65536);
			config_print(c, &once);
			struct config *again = config_parse(sp_buf_str(&once), "again", &problems);
			if (again == NULL)
				fail_msg("%s: its print does not read back: %s", rows[i].label, sp_buf_cstr(&problems));
			config_print(again, &twice);
			assert_string_equal(sp_buf_cstr(&once), sp_buf_cstr(&twice));
			sp_buf_clear(&once);
			sp_buf_clear(&twice);
			config_unref(again);
		}
		config_unref(c);
		sp_buf_clear(&problems);
	}
}

static void test_defaults(void **state)
{
	(void)state;
	struct sp_buf problems;
	struct config *c = parse(HOST "listen:\n- {address: 127.0.0.1:587, tls: starttls, certificate: /DIR/pair.pem}\n"
	                         "- {address: \"unix:/run/x.sock\"}\n", &problems);
	assert_non_null(c);
	const struct config_listen *l = &c->listen.items[0];
	assert_int_equal(l->allow.count, 2);
	assert_true(l->tickets && !l->tls_required && l->auth == CONFIG_AUTH_NONE && l->server);
	assert_int_equal(c->listen.items[1].unix_mode, 0660);
	assert_int_equal(c->listen.items[1].allow.count, 0);
	config_unref(c);
	c = parse(AT "  tls: starttls\n  auth: required\n" PAIR USERS, &problems);
	assert_non_null(c);
	assert_int_equal(c->listen.items[0].allow.count, 0);            /* loopback too has to log in, unless `allow` says otherwise */
	config_unref(c);
	sp_buf_clear(&problems);
}

static void test_warnings(void **state)
{
	(void)state;
	static const struct { const char *label, *name; int from_d, to_d; const char *want; } certs[] = {
		{ "fine", "relay.example.com", -1, 90, "" },
		{ "expired", "relay.example.com", -9, -1, "expired on 2023-11-13" },
		{ "expires soon", "relay.example.com", -9, 13, "expires on 2023-11-27" },
		{ "two weeks and more", "relay.example.com", -9, 15, "" },
		{ "another's name", "mail.example.com", -1, 90, "is not for the hostname relay.example.com" },
		{ "a wildcard", "*.example.com", -1, 90, "" },
	};
	for (size_t i = 0; i < SP_COUNT(certs); i++) {
		struct sp_buf problems, out;
		sp_buf_init(&out, 65536);
		make_pair("warn.pem", certs[i].name, certs[i].from_d, certs[i].to_d);
		struct config *c = parse(HOST "report: {enabled: no}\nlisten:\n- {address: 127.0.0.1:587, tls: starttls, certificate: /DIR/warn.pem}\n"
		                         "- {address: 127.0.0.1:465, tls: implicit, certificate: /DIR/warn.pem}\n", &problems);
		assert_non_null(c);
		config_warnings(c, CERT_NOW, &out);
		unsigned lines = 0;
		for (size_t n = 0; n < out.len; n++)
			lines += out.p[n] == '\n';
		if (strstr(sp_buf_cstr(&out), certs[i].want) == NULL || lines != (*certs[i].want != '\0'))
			fail_msg("%s: want one line with '%s', got %s", certs[i].label, certs[i].want, sp_buf_cstr(&out));
		config_unref(c);
		sp_buf_clear(&out);
		sp_buf_clear(&problems);
	}
}

/* A certificate is renewed in two steps, the file of the key and that of the certificate: between them nothing fits, and the old one stays. */
static void test_half_renewed_pair(void **state)
{
	(void)state;
	struct sp_buf problems;
	make_pair("c.pem", "relay.example.com", -1, 10);
	struct config *c = parse(HOST "listen: [{address: 127.0.0.1:587, tls: starttls, certificate: /DIR/c.pem}]\n", &problems);
	assert_non_null(c);
	assert_false(config_files_changed(c));

	struct cert a = cert_make(&(struct cert_ask){ .cn = "a" }, NULL), b = cert_make(&(struct cert_ask){ .cn = "b" }, NULL);
	write_pair("c.pem", &a, &b);
	assert_true(config_files_changed(c));
	assert_null(config_reread(c, &problems));
	assert_non_null(strstr(sp_buf_cstr(&problems), "belongs to another certificate"));
	assert_true(config_files_changed(c));           /* and it is tried again */

	make_pair("c.pem", "relay.example.com", -1, 30);
	sp_buf_reset(&problems);
	struct config *renewed = config_reread(c, &problems);
	assert_non_null(renewed);
	assert_int_equal(core_tls_server_expires(renewed->listen.items[0].server), CERT_NOW + 30 * CERT_DAY);
	assert_false(config_files_changed(renewed));
	char path[128];
	snprintf(path, sizeof(path), "%s/c.pem", dir);
	assert_int_equal(unlink(path), 0);
	assert_true(config_files_changed(renewed));
	config_unref(renewed);
	config_unref(c);
	cert_clear(&a);
	cert_clear(&b);
	sp_buf_clear(&problems);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_goes_together),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_warnings),
		cmocka_unit_test(test_half_renewed_pair),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
