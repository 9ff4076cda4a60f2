/* relay/cmd_run.c - strictpost run: brings the relay up, keeps it, takes it down.
 *
 *   configuration -> spool -> shards (listeners open) -> scheduler -> READY
 *   SIGHUP: the configuration again, and every 10 s the files that it names where they changed; a bad one changes nothing.    SIGTERM, SIGINT: stop; once more: at once */
#include "relay/cmd.h"
#include "relay/cmd_options.h"

#include "core/clock.h"
#include "core/dns.h"
#include "relay/admin.h"
#include "relay/alarm.h"
#include "relay/api_areas.h"
#include "relay/holds.h"
#include "relay/login.h"
#include "relay/dnssec.h"
#include "relay/drain.h"
#include "relay/metrics.h"
#include "relay/notify.h"
#include "relay/reporter.h"
#include "relay/reread.h"
#include "relay/scheduler.h"
#include "relay/shard.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define PROBLEMS_MAX 262144
#define DESCRIPTORS_BESIDE 2048         /* deliveries, files, the database */
#define GRACE_MS 30000                  /* for deliveries in flight at SIGTERM */

struct run {
	const char *path;
	struct config *config;                  /* one ref */
	struct core_loop *loop;
	struct relay relay;
	struct reporter *reporter;
	struct api *api;
	struct admin *admin;
	struct reread *reread;
	struct dnssec *dnssec;
	struct alarm *alarm;
	struct core_signal *term, *intr, *hup;
	struct core_timer *watch;               /* for shards that have ended, while stopping */
	bool stopping, scheduler_stopped, reporter_stopped;
};

static const char help[] =
	"usage: strictpost run [--config FILE]\n\n"
	"Runs the relay in the foreground and logs to standard error. SIGHUP reads the configuration and the trusted roots again (a bad file\n"
	"changes nothing); SIGTERM stops: no new mail, deliveries in flight get 30 s; a second SIGTERM stops at once. Under systemd\n"
	"(Type=notify) it tells when it is ready. Exit 0 after a stop, 1 when it could not start, 78 for a configuration that does not hold.\n";

static struct config *load(const char *path)
{
	struct sp_buf problems;
	sp_buf_init(&problems, PROBLEMS_MAX);
	struct config *c = config_load(path, &problems);
	if (c == NULL)
		fputs(sp_buf_cstr(&problems), stderr);
	sp_buf_clear(&problems);
	return c;
}

static void log_warnings(const struct config *c)
{
	struct sp_buf text;
	sp_buf_init(&text, PROBLEMS_MAX);
	config_warnings(c, core_clock_wall_s(), &text);
	struct sp_str rest = sp_buf_str(&text), line;
	while (sp_take_line(&rest, &line))
		sp_log_text(SP_LOG_WARNING, NULL, "config", "%.*s", SP_STR_ARG(line));
	sp_buf_clear(&text);
}

/* --- stopping --- */

static void close_loop(struct run *r)
{
	core_signal_close(r->term);
	core_signal_close(r->intr);
	core_signal_close(r->hup);
	core_timer_close(r->watch);
	admin_free(r->admin);
	reread_free(r->reread);
	dnssec_free(r->dnssec);
	alarm_free(r->alarm);
	api_free(r->api);
	drain_free(r->relay.drain);
	reporter_free(r->reporter);
	core_mailbox_close(r->relay.main_mailbox);
}

/* Looks in now and then whether the last shard is done, and the last question answered. */
static void on_watch(void *owner)
{
	struct run *r = owner;
	bool done = r->scheduler_stopped && r->reporter_stopped && atomic_load(&r->relay.running) == 0;
	if (done)
		admin_stop(r->admin);
	if (!done || api_busy(r->api) || drain_busy(r->relay.drain) || alarm_busy(r->alarm)) {
		core_timer_start(r->watch, 20);
		return;
	}
	for (unsigned i = 0; i < r->relay.shard_count; i++)
		shard_end(r->relay.shards[i]);
	close_loop(r);
}

static void on_scheduler_stopped(void *owner)
{
	struct run *r = owner;
	r->relay.scheduler = NULL;
	r->scheduler_stopped = true;
}

static void on_reporter_stopped(void *owner)
{
	struct run *r = owner;
	r->reporter_stopped = true;
}

static void stop(struct run *r, uint64_t grace_ms)
{
	for (unsigned i = 0; i < r->relay.shard_count; i++)
		shard_stop(r->relay.shards[i], grace_ms);
}

static void begin_stop(struct run *r)
{
	r->stopping = true;
	atomic_store(&r->relay.stopping, true);
	alarm_stop(r->alarm);
	notify_manager("STOPPING=1");
	stop(r, GRACE_MS);
	scheduler_stop(r->relay.scheduler, on_scheduler_stopped, r);
	reporter_stop(r->reporter, on_reporter_stopped, r);
	core_timer_start(r->watch, 20);
}

static void on_stop_signal(void *owner, int signo)
{
	struct run *r = owner;
	sp_log_text(SP_LOG_INFO, NULL, "stop", "%s: %s", strsignal(signo), r->stopping ? "at once" : "deliveries in flight may end");
	if (r->stopping)
		stop(r, 0);
	else
		begin_stop(r);
}

static void on_empty(void *owner)
{
	begin_stop(owner);
}

/* --- reload --- */

static bool needs_restart(const struct config *now, const struct config *then)
{
	return strcmp(now->state_dir, then->state_dir) != 0 || now->shards != then->shards ||
	       strcmp(now->resolver.servers, then->resolver.servers) != 0 || now->resolver.timeout_ms != then->resolver.timeout_ms ||
	       now->resolver.trust_ad != then->resolver.trust_ad;
}

/* The shards share each address; nobody else shall. `old` has what is ours already. */
static int probe_listeners(const struct config *c, const struct config *old, struct sp_fail *why)
{
	for (size_t i = 0; i < c->listen.count; i++) {
		const struct sp_addr *at = &c->listen.items[i].address;
		bool ours = false;
		for (size_t j = 0; old && j < old->listen.count; j++)
			ours |= sp_addr_eq(at, &old->listen.items[j].address);
		if (!ours && core_listener_probe(at, why) != 0)
			return -1;
	}
	return 0;
}

static void count_reload(struct run *r, bool good)
{
	r->relay.config_good = good;
	metrics_add(metrics_of_main(r->relay.metrics), METRIC_RELOADS, good ? METRICS_SUCCESS : METRICS_FAILURE, 1);
}

/* Takes over the ref on `c`. */
static void put_in_force(struct run *r, struct config *c)
{
	r->relay.config_at_s = core_clock_wall_s();
	count_reload(r, true);
	if (needs_restart(r->config, c))
		sp_log_text(SP_LOG_WARNING, NULL, "reload", "state_dir, shards and resolver change at the next start only");
	config_unref(r->config);
	r->config = c;
	sp_log_setup((enum sp_log_format)c->log.format, (enum sp_log_level)c->log.level);
	for (unsigned i = 0; i < r->relay.shard_count; i++)
		shard_reload(r->relay.shards[i], c);
	scheduler_reload(r->relay.scheduler, c);
	reporter_reload(r->reporter, c);
	api_reload(r->api, c);
	admin_reload(r->admin);
	dnssec_reload(r->dnssec, c);
	alarm_reload(r->alarm, c);
	reread_config(r->reread, c);
	log_warnings(c);
}

static void on_hup(void *owner, int signo)
{
	(void)signo;
	struct run *r = owner;
	if (r->stopping)
		return;
	notify_manager("RELOADING=1");
	struct config *c = load(r->path);
	struct sp_fail why;
	if (c && probe_listeners(c, r->config, &why) != 0) {
		count_reload(r, false);
		sp_log_text(SP_LOG_ERROR, NULL, "reload", "%s; the running configuration stays", why.text);
		config_unref(c);
	} else if (c == NULL) {
		count_reload(r, false);
		sp_log_text(SP_LOG_ERROR, NULL, "reload", "%s has problems (above), the running configuration stays", r->path);
	} else {
		put_in_force(r, c);
		sp_log_text(SP_LOG_INFO, NULL, "reload", "%s is in force", r->path);
	}
	notify_manager("READY=1");
}

static void on_reread(void *owner, struct config *c)
{
	struct run *r = owner;
	if (r->stopping) {
		config_unref(c);
		return;
	}
	put_in_force(r, c);
	sp_log_text(SP_LOG_INFO, NULL, "reread", "files that %s names have changed, and are in force", r->path);
}

/* --- starting --- */

/* A session is a descriptor, and limits.connections is more than the 1024 that a process gets by custom. */
static void raise_descriptors(const struct config *c)
{
	struct rlimit l;
	if (getrlimit(RLIMIT_NOFILE, &l) != 0)
		return;
	l.rlim_cur = l.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &l) != 0 || l.rlim_cur < (rlim_t)c->limits.connections + DESCRIPTORS_BESIDE)
		sp_log_text(SP_LOG_WARNING, NULL, "limits", "%llu descriptors are too few for limits.connections: %lld; raise LimitNOFILE= or ulimit -Hn",
		            (unsigned long long)l.rlim_cur, (long long)c->limits.connections);
}

static void free_shards(struct run *r, unsigned made)
{
	for (unsigned i = 0; i < made; i++)
		shard_join(r->relay.shards[i]);
	free(r->relay.shards);
}

static unsigned shard_count(const struct config *c)
{
	return c->shards ? (unsigned)c->shards : core_cpu_count();
}

static int open_shards(struct run *r, struct sp_fail *why)
{
	if (probe_listeners(r->config, NULL, why) != 0)
		return -1;
	unsigned count = shard_count(r->config);
	r->relay.shards = sp_alloc_array(count, sizeof(*r->relay.shards));
	for (unsigned i = 0; i < count; i++) {
		r->relay.shards[i] = shard_start(&r->relay, i, r->config, why);
		if (r->relay.shards[i] == NULL) {
			for (unsigned j = 0; j < i; j++)
				shard_discard(r->relay.shards[j]);
			free(r->relay.shards);
			return -1;
		}
	}
	r->relay.shard_count = count;
	r->relay.trust_ad = r->config->resolver.trust_ad == CONFIG_TRUST_YES ||
	                    (r->config->resolver.trust_ad == CONFIG_TRUST_AUTO && core_dns_servers_local(r->relay.shards[0]->dns));
	atomic_store(&r->relay.running, count);
	for (unsigned i = 0; i < count; i++)
		shard_run(r->relay.shards[i]);
	return 0;
}

static void give_report(void *owner, const char *destination, struct queue_job *job)
{
	struct run *r = owner;
	shard_give(&r->relay, destination, job);
}

static int open_reporter(struct run *r, struct sp_fail *why)
{
	struct reporter_world world = { .loop = r->loop, .mailbox = r->relay.main_mailbox, .store = r->relay.store,
	                                .metrics = metrics_of_main(r->relay.metrics), .give = give_report, .owner = r };
	r->reporter = reporter_new(&world, r->config);
	return reporter_open(r->reporter, why) ? 0 : -1;
}

static void open_api(struct run *r)
{
	struct api_world world = { .loop = r->loop, .mailbox = r->relay.main_mailbox, .store = r->relay.store, .reporter = r->reporter,
	                           .relay = &r->relay, .config = r->config };
	r->api = api_areas_new(&world);
	r->admin = admin_start(r->api, r->loop);
}

static void log_ready(const struct run *r)
{
	struct sp_log l;
	struct sp_buf at;
	char text[SP_ADDR_TEXT];
	sp_buf_init(&at, 4096);
	for (size_t i = 0; i < r->config->listen.count; i++)
		sp_buf_printf(&at, "%s%s", i ? " " : "", sp_addr_str(&r->config->listen.items[i].address, text));
	sp_log_begin(&l, SP_LOG_INFO, NULL, "ready");
	sp_log_cstr(&l, "version", STRICTPOST_VERSION);
	sp_log_cstr(&l, "hostname", r->config->hostname);
	sp_log_str(&l, "listen", sp_buf_str(&at));
	sp_log_int(&l, "shards", r->relay.shard_count);
	sp_log_cstr(&l, "state_dir", r->config->state_dir);
	sp_log_end(&l);
	sp_buf_clear(&at);
}

static void log_end(const struct metrics *m)
{
	uint64_t bounced = metrics_sum(m, METRIC_RECIPIENTS, METRICS_BOUNCED) + metrics_sum(m, METRIC_RECIPIENTS, METRICS_EXPIRED);
	sp_log_text(SP_LOG_INFO, NULL, "end", "accepted %" PRIu64 ", delivered %" PRIu64 ", deferred %" PRIu64 ", bounced %" PRIu64,
	            metrics_sum(m, METRIC_ACCEPTED, 0), metrics_sum(m, METRIC_RECIPIENTS, METRICS_DELIVERED),
	            metrics_sum(m, METRIC_RECIPIENTS, METRICS_DEFERRED), bounced);
}

static void free_world(struct run *r)
{
	core_loop_free(r->loop);
	clients_free(r->relay.clients);
	logins_free(r->relay.logins);
	pace_free(r->relay.pace);
	rates_free(r->relay.rates);
	holds_unref(r->relay.holds);
	queue_store_close(r->relay.store);
	metrics_free(r->relay.metrics);
}

static int serve(struct run *r)
{
	struct sp_fail why;
	r->relay.store = relay_open_store(r->config->state_dir, &why);
	if (r->relay.store == NULL) {
		fprintf(stderr, "strictpost: the spool in %s cannot be used: %s\n", r->config->state_dir, why.text);
		return RELAY_EXIT_FAILED;
	}
	r->loop = core_loop_new();
	r->relay.metrics = metrics_new(shard_count(r->config));
	r->relay.started_s = r->relay.config_at_s = core_clock_wall_s();
	r->relay.config_good = true;
	r->relay.clients = clients_new();
	r->relay.logins = logins_new();
	r->relay.pace = pace_new();
	r->relay.rates = rates_new();
	r->relay.main_mailbox = core_mailbox_open(r->loop);
	if (holds_load(&r->relay, r->loop, &why) != 0) {
		fprintf(stderr, "strictpost: what is to be held cannot be read from the spool in %s: %s\n", r->config->state_dir, why.text);
		core_mailbox_close(r->relay.main_mailbox);
		core_loop_run(r->loop);
		free_world(r);
		return RELAY_EXIT_FAILED;
	}
	r->watch = core_timer_new(r->loop, on_watch, r);
	r->term = core_signal_open(r->loop, SIGTERM, on_stop_signal, r);
	r->intr = core_signal_open(r->loop, SIGINT, on_stop_signal, r);
	r->hup = core_signal_open(r->loop, SIGHUP, on_hup, r);
	int status = RELAY_EXIT_OK;
	if (open_reporter(r, &why) != 0 || open_shards(r, &why) != 0) {
		fprintf(stderr, "strictpost: %s\n", why.text);
		status = RELAY_EXIT_FAILED;
		close_loop(r);
		core_loop_run(r->loop);
	} else {
		r->relay.scheduler = scheduler_start(&r->relay, r->loop, r->config);
		r->reread = reread_start(r->loop, r->config, on_reread, r);
		r->dnssec = dnssec_start(&r->relay, r->loop, r->config);
		r->relay.drain = drain_new(&r->relay, r->loop, on_empty, r);
		r->alarm = alarm_start(&r->relay, r->loop, r->config);
		open_api(r);
		reporter_begin(r->reporter);
		log_ready(r);
		notify_manager("READY=1");
		core_loop_run(r->loop);
		free_shards(r, r->relay.shard_count);
	}
	log_end(r->relay.metrics);
	free_world(r);
	return status;
}

int cmd_run(int argc, char **argv)
{
	struct cmd_options o;
	int status;
	if (!cmd_options(argc, argv, help, false, &o, &status))
		return status;
	if (!cmd_arguments(argc, argv, 0, 0, &status))
		return status;
	struct run r = { .path = o.config };
	r.config = load(r.path);
	if (r.config == NULL)
		return RELAY_EXIT_CONFIG;
	sp_log_setup((enum sp_log_format)r.config->log.format, (enum sp_log_level)r.config->log.level);
	log_warnings(r.config);
	raise_descriptors(r.config);
	status = serve(&r);
	config_unref(r.config);
	return status;
}
