/* rpt/outbox.h - what is to be reported to whom, and how far that is: one row a domain and a day, one row an endpoint that was tried, and the addresses that are
 * left alone for a while. Its functions run on the store's thread, inside its transaction. Used by relay/reporter.c (asks, tells), relay/settle.c (what
 * became of a mailed report), relay/report_api.c (lists), and ledger.c (makes the row).
 *
 *   OPEN ------> DELIVERED   an endpoint took it: 2xx, or 250 (RFC 8460 5.4 and 3)
 *    |  \------> MAILED      in our own spool, nothing else left to try -> DELIVERED, or back to OPEN when the mail came to nothing
 *    |---------> NO_RECORD   no valid _smtp._tls record on the day after: nobody asked
 *    \---------> FAILED      24 h after the first attempt; -> DELIVERED when a mailed one arrives even later
 * Rows of the ledger go with the row here: never before it has come to an end, and then when report.keep_days are over (NO_RECORD: at the next sweep). */
#ifndef RPT_OUTBOX_H
#define RPT_OUTBOX_H

#include "core/arena.h"
#include "core/db.h"
#include "rpt/event.h"

#define RPT_STATES(X) X(OPEN, "open") X(MAILED, "mailed") X(DELIVERED, "delivered") X(FAILED, "failed") X(NO_RECORD, "no-record")
enum rpt_state {
#define X(name, text) RPT_STATE_##name,
	RPT_STATES(X)
#undef X
};
const char *rpt_state_str(enum rpt_state s);
bool rpt_state_parse(struct sp_str s, enum rpt_state *out);

#define RPT_GIVE_UP_S RPT_DAY_S         /* RFC 8460 5.5: retries for 24 h */
/* When the next attempt is due after the `attempts`-th, in seconds from now: growing, from 5 minutes to 4 hours. */
int64_t rpt_retry_s(unsigned attempts);
/* The moment for the report of `day`: in the day after, by a hash of the domain, so that nodes and restarts agree; the first 48th part of `spread_s` (5 minutes
 * of 4 hours) is left to what is still on its way into the ledger. Unix seconds. */
int64_t rpt_due_s(int64_t day, const char *domain, int64_t spread_s);

struct rpt_report {                     /* a row */
	int64_t day;
	const char *domain;
	enum rpt_state state;
	const char *report_id;          /* drawn at the first attempt, kept in all further ones (RFC 8460 4.4); "" before */
	int64_t due_s;                  /* of the next attempt */
	int64_t expires_s;              /* 24 h after the first attempt; 0 before it */
	unsigned attempts;
	const char *text;               /* of the last failure, printable; "" */
	uint64_t successes, failures;   /* sessions, of all policies (those of the ledger) */
};

/* The tables; for rpt_migrate(). */
SP_NODISCARD enum core_db_status rpt_outbox_make(struct core_db *db);
/* Makes the row where there is none: OPEN, due at rpt_due_s(). A row that has come to an end stays as it is. */
SP_NODISCARD enum core_db_status rpt_outbox_need(struct core_db *db, int64_t day, const char *domain, int64_t due_s);

/* Which rows a call is about. */
struct rpt_filter {
	int64_t first_day, last_day;    /* both included; 0 and INT64_MAX for all */
	const char *domain;             /* NULL: all */
	bool open_only;                 /* state OPEN */
	int64_t due_by_s;               /* open_only: due at or before; INT64_MAX for all */
	bool begun_only;                /* open_only: an attempt has begun (schedule: external retries what was begun, and begins nothing) */
};
/* Up to `limit` rows behind (after_day, after_domain) in the order of day and domain; first: 0 and "". In `arena`. */
SP_NODISCARD enum core_db_status rpt_outbox_list(struct core_db *db, const struct rpt_filter *filter, int64_t after_day, const char *after_domain,
                                                 size_t limit, struct sp_arena *arena, const struct rpt_report **out, size_t *count);
/* Up to `limit` rows that are due: those never tried first, so that endpoints that hang delay each other and nobody else; then the longest due first. */
SP_NODISCARD enum core_db_status rpt_outbox_due(struct core_db *db, const struct rpt_filter *filter, size_t limit, struct sp_arena *arena,
                                                const struct rpt_report **out, size_t *count);
/* For gauges; looks at every row: not more often than every some seconds. How many there are in each state, and how many of the open ones are due. */
struct rpt_outbox_counts { uint64_t states[RPT_STATE_NO_RECORD + 1], due; };
SP_NODISCARD enum core_db_status rpt_outbox_states(struct core_db *db, int64_t now_s, struct rpt_outbox_counts *out);
/* How many rows a filter selects, for progress. */
SP_NODISCARD enum core_db_status rpt_outbox_count(struct core_db *db, const struct rpt_filter *filter, uint64_t *out);

#define RPT_ENDPOINT_STATES(X) X(FAILED, "failed") X(MAILED, "mailed") X(DELIVERED, "delivered") X(SUPPRESSED, "suppressed")
enum rpt_endpoint_state {
#define X(name, text) RPT_ENDPOINT_##name,
	RPT_ENDPOINT_STATES(X)
#undef X
};
const char *rpt_endpoint_state_str(enum rpt_endpoint_state s);
struct rpt_endpoint {
	const char *uri;                /* as the record has it, decoded; "mailto:..." or "https://..." */
	enum rpt_endpoint_state state;
	int64_t at_s;                   /* of the last change */
	uint64_t message;               /* MAILED: the message in our spool; else 0 */
	const char *text;               /* the endpoint's answer, printable: "201 Created", "550 5.1.1 no such user" */
};
/* What was tried of a report; in `arena`. */
SP_NODISCARD enum core_db_status rpt_outbox_endpoints(struct core_db *db, int64_t day, const char *domain, struct sp_arena *arena,
                                                      const struct rpt_endpoint **out, size_t *count);
SP_NODISCARD enum core_db_status rpt_outbox_endpoint_put(struct core_db *db, int64_t day, const char *domain, const struct rpt_endpoint *e);

/* An attempt begins: draws nothing, keeps `report_id` where the row has none, sets expires_s at the first. What was due before is due now: the sweep leaves
 * it alone, however old it is. */
SP_NODISCARD enum core_db_status rpt_outbox_begin(struct core_db *db, int64_t day, const char *domain, const char *report_id, int64_t now_s);
/* An attempt ended: `state` as it is now (OPEN: due again at `due_s`), attempts + 1. FAILED is for the caller to say, when expires_s has passed.
 * What became of a mail may have been told before the attempt ended: a row that is DELIVERED stays so, and MAILED with no mail left on its way is OPEN, due at `due_s`. */
SP_NODISCARD enum core_db_status rpt_outbox_attempted(struct core_db *db, int64_t day, const char *domain, enum rpt_state state, int64_t due_s,
                                                      const char *text);
/* `--again`: OPEN as if never tried, due now, with an id of its own; endpoints forgotten. */
SP_NODISCARD enum core_db_status rpt_outbox_reopen(struct core_db *db, int64_t day, const char *domain, int64_t now_s);

/* What became of a mailed report: `delivered`, or given up (`permanent`: the address does not take mail: suppressed until `suppress_until_s`). Finds the endpoint by the
 * message; nothing happens where there is none (any more). The report: DELIVERED, or OPEN and due again after rpt_retry_s(), at once where the address is suppressed (RFC 8460 5.5), or FAILED when its time is up;
 * it stays as it is while another mail of it is on its way. */
SP_NODISCARD enum core_db_status rpt_outbox_mailed(struct core_db *db, uint64_t message, bool delivered, bool permanent, const char *text,
                                                   int64_t now_s, int64_t suppress_until_s);

/* Addresses that bounced: no report is mailed to them until `until_s`. Lower-case domain; the address as in the record.
 * Nobody is suppressed for longer than RPT_SUPPRESS_S: the sweep sees to it. */
#define RPT_SUPPRESS_S (30 * RPT_DAY_S)
SP_NODISCARD enum core_db_status rpt_suppress(struct core_db *db, const char *address, int64_t now_s, int64_t until_s, const char *text);
/* CORE_DB_ROW and *until_s where it is suppressed at `now_s`. */
SP_NODISCARD enum core_db_status rpt_suppressed(struct core_db *db, const char *address, int64_t now_s, int64_t *until_s);
struct rpt_suppression { const char *address; int64_t since_s, until_s; const char *text; };
/* Up to `limit` of those in force behind `after` (an address, "" first), in the order of addresses; in `arena`. */
SP_NODISCARD enum core_db_status rpt_suppressions(struct core_db *db, const char *after, int64_t now_s, size_t limit, struct sp_arena *arena,
                                                  const struct rpt_suppression **out, size_t *count);
/* Mails to it again from now on. CORE_DB_ROW: it was suppressed. */
SP_NODISCARD enum core_db_status rpt_unsuppress(struct core_db *db, const char *address);
/* Was a report mailed to this address at or after `since_s`, whatever became of it, whose id stands in `notice`? CORE_DB_ROW: yes. (A bounce is believed only then:
 * both addresses are public, the id is known to whom the report went.) */
SP_NODISCARD enum core_db_status rpt_outbox_mailed_to(struct core_db *db, const char *address, int64_t since_s, struct sp_str notice);

/* Forgets what is over: rows (and their ledger) that came to an end and are older than `keep_days`, those without a record, suppressions that expired. At most `limit`
 * rows of any table but the last; *more: call again. OPEN and MAILED rows go when they were due longer than keep_days + 2 ago: nobody tries them, or the mail was
 * deleted by an operator. A time that only a clock gives that was ahead (a suppression's end, the next attempt for a day that is over) is set right. */
SP_NODISCARD enum core_db_status rpt_outbox_sweep(struct core_db *db, int64_t now_s, int64_t keep_days, size_t limit, bool *more);

#endif
