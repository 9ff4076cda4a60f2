/* queue/store_impl.h - what queue/store.c and queue/trouble.c share; for nobody else. */
#ifndef QUEUE_STORE_IMPL_H
#define QUEUE_STORE_IMPL_H

#include "queue/batch.h"
#include "queue/gather.h"

#include <pthread.h>
#include <stdatomic.h>

enum trouble { TROUBLE_UNWRITABLE = 1, TROUBLE_FULL = 2, TROUBLE_SPACE = 4 };

struct queue_store {
	char *dir, *db_path, *log_path;
	int lock_fd;
	struct core_queue *inbox;
	struct core_thread *thread, *watch;
	struct queue_in_hand *in_hand;
	_Atomic uint64_t next_id;
	uint64_t id_end;                        /* of this run */
	enum core_db_status (*report_deleted)(struct core_db *db, uint64_t message);    /* of the room that has reports, or NULL */
	atomic_uint trouble;                    /* bits of enum trouble; none: mail is accepted */
	_Atomic uint64_t free_octets;           /* of pages in the database that hold nothing, when last looked */
	_Atomic uint64_t commits, ops, largest_batch;
	struct core_histogram times, sizes;     /* of batches */
	/* the store thread's */
	struct core_db *db;                     /* NULL while it could not be opened again */
	uint64_t reopen_after_ms, empty_after_ms;
	struct core_mail *held, **held_last;    /* ops that insist, in order */
	struct queue_batch batch;
	struct queue_gather gather;
	/* between the store thread and the watch */
	struct queue_op probe;
	atomic_bool probing;                    /* the probe is under way */
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool stopping;                          /* under `lock` */
};

/* trouble.c: no mail is accepted while there is any. */
void store_set_unwritable(struct queue_store *s, bool on);
void store_set_full(struct queue_store *s, bool on);
/* Begins or ends the trouble of a disk that is nearly full. */
void store_look_at_space(struct queue_store *s);
/* After each turn of the store's thread: empties the log where room is short, and begins that trouble. */
void store_mind_space(struct queue_store *s);
/* A write that changes nothing that matters. */
SP_NODISCARD enum core_db_status store_write_nothing(struct core_db *db);
/* The thread that looks once a second: for room on the disk, and after a failed write whether writing works again. */
void store_watch_main(void *store);

#endif
