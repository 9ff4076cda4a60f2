/* tests/fuzz/reply_fuzz.c - smtp/reply.c: any octets from a server. A reply read whole and one read octet by octet must be the same;
 * what is printed must be printable, short enough, and one reply when read again. */
#include "smtp/reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_printed(const struct smtp_reply *r)
{
	struct sp_buf line;
	sp_buf_init(&line, 1000);
	smtp_reply_print(r, 300, &line);
	sp_assert(!sp_buf_failed(&line) && line.len >= 3 && line.len <= 300);
	for (size_t i = 0; i < line.len; i++)
		sp_assert(sp_is_print(line.p[i]));
	sp_buf_adds(&line, "\r\n");
	struct smtp_reply_reader again;
	smtp_reply_reader_init(&again);
	struct sp_str in = sp_buf_str(&line);
	sp_assert(smtp_reply_feed(&again, &in) == SMTP_REPLY_DONE && in.len == 0);
	sp_assert(again.reply.code == r->code && again.reply.lines == 1);
	smtp_reply_reader_clear(&again);
	sp_buf_clear(&line);
}

static void check_same(const struct smtp_reply_reader *a, const struct smtp_reply_reader *b)
{
	sp_assert(a->reply.code == b->reply.code && a->reply.lines == b->reply.lines);
	sp_assert(strcmp(a->reply.esc, b->reply.esc) == 0);
	sp_assert(sp_str_eq(sp_buf_str(&a->reply.text), sp_buf_str(&b->reply.text)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct smtp_reply_reader whole, octets;
	smtp_reply_reader_init(&whole);
	smtp_reply_reader_init(&octets);
	struct sp_str in = sp_str_make((const char *)data, size), slow = in;
	enum smtp_reply_status status = SMTP_REPLY_DONE;
	while (in.len > 0 && status == SMTP_REPLY_DONE) {
		status = smtp_reply_feed(&whole, &in);
		enum smtp_reply_status other = SMTP_REPLY_MORE;
		while (slow.len > 0 && other == SMTP_REPLY_MORE) {
			struct sp_str octet = sp_str_make(slow.p, 1);
			slow = sp_str_from(slow, 1);
			other = smtp_reply_feed(&octets, &octet);
			sp_assert(octet.len == 0);
		}
		if (status == SMTP_REPLY_BROKEN) {      /* octet by octet a line that is too long shows earlier */
			sp_assert(other == SMTP_REPLY_BROKEN && whole.why && octets.why);
			break;
		}
		sp_assert(status == other && in.len == slow.len);
		if (status != SMTP_REPLY_DONE)
			break;
		sp_assert(whole.reply.code >= 200 && whole.reply.code <= 599);
		check_same(&whole, &octets);
		check_printed(&whole.reply);
	}
	smtp_reply_reader_clear(&whole);
	smtp_reply_reader_clear(&octets);
	return 0;
}
