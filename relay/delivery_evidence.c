/* relay/delivery_evidence.c - see delivery_impl.h: what a delivery sees of each connection, for relay/evidence.h.
 *
 *   begin (connect) -> in, out ... -> conclude (what was proved) -> mail -> take (with its results) -> mail -> take ... -> over (dropped)
 * A session's row goes with the first results; one that failed goes alone when it is over. What is kept in memory while it waits in a pool is its beginning, until that
 * is in the store, and nothing of the messages that went. */
#include "relay/delivery_impl.h"

#include "core/clock.h"
#include "relay/evidence.h"

#include <stdio.h>
#include <stdlib.h>

#define CHAIN_MAX 102400                /* octets of PEM */
#define CHAIN_TOLD 10                   /* certificates that are described */
#define EARLIER_MAX 16384               /* octets of what is told of hosts before */

struct delivery_evidence {
	struct dialogue dialogue;
	struct dialogue_part head;              /* up to the first message */
	uint64_t began_ms, part_ms;             /* monotonic */
	int64_t at_ms, part_at_ms;              /* Unix time */
	uint64_t session;                       /* the row's id; 0: none yet */
	bool stored;                            /* it is in the store, or on its way there */
	bool failed;                            /* what was concluded last */
	bool over;                              /* this connection is, and nothing of it is left to be told */
	char word[16], why[512];                /* the same, for who comes after it */
	struct sp_buf facts, chain;             /* `facts`: the object without its end; empty: nothing is concluded */
	struct sp_buf earlier;                  /* elements of an array: what was tried before */
};

static uint64_t since_ms(const struct delivery_evidence *e)
{
	return core_clock_mono_ms() - e->part_ms;
}

/* Nothing of a connection; what was tried before stays. */
static void forget(struct delivery_evidence *e)
{
	dialogue_clear(&e->dialogue);
	dialogue_init(&e->dialogue);
	dialogue_part_clear(&e->head);
	sp_buf_clear(&e->facts);
	sp_buf_clear(&e->chain);
	e->session = 0;
	e->stored = e->failed = false;
	e->over = true;
}

void delivery_evidence_begin(struct delivery_state *y)
{
	struct delivery_evidence *e = y->evidence;
	if (!evidence_wanted(y->shard->relay, y->shard->config)) {
		delivery_evidence_free(y);      /* it was, before a reload */
		return;
	}
	if (e == NULL) {
		e = y->evidence = sp_alloc(sizeof(*e));
		sp_buf_init(&e->facts, EVIDENCE_DATA_MAX);
		sp_buf_init(&e->chain, CHAIN_MAX);
		sp_buf_init(&e->earlier, EARLIER_MAX);
	}
	forget(e);
	e->over = false;
	e->began_ms = e->part_ms = core_clock_mono_ms();
	e->at_ms = e->part_at_ms = core_clock_wall_ms();
}

void delivery_evidence_free(struct delivery_state *y)
{
	if (y->evidence == NULL)
		return;
	forget(y->evidence);
	dialogue_clear(&y->evidence->dialogue);
	sp_buf_clear(&y->evidence->earlier);
	free(y->evidence);
	y->evidence = NULL;
}

/* ---- the dialogue ---- */

void delivery_evidence_in(struct delivery_state *y, struct sp_str octets)
{
	if (y->evidence)
		dialogue_in(&y->evidence->dialogue, since_ms(y->evidence), octets);
}

void delivery_evidence_out(struct delivery_state *y, struct sp_str octets)
{
	if (y->evidence)
		dialogue_out(&y->evidence->dialogue, since_ms(y->evidence), octets);
}

void delivery_evidence_lent(struct delivery_state *y, size_t octets)
{
	if (y->evidence)
		dialogue_out_unseen(&y->evidence->dialogue, since_ms(y->evidence), octets);
}

void delivery_evidence_content(struct delivery_state *y)
{
	if (y->evidence)
		dialogue_content(&y->evidence->dialogue);
}

void delivery_evidence_note(struct delivery_state *y, const char *text)
{
	if (y->evidence)
		dialogue_note(&y->evidence->dialogue, since_ms(y->evidence), text);
}

/* A message begins: what was said before the first one is the session's. */
void delivery_evidence_mail(struct delivery_state *y)
{
	struct delivery_evidence *e = y->evidence;
	if (e == NULL)
		return;
	struct dialogue_part before = dialogue_take(&e->dialogue, since_ms(e));
	if (y->messages == 0 && !e->stored) {
		dialogue_part_clear(&e->head);
		e->head = before;
	} else {
		dialogue_part_clear(&before);
	}
	e->part_ms = core_clock_mono_ms();
	e->part_at_ms = core_clock_wall_ms();
}

/* ---- what was concluded ---- */

static void add_chain(struct sp_json *j, const struct core_tls_peer *peer)
{
	struct core_tls_certificate c;
	core_tls_certificate_init(&c);
	sp_json_open(j, "chain", '[');
	for (size_t i = 0; i < CHAIN_TOLD && core_tls_chain_at(peer, i, &c); i++) {
		sp_json_open(j, NULL, '{');
		sp_json_str(j, "subject", sp_buf_str(&c.subject));
		sp_json_str(j, "names", sp_buf_str(&c.names));
		sp_json_str(j, "issuer", sp_buf_str(&c.issuer));
		sp_json_time(j, "not_before", c.not_before_s * 1000);
		sp_json_time(j, "not_after", c.not_after_s * 1000);
		sp_json_close(j, '}');
	}
	sp_json_close(j, ']');
	core_tls_certificate_clear(&c);
}

static void add_policy(const struct delivery_state *y, struct sp_json *j)
{
	const struct sts_demand *d = &y->host->demand;
	const struct sts_finding *f = &y->plan->finding;
	char word[64];
	sp_json_cstr(j, "policy", delivery_policy_word(y, word));
	sp_json_given(j, "policy_text", d->policy);
	if (d->has_policy) {
		sp_json_given(j, "policy_id", f->id);
		sp_json_cstr(j, "source", sts_source_str(f->source));
		sp_json_time(j, "fetched", f->fetched_s * 1000);
		sp_json_time(j, "expires", f->expires_s * 1000);
	}
	if (sp_failed(&f->fetch_fail))
		sp_json_cstr(j, "fetch_failure", f->fetch_fail.text);
	sp_json_cstr(j, "require", sts_requirement_str(d->require));
	sp_json_cstr(j, "mx_dnssec", y->plan->mx_authenticated ? "secure" : "insecure");
	sp_json_given(j, "tlsa", y->host->tlsa ? sts_tlsa_state_str(y->host->tlsa->state) : NULL);
}

static void add_tls(const struct delivery_state *y, struct sp_json *j)
{
	const struct core_tls_peer *peer = y->conn ? core_conn_tls_peer(y->conn) : NULL;
	if (!y->shown.encrypted || peer == NULL)
		return;
	sp_json_cstr(j, "tls", peer->version);
	sp_json_cstr(j, "cipher", peer->cipher);
	sp_json_bool(j, "resumed", peer->resumed);
	sp_json_cstr(j, "cert", delivery_cert_word(y));
	add_chain(j, peer);
	if (y->evidence->chain.len == 0)
		core_tls_chain_pem(peer, &y->evidence->chain);
}

static void add_fault(struct sp_json *j, const struct sp_fail *fault)
{
	if (!sp_failed(fault))
		return;
	sp_json_cstr(j, "fault", fault->result ? sp_result_str(fault->result) : sp_fail_kind_str(fault->kind));
	sp_json_given(j, "reason", fault->reason);
	sp_json_cstr(j, "why", fault->text);
}

static void add_report(struct sp_json *j, const struct delivery_told *told)
{
	struct sp_buf word;
	sp_buf_init(&word, 256);
	sp_json_open(j, "report", '[');
	for (size_t i = 0; i < told->count; i++) {
		sp_buf_reset(&word);
		rpt_event_print(&told->events[i], &word);
		sp_json_str(j, NULL, sp_buf_str(&word));
	}
	sp_json_close(j, ']');
	sp_buf_clear(&word);
}

static void write_facts(struct delivery_state *y, const char *word, const struct sp_fail *fault, const struct delivery_told *told)
{
	struct delivery_evidence *e = y->evidence;
	char ip[SP_ADDR_TEXT];
	struct sp_json j;
	sp_buf_reset(&e->facts);
	sp_json_begin(&j, &e->facts);
	sp_json_open(&j, NULL, '{');
	sp_json_time(&j, "at", e->at_ms);
	sp_json_cstr(&j, "destination", y->pub.dest->name);
	sp_json_cstr(&j, "host", y->host->label);
	if (sp_addr_family(&y->addr) != AF_UNSPEC)
		sp_json_cstr(&j, "address", sp_addr_ip_str(&y->addr, ip));
	if (y->conn && y->opened_ms >= y->began_ms)
		sp_json_given(&j, "local", sp_addr_ip_str(core_conn_local(y->conn), ip));
	add_policy(y, &j);
	add_tls(y, &j);
	sp_json_cstr(&j, "verdict", word);
	add_fault(&j, fault);
	add_report(&j, told);
}

/* For the session that comes next. */
static void note_earlier(struct delivery_state *y)
{
	struct delivery_evidence *e = y->evidence;
	char ip[SP_ADDR_TEXT], id[QUEUE_ID_TEXT];
	struct sp_json j;
	size_t start = e->earlier.len;
	sp_json_begin(&j, &e->earlier);
	j.comma = start > 0;
	sp_json_open(&j, NULL, '{');
	if (e->session)
		sp_json_cstr(&j, "session", queue_id_str(e->session, id));
	sp_json_cstr(&j, "host", y->host->label);
	if (sp_addr_family(&y->addr) != AF_UNSPEC)
		sp_json_cstr(&j, "address", sp_addr_ip_str(&y->addr, ip));
	sp_json_cstr(&j, "verdict", e->word);
	sp_json_cstr(&j, "why", e->why);
	sp_json_close(&j, '}');
	if (sp_buf_failed(&e->earlier)) {       /* more than anybody reads */
		e->earlier.failed = false;
		sp_buf_truncate(&e->earlier, start);
	}
}

static void draw_id(struct delivery_state *y)
{
	struct delivery_evidence *e = y->evidence;
	if (y->shard->relay->store && (e->session == 0 || e->stored)) {
		e->session = queue_store_next_id(y->shard->relay->store);
		e->stored = false;
	}
}

void delivery_evidence_conclude(struct delivery_state *y, const char *word, const struct sp_fail *fault, const struct delivery_told *told)
{
	struct delivery_evidence *e = y->evidence;
	if (e == NULL || e->over)
		return;
	draw_id(y);
	e->failed = strcmp(word, "refused") == 0 || strcmp(word, "failed") == 0;
	snprintf(e->word, sizeof(e->word), "%s", word);
	snprintf(e->why, sizeof(e->why), "%s", fault->text);
	write_facts(y, word, fault, told);
}

void delivery_evidence_leave(struct delivery_state *y, const struct sp_fail *why)
{
	struct delivery_evidence *e = y->evidence;
	if (e == NULL)
		return;
	e->failed = true;
	snprintf(e->word, sizeof(e->word), "left");
	snprintf(e->why, sizeof(e->why), "%s", why->text);
}

/* ---- the sheet ---- */

/* What was said after the session's beginning; where there is none (no message was begun, or it is in a row of its own), this is it. */
static void write_rest(const struct delivery_evidence *e, const struct dialogue_part *rest, struct sp_json *j)
{
	bool all = e->head.first_count == 0;
	if (!all)
		dialogue_part_print(&e->head, "dialogue", j);
	if (e->part_at_ms != e->at_ms)
		sp_json_time(j, all ? "dialogue_at" : "then_at", e->part_at_ms);
	dialogue_part_print(rest, all ? "dialogue" : "then", j);
}

/* Closes the object: what was tried before, and the dialogue. */
static void write_end(const struct delivery_evidence *e, struct sp_buf *out, const struct dialogue_part *rest)
{
	struct sp_json j;
	sp_json_begin(&j, out);
	j.comma = true;
	if (e->earlier.len > 0) {
		sp_json_open(&j, "earlier", '[');
		sp_json_raw(&j, NULL, sp_buf_str(&e->earlier));
		sp_json_close(&j, ']');
	}
	if (rest)
		write_rest(e, rest, &j);
	else
		dialogue_part_print(&e->head, "dialogue", &j);
	sp_json_close(&j, '}');
}

/* The session's row; leaves nothing of it here. */
static void fill_row(struct delivery_state *y, struct evidence_sheet *sheet, const struct dialogue_part *rest)
{
	struct delivery_evidence *e = y->evidence;
	sheet->at_ms = e->at_ms;
	sheet->destination = sp_strdup(y->pub.dest->name);
	sheet->data = e->facts;
	sheet->chain = e->chain;
	sp_buf_init(&e->facts, EVIDENCE_DATA_MAX);
	sp_buf_init(&e->chain, CHAIN_MAX);
	write_end(e, &sheet->data, rest);
	sheet->is_new = !sp_buf_failed(&sheet->data);
	if (sheet->chain.len > 0)
		queue_evidence_hash(sp_buf_str(&sheet->chain), sheet->chain_hash);
	dialogue_part_clear(&e->head);
	e->stored = true;
}

struct evidence_sheet *delivery_evidence_take(struct delivery_state *y)
{
	struct delivery_evidence *e = y->evidence;
	if (e == NULL || y->shard->relay->store == NULL)
		return NULL;
	struct evidence_sheet *sheet = sp_alloc(sizeof(*sheet));
	sheet->session = e->session;
	if (!e->over) {
		sheet->dialogue_at_ms = e->part_at_ms;
		sheet->dialogue = dialogue_take(&e->dialogue, since_ms(e));
	}
	if (!e->stored && e->facts.len > 0) {
		fill_row(y, sheet, NULL);
		sp_buf_clear(&e->earlier);
	}
	return sheet;
}

static void tell_tap(struct delivery_state *y, const struct dialogue_part *rest)
{
	const struct evidence_tap *tap = y->shard->relay->evidence_tap;
	struct delivery_evidence *e = y->evidence;
	write_end(e, &e->facts, rest);
	if (!sp_buf_failed(&e->facts))
		tap->session(tap->owner, y->pub.dest->name, sp_buf_str(&e->facts), sp_buf_str(&e->chain));
}

void delivery_evidence_over(struct delivery_state *y, const struct sp_fail *why)
{
	struct delivery_evidence *e = y->evidence;
	if (e == NULL || e->over)
		return;
	struct dialogue_part rest = dialogue_take(&e->dialogue, since_ms(e));
	if (y->shard->relay->evidence_tap && e->facts.len > 0) {
		tell_tap(y, &rest);
	} else if (y->shard->relay->store && !e->stored && e->facts.len > 0 && (e->failed || sp_failed(why))) {
		struct evidence_sheet *sheet = sp_alloc(sizeof(*sheet));
		sheet->session = e->session;
		fill_row(y, sheet, &rest);
		note_earlier(y);
		evidence_sheet_keep(sheet, y->shard->relay->store);
	}
	dialogue_part_clear(&rest);
	e->over = true;
	e->failed = false;
}

void delivery_evidence_idle(struct delivery_state *y)
{
	if (y->evidence && y->evidence->stored) {
		dialogue_clear(&y->evidence->dialogue);
		dialogue_init(&y->evidence->dialogue);
	}
}
