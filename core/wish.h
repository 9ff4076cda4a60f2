/* core/wish.h - what an envelope asks for besides its addresses: the parameters of MAIL and RCPT that go with a message from the client that gave it to
 * us, through the spool, to the next hop or into the notification. It stands here since smtp/ speaks of it, queue/ keeps it, relay/ acts on it, and
 * smtp/ and queue/ do not know each other. Pure.
 * RFC 6531 (SMTPUTF8), 8689 (REQUIRETLS, TLS-Required), 3461 (RET, ENVID, NOTIFY, ORCPT), 6710 (MT-PRIORITY), 4865 (FUTURERELEASE), 2852 (DELIVERBY). */
#ifndef CORE_WISH_H
#define CORE_WISH_H

#include "core/base.h"

enum sp_ret { SP_RET_UNSAID, SP_RET_HDRS, SP_RET_FULL };        /* RFC 3461 4.3: what of the message a failure notice returns */

/* RFC 3461 4.1. No bit: NOTIFY was not said, so failures are told, and delays as we see fit. NEVER stands alone. */
enum sp_notify { SP_NOTIFY_SUCCESS = 1, SP_NOTIFY_FAILURE = 2, SP_NOTIFY_DELAY = 4, SP_NOTIFY_NEVER = 8 };

enum sp_by_mode { SP_BY_NONE, SP_BY_NOTIFY, SP_BY_RETURN };     /* RFC 2852 4: when the time is up, tell the sender, or give up and return it */

#define SP_ENVID_MAX 100        /* octets of xtext (RFC 3461 4.4) */
#define SP_ORCPT_MAX 500        /* octets of address type, ";" and xtext (RFC 3461 4.2) */
#define SP_PRIORITY_MIN (-9)    /* RFC 6710 3 */
#define SP_PRIORITY_MAX 9

/* Of a message. Zeroed: nothing is asked for. */
struct sp_mail_wish {
	bool utf8;                      /* SMTPUTF8 was said: the envelope or the header may have octets over 127 */
	bool require_tls;               /* REQUIRETLS: no hop without it (RFC 8689 4) */
	bool tls_optional;              /* "TLS-Required: No" in its header, and no REQUIRETLS (RFC 8689 3, 4.1): its delivery matters more than policy */
	enum sp_ret ret;
	int priority;                   /* MT-PRIORITY; 0 is the default */
	enum sp_by_mode by;
	bool by_trace;                  /* RFC 2852 4.1.4: each relay tells the sender that it passed on */
	int64_t by_ms;                  /* Unix ms: when its time is up; only looked at with `by` */
	int64_t hold_until_ms;          /* Unix ms: not before (FUTURERELEASE); 0: at once */
	uint32_t hold_for_s;            /* the interval, where the hold was asked for as one; 0: as an instant */
	const char *envid;              /* xtext as it was written; "" or NULL: none */
};
/* Of a recipient. */
struct sp_rcpt_wish {
	unsigned notify;                /* bits of enum sp_notify */
	const char *orcpt;              /* "rfc822;Bob@example.com", as it was written; "" or NULL: none */
};

#endif
