/* relay/reporter_impl.h - what the files of the reporter share. For relay/reporter*.c only.
 *   reporter.c           its life, its places, its own schedule, the sweep
 *   reporter_run.c       a run that somebody asked for
 *   reporter_attempt.c   one report, from its row to its end
 *   reporter_verdict.c   what an attempt came to, into the store and the log
 *   reporter_document.c  the document of a day and a domain, page by page
 *   reporter_post.c      an endpoint: https, and what both kinds share
 *   reporter_mail.c      an endpoint: mailto
 * All of it on the reporter's loop, but for the functions named run_...: these are on the store's thread. */
#ifndef RELAY_REPORTER_IMPL_H
#define RELAY_REPORTER_IMPL_H

#include "core/http.h"
#include "relay/reporter.h"
#include "rpt/compose.h"
#include "rpt/ledger.h"
#include "rpt/record.h"

#define REPORTER_LATE_S 2               /* after midnight: what shards counted of the day before may still be on its way into the ledger (shard.c looks once a second) */
#define REPORTER_TEXT 600               /* octets of what is told of an endpoint or an attempt, NUL included */
#define REPORTER_DOCUMENT_MAX (8u << 20)        /* octets, gzipped */
#define REPORTER_SMALL (128u << 10)     /* octets: of documents beyond this, one at a time is in memory, and goes to one endpoint at a time */

/* ---- the reporter ---- */

/* Documents that take turns to be large. */
struct lane {
	struct document *holder;                /* who may be beyond REPORTER_SMALL; or NULL */
	struct sp_link waits;                   /* of struct document: who wants to be */
	struct core_timer *next;                /* the holder has waited, and goes on */
};

struct reporter {
	struct reporter_world world;
	struct config *config;                  /* one ref */
	struct core_dns *dns;
	struct core_tls_client *tls;
	struct sp_link attempts;                /* of struct attempt: under way */
	unsigned attempt_count;
	struct sp_link documents;               /* of struct document: that were asked for by themselves */
	struct lane to_send, to_show;           /* of large documents: who wants to see one waits for no endpoint of another */
	struct reporter_run *run;               /* NULL: none */
	unsigned ops;                           /* answers of the store, and files, to come */
	struct core_timer *due_timer, *sweep_timer, *grace_timer;
	bool begun, asking, stopping;
	uint64_t pause_until_ms;                /* monotonic: the store failed, nothing of our own is begun before */
	bool told;                              /* that it has stopped */
	void (*stopped)(void *owner);
	void *owner;
};

/* An operation on the store, embedded first in what it carries. */
struct reporter_op {
	struct queue_op op;
	struct reporter *reporter;
};
void reporter_submit(struct reporter *r, struct reporter_op *o, enum core_db_status (*run)(struct core_db *db, struct queue_op *op),
                     void (*done)(struct queue_op *op, const struct sp_fail *why));
/* An answer came, and what it led to is done: last in its callback. */
void reporter_op_end(struct reporter *r);

bool reporter_has_place(const struct reporter *r);      /* fewer than REPORTER_AT_ONCE, and not stopping */
/* Fills free places: the run's reports first, then what is due. */
void reporter_next(struct reporter *r);
/* The store did not answer as it should: what is due is left alone for a while. */
void reporter_pause(struct reporter *r);
/* "20261122T040311.8f14e45fceea167a@example.com": nobody draws it twice. Appends. */
void reporter_draw_id(const struct config *c, struct sp_buf *out);

/* ---- a run ---- */

/* Takes free places. */
void reporter_run_next(struct reporter_run *run);
void reporter_run_result(struct reporter_run *run, const struct reporter_result *result);
void reporter_run_stop(struct reporter_run *run);       /* nothing more is begun; ends when its attempts have */
/* One batch of what is over; `done` when the store answered: is there more? */
void reporter_sweep(struct reporter *r, void (*done)(void *owner, bool more), void *owner);

/* ---- a document ---- */

void lane_open(struct lane *l, struct core_loop *loop);
void lane_close(struct lane *l);

struct document {
	struct sp_link link;                    /* in reporter.documents, or in no list */
	struct sp_link wait;                    /* in lane.waits */
	struct lane *lane;
	struct reporter *reporter;
	struct config *config;                  /* one ref: the head borrows from it */
	struct rpt_head head;
	char *domain, *report_id;
	struct sp_buf gz;                       /* the document, complete when `done` is called */
	uint64_t successes, failures;           /* sessions, of all policies */
	struct rpt_compose *compose;            /* NULL: complete, or given up */
	struct sp_arena arena;                  /* of the policies */
	const struct rpt_policy *policies;
	size_t policy_count, policy_at;         /* policy_at: whose failures are read */
	int64_t after;                          /* the last failure that was read */
	struct page_op *page;                   /* under way, or NULL */
	void (*done)(void *owner, const struct sp_fail *why);
	void *owner;
};

/* Makes one: one call of `done`, on a later turn. It is failed() where the ledger cannot be read (kind STORE), the reporter stops (SHUTDOWN), or there will never
 * be a document: the ledger has nothing of that day (reason "no-sessions"), or too much ("too-large"). The document is the caller's to free, in any case. */
struct document *document_new(struct reporter *r, struct lane *lane, struct config *c, int64_t day, const char *domain, const char *report_id,
                              void (*done)(void *owner, const struct sp_fail *why), void *owner);
bool document_is_large(const struct document *d);
void document_free(struct document *d);                 /* silence; NULL is fine */

/* ---- an attempt ---- */

enum verdict {
	VERDICT_NONE,                           /* stopped before anything was sent: the row stays as it is */
	VERDICT_OVER,                           /* the row has come to an end meanwhile, or is gone */
	VERDICT_TRIED,                          /* the endpoints were */
	VERDICT_NO_RECORD,
	VERDICT_LATER,                          /* nothing could be tried: DNS, or our own disk */
	VERDICT_NEVER                           /* there will be no document */
};

struct endpoint {
	struct attempt *attempt;
	const struct rpt_rua *rua;              /* in attempt.record */
	struct rpt_endpoint result;             /* `uri`, and `text` below */
	char text[REPORTER_TEXT];
	bool begun, tried;                      /* tried: result holds what came of it */
	bool unstored;                          /* the store did not take the result: once more with the end of the attempt */
	bool suppressed;                        /* MAILTO: its address bounced lately */
	int64_t suppressed_until_s;
	struct core_http *http;
};

struct attempt {
	struct sp_link link;                    /* in reporter.attempts */
	struct reporter *reporter;
	struct config *config;                  /* one ref: in force when it began */
	struct reporter_run *run;               /* who is told, or NULL */
	int64_t day;
	char *domain;
	bool stores;                            /* its end is the report's; else it leaves no trace (a dry run, an unfinished day) */
	bool dry, again;
	struct sp_arena arena;                  /* of all that follows up to `endpoints` */
	struct rpt_report row;
	const char *report_id;
	const struct rpt_endpoint *known;       /* what earlier attempts came to */
	size_t known_count;
	struct rpt_record record;
	struct endpoint endpoints[RPT_RUA_MAX]; /* as many as the record has */
	size_t at_work;                         /* endpoints begun and not ended */
	struct core_dns_query *query;
	struct document *document;
	struct core_timer *timer;               /* the store did not take something: again */
	enum verdict verdict;
	char text[REPORTER_TEXT];               /* why, when the verdict is not TRIED */
	bool over;                              /* its end is being stored */
};

/* Begins one; there is a place, and no other one that stores for the same row. */
struct attempt_ask { int64_t day; const char *domain; bool stores, dry, again; };
void attempt_begin(struct reporter *r, const struct attempt_ask *ask, struct reporter_run *run);
/* The one under way that stores for this row, or NULL. */
struct attempt *attempt_find(struct reporter *r, int64_t day, const char *domain);
/* The reporter stops: what was not sent is not sent. `hard`: nor is any answer waited for. */
void attempt_stop(struct attempt *a, bool hard);
/* An endpoint ended, and the store has it. */
void attempt_endpoint_done(struct attempt *a);
/* For reporter_verdict.c: it is stored and told. Frees it. */
void attempt_free(struct attempt *a);
/* Stores what it came to, tells its run and the log, frees it. */
void attempt_conclude(struct attempt *a);

/* ---- an endpoint ---- */

void endpoint_begin(struct endpoint *e);                /* attempt_endpoint_done() on a later turn, or at once */
bool endpoint_cancel(struct endpoint *e);               /* an https answer is not waited for any more; false when none was */
void endpoint_set(struct endpoint *e, enum rpt_endpoint_state state, const char *fmt, ...) SP_PRINTF(3, 4);
void endpoint_end(struct endpoint *e);                  /* after endpoint_set(): stores it, then attempt_endpoint_done() */
void endpoint_mail(struct endpoint *e);
/* The key that mailed reports are signed with; false when there is none, and `why` says how to make one. */
struct smtp_dkim_signer;
bool reporter_signers(const struct config *c, struct smtp_dkim_signer *out, size_t max, size_t *count, struct sp_buf *why);

#endif
