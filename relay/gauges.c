/* relay/gauges.c - see gauges.h. */
#include "relay/gauges.h"

#include "core/clock.h"
#include "core/process.h"
#include "core/tls.h"
#include "relay/dnssec.h"
#include "relay/metrics.h"
#include "relay/shard.h"

static void gauge(struct sp_buf *out, const char *name, const char *help, double value)
{
	core_metric_head(out, name, "gauge", help);
	core_metric_number(out, name, NULL, 0, value);
}

static void gauge_by(struct sp_buf *out, const char *name, const char *label, const char *word, double value)
{
	struct core_metric_label l = { label, word };
	core_metric_number(out, name, &l, 1, value);
}

/* ---- what the store was asked ---- */

static double age_s(int64_t since_ms)
{
	int64_t now_ms = core_clock_wall_ms();
	return since_ms > 0 && since_ms < now_ms ? (double)(now_ms - since_ms) / 1000 : 0;
}

static void write_queue(const struct queue_gauges *q, struct sp_buf *out)
{
	gauge(out, "strictpost_queue_messages", "Messages in the spool.", (double)q->messages);
	gauge(out, "strictpost_queue_recipients", "Recipients in the spool, held and quarantined ones too.", (double)q->recipients);
	gauge(out, "strictpost_queue_held_recipients", "Recipients that are held; counted up to 100000.", (double)q->held);
	gauge(out, "strictpost_queue_quarantined_recipients", "Recipients that cannot be read, or whose message was in hand in three crashes; counted up to 100000.", (double)q->quarantined);
	gauge(out, "strictpost_queue_waiting_destinations", "Destinations that wait for their next attempt.", (double)q->waiting_destinations);
	gauge(out, "strictpost_queue_oldest_seconds", "Age of the oldest message in the spool, held ones too; 0: it is empty.", age_s(q->oldest_ms));
	gauge(out, "strictpost_queue_oldest_waiting_seconds", "How long the oldest message waits that is not held, by its sender neither, or quarantined; 0: there is none.", age_s(q->oldest_waiting_ms));
}

static void write_worst(const struct worst *w, struct sp_buf *out)
{
	static const char name[] = "strictpost_destination_waiting_recipients";
	core_metric_head(out, name, "gauge", "The destinations with the most recipients in the spool, ten at most; as of the last look at all of it.");
	for (size_t i = 0; i < w->count; i++)
		gauge_by(out, name, "destination", w->rows[i].name, (double)w->rows[i].recipients);
}

static void write_policies(const struct sts_cache_counts *p, struct sp_buf *out)
{
	static const char name[] = "strictpost_policies";
	core_metric_head(out, name, "gauge", "MTA-STS policies in the cache.");
	for (unsigned mode = 0; mode <= STS_MODE_ENFORCE; mode++) {
		for (unsigned expired = 0; expired < 2; expired++) {
			struct core_metric_label labels[] = { { "mode", sts_mode_str((enum sts_mode)mode) }, { "state", expired ? "expired" : "valid" } };
			core_metric_count(out, name, labels, 2, expired ? p->expired[mode] : p->valid[mode]);
		}
	}
	gauge(out, "strictpost_policy_refresh_failing", "Valid policies (testing, enforce) whose last fetch failed: protection ends when they expire.", (double)p->failing);
	gauge(out, "strictpost_policy_unfetched_domains", "Domains that announce a policy, and never gave us one: every fetch failed.", (double)p->unfetched);
	core_metric_head(out, "strictpost_policy_lapse_seconds", "gauge",
	                 "Until the first of the policies whose refresh fails expires; without a sample when there is none.");
	if (p->lapses_s > 0)
		core_metric_number(out, "strictpost_policy_lapse_seconds", NULL, 0, (double)(p->lapses_s - core_clock_wall_s()));
}

static void write_reports(const struct rpt_outbox_counts *r, struct sp_buf *out)
{
	core_metric_head(out, "strictpost_reports", "gauge", "TLS reports that are kept, by their state; open: not sent yet, those of today too.");
	for (unsigned s = 0; s < SP_COUNT(r->states); s++)
		gauge_by(out, "strictpost_reports", "state", rpt_state_str((enum rpt_state)s), (double)r->states[s]);
	gauge(out, "strictpost_reports_due", "TLS reports that should have been tried by now.", (double)r->due);
}

/* ---- the relay ---- */

static void write_sessions(const struct relay *r, struct sp_buf *out)
{
	struct pace_counts counts;
	unsigned idle = 0, waiting = 0;
	pace_counts(r->pace, core_clock_mono_ms(), &counts);
	for (unsigned i = 0; i < r->shard_count; i++) {
		idle += atomic_load_explicit(&r->shards[i]->idle_sessions, memory_order_relaxed);
		waiting += atomic_load_explicit(&r->shards[i]->waiting_sessions, memory_order_relaxed);
	}
	gauge(out, "strictpost_client_sessions", "Sessions of clients now.", atomic_load(&r->connections));
	core_metric_head(out, "strictpost_outbound_sessions", "gauge", "Outbound sessions now: busy; idle, kept open for more mail; waiting for room at their address (pacing).");
	gauge_by(out, "strictpost_outbound_sessions", "state", "busy", counts.sessions > idle ? (double)(counts.sessions - idle) : 0);
	gauge_by(out, "strictpost_outbound_sessions", "state", "idle", idle);
	gauge_by(out, "strictpost_outbound_sessions", "state", "waiting", waiting);
	gauge(out, "strictpost_outbound_addresses", "Addresses of next hops that are remembered.", (double)counts.addresses);
	gauge(out, "strictpost_outbound_dead_addresses", "Addresses that did not answer lately, and are left alone for a while.", (double)counts.dead);
	gauge(out, "strictpost_policy_fetches_running", "Fetches of MTA-STS policies under way.", atomic_load(&r->fetches) + atomic_load(&r->slow_fetches));
}

static void write_dns(const struct relay *r, struct sp_buf *out)
{
	static const struct { enum core_dns_type type; const char *word; } types[] = {
		{ CORE_DNS_A, "A" }, { CORE_DNS_AAAA, "AAAA" }, { CORE_DNS_MX, "MX" }, { CORE_DNS_TXT, "TXT" }, { CORE_DNS_TLSA, "TLSA" }, { CORE_DNS_CNAME, "CNAME" },
	};
	static const char *const states[] = { [DNSSEC_UNKNOWN] = "unknown", [DNSSEC_VALIDATING] = "validating", [DNSSEC_NOT_VALIDATING] = "not-validating",
	                                      [DNSSEC_UNTRUSTED] = "untrusted" };
	core_metric_head(out, "strictpost_dns_seconds", "histogram", "Look-ups, from the first question to the answer or the end of all tries.");
	for (size_t i = 0; i < SP_COUNT(types); i++) {
		struct core_histogram_sum sum = { 0 };
		struct core_metric_label label = { "type", types[i].word };
		for (unsigned j = 0; j < r->shard_count; j++)
			core_dns_times(r->shards[j]->dns, types[i].type, &sum);
		core_metric_histogram(out, "strictpost_dns_seconds", &label, 1, CORE_HISTOGRAM_LATENCY, &sum);
	}
	core_metric_head(out, "strictpost_dnssec_state", "gauge", "1 for what the probe of the resolver found: DANE is in force where it is validating.");
	for (unsigned i = 0; i < SP_COUNT(states); i++)
		gauge_by(out, "strictpost_dnssec_state", "state", states[i], dnssec_state(r) == (enum dnssec_state)i);
}

static void write_store(const struct relay *r, struct sp_buf *out)
{
	struct queue_store_stats stats;
	struct queue_store_room room;
	queue_store_stats(r->store, &stats);
	queue_store_room(r->store, &room);
	core_metric_head(out, "strictpost_store_operations_total", "counter", "Operations of the store.");
	core_metric_count(out, "strictpost_store_operations_total", NULL, 0, stats.ops);
	core_metric_head(out, "strictpost_commit_seconds", "histogram", "Batches of the store, to the end of their commit: one sync, or none where nothing was written.");
	core_metric_histogram(out, "strictpost_commit_seconds", NULL, 0, CORE_HISTOGRAM_SHORT, &stats.times);
	core_metric_head(out, "strictpost_commit_batch_size", "histogram", "Operations in a batch.");
	core_metric_histogram(out, "strictpost_commit_batch_size", NULL, 0, CORE_HISTOGRAM_COUNT, &stats.sizes);
	gauge(out, "strictpost_store_accepting", "1: mail is taken; 0: the disk is nearly full, or a write failed.", queue_store_accepting(r->store));
	gauge(out, "strictpost_deliveries_paused", "1: the store takes no results, so nothing new is delivered.", atomic_load(&r->unsettled) > 0);
	if (room.total > 0) {
		gauge(out, "strictpost_spool_disk_available_bytes", "Of the file system that the spool is on.", (double)room.available);
		gauge(out, "strictpost_spool_disk_size_bytes", "Of the file system that the spool is on.", (double)room.total);
	}
	gauge(out, "strictpost_spool_database_bytes", "The spool's database, without its log and without bodies in files.", (double)room.database);
	gauge(out, "strictpost_spool_log_bytes", "The write-ahead log of the spool's database.", (double)room.log);
}

/* ---- the configuration ---- */

static double overrides_in_force(const struct config *c)
{
	size_t count = 0;
	for (size_t i = 0; i < c->domains.count; i++)
		count += c->domains.items[i].rule.override && sts_rule_in_force(&c->domains.items[i].rule, core_clock_wall_s());
	return (double)count;
}

static void write_certificates(const struct config *c, struct sp_buf *out)
{
	static const char name[] = "strictpost_listener_certificate_expiry_timestamp_seconds";
	char text[SP_ADDR_TEXT];
	core_metric_head(out, name, "gauge", "When the certificate of a listener expires, Unix time.");
	for (size_t i = 0; i < c->listen.count; i++)
		if (c->listen.items[i].server)
			gauge_by(out, name, "listener", sp_addr_str(&c->listen.items[i].address, text), (double)core_tls_server_expires(c->listen.items[i].server));
}

static void write_config(const struct relay *r, const struct config *c, struct sp_buf *out)
{
	gauge(out, "strictpost_overrides_in_force", "Rules with `override: yes` that lower what a domain asks for, now.", overrides_in_force(c));
	gauge(out, "strictpost_config_last_reload_successful", "1: what the file says is in force; 0: the last reload failed, and what was in force before stays.", r->config_good);
	gauge(out, "strictpost_config_last_reload_success_timestamp_seconds", "When the configuration in force was read, Unix time.", (double)r->config_at_s);
	write_certificates(c, out);
}

/* ---- the process; names as all exporters have them ---- */

static void write_process(const struct relay *r, struct sp_buf *out)
{
	static const struct core_metric_label version = { "version", STRICTPOST_VERSION };
	struct core_process p;
	core_process_look(&p);
	core_metric_head(out, "strictpost_build_info", "gauge", "1, with the version as a label.");
	core_metric_number(out, "strictpost_build_info", &version, 1, 1);
	gauge(out, "strictpost_shards", "Threads that receive and deliver.", r->shard_count);
	gauge(out, "strictpost_message_memory_bytes", "Content of messages in memory; limits.memory bounds it.", (double)sp_body_memory());
	if (p.sqlite > 0)
		gauge(out, "strictpost_sqlite_memory_bytes", "Memory that SQLite has allocated.", (double)p.sqlite);
	gauge(out, "process_start_time_seconds", "When the process was started, Unix time.", (double)r->started_s);
	core_metric_head(out, "process_cpu_seconds_total", "counter", "Processor time of all threads.");
	core_metric_number(out, "process_cpu_seconds_total", NULL, 0, p.cpu_s);
	if (p.resident > 0)
		gauge(out, "process_resident_memory_bytes", "Resident memory.", (double)p.resident);
	if (p.descriptors > 0)
		gauge(out, "process_open_fds", "Open file descriptors.", (double)p.descriptors);
	if (p.descriptors_max > 0)
		gauge(out, "process_max_fds", "File descriptors that may be open.", (double)p.descriptors_max);
}

void gauges_write(const struct relay *r, const struct config *c, const struct gauges_stored *g, const struct worst *worst, struct sp_buf *out)
{
	if (g->queue_known)
		write_queue(&g->queue, out);
	if (g->rest.known) {
		write_policies(&g->rest.policies, out);
		write_reports(&g->rest.reports, out);
		gauge(out, "strictpost_evidence_bytes", "What is kept of attempts in the spool; evidence.size bounds it.", (double)g->rest.evidence);
	}
	write_worst(worst, out);
	write_sessions(r, out);
	write_dns(r, out);
	write_store(r, out);
	write_config(r, c, out);
	write_process(r, out);
}
