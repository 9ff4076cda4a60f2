/* relay/reporter.h - sends the reports: looks up who wants one, makes it, hands it to https endpoints and into our own spool, tries again, gives up.
 * Implements RFC 8460 3 (who), 5 (how) over rpt/ (what). One for a process, on its main loop: in the relay, or in `strictpost report send` where no
 * relay runs, which opens the spool itself.
 *
 *   row that is due -> _smtp._tls look-up -> [NO_RECORD] -> the document, page by page -> each endpoint of the record -> row and endpoints stored
 * At most REPORTER_AT_ONCE at a time, each in bounded memory. Policies play no part, nor does the ledger: what carries reports is counted nowhere. */
#ifndef RELAY_REPORTER_H
#define RELAY_REPORTER_H

#include "core/dns.h"
#include "relay/relay.h"
#include "rpt/outbox.h"

#define REPORTER_AT_ONCE 16

struct reporter;
struct reporter_world {
	struct core_loop *loop;
	struct core_mailbox *mailbox;           /* of the loop */
	struct queue_store *store;
	struct metrics_block *metrics;          /* NULL where no relay runs */
	/* A mailed report is in the spool: deliver it. NULL where no relay runs: it waits there for one. */
	void (*give)(void *owner, const char *destination, struct queue_job *job);
	void *owner;
};
/* Takes a ref of its own on the configuration. It makes documents, and sends nothing yet. */
struct reporter *reporter_new(const struct reporter_world *w, struct config *c);
/* Opens what it sends with, before reporter_begin() and reporter_run(). False with *why (resolver, trusted roots); again is fine. */
SP_NODISCARD bool reporter_open(struct reporter *r, struct sp_fail *why);
void reporter_reload(struct reporter *r, struct config *c);
/* From here on by itself: what is due by report.schedule, retries, and the sweep of what is over. Without it only runs that are asked for. */
void reporter_begin(struct reporter *r);

/* One run that somebody asks for. */
struct reporter_ask {
	int64_t day;                    /* -1: every finished day that is not yet sent */
	const char *domain;             /* NULL: all */
	bool again;                     /* those that were sent too */
	bool dry;                       /* look up and make, send nothing, store nothing */
};
/* What came of one report of a run; lent. */
struct reporter_result {
	int64_t day;
	const char *domain, *report_id;
	const char *state;              /* enum rpt_state's word; "dry" */
	const char *text;               /* why not, or the endpoint's answer */
	uint64_t successes, failures;
	size_t octets;                  /* of the document, gzipped */
	const struct rpt_endpoint *endpoints;
	size_t endpoint_count;
};
struct reporter_run_ops {
	void (*on_begin)(void *owner, uint64_t total);
	void (*on_result)(void *owner, const struct reporter_result *r);
	void (*on_end)(void *owner, const struct sp_fail *why); /* failed(): the store could not be read, or the reporter was stopped */
};
/* False: another run is under way. An unfinished day is taken only when it is named; what is sent of it does not count as its report, which follows when it is over. */
SP_NODISCARD bool reporter_run(struct reporter *r, const struct reporter_ask *ask, const struct reporter_run_ops *ops, void *owner);

/* The document of a day and a domain as it will be or was sent: one call of `done`, on a later turn; gzip, or failed() (no such row). */
void reporter_document(struct reporter *r, int64_t day, const char *domain,
                       void (*done)(void *owner, struct sp_str document, const struct sp_fail *why), void *owner);

/* Begins nothing more; `stopped` once, on a later turn, when what is under way has ended (at most some seconds). Then free. */
void reporter_stop(struct reporter *r, void (*stopped)(void *owner), void *owner);
void reporter_free(struct reporter *r);

#endif
