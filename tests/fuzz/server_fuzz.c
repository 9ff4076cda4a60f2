/* tests/fuzz/server_fuzz.c - a client that says anything, in one piece and in random ones: the session is the same, every reply is
 * a line, data ends where a naive decoder ends it, and nothing is believed in clear. The first octet holds settings and answers, the second seeds the
 * pieces, the third says what is offered. What comes while a handshake is under way is dropped, up to a line "TLS". */
#include "smtp/server.h"
#include "tests/unit/naive_content.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define NOW_S 1795356189

struct session {
	struct smtp_server *server;
	uint8_t flavour;
	struct smtp_server_settings settings;
	bool tls, known;                /* what the engine is to believe */
	bool handshake;
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

static bool answer(struct session *s, const char *refusal)
{
	bool no = refused(s);
	if (no)
		smtp_server_refuse(s->server, s->flavour & 0x20 ? "421 4.3.0 Bye" : refusal);
	else
		smtp_server_accept(s->server, NULL);
	return !no;
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
	bool binary = smtp_server_mail(s->server)->binary;
	sp_assert(!binary || !s->in_data);
	for (size_t i = 0; i < s->content.len && !binary; i++) {        /* CRLF lines, by BDAT too */
		char c = s->content.p[i];
		sp_assert(c != '\0' && (c == '\n') == (i > 0 && s->content.p[i - 1] == '\r'));
	}
	sp_assert(binary || s->content.len == 0 || s->content.p[s->content.len - 1] == '\n');
	sp_assert(s->content.len <= 2000);
	sp_buf_printf(&s->asked, "[end %.*s]", SP_STR_ARG(sp_buf_str(&s->content)));
	s->open = false;
	s->in_data = false;
	answer(s, "550 5.7.1 No");
}

static void mail(struct session *s)
{
	const struct smtp_server_settings *set = &s->settings;
	const struct smtp_server_mail *m = smtp_server_mail(s->server);
	sp_assert(!s->open && (s->tls || !set->tls_required) && (s->known || !set->auth_required));
	sp_assert(m->esmtp || !(m->wish.utf8 || m->binary || m->wish.by != SP_BY_NONE));
	sp_assert(!m->wish.require_tls || s->tls);
	sp_assert(m->hold_for_s <= set->hold_max_s && m->hold_until_s <= NOW_S + set->hold_max_s);
	sp_assert(m->wish.utf8 || !smtp_server_sender(s->server)->utf8);
	sp_buf_printf(&s->asked, "[mail %s %s %d]", smtp_server_sender(s->server)->text, smtp_server_with(s->server), m->wish.priority);
	answer(s, "550 5.7.1 No");
	s->open = smtp_server_in_transaction(s->server);
}

static void login(struct session *s)
{
	const struct smtp_server_login *l = smtp_server_login(s->server);
	sp_assert(!s->open && s->tls && s->settings.auth && l->name[0] != '\0' && l->password.len > 0);
	sp_assert(smtp_is_utf8_text(sp_str_of(l->name)) && smtp_is_utf8_text(sp_str_of(l->acting)) && !sp_str_contains(l->password, '\0'));
	sp_buf_printf(&s->asked, "[login %s %s %s %.*s]", l->mechanism, l->name, l->acting, SP_STR_ARG(l->password));
	s->known |= answer(s, "454 4.7.0 Later");
}

static void xclient(struct session *s)
{
	const struct smtp_server_xclient *x = smtp_server_xclient(s->server);
	sp_assert(!s->open && s->settings.xclient);
	sp_buf_printf(&s->asked, "[xclient %s %s %s]", x->name ? x->name : "-", x->addr ? x->addr : "-", x->port ? x->port : "-");
	s->known &= !answer(s, "550 5.7.0 No");
}

static void handle(struct session *s, enum smtp_server_want want)
{
	switch (want) {
	case SMTP_SERVER_MAIL:
		mail(s);
		break;
	case SMTP_SERVER_LOGIN:
		login(s);
		break;
	case SMTP_SERVER_STARTTLS:
		sp_assert(!s->open && !s->tls && s->settings.starttls);
		s->handshake = true;
		break;
	case SMTP_SERVER_RCPT:
		sp_assert(s->open);
		sp_assert(smtp_server_mail(s->server)->wish.utf8 || !smtp_server_recipient(s->server)->utf8);
		sp_buf_printf(&s->asked, "[rcpt %s %u]", smtp_server_recipient(s->server)->text, smtp_server_recipient_wish(s->server)->notify);
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
	case SMTP_SERVER_XCLIENT:
		xclient(s);
		break;
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

/* What the client says before the line "TLS" is what was in flight when the handshake began. */
static void pass_handshake(struct session *s)
{
	static const char line[] = "TLS\r\n";
	while (s->taken < s->all.len && !sp_str_starts(sp_str_from(s->all, s->taken), SP_STR(line)))
		s->taken++;
	if (s->taken == s->all.len)
		return;
	s->taken += strlen(line);
	s->handshake = false;
	s->tls = true;
	smtp_server_tls_done(s->server);
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
		if (want == SMTP_SERVER_STARTTLS) {
			sp_assert(in.len == 0);         /* CVE-2011-0411 */
			break;
		}
		if (want == SMTP_SERVER_READ) {
			drain(s);
			if (in.len == 0)
				break;
		}
	}
	drain(s);
}

/* While STARTTLS may come, a piece is a line at most: what it held behind that would be dropped, and a session in other pieces would be another. */
static size_t piece_end(const struct session *s, size_t len)
{
	if (s->tls || !s->settings.starttls)
		return len;
	return sp_min(sp_str_find(sp_str_make(s->all.p + s->taken, len), '\n') + 1, len);
}

static void run(struct session *s, struct sp_str all, uint8_t flavour, uint8_t offers, uint32_t seed)
{
	*s = (struct session){ .flavour = flavour, .all = all };
	s->settings = (struct smtp_server_settings){
		.hostname = "relay.example.com", .message_size = 2000, .recipients = 3, .errors = flavour & 2 ? 3 : 20, .normalise_bare_lf = flavour & 1,
		.tls = offers & 1, .starttls = offers & 2, .tls_required = offers & 4, .auth = offers & 8, .auth_required = offers & 16,
		.hold_max_s = offers & 32 ? 3600 : 0, .xclient = offers & 64,
	};
	s->server = smtp_server_new(&s->settings);
	smtp_server_set_now(s->server, NOW_S);
	s->tls = s->settings.tls;
	sp_buf_init(&s->replies, 16 * 1024 * 1024);
	sp_buf_init(&s->asked, 16 * 1024 * 1024);
	sp_buf_init(&s->content, 1024 * 1024);
	sp_buf_init(&s->model.out, 1024 * 1024);
	smtp_server_greet(s->server);
	while (s->taken < all.len && !s->closed) {
		seed = seed * 1664525 + 1013904223;
		size_t piece = seed == 1013904223 ? all.len : 1 + (seed >> 16) % (seed & 0x800 ? 4 : 200);
		if (s->handshake)
			pass_handshake(s);
		else
			feed(s, piece_end(s, sp_min(piece, all.len - s->taken)));
		if (piece == all.len)
			seed = 0;
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
	if (len < 3)
		return 0;
	struct sp_str all = sp_str_make((const char *)data + 3, len - 3);
	struct session whole, pieces;
	run(&whole, all, data[0], data[2], 0);
	run(&pieces, all, data[0], data[2], 1u + data[1]);
	sp_assert(whole.closed == pieces.closed && whole.taken == pieces.taken);
	sp_assert(same_replies(sp_buf_str(&whole.replies), sp_buf_str(&pieces.replies)));
	sp_assert(sp_str_eq(sp_buf_str(&whole.asked), sp_buf_str(&pieces.asked)));
	clear(&whole);
	clear(&pieces);
	return 0;
}
