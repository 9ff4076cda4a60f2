/* tests/fuzz/dkim_fuzz.c - signing anything: in pieces as at once, the field as long as its placeholder and of lines that mail may have, canonical
 * forms that are canonical already. The first octet is the size of the pieces. */
#include "smtp/dkim.h"
#include "smtp/dkim_canon.h"
#include "smtp/header.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void to_buf(void *arg, struct sp_str piece)
{
	sp_buf_add(arg, piece);
}

static void canon_body(struct sp_str body, size_t piece, struct sp_buf *out)
{
	struct smtp_dkim_canon c;
	sp_buf_init(out, body.len + 4);
	smtp_dkim_canon_init(&c, to_buf, out);
	while (body.len > 0) {
		size_t n = sp_min(piece, body.len);
		smtp_dkim_canon_add(&c, sp_str_make(body.p, n));
		body = sp_str_from(body, n);
	}
	smtp_dkim_canon_finish(&c);
	sp_assert(!sp_buf_failed(out));
}

static void check_body(struct sp_str body, size_t piece)
{
	struct sp_buf whole, pieces, again;
	canon_body(body, body.len + 1, &whole);
	canon_body(body, piece, &pieces);
	canon_body(sp_buf_str(&whole), piece, &again);
	sp_assert(sp_str_eq(sp_buf_str(&whole), sp_buf_str(&pieces)));
	sp_assert(sp_str_eq(sp_buf_str(&whole), sp_buf_str(&again)));
	sp_assert(whole.len == 0 || sp_str_ends(sp_buf_str(&whole), SP_STR("\r\n")));
	sp_buf_clear(&whole);
	sp_buf_clear(&pieces);
	sp_buf_clear(&again);
}

static void check_fields(struct sp_str header)
{
	struct smtp_field f, again;
	struct sp_buf once, twice;
	sp_buf_init(&once, header.len + 2);
	sp_buf_init(&twice, header.len + 2);
	while (smtp_field_take(&header, &f)) {
		sp_buf_reset(&once);
		sp_buf_reset(&twice);
		smtp_dkim_canon_field(&f, &once);
		struct sp_str rest = sp_buf_str(&once);
		bool taken = smtp_field_take(&rest, &again);
		sp_assert(taken && rest.len == 0);
		smtp_dkim_canon_field(&again, &twice);
		/* a CR that stood before a fold may come to stand at the end, where it is a part of the line end */
		sp_assert(sp_str_contains(f.value, '\r') || sp_str_eq(sp_buf_str(&once), sp_buf_str(&twice)));
	}
	sp_buf_clear(&once);
	sp_buf_clear(&twice);
}

static void check_signature(const struct smtp_dkim_signer *signer, struct sp_str header, struct sp_str body, struct sp_str message)
{
	struct sp_buf zeros, fields, once;
	sp_buf_init(&zeros, 1 << 22);
	sp_buf_init(&fields, 1 << 22);
	sp_buf_init(&once, 1 << 22);
	struct smtp_dkim *d = smtp_dkim_begin(signer, 1, header, 0, &zeros);
	smtp_dkim_body(d, body);
	smtp_dkim_finish(d, &fields);
	smtp_dkim_sign(signer, 1, message, 0, &once);
	sp_assert(zeros.len == fields.len && sp_str_eq(sp_buf_str(&fields), sp_buf_str(&once)));
	struct sp_str rest = sp_buf_str(&fields), line;
	while (sp_take_line(&rest, &line))
		sp_assert(line.len > 1 && line.len <= 78);
	rest = sp_buf_str(&fields);
	sp_assert(smtp_dkim_is_signed(rest, signer->domain, signer->selector));
	sp_buf_clear(&zeros);
	sp_buf_clear(&fields);
	sp_buf_clear(&once);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct smtp_dkim_signer signer = { "example.com", "s1", NULL };
	if (signer.key == NULL)
		signer.key = core_key_generate(CORE_KEY_ED25519, 0, NULL);
	if (len == 0)
		return 0;
	struct sp_str message = sp_str_make((const char *)data + 1, len - 1);
	struct smtp_header_scan scan;
	smtp_header_scan_init(&scan);
	smtp_header_scan_feed(&scan, message);
	smtp_header_scan_finish(&scan);
	struct sp_str header = sp_str_make(message.p, scan.len), body = sp_str_from(message, scan.len);
	if (scan.separated)
		body = sp_str_from(body, body.p[0] == '\r' ? 2 : 1);
	check_body(body, 1 + data[0] % 16);
	check_body(message, 1 + data[0] % 16);
	check_fields(header);
	check_signature(&signer, header, body, message);
	char domain[256] = "";
	if (smtp_dkim_author(header, domain))
		sp_assert(domain[0] && strlen(domain) < sizeof(domain) - 1);
	(void)smtp_dkim_is_signed(message, "example.com", "s1");
	return 0;
}
