/* tests/unit/dkim_sign.c - signs a message as the relay does, for a verifier that is not ours (tests/e2e/test_dkim_sign.py).
 *   dkim_sign PIECE T DOMAIN SELECTOR KEYFILE [DOMAIN SELECTOR KEYFILE]... < message > signed message
 * The body is fed PIECE octets at a time; t= is T. Prints the fields written over their placeholders, then the message. */
#include "smtp/dkim.h"
#include "smtp/header.h"

#include <stdio.h>
#include <stdlib.h>

#define MESSAGE_MAX (16 * 1024 * 1024)

static void read_all(struct sp_buf *out)
{
	char *room;
	size_t n;
	do {
		room = sp_buf_room(out, 65536);
		sp_assert(room);
		n = fread(room, 1, 65536, stdin);
		sp_buf_wrote(out, n);
	} while (n > 0);
}

static void sign(const struct smtp_dkim_signer *signers, size_t count, struct sp_str message, size_t piece, int64_t t, struct sp_buf *out)
{
	struct smtp_header_scan scan;
	smtp_header_scan_init(&scan);
	smtp_header_scan_feed(&scan, message);
	smtp_header_scan_finish(&scan);
	struct sp_str body = sp_str_from(message, scan.len);
	if (scan.separated)
		body = sp_str_from(body, body.p[0] == '\r' ? 2 : 1);
	struct sp_buf zeros;
	sp_buf_init(&zeros, MESSAGE_MAX);
	struct smtp_dkim *d = smtp_dkim_begin(signers, count, sp_str_make(message.p, scan.len), t, &zeros);
	while (body.len > 0) {
		size_t n = sp_min(piece, body.len);
		smtp_dkim_body(d, sp_str_make(body.p, n));
		body = sp_str_from(body, n);
	}
	smtp_dkim_finish(d, out);
	sp_assert(out->len == zeros.len && !sp_buf_failed(out));
	sp_buf_clear(&zeros);
}

int main(int argc, char **argv)
{
	uint64_t piece, t;
	size_t count = argc < 3 ? 0 : (size_t)(argc - 3) / 3;
	if (count == 0 || (argc - 3) % 3 || count > SMTP_DKIM_SIGNERS_MAX || !sp_str_number(sp_str_of(argv[1]), 1, MESSAGE_MAX, &piece) ||
	    !sp_str_number(sp_str_of(argv[2]), 0, UINT32_MAX, &t)) {
		fputs("usage: dkim_sign PIECE T DOMAIN SELECTOR KEYFILE...\n", stderr);
		return 2;
	}
	struct smtp_dkim_signer signers[SMTP_DKIM_SIGNERS_MAX];
	for (size_t i = 0; i < count; i++) {
		struct sp_fail why = SP_FAIL_OK;
		signers[i] = (struct smtp_dkim_signer){ argv[3 + 3 * i], argv[4 + 3 * i], core_key_load(argv[5 + 3 * i], NULL, &why) };
		if (signers[i].key == NULL) {
			fprintf(stderr, "%s\n", why.text);
			return 1;
		}
	}
	struct sp_buf message, fields;
	sp_buf_init(&message, MESSAGE_MAX);
	sp_buf_init(&fields, MESSAGE_MAX);
	read_all(&message);
	sign(signers, count, sp_buf_str(&message), (size_t)piece, (int64_t)t, &fields);
	fwrite(fields.p, 1, fields.len, stdout);
	fwrite(sp_buf_cstr(&message), 1, message.len, stdout);
	for (size_t i = 0; i < count; i++)
		core_key_unref(signers[i].key);
	sp_buf_clear(&message);
	sp_buf_clear(&fields);
	return 0;
}
