/* tests/fuzz/header_fuzz.c - the header scanner on anything: in pieces as in one, and its end where an empty line or no field is.
 * The first octet is the size of the pieces. The same octets as a HELO name must not break out of Received. */
#include "smtp/header.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static struct smtp_header_scan scan(struct sp_str s, size_t piece)
{
	struct smtp_header_scan h;
	smtp_header_scan_init(&h);
	while (s.len > 0) {
		struct sp_str part = sp_str_make(s.p, sp_min(piece, s.len));
		size_t took = smtp_header_scan_feed(&h, part);
		sp_assert(took <= part.len && (h.done || took == part.len));
		s = sp_str_from(s, part.len);
	}
	smtp_header_scan_finish(&h);
	sp_assert(h.done);
	return h;
}

static void check_section(struct sp_str s, const struct smtp_header_scan *h)
{
	sp_assert(h->len <= s.len);
	struct sp_str section = sp_str_make(s.p, h->len), rest = sp_str_from(s, h->len), line;
	sp_assert(h->separated == (sp_str_starts(rest, SP_STR("\r\n")) || sp_str_starts(rest, SP_STR("\n"))));
	sp_assert(rest.len == 0 || section.len == 0 || section.p[section.len - 1] == '\n');
	unsigned fields = 0;
	while (sp_take_line(&section, &line)) {
		sp_assert(line.len > 0 || section.len == 0);            /* CR alone, at the very end */
		fields += line.len > 0 && !sp_is_blank(line.p[0]);
		sp_assert(line.len == 0 || sp_is_blank(line.p[0]) || sp_str_contains(line, ':'));
	}
	sp_assert(h->received + h->has_date + h->has_message_id + h->has_from + h->tls_optional <= fields);
	section = sp_str_make(s.p, h->len);
	sp_assert(h->eight_bit == !sp_str_is_ascii(section));
	bool broken = sp_str_contains(section, '\0') || (h->separated && rest.p[0] == '\n');
	for (size_t i = 0; i < section.len; i++) {
		broken |= section.p[i] == '\n' && (i == 0 || section.p[i - 1] != '\r');
		broken |= section.p[i] == '\r' && (i + 1 == section.len || section.p[i + 1] != '\n');
	}
	sp_assert(h->broken == broken);
}

static void check_received(struct sp_str helo)
{
	char *name = sp_str_dup(helo);
	struct sp_buf out;
	sp_buf_init(&out, 4096);
	smtp_add_received(&out, &(struct smtp_received){ name, "[192.0.2.1]", "relay", "ESMTP", "1", "a@x.org", 0 });
	sp_assert(!sp_buf_failed(&out));
	unsigned lines = 0;
	for (size_t i = 0; i < out.len; i++) {
		char c = out.p[i];
		sp_assert(sp_is_print(c) || c == '\t' || c == '\r' || c == '\n');
		sp_assert((c == '\n') == (i > 0 && out.p[i - 1] == '\r'));
		lines += c == '\n';
	}
	sp_assert(lines == 4);
	sp_buf_clear(&out);
	free(name);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	if (len == 0)
		return 0;
	struct sp_str s = sp_str_make((const char *)data + 1, len - 1);
	struct smtp_header_scan whole = scan(s, s.len + 1), pieces = scan(s, 1 + data[0] % 16);
	sp_assert(whole.len == pieces.len && whole.separated == pieces.separated && whole.received == pieces.received);
	sp_assert(whole.has_date == pieces.has_date && whole.has_message_id == pieces.has_message_id &&
	          whole.has_from == pieces.has_from);
	sp_assert(whole.tls_optional == pieces.tls_optional && whole.eight_bit == pieces.eight_bit && whole.broken == pieces.broken);
	check_section(s, &whole);
	check_received(s);
	return 0;
}
