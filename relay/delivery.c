/* relay/delivery.c - see delivery.h. */
#include "relay/delivery_impl.h"

#include "core/clock.h"

#include <stdio.h>
#include <stdlib.h>

#define HANDSHAKE_MS 120000             /* of implicit TLS, before there is an engine that says how long to wait */
#define IDLE_MS 5000                    /* in the pool */
#define IDLE_LOOK_MS 500                /* whether others want its place */
#define IDLE_MAX 200                    /* sessions of a shard in pools */

/* --- the end --- */

static void leave_pool(struct delivery_state *y)
{
	if (!sp_link_used(&y->pub.pool))
		return;
	sp_list_remove(&y->pub.pool);
	y->pub.dest->pool_count--;
	y->shard->idle_sessions--;
}

void delivery_end(struct delivery_state *y, const struct sp_fail *why)
{
	struct destination *d = y->pub.dest;
	struct sp_fail told = *why;
	sp_assert(y->job == NULL);
	leave_pool(y);
	delivery_waits_no_more(y);
	delivery_drop_connection(y, why, true);
	sp_list_remove(&y->pub.link);
	d->session_count--;
	account_flush(&y->account, y->shard);
	delivery_evidence_free(y);
	core_timer_close(y->timer);
	plan_unref(y->plan);
	free(y->recipients);
	free(y);
	destination_session_over(d, &told);
}

void delivery_give_up_job(struct delivery_state *y)
{
	struct queue_job *job = y->job;
	y->job = NULL;
	delivery_forget_judged(y);
	if (job)
		destination_return(y->pub.dest, job);
}

/* --- one message --- */

static void set_deadline(struct delivery_state *y)
{
	uint64_t now = core_clock_mono_ms(), wait = (uint64_t)smtp_client_wait_s(y->client) * 1000;
	uint64_t left = y->deadline_ms > now ? y->deadline_ms - now : 1;
	core_conn_deadline(y->conn, sp_min(wait, left));
}

static void into_pool(struct delivery_state *y)
{
	y->idled = true;
	sp_list_push_front(&y->pub.dest->pool, &y->pub.pool);
	y->pub.dest->pool_count++;
	y->shard->idle_sessions++;
	y->idle_since_ms = core_clock_mono_ms();
	delivery_evidence_idle(y);
	core_timer_start(y->timer, IDLE_LOOK_MS);
	core_conn_deadline(y->conn, 0);
}

/* READY: the next message, the pool, or goodbye. */
static bool on_ready(struct delivery_state *y)
{
	if (!delivery_may_carry(y))
		return false;
	if (y->family == DELIVERY_FAMILY_LEAVING && !y->stopping) {
		smtp_client_quit(y->client);
		return true;
	}
	if (!destination_agrees(y->pub.dest, y->plan, y->host))
		y->stopping = true;             /* what was proved is not what is demanded now */
	if (y->stopping || !destination_is_planned(y->pub.dest))         /* the hosts before this one took their time: what is demanded now? */
		delivery_give_up_job(y);                 /* nothing of it has left on this connection */
	bool more = !y->stopping && y->pub.dest->looked == NULL && smtp_client_reusable(y->client) && core_clock_mono_ms() - y->began_ms < DELIVERY_SESSION_MS &&
	            y->messages < (unsigned)y->shard->config->delivery.messages_per_session;
	if (y->job == NULL && more)
		y->job = destination_next(y->pub.dest);
	if (y->job) {
		delivery_begin_mail(y);
		return true;
	}
	if (more && y->shard->idle_sessions < IDLE_MAX && !delivery_should_make_room(y)) {
		into_pool(y);
		destination_session_idle(y->pub.dest);
		return false;
	}
	smtp_client_quit(y->client);
	return true;
}

/* --- the engine --- */

/* A session that served has ended: from the first host again, if a message is in hand. */
static void begin_anew(struct delivery_state *y, const struct sp_fail *why)
{
	delivery_drop_connection(y, why, true);
	if (y->job == NULL) {
		delivery_end(y, &SP_FAIL_OK);
		return;
	}
	y->messages = 0;
	y->idled = false;
	y->next_try = 0;
	y->worst = SP_FAIL_OK;
	core_timer_start(y->timer, 0);
}

/* The engine wants no more of this connection. */
static void on_close(struct delivery_state *y)
{
	struct sp_fail why = *smtp_client_fail(y->client);
	if (delivery_leave_family(y))
		return;
	if (!sp_failed(&why)) {                 /* QUIT was said */
		delivery_end(y, &SP_FAIL_OK);
		return;
	}
	if (y->messages > 0 || (y->idled && y->job == NULL)) {  /* it served, or would have; what is in hand, and who waits, gets another one */
		delivery_conclude(y, "failed", &why, NULL);
		begin_anew(y, &why);
		return;
	}
	if (delivery_ended_early(y, &why))
		return;
	delivery_conclude(y, why.result != SP_RESULT_NONE ? "refused" : "failed", &why, NULL);
	delivery_try_failed(y, &why);
}

static void mark_in_hand(const struct shard *s, const struct queue_job *job)
{
	if (s->relay->store)
		queue_store_in_hand(s->relay->store, s->index, job ? job->message->id : 0);
}

/* Does what the engine wants until it waits for the network. May free y. */
static void do_wants(struct delivery_state *y, struct sp_str *in)
{
	for (;;) {
		switch (smtp_client_next(y->client, in)) {
		case SMTP_CLIENT_READ:
			delivery_flush(y);
			set_deadline(y);
			return;
		case SMTP_CLIENT_HANDSHAKE:
			delivery_flush(y);
			set_deadline(y);
			delivery_start_tls(y);
			return;
		case SMTP_CLIENT_READY:
			delivery_flush(y);
			if (!on_ready(y))
				return;
			break;
		case SMTP_CLIENT_BODY:
			delivery_flush(y);
			y->wants_body = true;
			delivery_send_body(y);
			if (y->wants_body) {            /* the connection is full, or the file is being read */
				set_deadline(y);
				return;
			}
			break;
		case SMTP_CLIENT_RESULT:
			delivery_take_result(y);
			break;
		case SMTP_CLIENT_CLOSE:
			delivery_flush(y);
			on_close(y);
			return;
		}
	}
}

/* The last thing a caller does. A message that brings us down is found in hand at the next start. */
void delivery_drive(struct delivery_state *y, struct sp_str *in)
{
	const struct shard *s = y->shard;
	mark_in_hand(s, y->job);
	do_wants(y, in);
	mark_in_hand(s, NULL);
}

/* --- the connection --- */

void delivery_new_client(struct delivery_state *y, enum smtp_client_tls mode)
{
	char text[SP_ADDR_TEXT], peer[512];
	struct smtp_client_settings settings = { .peer = peer, .tls = mode };
	snprintf(peer, sizeof(peer), "%s[%s]", *y->host->name ? y->host->name : "", sp_addr_ip_str(&y->addr, text));
	delivery_settings(y, &settings);
	y->client = smtp_client_new(&settings);
}

static void on_open(void *owner)
{
	struct delivery_state *y = owner;
	y->opened_ms = core_clock_mono_ms();
	metrics_time_ms(y->shard->metrics, METRIC_CONNECT, y->opened_ms - y->began_ms);
	if (y->implicit_tls) {                  /* RFC 8314 3: the engine comes after the handshake */
		core_conn_deadline(y->conn, HANDSHAKE_MS);
		delivery_start_tls(y);
		return;
	}
	delivery_new_client(y, delivery_tls_mode(y));
	struct sp_str none = { 0 };
	delivery_drive(y, &none);
}

static void on_tls(void *owner, const struct sp_fail *fail)
{
	delivery_on_tls(owner, fail);
}

static void on_data(void *owner, struct sp_str data)
{
	struct delivery_state *y = owner;
	if (sp_link_used(&y->pub.pool)) {       /* idle: 421, most likely; the engine will tell */
		leave_pool(y);
		core_timer_stop(y->timer);
	}
	delivery_evidence_in(y, data);
	delivery_drive(y, &data);
}

static void on_drained(void *owner)
{
	struct delivery_state *y = owner;
	struct sp_str none = { 0 };
	if (y->wants_body && !y->reading)
		delivery_drive(y, &none);
}

static void on_end(void *owner, const struct sp_fail *fail)
{
	struct delivery_state *y = owner;
	struct sp_fail why = *fail;
	if (!sp_failed(&why))
		sp_fail_set(&why, SP_FAIL_CONNECT, "%s closed the connection", y->host->label);
	if (y->client == NULL) {
		delivery_conclude(y, "failed", &why, NULL);
		delivery_try_failed(y, &why);
		return;
	}
	leave_pool(y);
	core_timer_stop(y->timer);
	struct sp_str none = { 0 };
	smtp_client_lost(y->client, &why);
	delivery_drive(y, &none);
}

const struct core_conn_ops delivery_conn_ops = {
	.on_open = on_open, .on_data = on_data, .on_tls = on_tls, .on_drained = on_drained, .on_end = on_end,
};

static void on_timer(void *owner)
{
	struct delivery_state *y = owner;
	bool idle = sp_link_used(&y->pub.pool);
	if (idle && core_clock_mono_ms() - y->idle_since_ms < IDLE_MS && !delivery_should_make_room(y)) {
		core_timer_start(y->timer, IDLE_LOOK_MS);
	} else if (idle) {
		leave_pool(y);
		smtp_client_quit(y->client);
		struct sp_str none = { 0 };
		delivery_drive(y, &none);
	} else if (y->again) {
		delivery_connect_again(y);
	} else {
		delivery_try_next(y);
	}
}

/* --- from the destination --- */

void delivery_start(struct destination *d, struct plan *p)
{
	struct delivery_state *y = sp_alloc(sizeof(*y));
	y->pub.state = y;
	y->pub.dest = d;
	y->shard = d->shard;
	y->plan = plan_ref(p);
	y->timer = core_timer_new(d->shard->loop, on_timer, y);
	sp_list_push_back(&d->sessions, &y->pub.link);
	d->session_count++;
	delivery_plan_tries(y);
	core_timer_start(y->timer, 0);
}

void delivery_resume(struct delivery *pub)
{
	struct delivery_state *y = pub->state;
	struct sp_str none = { 0 };
	leave_pool(y);
	core_timer_stop(y->timer);
	delivery_drive(y, &none);
}

bool delivery_is_proven(const struct delivery *pub)
{
	return pub->state->proven;
}

uint64_t delivery_unsent(const struct delivery *pub)
{
	const struct delivery_state *y = pub->state;
	return y->job && !y->proven ? y->job->message->id : 0;
}

void delivery_give_back(struct delivery *pub)
{
	delivery_give_up_job(pub->state);
}

void delivery_stop(struct delivery *pub)
{
	struct delivery_state *y = pub->state;
	y->stopping = true;
	if (sp_link_used(&pub->pool))
		delivery_resume(pub);
}

void delivery_cut(struct delivery *pub)
{
	struct delivery_state *y = pub->state;
	struct sp_fail why;
	sp_fail_set(&why, SP_FAIL_SHUTDOWN, "stopping");
	delivery_give_up_job(y);
	delivery_drop_connection(y, &why, false);
	delivery_end(y, &why);
}
