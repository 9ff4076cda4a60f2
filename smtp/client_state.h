/* smtp/client_state.h - the inside of the client engine, shared by its files and by nobody else.
 *   client.c          the session: greeting, EHLO, STARTTLS, waiting for work, QUIT; the table of states
 *   client_ext.c      what an EHLO reply offers
 *   client_auth.c     AUTH
 *   client_mail.c     one transaction: MAIL and RCPT, results
 *   client_choose.c   what cannot go to this peer, said before it is asked
 *   client_param.c    the parameters of MAIL and RCPT
 *   client_content.c  its content: DATA or BDAT */
#ifndef SMTP_CLIENT_STATE_H
#define SMTP_CLIENT_STATE_H

#include "smtp/client.h"
#include "smtp/stuff.h"

/*  GREETING -> EHLO -> STARTTLS -> HANDSHAKE -> EHLO -> [AUTH ->] READY      EHLO -> HELO -> READY where neither TLS nor EHLO is to be had
 *  READY -> [RSET ->] MAIL -> RCPT.. -> DATA -> BODY -> DOT -> RESULT -> READY
 *                                    -> BODY -> [CHUNK ->] LAST -> RESULT    by BDAT
 *  READY -> BODY -> [RSET ->] MAIL -> RCPT.. -> LAST -> RESULT               by BDAT, small and pipelined
 *  any -> QUIT (refused, still in step)      any -> CLOSED (out of step, lost, late; nothing more is sent)
 *  From READY to RESULT: the session is under TLS, or TLS is not demanded (RFC 8461 5, RFC 7672 2.2); credentials were taken, and are wiped.
 *  From RSET to LAST: a transaction is under way; `mail` and `t` describe it. Where commands were pipelined, the state still
 *  names the one reply that comes next. */
#define CLIENT_STATES(X) /* state  waiting for          seconds  wants     on a reply */ \
	X(GREETING,  "the greeting",              300, READ,      on_greeting)    /* RFC 5321 4.5.3.2.1 */ \
	X(EHLO,      "the EHLO reply",            300, READ,      on_ehlo) \
	X(HELO,      "the HELO reply",            300, READ,      on_helo) \
	X(STARTTLS,  "the STARTTLS reply",        120, READ,      on_starttls) \
	X(HANDSHAKE, "the TLS handshake",         120, HANDSHAKE, NULL) \
	X(AUTH,      "the AUTH reply",            300, READ,      on_auth) \
	X(READY,     "work",                      300, READY,     NULL) \
	X(RSET,      "the RSET reply",            300, READ,      on_rset) \
	X(MAIL,      "the MAIL FROM reply",       300, READ,      on_mail)        /* RFC 5321 4.5.3.2.2 */ \
	X(RCPT,      "the RCPT TO reply",         300, READ,      on_rcpt)        /* RFC 5321 4.5.3.2.3 */ \
	X(DATA,      "the DATA reply",            120, READ,      on_data)        /* RFC 5321 4.5.3.2.4 */ \
	X(BODY,      "room for the content",      180, BODY,      on_early_reply) /* RFC 5321 4.5.3.2.5 */ \
	X(CHUNK,     "the BDAT reply",            600, READ,      on_chunk)       /* a block and its processing: as for LAST */ \
	X(DOT,       "the reply to the content",  600, READ,      on_content)     /* RFC 5321 4.5.3.2.6 */ \
	X(LAST,      "the reply to the content",  600, READ,      on_content)     /* RFC 5321 4.5.3.2.6 */ \
	X(RESULT,    "its result to be taken",    300, RESULT,    NULL) \
	X(UNASKED,   "the rest of an unasked reply", 10, READ,    on_unasked) \
	X(QUIT,      "the QUIT reply",             10, READ,      on_quit) \
	X(CLOSED,    "nothing",                     0, CLOSE,     NULL)

enum client_state {
#define X(name, waiting_for, wait_s, wants, handler) CLIENT_##name,
	CLIENT_STATES(X)
#undef X
};

enum recipient_state {
	RECIPIENT_KEPT_BACK,            /* no RCPT for it: settled before anything was sent */
	RECIPIENT_ASKED,                /* RCPT sent or to be sent; no reply yet */
	RECIPIENT_ACCEPTED,             /* shares the fate of the content */
	RECIPIENT_SETTLED               /* its result is known */
};

struct transaction {
	struct sp_fail *results;        /* one a recipient */
	unsigned char *recipients;      /* enum recipient_state, one each */
	size_t count;
	size_t asked;                   /* index of the next recipient to send a RCPT for */
	size_t answered;                /* index of the next recipient that a reply is due for */
	size_t accepted;
	bool open;                      /* the peer accepted MAIL and was not told to forget it since */
	bool settled;                   /* nothing that is still to come can change a result */

	bool utf8;                      /* SMTPUTF8 is said with MAIL */
	bool bdat;                      /* content goes by BDAT, else by DATA */
	bool pipelined;                 /* RFC 2920: the envelope goes out in one write */
	bool whole;                     /* the content is gathered in `held` and leaves in one chunk, with the envelope if pipelined */
	bool data_sent;                 /* DATA went out behind the envelope */
	bool as_is;                     /* the content is binary: no CRLF is added to it */
	bool one_chunk;                 /* BDAT size LAST: the content is known to end in CRLF, or is binary */
	bool complete;                  /* the end of the content was put into the output */
	uint64_t content_len;           /* octets of the content so far */
	struct smtp_stuff stuff;
	struct sp_buf held;

	struct sp_buf reply;            /* the last one, printable */
	bool uncertain, site, by_dropped;       /* as in struct smtp_client_results */
};

struct smtp_client {
	enum client_state state;
	enum smtp_client_tls tls;
	bool tls_on;
	bool starttls_refused;          /* and the session went on in clear */
	bool broken;                    /* behind RESULT comes CLOSED, not READY */
	bool told;                      /* SMTP_CLIENT_RESULT was returned for this result */
	bool need_rset;                 /* the peer holds a transaction that we have given up */
	unsigned mails;                 /* MAIL commands sent: RFC 9422 MAILMAX */
	unsigned messages;              /* delivered */
	char *helo, *peer;
	char *user, *password;          /* NULL: none, or taken by the peer */
	bool auth_login;                /* by LOGIN; else by PLAIN */
	unsigned auth_said;             /* responses given */
	char greeted_as[SMTP_CLIENT_NAME];      /* the name in the greeting, printable */
	struct smtp_client_ext ext;
	struct smtp_reply_reader reader;
	struct sp_buf out;
	struct sp_fail fail;            /* why the session ended */
	const struct smtp_client_mail *mail;    /* borrowed, from send to RESULT */
	struct transaction t;
	struct smtp_client_results lent;
};

/* client.c */
/* The reply on one line; while credentials are in use, not what repeats them. */
void client_print_reply(const struct smtp_client *c, const struct smtp_reply *r, size_t max, struct sp_buf *out);
void client_leave(struct smtp_client *c);       /* over, but in step: QUIT is said, and its reply waited for. c->fail was set */
void client_enter(struct smtp_client *c, enum client_state next);
void client_command(struct smtp_client *c, const char *fmt, ...) SP_PRINTF(2, 3);       /* adds CRLF; refuses CR, LF inside */
/* A failure made of a reply: "PEER how with REPLY", as in "mx1 answered MAIL FROM with 550 no". */
void client_refusal(const struct smtp_client *c, struct sp_fail *f, const struct smtp_reply *r, const char *how);
/* The peer answered with a code that its place does not allow. The session is out of step, and ends here. */
void client_odd_reply(struct smtp_client *c, const struct smtp_reply *r);
/* The session ends at once: results for those who have none, then CLOSED. `heard`: the peer said so in a reply, so nothing is
 * uncertain. */
void client_break(struct smtp_client *c, const struct sp_fail *why, bool heard);

/* client_auth.c */
void auth_begin(struct smtp_client *c);         /* on a session that is ready but for them: says the credentials, or refuses to */
void on_auth(struct smtp_client *c, const struct smtp_reply *r);
void auth_wipe(struct smtp_client *c);
bool auth_is_repeated(const struct smtp_client *c, struct sp_str text);         /* does it hold the credentials, or a part of how they were said? */

/* client_choose.c */
bool choose_is_utf8(const char *address);
/* True with *f if the mail as a whole cannot go to this peer. Else it, and then choose_recipients(), find out whether SMTPUTF8 is to be said. */
bool choose_none(struct smtp_client *c, const struct smtp_client_mail *m, struct sp_fail *f);
/* Decides for whom there will be a RCPT, and settles the others; how many. */
size_t choose_recipients(struct smtp_client *c, const struct smtp_client_mail *m);

/* client_param.c: behind the path, each with a blank in front. */
void param_put_mail(struct smtp_client *c);
void param_put_rcpt(struct smtp_client *c, size_t i);
/* Seconds that are left, as BY= says them: rounded down, at most 9 digits (RFC 2852 4). */
int64_t param_by_s(const struct smtp_client_mail *m);

/* client_mail.c */
void transaction_settle(struct transaction *t, size_t i, const struct sp_fail *f);
void transaction_init(struct transaction *t);
void transaction_clear(struct transaction *t);
void transaction_publish(struct smtp_client *c);        /* what smtp_client_results() lends */
void transaction_break(struct smtp_client *c, const struct sp_fail *why, bool heard);
void transaction_open(struct smtp_client *c);           /* the envelope, or its first command */
bool transaction_settle_rest(struct transaction *t, const struct sp_fail *f);  /* `f` for all without a result; true if there was one */
void transaction_keep_reply(struct transaction *t, const struct smtp_reply *r);
void transaction_refused(struct smtp_client *c, const struct smtp_reply *r, const char *how);  /* the mail as a whole */
void transaction_finish(struct smtp_client *c);
void on_rset(struct smtp_client *c, const struct smtp_reply *r);
void on_mail(struct smtp_client *c, const struct smtp_reply *r);
void on_rcpt(struct smtp_client *c, const struct smtp_reply *r);

/* client_content.c */
void on_data(struct smtp_client *c, const struct smtp_reply *r);
void on_early_reply(struct smtp_client *c, const struct smtp_reply *r);
void on_chunk(struct smtp_client *c, const struct smtp_reply *r);
void on_content(struct smtp_client *c, const struct smtp_reply *r);

/* client_ext.c */
void smtp_client_ext_parse(const struct smtp_reply *r, struct smtp_client_ext *out);

#endif
