/* relay/evidence.c - see evidence.h: sheets on their way to the store, and what operators do. */
#include "relay/evidence.h"

#include "core/clock.h"
#include "core/log.h"

#include <stdlib.h>

bool evidence_wanted(const struct relay *r, const struct config *c)
{
	return r->evidence_tap || (r->store && c->evidence.keep_ms > 0);
}

/* ---- sheets ---- */

enum core_db_status evidence_sheet_write(struct core_db *db, const struct evidence_sheet *sheet)
{
	if (sheet == NULL || !sheet->is_new)
		return CORE_DB_OK;
	struct queue_evidence_session row = { .id = sheet->session, .at_ms = sheet->at_ms, .destination = sheet->destination,
	                                      .data = sp_buf_str(&sheet->data), .chain = sp_buf_str(&sheet->chain),
	                                      .chain_hash = sp_str_make(sheet->chain_hash, sizeof(sheet->chain_hash)) };
	return queue_evidence_add_session(db, &row);
}

void evidence_sheet_free(struct evidence_sheet *sheet)
{
	if (sheet == NULL)
		return;
	free(sheet->destination);
	sp_buf_clear(&sheet->data);
	sp_buf_clear(&sheet->chain);
	dialogue_part_clear(&sheet->dialogue);
	free(sheet);
}

/* ---- alone ---- */

struct keep_op {
	struct queue_op op;
	struct queue_store *store;
	struct evidence_sheet *sheet;
	/* or an act */
	uint64_t *ids;
	size_t count;
	int64_t at_ms;
	struct sp_buf data;
};

static void on_kept(struct queue_op *op, const struct sp_fail *why)
{
	struct keep_op *k = sp_container_of(op, struct keep_op, op);
	if (sp_failed(why))
		sp_log_text(SP_LOG_WARNING, k->sheet ? k->sheet->destination : NULL, "evidence", "not kept: %s", why->text);
	evidence_sheet_free(k->sheet);
	sp_buf_clear(&k->data);
	free(k->ids);
	free(k);
}

static void submit(struct keep_op *k, struct queue_store *store, enum core_db_status (*run)(struct core_db *db, struct queue_op *op))
{
	k->store = store;
	k->op.run = run;
	k->op.done = on_kept;
	k->op.patient = true;
	queue_store_submit(store, &k->op);
}

static enum core_db_status run_sheet(struct core_db *db, struct queue_op *op)
{
	return evidence_sheet_write(db, sp_container_of(op, struct keep_op, op)->sheet);
}

void evidence_sheet_keep(struct evidence_sheet *sheet, struct queue_store *store)
{
	struct keep_op *k = sp_alloc(sizeof(*k));
	k->sheet = sheet;
	submit(k, store, run_sheet);
}

/* ---- what an operator does ---- */

static enum core_db_status run_act(struct core_db *db, struct queue_op *op)
{
	struct keep_op *k = sp_container_of(op, struct keep_op, op);
	enum core_db_status status = CORE_DB_OK;
	for (size_t i = 0; i < k->count && status == CORE_DB_OK; i++) {
		struct queue_evidence_event e = { .id = queue_store_next_id(k->store), .at_ms = k->at_ms, .message = k->ids[i], .data = sp_buf_str(&k->data) };
		status = queue_evidence_add_event(db, &e);
	}
	return status;
}

void evidence_act(struct queue_store *store, const struct config *c, const uint64_t *ids, size_t count, const char *word, const char *reason)
{
	struct sp_json j;
	if (count == 0 || c->evidence.keep_ms == 0)
		return;
	struct keep_op *k = sp_alloc(sizeof(*k));
	k->ids = sp_alloc_array(count, sizeof(*k->ids));
	memcpy(k->ids, ids, count * sizeof(*k->ids));
	k->count = count;
	k->at_ms = core_clock_wall_ms();
	sp_buf_init(&k->data, 65536);
	sp_json_begin(&j, &k->data);
	sp_json_open(&j, NULL, '{');
	sp_json_cstr(&j, "event", word);
	if (reason && *reason)
		sp_json_str(&j, "reason", sp_str_make(reason, sp_min(strlen(reason), 1000)));
	sp_json_close(&j, '}');
	submit(k, store, run_act);
}
