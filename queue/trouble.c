/* queue/trouble.c - when no mail is accepted: the disk is nearly full, or a write failed; and how that ends. See store.h, space.h. */
#include "queue/store_impl.h"

#include "core/clock.h"
#include "core/log.h"
#include "queue/space.h"

#include <time.h>

#define LOOK_MS         1000    /* between two looks at the disk */
#define EMPTY_OCTETS    65536   /* of log are worth emptying it */
#define EMPTY_MS        1000    /* after a try to empty it failed */

static void set_trouble(struct queue_store *s, enum trouble bit, bool on, const char *what)
{
	unsigned before = on ? atomic_fetch_or_explicit(&s->trouble, bit, memory_order_relaxed)
	                     : atomic_fetch_and_explicit(&s->trouble, ~(unsigned)bit, memory_order_relaxed);
	if (((before & bit) != 0) == on)
		return;
	if (on)
		sp_log_text(SP_LOG_ERROR, NULL, "spool", "no mail is accepted: %s", what);
	else
		sp_log_text(SP_LOG_INFO, NULL, "spool", "over: %s", what);
}

static bool has_room(const struct queue_store *s)
{
	return queue_space_ok(s->dir, s->log_path, atomic_load_explicit(&s->free_octets, memory_order_relaxed));
}

/* Only the look once a second ends the trouble: around the limit each commit and each checkpoint would begin and end it, with a line each. */
static void look_at_space(struct queue_store *s, bool may_end)
{
	bool ok = has_room(s);
	if (!ok || may_end)
		set_trouble(s, TROUBLE_SPACE, !ok, "the disk of the spool is nearly full");
}

void store_look_at_space(struct queue_store *s)
{
	look_at_space(s, true);
}

void store_set_unwritable(struct queue_store *s, bool on)
{
	set_trouble(s, TROUBLE_UNWRITABLE, on, "a write to the spool failed");
}

void store_set_full(struct queue_store *s, bool on)
{
	set_trouble(s, TROUBLE_FULL, on, "a write to the spool found the disk full");
}

enum core_db_status store_write_nothing(struct core_db *db)
{
	return core_stmt_run(core_db_stmt(db, "INSERT INTO store (name, value) VALUES ('probe', 1)"
	                                      " ON CONFLICT (name) DO UPDATE SET value = store.value + 1"));
}

static enum core_db_status run_probe(struct core_db *db, struct queue_op *op SP_UNUSED)
{
	return store_write_nothing(db);
}

static void on_probed(struct queue_op *op, const struct sp_fail *why)
{
	struct queue_store *s = sp_container_of(op, struct queue_store, probe);
	if (!sp_failed(why)) {
		store_set_unwritable(s, false);
		store_set_full(s, false);
	}
	atomic_store(&s->probing, false);
}

static void probe(struct queue_store *s)
{
	if (atomic_exchange(&s->probing, true))
		return;
	s->probe.run = run_probe;
	s->probe.done = on_probed;
	queue_store_submit(s, &s->probe);
}

void store_watch_main(void *arg)
{
	struct queue_store *s = arg;
	pthread_mutex_lock(&s->lock);
	while (!s->stopping) {
		struct timespec until;
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_sec += LOOK_MS / 1000;
		pthread_cond_timedwait(&s->wake, &s->lock, &until);
		if (s->stopping)
			break;
		store_look_at_space(s);
		if (!queue_store_accepting(s))
			probe(s);
	}
	pthread_mutex_unlock(&s->lock);
}

/* ---- room ---- */

/* A small log is, where its octets are all that is missing: else mail would be refused for their sake for good. */
static bool is_worth_emptying(const struct queue_store *s)
{
	uint64_t octets = queue_space_used(s->log_path);
	return octets >= EMPTY_OCTETS || (octets > 0 && queue_space_ok(s->dir, NULL, 0));
}

/* The log goes into the database, and its octets back to the disk, before it takes the last of them. */
static void empty_log(struct queue_store *s)
{
	uint64_t now_ms = core_clock_mono_ms();
	if (s->db == NULL || now_ms < s->empty_after_ms || !is_worth_emptying(s))
		return;
	if (core_db_exec(s->db, "PRAGMA wal_checkpoint(TRUNCATE)") != CORE_DB_OK)
		s->empty_after_ms = now_ms + EMPTY_MS;
}

/* They take new mail without the file growing. Asked only where that matters: the number stands in the first page. */
static void look_for_free_pages(struct queue_store *s)
{
	if (s->db)
		atomic_store_explicit(&s->free_octets, queue_space_free(s->db), memory_order_relaxed);
}

bool queue_store_scarce(const struct queue_store *s, struct core_db *db)
{
	return queue_space_scarce(s->dir, s->log_path, queue_space_free(db));
}

/* After each turn: two system calls are nothing beside a sync. */
void store_mind_space(struct queue_store *s)
{
	if (!queue_space_ok(s->dir, s->log_path, 0)) {
		empty_log(s);
		look_for_free_pages(s);
	}
	look_at_space(s, false);
}
