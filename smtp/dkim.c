/* smtp/dkim.c - see dkim.h. The digest of the signed fields is the same for all signers of a message, but for the DKIM-Signature field
 * itself, which comes last: so it is taken once, and copied for each. */
#include "smtp/dkim.h"

#include "core/base64.h"
#include "smtp/dkim_canon.h"
#include "smtp/header.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define LINE_LEN 78             /* RFC 5322 2.1.1 */
#define SAME_MAX 100            /* fields of one name that are signed: keeps h= short where a client sends a megabyte of To: */

/* What is signed where it is there: RFC 6376 5.4.1, what came later (RFC 8058 4: List-Unsubscribe-Post; RFC 8460 3: TLS-Report-*), and how
 * the body is to be read. Never what changes on the way: Return-Path, Received, DKIM-Signature (RFC 6376 5.4). */
static const char *const signed_names[] = {
	"From", "Sender", "Reply-To", "Subject", "Date", "Message-ID", "To", "Cc", "In-Reply-To", "References",
	"MIME-Version", "Content-Type", "Content-Transfer-Encoding", "Content-Disposition", "Content-ID", "Content-Description", "Auto-Submitted",
	"Resent-Date", "Resent-From", "Resent-Sender", "Resent-To", "Resent-Cc", "Resent-Message-ID",
	"List-Id", "List-Help", "List-Unsubscribe", "List-Unsubscribe-Post", "List-Subscribe", "List-Post", "List-Owner", "List-Archive",
	"TLS-Report-Domain", "TLS-Report-Submitter",
};
#define NAMES SP_COUNT(signed_names)
#define OVERSIGNED 0            /* From, once more than it occurs: a second one would break the signature (RFC 6376 8.15) */

struct smtp_dkim {
	struct smtp_dkim_signer signers[SMTP_DKIM_SIGNERS_MAX];
	size_t count;
	int64_t now_s;
	struct sp_buf names;            /* "From:From:Subject": h= */
	struct core_sha256 *header;     /* of the fields in `names` */
	struct core_sha256 *body;
	struct smtp_dkim_canon canon;
};

/* ---- the fields that are signed ---- */

struct found {
	struct smtp_field field;
	size_t above;                   /* index + 1 of the next field of this name further up; 0: none */
};

struct finds {
	struct found *items;
	size_t count, room;
	size_t lowest[NAMES];           /* index + 1 of the last field of each name; 0: none */
};

static void note_field(struct finds *all, const struct smtp_field *f)
{
	size_t name = 0;
	while (name < NAMES && !sp_str_eq_nocase(f->name, sp_str_of(signed_names[name])))
		name++;
	if (name == NAMES)
		return;
	if (all->count == all->room) {
		all->room = all->room ? 2 * all->room : 32;
		all->items = sp_realloc(all->items, all->room * sizeof(*all->items));
	}
	all->items[all->count] = (struct found){ *f, all->lowest[name] };
	all->lowest[name] = ++all->count;
}

static void add_name(struct smtp_dkim *d, size_t name)
{
	if (d->names.len > 0)
		sp_buf_addc(&d->names, ':');
	sp_buf_adds(&d->names, signed_names[name]);
}

/* RFC 6376 5.4.2: fields of one name are taken from the bottom up. */
static void digest_name(struct smtp_dkim *d, const struct finds *all, size_t name, struct sp_buf *canon)
{
	unsigned same = 0;
	size_t at = all->lowest[name];
	for (; at > 0 && same < SAME_MAX; at = all->items[at - 1].above, same++) {
		add_name(d, name);
		sp_buf_reset(canon);
		smtp_dkim_canon_field(&all->items[at - 1].field, canon);
		core_sha256_add(d->header, sp_buf_str(canon));
	}
	if (name == OVERSIGNED && at == 0)      /* RFC 6376 5.4: a field that is not there adds nothing to the digest; here none is left */
		add_name(d, name);
}

static void digest_header(struct smtp_dkim *d, struct sp_str header)
{
	struct finds all = { 0 };
	struct sp_str rest = header;
	struct smtp_field f;
	while (smtp_field_take(&rest, &f))
		note_field(&all, &f);
	struct sp_buf canon;
	sp_buf_init(&canon, header.len + 2);
	for (size_t name = 0; name < NAMES; name++)
		digest_name(d, &all, name, &canon);
	sp_assert(!sp_buf_failed(&canon) && !sp_buf_failed(&d->names));
	sp_buf_clear(&canon);
	free(all.items);
}

/* ---- the DKIM-Signature field ---- */

struct folded {
	struct sp_buf *out;
	size_t column;
};

static void start_line(struct folded *f)
{
	sp_buf_adds(f->out, "\r\n\t");
	f->column = 1;
}

/* `s` is not cut; `blank`: one stands before it, where it does not begin a line. */
static void add_piece(struct folded *f, bool blank, struct sp_str s)
{
	if (f->column + blank + s.len > LINE_LEN) {
		start_line(f);
	} else if (blank) {
		sp_buf_addc(f->out, ' ');
		f->column++;
	}
	sp_buf_add(f->out, s);
	f->column += s.len;
}

static void add_tag(struct folded *f, const char *name, struct sp_str value)
{
	char tag[400];                          /* a domain has at most 253 octets, and so has a selector */
	int len = snprintf(tag, sizeof(tag), "%s=%.*s;", name, SP_STR_ARG(value));
	sp_assert(len > 0 && (size_t)len < sizeof(tag));
	add_piece(f, true, sp_str_make(tag, (size_t)len));
}

static void add_names(struct folded *f, struct sp_str names)
{
	add_piece(f, true, SP_STR("h="));
	while (names.len > 0) {                 /* each with the colon behind it; RFC 6376 3.5: h= may be folded there */
		struct sp_str name = sp_str_make(names.p, sp_min(sp_str_find(names, ':') + 1, names.len));
		add_piece(f, false, name);
		names = sp_str_from(names, name.len);
	}
	add_piece(f, false, SP_STR(";"));
}

static void add_hash(struct folded *f, const uint8_t digest[CORE_SHA256_SIZE])
{
	char room[64];
	struct sp_buf base64;
	sp_buf_init(&base64, sizeof(room));
	sp_base64_add(&base64, sp_str_make((const char *)digest, CORE_SHA256_SIZE), 0);
	add_tag(f, "bh", sp_buf_str(&base64));
	sp_buf_clear(&base64);
}

/* Everything up to and with "b=", which comes last and on a line of its own. No l=: it would let others add to the body (RFC 6376 8.2). No x=:
 * the message may wait for days in our spool and in those behind us, and a signature that ends meanwhile would make it look forged.
 * No i=: its default is @d. */
static void add_unsigned(const struct smtp_dkim *d, size_t signer, const uint8_t body[CORE_SHA256_SIZE], struct sp_buf *out)
{
	const struct smtp_dkim_signer *s = &d->signers[signer];
	char at[24];
	struct folded f = { out, 0 };
	add_piece(&f, false, SP_STR("DKIM-Signature:"));
	add_tag(&f, "v", SP_STR("1"));
	add_tag(&f, "a", core_key_kind(s->key) == CORE_KEY_RSA ? SP_STR("rsa-sha256") : SP_STR("ed25519-sha256"));
	add_tag(&f, "c", SP_STR("relaxed/relaxed"));
	add_tag(&f, "d", sp_str_of(s->domain));
	add_tag(&f, "s", sp_str_of(s->selector));
	snprintf(at, sizeof(at), "%" PRId64, d->now_s < 0 ? 0 : d->now_s);
	add_tag(&f, "t", sp_str_of(at));
	add_names(&f, sp_buf_str(&d->names));
	add_hash(&f, body);
	start_line(&f);
	add_piece(&f, false, SP_STR("b="));
}

static void add_signature(struct sp_str signature, struct sp_buf *out)
{
	struct sp_buf base64;
	sp_buf_init(&base64, sp_base64_len(signature.len));
	sp_base64_add(&base64, signature, 0);
	struct sp_str rest = sp_buf_str(&base64);
	struct folded f = { out, strlen("\tb=") };
	while (rest.len > 0) {
		if (f.column == LINE_LEN)
			start_line(&f);
		struct sp_str part = sp_str_make(rest.p, sp_min(rest.len, LINE_LEN - f.column));
		add_piece(&f, false, part);
		rest = sp_str_from(rest, part.len);
	}
	sp_buf_adds(out, "\r\n");
	sp_buf_clear(&base64);
}

/* What add_unsigned() makes, folds included. */
static size_t unsigned_max(const struct smtp_dkim *d)
{
	return 2048 + 3 * d->names.len;         /* a name has at least two letters and a colon; a fold adds three octets */
}

static void add_zeros(const struct smtp_dkim *d, size_t signer, struct sp_buf *out)
{
	static const uint8_t body[CORE_SHA256_SIZE];
	size_t len = core_key_signature_len(d->signers[signer].key);
	char *signature = sp_alloc(len);
	add_unsigned(d, signer, body, out);
	add_signature(sp_str_make(signature, len), out);
	free(signature);
}

/* RFC 6376 3.7: the field itself comes last, with b= empty and without its line end. */
static void add_signed(const struct smtp_dkim *d, size_t signer, const uint8_t body[CORE_SHA256_SIZE], struct sp_buf *out)
{
	const struct core_key *key = d->signers[signer].key;
	struct sp_buf field, canon, signature;
	sp_buf_init(&field, unsigned_max(d));
	sp_buf_init(&canon, unsigned_max(d) + 2);
	sp_buf_init(&signature, core_key_signature_len(key));
	add_unsigned(d, signer, body, &field);
	struct sp_str rest = sp_buf_str(&field);
	struct smtp_field parts;
	bool taken = smtp_field_take(&rest, &parts);
	sp_assert(taken && rest.len == 0);
	smtp_dkim_canon_field(&parts, &canon);
	sp_buf_truncate(&canon, canon.len - 2);

	uint8_t digest[CORE_SHA256_SIZE];
	struct core_sha256 *h = core_sha256_copy(d->header);
	core_sha256_add(h, sp_buf_str(&canon));
	core_sha256_finish(h, digest);
	core_key_sign(key, digest, &signature);
	sp_assert(!sp_buf_failed(&field) && !sp_buf_failed(&canon) && !sp_buf_failed(&signature));
	sp_buf_add(out, sp_buf_str(&field));
	add_signature(sp_buf_str(&signature), out);
	sp_buf_clear(&field);
	sp_buf_clear(&canon);
	sp_buf_clear(&signature);
}

/* ---- a message ---- */

static void on_canonical(void *arg, struct sp_str piece)
{
	struct smtp_dkim *d = arg;
	core_sha256_add(d->body, piece);
}

struct smtp_dkim *smtp_dkim_begin(const struct smtp_dkim_signer *signers, size_t count, struct sp_str header, int64_t now_s,
                                  struct sp_buf *fields)
{
	sp_assert(count <= SMTP_DKIM_SIGNERS_MAX);
	struct smtp_dkim *d = sp_alloc(sizeof(*d));
	for (size_t i = 0; i < count; i++)
		d->signers[i] = signers[i];
	d->count = count;
	d->now_s = now_s;
	sp_buf_init(&d->names, header.len + 64);        /* a name in h= takes what its field took, or less */
	d->header = core_sha256_new();
	d->body = core_sha256_new();
	smtp_dkim_canon_init(&d->canon, on_canonical, d);
	digest_header(d, header);
	for (size_t i = 0; i < count; i++)
		add_zeros(d, i, fields);
	return d;
}

void smtp_dkim_body(struct smtp_dkim *d, struct sp_str piece)
{
	smtp_dkim_canon_add(&d->canon, piece);
}

void smtp_dkim_finish(struct smtp_dkim *d, struct sp_buf *fields)
{
	uint8_t digest[CORE_SHA256_SIZE];
	smtp_dkim_canon_finish(&d->canon);
	core_sha256_finish(d->body, digest);
	d->body = NULL;
	for (size_t i = 0; i < d->count; i++)
		add_signed(d, i, digest, fields);
	smtp_dkim_free(d);
}

void smtp_dkim_free(struct smtp_dkim *d)
{
	if (d == NULL)
		return;
	sp_buf_clear(&d->names);
	core_sha256_free(d->header);
	core_sha256_free(d->body);
	free(d);
}

void smtp_dkim_sign(const struct smtp_dkim_signer *signers, size_t count, struct sp_str message, int64_t now_s, struct sp_buf *fields)
{
	struct smtp_header_scan scan;
	smtp_header_scan_init(&scan);
	smtp_header_scan_feed(&scan, message);
	smtp_header_scan_finish(&scan);
	struct sp_str body = sp_str_from(message, scan.len);
	bool empty_line = sp_take_prefix(&body, SP_STR("\r\n")) || sp_take_char(&body, '\n');
	sp_assert(empty_line == scan.separated);
	struct sp_buf zeros;
	sp_buf_init(&zeros, fields->max);
	struct smtp_dkim *d = smtp_dkim_begin(signers, count, sp_str_make(message.p, scan.len), now_s, &zeros);
	sp_buf_clear(&zeros);
	smtp_dkim_body(d, body);
	smtp_dkim_finish(d, fields);
}

/* ---- the key's record ---- */

void smtp_dkim_record(const struct core_key *key, const char *service, struct sp_buf *out)
{
	struct sp_buf raw;
	sp_buf_init(&raw, 1024);                        /* an RSA key of 4096 bits has 550 octets */
	core_key_public(key, &raw);
	sp_assert(!sp_buf_failed(&raw));
	sp_buf_printf(out, "v=DKIM1; k=%s; ", core_key_kind(key) == CORE_KEY_RSA ? "rsa" : "ed25519");
	if (*service)
		sp_buf_printf(out, "s=%s; ", service);
	sp_buf_adds(out, "p=");
	sp_base64_add(out, sp_buf_str(&raw), 0);
	sp_buf_clear(&raw);
}
