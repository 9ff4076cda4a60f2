/* tests/unit/core_tls_test.c - core/tls.c, core/tls_stream.c and core/tls_verify.c: verification as rows over chains made
 * on the spot, handshakes in memory against OpenSSL's server side. */
#include "core/tls_impl.h"
#include "core/tls_stream.h"
#include "tls_fixture.h"

#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static struct cert root, other_root, middle, old_middle, leaf;
static struct core_tls_client *client;

static int set_up(void **state)
{
	(void)state;
	root = cert_make(&(struct cert_ask){ .cn = "Test Root", .ca = true, .from_s = -999 * CERT_DAY, .to_s = 999 * CERT_DAY },
	                 NULL);
	other_root = cert_make(&(struct cert_ask){ .cn = "Other Root", .ca = true }, NULL);
	middle = cert_make(&(struct cert_ask){ .cn = "Middle", .ca = true, .from_s = -99 * CERT_DAY, .to_s = 99 * CERT_DAY },
	                   &root);
	old_middle = cert_make(&(struct cert_ask){ .cn = "Old Middle", .ca = true, .from_s = -9 * CERT_DAY,
	                                           .to_s = -CERT_DAY }, &root);
	leaf = cert_make(&(struct cert_ask){ .cn = "mx", .alt = "DNS:mx.example.com" }, &middle);

	char path[64];
	cert_write_pem(&root, path);
	struct sp_fail why;
	client = core_tls_client_new(path, &why);
	unlink(path);
	return client ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	cert_clear(&root);
	cert_clear(&other_root);
	cert_clear(&middle);
	cert_clear(&old_middle);
	cert_clear(&leaf);
	core_tls_client_unref(client);
	return 0;
}

/* Verification. */

enum signer { BY_ROOT, BY_MIDDLE, BY_OLD_MIDDLE, BY_OTHER, BY_ITSELF, BY_LEAF };

static const struct cert *signer_of(enum signer s)
{
	static const struct cert *const certs[] = { &root, &middle, &old_middle, &other_root, NULL, &leaf };
	return certs[s];
}

#define OK SP_RESULT_NONE
#define MISMATCH SP_RESULT_CERTIFICATE_HOST_MISMATCH
#define EXPIRED SP_RESULT_CERTIFICATE_EXPIRED
#define UNTRUSTED SP_RESULT_CERTIFICATE_NOT_TRUSTED

#define DAYS(a, b) .from_s = (a) * CERT_DAY, .to_s = (b) * CERT_DAY
static const struct {
	const char *label;
	struct cert_ask leaf;
	enum signer by;
	bool bare;                      /* the signer's certificate is not in the chain that is shown */
	const char *host;
	enum sp_result want;
	const char *reason;
} rows[] = {
	/* names: RFC 8461 4.1, RFC 6125 6.4 */
	{ "exact name", { .cn = "x", .alt = "DNS:mx.example.com" }, BY_ROOT, 0, "mx.example.com", OK, "" },
	{ "through an intermediate", { .cn = "x", .alt = "DNS:mx.example.com" }, BY_MIDDLE, 0, "mx.example.com", OK, "" },
	{ "second of two names", { .cn = "x", .alt = "DNS:a.example,DNS:mx.example.com" }, BY_ROOT, 0,
	  "mx.example.com", OK, "" },
	{ "names have no case", { .cn = "x", .alt = "DNS:MX.Example.COM" }, BY_ROOT, 0, "mx.example.com", OK, "" },
	{ "dot at the end of the host", { .cn = "x", .alt = "DNS:mx.example.com" }, BY_ROOT, 0, "mx.example.com.", OK, "" },
	{ "other name", { .cn = "x", .alt = "DNS:mx.example.com" }, BY_ROOT, 0, "mx.example.org", MISMATCH,
	  "X509_V_ERR_HOSTNAME_MISMATCH" },
	{ "wildcard is one label", { .cn = "x", .alt = "DNS:*.example.com" }, BY_ROOT, 0, "mx.example.com", OK, "" },
	{ "wildcard is not two labels", { .cn = "x", .alt = "DNS:*.example.com" }, BY_ROOT, 0,
	  "a.mx.example.com", MISMATCH, NULL },
	{ "wildcard is not no label", { .cn = "x", .alt = "DNS:*.example.com" }, BY_ROOT, 0,
	  "example.com", MISMATCH, NULL },
	{ "wildcard is a whole label", { .cn = "x", .alt = "DNS:mx*.example.com" }, BY_ROOT, 0,
	  "mx1.example.com", MISMATCH, NULL },
	{ "wildcard is on the left", { .cn = "x", .alt = "DNS:mx.*.com" }, BY_ROOT, 0, "mx.example.com", MISMATCH,
	  NULL },
	{ "CN counts for nothing", { .cn = "mx.example.com", .alt = "DNS:a.example" }, BY_ROOT, 0, "mx.example.com", MISMATCH,
	  NULL },
	{ "CN alone counts for nothing", { .cn = "mx.example.com" }, BY_ROOT, 0, "mx.example.com", MISMATCH,
	  NULL },
	{ "host with a dot in front", { .cn = "x", .alt = "DNS:mx.example.com" }, BY_ROOT, 0,
	  ".example.com", MISMATCH, NULL },
	{ "empty host", { .cn = "x", .alt = "DNS:mx.example.com" }, BY_ROOT, 0, "", MISMATCH, NULL },
	{ "address among the names", { .cn = "x", .alt = "IP:192.0.2.1" }, BY_ROOT, 0, "192.0.2.1", MISMATCH, NULL },
	{ "mail address among the names", { .cn = "x", .alt = "email:a@mx.example.com" }, BY_ROOT, 0, "mx.example.com", MISMATCH,
	  NULL },
	/* dates */
	{ "expired", { .cn = "x", .alt = "DNS:mx.example.com", DAYS(-9, -1) }, BY_ROOT, 0, "mx.example.com", EXPIRED,
	  "X509_V_ERR_CERT_HAS_EXPIRED" },
	{ "not valid yet is not expired", { .cn = "x", .alt = "DNS:mx.example.com", DAYS(1, 9) }, BY_ROOT, 0, "mx.example.com",
	  UNTRUSTED, "X509_V_ERR_CERT_NOT_YET_VALID" },
	{ "expired intermediate", { .cn = "x", .alt = "DNS:mx.example.com" }, BY_OLD_MIDDLE, 0,
	  "mx.example.com", EXPIRED, NULL },
	/* trust */
	{ "unknown root", { .cn = "x", .alt = "DNS:mx.example.com" }, BY_OTHER, 0, "mx.example.com", UNTRUSTED,
	  "X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN" },
	{ "unknown root, not shown", { .cn = "x", .alt = "DNS:mx.example.com" }, BY_OTHER, 1, "mx.example.com", UNTRUSTED,
	  "X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY" },
	{ "self-signed", { .cn = "x", .alt = "DNS:mx.example.com" }, BY_ITSELF, 0, "mx.example.com", UNTRUSTED,
	  "X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT" },
	{ "intermediate forgotten", { .cn = "x", .alt = "DNS:mx.example.com" }, BY_MIDDLE, 1, "mx.example.com", UNTRUSTED,
	  "X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY" },
	{ "issued by a leaf", { .cn = "x", .alt = "DNS:mx.example.com" }, BY_LEAF, 0, "mx.example.com", UNTRUSTED, NULL },
	{ "for clients only", { .cn = "x", .alt = "DNS:mx.example.com", .usage = "clientAuth" }, BY_ROOT, 0, "mx.example.com",
	  UNTRUSTED, "X509_V_ERR_INVALID_PURPOSE" },
	{ "for servers", { .cn = "x", .alt = "DNS:mx.example.com", .usage = "serverAuth" }, BY_ROOT, 0,
	  "mx.example.com", OK, "" },
	{ "RSA 1024", { .cn = "x", .alt = "DNS:mx.example.com", .weak = true }, BY_ROOT, 0, "mx.example.com", UNTRUSTED,
	  "X509_V_ERR_EE_KEY_TOO_SMALL" },
	/* several faults: the order of tls.h */
	{ "untrusted before expired", { .cn = "x", .alt = "DNS:mx.example.com", DAYS(-9, -1) }, BY_ITSELF, 0, "mx.example.com",
	  UNTRUSTED, NULL },
	{ "untrusted before mismatch", { .cn = "x", .alt = "DNS:a.example" }, BY_ITSELF, 0,
	  "mx.example.com", UNTRUSTED, NULL },
	{ "expired before mismatch", { .cn = "x", .alt = "DNS:a.example", DAYS(-9, -1) }, BY_ROOT, 0, "mx.example.com",
	  EXPIRED, NULL },
};

static STACK_OF(X509) *chain_of(const struct cert *first, const struct cert *second)
{
	STACK_OF(X509) *certs = sk_X509_new_null();
	sk_X509_push(certs, first->x509);
	if (second)
		sk_X509_push(certs, second->x509);
	return certs;
}

static void test_verify(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		const struct cert *by = signer_of(rows[i].by);
		struct cert cert = cert_make(&rows[i].leaf, by);
		struct x509_chain chain = { chain_of(&cert, rows[i].bare ? NULL : by) };
		struct core_tls_peer peer = { .version = "TLSv1.3", .cipher = "c", .chain = &chain };
		struct sp_fail why;
		bool got = core_tls_verify(client, &peer, rows[i].host, CERT_NOW, &why);
		if (got != (rows[i].want == OK) || why.result != rows[i].want ||
		    (rows[i].reason && strcmp(why.reason, rows[i].reason) != 0))
			fail_msg("%s: want %s %s, got %s %s (%s)", rows[i].label, sp_result_str(rows[i].want),
			         rows[i].reason ? rows[i].reason : "", sp_result_str(why.result), why.reason, why.text);
		assert_int_equal(sp_failed(&why), !got);
		sk_X509_free(chain.certs);
		cert_clear(&cert);
	}
}

static void test_no_certificate_is_validation_failure(void **state)
{
	(void)state;
	struct core_tls_peer peer = { .version = "TLSv1.2", .cipher = "ADH-AES256-SHA" };
	struct sp_fail why;
	assert_false(core_tls_verify(client, &peer, "mx.example.com", CERT_NOW, &why));
	assert_int_equal(why.result, SP_RESULT_VALIDATION_FAILURE);
	assert_string_equal(why.reason, "no-certificate");
	assert_true(core_tls_chain_expires(&peer) == INT64_MAX);
}

/* DESIGN: depth 10 at most, else validation-failure. */
static void test_chain_too_long(void **state)
{
	(void)state;
	static const char *const names[] = { "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11" };
	for (int count = 10; count <= 11; count++) {
		struct cert cas[11];
		STACK_OF(X509) *certs = sk_X509_new_null();
		for (int i = 0; i < count; i++)
			cas[i] = cert_make(&(struct cert_ask){ .cn = names[i], .ca = true }, i ? &cas[i - 1] : &root);
		struct cert last = cert_make(&(struct cert_ask){ .cn = "x", .alt = "DNS:mx.example.com" }, &cas[count - 1]);
		sk_X509_push(certs, last.x509);
		for (int i = count - 1; i >= 0; i--)
			sk_X509_push(certs, cas[i].x509);
		struct x509_chain chain = { certs };
		struct core_tls_peer peer = { .chain = &chain };
		struct sp_fail why;
		bool got = core_tls_verify(client, &peer, "mx.example.com", CERT_NOW, &why);
		if (count <= 10)
			assert_true(got);
		else
			assert_string_equal(sp_result_str(why.result), "validation-failure");
		sk_X509_free(certs);
		cert_clear(&last);
		for (int i = 0; i < count; i++)
			cert_clear(&cas[i]);
	}
}

static void test_describe_and_expiry(void **state)
{
	(void)state;
	struct cert_ask odd = { .cn = "m\xc3\xbc\nx", .alt = "DNS:a.example,DNS:b.example" };
	struct cert cert = cert_make(&odd, &old_middle);
	struct x509_chain chain = { chain_of(&cert, &old_middle) };
	struct core_tls_peer peer = { .chain = &chain };
	struct sp_buf text;
	sp_buf_init(&text, 4096);
	core_tls_describe(&peer, &text);
	assert_non_null(strstr(sp_buf_cstr(&text), "names=a.example,b.example issuer=\"CN=Old Middle\" "
	                                           "expires=2023-11-15T22:13:20Z"));
	for (size_t i = 0; i < text.len; i++)
		assert_true(sp_is_print(text.p[i]));
	assert_true(core_tls_chain_expires(&peer) == CERT_NOW - CERT_DAY);      /* the intermediate's */
	sp_buf_clear(&text);
	sk_X509_free(chain.certs);
	cert_clear(&cert);
}

static size_t count_of(struct sp_str text, const char *what)
{
	size_t count = 0;
	for (const char *at = text.p; at && (at = strstr(at, what)) != NULL; at++)
		count++;
	return count;
}

static void test_the_chain_one_by_one_and_as_pem(void **state)
{
	(void)state;
	struct cert_ask ask = { .cn = "mx", .alt = "DNS:a.example,DNS:b.example" };
	struct cert cert = cert_make(&ask, &old_middle);
	struct x509_chain chain = { chain_of(&cert, &old_middle) };
	struct core_tls_peer peer = { .chain = &chain }, none = { 0 };
	struct core_tls_certificate c;
	struct sp_buf pem;
	core_tls_certificate_init(&c);
	assert_false(core_tls_chain_at(&none, 0, &c));
	assert_true(core_tls_chain_at(&peer, 0, &c));
	assert_string_equal(sp_buf_cstr(&c.names), "a.example b.example");
	assert_string_equal(sp_buf_cstr(&c.issuer), "CN=Old Middle");
	assert_true(core_tls_chain_at(&peer, 1, &c));
	assert_string_equal(sp_buf_cstr(&c.subject), "CN=Old Middle");
	assert_string_equal(sp_buf_cstr(&c.names), "");
	assert_true(c.not_after_s == CERT_NOW - CERT_DAY);
	assert_false(core_tls_chain_at(&peer, 2, &c));
	core_tls_certificate_clear(&c);
	sp_buf_init(&pem, 8192);
	core_tls_chain_pem(&peer, &pem);
	assert_int_equal(count_of(sp_buf_str(&pem), "-----BEGIN CERTIFICATE-----"), 2);
	size_t len = pem.len;
	sp_buf_clear(&pem);
	sp_buf_init(&pem, len - 1);
	core_tls_chain_pem(&peer, &pem);
	assert_int_equal(count_of(sp_buf_str(&pem), "-----END CERTIFICATE-----"), 1);           /* no half of one */
	assert_false(sp_buf_failed(&pem));
	sp_buf_clear(&pem);
	sk_X509_free(chain.certs);
	cert_clear(&cert);
}

/* Contexts. */

static void test_version_parse(void **state)
{
	(void)state;
	static const struct { const char *text; bool ok; enum core_tls_version want; } versions[] = {
		{ "1.0", true, CORE_TLS_1_0 }, { "1.1", true, CORE_TLS_1_1 }, { "1.2", true, CORE_TLS_1_2 },
		{ "1.3", true, CORE_TLS_1_3 }, { "1.4", false, 0 }, { "", false, 0 }, { "1.2 ", false, 0 }, { "ssl3", false, 0 },
	};
	for (size_t i = 0; i < SP_COUNT(versions); i++) {
		enum core_tls_version got = 0;
		bool ok = core_tls_version_parse(sp_str_of(versions[i].text), &got);
		if (ok != versions[i].ok || got != versions[i].want)
			fail_msg("\"%s\": %d %d", versions[i].text, ok, got);
	}
}

static void test_ca_file_that_cannot_serve(void **state)
{
	(void)state;
	char empty[] = "/tmp/strictpost-test-XXXXXX";
	close(mkstemp(empty));
	const char *const files[] = { "/nonexistent/ca.pem", empty, "/" };
	for (size_t i = 0; i < SP_COUNT(files); i++) {
		struct sp_fail why;
		assert_null(core_tls_client_new(files[i], &why));
		assert_int_equal(why.kind, SP_FAIL_TLS);
		assert_non_null(strstr(why.text, files[i]));
	}
	unlink(empty);
}

static void test_system_store_that_is_empty_is_told(void **state)
{
	(void)state;
	char dir[] = "/tmp/strictpost-test-XXXXXX";
	assert_non_null(mkdtemp(dir));
	setenv("SSL_CERT_DIR", dir, 1);
	setenv("SSL_CERT_FILE", "/nonexistent", 1);
	struct sp_fail why;
	assert_null(core_tls_client_new("", &why));
	assert_non_null(strstr(why.text, "ca-certificates"));
	unsetenv("SSL_CERT_DIR");
	unsetenv("SSL_CERT_FILE");
	rmdir(dir);
}

/* Handshakes in memory. */

struct pair {
	struct core_tls_stream *stream;
	SSL *server;
	struct sp_buf out;              /* from the stream */
	enum core_tls_step step;        /* the stream's last */
	struct sp_fail why;
	bool server_done, server_failed;
};

static struct core_tls_io lent(struct pair *p)
{
	char *data;
	long len = BIO_get_mem_data(SSL_get_wbio(p->server), &data);
	return (struct core_tls_io){ .in = sp_str_make(data, (size_t)len), .out = &p->out };
}

/* The stream has read what the server wrote; the server gets what the stream wrote. */
static void pass(struct pair *p, const struct core_tls_io *io)
{
	assert_int_equal(io->in.len, 0);
	assert_int_equal(BIO_reset(SSL_get_wbio(p->server)), 1);
	if (p->out.len > 0)
		assert_int_equal(BIO_write(SSL_get_rbio(p->server), p->out.p, (int)p->out.len), (int)p->out.len);
	sp_buf_reset(&p->out);
}

static void pair_open(struct pair *p, SSL_CTX *ctx, const struct core_tls_ask *ask)
{
	*p = (struct pair){ .why = SP_FAIL_OK };
	sp_buf_init(&p->out, 1 << 20);
	p->server = SSL_new(ctx);
	SSL_set_bio(p->server, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
	BIO_set_mem_eof_return(SSL_get_rbio(p->server), -1);
	p->stream = core_tls_stream_client(ask, &p->why);
	assert_non_null(p->stream);
	for (int i = 0; i < 10 && p->step == CORE_TLS_MORE; i++) {
		struct core_tls_io io = lent(p);
		p->step = core_tls_stream_handshake(p->stream, &io, &p->why);
		if (p->step == CORE_TLS_BROKEN)
			break;
		pass(p, &io);
		int r = SSL_accept(p->server);
		p->server_failed = r != 1 && SSL_get_error(p->server, r) != SSL_ERROR_WANT_READ;
	}
}

/* After a handshake: the client's Finished to the server, the server's tickets to the client. */
static void settle(struct pair *p)
{
	char text[16];
	size_t len;
	assert_int_equal(p->step, CORE_TLS_DONE);
	for (int i = 0; i < 2; i++) {
		struct core_tls_io io = lent(p);
		assert_int_equal(core_tls_stream_read(p->stream, &io, text, sizeof(text), &len, &p->why), CORE_TLS_MORE);
		pass(p, &io);
		SSL_accept(p->server);
	}
	assert_true(SSL_is_init_finished(p->server));
}

static void pair_close(struct pair *p)
{
	core_tls_stream_free(p->stream);
	SSL_free(p->server);
	sp_buf_clear(&p->out);
}

static SSL_CTX *usual_server(int version)
{
	const struct cert *rest[] = { &middle, NULL };
	SSL_CTX *ctx = tls_server_context(&leaf, rest);
	SSL_CTX_set_min_proto_version(ctx, version);
	SSL_CTX_set_max_proto_version(ctx, version);
	return ctx;
}

static struct core_tls_ask ask_of(enum core_tls_version min, struct core_tls_session *resume)
{
	return (struct core_tls_ask){ .client = client, .sni = "mx.example.com", .min_version = min, .resume = resume };
}

static void test_handshake_by_version(void **state)
{
	(void)state;
	static const struct { int server; enum core_tls_version min; const char *want; } versions[] = {
		{ TLS1_3_VERSION, CORE_TLS_1_2, "TLSv1.3" }, { TLS1_2_VERSION, CORE_TLS_1_2, "TLSv1.2" },
		{ TLS1_1_VERSION, CORE_TLS_1_2, NULL },      { TLS1_VERSION, CORE_TLS_1_2, NULL },
		{ TLS1_2_VERSION, CORE_TLS_1_3, NULL },      { TLS1_1_VERSION, CORE_TLS_1_0, "TLSv1.1" },
		{ TLS1_VERSION, CORE_TLS_1_0, "TLSv1" },     { TLS1_VERSION, CORE_TLS_1_1, NULL },
	};
	for (size_t i = 0; i < SP_COUNT(versions); i++) {
		SSL_CTX *ctx = usual_server(versions[i].server);
		struct core_tls_ask ask = ask_of(versions[i].min, NULL);
		struct pair p;
		pair_open(&p, ctx, &ask);
		if (versions[i].want) {
			assert_int_equal(p.step, CORE_TLS_DONE);
			const struct core_tls_peer *peer = core_tls_stream_peer(p.stream);
			assert_string_equal(peer->version, versions[i].want);
			assert_false(peer->resumed);
			struct sp_fail why;
			assert_true(core_tls_verify(client, peer, "mx.example.com", CERT_NOW, &why));
		} else {
			assert_true(p.step == CORE_TLS_BROKEN || p.server_failed);
		}
		pair_close(&p);
		SSL_CTX_free(ctx);
	}
}

static void test_refused_version_is_told(void **state)
{
	(void)state;
	SSL_CTX *ctx = usual_server(TLS1_2_VERSION);
	struct core_tls_ask ask = ask_of(CORE_TLS_1_3, NULL);
	struct pair p;
	pair_open(&p, ctx, &ask);
	assert_int_equal(p.step, CORE_TLS_BROKEN);
	assert_int_equal(p.why.kind, SP_FAIL_TLS);
	assert_int_equal(p.why.result, SP_RESULT_VALIDATION_FAILURE);
	assert_string_equal(p.why.reason, "alert-protocol-version");
	pair_close(&p);
	SSL_CTX_free(ctx);
}

/* RFC 8460 4.3: the reason of a failed handshake is a word that no version of OpenSSL changes. */
static void test_an_alert_is_told_by_its_name(void **state)
{
	(void)state;
	static const struct { char alert; const char *reason; } alerts[] = {    /* RFC 8446 6 */
		{ 0, "alert-close-notify" }, { 10, "alert-unexpected-message" }, { 40, "alert-handshake-failure" }, { 42, "alert-bad-certificate" }, { 47, "alert-illegal-parameter" },
		{ 70, "alert-protocol-version" }, { 71, "alert-insufficient-security" }, { 80, "alert-internal-error" }, { 86, "alert-inappropriate-fallback" },
		{ 112, "alert-unrecognized-name" }, { 99, "alert-99" },
	};
	for (size_t i = 0; i < SP_COUNT(alerts); i++) {
		struct core_tls_ask ask = ask_of(CORE_TLS_1_0, NULL);
		struct sp_fail why;
		struct sp_buf out;
		sp_buf_init(&out, 65536);
		struct core_tls_stream *s = core_tls_stream_client(&ask, &why);
		struct core_tls_io io = { .out = &out };
		assert_int_equal(core_tls_stream_handshake(s, &io, &why), CORE_TLS_MORE);
		const char record[] = { 21, 3, 1, 0, 2, 2, alerts[i].alert };   /* RFC 5246 7.2: fatal */
		io.in = sp_str_make(record, sizeof(record));
		assert_int_equal(core_tls_stream_handshake(s, &io, &why), CORE_TLS_BROKEN);
		print_message("%d: want %s, got %s (%s)\n", alerts[i].alert, alerts[i].reason, why.reason, why.text);
		assert_int_equal(why.result, SP_RESULT_VALIDATION_FAILURE);
		assert_string_equal(why.reason, alerts[i].reason);
		core_tls_stream_free(s);
		sp_buf_clear(&out);
	}
}

/* CVE-2021-22947: a reply sent in clear behind the 220. */
static void test_clear_text_breaks_the_handshake(void **state)
{
	(void)state;
	struct core_tls_ask ask = ask_of(CORE_TLS_1_2, NULL);
	struct sp_fail why;
	struct sp_buf out;
	sp_buf_init(&out, 65536);
	struct core_tls_stream *s = core_tls_stream_client(&ask, &why);
	struct core_tls_io io = { .out = &out };
	assert_int_equal(core_tls_stream_handshake(s, &io, &why), CORE_TLS_MORE);
	assert_true(out.len > 0);
	sp_buf_reset(&out);
	io.in = SP_STR("250 injected\r\n");
	assert_int_equal(core_tls_stream_handshake(s, &io, &why), CORE_TLS_BROKEN);
	assert_string_equal(why.reason, "wrong-version-number");
	assert_false(core_tls_stream_write(s, &io, SP_STR("QUIT\r\n"), &why));
	core_tls_stream_free(s);
	sp_buf_clear(&out);
}

static void test_anonymous_only_when_opportunistic(void **state)
{
	(void)state;
	static const struct { enum core_tls_version min; bool works; } mins[] = {
		{ CORE_TLS_1_0, true }, { CORE_TLS_1_2, false },
	};
	for (size_t i = 0; i < SP_COUNT(mins); i++) {
		SSL_CTX *ctx = tls_server_context(NULL, NULL);
		SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
		SSL_CTX_set_cipher_list(ctx, "aNULL:@SECLEVEL=0");
		SSL_CTX_set_dh_auto(ctx, 1);
		struct core_tls_ask ask = ask_of(mins[i].min, NULL);
		struct pair p;
		pair_open(&p, ctx, &ask);
		assert_int_equal(p.step == CORE_TLS_DONE, mins[i].works);
		assert_null(core_tls_stream_peer(p.stream)->chain);
		pair_close(&p);
		SSL_CTX_free(ctx);
	}
}

static void test_chain_over_100_kib_is_answered_with_an_alert(void **state)
{
	(void)state;
	static char alt[110 * 1024];
	size_t len = 0;
	for (int i = 0; len + 80 < sizeof(alt); i++)
		len += (size_t)snprintf(alt + len, sizeof(alt) - len, "%sDNS:a-rather-long-name-%d.example.com", i ? "," : "", i);
	struct cert big = cert_make(&(struct cert_ask){ .cn = "big", .alt = alt }, &root);
	struct cert again = cert_make(&(struct cert_ask){ .cn = "big", .alt = alt }, &root);
	const struct cert *rest[] = { &again, NULL };
	SSL_CTX *ctx = tls_server_context(&big, rest);
	SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
	struct core_tls_ask ask = ask_of(CORE_TLS_1_2, NULL);
	struct pair p;
	pair_open(&p, ctx, &ask);
	assert_int_equal(p.step, CORE_TLS_BROKEN);
	assert_int_equal(p.why.result, SP_RESULT_VALIDATION_FAILURE);
	assert_true(p.out.len > 0);
	assert_int_equal(p.out.p[0], 21);               /* RFC 5246 6.2.1: alert; to be sent although it failed */
	pair_close(&p);
	SSL_CTX_free(ctx);
	cert_clear(&big);
	cert_clear(&again);
}

static void test_records_both_ways_and_goodbye(void **state)
{
	(void)state;
	SSL_CTX *ctx = usual_server(TLS1_3_VERSION);
	struct core_tls_ask ask = ask_of(CORE_TLS_1_2, NULL);
	struct pair p;
	pair_open(&p, ctx, &ask);
	settle(&p);

	char text[8];
	size_t len;
	struct core_tls_io io = lent(&p);
	assert_true(core_tls_stream_write(p.stream, &io, SP_STR("EHLO"), &p.why));
	pass(&p, &io);
	assert_int_equal(SSL_read(p.server, text, sizeof(text)), 4);
	assert_int_equal(SSL_write(p.server, "0123456789", 10), 10);
	SSL_shutdown(p.server);

	io = lent(&p);          /* more than there is room for, then the rest and the end */
	assert_int_equal(core_tls_stream_read(p.stream, &io, text, sizeof(text), &len, &p.why), CORE_TLS_DONE);
	assert_int_equal(len, 8);
	assert_int_equal(core_tls_stream_read(p.stream, &io, text, sizeof(text), &len, &p.why), CORE_TLS_END);
	assert_int_equal(len, 2);
	core_tls_stream_goodbye(p.stream, &io);
	pass(&p, &io);
	assert_int_equal(SSL_shutdown(p.server), 1);
	pair_close(&p);
	SSL_CTX_free(ctx);
}

/* Resumption. */

/* `3 1 0` of the certificate. */
static bool matches_tlsa(const struct core_tls_peer *peer, const struct cert *of)
{
	unsigned char *key = NULL;
	int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(of->x509), &key);
	struct core_tlsa r = { 3, 1, 0, { (const char *)key, (size_t)len } };
	struct sp_fail why;
	bool got = core_tls_verify_dane(client, peer, &(struct core_tls_dane){ .records = &r, .count = 1 }, CERT_NOW, NULL, &why);
	OPENSSL_free(key);
	return got;
}

static void test_ticket_resumes_and_the_chain_is_still_there(void **state)
{
	(void)state;
	static const struct { int version; bool once; } versions[] = { { TLS1_2_VERSION, false }, { TLS1_3_VERSION, true } };
	for (size_t i = 0; i < SP_COUNT(versions); i++) {
		SSL_CTX *ctx = usual_server(versions[i].version);
		struct core_tls_ask ask = ask_of(CORE_TLS_1_2, NULL);
		struct pair p;
		pair_open(&p, ctx, &ask);
		settle(&p);
		struct core_tls_session *ticket = core_tls_stream_session(p.stream);
		assert_non_null(ticket);
		pair_close(&p);

		ask.resume = ticket;
		pair_open(&p, ctx, &ask);
		settle(&p);
		const struct core_tls_peer *peer = core_tls_stream_peer(p.stream);
		assert_true(peer->resumed);
		struct sp_fail why;
		assert_true(core_tls_verify(client, peer, "mx.example.com", CERT_NOW, &why));
		assert_false(core_tls_verify(client, peer, "mx.example.org", CERT_NOW, &why));
		assert_int_equal(why.result, MISMATCH);
		assert_true(matches_tlsa(peer, &leaf));
		assert_false(matches_tlsa(peer, &middle));
		struct core_tls_session *next = core_tls_stream_session(p.stream);
		assert_non_null(next);
		core_tls_session_unref(next);
		pair_close(&p);

		pair_open(&p, ctx, &ask);               /* RFC 8446 C.4: a TLS 1.3 ticket is used once */
		settle(&p);
		assert_int_equal(core_tls_stream_peer(p.stream)->resumed, !versions[i].once);
		pair_close(&p);
		core_tls_session_unref(ticket);
		SSL_CTX_free(ctx);
	}
}

static void test_session_of_another_name_or_demand_is_passed_over(void **state)
{
	(void)state;
	SSL_CTX *ctx = usual_server(TLS1_2_VERSION);
	struct core_tls_ask ask = ask_of(CORE_TLS_1_0, NULL);
	struct pair p;
	pair_open(&p, ctx, &ask);
	settle(&p);
	struct core_tls_session *ticket = core_tls_stream_session(p.stream);
	pair_close(&p);

	const struct core_tls_ask others[] = {
		{ client, "mx.example.com", CORE_TLS_1_2, ticket },
		{ client, "other.example.com", CORE_TLS_1_0, ticket },
		{ client, NULL, CORE_TLS_1_0, ticket },
	};
	for (size_t i = 0; i < SP_COUNT(others); i++) {
		pair_open(&p, ctx, &others[i]);
		settle(&p);
		assert_false(core_tls_stream_peer(p.stream)->resumed);
		pair_close(&p);
	}
	core_tls_session_unref(ticket);
	core_tls_session_unref(NULL);
	SSL_CTX_free(ctx);
}

/* DESIGN: a TLS session under 64 KiB. (The sanitizers' allocator does not count, there it always holds.) */
static void test_idle_stream_is_small(void **state)
{
	(void)state;
	enum { COUNT = 50 };
	static struct pair pairs[COUNT];
	SSL_CTX *ctx = usual_server(TLS1_3_VERSION);
	struct core_tls_ask ask = ask_of(CORE_TLS_1_2, NULL);
	for (int i = 0; i < COUNT; i++) {
		pair_open(&pairs[i], ctx, &ask);
		settle(&pairs[i]);
		SSL_free(pairs[i].server);
		pairs[i].server = NULL;
		sp_buf_clear(&pairs[i].out);
	}
	size_t before = mallinfo2().uordblks;
	for (int i = 0; i < COUNT; i++)
		pair_close(&pairs[i]);
	size_t each = (before - mallinfo2().uordblks) / COUNT;
	print_message("an idle client stream: %zu octets\n", each);
	assert_true(each < 60 * 1024);
	SSL_CTX_free(ctx);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_verify),
		cmocka_unit_test(test_no_certificate_is_validation_failure),
		cmocka_unit_test(test_chain_too_long),
		cmocka_unit_test(test_describe_and_expiry),
		cmocka_unit_test(test_the_chain_one_by_one_and_as_pem),
		cmocka_unit_test(test_version_parse),
		cmocka_unit_test(test_ca_file_that_cannot_serve),
		cmocka_unit_test(test_system_store_that_is_empty_is_told),
		cmocka_unit_test(test_handshake_by_version),
		cmocka_unit_test(test_refused_version_is_told),
		cmocka_unit_test(test_an_alert_is_told_by_its_name),
		cmocka_unit_test(test_clear_text_breaks_the_handshake),
		cmocka_unit_test(test_anonymous_only_when_opportunistic),
		cmocka_unit_test(test_chain_over_100_kib_is_answered_with_an_alert),
		cmocka_unit_test(test_records_both_ways_and_goodbye),
		cmocka_unit_test(test_ticket_resumes_and_the_chain_is_still_there),
		cmocka_unit_test(test_session_of_another_name_or_demand_is_passed_over),
		cmocka_unit_test(test_idle_stream_is_small),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
