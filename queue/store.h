/* queue/store.h - the store: one thread, the only user of the database, one transaction and one sync for whatever has gathered (group commit).
 * Owns the spool folder: its lock, its schema and version, the run number that makes identifiers unique, and the clean-up at start.
 * Operations of any room run here: each brings its SQL as a function. Reads too, so that what a reader learns is in order with what writers did. */
#ifndef QUEUE_STORE_H
#define QUEUE_STORE_H

#include "core/db.h"
#include "core/mailbox.h"
#include "core/metric.h"

struct queue_store;

/* Opens <state_dir>, made when missing with mode 0700: takes the lock (a second process is refused; the message names the holder's pid), refuses
 * network file systems, opens <state_dir>/spool.db, migrates, removes body files without a row, starts the thread.
 * NULL with *why: path, uid, mode and the command that mends it. Main thread. */
struct queue_schema {                   /* the tables of another room, made or migrated in the same transaction as ours */
	const char *name;               /* "sts": key of its version in our table of versions */
	unsigned version;               /* what the code wants */
	/* Brings the tables from version `from` (0: there are none) to `version`. A newer `from` than `version` is refused before. */
	enum core_db_status (*migrate)(struct core_db *db, unsigned from);
	/* NULL, or told of each mailed report (QUEUE_REPORT) that an operator deletes (queue/steer.h), on the store's thread, in the transaction of that: anything but
	 * OK/ROW undoes it. May be at once or, where a shard had the mail, later. */
	enum core_db_status (*report_deleted)(struct core_db *db, uint64_t message);
};
SP_NODISCARD struct queue_store *queue_store_open(const char *state_dir, const struct queue_schema *others, size_t other_count,
                                                  struct sp_fail *why);
/* Finishes what was submitted, closes, unlocks. After it no `done` is posted. Main thread; mailboxes named in ops must still be open, or
 * nobody may have ops under way. */
void queue_store_close(struct queue_store *s);

/* Zeroed by whoever makes it. */
struct queue_op {
	struct core_mail mail;                  /* the store's */
	/* On the store's thread, inside a transaction. May be called a second time when the batch it was in had to be rolled back: then
	 * everything it set before is to be set anew. Returning anything but OK/ROW undoes this op alone. */
	enum core_db_status (*run)(struct core_db *db, struct queue_op *op);
	/* On the loop of `reply_to`, after the commit reached the disk (*why not failed) or the op failed. Owns the op. */
	void (*done)(struct queue_op *op, const struct sp_fail *why);
	struct core_mailbox *reply_to;          /* NULL: nobody waits, `done` runs on the store's thread */
	/* On the store's thread, after the commit reached the disk and before `done`: for files that no row names any more. May be NULL. */
	void (*committed)(struct queue_op *op);
	/* Must happen: while the disk is full or fails, the op is held and tried again, in order with others that insist. */
	bool insist;
	bool patient;                           /* nobody waits for it: may stay for some milliseconds, so that one sync serves many */
	bool adds_mail;                         /* refused, and not run, while queue_store_accepting() is false: the room left is for results */
	int64_t messages, recipients;           /* set by run(): so many more there are now, or fewer (queue/counts.h); 0 before it */
	enum core_db_status status;             /* the store's */
	struct sp_fail fail;                    /* the store's; what `done` gets */
};
void queue_store_submit(struct queue_store *s, struct queue_op *op);    /* any thread; gives the op away */

/* Tells the rooms. For queue/, on the store's thread. */
SP_NODISCARD enum core_db_status queue_store_tell_deleted(struct queue_store *s, struct core_db *db, uint64_t message);

/* A new identifier: the run number and a count, unique for the life of the spool whatever the clock does; ascending within a run. Any thread. */
uint64_t queue_store_next_id(struct queue_store *s);
#define QUEUE_ID_TEXT 16
const char *queue_id_str(uint64_t id, char text[QUEUE_ID_TEXT]);        /* 13 characters at most, Crockford base 32, upper case */
SP_NODISCARD bool queue_id_parse(struct sp_str s, uint64_t *out);

/* <state_dir>/body/<two characters>/<id>: where a body past the inline limit is written, before the message's row. Its folder is there. Any thread. */
void queue_store_body_path(const struct queue_store *s, uint64_t id, struct sp_buf *out);

/* Can mail be accepted? False when the disk is nearly full (queue/space.h), or a write failed until one succeeds again: the store tries every
 * second by itself. Cheap, any thread. */
bool queue_store_accepting(const struct queue_store *s);

/* Is there so little room left that mail will soon be refused for it? Then what may be lost goes first: evidence. On the store's thread. */
bool queue_store_scarce(const struct queue_store *s, struct core_db *db);

/* The message that a shard works on right now (parses, composes, sends), 0 for none: told around each piece of work, it costs one store to memory.
 * A message that was in hand in three crashes is quarantined: it stays, is not tried, and an error names it. Any thread. */
void queue_store_in_hand(struct queue_store *s, unsigned shard, uint64_t id);

struct queue_store_stats {
	uint64_t commits, ops, largest_batch;           /* commits: transactions, of which those that only read cost no sync */
	struct core_histogram_sum times, sizes;         /* of batches, SHORT in us and COUNT: how long one took to the end of its commit, how many operations it had */
};
void queue_store_stats(const struct queue_store *s, struct queue_store_stats *out);     /* any thread */
/* Octets: of the file system that the spool is on, what we may still use and in all; of the database and of its log. 0: not known. Any thread. */
struct queue_store_room { uint64_t available, total, database, log; };
void queue_store_room(const struct queue_store *s, struct queue_store_room *out);

#endif
