/* tests/fuzz/server_fuzz.c - a client that says anything, in one piece and in random ones: the session is the same, every reply is
 * a line, and data ends where a naive decoder ends it. The first octet holds settings and answers, the second seeds the pieces. */
#include "smtp/server.h"
#include "tests/unit/naive_content.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct session {
	struct smtp_server *server;
	uint8_t flavour;
	unsigned questions;
	struct sp_buf replies;
	struct sp_buf asked;            /* what the caller was asked and given, in order */
	struct sp_str all;              /* what the client says */
	size_t taken;                   /* octets of it that the engine took */
	struct sp_buf content;
	bool in_data;                   /* behind DATA: `model` says what must come of it */
	size_t data_start;
	struct naive_result model;
	bool open, closed;
};

static bool refused(struct session *s)
{
	s->questions++;
	return (s->flavour & 0x10) && s->questions % 5 == 0;
}

static void answer(struct session *s, const char *refusal)
{
	if (refused(s))
		smtp_server_refuse(s->server, s->flavour & 0x20 ? "421 4.3.0 Bye" : refusal);
	else
		smtp_server_accept(s->server, NULL);
}

static void drain(struct session *s)
{
	struct sp_buf *out = smtp_server_output(s->server);
	sp_assert(out->len <= 2 * SMTP_SERVER_OUTPUT_FULL);
	sp_assert(out->len == 0 || (out->len > 5 && memcmp(out->p + out->len - 2, "\r\n", 2) == 0));
	sp_buf_add(&s->replies, sp_buf_str(out));
	sp_buf_reset(out);
}

static void begin(struct session *s)
{
	size_t before = smtp_server_output(s->server)->len;
	sp_buf_reset(&s->content);
	answer(s, "452 4.3.1 Full");
	struct sp_str reply = sp_str_from(sp_buf_str(smtp_server_output(s->server)), before);
	s->in_data = sp_str_starts(reply, SP_STR("354"));
	if (!s->in_data)
		return;
	sp_buf_clear(&s->model.out);
	naive_data(sp_str_from(s->all, s->taken), s->flavour & 1, &s->model);
	s->data_start = s->taken;
}

static void end(struct session *s)
{
	sp_assert(s->open);
	if (s->in_data) {
		sp_assert(s->model.ended && s->model.fault == 0);
		sp_assert(s->taken == s->data_start + s->model.used);
		sp_assert(sp_str_eq(sp_buf_str(&s->content), sp_buf_str(&s->model.out)));
	}
	for (size_t i = 0; i < s->content.len; i++) {           /* CRLF lines, by BDAT too */
		char c = s->content.p[i];
		sp_assert(c != '\0' && (c == '\n') == (i > 0 && s->content.p[i - 1] == '\r'));
	}
	sp_assert(s->content.len == 0 || s->content.p[s->content.len - 1] == '\n');
	sp_assert(s->content.len <= 2000);
	sp_buf_printf(&s->asked, "[end %.*s]", SP_STR_ARG(sp_buf_str(&s->content)));
	s->open = false;
	s->in_data = false;
	answer(s, "550 5.7.1 No");
}

static void handle(struct session *s, enum smtp_server_want want)
{
	switch (want) {
	case SMTP_SERVER_MAIL:
		sp_assert(!s->open);
		sp_buf_printf(&s->asked, "[mail %s]", smtp_server_sender(s->server)->text);
		answer(s, "550 5.7.1 No");
		s->open = smtp_server_in_transaction(s->server);
		break;
	case SMTP_SERVER_RCPT:
		sp_assert(s->open);
		sp_buf_printf(&s->asked, "[rcpt %s]", smtp_server_recipient(s->server)->text);
		answer(s, "450 4.2.0 Later");
		break;
	case SMTP_SERVER_BEGIN:
		sp_assert(s->open);
		begin(s);
		s->open = smtp_server_in_transaction(s->server);
		break;
	case SMTP_SERVER_CONTENT:
		sp_assert(s->open && smtp_server_content(s->server).len > 0);
		sp_buf_add(&s->content, smtp_server_content(s->server));
		break;
	case SMTP_SERVER_END:
		end(s);
		break;
	case SMTP_SERVER_ABANDON:
		sp_assert(s->open);
		s->open = false;
		break;
	case SMTP_SERVER_STARTTLS:
	case SMTP_SERVER_LOGIN:
	case SMTP_SERVER_XCLIENT:
	case SMTP_SERVER_CLOSE:
		sp_assert(!s->open);
		s->closed = true;
		break;
	case SMTP_SERVER_READ:
		break;
	}
	sp_assert(s->open == smtp_server_in_transaction(s->server));
	/* A message that failed is refused exactly at its end, so that what follows is read as commands. */
	if (s->in_data && want != SMTP_SERVER_CONTENT && !smtp_server_in_content(s->server) && !s->closed) {
		sp_assert(s->model.ended && s->taken >= s->data_start + s->model.used);
		s->in_data = false;
	}
}

static void feed(struct session *s, size_t len)
{
	struct sp_str in = sp_str_make(s->all.p + s->taken, len);
	while (!s->closed) {
		size_t before = in.len;
		enum smtp_server_want want = smtp_server_next(s->server, &in);
		s->taken += before - in.len;
		if (s->in_data && s->taken < s->data_start + s->model.used)
			sp_assert(smtp_server_in_content(s->server) && want != SMTP_SERVER_END);
		handle(s, want);
		if (want == SMTP_SERVER_READ) {
			drain(s);
			if (in.len == 0)
				break;
		}
	}
	drain(s);
}

static void run(struct session *s, struct sp_str all, uint8_t flavour, uint32_t seed)
{
	struct smtp_server_settings settings = { "relay.example.com", 2000, 3, flavour & 2 ? 3 : 20, flavour & 1, false };
	*s = (struct session){ .server = smtp_server_new(&settings), .flavour = flavour, .all = all };
	sp_buf_init(&s->replies, 16 * 1024 * 1024);
	sp_buf_init(&s->asked, 16 * 1024 * 1024);
	sp_buf_init(&s->content, 1024 * 1024);
	sp_buf_init(&s->model.out, 1024 * 1024);
	smtp_server_greet(s->server);
	while (s->taken < all.len && !s->closed) {
		seed = seed * 1664525 + 1013904223;
		size_t piece = seed == 1013904223 ? all.len : 1 + (seed >> 16) % (seed & 0x800 ? 4 : 200);
		feed(s, sp_min(piece, all.len - s->taken));
		if (piece == all.len)
			break;
	}
	smtp_server_free(s->server);
}

static void clear(struct session *s)
{
	sp_buf_clear(&s->replies);
	sp_buf_clear(&s->asked);
	sp_buf_clear(&s->content);
	sp_buf_clear(&s->model.out);
}

static bool is_content_refusal(struct sp_str line)
{
	return sp_str_starts(line, SP_STR("550 5.6.11 ")) || sp_str_starts(line, SP_STR("552 5.3.4 "));
}

/* Of a message with several faults one is told: which, is a matter of how the octets arrive. */
static bool same_replies(struct sp_str a, struct sp_str b)
{
	struct sp_str x, y;
	while (sp_take_line(&a, &x))
		if (!sp_take_line(&b, &y) || !(sp_str_eq(x, y) || (is_content_refusal(x) && is_content_refusal(y))))
			return false;
	return b.len == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	if (len < 2)
		return 0;
	struct sp_str all = sp_str_make((const char *)data + 2, len - 2);
	struct session whole, pieces;
	run(&whole, all, data[0], 0);
	run(&pieces, all, data[0], 1u + data[1]);
	sp_assert(whole.closed == pieces.closed && whole.taken == pieces.taken);
	sp_assert(same_replies(sp_buf_str(&whole.replies), sp_buf_str(&pieces.replies)));
	sp_assert(sp_str_eq(sp_buf_str(&whole.asked), sp_buf_str(&pieces.asked)));
	clear(&whole);
	clear(&pieces);
	return 0;
}
