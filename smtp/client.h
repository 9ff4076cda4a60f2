/* smtp/client.h - the client side of SMTP: an engine without socket, loop or clock.
 * Implements RFC 5321 (with the waits of 4.5.3.2), 3207 (STARTTLS), 2920 (PIPELINING), 1870 (SIZE), 6152 (8BITMIME),
 * 3030 (CHUNKING: BDAT when offered; BINARYMIME), 9422 (LIMITS: MAILMAX, RCPTMAX and RCPTDOMAINMAX are honoured), 4954 (AUTH PLAIN and LOGIN, never in clear),
 * 3461 (DSN), 6531 (SMTPUTF8), 8689 (REQUIRETLS), 6710 (MT-PRIORITY), 2852 (DELIVERBY). Bytes in, bytes out, and what it wants next. Pure.
 * Used by relay/delivery.c.
 *
 * The caller's loop:
 *     want = smtp_client_next(c, &in); then do what is wanted; smtp_client_output() may hold octets to send after any call.
 * It never sends MAIL before the session satisfies `tls`; that is checked again at every transaction (promise 1). */
#ifndef SMTP_CLIENT_H
#define SMTP_CLIENT_H

#include "core/body.h"
#include "core/fail.h"
#include "core/wish.h"
#include "smtp/reply.h"

struct smtp_client;

enum smtp_client_tls {
	SMTP_CLIENT_TLS_NEVER,          /* stay in clear (the one attempt after an opportunistic handshake failed) */
	SMTP_CLIENT_TLS_MAY,            /* STARTTLS if offered; a refusal of it goes on in clear */
	SMTP_CLIENT_TLS_MUST,           /* STARTTLS or nothing; also for `testing`, where the caller then starts again with less */
	SMTP_CLIENT_TLS_IMPLICIT        /* the connection is under TLS from the first octet (RFC 8314 3): the caller makes the engine after the handshake */
};

enum smtp_client_want {
	SMTP_CLIENT_READ,       /* send the output, then wait for octets up to smtp_client_wait_s() seconds */
	SMTP_CLIENT_HANDSHAKE,  /* send the output, start TLS; then smtp_client_tls_done() and next (failed: close). Octets that the caller read
	                         * in clear behind the reply must still be in `in`: they end the session (CVE-2021-22947) */
	SMTP_CLIENT_READY,      /* in step, nothing under way: smtp_client_send() or smtp_client_quit() */
	SMTP_CLIENT_BODY,       /* send content: smtp_client_body() with a piece, or _body_end(); after each: send the output, and, when the
	                         * connection has room, go on. Octets that arrive meanwhile are passed to next as ever */
	SMTP_CLIENT_RESULT,     /* a transaction ended: smtp_client_results(); then next */
	SMTP_CLIENT_CLOSE       /* send the output and close; smtp_client_fail() says why, if it is a failure */
};

struct smtp_client_settings {
	const char *helo;               /* our host name; copied */
	const char *peer;               /* for the texts of failures: "mx1.example.com[192.0.2.1]"; copied */
	enum smtp_client_tls tls;
	/* Credentials, copied, wiped once the peer has taken them; NULL: none. Said under TLS only: where no TLS came about (auth-needs-tls), or AUTH is not
	 * offered (auth-not-offered) or refused (auth-refused), the peer is out of step (auth-broken) or they are too long to be said (auth-too-long), the session
	 * ends with a failure (REPLY with the code, else PROTOCOL) of that reason, which is never permanent: the operator can mend it. No text repeats them. */
	const char *user, *password;
};
struct smtp_client *smtp_client_new(const struct smtp_client_settings *settings);
void smtp_client_free(struct smtp_client *c);

SP_NODISCARD enum smtp_client_want smtp_client_next(struct smtp_client *c, struct sp_str *in);
struct sp_buf *smtp_client_output(struct smtp_client *c);
unsigned smtp_client_wait_s(const struct smtp_client *c);               /* RFC 5321 4.5.3.2, for the present state */
#define SMTP_CLIENT_NAME 256            /* octets of a host name that are kept, with NUL */
/* The name that the peer gave itself in its greeting (RFC 5321 4.2: 220 and its domain), printable and cut; "" before, and where there was none. */
const char *smtp_client_greeted_as(const struct smtp_client *c);
const char *smtp_client_state_str(const struct smtp_client *c);         /* "the EHLO reply": what it waits for */

/* The handshake succeeded and the caller found what was proved to be enough. Everything learnt in clear is forgotten; EHLO again. */
void smtp_client_tls_done(struct smtp_client *c);

struct smtp_client_ext {                /* what the last EHLO offered */
	bool esmtp, starttls, pipelining, size, eight_bit, chunking, enhanced, smtputf8, dsn, requiretls;
	uint64_t size_max;              /* 0: no limit told */
	unsigned mail_max, rcpt_max;    /* RFC 9422; 0: none told */
	bool auth_plain, auth_login;
	bool binary, mt_priority, deliverby, future_release;
	uint32_t deliverby_min_s;       /* 0: none told */
	unsigned rcpt_domain_max;       /* RFC 9422 RCPTDOMAINMAX; 0: none told */
};
const struct smtp_client_ext *smtp_client_ext(const struct smtp_client *c);

/* One transaction. Borrowed until SMTP_CLIENT_RESULT. */
struct smtp_client_mail {
	const char *sender;             /* "" is the null path */
	const char *const *recipients;
	size_t recipient_count;         /* 1.. ; more than the peer's RCPTMAX is refused as results by the engine with 452 4.5.3 */
	uint64_t size;                  /* octets of the content, exactly: more or fewer at BODY is a STORE failure */
	bool eight_bit;                 /* content has octets over 127: BODY=8BITMIME; to a peer without it: refused here, 5.6.3 */
	bool ends_in_crlf;              /* the content is known to end in CRLF (all that our server stored does): spares large ones that go by
	                                 * BDAT a second chunk. Where false, the engine looks, and adds a CRLF that is missing */
	const char *domain;             /* for failures' texts: the recipient domain */
	bool binary;                    /* needs BINARYMIME: to a peer without it 5.6.3; always by BDAT */
	const struct sp_mail_wish *wish;        /* NULL: nothing */
	const struct sp_rcpt_wish *rcpt_wishes; /* one a recipient; NULL: nothing */
	int64_t now_ms;                 /* Unix ms: what is left of wish->by_ms goes into BY= (RFC 2852 4.1) */
	bool utf8_needed;               /* with wish->utf8: the header has octets over 127. Envelope addresses the engine looks at itself: to a peer without
	                                 * SMTPUTF8 the mail goes all the same where nothing needs it but domains, which are A-labels here; else 5.6.7 */
	bool require_tls;               /* REQUIRETLS is said with MAIL; the caller saw to it that the peer offers it, or that relaying without is allowed */
};
/* At READY; on a session that is over or spent, the results say so. Content is sent by BDAT where CHUNKING is offered (small ones
 * pipelined behind the RCPTs), else by DATA, dot-stuffed. */
void smtp_client_send(struct smtp_client *c, const struct smtp_client_mail *mail);
/* At BODY: the next piece of the content (CRLF lines). Appended to the output in the transfer's form (so a piece of some 64 KiB
 * bounds the output). A content of up to 64 KiB that goes by BDAT leaves at its end, with the whole envelope in front where the peer
 * has PIPELINING: until then there is no output. */
void smtp_client_body(struct smtp_client *c, struct sp_str piece);
void smtp_client_body_end(struct smtp_client *c);
/* Optional, at BODY: true if the content goes out unchanged (BDAT, large). The caller may then send a piece itself, behind what
 * the output holds, and tell the engine by smtp_client_body_lent() instead of giving it to smtp_client_body(). */
bool smtp_client_body_raw(const struct smtp_client *c);
void smtp_client_body_lent(struct smtp_client *c, struct sp_str piece);         /* only looks at it */
/* The content cannot be had (disk): RESULT gives every recipient `why`; the session is closed, unless nothing of the content had left. */
void smtp_client_body_fail(struct smtp_client *c, const struct sp_fail *why);

/* At RESULT: recipient i was delivered when !sp_failed(&r[i]). kind REPLY with the peer's code, esc and text, which ends in " with "
 * and the reply as smtp_reply_print() gives it; otherwise the session's own failure. `permanent` says that trying again cannot help (a
 * 552 at RCPT is not permanent, RFC 5321 4.5.3.1.10). What the engine itself refuses, as the peer would (SIZE, 8BITMIME, SMTPUTF8, RCPTMAX,
 * an address that cannot be sent) has kind REPLY and a code too, but no " with ". `reply` is the last reply that decided something,
 * printable ("250 2.0.0 Ok"). Lent until the next call of smtp_client_next() or smtp_client_send(). */
struct smtp_client_results {
	const struct sp_fail *recipients;
	const char *reply;
	bool uncertain;                 /* lost after the final dot: the message may have arrived */
	bool site;                      /* the failure concerns the whole site or session, not this mail (421, lost, refused at MAIL by
	                                 * policy text is not: only 421 and breakage) */
	unsigned messages;              /* delivered on this session so far */
	bool dsn;                       /* the peer took over the duty to notify (DSN was offered): no "relayed" notice from us (RFC 3461 5.2.2) */
	bool by_dropped;                /* BY=...;N was not said, since the peer has no DELIVERBY: nobody behind us watches the time, so the sender is owed a
	                                 * "relayed" notice (RFC 2852 4.1.4.2), where there was a delivery */
};
const struct smtp_client_results *smtp_client_results(const struct smtp_client *c);

/* True if another message may follow on this session (in step, under the peer's MAILMAX). */
bool smtp_client_reusable(const struct smtp_client *c);
void smtp_client_quit(struct smtp_client *c);                           /* at READY: says QUIT; next wants READ, then CLOSE */
/* The connection ended or a deadline passed while we waited. Next wants RESULT (when a transaction was under way) and CLOSE. Between
 * STARTTLS and the end of the handshake the failure becomes validation-failure where `why` has no result of its own. */
void smtp_client_lost(struct smtp_client *c, const struct sp_fail *why);

const struct sp_fail *smtp_client_fail(const struct smtp_client *c);    /* not failed after a clean end */

#endif
