/* tests/unit/smtp_dkim_test.c - smtp/dkim*.c: canonical forms, the field, and the RFCs' own signatures; who the author is. */
#include "smtp/dkim.h"

#include "core/base64.h"
#include "smtp/dkim_canon.h"

#include "rfc8463.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define ROOM (4 * 1024 * 1024)

/* ---- canonical forms ---- */

static const struct { const char *label, *body, *want; } bodies[] = {
	{ "RFC 6376 3.4.5", " C \r\nD \t E\r\n\r\n\r\n", " C\r\nD E\r\n" },
	{ "empty", "", "" },
	{ "one empty line", "\r\n", "" },
	{ "empty lines only", "\r\n\r\n\r\n", "" },
	{ "blank lines only", " \r\n\t \r\n \r\n", "" },
	{ "a blank without a line", " ", "" },
	{ "no line end", "a", "a\r\n" },
	{ "blanks and no line end", "a \t", "a\r\n" },
	{ "blank line without an end behind text", "a\r\n ", "a\r\n" },
	{ "empty lines at the end", "a\r\n\r\n\r\n\r\n", "a\r\n" },
	{ "lines of blanks at the end", "a\r\n \r\n\t\r\n", "a\r\n" },
	{ "empty lines inside", "a\r\n\r\n\r\nb\r\n", "a\r\n\r\n\r\nb\r\n" },
	{ "lines of blanks inside", "a\r\n \t \r\nb\r\n", "a\r\n\r\nb\r\n" },
	{ "empty lines in front", "\r\n\r\na\r\n", "\r\n\r\na\r\n" },
	{ "blanks in front stay one", "\t  a\r\n", " a\r\n" },
	{ "runs of blanks", "a  b\t\tc \t d\te\r\n", "a b c d e\r\n" },
	{ "CR alone", "a\rb\r\n", "a\rb\r\n" },
	{ "blank, CR, text", "a \rb\r\n", "a \rb\r\n" },
	{ "CR, blank", "a\r b\r\n", "a\r b\r\n" },
	{ "CR CR LF", "a\r\r\nb\r\n", "a\r\r\nb\r\n" },
	{ "CR at the end", "a\r\n\r", "a\r\n\r\r\n" },
	{ "CR alone is a body", "\r", "\r\r\n" },
	{ "LF alone is an octet", "a \nb\r\n", "a \nb\r\n" },
	{ "LF first", "\n\r\n", "\n\r\n" },
	{ "8 bits", "\xc3\xa4 \xff\r\n", "\xc3\xa4 \xff\r\n" },
	{ "a dot", ".\r\n..\r\n", ".\r\n..\r\n" },
};

static void to_buf(void *arg, struct sp_str piece)
{
	assert_true(piece.len > 0 && piece.len <= SMTP_DKIM_PIECE);
	sp_buf_add(arg, piece);
}

static void canon_in_pieces(struct sp_str body, size_t piece, struct sp_buf *out)
{
	struct smtp_dkim_canon c;
	sp_buf_reset(out);
	smtp_dkim_canon_init(&c, to_buf, out);
	while (body.len > 0) {
		size_t n = sp_min(piece, body.len);
		char *copy = sp_strndup(body.p, n);             /* on its own, so that a read past the cut is seen */
		smtp_dkim_canon_add(&c, sp_str_make(copy, n));
		free(copy);
		body = sp_str_from(body, n);
	}
	smtp_dkim_canon_finish(&c);
}

static void body_rows(void **state)
{
	(void)state;
	struct sp_buf out;
	sp_buf_init(&out, ROOM);
	for (size_t i = 0; i < SP_COUNT(bodies); i++)
		for (size_t piece = 1; piece <= strlen(bodies[i].body) + 1; piece++) {
			canon_in_pieces(sp_str_of(bodies[i].body), piece, &out);
			if (!sp_str_eq(sp_buf_str(&out), sp_str_of(bodies[i].want)))
				fail_msg("%s, pieces of %zu: want \"%s\", got \"%s\"", bodies[i].label, piece, bodies[i].want, sp_buf_cstr(&out));
		}
	sp_buf_clear(&out);
}

static void a_body_larger_than_a_piece(void **state)
{
	(void)state;
	struct sp_buf body, want, out;
	sp_buf_init(&body, ROOM);
	sp_buf_init(&want, ROOM);
	sp_buf_init(&out, ROOM);
	for (unsigned i = 0; i < 20001; i++) {
		sp_buf_printf(&body, "line  %u\t \r\n%s", i, i % 7 ? "" : " \r\n");
		sp_buf_printf(&want, "line %u\r\n%s", i, i % 7 ? "" : "\r\n");
	}
	for (size_t piece = 1; piece < ROOM; piece = piece * 3 + 1) {
		canon_in_pieces(sp_buf_str(&body), piece, &out);
		assert_true(sp_str_eq(sp_buf_str(&out), sp_buf_str(&want)));
	}
	sp_buf_clear(&body);
	sp_buf_clear(&want);
	sp_buf_clear(&out);
}

static void header_rows(void **state)
{
	(void)state;
	static const struct { const char *label, *header, *want; } rows[] = {
		{ "RFC 6376 3.4.5", "A: X\r\nB : Y\t\r\n\tZ  \r\n", "a:X\r\nb:Y Z\r\n" },
		{ "names in lower case", "SUBJect: AbC\r\n", "subject:AbC\r\n" },
		{ "empty", "", "" },
		{ "an empty value", "Subject:\r\n", "subject:\r\n" },
		{ "a value of blanks", "Subject: \t \r\n", "subject:\r\n" },
		{ "a value of folds", "Subject:\r\n \r\n\t\r\n", "subject:\r\n" },
		{ "folds and runs", "Subject:a\r\n b \r\n\t\tc\r\n  \r\n d\r\n", "subject:a b c d\r\n" },
		{ "value on the second line", "Subject:\r\n a\r\n", "subject:a\r\n" },
		{ "blanks before the colon", "Subject \t: a\r\n", "subject:a\r\n" },
		{ "colons in the value", "Subject: a: b :c\r\n", "subject:a: b :c\r\n" },
		{ "no line end", "A: b\r\nC: d", "a:b\r\nc:d\r\n" },
		{ "no field", "hello\r\nA: b\r\n", "a:b\r\n" },
		{ "no field, folded", "hello\r\n C: d\r\nA: b\r\n", "a:b\r\n" },
		{ "no name", ": x\r\nA: b\r\n", "a:b\r\n" },
		{ "a name with a blank", "A C: x\r\nA: b\r\n", "a:b\r\n" },
		{ "bare LF", "A: b\n c\nD: e\n", "a:b c\r\nd:e\r\n" },
		{ "CR inside", "A: b\rc \r d\r\n", "a:b\rc \r d\r\n" },
		{ "8 bits", "A: \xc3\xa4\r\n", "a:\xc3\xa4\r\n" },
	};
	struct sp_buf out;
	sp_buf_init(&out, ROOM);
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		struct sp_str header = sp_str_of(rows[i].header);
		struct smtp_field f;
		sp_buf_reset(&out);
		while (smtp_field_take(&header, &f))
			smtp_dkim_canon_field(&f, &out);
		if (!sp_str_eq(sp_buf_str(&out), sp_str_of(rows[i].want)))
			fail_msg("%s: want \"%s\", got \"%s\"", rows[i].label, rows[i].want, sp_buf_cstr(&out));
	}
	sp_buf_clear(&out);
}

/* ---- signing ---- */

static struct core_key *key_of(const char *pem)
{
	struct core_key *k = core_key_parse(sp_str_of(pem), NULL);
	assert_non_null(k);
	return k;
}

/* The value of a tag of the DKIM-Signature field number `n`, without blanks and folds. */
static const char *tag(struct sp_str fields, unsigned n, const char *name, char *out, size_t room)
{
	struct smtp_field f;
	do
		assert_true(smtp_field_take(&fields, &f));
	while (n-- > 0);
	assert_true(sp_str_eq(f.name, SP_STR("DKIM-Signature")));
	while (f.value.len > 0) {
		struct sp_str value = sp_take_until(&f.value, ';');
		struct sp_str at = sp_take_until(&value, '=');
		while (at.len > 0 && strchr(" \t\r\n", at.p[0]))
			at = sp_str_from(at, 1);
		if (!sp_str_eq(at, sp_str_of(name)))
			continue;
		size_t len = 0;
		for (size_t i = 0; i < value.len && len + 1 < room; i++)
			if (!strchr(" \t\r\n", value.p[i]))
				out[len++] = value.p[i];
		out[len] = '\0';
		return out;
	}
	return NULL;
}

static void sign_text(const char *message, struct sp_buf *out)
{
	struct core_key *rsa = key_of(RFC8463_RSA_KEY), *ed25519 = key_of(RFC8463_ED25519_KEY);
	struct smtp_dkim_signer signers[] = { { "football.example.com", "brisbane", ed25519 }, { "football.example.com", "test", rsa } };
	sp_buf_reset(out);
	smtp_dkim_sign(signers, 2, sp_str_of(message), RFC8463_T, out);
	core_key_unref(rsa);
	core_key_unref(ed25519);
}

/* RFC 8463 A.3: its h= is not ours, so its signatures are made here from what it signs: fields, and the field with an empty b=. */
static void signatures_of_rfc8463(void **state)
{
	(void)state;
	static const struct { const char *label, *pem, *start, *signature; } rows[] = {
		{ "ed25519", RFC8463_ED25519_KEY, "DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;\r\n"
		  " d=football.example.com; i=@football.example.com;\r\n q=dns/txt; s=brisbane; t=1528637909; h=from : to :\r\n"
		  " subject : date : message-id : from : subject : date;\r\n bh=" RFC8463_BODY_HASH ";\r\n b=", RFC8463_ED25519_SIGNATURE },
		{ "rsa", RFC8463_RSA_KEY, "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;\r\n"
		  " d=football.example.com; i=@football.example.com;\r\n q=dns/txt; s=test; t=1528637909; h=from : to : subject :\r\n"
		  " date : message-id : from : subject : date;\r\n bh=" RFC8463_BODY_HASH ";\r\n b=", RFC8463_RSA_SIGNATURE },
	};
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		struct sp_buf canon, signature, base64;
		sp_buf_init(&canon, ROOM);
		sp_buf_init(&signature, ROOM);
		sp_buf_init(&base64, ROOM);
		struct sp_str header = SP_STR(RFC8463_HEADER), field = sp_str_of(rows[i].start);
		struct smtp_field f;
		while (smtp_field_take(&header, &f))
			smtp_dkim_canon_field(&f, &canon);
		assert_true(smtp_field_take(&field, &f));
		smtp_dkim_canon_field(&f, &canon);
		sp_buf_truncate(&canon, canon.len - 2);
		uint8_t digest[CORE_SHA256_SIZE];
		struct core_sha256 *h = core_sha256_new();
		core_sha256_add(h, sp_buf_str(&canon));
		core_sha256_finish(h, digest);
		struct core_key *k = key_of(rows[i].pem);
		core_key_sign(k, digest, &signature);
		sp_base64_add(&base64, sp_buf_str(&signature), 0);
		assert_string_equal(sp_buf_cstr(&base64), rows[i].signature);
		core_key_unref(k);
		sp_buf_clear(&canon);
		sp_buf_clear(&signature);
		sp_buf_clear(&base64);
	}
}

static void body_hashes(void **state)
{
	(void)state;
	static const struct { const char *label, *body, *want; } rows[] = {
		{ "RFC 8463 A.3", RFC8463_BODY, RFC8463_BODY_HASH },
		{ "RFC 6376 3.4.4, empty", "", "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=" },
		{ "empty lines", "\r\n\r\n", "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=" },
	};
	struct sp_buf out;
	sp_buf_init(&out, ROOM);
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		char message[2048], value[2048];
		snprintf(message, sizeof(message), "%s\r\n%s", RFC8463_HEADER, rows[i].body);
		sign_text(message, &out);
		assert_string_equal(tag(sp_buf_str(&out), 0, "bh", value, sizeof(value)), rows[i].want);
		assert_string_equal(tag(sp_buf_str(&out), 1, "bh", value, sizeof(value)), rows[i].want);
	}
	sp_buf_clear(&out);
}

static void h_rows(void **state)
{
	(void)state;
	static const struct { const char *label, *header, *h; } rows[] = {
		{ "From once more than it occurs", "From: a@x\r\n", "From:From" },
		{ "From twice", "From: a@x\r\nfrom: b@x\r\n", "From:From:From" },
		{ "RFC 6376 5.4: From always", "Subject: a\r\n", "From:Subject" },
		{ "nothing at all", "", "From" },
		{ "in our order and spelling", "subject: s\r\nTO: a\r\nfrom: x@y\r\ncC: b\r\nto : c\r\n", "From:From:Subject:To:To:Cc" },
		{ "never what changes on the way", "Return-Path: <a>\r\nReceived: x\r\nDKIM-Signature: v=1\r\nX-Mine: y\r\nBcc: z\r\nFrom: a@x\r\n",
		  "From:From" },
		{ "lists and reports", "From: a@x\r\nList-Unsubscribe: <mailto:x>\r\nList-Unsubscribe-Post: y\r\nTLS-Report-Submitter: s\r\n"
		  "TLS-Report-Domain: d\r\nMIME-Version: 1.0\r\nContent-Type: a/b\r\n",
		  "From:From:MIME-Version:Content-Type:List-Unsubscribe:List-Unsubscribe-Post:TLS-Report-Domain:TLS-Report-Submitter" },
		{ "names that only begin alike", "From: a@x\r\nTos: b\r\nT: c\r\nSubject2: d\r\n", "From:From" },
		{ "a folded line is no field", "From: a@x\r\nX-Y: z\r\n Subject: q\r\n", "From:From" },
	};
	struct sp_buf out;
	sp_buf_init(&out, ROOM);
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		char message[2048], value[2048];
		snprintf(message, sizeof(message), "%s\r\nbody\r\n", rows[i].header);
		sign_text(message, &out);
		for (unsigned n = 0; n < 2; n++)
			if (strcmp(tag(sp_buf_str(&out), n, "h", value, sizeof(value)), rows[i].h) != 0)
				fail_msg("%s: want %s, got %s", rows[i].label, rows[i].h, value);
	}
	sp_buf_clear(&out);
}

static void too_many_fields_of_a_name(void **state)
{
	(void)state;
	struct sp_buf message, out;
	sp_buf_init(&message, ROOM);
	sp_buf_init(&out, ROOM);
	for (unsigned i = 0; i < 200000; i++)
		sp_buf_adds(&message, "To:\n");
	sp_buf_adds(&message, "\r\n");
	sign_text(sp_buf_cstr(&message), &out);
	assert_false(sp_buf_failed(&out));
	assert_in_range(out.len, 600, 2500);
	sp_buf_clear(&message);
	sp_buf_clear(&out);
}

static size_t names_in_h(struct sp_str fields)
{
	char value[2048];
	size_t count = 1;
	for (const char *p = tag(fields, 0, "h", value, sizeof(value)); *p; p++)
		count += *p == ':';
	return count;
}

/* RFC 6376 5.4.2: where a From is left over, a name more in h= would stand for it, and it is not in the digest. */
static void from_is_not_oversigned_where_one_is_left_over(void **state)
{
	(void)state;
	static const struct { unsigned fields; size_t names; } rows[] = { { 0, 1 }, { 99, 100 }, { 100, 101 }, { 101, 100 }, { 10000, 100 } };
	struct sp_buf message, out;
	sp_buf_init(&message, ROOM);
	sp_buf_init(&out, ROOM);
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		sp_buf_reset(&message);
		for (unsigned n = 0; n < rows[i].fields; n++)
			sp_buf_printf(&message, "From: a%u@example.com\r\n", n);
		sp_buf_adds(&message, "\r\nbody\r\n");
		sign_text(sp_buf_cstr(&message), &out);
		print_message("%u fields: want %zu names, got %zu\n", rows[i].fields, rows[i].names, names_in_h(sp_buf_str(&out)));
		assert_int_equal(names_in_h(sp_buf_str(&out)), rows[i].names);
	}
	sp_buf_clear(&message);
	sp_buf_clear(&out);
}

/* Lines of at most 78 octets, each with its CRLF, and what the tags must say. */
static void check_field_form(struct sp_str fields, size_t count)
{
	size_t seen = 0;
	struct sp_str rest = fields;
	while (rest.len > 0) {
		size_t lf = sp_str_find(rest, '\n');
		assert_true(lf > 0 && lf < rest.len && rest.p[lf - 1] == '\r');
		struct sp_str line = sp_str_make(rest.p, lf - 1);
		assert_true(line.len > 1 && (line.len <= 78 || memmem(line.p, line.len, "d=", 2) || memmem(line.p, line.len, "s=", 2)));
		bool begins = sp_str_starts(line, SP_STR("DKIM-Signature: v=1; a="));
		assert_true(begins || (line.p[0] == '\t' && line.p[1] != ' ' && line.p[1] != '\t'));
		seen += begins;
		rest = sp_str_from(rest, lf + 1);
	}
	assert_int_equal(seen, count);
	for (size_t i = 0; i < count; i++) {
		static const struct { const char *name, *want; } tags[] = { { "v", "1" }, { "c", "relaxed/relaxed" }, { "t", "1528637909" } };
		char value[2048];
		for (size_t t = 0; t < SP_COUNT(tags); t++)
			assert_string_equal(tag(fields, (unsigned)i, tags[t].name, value, sizeof(value)), tags[t].want);
		assert_null(tag(fields, (unsigned)i, "l", value, sizeof(value)));
		assert_null(tag(fields, (unsigned)i, "x", value, sizeof(value)));
	}
}

static void the_field_keeps_its_length(void **state)
{
	(void)state;
	struct core_key *keys[] = { key_of(RFC8463_RSA_KEY), key_of(RFC8463_ED25519_KEY), core_key_generate(CORE_KEY_RSA, 2056, NULL) };
	char long_domain[254];
	memset(long_domain, 'a', sizeof(long_domain));
	for (size_t i = 50; i < 250; i += 50)
		long_domain[i] = '.';
	long_domain[253] = '\0';
	struct smtp_dkim_signer signers[SMTP_DKIM_SIGNERS_MAX];
	for (size_t i = 0; i < SP_COUNT(signers); i++)
		signers[i] = (struct smtp_dkim_signer){ i == 7 ? long_domain : i % 2 ? "example.org" : "a.very.long.name.of.a.domain.example.org",
		                                        i == 6 ? long_domain : "s1", keys[i % 3] };
	struct sp_buf begun, done, once;
	sp_buf_init(&begun, ROOM);
	sp_buf_init(&done, ROOM);
	sp_buf_init(&once, ROOM);
	for (size_t count = 0; count <= SP_COUNT(signers); count++) {
		sp_buf_reset(&begun);
		sp_buf_reset(&done);
		sp_buf_reset(&once);
		struct smtp_dkim *d = smtp_dkim_begin(signers, count, SP_STR(RFC8463_HEADER "List-Id: x\r\n"), RFC8463_T, &begun);
		for (const char *p = RFC8463_BODY; *p; p++)
			smtp_dkim_body(d, sp_str_make(p, 1));
		smtp_dkim_finish(d, &done);
		smtp_dkim_sign(signers, count, SP_STR(RFC8463_HEADER "List-Id: x\r\n\r\n" RFC8463_BODY), RFC8463_T, &once);
		assert_int_equal(begun.len, done.len);
		assert_true(sp_str_eq(sp_buf_str(&done), sp_buf_str(&once)));
		check_field_form(sp_buf_str(&begun), count);
		check_field_form(sp_buf_str(&done), count);
		assert_true(count == 0 || !sp_str_eq(sp_buf_str(&begun), sp_buf_str(&done)));
		smtp_dkim_free(smtp_dkim_begin(signers, count, SP_STR("From: a@b\r\n"), 0, &begun));
	}
	smtp_dkim_free(NULL);
	sp_buf_clear(&begun);
	sp_buf_clear(&done);
	sp_buf_clear(&once);
	for (size_t i = 0; i < SP_COUNT(keys); i++)
		core_key_unref(keys[i]);
}

/* Two messages of one meaning under relaxed/relaxed have one signature; a change that counts changes it. */
static void what_changes_the_signature(void **state)
{
	(void)state;
	static const char original[] = "From: a@football.example.com\r\nTo: one\r\nTo: two\r\nX-Y: z\r\n\r\nHello  you\r\n";
	static const struct { const char *label, *message; bool same; } rows[] = {
		{ "itself", original, true },
		{ "folds, blanks, case of names", "FROM :a@football.example.com \r\nto:  one\r\nTo:\r\n two\r\n\r\nHello\tyou \r\n\r\n", true },
		{ "fields that are not signed", "Received: q\r\nFrom: a@football.example.com\r\nTo: one\r\nReceived: p\r\nTo: two\r\n\r\nHello you", true },
		{ "fields of one name in another order", "From: a@football.example.com\r\nTo: two\r\nTo: one\r\n\r\nHello you\r\n", false },
		{ "case of a value", "From: A@football.example.com\r\nTo: one\r\nTo: two\r\n\r\nHello you\r\n", false },
		{ "a line more in the body", "From: a@football.example.com\r\nTo: one\r\nTo: two\r\n\r\nHello you\r\n.\r\n", false },
		{ "a blank in front of the body", "From: a@football.example.com\r\nTo: one\r\nTo: two\r\n\r\n Hello you\r\n", false },
		{ "no body", "From: a@football.example.com\r\nTo: one\r\nTo: two\r\n", false },
	};
	struct sp_buf want, got;
	sp_buf_init(&want, ROOM);
	sp_buf_init(&got, ROOM);
	sign_text(original, &want);
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		sign_text(rows[i].message, &got);
		if (sp_str_eq(sp_buf_str(&got), sp_buf_str(&want)) != rows[i].same)
			fail_msg("%s: %s", rows[i].label, rows[i].same ? "another signature" : "the same signature");
	}
	/* without an empty line: the body begins where the header section ends */
	sign_text("From: a@football.example.com\r\n\r\nno field\r\n", &want);
	sign_text("From: a@football.example.com\r\nno field\r\n", &got);
	assert_true(sp_str_eq(sp_buf_str(&got), sp_buf_str(&want)));
	sp_buf_clear(&want);
	sp_buf_clear(&got);
}

/* ---- records ---- */

static void records(void **state)
{
	(void)state;
	static const struct { const char *pem, *service, *want; } rows[] = {
		{ RFC8463_RSA_KEY, "", "v=DKIM1; k=rsa; p=" RFC8463_RSA_PUBLIC },                       /* RFC 8463 A.2 */
		{ RFC8463_ED25519_KEY, "", "v=DKIM1; k=ed25519; p=" RFC8463_ED25519_PUBLIC },
		{ RFC8463_RSA_KEY, "tlsrpt", "v=DKIM1; k=rsa; s=tlsrpt; p=" RFC8463_RSA_PUBLIC },       /* RFC 8460 3 */
	};
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		struct sp_buf out;
		sp_buf_init(&out, ROOM);
		struct core_key *k = key_of(rows[i].pem);
		smtp_dkim_record(k, rows[i].service, &out);
		assert_string_equal(sp_buf_cstr(&out), rows[i].want);
		core_key_unref(k);
		sp_buf_clear(&out);
	}
}

/* ---- who wrote it, who signed it ---- */

static void author_rows(void **state)
{
	(void)state;
	static const struct { const char *from, *want; } rows[] = {     /* want NULL: no one author */
		{ "a@example.com", "example.com" },
		{ "<a@Example.COM>", "example.com" },
		{ "A Name <a@example.com>", "example.com" },
		{ "\"Doe, John <x@evil.example>\" <a@example.com>", "example.com" },
		{ "\"quoted \\\" <x@evil.example>\" <a@example.com>", "example.com" },
		{ "John Q. Public <a@example.com>", "example.com" },
		{ "=?utf-8?Q?J=C3=B6rg_=3Cx=40evil.example=3E?= <a@example.com>", "example.com" },
		{ "J\xc3\xb6rg <a@example.com>", "example.com" },
		{ "J\xf6rg <a@example.com>", "example.com" },
		{ "a@example.com (x@evil.example, b (nested \\) y@evil.example))", "example.com" },
		{ "(<x@evil.example>) a (c) @ (d) example (e) . (f) com (g)", "example.com" },
		{ "Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>", "silly.test" },            /* RFC 5322 A.5 */
		{ "A Name\r\n <a@\r\n\texample.com>", "example.com" },
		{ "\"a@evil.example\"@example.com", "example.com" },
		{ "\"a b\".c@example.com", "example.com" },
		{ "Joe Q . Public <john . q @ example . com>", "example.com" },                                /* RFC 5322 A.6.1, A.6.3 */
		{ "Mary Smith <@node.test,@[192.0.2.1]:mary@example.net>", "example.net" },                    /* RFC 5322 A.6.1 */
		{ ",, a@example.com ,", "example.com" },
		{ "A Group:a@example.com;", "example.com" },                                                   /* RFC 6854 4 */
		{ "A Group: Chris <a@example.com>,;", "example.com" },
		{ "Undisclosed:; , a@example.com", "example.com" },
		{ "a@b\xc3\xbc" "cher.example", "xn--bcher-kva.example" },
		{ "a@xn--bcher-kva.EXAMPLE", "xn--bcher-kva.example" },
		{ "\xc3\xa4@example.com", "example.com" },
		{ "a@mail.sub.example.com", "mail.sub.example.com" },
		{ "", NULL },
		{ "<>", NULL },
		{ "a", NULL },
		{ "A Name", NULL },
		{ "a@", NULL },
		{ "@example.com", NULL },
		{ "<a@example.com", NULL },
		{ "a@example.com>", NULL },
		{ "a@example.com, b@example.com", NULL },
		{ "a@example.com b@example.com", NULL },
		{ "a@example.com, b@evil.example", NULL },
		{ "<a@example.com> <b@evil.example>", NULL },
		{ "a@evil.example <b@example.com>", NULL },
		{ "A: a@example.com, b@example.com;", NULL },
		{ "A: a@example.com", NULL },
		{ "A: B: a@example.com;;", NULL },
		{ "A: a@example.com; b", NULL },
		{ "Undisclosed:;", NULL },
		{ "a@[192.0.2.1]", NULL },
		{ "a@example..com", NULL },
		{ "a@.example.com", NULL },
		{ "a@exam ple.com", NULL },
		{ "a b@example.com", NULL },
		{ ".a@example.com", NULL },
		{ "a..b@example.com", NULL },
		{ "a@b@example.com", NULL },
		{ "<a@example.com> x", NULL },
		{ "\"open <a@example.com>", NULL },
		{ "(open <a@example.com>", NULL },
		{ "a) <a@example.com>", NULL },
		{ "\\a@example.com", NULL },
		{ "a@exa_mple.com\x01", NULL },
		{ "a@1.2.3.4", NULL },
		{ "a@-x.example", NULL },
	};
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		char header[400], domain[256] = "";
		snprintf(header, sizeof(header), "Sender: x@evil.example\r\nFrom: %s\r\nTo: y@evil.example\r\n", rows[i].from);
		bool good = smtp_dkim_author(sp_str_of(header), domain);
		if (good != (rows[i].want != NULL) || (good && strcmp(domain, rows[i].want) != 0))
			fail_msg("\"%s\": want %s, got %s", rows[i].from, rows[i].want ? rows[i].want : "none", good ? domain : "none");
	}
	char domain[256];
	assert_false(smtp_dkim_author(SP_STR("From: a@example.com\r\nfrom : a@example.com\r\n"), domain));
	assert_false(smtp_dkim_author(SP_STR("Subject: x\r\n From: a@example.com\r\n"), domain));
	assert_false(smtp_dkim_author(SP_STR(""), domain));
	assert_true(smtp_dkim_author(SP_STR("From : a@example.com"), domain));
	static const char with_nul[] = "From: a@exam\0ple.com\r\n";
	assert_false(smtp_dkim_author(sp_str_make(with_nul, sizeof(with_nul) - 1), domain));
}

static void a_domain_without_end(void **state)
{
	(void)state;
	struct sp_buf header;
	sp_buf_init(&header, ROOM);
	sp_buf_adds(&header, "From: a@x");
	for (unsigned i = 0; i < 100000; i++)
		sp_buf_adds(&header, ".a");
	char domain[256];
	assert_false(smtp_dkim_author(sp_buf_str(&header), domain));
	sp_buf_reset(&header);
	sp_buf_adds(&header, "From: ");
	for (unsigned i = 0; i < 500000; i++)
		sp_buf_addc(&header, '(');
	assert_false(smtp_dkim_author(sp_buf_str(&header), domain));
	sp_buf_clear(&header);
}

static void is_signed_rows(void **state)
{
	(void)state;
	static const struct { const char *header; bool want; } rows[] = {
		{ "DKIM-Signature: v=1; d=example.com; s=s1; b=\r\n", true },
		{ "From: a\r\ndkim-signature:v=1;s=S1;d=EXAMPLE.com\r\n", true },
		{ "DKIM-Signature: v=1;\r\n\td = example.com ;\r\n s\r\n =\r\n s1\r\n ; b=x\r\n", true },
		{ "DKIM-Signature: d=other.example; s=s1\r\nDKIM-Signature: d=example.com; s=s2\r\n", false },
		{ "DKIM-Signature: d=other.example; s=s1\r\nDKIM-Signature: d=example.com; s=s1\r\n", true },
		{ "DKIM-Signature: v=1; d=sub.example.com; s=s1\r\n", false },
		{ "DKIM-Signature: v=1; D=example.com; s=s1\r\n", false },
		{ "DKIM-Signature: v=1; xd=example.com; s=s1\r\n", false },
		{ "DKIM-Signature: v=1; d=example.com\r\n", false },
		{ "X-DKIM-Signature: d=example.com; s=s1\r\n", false },
		{ "DKIM-Signature:\r\nSubject: d=example.com; s=s1\r\n", false },
		{ "", false },
	};
	for (size_t i = 0; i < SP_COUNT(rows); i++)
		if (smtp_dkim_is_signed(sp_str_of(rows[i].header), "example.com", "s1") != rows[i].want)
			fail_msg("\"%s\": want %d", rows[i].header, rows[i].want);
	assert_true(smtp_dkim_is_signed(SP_STR("DKIM-Signature: d=b\xc3\xbc" "cher.example; s=2024\r\n"), "xn--bcher-kva.example", "2024"));
	/* a fullwidth e is no U-label, though mappings make an ASCII letter of it (RFC 5890 2.3.2.1) */
	assert_false(smtp_dkim_is_signed(SP_STR("DKIM-Signature: d=\xef\xbd\x85xample.com; s=s1\r\n"), "example.com", "s1"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(body_rows),
		cmocka_unit_test(a_body_larger_than_a_piece),
		cmocka_unit_test(header_rows),
		cmocka_unit_test(signatures_of_rfc8463),
		cmocka_unit_test(body_hashes),
		cmocka_unit_test(h_rows),
		cmocka_unit_test(too_many_fields_of_a_name),
		cmocka_unit_test(from_is_not_oversigned_where_one_is_left_over),
		cmocka_unit_test(the_field_keeps_its_length),
		cmocka_unit_test(what_changes_the_signature),
		cmocka_unit_test(records),
		cmocka_unit_test(author_rows),
		cmocka_unit_test(a_domain_without_end),
		cmocka_unit_test(is_signed_rows),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
