/* relay/delivery_impl.h - what the files of a delivery share: its state, and the steps that one leaves to another.
 * delivery_connect.c goes from host to host, delivery_prove.c brings a connection to what is demanded, delivery.c drives the engine, delivery_mail.c sends
 * the message in hand and settles it, delivery_family.c asks the other address family, delivery_pace.c minds how hard an address is pressed; delivery_count.c
 * counts the session and delivery_log.c tells of it. For those only. */
#ifndef RELAY_DELIVERY_IMPL_H
#define RELAY_DELIVERY_IMPL_H

#include "core/file.h"
#include "relay/account.h"
#include "relay/delivery.h"
#include "relay/outcome.h"
#include "relay/settle.h"
#include "smtp/client.h"

#define DELIVERY_SESSION_MS (20 * 60 * 1000)    /* a whole session, and a second for each 500 octets (DESIGN.md, limits) */
#define TRIES_MAX (PLAN_HOSTS_MAX * 2 * PLAN_ADDRS_MAX + PLAN_HOSTS_MAX)

/* One address of one host; `addr` < 0: the host has none that may be used, or is barred: only to be told. */
struct try { unsigned char host; signed char addr; };

enum delivery_family {
	DELIVERY_FAMILY_FIRST,                  /* the one that comes first */
	DELIVERY_FAMILY_LEAVING,                /* the mail was refused by policy there */
	DELIVERY_FAMILY_OTHER,                  /* to be asked now */
	DELIVERY_FAMILY_BOTH                    /* were asked */
};

struct delivery_state {
	struct delivery pub;
	struct shard *shard;
	struct plan *plan;                      /* one ref */
	struct try tries[TRIES_MAX];
	size_t try_count, next_try;
	const struct plan_host *host;           /* the present one */
	struct sp_addr addr;
	struct core_conn *conn;
	struct smtp_client *client;
	bool implicit_tls;                      /* TLS from the first octet (RFC 8314) */
	bool clear;                             /* this try stays in clear: the handshake failed, and that is allowed */
	bool again;                             /* the timer connects to the same address, not to the next */
	bool paced;                             /* the address counts this session (relay/pace.h) */
	bool queued;                            /* no connection: it waits until there is room */
	size_t full_count;                      /* tries in a row that had none */
	uint64_t again_ms;                      /* the shortest of their waits */
	struct sts_shown shown;
	bool proven;                            /* this connection is what the verdict wants */
	bool suits;                             /* and offers what the mail requires: it may carry it */
	bool concluded;                         /* this session, with its retry in the clear, was counted */
	struct delivery_evidence *evidence;     /* NULL: nothing is kept */
	struct account *account;                /* counted, and not yet on its way to the store; NULL: nothing */
	struct sp_fail worst;                   /* of all tries */
	struct core_timer *timer;               /* the next try on a later turn; idle in the pool */
	bool stopping;
	bool idled;                             /* was in the pool: it is good, though it may not have carried anything */
	/* the message in hand: kept from try to try, until somebody judged it or no host is left */
	struct queue_job *job;
	const char **recipients;
	struct smtp_client_mail mail;           /* what the engine borrows */
	size_t body_at;                         /* octets of the content given to the engine */
	bool wants_body;
	struct core_file_reader *reader;
	bool reading;
	enum delivery_family family;
	struct sp_fail *judged;                 /* what the other address family said of the message in hand, one a recipient; NULL: nothing */
	struct sp_addr judged_addr;
	/* times, monotonic ms */
	uint64_t began_ms, opened_ms, handshake_ms, proven_ms, job_ms, idle_since_ms;
	bool first_job;
	unsigned messages;
	uint64_t deadline_ms;                   /* of the whole session */
};

/* delivery.c */
extern const struct core_conn_ops delivery_conn_ops;
void delivery_drive(struct delivery_state *y, struct sp_str *in);       /* does what the engine wants; the last thing a caller does, since it may free `y` */
void delivery_new_client(struct delivery_state *y, enum smtp_client_tls mode);
void delivery_give_up_job(struct delivery_state *y);            /* the message in hand goes back to the destination */
void delivery_end(struct delivery_state *y, const struct sp_fail *why); /* frees `y` */

/* delivery_connect.c */
void delivery_plan_tries(struct delivery_state *y);
void delivery_try_next(struct delivery_state *y);               /* the next address or host; without one, the end. May free `y` */
void delivery_connect(struct delivery_state *y);                /* to y->addr */
void delivery_try_failed(struct delivery_state *y, const struct sp_fail *why);  /* this host or address is of no use: on to the next, on a later turn */
void delivery_retry_clear(struct delivery_state *y);            /* the same address again, in clear, on a later turn */
void delivery_connect_again(struct delivery_state *y);          /* when a wait is over. May free `y` */
void delivery_drop_connection(struct delivery_state *y, const struct sp_fail *why, bool politely);      /* `why` not failed(): it is over as sessions are */
void delivery_settings(const struct delivery_state *y, struct smtp_client_settings *out);       /* name and credentials; borrowed from the configuration */

/* delivery_family.c */
bool delivery_ask_other_family(struct delivery_state *y, const struct smtp_client_results *r);  /* true: the message stays in hand for it */
bool delivery_leave_family(struct delivery_state *y);           /* true: the connection is dropped for the other family's, on a later turn */
void delivery_forget_judged(struct delivery_state *y);
bool delivery_settle_judged(struct delivery_state *y);          /* nothing came of the other family: true if it was asked, and the first one's word is settled */

/* delivery_pace.c */
bool delivery_enter(struct delivery_state *y);                  /* before connecting; false: there is no room, and what is next is under way */
void delivery_leave(struct delivery_state *y, const struct sp_fail *why);       /* the connection is gone; `why` as above */
void delivery_waits_no_more(struct delivery_state *y);
bool delivery_waits_in_vain(const struct delivery_state *y);    /* for room: nothing is left to be sent, or its plan is old */
bool delivery_should_make_room(const struct delivery_state *y); /* others want its place while it only waits for mail */

/* delivery_prove.c. False: the connection is refused, and what is next is under way. */
enum smtp_client_tls delivery_tls_mode(const struct delivery_state *y);
void delivery_start_tls(struct delivery_state *y);
void delivery_on_tls(struct delivery_state *y, const struct sp_fail *fail);
bool delivery_may_carry(struct delivery_state *y);              /* at READY */
void delivery_refuse_host(struct delivery_state *y);            /* one that is barred */
bool delivery_ended_early(struct delivery_state *y, const struct sp_fail *why); /* did the connection end over TLS? Then it is refused, or tried in the clear */

/* delivery_mail.c: the message in hand. */
void delivery_flush(struct delivery_state *y);                  /* the engine's output to the connection */
void delivery_begin_mail(struct delivery_state *y);
void delivery_send_body(struct delivery_state *y);              /* as much as the connection has room for; y->wants_body: there is more */
void delivery_take_result(struct delivery_state *y);            /* of the engine; the message stays in hand when another host is to judge it */
/* `fails`: one a recipient. `r`: what the engine says of the transaction; NULL: there was none, or it says nothing of these failures. */
void delivery_settle(struct delivery_state *y, const struct sp_fail *fails, const struct smtp_client_results *r);
void delivery_settle_all(struct delivery_state *y, const struct sp_fail *why);  /* the same failure for every recipient */

/* delivery_count.c: what one session adds to reports, and to the log's line. */
struct delivery_told {
	struct rpt_event events[3];             /* one for each policy that applied, and one for that which could not be had */
	size_t count;                           /* 0: it is not counted */
	char sending_ip[SP_ADDR_TEXT], mx_ip[SP_ADDR_TEXT];
};
/* A session came to an end that is worth a line: counts it, if it is a conclusion and the first of this session. `word`: proven, tolerated (a fault that is
 * let pass), refused, failed. `result`: how it did under each policy; NULL where it says nothing of TLS (no connection, no greeting). */
void delivery_conclude(struct delivery_state *y, const char *word, const struct sp_fail *fault, const struct sts_result *result);

/* delivery_evidence.c: what is seen, for relay/evidence.h. All of them do nothing where nothing is kept. */
struct evidence_sheet;
void delivery_evidence_begin(struct delivery_state *y);         /* a connection to y->addr, or the look at a host that gets none */
void delivery_evidence_in(struct delivery_state *y, struct sp_str octets);      /* at the engine's boundary: in clear */
void delivery_evidence_out(struct delivery_state *y, struct sp_str octets);
void delivery_evidence_content(struct delivery_state *y);       /* what the engine puts out next is content */
void delivery_evidence_lent(struct delivery_state *y, size_t octets);           /* content that went beside the engine's output */
void delivery_evidence_note(struct delivery_state *y, const char *text);        /* what happened in between */
void delivery_evidence_conclude(struct delivery_state *y, const char *word, const struct sp_fail *fault, const struct delivery_told *told);
void delivery_evidence_leave(struct delivery_state *y, const struct sp_fail *why);      /* it is left for another address, though it was proved: its row goes alone */
void delivery_evidence_mail(struct delivery_state *y);          /* a message begins */
struct evidence_sheet *delivery_evidence_take(struct delivery_state *y);        /* for the results of the message in hand; the caller's. NULL: none */
void delivery_evidence_idle(struct delivery_state *y);          /* into the pool */
void delivery_evidence_over(struct delivery_state *y, const struct sp_fail *why);       /* the connection is dropped; `why` as delivery_drop_connection() has it */
void delivery_evidence_free(struct delivery_state *y);

/* delivery_log.c */
const char *delivery_policy_word(const struct delivery_state *y, char text[64]);        /* "sts/enforce", "dane/usable", "rule/encrypt", "none" */
const char *delivery_cert_word(const struct delivery_state *y);                         /* "verified"; NULL in clear */
void delivery_log_session(const struct delivery_state *y, const char *result, const struct sp_fail *fault, const struct delivery_told *told);

#endif
