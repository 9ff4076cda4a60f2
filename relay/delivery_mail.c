/* relay/delivery_mail.c - see delivery_impl.h: the message in hand, from its envelope to its results. */
#include "relay/delivery_impl.h"

#include "core/clock.h"

#include <stdlib.h>

#define MS_AN_OCTET 2                   /* of the session's deadline */
#define LAST_REPLY_MS (11 * 60 * 1000)  /* RFC 5321 4.5.3.2.6: 10 minutes */
#define UNSENT_MAX (256 * 1024)         /* octets handed to the connection and not yet sent, before more content is */
#define PIECE_MAX 65536                 /* of content at a time */

void delivery_flush(struct delivery_state *y)
{
	struct sp_buf *out = smtp_client_output(y->client);
	if (out->len == 0)
		return;
	delivery_evidence_out(y, sp_buf_str(out));
	core_conn_send(y->conn, out);
}

static bool asks(const struct sp_rcpt_wish *w)
{
	return w->notify || (w->orcpt && *w->orcpt);
}

/* The recipients as the engine wants them; NULL where none of them asks for anything. The wishes stand behind the addresses, in one piece of memory. */
static const struct sp_rcpt_wish *list_recipients(struct delivery_state *y, const struct queue_job *j)
{
	bool any = false;
	for (size_t i = 0; i < j->count; i++)
		any |= asks(&j->recipients[i].wish);
	y->recipients = sp_realloc(y->recipients, j->count * (sizeof(*y->recipients) + (any ? sizeof(struct sp_rcpt_wish) : 0)));
	for (size_t i = 0; i < j->count; i++)
		y->recipients[i] = j->recipients[i].address;
	if (!any)
		return NULL;
	struct sp_rcpt_wish *wishes = (struct sp_rcpt_wish *)(void *)(y->recipients + j->count);
	for (size_t i = 0; i < j->count; i++)
		wishes[i] = j->recipients[i].wish;
	return wishes;
}

/* RFC 6531 3.4: does the header have octets over 127? For one that is in a file, what is known of the whole content has to do. */
static bool header_needs_utf8(const struct queue_message *m)
{
	if (!m->wish.utf8 || !m->eight_bit || sp_body_path(m->body))
		return m->wish.utf8 && m->eight_bit;
	struct sp_str all = sp_body_bytes(m->body);
	for (size_t i = 0; i < sp_min(m->header_len, all.len); i++)
		if ((unsigned char)all.p[i] > 127)
			return true;
	return false;
}

void delivery_begin_mail(struct delivery_state *y)
{
	struct queue_job *j = y->job;
	const struct queue_message *m = j->message;
	queue_store_in_hand(y->shard->relay->store, y->shard->index, m->id);
	delivery_evidence_mail(y);
	y->job_ms = core_clock_mono_ms();
	y->first_job = y->messages == 0;
	metrics_add(y->shard->metrics, METRIC_TRANSACTIONS, y->first_job ? METRICS_NEW : METRICS_REUSED, 1);
	y->body_at = 0;
	y->deadline_ms = sp_max(y->deadline_ms, y->job_ms + DELIVERY_SESSION_MS) + sp_body_len(m->body) * MS_AN_OCTET;
	const struct sp_rcpt_wish *wishes = list_recipients(y, j);
	y->mail = (struct smtp_client_mail){
		.sender = m->sender, .recipients = y->recipients, .recipient_count = j->count, .size = sp_body_len(m->body), .domain = y->plan->label,
		.eight_bit = m->eight_bit, .binary = m->binary, .ends_in_crlf = !m->binary,
		.wish = &m->wish, .rcpt_wishes = wishes, .utf8_needed = header_needs_utf8(m), .require_tls = m->wish.require_tls,
		.now_ms = m->wish.by != SP_BY_NONE ? core_clock_wall_ms() : 0,
	};
	smtp_client_send(y->client, &y->mail);
}

static void release_body(void *arg)
{
	sp_body_unref(arg);
}

static void give_piece(struct delivery_state *y, struct sp_str piece)
{
	struct sp_body *body = y->job->message->body;
	y->body_at += piece.len;
	if (sp_body_path(body) == NULL && smtp_client_body_raw(y->client)) {
		delivery_flush(y);
		core_conn_send_lent(y->conn, piece, release_body, sp_body_ref(body));
		delivery_evidence_lent(y, piece.len);
		smtp_client_body_lent(y->client, piece);
	} else {
		delivery_flush(y);              /* DATA, where the peer granted it in advance */
		delivery_evidence_content(y);
		smtp_client_body(y->client, piece);
		delivery_flush(y);
	}
	if (y->body_at == sp_body_len(body)) {
		smtp_client_body_end(y->client);
		y->wants_body = false;
		/* Whatever it took so far: giving up on the last reply sooner would deliver the message twice. */
		y->deadline_ms = sp_max(y->deadline_ms, core_clock_mono_ms() + LAST_REPLY_MS);
	}
}

static void on_piece(void *owner, struct sp_str data, const struct sp_fail *why)
{
	struct delivery_state *y = owner;
	struct sp_str none = { 0 };
	y->reading = false;
	if (sp_failed(why) || data.len == 0) {
		struct sp_fail cut;
		sp_fail_set(&cut, SP_FAIL_STORE, "the content of %s cannot be read: %s", y->job->message->name,
		            sp_failed(why) ? why->text : "its file is shorter than its row says");
		y->wants_body = false;
		smtp_client_body_fail(y->client, &cut);
	} else {
		give_piece(y, data);
	}
	delivery_drive(y, &none);
}

/* As much of the content as the connection has room for. */
void delivery_send_body(struct delivery_state *y)
{
	struct sp_body *body = y->job->message->body;
	if (sp_body_path(body)) {
		if (y->reading || core_conn_unsent(y->conn) > UNSENT_MAX)
			return;
		if (y->reader == NULL)
			y->reader = core_file_open(y->shard->loop, sp_body_path(body));
		y->reading = true;
		core_file_read(y->reader, PIECE_MAX, on_piece, y);
		return;
	}
	struct sp_str all = sp_body_bytes(body);
	while (y->wants_body && core_conn_unsent(y->conn) <= UNSENT_MAX)
		give_piece(y, sp_str_make(all.p + y->body_at, sp_min(PIECE_MAX, all.len - y->body_at)));
}

void delivery_settle(struct delivery_state *y, const struct sp_fail *fails, const struct smtp_client_results *r)
{
	char word[64];
	const struct core_tls_peer *peer = y->conn ? core_conn_tls_peer(y->conn) : NULL;
	struct queue_job *job = y->job;
	uint64_t now = core_clock_mono_ms();
	int64_t age_ms = core_clock_wall_ms() - job->message->arrived_ms;
	struct settle_facts facts = {
		.mx = y->host->label, .addr = &y->addr, .policy = delivery_policy_word(y, word),
		.tls = y->shown.encrypted && peer ? peer->version : NULL, .cipher = y->shown.encrypted && peer ? peer->cipher : NULL,
		.cert = delivery_cert_word(y), .reply = r ? r->reply : NULL,
		.dsn = r && r->dsn, .by_dropped = r && r->by_dropped,
		.connect_ms = y->first_job ? (int64_t)(y->opened_ms - y->began_ms) : 0,
		.tls_ms = y->first_job ? (int64_t)(y->proven_ms - y->opened_ms) : 0,
		.transfer_ms = (int64_t)(now - y->job_ms),
	};
	facts.queue_ms = age_ms - facts.transfer_ms - facts.connect_ms - facts.tls_ms;
	if (facts.queue_ms < 0)
		facts.queue_ms = 0;
	facts.sheet = delivery_evidence_take(y);
	y->job = NULL;
	delivery_forget_judged(y);
	struct account *account = y->account;
	y->account = NULL;
	settle_job(y->pub.dest, job, fails, &facts, account);
}

void delivery_settle_all(struct delivery_state *y, const struct sp_fail *why)
{
	struct sp_fail *fails = sp_alloc_array(y->job->count, sizeof(*fails));
	for (size_t i = 0; i < y->job->count; i++)
		fails[i] = *why;
	delivery_settle(y, fails, NULL);
	free(fails);
}

static bool all_failed_elsewhere(const struct queue_job *job, const struct smtp_client_results *r)
{
	for (size_t i = 0; i < job->count; i++)
		if (!sp_failed(&r->recipients[i]) || !outcome_elsewhere(&r->recipients[i], r->site, r->uncertain))
			return false;
	return true;
}

void delivery_take_result(struct delivery_state *y)
{
	const struct smtp_client_results *r = smtp_client_results(y->client);
	core_file_close(y->reader);
	y->reader = NULL;
	y->reading = y->wants_body = false;
	metrics_time_ms(y->shard->metrics, METRIC_ATTEMPT, core_clock_mono_ms() - y->job_ms);
	if (all_failed_elsewhere(y->job, r)) {
		return;                         /* stays in hand; the session's own failure tells why */
	}
	if (!r->site)
		destination_works(y->pub.dest);
	y->messages++;
	if (delivery_ask_other_family(y, r))
		return;
	delivery_settle(y, r->recipients, r);
}
