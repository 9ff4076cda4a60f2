/* core/tls_stream.c - see tls_stream.h. */
#include "core/tls_stream.h"

#include "core/tls_impl.h"

#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>

struct core_tls_stream {
	SSL *ssl;
	struct core_tls_client *client;         /* of this and the next one, one is NULL */
	struct core_tls_server *server;
	struct core_tls_io *io;                 /* lent for the step that runs; NULL between steps */
	struct core_tls_peer peer;
	struct x509_chain chain;                /* peer.chain points here */
	struct core_tls_session *resume;        /* what it began from; NULL: nothing */
	struct core_tls_session *ticket;        /* the latest the peer gave */
	char *sni;
	enum core_tls_version min_version;
	bool broken;
};

/* The BIO: octets that are there now, or "again later"; writing always succeeds. */

static int bio_read(BIO *b, char *to, int room)
{
	struct core_tls_stream *s = BIO_get_data(b);
	BIO_clear_retry_flags(b);
	if (s->io == NULL || s->io->in.len == 0) {
		BIO_set_retry_read(b);
		return -1;
	}
	size_t len = sp_min(s->io->in.len, (size_t)room);
	memcpy(to, s->io->in.p, len);
	s->io->in = sp_str_from(s->io->in, len);
	return (int)len;
}

static int bio_write(BIO *b, const char *from, int len)
{
	struct core_tls_stream *s = BIO_get_data(b);
	BIO_clear_retry_flags(b);
	if (s->io == NULL)
		return -1;
	sp_buf_add(s->io->out, sp_str_make(from, (size_t)len));
	return sp_buf_failed(s->io->out) ? -1 : len;
}

static long bio_ctrl(BIO *b, int cmd, long num, void *ptr)
{
	(void)b, (void)num, (void)ptr;
	return cmd == BIO_CTRL_FLUSH;
}

BIO_METHOD *core_tls_stream_bio(void)
{
	/* A fixed type: numbers from BIO_get_new_index() run out after a hundred reloads. */
	BIO_METHOD *m = BIO_meth_new(BIO_TYPE_SOURCE_SINK | 127, "strictpost");
	sp_assert(m);
	BIO_meth_set_read(m, bio_read);
	BIO_meth_set_write(m, bio_write);
	BIO_meth_set_ctrl(m, bio_ctrl);
	return m;
}

/* Sessions. */

static struct core_tls_session *session_ref(struct core_tls_session *s)
{
	if (s)
		s->refs++;
	return s;
}

void core_tls_session_unref(struct core_tls_session *s)
{
	if (s == NULL || --s->refs > 0)
		return;
	SSL_SESSION_free(s->ssl);
	free(s->sni);
	free(s);
}

int core_tls_stream_on_session(SSL *ssl, SSL_SESSION *session)
{
	struct core_tls_stream *s = SSL_get_app_data(ssl);
	struct core_tls_session *fresh = sp_alloc(sizeof(*fresh));
	fresh->refs = 1;
	fresh->ssl = session;
	fresh->sni = sp_strdup(s->sni);
	fresh->min_version = s->min_version;
	core_tls_session_unref(s->ticket);
	s->ticket = fresh;
	return 1;                               /* the reference is ours now */
}

static bool same_sni(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

/* A session made for another name or with weaker demands is not taken up, whatever the caller thinks. */
static void take_up(struct core_tls_stream *s, struct core_tls_session *from)
{
	if (from == NULL || from->spent || from->min_version != s->min_version || !same_sni(from->sni, s->sni))
		return;
	if (!SSL_SESSION_is_resumable(from->ssl) || SSL_set_session(s->ssl, from->ssl) != 1)
		return;
	if (SSL_SESSION_get_protocol_version(from->ssl) >= TLS1_3_VERSION)
		from->spent = true;             /* RFC 8446 C.4: seen twice, a ticket links two connections */
	s->resume = session_ref(from);
}

struct core_tls_session *core_tls_stream_session(struct core_tls_stream *s)
{
	struct core_tls_session *best = s->ticket;
	if (best == NULL && s->peer.resumed)
		best = s->resume;               /* TLS 1.2: the same one goes on */
	if (best == NULL || best->spent || !SSL_SESSION_is_resumable(best->ssl))
		return NULL;
	return session_ref(best);
}

/* Life. */

static bool plug_in(struct core_tls_stream *s, BIO_METHOD *method)
{
	BIO *io = BIO_new(method);
	if (io == NULL)
		return false;
	BIO_set_data(io, s);
	BIO_set_init(io, 1);
	SSL_set_bio(s->ssl, io, io);
	SSL_set_app_data(s->ssl, s);
	return true;
}

static bool prepare(struct core_tls_stream *s, const struct core_tls_ask *ask)
{
	if (s->ssl == NULL || SSL_set_min_proto_version(s->ssl, core_tls_protocol(ask->min_version)) != 1)
		return false;
	if (ask->sni && SSL_set_tlsext_host_name(s->ssl, ask->sni) != 1)
		return false;
	if (!plug_in(s, s->client->io))
		return false;
	SSL_set_connect_state(s->ssl);
	return true;
}

static struct core_tls_stream *cannot_begin(struct core_tls_stream *s, const char *whom, struct sp_fail *why)
{
	const char *text = ERR_reason_error_string(ERR_peek_error());
	sp_fail_tls(why, SP_FAIL_TLS, SP_RESULT_VALIDATION_FAILURE, "tls-setup", "TLS for %s cannot begin: %s", whom, text ? text : "no memory");
	core_tls_stream_free(s);
	return NULL;
}

struct core_tls_stream *core_tls_stream_client(const struct core_tls_ask *ask, struct sp_fail *why)
{
	ERR_clear_error();
	struct core_tls_stream *s = sp_alloc(sizeof(*s));
	s->client = core_tls_client_ref(ask->client);
	s->sni = sp_strdup(ask->sni);
	s->min_version = ask->min_version;
	s->ssl = SSL_new(ask->min_version < CORE_TLS_1_2 ? s->client->lenient : s->client->strict);
	if (!prepare(s, ask))
		return cannot_begin(s, ask->sni ? ask->sni : "an address", why);
	take_up(s, ask->resume);
	return s;
}

struct core_tls_stream *core_tls_stream_server(struct core_tls_server *t, struct sp_fail *why)
{
	ERR_clear_error();
	struct core_tls_stream *s = sp_alloc(sizeof(*s));
	s->server = core_tls_server_ref(t);
	s->ssl = SSL_new(t->ctx);
	if (s->ssl == NULL || !plug_in(s, t->io))
		return cannot_begin(s, "a client", why);
	SSL_set_accept_state(s->ssl);
	return s;
}

void core_tls_stream_free(struct core_tls_stream *s)
{
	if (s == NULL)
		return;
	/* A connection that just went away leaves its session good, which OpenSSL otherwise forgets with it. */
	if (s->ssl && !s->broken)
		SSL_set_shutdown(s->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	SSL_free(s->ssl);
	sk_X509_pop_free(s->chain.certs, X509_free);
	core_tls_session_unref(s->resume);
	core_tls_session_unref(s->ticket);
	core_tls_client_unref(s->client);
	core_tls_server_unref(s->server);
	free(s->sni);
	free(s);
}

/* Steps. */

/* "wrong version number" as a word for machines: "wrong-version-number". */
static void slug(const char *text, char *word, size_t room)
{
	size_t i = 0;
	for (; text[i] && i < room - 1; i++)
		word[i] = sp_is_alnum(text[i]) ? sp_lower(text[i]) : '-';
	word[i] = '\0';
}

/* RFC 8446 6, RFC 5246 7.2: in words of our own, as OpenSSL's differ from version to version. */
static const struct { int number; const char *name; } alerts[] = {
	{ 0, "close-notify" }, { 10, "unexpected-message" }, { 20, "bad-record-mac" }, { 21, "decryption-failed" }, { 22, "record-overflow" },
	{ 30, "decompression-failure" }, { 40, "handshake-failure" }, { 41, "no-certificate" }, { 42, "bad-certificate" }, { 43, "unsupported-certificate" },
	{ 44, "certificate-revoked" }, { 45, "certificate-expired" }, { 46, "certificate-unknown" }, { 47, "illegal-parameter" }, { 48, "unknown-ca" },
	{ 49, "access-denied" }, { 50, "decode-error" }, { 51, "decrypt-error" }, { 60, "export-restriction" }, { 70, "protocol-version" },
	{ 71, "insufficient-security" }, { 80, "internal-error" }, { 86, "inappropriate-fallback" }, { 90, "user-canceled" }, { 100, "no-renegotiation" },
	{ 109, "missing-extension" }, { 110, "unsupported-extension" }, { 111, "certificate-unobtainable" }, { 112, "unrecognized-name" },
	{ 113, "bad-certificate-status-response" }, { 114, "bad-certificate-hash-value" }, { 115, "unknown-psk-identity" }, { 116, "certificate-required" },
	{ 120, "no-application-protocol" },
};

/* The peer's alert by its name: "alert-protocol-version"; else OpenSSL's words. */
static void name_error(unsigned long code, const char *text, char *word, size_t room)
{
	int alert = ERR_GET_LIB(code) == ERR_LIB_SSL ? ERR_GET_REASON(code) - SSL_AD_REASON_OFFSET : -1;
	if (alert < 0) {
		slug(text, word, room);
		return;
	}
	snprintf(word, room, "alert-%d", alert);
	for (size_t i = 0; i < SP_COUNT(alerts); i++)
		if (alerts[i].number == alert)
			snprintf(word, room, "alert-%s", alerts[i].name);
}

static enum core_tls_step broke(struct core_tls_stream *s, const char *doing, struct sp_fail *why)
{
	s->broken = true;
	unsigned long code = ERR_peek_error();          /* the first is the cause, the rest its echo */
	const char *text = ERR_reason_error_string(code);
	if (text == NULL)
		text = "stream broken";
	char word[sizeof(why->reason)];
	name_error(code, text, word, sizeof(word));
	sp_fail_tls(why, SP_FAIL_TLS, SP_RESULT_VALIDATION_FAILURE, word, "TLS %s: %s", doing, text);
	return CORE_TLS_BROKEN;
}

/* What a call that did not succeed means. */
static enum core_tls_step unfinished(struct core_tls_stream *s, int result, const char *doing, struct sp_fail *why)
{
	switch (SSL_get_error(s->ssl, result)) {
	case SSL_ERROR_WANT_READ:
		return CORE_TLS_MORE;
	case SSL_ERROR_ZERO_RETURN:
		return CORE_TLS_END;
	default:
		return broke(s, doing, why);
	}
}

static void begin(struct core_tls_stream *s, struct core_tls_io *io)
{
	ERR_clear_error();                      /* SSL_get_error() reads what others left */
	s->io = io;
}

static void end(struct core_tls_stream *s)
{
	s->io = NULL;
}

/* The chain is kept apart from the session, which a ticket replaces. A resumed session brings the chain that
 * its full handshake showed. On the server's side OpenSSL keeps the leaf beside it. */
static void see_chain(struct core_tls_stream *s)
{
	STACK_OF(X509) *certs = SSL_get_peer_cert_chain(s->ssl);
	if (certs && sk_X509_num(certs) > 0)
		s->chain.certs = X509_chain_up_ref(certs);
	X509 *leaf = s->server ? SSL_get1_peer_certificate(s->ssl) : NULL;
	if (leaf == NULL)
		return;
	if (s->chain.certs == NULL)
		s->chain.certs = sk_X509_new_null();
	sp_assert(s->chain.certs && sk_X509_insert(s->chain.certs, leaf, 0) > 0);
}

static void see_peer(struct core_tls_stream *s)
{
	see_chain(s);
	s->peer = (struct core_tls_peer){
		.version = SSL_get_version(s->ssl),
		.cipher = SSL_get_cipher_name(s->ssl),
		.resumed = SSL_session_reused(s->ssl),
		.chain = s->chain.certs ? &s->chain : NULL,
	};
}

enum core_tls_step core_tls_stream_handshake(struct core_tls_stream *s, struct core_tls_io *io, struct sp_fail *why)
{
	begin(s, io);
	int result = SSL_do_handshake(s->ssl);
	enum core_tls_step step = result == 1 ? CORE_TLS_DONE : unfinished(s, result, "handshake", why);
	end(s);
	if (step == CORE_TLS_END)               /* close_notify instead of a handshake */
		step = broke(s, "handshake", why);
	if (step == CORE_TLS_DONE)
		see_peer(s);
	return step;
}

enum core_tls_step core_tls_stream_read(struct core_tls_stream *s, struct core_tls_io *io, char *to, size_t room,
                                        size_t *len, struct sp_fail *why)
{
	enum core_tls_step step = CORE_TLS_DONE;
	begin(s, io);
	*len = 0;
	while (step == CORE_TLS_DONE && *len < room) {
		size_t got = 0;
		int result = SSL_read_ex(s->ssl, to + *len, room - *len, &got);
		*len += got;
		if (result != 1)
			step = unfinished(s, result, "stream", why);
	}
	end(s);
	return step;
}

bool core_tls_stream_write(struct core_tls_stream *s, struct core_tls_io *io, struct sp_str plain, struct sp_fail *why)
{
	size_t done = 0;
	begin(s, io);
	bool ok = !s->broken && SSL_write_ex(s->ssl, plain.p, plain.len, &done) == 1;
	if (!ok)
		broke(s, "stream", why);
	end(s);
	return ok;
}

void core_tls_stream_goodbye(struct core_tls_stream *s, struct core_tls_io *io)
{
	if (s->broken || SSL_in_init(s->ssl))
		return;
	begin(s, io);
	SSL_shutdown(s->ssl);                   /* 0 or 1; the peer's answer is not waited for */
	end(s);
}

const struct core_tls_peer *core_tls_stream_peer(const struct core_tls_stream *s)
{
	return &s->peer;
}
