/* core/dns.c - see dns.h.
 * A lookup is one (name, type) that is being asked; whoever wants the same at the same time waits with it. It asks its servers
 * by a plan: each once, the ones that were silent lately last; then once more those that stayed silent. An answer with a
 * verdict about the name ends it; a server that fails, refuses or talks nonsense is not asked again, the next one is. */
#include "core/dns.h"

#include "core/clock.h"
#include "core/dnschan.h"
#include "core/list.h"
#include "core/map.h"
#include "core/metric.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

#define DNS_PORT 53
#define SILENT_FOR_MS 30000             /* a server that did not answer goes to the end of the line for so long */
#define KEY_MAX 280                     /* type number, '/', name */

struct server {
	struct sp_addr addr;
	struct core_dnschan *chan;
	uint64_t silent_until_ms;       /* monotonic; 0: it answers */
};

static const enum core_dns_type timed[] = { CORE_DNS_A, CORE_DNS_AAAA, CORE_DNS_MX, CORE_DNS_TXT, CORE_DNS_TLSA, CORE_DNS_CNAME };
#define TIMED SP_COUNT(timed)

struct core_dns {
	struct server servers[CORE_DNS_SERVERS_MAX];
	size_t server_count;
	struct sp_map asked;            /* lookups under way, by key */
	struct sp_link finished;        /* lookups whose waiters are to be told */
	struct core_timer *deliver;     /* tells them, on a later turn */
	bool delivering, closed;
	struct core_histogram times[TIMED];     /* in the order of timed[] */
};

struct lookup {
	struct core_dns *dns;
	struct sp_map_node node;        /* in dns.asked until it has ended */
	struct sp_link link;            /* in dns.finished after that */
	struct sp_link waiters;         /* struct core_dns_query */
	char key[KEY_MAX];
	const char *name;               /* inside key */
	enum core_dns_type type;
	bool ended;
	uint64_t began_us;              /* monotonic; 0: it was not asked */
	uint8_t plan[2 * CORE_DNS_SERVERS_MAX];  /* server numbers, in the order to ask them */
	size_t plan_len, plan_at;
	unsigned told;                  /* bit set: servers that answered, and so are not asked again */
	enum core_dns_status worst;     /* what to say when no server has a verdict */
	struct core_dnschan_ask *ask;
	struct sp_arena arena;
	struct core_dns_answer answer;
};

struct core_dns_query {
	struct sp_link link;            /* in lookup.waiters */
	struct lookup *lookup;
	void (*done)(void *owner, const struct core_dns_answer *answer);
	void *owner;
};

/* ---- telling ---- */

static void free_lookup(struct lookup *k)
{
	core_dnschan_forget(k->ask);
	for (struct sp_link *l; (l = sp_list_pop(&k->waiters)) != NULL;)
		free(sp_container_of(l, struct core_dns_query, link));
	if (!k->ended)
		sp_map_remove(&k->dns->asked, &k->node);
	sp_list_remove(&k->link);
	sp_arena_clear(&k->arena);
	free(k);
}

static void free_dns(struct core_dns *d)
{
	for (struct sp_link *l; (l = sp_list_first(&d->finished)) != NULL;)
		free_lookup(sp_container_of(l, struct lookup, link));
	free(d);
}

/* A callback may cancel others of the same lookup, start new ones, and close the resolver. */
static void tell(struct lookup *k)
{
	for (struct sp_link *l; !k->dns->closed && (l = sp_list_pop(&k->waiters)) != NULL;) {
		struct core_dns_query *q = sp_container_of(l, struct core_dns_query, link);
		void (*done)(void *, const struct core_dns_answer *) = q->done;
		void *owner = q->owner;
		free(q);
		done(owner, &k->answer);
	}
}

static void on_deliver(void *owner)
{
	struct core_dns *d = owner;
	struct sp_link now;                             /* what ends from here on waits for the next turn */
	sp_list_init(&now);
	for (struct sp_link *l; (l = sp_list_pop(&d->finished)) != NULL;)
		sp_list_push_back(&now, l);
	d->delivering = true;
	for (struct sp_link *l; (l = sp_list_first(&now)) != NULL;) {
		struct lookup *k = sp_container_of(l, struct lookup, link);
		tell(k);
		free_lookup(k);
	}
	d->delivering = false;
	if (d->closed)
		free_dns(d);
}

static void take_time(const struct lookup *k)
{
	for (size_t i = 0; i < TIMED && k->began_us > 0; i++)
		if (timed[i] == k->type)
			core_histogram_add(&k->dns->times[i], CORE_HISTOGRAM_LATENCY, core_clock_mono_us() - k->began_us);
}

static void end(struct lookup *k)
{
	struct core_dns *d = k->dns;
	take_time(k);
	sp_map_remove(&d->asked, &k->node);
	k->ended = true;
	sp_list_push_back(&d->finished, &k->link);
	if (!core_timer_running(d->deliver))
		core_timer_start(d->deliver, 0);
}

static void end_with(struct lookup *k, enum core_dns_status status)
{
	sp_arena_clear(&k->arena);
	k->answer = (struct core_dns_answer){ .status = status, .name = k->name };
	end(k);
}

/* ---- asking ---- */

static void make_plan(struct lookup *k)
{
	struct core_dns *d = k->dns;
	uint64_t now = core_clock_mono_ms();
	for (int silent = 0; silent < 2; silent++)
		for (size_t i = 0; i < d->server_count; i++)
			if ((d->servers[i].silent_until_ms > now) == (silent != 0))
				k->plan[k->plan_len++] = (uint8_t)i;
	memcpy(k->plan + k->plan_len, k->plan, k->plan_len);
	k->plan_len *= 2;                               /* 2 tries each */
}

static void on_answer(void *owner, enum core_dns_status status, struct sp_str message);

static void ask_next(struct lookup *k)
{
	while (k->plan_at < k->plan_len && k->told & 1u << k->plan[k->plan_at])
		k->plan_at++;
	if (k->plan_at == k->plan_len) {
		end_with(k, k->worst);
		return;
	}
	core_dnschan_ask(k->dns->servers[k->plan[k->plan_at]].chan, k->name, k->type, on_answer, k, &k->ask);
}

/* Does this say something about the name, whichever server said it? */
static bool is_verdict(enum core_dns_status s)
{
	return s == CORE_DNS_OK || core_dns_status_lasting(s);
}

static void on_answer(void *owner, enum core_dns_status status, struct sp_str message)
{
	struct lookup *k = owner;
	unsigned number = k->plan[k->plan_at++];
	struct server *server = &k->dns->servers[number];
	if (status == CORE_DNS_TIMEOUT) {
		server->silent_until_ms = core_clock_mono_ms() + SILENT_FOR_MS;
		ask_next(k);
		return;
	}
	server->silent_until_ms = 0;
	k->told |= 1u << number;
	if (status == CORE_DNS_OK) {
		sp_arena_clear(&k->arena);
		core_dnsmsg_parse(message, k->name, k->type, &k->arena, &k->answer);
		status = k->answer.status;
		if (is_verdict(status)) {
			end(k);
			return;
		}
	}
	k->worst = status;
	ask_next(k);
}

/* The root is a name too: to see whether the resolver validates. */
static bool name_ok(struct sp_str name)
{
	return sp_str_eq(name, SP_STR(".")) || core_dns_name_ok(name);
}

static struct lookup *new_lookup(struct core_dns *d, const char *key, enum core_dns_type type, bool name_is_ok)
{
	struct lookup *k = sp_alloc(sizeof(*k));
	k->dns = d;
	snprintf(k->key, sizeof(k->key), "%s", key);
	k->name = strchr(k->key, '/') + 1;
	k->type = type;
	k->worst = CORE_DNS_TIMEOUT;
	sp_list_init(&k->waiters);
	sp_map_insert(&d->asked, &k->node, sp_str_of(k->key));
	if (name_is_ok) {
		k->began_us = core_clock_mono_us();
		make_plan(k);
		ask_next(k);
	} else {
		end_with(k, CORE_DNS_BADNAME);
	}
	return k;
}

struct core_dns_query *core_dns_lookup(struct core_dns *d, const char *name, enum core_dns_type type,
                                       void (*done)(void *owner, const struct core_dns_answer *answer), void *owner)
{
	sp_assert(!d->closed);
	char key[KEY_MAX];
	struct sp_str n = sp_str_of(name);
	if (n.len > 1 && n.p[n.len - 1] == '.')
		n.len--;
	bool ok = name_ok(n);
	snprintf(key, sizeof(key), "%u/%.*s", (unsigned)type, SP_STR_ARG(n));   /* a bad name may be cut: nobody asks it */
	sp_lower_in_place(key);
	struct sp_map_node *found = ok ? sp_map_find(&d->asked, sp_str_of(key)) : NULL;
	struct lookup *k = found ? sp_container_of(found, struct lookup, node) : new_lookup(d, key, type, ok);
	struct core_dns_query *q = sp_alloc(sizeof(*q));
	*q = (struct core_dns_query){ .lookup = k, .done = done, .owner = owner };
	sp_list_push_back(&k->waiters, &q->link);
	return q;
}

void core_dns_cancel(struct core_dns_query *q)
{
	if (q == NULL)
		return;
	struct lookup *k = q->lookup;
	sp_list_remove(&q->link);
	free(q);
	if (sp_list_empty(&k->waiters) && !k->ended)
		free_lookup(k);
}

/* ---- the resolver ---- */

static bool parse_servers(struct core_dns *d, struct sp_str text, struct sp_fail *why)
{
	while (text.len > 0) {
		struct sp_str one = sp_str_trim(sp_take_until(&text, ','));
		if (one.len == 0)
			continue;
		if (d->server_count == CORE_DNS_SERVERS_MAX) {
			sp_fail_set(why, SP_FAIL_DNS, "more than %d DNS servers", CORE_DNS_SERVERS_MAX);
			return false;
		}
		struct sp_addr *a = &d->servers[d->server_count].addr;
		bool ok = sp_addr_parse_ip(one, DNS_PORT, a) || (sp_addr_parse(one, a) && sp_addr_family(a) != AF_UNIX);
		if (!ok) {
			sp_fail_set(why, SP_FAIL_DNS, "not a DNS server's address: %.*s", SP_STR_ARG(one));
			return false;
		}
		d->server_count++;
	}
	return true;
}

static bool find_servers(struct core_dns *d, const char *servers, struct sp_fail *why)
{
	if (!parse_servers(d, sp_str_of(servers), why))
		return false;
	if (d->server_count > 0)
		return true;
	struct sp_addr found[CORE_DNS_SERVERS_MAX];
	d->server_count = core_dnschan_system_servers(found, CORE_DNS_SERVERS_MAX);
	for (size_t i = 0; i < d->server_count; i++)
		d->servers[i].addr = found[i];
	if (d->server_count == 0)
		sp_fail_set(why, SP_FAIL_DNS, "no DNS server in /etc/resolv.conf");
	return d->server_count > 0;
}

static void close_channels(struct core_dns *d)
{
	for (size_t i = 0; i < d->server_count; i++)
		core_dnschan_close(d->servers[i].chan);
}

struct core_dns *core_dns_open(struct core_loop *l, const char *servers, unsigned timeout_ms, struct sp_fail *why)
{
	struct core_dns *d = sp_alloc(sizeof(*d));
	if (!find_servers(d, servers, why)) {
		free(d);
		return NULL;
	}
	for (size_t i = 0; i < d->server_count; i++) {
		char text[SP_ADDR_TEXT];
		d->servers[i].chan = core_dnschan_open(l, &d->servers[i].addr, timeout_ms);
		if (d->servers[i].chan)
			continue;
		sp_fail_set(why, SP_FAIL_DNS, "cannot set up a channel to %s", sp_addr_str(&d->servers[i].addr, text));
		close_channels(d);
		free(d);
		return NULL;
	}
	sp_map_init(&d->asked);
	sp_list_init(&d->finished);
	d->deliver = core_timer_new(l, on_deliver, d);
	return d;
}

void core_dns_close(struct core_dns *d)
{
	if (d == NULL || d->closed)
		return;
	d->closed = true;
	for (struct sp_map_node *n; (n = sp_map_any(&d->asked)) != NULL;)
		free_lookup(sp_container_of(n, struct lookup, node));
	sp_map_clear(&d->asked);
	core_timer_close(d->deliver);
	close_channels(d);
	if (!d->delivering)                             /* else on_deliver() sees it on its way out */
		free_dns(d);
}

void core_dns_times(const struct core_dns *d, enum core_dns_type type, struct core_histogram_sum *into)
{
	for (size_t i = 0; i < TIMED; i++)
		if (timed[i] == type)
			core_histogram_sum(&d->times[i], into);
}

size_t core_dns_servers(const struct core_dns *d, struct sp_addr out[CORE_DNS_SERVERS_MAX])
{
	for (size_t i = 0; i < d->server_count; i++)
		out[i] = d->servers[i].addr;
	return d->server_count;
}

bool core_dns_servers_local(const struct core_dns *d)
{
	for (size_t i = 0; i < d->server_count; i++) {
		const struct sp_addr *a = &d->servers[i].addr;
		if (!sp_addr_is_loopback(a))
			return false;
	}
	return true;
}
