/* relay/delivery_pace.c - see delivery_impl.h: room for a connection at its address, and how that did. */
#include "relay/delivery_impl.h"

#include "core/clock.h"

#define DEAD_FIRST_MS 60000             /* where retries are not more frequent */
#define DEAD_MAX_MS (15 * 60 * 1000)

/* An address is left alone for less than half of the wait of a destination that failed for it. */
static struct pace_limits limits_of(const struct config *c)
{
	double least = (1 - c->delivery.retry.jitter) / 2;
	uint64_t first_ms = (uint64_t)((double)c->delivery.retry.first_ms * least), max_ms = (uint64_t)((double)c->delivery.retry.max_ms * least);
	struct pace_limits l = { .host_max = (uint64_t)c->delivery.host_concurrency, .all_max = (uint64_t)c->delivery.sessions,
	                         .dead_first_ms = sp_min(first_ms, DEAD_FIRST_MS) };
	l.dead_max_ms = c->delivery.retry.growth < 2 ? l.dead_first_ms : sp_max(sp_min(max_ms, DEAD_MAX_MS), l.dead_first_ms);
	return l;
}

/* --- those that wait --- */

static void count_waiting(struct delivery_state *y, int change)
{
	y->pub.dest->queued_count += (unsigned)change;
	atomic_fetch_add_explicit(&y->shard->waiting_sessions, (unsigned)change, memory_order_relaxed);
}

static void wait_for_room(struct delivery_state *y, uint64_t ms)
{
	if (!y->queued)
		count_waiting(y, 1);
	y->queued = true;
	core_timer_start(y->timer, ms);
}

void delivery_waits_no_more(struct delivery_state *y)
{
	if (y->queued)
		count_waiting(y, -1);
	y->queued = false;
}

bool delivery_waits_in_vain(const struct delivery_state *y)
{
	return y->queued && y->job == NULL && y->pub.dest->looked == NULL && (y->pub.dest->waiting_count == 0 || core_clock_mono_ms() >= y->plan->good_until_ms);
}

/* The tries of the present host's preference that are left, from the present one on. */
static size_t count_equals(const struct delivery_state *y, size_t first)
{
	size_t n = 1;
	uint16_t preference = y->plan->hosts[y->tries[first].host].preference;
	while (first + n < y->try_count && y->plan->hosts[y->tries[first + n].host].preference == preference)
		n++;
	return n;
}

/* No room here: to the other addresses of this preference, and when there is none at any of them, later. A host that is only less preferred is no help: RFC 5321
 * 5.1 has it for when these cannot be reached. */
static void put_off(struct delivery_state *y, uint64_t again_ms)
{
	size_t first = y->next_try - 1, equals = count_equals(y, first);
	struct try t = y->tries[first];
	memmove(&y->tries[first], &y->tries[first + 1], (equals - 1) * sizeof(t));
	y->tries[first + equals - 1] = t;
	y->next_try--;
	y->again_ms = y->full_count == 0 ? again_ms : sp_min(y->again_ms, again_ms);
	bool all = ++y->full_count >= equals;
	y->full_count = all ? 0 : y->full_count;
	wait_for_room(y, all ? y->again_ms : 0);
}

/* Its destination is served by others. Were their places wanted for this one, they would leave whenever they had nothing to do, and each message cost a
 * handshake. */
static bool is_spare(const struct delivery_state *y)
{
	const struct destination *d = y->pub.dest;
	unsigned waiting = d->queued_count + (y->queued ? 0 : 1);       /* this one with them */
	return y->job == NULL && d->session_count > waiting;
}

bool delivery_enter(struct delivery_state *y)
{
	struct sp_fail why;
	uint64_t again_ms;
	struct pace_limits limits = limits_of(y->shard->config);
	limits.spare = is_spare(y);
	limits.anyway = y->pub.dest->impatient;
	switch (pace_enter(y->shard->relay->pace, &y->addr, core_clock_mono_ms(), &limits, &again_ms, &why)) {
	case PACE_GO:
		delivery_waits_no_more(y);
		y->full_count = 0;
		y->paced = true;
		break;
	case PACE_FULL:
		if (!y->clear) {
			put_off(y, again_ms);
			break;
		}
		y->again = true;                /* the same address once more, in clear */
		wait_for_room(y, again_ms);
		break;
	case PACE_DEAD:
		y->full_count = 0;
		delivery_conclude(y, "failed", &why, NULL);
		delivery_try_failed(y, &why);
		break;
	}
	return y->paced;
}

/* --- those that are in --- */

/* What the end of a session says of its address. `why` not failed(): it ended as sessions do. */
static enum pace_end end_of(const struct delivery_state *y, const struct sp_fail *why)
{
	bool greeted = y->client && *smtp_client_greeted_as(y->client), waited = y->idled && y->job == NULL;
	bool silent = why->kind == SP_FAIL_CONNECT || (why->kind == SP_FAIL_PROTOCOL && strcmp(why->reason, "timeout") == 0);
	if (waited)                             /* for mail, and was told goodbye */
		return PACE_SERVED;
	if (why->kind == SP_FAIL_REPLY && why->code == 421)
		return PACE_PRESSED;
	if (silent)
		return greeted ? PACE_PRESSED : PACE_UNREACHED;
	return y->proven ? PACE_SERVED : PACE_NEUTRAL;
}

void delivery_leave(struct delivery_state *y, const struct sp_fail *why)
{
	struct pace_limits limits = limits_of(y->shard->config);
	if (y->paced)
		pace_leave(y->shard->relay->pace, &y->addr, core_clock_mono_ms(), &limits, end_of(y, why), why);
	y->paced = false;
}

bool delivery_should_make_room(const struct delivery_state *y)
{
	return pace_wanted(y->shard->relay->pace, &y->addr, core_clock_mono_ms());
}
