/* tests/fuzz/tlsa_fuzz.c - a DNS answer about TLSA records, all the way: core_dnsmsg_parse(), sts_tlsa_judge(), and what is usable of it against a fixed
 * chain by core_tls_verify_dane(). What is judged usable OpenSSL must take, or a host with only such records could never be reached. */
#include "core/tls_impl.h"
#include "sts/tlsa.h"
#include "tlsa_chain.h"

#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define BASE "mx.example.com"
#define NOW 1900000000

static struct core_tls_client *client;
static struct x509_chain chain;
static SSL_CTX *dane_ctx;

static X509 *read_pem(const char *text)
{
	BIO *b = BIO_new_mem_buf(text, -1);
	X509 *x = PEM_read_bio_X509(b, NULL, NULL, NULL);
	sp_assert(x);
	BIO_free(b);
	return x;
}

static void set_up(void)
{
	char path[] = "/tmp/strictpost-fuzz-XXXXXX";
	struct sp_fail why;
	int fd = mkstemp(path);
	sp_assert(fd >= 0 && write(fd, ca_pem, sizeof(ca_pem) - 1) == (ssize_t)sizeof(ca_pem) - 1);
	client = core_tls_client_new(path, &why);
	close(fd);
	unlink(path);
	sp_assert(client);
	chain.certs = sk_X509_new_null();
	sk_X509_push(chain.certs, read_pem(leaf_pem));
	sk_X509_push(chain.certs, read_pem(ca_pem));
	dane_ctx = SSL_CTX_new(TLS_client_method());
	sp_assert(SSL_CTX_dane_enable(dane_ctx) == 1);
}

static void check_records(const struct sts_tlsa *t)
{
	SSL *ssl = SSL_new(dane_ctx);
	sp_assert(t->count > 0 && t->count <= STS_TLSA_MAX && SSL_dane_enable(ssl, BASE) == 1);
	for (size_t i = 0; i < t->count; i++) {
		const struct core_tlsa *r = &t->records[i];
		sp_assert(r->usage == 2 || r->usage == 3);
		int taken = SSL_dane_tlsa_add(ssl, r->usage, r->selector, r->matching, (const unsigned char *)r->data.p, r->data.len);
		sp_assert(taken == 1);
	}
	SSL_free(ssl);
}

static void check_state(const struct sts_tlsa *t)
{
	size_t lines = 0;
	for (const char *p = t->strings; *p; p++) {
		sp_assert(*p == '\n' || sp_is_print(*p));
		lines += *p == '\n';
	}
	bool told = t->state == STS_TLSA_USABLE || t->state == STS_TLSA_UNUSABLE;
	sp_assert(lines <= STS_TLSA_MAX && lines >= t->count && (lines > 0) == told);
	sp_assert(sp_failed(&t->fail) == (t->state == STS_TLSA_UNUSABLE || t->state == STS_TLSA_FAILED));
	if (t->state == STS_TLSA_USABLE)
		check_records(t);
}

/* The same records in another order are the same set. */
static void check_turned(const struct core_dns_answer *a, const struct sts_tlsa *t, struct sp_arena *arena)
{
	struct core_dns_record *turned = sp_arena_alloc(arena, a->count * sizeof(*turned));
	struct core_dns_answer b = *a;
	struct sts_tlsa u;
	for (size_t i = 0; i < a->count; i++)
		turned[i] = a->records[a->count - 1 - i];
	b.records = turned;
	sts_tlsa_judge(&b, BASE, arena, &u);
	sp_assert(a->count > STS_TLSA_MAX || (strcmp(t->strings, u.strings) == 0 && sts_tlsa_equal(t, &u)));
}

static void check_proof(const struct sts_tlsa *t)
{
	static const char *const names[] = { BASE };
	struct core_tls_dane dane = { .records = t->records, .count = t->count, .names = names, .name_count = 1 };
	struct core_tls_peer peer = { .version = "TLSv1.3", .cipher = "c", .chain = &chain };
	struct sp_fail why;
	int depth;
	bool good = core_tls_verify_dane(client, &peer, &dane, NOW, &depth, &why);
	sp_assert(good == !sp_failed(&why) && good == (depth >= 0));
	sp_assert(good || why.result != SP_RESULT_NONE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	if (client == NULL)
		set_up();
	struct sp_arena arena = SP_ARENA_EMPTY;
	struct core_dns_answer a;
	struct sts_tlsa t;
	core_dnsmsg_parse(sp_str_make((const char *)data, len), "_25._tcp." BASE, CORE_DNS_TLSA, &arena, &a);
	sts_tlsa_judge(&a, BASE, &arena, &t);
	sp_assert(a.authenticated || t.state == STS_TLSA_NONE || t.state == STS_TLSA_FAILED);
	a.authenticated = true;                 /* most inputs break in other places than this bit */
	sts_tlsa_judge(&a, BASE, &arena, &t);
	check_state(&t);
	check_turned(&a, &t, &arena);
	if (t.state == STS_TLSA_USABLE)
		check_proof(&t);
	sp_arena_clear(&arena);
	return 0;
}
