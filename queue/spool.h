/* queue/spool.h - messages and recipients at rest, and the operations on them.
 * A message is in the spool from the commit of queue_accept until its last recipient is settled. What a destination waits for is
 * kept on the destination's row, not on its messages: a dead destination with 500,000 messages costs one row a retry. Operations are
 * asynchronous through queue/store.h: `done` runs on the loop of `reply_to`.
 *
 *   fresh mail     accept -> (in memory on its shard) -> settle
 *   deferred mail  settle/park -> destination row with next_at -> queue_due -> queue_load page by page -> settle -> queue_release
 * Rows: message(id, arrived, sender, flags, size, header_len, body or file, what its envelope asks for), written once; recipient(message, n, address,
 * destination, attempts, next_at or NULL while a job has it, deadline, notified, last failure, what is asked for it); destination(name, next_at or NULL while a shard has it, failures, since,
 * last failure). Rows that cannot be read, and messages whose body file is missing, are quarantined when they are to be loaded: an error names
 * them, they stay, and are neither tried nor expired until an operator acts. */
#ifndef QUEUE_SPOOL_H
#define QUEUE_SPOOL_H

#include "core/body.h"
#include "core/list.h"
#include "core/wish.h"
#include "queue/store.h"

/* A DSN is never bounced. A REPORT is a TLS report on its way by mail: it is held to no policy, counted in no report, never bounced; what became of it
 * goes to rpt/outbox.c instead. Its destination carries the mark too (relay/route.h). */
enum queue_kind { QUEUE_MAIL, QUEUE_DSN, QUEUE_REPORT };

/* What another room adds to a transaction of ours: rows of the ledger beside the results they belong to (DESIGN.md, promise 3). `run` is called on the
 * store's thread, last in the transaction, and again when that had to be rolled back; anything but OK/ROW undoes the whole operation.
 * The caller's: it lives until `done`, and may be handed in again when the operation is repeated. */
struct queue_extra {
	enum core_db_status (*run)(struct core_db *db, struct queue_extra *x);
};

struct queue_hold;

/* An envelope and its content. Immutable, counted, shared between threads. */
struct queue_message {
	uint64_t id;
	char name[QUEUE_ID_TEXT];               /* the id as text */
	enum queue_kind kind;
	int64_t arrived_ms;                     /* Unix time in ms */
	const char *sender;                     /* "" is the null path */
	bool eight_bit;                         /* content has octets over 127 */
	bool binary;                            /* content is no lines of at most 998 octets, CRLF and no NUL: only BINARYMIME takes it (RFC 3030 3) */
	struct sp_mail_wish wish;
	uint64_t size;                          /* octets of content */
	uint32_t header_len;                    /* octets of its header section */
	const char *client;                     /* who gave it to us: "127.0.0.1 (app1)", printable */
	struct sp_body *body;                   /* one ref */
};
/* Copies the strings; takes over the ref on `body`. One ref. */
struct queue_message *queue_message_new(const struct queue_message *fields);
struct queue_message *queue_message_ref(struct queue_message *m);
void queue_message_unref(struct queue_message *m);      /* NULL is fine */

enum queue_notice { QUEUE_NOTICE_DELAY = 1, QUEUE_NOTICE_BY = 2 };       /* of a delay; that its time was up (RFC 2852, by-mode N) */

struct queue_recipient {
	uint32_t n;                             /* its number in the message, from 0 */
	const char *address;
	const char *destination;                /* next-hop key: lower-case A-label domain, "[192.0.2.1]", or "host:port" of a route */
	unsigned attempts;                      /* that concerned this recipient itself */
	unsigned notified;                      /* bits of enum queue_notice: these were sent */
	int64_t next_at_ms;                     /* set by a load: its time until then, which a park gives back; fresh: 0 */
	const char *failure;                    /* text of its last deferral; NULL or "": none of its own */
	int64_t held_ms;                        /* so long an operator held it in all: that is no delay (relay/outcome.c) */
	struct sp_rcpt_wish wish;
	const struct queue_hold *held;          /* of queue_accept, and of a queue_dsn: at rest from the first and held, by this rule (queue/holds.h); lent until `done`. NULL: not; in jobs always */
	const char *returned;                   /* of a job: an operator returns it to its sender (queue/steer.h, TAKE), for this reason, "" none; NULL: not */
};

/* What a shard has of one message for one destination. */
struct queue_job {
	struct sp_link link;                    /* in the owner's list */
	struct queue_message *message;          /* one ref */
	struct queue_recipient *recipients;     /* strings and array live and go with the job */
	size_t count;
};
/* Deep copies of the recipients; takes a new ref on the message. */
struct queue_job *queue_job_new(struct queue_message *m, const struct queue_recipient *recipients, size_t count);
void queue_job_free(struct queue_job *j);
/* Into a list of jobs, behind those of the same wish.priority or a higher one (RFC 6710 5.1). */
void queue_job_insert(struct sp_link *list, struct queue_job *j);

/* Takes the message into the spool. With wish.hold_until_ms it is at rest from the first, due then (RFC 4865): it is not handed to a shard. Else its
 * recipients are taken, as ever. A held one comes to queue_overdue() when it is at rest 10 minutes after its release. `done` with not failed: it is on stable storage. `recipients` are copied; the store holds a ref meanwhile.
 * `extra`: NULL, or what goes with it. */
void queue_accept(struct queue_store *s, struct queue_message *m, const struct queue_recipient *recipients, size_t count,
                  struct queue_extra *extra, struct core_mailbox *reply_to, void (*done)(void *owner, const struct sp_fail *why), void *owner);

enum queue_outcome { QUEUE_DELIVERED, QUEUE_BOUNCED, QUEUE_DEFERRED, QUEUE_NOTIFIED };
struct queue_result {
	uint64_t id;
	uint32_t n;
	enum queue_outcome outcome;             /* DELIVERED, BOUNCED: the row goes. DEFERRED: attempts + 1, next_at. NOTIFIED: marks only */
	int64_t next_at_ms;                     /* DEFERRED: not before this */
	int64_t deadline_ms;                    /* DEFERRED, NOTIFIED: when the message wants attention at the latest (delay notice or expiry) */
	unsigned notices;                       /* NOTIFIED: bits of enum queue_notice */
	const char *text;                       /* DEFERRED: last failure, printable */
};
/* One transaction: the results, and the notifications (DSNs) they cause as new messages. A message whose last recipient went is deleted with its
 * file. Results, texts and dsn recipients are copied. May be repeated: rows that are gone, and DSNs that are there, are passed over. `count` may be 0, where
 * only `extra` (else NULL) is to be done. */
struct queue_dsn { struct queue_message *message; struct queue_recipient recipient; };
void queue_settle(struct queue_store *s, const struct queue_result *results, size_t count,
                  const struct queue_dsn *dsns, size_t dsn_count, struct queue_extra *extra,
                  struct core_mailbox *reply_to, void (*done)(void *owner, const struct sp_fail *why), void *owner);

/* A destination's wait. */
struct queue_wait {
	int64_t next_at_ms;                     /* when to try again; 0: at once */
	unsigned failures;                      /* of the site in a row */
	int64_t since_ms;                       /* first of them */
	const char *text;                       /* the last, printable */
};
/* Leaves a job at rest: for a destination that waits, or that has too much in memory. Its recipients, and no others of the message, which may be in
 * another job that is being sent: those that are taken (next_at NULL) get their next_at_ms and the deadline; those that a settle before put off
 * (next_at set) keep theirs. Makes the destination's row when it has none (next_at 0: due at once). The job is copied from. */
void queue_park(struct queue_store *s, const struct queue_job *job, int64_t deadline_ms);
/* A shard lets go of a destination: the row's wait is set, and the row made when there is none (or it goes when no recipient is left). Where the
 * site is fine (failures 0) next_at becomes the earliest next_at of its recipients, but not before wait->next_at_ms. */
void queue_release(struct queue_store *s, const char *destination, const struct queue_wait *wait);

/* For the start, and after the clock was set back: nothing waits longer than `longest_ms` from now for another attempt, so what does was put off by a
 * clock that went wrong, and is due. What its sender has held (RFC 4865) keeps its time. */
void queue_clock_set_back(struct queue_store *s, int64_t now_ms, int64_t longest_ms);

/* What an operator's time ended, or waits for: holds whose `until_ms` is at `now_ms` or before are released as QUEUE_RELEASE does (queue/steer.h), and what was to be deleted
 * when a shard let go of it goes. Cheap where there is nothing; where there is much, it goes on by itself. Nobody waits. To be asked every few seconds, and at start. */
void queue_lapse(struct queue_store *s, int64_t now_ms);

/* The destinations that wait because their site failed (failures > 0), in the order of their names, from behind `after` on; for the start of the
 * relay, so that fresh mail waits with the rest. Strings lent until `done` returns; fewer than `limit`: that was all. */
struct queue_waiting { const char *name; struct queue_wait wait; };
void queue_waiting(struct queue_store *s, const char *after, size_t limit, struct core_mailbox *reply_to,
                   void (*done)(void *owner, const struct queue_waiting *list, size_t count, const struct sp_fail *why), void *owner);

/* Up to `limit` destinations that are due; each is marked as taken (next_at NULL) until released. *next_ms: when the earliest of the others is due,
 * INT64_MAX if none. All strings lent until `done` returns. */
struct queue_due { const char *name; unsigned failures; int64_t since_ms; };
void queue_due(struct queue_store *s, int64_t now_ms, size_t limit, struct core_mailbox *reply_to,
               void (*done)(void *owner, const struct queue_due *due, size_t count, int64_t next_ms, const struct sp_fail *why),
               void *owner);
/* Up to `limit` messages (and at most `octets` of bodies, but one at least) of a destination whose recipients are due at `now_ms`: those of a higher
 * wish.priority first (RFC 6710 5.1), then by next_at, then age.
 * The loaded recipients are taken: their next_at becomes NULL, as a fresh one's, so that exactly one job has a recipient at any time, whatever is on its
 * way between threads (no list of what to skip, and no DSN for what was just delivered). They are given back by queue_settle or queue_park; at start,
 * all that is NULL becomes due (0), or when its hold ends. The jobs are the callee's. */
void queue_load(struct queue_store *s, const char *destination, int64_t now_ms, size_t limit, size_t octets,
                struct core_mailbox *reply_to,
                void (*done)(void *owner, struct queue_job **jobs, size_t count, const struct sp_fail *why), void *owner);
/* Up to `limit` (message, destination) pairs at rest whose deadline passed, or that an operator returns (TAKE), taken as by queue_load. Judge by arrived_ms, and park what is still
 * young: mail that a crash caught before it had a deadline comes here 10 minutes after the start. */
void queue_overdue(struct queue_store *s, int64_t now_ms, size_t limit, struct core_mailbox *reply_to,
                   void (*done)(void *owner, struct queue_job **jobs, size_t count, const struct sp_fail *why), void *owner);

/* How much there is; what is kept for an operator (quarantined) is in it. Cheap: nothing is counted row by row but the waiting destinations, and of
 * these QUEUE_COUNTED_MAX at most, which then stands for "so many or more". */
#define QUEUE_COUNTED_MAX 100000
struct queue_counts { uint64_t messages, recipients, destinations_waiting; };
void queue_counts(struct queue_store *s, struct core_mailbox *reply_to,
                  void (*done)(void *owner, const struct queue_counts *counts, const struct sp_fail *why), void *owner);

#endif
