/* relay/settle_log.c - see settle_log.h. */
#include "relay/settle_log.h"

#include "core/clock.h"
#include "core/log.h"

void settle_count(const struct destination *d, const struct queue_job *job, const struct outcome_recipient *o)
{
	static const enum metrics_outcome words[] = { [OUTCOME_DELIVERED] = METRICS_DELIVERED, [OUTCOME_DEFER] = METRICS_DEFERRED,
	                                              [OUTCOME_BOUNCE] = METRICS_BOUNCED };
	struct metrics_block *b = d->shard->metrics;
	metrics_add(b, METRIC_RECIPIENTS, o->expired ? METRICS_EXPIRED : words[o->outcome], 1);
	int64_t took_ms = core_clock_wall_ms() - job->message->arrived_ms;
	if (o->outcome == OUTCOME_DELIVERED)
		metrics_time_ms(b, METRIC_DELIVERY, took_ms > 0 ? (uint64_t)took_ms : 0);
}

void settle_log(const struct destination *d, const struct queue_job *job, size_t i, const struct outcome_recipient *o, const struct settle_facts *f)
{
	const struct queue_message *m = job->message;
	char text[SP_ADDR_TEXT];
	struct sp_log l;
	sp_log_begin(&l, SP_LOG_INFO, m->name, "delivery");
	sp_log_cstr(&l, "from", *m->sender ? m->sender : "<>");
	sp_log_cstr(&l, "to", job->recipients[i].address);
	sp_log_cstr(&l, "destination", d->name);
	sp_log_cstr(&l, "mx", f->mx);
	sp_log_cstr(&l, "ip", f->addr ? sp_addr_ip_str(f->addr, text) : NULL);
	sp_log_cstr(&l, "policy", f->policy);
	sp_log_cstr(&l, "tls", f->tls);
	sp_log_cstr(&l, "cipher", f->cipher);
	sp_log_cstr(&l, "cert", f->cert);
	sp_log_cstr(&l, "result", outcome_str(o->outcome));
	if (sp_failed(&o->fail)) {
		sp_log_cstr(&l, "fault", o->fail.result ? sp_result_str(o->fail.result) : sp_fail_kind_str(o->fail.kind));
		sp_log_cstr(&l, "reason", o->fail.reason);
		sp_log_cstr(&l, "status", o->fail.esc);
		sp_log_cstr(&l, "why", o->fail.text);
	}
	sp_log_cstr(&l, "reply", f->reply);
	if (o->outcome == OUTCOME_DEFER && o->next_at_ms)
		sp_log_int(&l, "retry_in_ms", o->next_at_ms - core_clock_wall_ms());
	sp_log_int(&l, "size", (int64_t)m->size);
	if (!f->waited) {
		sp_log_int(&l, "delay_queue_ms", f->queue_ms);
		sp_log_int(&l, "delay_connect_ms", f->connect_ms);
		sp_log_int(&l, "delay_tls_ms", f->tls_ms);
		sp_log_int(&l, "delay_transfer_ms", f->transfer_ms);
	}
	sp_log_end(&l);
}
