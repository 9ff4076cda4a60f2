/* smtp/server_impl.h - what the files of the server engine share: its states and its struct. Used by smtp/server*.c only. */
#ifndef SMTP_SERVER_IMPL_H
#define SMTP_SERVER_IMPL_H

#include "smtp/command.h"
#include "smtp/content.h"
#include "smtp/line.h"
#include "smtp/server.h"

/*  START -> READY -> MAIL -> RCPT -> DATA -> READY              EHLO, HELO: any of the first five -> READY
 *                            RCPT -> CHUNK -> CHUNKS -> CHUNK .. -> READY
 *  a BDAT that is refused -> DROP -> where it was, or READY if the message failed by it
 *  READY -> HANDSHAKE -> START (STARTTLS)        READY -> AUTH -> READY          START, READY -> START (XCLIENT)
 *  any -> CLOSED (QUIT, 421): what is sent after that is not looked at
 *  The caller is asked in READY (MAIL), MAIL and RCPT (RCPT), RCPT (BEGIN), DATA and CHUNK (END), AUTH (LOGIN), START and READY (XCLIENT); `want` holds the question
 *  until the answer moves us on. What holds where is in holds().
 *  A handler takes octets from `in`. True: go round again; false: return s->want. */
#define SERVER_STATES(X) /* state  handler  what a command that is unwelcome there is told */ \
	X(START,     server_on_command,   "503 5.5.1 Say EHLO first") \
	X(READY,     server_on_command,   "503 5.5.1 Say MAIL FROM first") \
	X(MAIL,      server_on_command,   "503 5.5.1 No valid recipients") \
	X(RCPT,      server_on_command,   "503 5.5.1 No valid recipients") \
	X(CHUNKS,    server_on_command,   "503 5.5.1 BDAT began this message: end it by BDAT, or say RSET")        /* RFC 3030 2 */ \
	X(DATA,      server_on_data,      NULL) \
	X(CHUNK,     server_on_chunk,     NULL) \
	X(DROP,      server_on_drop,      NULL) \
	X(HANDSHAKE, server_on_handshake, NULL) \
	X(AUTH,      server_on_auth,      NULL) \
	X(CLOSED,    server_on_closed,    NULL)

enum server_state {
#define STATE_ENUM(name, handler, unwelcome) SERVER_##name,
	SERVER_STATES(STATE_ENUM)
#undef STATE_ENUM
};

struct smtp_server {
	const struct smtp_server_settings *settings;
	enum server_state state;
	enum smtp_server_want want;
	struct sp_buf out;
	struct smtp_line_reader lines;
	unsigned errors;                /* since the last message taken */
	bool spoken;                    /* a command has come */
	int64_t now_s;                  /* 0: never told */
	bool tls;                       /* the session is under TLS */
	bool authenticated;
	bool known;                     /* to the caller, without AUTH */
	struct server_auth *auth;       /* in AUTH: the exchange; else NULL */
	const struct smtp_server_xclient *xclient;      /* of the command being worked on; in `command_arena` */
	char *goodbye;                  /* dismissed: the 421 to come */
	bool leave_now;

	struct smtp_command command;    /* the one being worked on; strings in the line or in `command_arena` */
	struct sp_arena command_arena;

	bool open;                      /* MAIL was accepted; the caller has not been told that it is over */
	struct smtp_address sender;     /* strings in `mail_arena` */
	struct sp_arena mail_arena;     /* of the transaction */
	struct smtp_server_mail mail;
	char *helo;

	struct smtp_content content;
	struct sp_str slice;
	uint64_t received;              /* octets of content, as the caller gets them */
	const char *verdict;            /* in DATA and DROP: the refusal to be said at the end; in `mail_arena` or static */
	uint64_t left;                  /* in DROP: octets to come */
	enum server_state back;         /* in DROP: where to go then */
};

/* ---- server.c ---- */
void server_enter(struct smtp_server *s, enum server_state next);
bool server_want(struct smtp_server *s, enum smtp_server_want w);       /* false, for a handler to return */
void server_say(struct smtp_server *s, const char *reply);
void server_leave(struct smtp_server *s, const char *reply);            /* the last words: what comes from the client after this is not looked at */
void server_end_mail(struct smtp_server *s);                            /* a message was stored or refused */
bool server_abandon(struct smtp_server *s);     /* tells the caller, once, that its transaction came to nothing; false: return, so that it hears */
bool server_reset(struct smtp_server *s);       /* RFC 5321 4.1.1.5: RSET, and EHLO (4.1.4), end the transaction and nothing else; returns as server_abandon() */
bool server_on_command(struct smtp_server *s, struct sp_str *in);
bool server_on_closed(struct smtp_server *s, struct sp_str *in);

/* ---- server_content.c ---- */
bool server_is_over_size(const struct smtp_server *s, uint64_t more);
const char *server_size_refusal(struct smtp_server *s, struct sp_arena *arena);         /* RFC 1870 6.1 (4) */
/* `left` octets of a chunk are still to come, and are dropped: RFC 3030 2: they are accepted and discarded before the reply is sent. */
bool server_drop_chunk(struct smtp_server *s, uint64_t left, const char *reply, enum server_state back);
bool server_fail_chunk(struct smtp_server *s, uint64_t left, const char *reply);        /* the message fails by this chunk */
bool server_on_data(struct smtp_server *s, struct sp_str *in);
bool server_on_chunk(struct smtp_server *s, struct sp_str *in);
bool server_on_drop(struct smtp_server *s, struct sp_str *in);

/* ---- server_mail.c, server_hello.c: commands. A check is asked first, and the reply it returns ends the command; apply acts ---- */
const char *server_check_mail(struct smtp_server *s);
const char *server_check_rcpt(struct smtp_server *s);
const char *server_check_data(struct smtp_server *s);
const char *server_check_bdat(struct smtp_server *s);
bool server_apply_mail(struct smtp_server *s);
bool server_apply_rcpt(struct smtp_server *s);
bool server_apply_data(struct smtp_server *s);
bool server_apply_bdat(struct smtp_server *s);

bool server_offers_hold(const struct smtp_server *s);                   /* FUTURERELEASE, as things stand */
bool server_apply_hello(struct smtp_server *s);
const char *server_check_starttls(struct smtp_server *s);
bool server_apply_starttls(struct smtp_server *s);
bool server_on_handshake(struct smtp_server *s, struct sp_str *in);

void server_forget_client(struct smtp_server *s);                       /* it has said nothing, as far as we are concerned; not in a transaction */

/* ---- server_xclient.c ---- */
const char *server_check_xclient(struct smtp_server *s);
bool server_apply_xclient(struct smtp_server *s);

/* ---- server_auth.c ---- */
bool server_offers_auth(const struct smtp_server *s);                   /* as things stand */
const char *server_check_auth(struct smtp_server *s);
bool server_apply_auth(struct smtp_server *s);
bool server_on_auth(struct smtp_server *s, struct sp_str *in);
void server_end_auth(struct smtp_server *s);                            /* wipes what the exchange brought; NULL is fine */

#endif
