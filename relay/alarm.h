/* relay/alarm.h - what an operator must hear of though nobody watches /metrics: an error in the log, repeated every day while it lasts.
 *   - a backlog that does not move: the oldest mail that is not held waits longer than alarm.oldest, and nothing was delivered for alarm.idle
 *   - protection that is about to lapse: policies whose refresh fails, and that expire within STS_LAPSING_S (RFC 8461 10.2); a warning
 * Whatever it says, mail is taken and tried on. Main thread. */
#ifndef RELAY_ALARM_H
#define RELAY_ALARM_H

#include "core/loop.h"
#include "relay/relay.h"

struct alarm;
struct alarm *alarm_start(struct relay *r, struct core_loop *l, const struct config *c);
void alarm_reload(struct alarm *a, const struct config *c);
void alarm_stop(struct alarm *a);               /* looks no more; NULL is fine */
bool alarm_busy(const struct alarm *a);         /* the store is still to answer: the main mailbox must stay open */
void alarm_free(struct alarm *a);               /* stopped and not busy; NULL is fine */

/* The decision about the backlog, pure. Zeroed at first; `now_ms` is monotonic. */
struct alarm_backlog {
	uint64_t delivered;             /* at the last look */
	uint64_t moved_ms;              /* when it last had changed; or of the first look */
	uint64_t told_ms;               /* 0: not, or it moved since */
};
enum alarm_word { ALARM_NOTHING, ALARM_STUCK, ALARM_MOVES };
/* `age_ms`: of the oldest mail that waits, 0 for none. STUCK: to be told, now and every ALARM_AGAIN_MS. MOVES: it was told, and is over. */
#define ALARM_AGAIN_MS (24ull * 3600 * 1000)
enum alarm_word alarm_backlog_look(struct alarm_backlog *b, uint64_t now_ms, uint64_t delivered, uint64_t age_ms, uint64_t oldest_ms, uint64_t idle_ms);

#endif
