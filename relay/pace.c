/* relay/pace.c - see pace.h. */
#include "relay/pace.h"

#include "core/list.h"
#include "core/map.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define WINDOW_FIRST 5                  /* sessions to an address that is not known yet */
#define ADDRESSES_MAX 100000            /* entries; the longest idle goes */
#define IDLE_MS (60 * 60 * 1000)        /* an address that nobody used for so long is forgotten */
#define SWEEP_LOOKS 2                   /* of the idle ones at each enter: more than one can come anew */
#define PAUSE_FIRST_MS 1000             /* after 421: no new session; doubles */
#define PAUSE_MAX_MS 60000
#define AGAIN_MIN_MS 50                 /* of one that waits for room; longer, the more there are */
#define AGAIN_MAX_MS 2000
#define AGAIN_SHARE 100                 /* turned away in a second, for each ms of it */
#define PROBE_AGAIN_MS 500              /* while another one probes */
#define WANTED_MS 3000                  /* who was turned away is thought to wait for so long: longer than AGAIN_MAX_MS */
#define KEY_MAX 20

struct entry {
	struct sp_map_node node;        /* in pace->map */
	struct sp_link idle;            /* in pace->idle, without sessions; the longest first */
	char key[KEY_MAX];
	uint64_t sessions;
	uint64_t window;                /* sessions that it may have by experience */
	unsigned unreached, pressed;    /* in a row */
	bool probing;                   /* one session looks whether it is back */
	uint64_t dead_until_ms, died_ms;        /* 0: alive */
	uint64_t paused_until_ms;
	uint64_t wanted_ms;             /* when somebody was turned away last; 0: never */
	uint64_t used_ms;
	char how[160];                  /* it failed */
};

struct pace {
	pthread_mutex_t lock;
	struct sp_map map;              /* of struct entry, by address and port */
	struct sp_link idle;
	uint64_t sessions;
	uint64_t wanted_ms;             /* when somebody was turned away for want of sessions in all */
	uint64_t second;                /* of the monotonic clock; those turned away in it and in the one before */
	uint64_t turned_away, turned_away_before;
};

struct pace *pace_new(void)
{
	struct pace *p = sp_alloc(sizeof(*p));
	pthread_mutex_init(&p->lock, NULL);
	sp_map_init(&p->map);
	sp_list_init(&p->idle);
	return p;
}

static void forget(struct pace *p, struct entry *e)
{
	sp_list_remove(&e->idle);
	sp_map_remove(&p->map, &e->node);
	free(e);
}

void pace_free(struct pace *p)
{
	if (p == NULL)
		return;
	sp_assert(p->sessions == 0);
	while (!sp_list_empty(&p->idle))
		forget(p, sp_container_of(sp_list_first(&p->idle), struct entry, idle));
	sp_map_clear(&p->map);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

/* --- entries --- */

static struct sp_str key_of(const struct sp_addr *addr, char key[KEY_MAX])
{
	uint16_t port = sp_addr_port(addr);
	bool v6 = sp_addr_family(addr) == AF_INET6;
	size_t len = v6 ? sizeof(addr->in6.sin6_addr) : sizeof(addr->in.sin_addr);
	memcpy(key, v6 ? (const void *)&addr->in6.sin6_addr : (const void *)&addr->in.sin_addr, len);
	memcpy(key + len, &port, sizeof(port));
	return sp_str_make(key, len + sizeof(port));
}

static struct entry *find(struct pace *p, const struct sp_addr *addr)
{
	char key[KEY_MAX];
	struct sp_map_node *n = sp_map_find(&p->map, key_of(addr, key));
	return n ? sp_container_of(n, struct entry, node) : NULL;
}

static void sweep(struct pace *p, uint64_t now_ms)
{
	for (unsigned looks = SWEEP_LOOKS; looks > 0 && !sp_list_empty(&p->idle); looks--) {
		struct entry *e = sp_container_of(sp_list_first(&p->idle), struct entry, idle);
		if (now_ms - e->used_ms < IDLE_MS && p->map.count < ADDRESSES_MAX)
			return;
		forget(p, e);
	}
}

/* NULL: there are as many as there may be, and all are in use. */
static struct entry *get(struct pace *p, const struct sp_addr *addr, uint64_t now_ms)
{
	struct entry *e = find(p, addr);
	if (e)
		return e;
	sweep(p, now_ms);
	if (p->map.count >= ADDRESSES_MAX)
		return NULL;
	e = sp_alloc(sizeof(*e));
	e->window = WINDOW_FIRST;
	e->used_ms = now_ms;
	sp_list_push_back(&p->idle, &e->idle);
	sp_map_insert(&p->map, &e->node, key_of(addr, e->key));
	return e;
}

/* --- in --- */

/* Those who wait ask again: at once where there are few, and all of them together not too often. */
static uint64_t turn_away(struct pace *p, uint64_t now_ms)
{
	uint64_t second = now_ms / 1000;
	if (second != p->second) {
		p->turned_away_before = second == p->second + 1 ? p->turned_away : 0;
		p->turned_away = 0;
		p->second = second;
	}
	p->turned_away++;
	return sp_min(sp_max(sp_max(p->turned_away_before, p->turned_away) / AGAIN_SHARE, AGAIN_MIN_MS), AGAIN_MAX_MS);
}

static void tell_dead(const struct entry *e, const struct sp_addr *addr, uint64_t now_ms, struct sp_fail *why)
{
	char text[SP_ADDR_TEXT];
	sp_fail_set(why, SP_FAIL_CONNECT, "%s did not answer %" PRIu64 " s ago, and is left alone for %" PRIu64 " s: %s", sp_addr_ip_str(addr, text),
	            (now_ms - e->died_ms) / 1000, (e->dead_until_ms - now_ms + 999) / 1000, e->how);
	snprintf(why->reason, sizeof(why->reason), "address-dead");
}

static enum pace_answer ask(struct pace *p, struct entry *e, uint64_t now_ms, const struct pace_limits *limits, uint64_t *again_ms)
{
	if (e->dead_until_ms > now_ms && !limits->anyway) {
		*again_ms = e->dead_until_ms - now_ms;
		return PACE_DEAD;
	}
	if (e->probing) {
		*again_ms = PROBE_AGAIN_MS;
		return PACE_FULL;
	}
	if (e->paused_until_ms > now_ms) {
		*again_ms = e->paused_until_ms - now_ms;
		return PACE_FULL;
	}
	if (e->sessions >= sp_min(e->window, limits->host_max)) {
		e->wanted_ms = limits->spare ? e->wanted_ms : now_ms;
		*again_ms = turn_away(p, now_ms);
		return PACE_FULL;
	}
	return PACE_GO;
}

static enum pace_answer enter(struct pace *p, const struct sp_addr *addr, uint64_t now_ms, const struct pace_limits *limits,
                              uint64_t *again_ms, struct sp_fail *why)
{
	struct entry *e = get(p, addr, now_ms);
	enum pace_answer answer = e ? ask(p, e, now_ms, limits, again_ms) : PACE_FULL;
	if (answer == PACE_DEAD)
		tell_dead(e, addr, now_ms, why);
	if (e == NULL || (answer == PACE_GO && p->sessions >= limits->all_max)) {
		p->wanted_ms = limits->spare ? p->wanted_ms : now_ms;
		*again_ms = turn_away(p, now_ms);
		return PACE_FULL;
	}
	if (answer == PACE_GO) {
		e->probing = e->unreached > 0;
		e->sessions++;
		p->sessions++;
		sp_list_remove(&e->idle);
	}
	return answer;
}

enum pace_answer pace_enter(struct pace *p, const struct sp_addr *addr, uint64_t now_ms, const struct pace_limits *limits,
                            uint64_t *again_ms, struct sp_fail *why)
{
	*again_ms = 0;
	pthread_mutex_lock(&p->lock);
	enum pace_answer answer = enter(p, addr, now_ms, limits, again_ms, why);
	pthread_mutex_unlock(&p->lock);
	return answer;
}

/* --- and out --- */

static void is_alive(struct entry *e)
{
	e->unreached = 0;
	e->probing = false;
	e->dead_until_ms = 0;
}

void pace_works(struct pace *p, const struct sp_addr *addr)
{
	pthread_mutex_lock(&p->lock);
	struct entry *e = find(p, addr);
	sp_assert(e != NULL && e->sessions > 0);
	is_alive(e);
	e->pressed = 0;
	if (e->window <= e->sessions)           /* what is not used tells nothing of how many more it would bear */
		e->window++;
	pthread_mutex_unlock(&p->lock);
}

/* The `times`-th time in a row. */
static uint64_t doubled(uint64_t first, unsigned times, uint64_t max)
{
	return times > 20 ? max : sp_min(first << (times - 1), max);
}

static void press_less(struct entry *e, uint64_t now_ms)
{
	uint64_t had = sp_min(e->window, e->sessions + 1);
	is_alive(e);
	e->window = sp_max(had / 2, 1);
	e->paused_until_ms = now_ms + doubled(PAUSE_FIRST_MS, ++e->pressed, PAUSE_MAX_MS);
}

static void is_dead(struct entry *e, uint64_t now_ms, const struct pace_limits *limits, const struct sp_fail *why)
{
	e->probing = false;
	e->window = WINDOW_FIRST;
	e->pressed = 0;
	e->paused_until_ms = 0;
	e->died_ms = now_ms;
	e->dead_until_ms = now_ms + doubled(limits->dead_first_ms, ++e->unreached, limits->dead_max_ms);
	snprintf(e->how, sizeof(e->how), "%.*s", (int)sizeof(e->how) - 1, why->text);
}

static void judge(struct entry *e, uint64_t now_ms, const struct pace_limits *limits, enum pace_end how, const struct sp_fail *why)
{
	switch (how) {
	case PACE_UNREACHED:
		if (e->sessions == 0)
			is_dead(e, now_ms, limits, why);
		else if (e->dead_until_ms <= now_ms)
			press_less(e, now_ms);
		break;
	case PACE_PRESSED:
		press_less(e, now_ms);
		break;
	case PACE_SERVED:
	case PACE_NEUTRAL:
		is_alive(e);
		break;
	}
}

void pace_leave(struct pace *p, const struct sp_addr *addr, uint64_t now_ms, const struct pace_limits *limits, enum pace_end how, const struct sp_fail *why)
{
	pthread_mutex_lock(&p->lock);
	struct entry *e = find(p, addr);
	sp_assert(e != NULL && e->sessions > 0 && p->sessions > 0);
	e->sessions--;
	p->sessions--;
	judge(e, now_ms, limits, how, why);
	e->used_ms = now_ms;
	if (e->sessions == 0)
		sp_list_push_back(&p->idle, &e->idle);
	pthread_mutex_unlock(&p->lock);
}

/* --- what is known --- */

static bool lately(uint64_t wanted_ms, uint64_t now_ms)
{
	return wanted_ms > 0 && now_ms - wanted_ms < WANTED_MS;
}

bool pace_wanted(struct pace *p, const struct sp_addr *addr, uint64_t now_ms)
{
	pthread_mutex_lock(&p->lock);
	const struct entry *e = find(p, addr);
	bool wanted = lately(p->wanted_ms, now_ms) || (e && lately(e->wanted_ms, now_ms));
	pthread_mutex_unlock(&p->lock);
	return wanted;
}

static uint64_t left_ms(uint64_t until_ms, uint64_t now_ms)
{
	return until_ms > now_ms ? until_ms - now_ms : 0;
}

bool pace_look(struct pace *p, const struct sp_addr *addr, uint64_t now_ms, struct pace_view *out)
{
	pthread_mutex_lock(&p->lock);
	const struct entry *e = find(p, addr);
	if (e) {
		*out = (struct pace_view){ .sessions = e->sessions, .window = e->window, .dead_ms = left_ms(e->dead_until_ms, now_ms),
		                           .paused_ms = left_ms(e->paused_until_ms, now_ms) };
		snprintf(out->how, sizeof(out->how), "%s", e->how);
	}
	pthread_mutex_unlock(&p->lock);
	return e != NULL;
}

struct counting { uint64_t now_ms, dead; };

static void count_one(struct sp_map_node *n, void *arg)
{
	struct counting *c = arg;
	c->dead += sp_container_of(n, struct entry, node)->dead_until_ms > c->now_ms;
}

void pace_counts(struct pace *p, uint64_t now_ms, struct pace_counts *out)
{
	struct counting c = { .now_ms = now_ms };
	pthread_mutex_lock(&p->lock);
	sp_map_each(&p->map, count_one, &c);
	*out = (struct pace_counts){ .sessions = p->sessions, .addresses = p->map.count, .dead = c.dead };
	pthread_mutex_unlock(&p->lock);
}
