/* relay/shard.c - see shard.h. */
#include "relay/shard.h"

#include "core/clock.h"
#include "core/log.h"
#include "relay/delivery.h"
#include "relay/destination.h"
#include "relay/explain.h"
#include "relay/holds.h"
#include "relay/inbound.h"
#include "relay/policy.h"
#include "rpt/event.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#define TICK_MS 1000

struct shard_listener {
	struct sp_link link;                    /* in shard->listeners */
	struct shard *shard;
	struct core_listener *listener;
	struct sp_addr address;
	unsigned unix_mode;
};

/* --- random, names --- */

uint32_t shard_random(struct shard *s)
{
	s->random += 0x9e3779b97f4a7c15u;       /* splitmix64 */
	uint64_t z = s->random;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return (uint32_t)(z >> 32);
}

struct shard *shard_of(struct relay *r, const char *name)
{
	return r->shards[sp_hash(sp_str_of(name)) % r->shard_count];
}

/* --- listeners --- */

static const struct config_listen *listen_of(const struct shard *s, const struct sp_addr *address)
{
	for (size_t i = 0; i < s->config->listen.count; i++)
		if (sp_addr_eq(&s->config->listen.items[i].address, address))
			return &s->config->listen.items[i];
	return NULL;
}

static void on_accept(void *owner, struct core_conn *c)
{
	struct shard_listener *ln = owner;
	const struct config_listen *listen = listen_of(ln->shard, &ln->address);
	sp_assert(listen != NULL);              /* listeners that are no longer configured are closed at reload */
	inbound_start(ln->shard, listen, c);
}

static void on_accept_error(void *owner, const struct sp_fail *why)
{
	(void)owner;
	sp_log_text(SP_LOG_ERROR, NULL, "listen", "%s; connections wait until it is better", why->text);
}

static void close_listener(struct shard_listener *ln)
{
	core_listener_close(ln->listener);
	sp_list_remove(&ln->link);
	free(ln);
}

static int open_listener(struct shard *s, const struct config_listen *listen, struct sp_fail *why)
{
	static const struct core_listener_ops ops = { .on_accept = on_accept, .on_error = on_accept_error };
	struct shard_listener *ln = sp_alloc(sizeof(*ln));
	ln->shard = s;
	ln->address = listen->address;
	ln->unix_mode = listen->unix_mode;
	if (core_listener_open(s->loop, &ln->address, true, ln->unix_mode, &ops, ln, &ln->listener, why) != 0) {
		free(ln);
		return -1;
	}
	sp_list_push_back(&s->listeners, &ln->link);
	return 0;
}

static bool is_open(const struct shard *s, const struct sp_addr *address)
{
	for (struct sp_link *l = s->listeners.next; l != &s->listeners; l = l->next)
		if (sp_addr_eq(&sp_container_of(l, struct shard_listener, link)->address, address))
			return true;
	return false;
}

/* A unix socket has no SO_REUSEPORT: one shard has it. */
static bool is_ours(const struct shard *s, const struct config_listen *listen)
{
	return sp_addr_family(&listen->address) != AF_UNIX || s->index == 0;
}

/* Opens what is configured and not open; closes what is open and not configured so. */
static int match_listeners(struct shard *s, struct sp_fail *why)
{
	int status = 0;
	SP_LIST_EACH(&s->listeners, l) {
		struct shard_listener *ln = sp_container_of(l, struct shard_listener, link);
		const struct config_listen *listen = listen_of(s, &ln->address);
		if (listen == NULL || listen->unix_mode != ln->unix_mode)
			close_listener(ln);
	}
	for (size_t i = 0; i < s->config->listen.count; i++) {
		const struct config_listen *listen = &s->config->listen.items[i];
		if (is_ours(s, listen) && !is_open(s, &listen->address) && open_listener(s, listen, why) != 0)
			status = -1;
	}
	return status;
}

/* --- the end --- */

void shard_check_finished(struct shard *s)
{
	if (!s->stopping || s->finished || s->inbound_count > 0 || s->ops > 0)
		return;
	struct sp_map_node *n;
	for (size_t i = 0; i < s->destinations.slot_count; i++)
		for (n = s->destinations.slots[i]; n; n = n->next) {
			const struct destination *d = sp_container_of(n, struct destination, node);
			if (d->session_count > 0 || !sp_list_empty(&d->inflight) || d->loading)
				return;
		}
	s->finished = true;                     /* until shard_end() it still answers: others may hand it what it leaves in the store */
	atomic_fetch_sub(&s->relay->running, 1);
}

void shard_op_end(struct shard *s)
{
	sp_assert(s->ops > 0);
	s->ops--;
	shard_check_finished(s);
}

static void close_all(struct shard *s)
{
	destination_clear_all(s);
	policy_clear(s);
	core_dns_close(s->dns);
	core_tls_client_unref(s->tls);
	core_timer_close(s->tick);
	core_mailbox_close(s->mailbox);
	config_unref(s->config);
	holds_unref(s->holds);
}

static void cut_one(struct sp_map_node *n, void *arg)
{
	(void)arg;
	struct destination *d = sp_container_of(n, struct destination, node);
	SP_LIST_EACH(&d->sessions, l)
		delivery_cut(sp_container_of(l, struct delivery, link));
}

static void mind_day(struct shard *s)
{
	int64_t today = rpt_day_of(core_clock_wall_s());
	if (today != s->day)
		destination_flush_late(s, today);
	s->day = today;
}

static void start_tick(struct shard *s, uint64_t after_ms)
{
	s->tick_due_us = core_clock_mono_us() + after_ms * 1000;
	core_timer_start(s->tick, after_ms);
}

static void on_tick(void *owner)
{
	struct shard *s = owner;
	uint64_t now_us = core_clock_mono_us();
	metrics_time(s->metrics, METRIC_LAG, now_us > s->tick_due_us ? now_us - s->tick_due_us : 0);
	start_tick(s, TICK_MS);
	mind_day(s);
	destination_tick(s);
	if (!s->stopping && atomic_load(&s->relay->draining))
		inbound_drain_all(s);
	if (!s->stopping)
		return;
	bool now = core_clock_mono_ms() >= s->stop_at_ms;
	inbound_stop_all(s, now);
	if (now)
		sp_map_each(&s->destinations, cut_one, NULL);
	shard_check_finished(s);
}

/* --- mails --- */

struct shard_mail {
	struct core_mail mail;
	struct shard *shard;
	char *name;
	struct queue_job *job;
	struct queue_wait wait;
	char *text;
	uint64_t grace_ms;
	struct config *config;
};

static void post(struct shard *s, void (*run)(struct core_mail *m), struct shard_mail *m)
{
	m->shard = s;
	m->mail.run = run;
	core_mailbox_post(s->mailbox, &m->mail);
}

static struct shard_mail *new_mail(const char *name)
{
	struct shard_mail *m = sp_alloc(sizeof(*m));
	m->name = sp_strdup(name);
	return m;
}

static void free_mail(struct shard_mail *m)
{
	free(m->name);
	free(m->text);
	free(m);
}

static void run_give(struct core_mail *mail)
{
	struct shard_mail *m = sp_container_of(mail, struct shard_mail, mail);
	destination_give(m->shard, m->name, m->job);
	free_mail(m);
}

void shard_give(struct relay *r, const char *destination, struct queue_job *job)
{
	struct shard_mail *m = new_mail(destination);
	m->job = job;
	post(shard_of(r, destination), run_give, m);
}

static void run_wake(struct core_mail *mail)
{
	struct shard_mail *m = sp_container_of(mail, struct shard_mail, mail);
	if (!m->shard->stopping)                /* else its row stays taken, and is due at the next start */
		destination_wake(m->shard, m->name, m->wait.failures, m->wait.since_ms);
	free_mail(m);
}

void shard_wake(struct relay *r, const char *destination, unsigned failures, int64_t since_ms)
{
	struct shard_mail *m = new_mail(destination);
	m->wait.failures = failures;
	m->wait.since_ms = since_ms;
	post(shard_of(r, destination), run_wake, m);
}

static void run_overdue(struct core_mail *mail)
{
	struct shard_mail *m = sp_container_of(mail, struct shard_mail, mail);
	if (m->shard->stopping)
		queue_job_free(m->job);
	else
		destination_overdue(m->shard, m->name, m->job);
	free_mail(m);
}

void shard_overdue(struct relay *r, const char *destination, struct queue_job *job)
{
	struct shard_mail *m = new_mail(destination);
	m->job = job;
	post(shard_of(r, destination), run_overdue, m);
}

static void run_refresh(struct core_mail *mail)
{
	struct shard_mail *m = sp_container_of(mail, struct shard_mail, mail);
	if (!m->shard->stopping && m->shard->config->sts.enabled)
		policy_refresh(m->shard, m->name);
	free_mail(m);
}

void shard_refresh(struct relay *r, const char *domain)
{
	post(shard_of(r, domain), run_refresh, new_mail(domain));
}

static void run_retry(struct core_mail *mail)
{
	struct shard_mail *m = sp_container_of(mail, struct shard_mail, mail);
	destination_retry(m->shard, m->name);
	free_mail(m);
}

void shard_retry(struct relay *r, const char *destination)
{
	post(shard_of(r, destination), run_retry, new_mail(destination));
}

static void run_hold(struct core_mail *mail)
{
	struct shard_mail *m = sp_container_of(mail, struct shard_mail, mail);
	destination_hold(m->shard, m->name, &m->wait);
	free_mail(m);
}

void shard_hold(struct relay *r, const char *destination, const struct queue_wait *wait)
{
	struct shard_mail *m = new_mail(destination);
	m->wait = *wait;
	m->wait.text = m->text = sp_strdup(wait->text ? wait->text : "");
	post(shard_of(r, destination), run_hold, m);
}

static void run_stop(struct core_mail *mail)
{
	struct shard_mail *m = sp_container_of(mail, struct shard_mail, mail);
	struct shard *s = m->shard;
	s->stop_at_ms = core_clock_mono_ms() + m->grace_ms;
	s->stopping = true;
	free_mail(m);
	SP_LIST_EACH(&s->listeners, l)
		close_listener(sp_container_of(l, struct shard_listener, link));
	inbound_stop_all(s, false);
	destination_stop_all(s);
	explain_stop_all(s);
	policy_clear(s);                        /* nobody asks any more; what a fetch would store must not come after the end */
	start_tick(s, s->stop_at_ms <= core_clock_mono_ms() ? 0 : TICK_MS / 4);
	shard_check_finished(s);
}

void shard_stop(struct shard *s, uint64_t grace_ms)
{
	struct shard_mail *m = new_mail("");
	m->grace_ms = grace_ms;
	post(s, run_stop, m);
}

static void run_end(struct core_mail *mail)
{
	struct shard_mail *m = sp_container_of(mail, struct shard_mail, mail);
	struct shard *s = m->shard;
	free_mail(m);
	close_all(s);
}

void shard_end(struct shard *s)
{
	post(s, run_end, new_mail(""));
}

/* What the configuration names outside of itself: roots and resolvers. On failure the old ones stay. */
static void renew_clients(struct shard *s, struct config *config)
{
	struct sp_fail why;
	struct core_tls_client *tls = core_tls_client_new(config->tls.ca_file, &why);
	if (tls == NULL) {
		sp_log_text(SP_LOG_ERROR, NULL, "reload", "the trusted roots stay as they were: %s", why.text);
		return;
	}
	core_tls_client_unref(s->tls);
	s->tls = tls;
}

static void run_reload(struct core_mail *mail)
{
	struct shard_mail *m = sp_container_of(mail, struct shard_mail, mail);
	struct shard *s = m->shard;
	struct sp_fail why;
	if (s->stopping) {
		config_unref(m->config);
		free_mail(m);
		return;
	}
	renew_clients(s, m->config);
	config_unref(s->config);
	s->config = m->config;
	free_mail(m);
	destination_reload_all(s);
	if (match_listeners(s, &why) != 0)
		sp_log_text(SP_LOG_ERROR, NULL, "reload", "%s", why.text);
}

void shard_reload(struct shard *s, struct config *config)
{
	struct shard_mail *m = new_mail("");
	m->config = config_ref(config);
	post(s, run_reload, m);
}

/* --- start --- */

static void run_shard(void *arg)
{
	struct shard *s = arg;
	core_loop_run(s->loop);
}

static int open_clients(struct shard *s, struct sp_fail *why)
{
	const struct config *c = s->config;
	s->tls = core_tls_client_new(c->tls.ca_file, why);
	if (s->tls == NULL)
		return -1;
	s->dns = core_dns_open(s->loop, c->resolver.servers, (unsigned)c->resolver.timeout_ms, why);
	return s->dns ? 0 : -1;
}

void shard_discard(struct shard *s)
{
	SP_LIST_EACH(&s->listeners, l)
		close_listener(sp_container_of(l, struct shard_listener, link));
	if (s->dns)
		core_dns_close(s->dns);
	if (s->tls)
		core_tls_client_unref(s->tls);
	core_timer_close(s->tick);
	core_mailbox_close(s->mailbox);
	config_unref(s->config);
	holds_unref(s->holds);
	core_loop_run(s->loop);
	core_loop_free(s->loop);
	free(s);
}

static struct shard *make(struct relay *r, unsigned index, struct config *config)
{
	struct shard *s = sp_alloc(sizeof(*s));
	s->relay = r;
	s->index = index;
	s->metrics = metrics_of_shard(r->metrics, index);
	s->config = config_ref(config);
	s->holds = holds_ref(r->holds);
	if (getrandom(&s->random, sizeof(s->random), GRND_NONBLOCK) != (ssize_t)sizeof(s->random))
		s->random = core_clock_mono_ms() + index;
	s->loop = core_loop_new();
	s->mailbox = core_mailbox_open(s->loop);
	s->tick = core_timer_new(s->loop, on_tick, s);
	sp_list_init(&s->listeners);
	sp_list_init(&s->inbounds);
	sp_list_init(&s->idle_destinations);
	sp_list_init(&s->policy_lru);
	sp_list_init(&s->questions);
	sp_map_init(&s->destinations);
	sp_map_init(&s->policies);
	return s;
}

struct shard *shard_start(struct relay *r, unsigned index, struct config *config, struct sp_fail *why)
{
	struct shard *s = make(r, index, config);
	if (open_clients(s, why) != 0 || match_listeners(s, why) != 0) {
		shard_discard(s);
		return NULL;
	}
	start_tick(s, TICK_MS);
	return s;
}

struct shard *shard_open_bare(struct relay *r, struct config *config, struct sp_fail *why)
{
	struct shard *s = make(r, 0, config);
	if (open_clients(s, why) == 0)
		return s;
	shard_discard(s);
	return NULL;
}

void shard_close_bare(struct shard *s)
{
	close_all(s);
	core_loop_run(s->loop);
	core_loop_free(s->loop);
	free(s);
}

void shard_run(struct shard *s)
{
	char name[16];
	snprintf(name, sizeof(name), "shard-%u", s->index);
	s->thread = core_thread_start(name, run_shard, s);
}

void shard_join(struct shard *s)
{
	if (s->thread)
		core_thread_join(s->thread);
	core_loop_free(s->loop);
	free(s);
}
