/* smtp/dsn.h - delivery status notifications: the text of a bounce or a delay notice.
 * Implements RFC 3464 (multipart/report, RFC 6522), RFC 3463 status codes, RFC 3834 (Auto-Submitted), RFC 3461 6 (what was asked for), RFC 6533
 * (internationalized: utf-8-addr-unitext, message/global-delivery-status, message/global-headers). Pure.
 * Used by relay/bounce.c. */
#ifndef SMTP_DSN_H
#define SMTP_DSN_H

#include "core/buf.h"
#include "core/fail.h"

/* RFC 3464 2.3.3. RELAYED: passed to a next hop that promises no notices. DELIVERED is for a final delivery, which we never make. */
enum smtp_dsn_action { SMTP_DSN_FAILED, SMTP_DSN_DELAYED, SMTP_DSN_RELAYED };
const char *smtp_dsn_action_str(enum smtp_dsn_action action);   /* "failed" */

struct smtp_dsn_recipient {
	const char *address;            /* as we were given it */
	const char *remote_mta;         /* "mx1.example.com [192.0.2.1]" or NULL */
	const struct sp_fail *fail;     /* not looked at where RELAYED. Diagnostic-Code: smtp when it has a code; Status from esc, else by kind and permanence */
	int64_t last_attempt_s;         /* Unix seconds; 0: never tried */
	int64_t retry_until_s;          /* DELAYED: when we give up */
	const char *policy;             /* one line for people when a policy refused: policy, host and reason; NULL otherwise */
	const char *tried;              /* for people: when it was tried last, how often, where, and what was proved there; NULL: nothing to tell */
	const char *orcpt;              /* Original-Recipient: as it was given, decoded here (RFC 3461 4.2, 6533 3); NULL or "" none */
	const char *reply;              /* RELAYED: the peer's reply, printable; NULL none */
};

struct smtp_dsn {
	enum smtp_dsn_action action;
	const char *hostname;           /* Reporting-MTA, From: MAILER-DAEMON@ */
	const char *id;                 /* of the notification itself: Message-ID and boundary */
	const char *original_id;        /* queue id of the message it is about */
	const char *sender;             /* whom it goes to; never "" */
	int64_t arrived_s, now_s;
	const struct smtp_dsn_recipient *recipients;
	size_t count;
	struct sp_str original_header;  /* header section of the message, returned as text/rfc822-headers */
	struct sp_str original_body;    /* whole message if it is to be returned (message/rfc822); empty: only the header */
	const char *envid;              /* Original-Envelope-Id: xtext, decoded here; NULL or "" none */
	bool utf8;                      /* the message was SMTPUTF8: RFC 6533's types and address forms where something has octets over 127. The notification
	                                 * needs SMTPUTF8 itself where `sender` has */
	bool tls_optional;              /* the message had "TLS-Required: No", and so has what tells of it (RFC 8689 6) */
	int64_t deliver_by_s;           /* RFC 2852 5: when it was to be delivered; 0: not said */
	uint32_t hold_for_s;            /* RFC 4865 5.1.2: for how long, */
	int64_t hold_until_s;           /* or until when it was to be held; 0: not said */
};
/* Appends the whole message, header and all, CRLF lines of at most 998 octets, ASCII apart from the returned octets and what `utf8` lets through. */
void smtp_dsn_write(const struct smtp_dsn *d, struct sp_buf *out);

/* The RFC 3463 status for a failure: its esc when valid, else one that fits (4.4.1 connect, 5.1.2 no such domain ...).
 * `permanent` chooses 5 over 4. */
const char *smtp_dsn_status(const struct sp_fail *f, bool permanent, char text[12]);

#endif
