/* smtp/server.h - the server side of SMTP: an engine without socket, loop or clock.
 * Implements RFC 5321 (ESMTP), 2920 (PIPELINING), 1870 (SIZE), 6152 (8BITMIME), 2034 and 3463 (ENHANCEDSTATUSCODES),
 * 3030 (CHUNKING, BINARYMIME), 9422 (LIMITS), 3207 (STARTTLS), 4954 (AUTH PLAIN and LOGIN, never in clear), 3461 (DSN), 6531 (SMTPUTF8), 8689 (REQUIRETLS,
 * under TLS), 6710 (MT-PRIORITY), 4865 (FUTURERELEASE), 2852 (DELIVERBY), and Postfix's XCLIENT. Bytes in, bytes out, and what it wants next. Pure. Used by relay/inbound.c.
 *
 * The caller's loop:
 *     while ((want = smtp_server_next(s, &in)) != SMTP_SERVER_READ) handle(want);
 *     send what smtp_server_output() holds; with octets left in `in`, go round again once that is sent; else wait for input or for
 *     smtp_server_wait_s() seconds
 * smtp_server_next() takes octets from the front of `in` and returns at the first thing it cannot decide alone. What it
 * wants answered must be answered (the functions below each want) before the next call. Between calls `in` may move; what is
 * left of it must be there again.
 * Replies of pipelined commands gather in the output, so that one write carries them. While the output holds more than
 * SMTP_SERVER_OUTPUT_FULL octets no command is taken: next returns READ and leaves the rest in `in`. So a client that sends
 * without reading costs no memory: with octets left in `in`, the caller stops reading from it until the output is sent. */
#ifndef SMTP_SERVER_H
#define SMTP_SERVER_H

#include "smtp/address.h"
#include "core/buf.h"
#include "core/wish.h"

#define SMTP_SERVER_OUTPUT_FULL 16384   /* octets of output */

struct smtp_server;

struct smtp_server_settings {           /* borrowed; must outlive the engine */
	const char *hostname;           /* in the banner and the EHLO reply */
	uint64_t message_size;          /* octets; 552 5.3.4 above; offered as SIZE; 0: no limit (RFC 1870 4) */
	unsigned recipients;            /* 452 4.5.3 above; offered as LIMITS RCPTMAX */
	unsigned errors;                /* 421 4.7.0 after as many wrong commands and 5xx replies since the last message that was
	                                 * taken: a session that brings thousands is not ended for the odd one. 4xx are our trouble
	                                 * and do not count. 0: no limit */
	bool normalise_bare_lf;         /* bare LF becomes CRLF instead of being refused (named networks); ends commands too */
	bool tls;                       /* the session begins under TLS (implicit) */
	bool starttls;                  /* STARTTLS is offered, until it was done */
	bool tls_required;              /* in clear only EHLO, HELO, NOOP, RSET, QUIT, STARTTLS: else 530 5.7.0 (RFC 3207 4) */
	bool auth;                      /* AUTH is offered, under TLS */
	bool auth_required;             /* MAIL before AUTH: 530 5.7.0 (RFC 4954 6), unless smtp_server_set_known() was told */
	bool xclient;                   /* XCLIENT is offered and believed */
	uint32_t hold_max_s;            /* the longest hold that FUTURERELEASE offers; 0: not offered */
};

enum smtp_server_want {
	SMTP_SERVER_READ,       /* more octets, or, with input left, room in the output: see above */
	SMTP_SERVER_MAIL,       /* a transaction wants to begin: smtp_server_accept() or smtp_server_refuse() */
	SMTP_SERVER_RCPT,       /* a recipient: accept or refuse it */
	SMTP_SERVER_BEGIN,      /* DATA or the first BDAT: content follows: accept or refuse */
	SMTP_SERVER_CONTENT,    /* smtp_server_content() lends decoded octets, often right out of `in`, until the next call: take them,
	                         * then just call next */
	SMTP_SERVER_END,        /* the message is complete: store it, then accept (with the reply's text) or refuse; may take
	                         * long: no octets are read meanwhile */
	SMTP_SERVER_ABANDON,    /* the transaction, begun when MAIL was accepted, ended without a message (RSET, EHLO, QUIT, a fault in
	                         * the content): let go of what was collected; nothing to answer. Not after our own refusal at BEGIN
	                         * or END, which ends it too */
	SMTP_SERVER_STARTTLS,   /* send the output, start TLS, then call smtp_server_tls_done() once the handshake is through. What is left of `in` came in
	                         * clear: it was dropped from there, and what the caller holds behind it is to be dropped too (CVE-2011-0411). The
	                         * handshake failed, or must not be waited for: close; smtp_server_next() instead wants CLOSE, and says nothing */
	SMTP_SERVER_LOGIN,      /* smtp_server_login() has a name and a password: accept or refuse; may take long: no octets are read meanwhile */
	SMTP_SERVER_XCLIENT,    /* smtp_server_xclient() says who the client really is: accept (the session begins anew, with a greeting) or refuse */
	SMTP_SERVER_CLOSE       /* send the output, then close */
};

struct smtp_server *smtp_server_new(const struct smtp_server_settings *settings);
void smtp_server_free(struct smtp_server *s);

/* The banner. Once, at the start; refusing (busy) puts "421 4.7.0 text" there and wants CLOSE next. */
void smtp_server_greet(struct smtp_server *s);
void smtp_server_greet_refuse(struct smtp_server *s, const char *reply);

SP_NODISCARD enum smtp_server_want smtp_server_next(struct smtp_server *s, struct sp_str *in);
struct sp_buf *smtp_server_output(struct smtp_server *s);       /* take its bytes away by sending */

/* What is being asked for. Lent until the answer; the sender until the transaction ends. */
const struct smtp_address *smtp_server_sender(const struct smtp_server *s);
const struct smtp_address *smtp_server_recipient(const struct smtp_server *s);  /* at SMTP_SERVER_RCPT */
struct sp_str smtp_server_content(const struct smtp_server *s);                 /* at CONTENT: CRLF lines, unstuffed */
struct smtp_server_mail {
	uint64_t size;                  /* as declared by SIZE=, 0 when not */
	bool eight_bit;                 /* BODY=8BITMIME */
	bool esmtp;                     /* EHLO was said */
	const char *helo;               /* the client's EHLO or HELO argument, printable */
	unsigned recipients;            /* accepted so far */
	bool binary;                    /* BODY=BINARYMIME */
	/* What MAIL asks for. Times are as the client gave them, within what is offered: wish.hold_until_ms and by_ms are for the caller to fill in. */
	struct sp_mail_wish wish;
	uint64_t hold_for_s;            /* HOLDFOR=; 0: not said */
	int64_t hold_until_s;           /* HOLDUNTIL=, Unix seconds, may be past; 0: not said */
	int64_t by_s;                   /* BY=, seconds from now; may be negative (RFC 2852 4) */
};
/* At RCPT: what it asks for. */
const struct sp_rcpt_wish *smtp_server_recipient_wish(const struct smtp_server *s);
/* RFC 3848, 6531 4.3: "SMTP", "ESMTP", "ESMTPS", "ESMTPSA", "UTF8SMTPSA" ... for the Received field. */
const char *smtp_server_with(const struct smtp_server *s);

/* The handshake is through: what was learnt in clear is forgotten, EHLO is due again (RFC 3207 4.2). */
void smtp_server_tls_done(struct smtp_server *s);
/* The client is known without AUTH (its certificate, its address): auth_required is satisfied, and AUTH is still welcome. Up to XCLIENT. */
void smtp_server_set_known(struct smtp_server *s);

struct smtp_server_login {              /* lent until the answer; wiped then */
	const char *mechanism;          /* "PLAIN", "LOGIN" */
	const char *name;               /* who it is: authentication identity, UTF-8, no control characters */
	const char *acting;             /* authorization identity; "" when it is the same */
	struct sp_str password;         /* no NUL in it */
};
/* At LOGIN. What of it stood in the input is the caller's to overwrite. Accepted: 235 2.7.0. Refused: 535 5.7.8 unless the reply says otherwise (454 4.7.0 when it could not be looked up). */
const struct smtp_server_login *smtp_server_login(const struct smtp_server *s);

/* At XCLIENT (Postfix's XCLIENT_README). NULL: not said now, maybe by an XCLIENT before; "": said to be unavailable. Printable, at most 255 octets;
 * addresses and ports are such, without "IPV6:". Accepting takes no reply: the greeting is it, and the client is neither authenticated nor known. */
struct smtp_server_xclient { const char *name, *addr, *port, *helo, *login, *proto, *destaddr, *destport; };
const struct smtp_server_xclient *smtp_server_xclient(const struct smtp_server *s);
const struct smtp_server_mail *smtp_server_mail(const struct smtp_server *s);

/* The wall clock, which FUTURERELEASE needs (RFC 4865 3: what is offered is an instant too): before EHLO, and again now and then, by the minute or better.
 * Never told: FUTURERELEASE is not offered. */
void smtp_server_set_now(struct smtp_server *s, int64_t now_s);

/* Answers to a want. The reply is a whole one without CRLF, "250 2.0.0 Ok: queued as 0X3K9"; NULL: the engine's own words. It is
 * copied; what is not printable in it becomes '?', and it is cut at 510 octets (RFC 5321 4.5.3.1.5).
 * A refusal "421 ..." ends the session. Refusing at BEGIN or END ends the transaction. */
void smtp_server_accept(struct smtp_server *s, const char *reply);
void smtp_server_refuse(struct smtp_server *s, const char *reply);

/* From now on the next command is answered by "421 reply" and the session ends (shutdown, deadline); `reply` is "4.3.2 text", or a
 * whole one that begins with 421; copied. In the middle of content: at its end, once that has its own reply, unless `now`; further BDAT
 * chunks of a message belong to it. Call smtp_server_next() afterwards: with `now` it wants CLOSE (ABANDON first where needed).
 * While a want waits for its answer it must still be answered first: a message that is being stored gets its reply. */
void smtp_server_dismiss(struct smtp_server *s, const char *reply, bool now);

unsigned smtp_server_wait_s(const struct smtp_server *s);       /* how long to wait for octets: RFC 5321 4.5.3.2.7, 300 s */
bool smtp_server_in_content(const struct smtp_server *s);       /* receiving content: the minimum data rate applies */
bool smtp_server_in_transaction(const struct smtp_server *s);

#endif
