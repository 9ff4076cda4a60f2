/* queue/list.h - reads of the spool for people: pages of messages with where each recipient stands, one message, ages by domain. Nothing is taken, nothing changes; each is one read on the
 * store's thread, short whatever the spool holds: at most `looks` rows are looked at, then it answers with what it has and where to go on, though that be nothing.
 * All strings lent until `done` returns. `done` on the loop of `reply_to`. */
#ifndef QUEUE_LIST_H
#define QUEUE_LIST_H

#include "queue/filter.h"

struct queue_listed_recipient {
	uint32_t n;
	const char *address, *destination;
	enum queue_state state;
	bool fits;                      /* the filter, too */
	unsigned attempts;              /* of its own */
	int64_t next_at_ms;             /* when it is tried next: the later of its own time and its destination's; 0: at once, or not by a time (ACTIVE, HOLD without an end) */
	int64_t deadline_ms;            /* 0: none */
	const char *failure;            /* the last one: its own, else its destination's; "" none */
	bool site;                      /* the failure is its destination's */
	const char *hold_reason;        /* HOLD: why; "" */
	uint64_t hold_rule;             /* HOLD: the rule that caught it (queue/holds.h), 0: by hand */
};
struct queue_listed {
	uint64_t id;
	const char *name;               /* the id as text */
	enum queue_kind kind;
	int64_t arrived_ms;
	uint64_t size;
	const char *sender, *client;
	const char *envid;              /* "": none */
	int priority;
	int64_t hold_until_ms, by_at_ms;        /* as its envelope asks (core/wish.h); 0: not */
	bool require_tls, tls_optional, in_file;
	struct queue_listed_recipient *recipients;
	size_t count;
};
#define QUEUE_LOOKS 5000                /* rows of messages or recipients looked at for one page; fewer where they take long (queue/walk.h) */

/* Up to `limit` messages that fit, by id, behind `after` (0 first). *next: where to go on; 0: that was all. A message of many recipients is whole. */
void queue_list(struct queue_store *s, const struct queue_filter *f, uint64_t after, size_t limit, struct core_mailbox *reply_to,
                void (*done)(void *owner, const struct queue_listed *rows, size_t count, uint64_t next, const struct sp_fail *why), void *owner);
/* The same, counted only: messages and recipients that fit, of this page. */
void queue_count(struct queue_store *s, const struct queue_filter *f, uint64_t after, struct core_mailbox *reply_to,
                 void (*done)(void *owner, uint64_t messages, uint64_t recipients, uint64_t next, const struct sp_fail *why), void *owner);

/* The content of a message, one ref of its body; NULL without failure: there is no such message. */
void queue_content(struct queue_store *s, uint64_t id, struct core_mailbox *reply_to,
                   void (*done)(void *owner, struct queue_message *m, const struct sp_fail *why), void *owner);

/* Recipients at rest, held ones too, by destination and age, the destinations in order of their names, behind `after`. What shards have is not in it. As Postfix's qshape: how many arrived within the last 5, 10, 20, 40, 80, 160,
 * 320, 640, 1280 min, and before. */
#define QUEUE_AGES 10
extern const unsigned queue_age_min[QUEUE_AGES];        /* upper bounds in minutes; 0: none, the last */
struct queue_shape {
	const char *destination;
	uint64_t recipients, ages[QUEUE_AGES];
	int64_t oldest_ms;              /* arrived */
	int64_t next_at_ms;             /* of the destination; 0: now, or a shard has it */
	unsigned failures;              /* of its site in a row */
	int64_t since_ms;
	const char *failure;            /* the site's, else that of the first recipient; "" none */
	int64_t first;                  /* private: that recipient's row */
	bool whole;                     /* false: QUEUE_LOOKS ended inside it: the next page goes on with the same name; add up */
};
/* `after` and *next are opaque text: NULL or "" first; "" means that was all. */
void queue_shape(struct queue_store *s, const char *after, size_t limit, int64_t now_ms, struct core_mailbox *reply_to,
                 void (*done)(void *owner, const struct queue_shape *rows, size_t count, const char *next, const struct sp_fail *why), void *owner);

/* For gauges: cheap, whatever the spool holds. */
struct queue_gauges {
	uint64_t messages, recipients, waiting_destinations;    /* as queue_counts */
	uint64_t held, quarantined;                             /* recipients, each up to QUEUE_COUNTED_MAX */
	int64_t oldest_ms;                                      /* arrival of the first message, held ones too; 0: empty */
	int64_t oldest_waiting_ms;                              /* since when the first waits that is not held, by its sender neither, or quarantined: what an alarm looks at;
	                                                         * 0: none. Behind QUEUE_LOOKS that are, it is that of the next, kept or not */
};
void queue_gauges(struct queue_store *s, struct core_mailbox *reply_to,
                  void (*done)(void *owner, const struct queue_gauges *g, const struct sp_fail *why), void *owner);

#endif
