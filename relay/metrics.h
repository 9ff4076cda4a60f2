/* relay/metrics.h - what a relay counts while it works, for /metrics, /status and the alarms: the table of all counters and histograms. What it merely has
 * (queue, sessions now, policies) is looked at when somebody asks (relay/api_metrics.c).
 * Each shard and the main thread count in a block of their own; sums are taken at scrape. Labels are words of ours: no domain, host or address is one. */
#ifndef RELAY_METRICS_H
#define RELAY_METRICS_H

#include "core/fail.h"
#include "core/metric.h"

/* ---- labels ---- */

/* Which of the words an event is. NOTHING: no label. */
#define METRICS_WORDS(X) /* id, label, words */ \
	X(NOTHING,  NULL,         NULL) \
	X(CLASS,    "class",      "temporary", "permanent")                         /* 4yz, 5yz */ \
	X(OUTCOME,  "outcome",    "delivered", "deferred", "bounced", "expired")    /* deferred: each time; the others end a recipient */ \
	X(SUCCESS,  "result",     "success", "failure") \
	X(POLICY,   "policy",     "none", "sts/none", "sts/testing", "sts/enforce", "tlsa", "rule", "requiretls")   /* what demanded it */ \
	X(REPORTED, "policy",     "no-policy-found", "sts", "tlsa")                 /* enum rpt_policy_type */ \
	X(PROOF,    "protection", "verified", "encrypted", "clear") \
	X(VERDICT,  "verdict",    "proven", "tolerated", "refused", "failed")       /* relay/delivery_impl.h, delivery_conclude() */ \
	X(SESSION,  "session",    "new", "reused") \
	X(REPORT,   "state",      "open", "mailed", "delivered", "failed", "no-record")     /* enum rpt_state */ \
	X(RESULT,   "result",     "success", "starttls-not-supported", "certificate-host-mismatch", "certificate-expired", "certificate-not-trusted", \
	                          "validation-failure", "tlsa-invalid", "dnssec-invalid", "dane-required", "sts-policy-fetch-error", "sts-policy-invalid", \
	                          "sts-webpki-invalid", "other")                    /* enum sp_result, with a word for none of them */
#define METRICS_NOTHING_COUNT 1
#define METRICS_CLASS_COUNT 2
#define METRICS_OUTCOME_COUNT 4
#define METRICS_SUCCESS_COUNT 2
#define METRICS_POLICY_COUNT 7
#define METRICS_REPORTED_COUNT 3
#define METRICS_PROOF_COUNT 3
#define METRICS_VERDICT_COUNT 4
#define METRICS_SESSION_COUNT 2
#define METRICS_REPORT_COUNT 5
#define METRICS_RESULT_COUNT 13
enum metrics_class { METRICS_TEMPORARY, METRICS_PERMANENT };
enum metrics_outcome { METRICS_DELIVERED, METRICS_DEFERRED, METRICS_BOUNCED, METRICS_EXPIRED };
enum metrics_success { METRICS_SUCCESS, METRICS_FAILURE };
enum metrics_policy { METRICS_NO_POLICY, METRICS_STS_NONE, METRICS_STS_TESTING, METRICS_STS_ENFORCE, METRICS_TLSA, METRICS_RULE, METRICS_REQUIRETLS };
enum metrics_proof { METRICS_VERIFIED, METRICS_ENCRYPTED, METRICS_CLEAR };
enum metrics_verdict { METRICS_PROVEN, METRICS_TOLERATED, METRICS_REFUSED, METRICS_FAILED };
enum metrics_session { METRICS_NEW, METRICS_REUSED };

/* ---- the table ---- */

#define METRICS_COUNTERS(X) /* id, name, label, second label, help */ \
	X(ACCEPTED, "strictpost_messages_accepted_total", NOTHING, NOTHING, "Messages taken from clients: 250 was said, and they are on the disk.") \
	X(REFUSED, "strictpost_messages_refused_total", CLASS, NOTHING, "Messages refused at MAIL, at DATA or at their end, but for what breaks SMTP or its limits.") \
	X(RECIPIENTS_ACCEPTED, "strictpost_recipients_accepted_total", NOTHING, NOTHING, "Recipients of the messages taken from clients.") \
	X(RECIPIENTS_REFUSED, "strictpost_recipients_refused_total", CLASS, NOTHING, "Recipients refused at RCPT: the client may not relay.") \
	X(RECIPIENTS, "strictpost_recipients_total", OUTCOME, NOTHING, "What became of recipients, notices and reports of ours included: delivered, bounced and expired end one; deferred counts each time that one was put off.") \
	X(RECEIVED_BYTES, "strictpost_received_bytes_total", NOTHING, NOTHING, "Content of the messages taken from clients.") \
	X(SENT_BYTES, "strictpost_sent_bytes_total", NOTHING, NOTHING, "Content of messages that a next hop took, once for each transaction.") \
	X(CLIENTS, "strictpost_client_sessions_total", NOTHING, NOTHING, "Sessions of clients since start.") \
	X(LOGINS, "strictpost_logins_total", SUCCESS, NOTHING, "Log-ins of clients (AUTH).") \
	X(SESSIONS, "strictpost_sessions_total", POLICY, RESULT, "Outbound sessions that came to a conclusion about TLS and are counted in reports, by what ruled them and how it went.") \
	X(REPORTED, "strictpost_tlsrpt_sessions_total", REPORTED, RESULT, "Sessions as TLS reports count them (RFC 8460): once for each policy that applied.") \
	X(PROOF, "strictpost_sessions_established_total", PROOF, NOTHING, "Outbound sessions that may carry mail, by what was proved: certificate verified, encrypted only, or in clear.") \
	X(VERDICTS, "strictpost_session_verdicts_total", VERDICT, NOTHING, "Tries of hosts: proven as demanded, tolerated (a fault that no policy forbids), refused by a policy, or failed without TLS playing a part.") \
	X(RESUMED, "strictpost_sessions_resumed_total", NOTHING, NOTHING, "Outbound TLS sessions that were resumed.") \
	X(TRANSACTIONS, "strictpost_transactions_total", SESSION, NOTHING, "Outbound mail transactions: the first of a session, or over one that had carried mail.") \
	X(FETCHES, "strictpost_policy_fetches_total", RESULT, NOTHING, "Fetches of MTA-STS policies.") \
	X(REFRESH_FAILURES, "strictpost_policy_refresh_failures_total", NOTHING, NOTHING, "Fetches that failed while a valid policy was cached: it stays in force until it expires.") \
	X(REPORTS, "strictpost_reports_total", REPORT, NOTHING, "Attempts at TLS reports by what they came to; open: to be tried again.") \
	X(RELOADS, "strictpost_config_reloads_total", SUCCESS, NOTHING, "Reloads of the configuration; after a failure the running one stays.")

#define METRICS_HISTOGRAMS(X) /* id, name, kind, help */ \
	X(CONNECT, "strictpost_connect_seconds", LATENCY, "TCP connections to next hops that came about.") \
	X(HANDSHAKE, "strictpost_handshake_seconds", LATENCY, "TLS handshakes with next hops that came about.") \
	X(ATTEMPT, "strictpost_attempt_seconds", LATENCY, "Mail transactions with next hops, from MAIL to the last reply.") \
	X(DELIVERY, "strictpost_delivery_seconds", LONG, "From the acceptance of a message to its delivery, each recipient of it.") \
	X(FETCH, "strictpost_policy_fetch_seconds", LATENCY, "Fetches of MTA-STS policies, failed ones too.") \
	X(LAG, "strictpost_loop_lag_seconds", SHORT, "How late the event loops of the shards come to what is due, looked at every second.")

enum metrics_counter {
#define X(id, name, a, b, help) METRIC_##id, METRIC_##id##_LAST = METRIC_##id + METRICS_##a##_COUNT * METRICS_##b##_COUNT - 1,
	METRICS_COUNTERS(X)
#undef X
	METRICS_COUNTER_COUNT
};
enum metrics_histogram {
#define X(id, name, kind, help) METRIC_##id,
	METRICS_HISTOGRAMS(X)
#undef X
	METRICS_HISTOGRAM_COUNT
};

/* ---- counting ---- */

struct metrics_block {
	atomic_ullong counters[METRICS_COUNTER_COUNT];
	struct core_histogram histograms[METRICS_HISTOGRAM_COUNT];
	char apart[128];                /* from what another thread writes */
};

struct metrics;
struct metrics *metrics_new(unsigned shards);
void metrics_free(struct metrics *m);                           /* nobody counts any more; NULL is fine */
struct metrics_block *metrics_of_main(struct metrics *m);
struct metrics_block *metrics_of_shard(struct metrics *m, unsigned index);      /* of NULL: one that nobody reads (strictpost check) */

/* On the block's thread. `word`: of the first label; 0 where there is none. */
static inline void metrics_add(struct metrics_block *b, enum metrics_counter c, unsigned word, uint64_t n)
{
	atomic_fetch_add_explicit(&b->counters[c + word], n, memory_order_relaxed);
}
/* With two labels, of which the second is RESULT: SP_RESULT_NONE is success. */
static inline void metrics_add_result(struct metrics_block *b, enum metrics_counter c, unsigned word, enum sp_result result)
{
	metrics_add(b, c, word * METRICS_RESULT_COUNT + (unsigned)result, 1);
}
/* A failure under RESULT: its result, or "other". */
enum sp_result metrics_result(const struct sp_fail *fail);
void metrics_time(struct metrics_block *b, enum metrics_histogram h, uint64_t us);
static inline void metrics_time_ms(struct metrics_block *b, enum metrics_histogram h, uint64_t ms) { metrics_time(b, h, ms * 1000); }

/* ---- reading; any thread ---- */

uint64_t metrics_sum(const struct metrics *m, enum metrics_counter c, unsigned word);
uint64_t metrics_sum_result(const struct metrics *m, enum metrics_counter c, unsigned word, enum sp_result result);
/* Of all words of the counter: metrics_sum_all(m, METRIC_SESSIONS, METRIC_SESSIONS_LAST). */
uint64_t metrics_sum_all(const struct metrics *m, enum metrics_counter first, enum metrics_counter last);
/* The whole table as text. */
void metrics_write(const struct metrics *m, struct sp_buf *out);

#endif
