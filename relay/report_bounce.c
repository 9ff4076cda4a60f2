/* relay/report_bounce.c - see report_bounce.h. */
#include "relay/report_bounce.h"

#include "core/clock.h"
#include "core/file.h"
#include "core/log.h"
#include "rpt/outbox.h"
#include "smtp/dsnread.h"

#include <stdlib.h>

#define LATELY_S (7 * RPT_DAY_S)        /* our own 24 h, and the 5 days that the next relay may try (RFC 5321 4.5.4.1) */

struct report_bounce {
	struct queue_op op;
	struct shard *shard;
	const struct queue_message *message;    /* borrowed */
	void (*done)(void *owner, bool taken, const struct sp_fail *why);
	void *owner;
	struct core_file_reader *reader;
	struct sp_arena arena;                  /* of the recipients' strings, and of */
	struct sp_str text;                     /* the notification, as far as it is read */
	struct smtp_dsnread recipients[SMTP_DSNREAD_MAX];
	size_t count;                           /* of those that failed for good */
	int64_t now_s;
	const char *suppressed[SMTP_DSNREAD_MAX];       /* for each: which of its addresses is now; NULL: none */
};

bool report_bounce_fits(const struct config *c, const char *sender, const struct queue_recipient *recipients, size_t count)
{
	return c->report.enabled && *sender == '\0' && count == 1 &&
	       sp_str_eq_nocase(sp_str_of(recipients[0].address), sp_str_of(config_report_identity(c)->contact));
}

static void finish(struct report_bounce *b, bool taken, const struct sp_fail *why)
{
	b->done(b->owner, taken, why);
	sp_arena_clear(&b->arena);
	free(b);
}

/* CORE_DB_ROW: a report was mailed there lately, and it is left alone from now on. */
static enum core_db_status suppress(struct core_db *db, const struct report_bounce *b, const char *address, const struct smtp_dsnread *r)
{
	enum core_db_status status = *address ? rpt_outbox_mailed_to(db, address, b->now_s - LATELY_S, b->text) : CORE_DB_OK;
	if (status != CORE_DB_ROW)
		return status;
	struct sp_buf text;
	sp_buf_init(&text, 512);
	sp_buf_printf(&text, "bounced: %s %s", r->status, r->diagnostic);
	status = rpt_suppress(db, address, b->now_s, b->now_s + RPT_SUPPRESS_S, sp_buf_cstr(&text));
	sp_buf_clear(&text);
	return status == CORE_DB_OK ? CORE_DB_ROW : status;
}

/* On the store's thread. The original recipient first: that is what we wrote to, the final one may be where it was forwarded to. */
static enum core_db_status run(struct core_db *db, struct queue_op *op)
{
	struct report_bounce *b = sp_container_of(op, struct report_bounce, op);
	for (size_t i = 0; i < b->count; i++) {
		const struct smtp_dsnread *r = &b->recipients[i];
		const char *address = r->original;
		enum core_db_status status = suppress(db, b, address, r);
		if (status == CORE_DB_OK)
			status = suppress(db, b, address = r->final, r);
		if (status != CORE_DB_OK && status != CORE_DB_ROW)
			return status;
		b->suppressed[i] = status == CORE_DB_ROW ? address : NULL;
	}
	return CORE_DB_OK;
}

static void log_suppressed(const struct report_bounce *b, size_t i)
{
	struct sp_log l;
	sp_log_begin(&l, SP_LOG_INFO, b->message->name, "report-bounce");
	sp_log_cstr(&l, "address", b->suppressed[i]);
	sp_log_cstr(&l, "status", b->recipients[i].status);
	sp_log_cstr(&l, "why", b->recipients[i].diagnostic);
	sp_log_int(&l, "suppressed_days", RPT_SUPPRESS_S / RPT_DAY_S);
	sp_log_end(&l);
}

static void on_stored(struct queue_op *op, const struct sp_fail *why)
{
	struct report_bounce *b = sp_container_of(op, struct report_bounce, op);
	struct shard *s = b->shard;
	bool taken = false;
	for (size_t i = 0; i < b->count && !sp_failed(why); i++) {
		taken |= b->suppressed[i] != NULL;
		if (b->suppressed[i])
			log_suppressed(b, i);
	}
	finish(b, taken, why);
	shard_op_end(s);
}

/* Keeps the recipients that failed for good. A failure that is not (4.y.z: given up after days) says nothing against the address. */
static void read_notification(struct report_bounce *b, struct sp_str text)
{
	size_t all;
	if (!smtp_dsnread(text, &b->arena, b->recipients, &all))
		all = 0;
	for (size_t i = 0; i < all; i++)
		if (b->recipients[i].failed && b->recipients[i].status[0] == '5')
			b->recipients[b->count++] = b->recipients[i];
	if (b->count == 0) {
		finish(b, false, &SP_FAIL_OK);
		return;
	}
	b->text = sp_str_make(sp_arena_dup(&b->arena, text), text.len);
	b->now_s = core_clock_wall_s();
	b->op.run = run;
	b->op.done = on_stored;
	b->op.reply_to = b->shard->mailbox;
	shard_op_begin(b->shard);
	queue_store_submit(b->shard->relay->store, &b->op);
}

static void on_read(void *owner, struct sp_str data, const struct sp_fail *why)
{
	struct report_bounce *b = owner;
	struct shard *s = b->shard;
	core_file_close(b->reader);
	if (sp_failed(why))
		finish(b, false, &SP_FAIL_OK);          /* the spool will say what is wrong with it */
	else
		read_notification(b, data);
	shard_op_end(s);
}

void report_bounce_read(struct shard *s, const struct queue_message *m, void (*done)(void *owner, bool taken, const struct sp_fail *why), void *owner)
{
	struct report_bounce *b = sp_alloc(sizeof(*b));
	b->shard = s;
	b->message = m;
	b->done = done;
	b->owner = owner;
	const char *path = sp_body_path(m->body);
	if (path == NULL) {
		struct sp_str all = sp_body_bytes(m->body);
		read_notification(b, sp_str_make(all.p, sp_min(all.len, REPORT_BOUNCE_READ_MAX)));
		return;
	}
	shard_op_begin(s);
	b->reader = core_file_open(s->loop, path);
	core_file_read(b->reader, REPORT_BOUNCE_READ_MAX, on_read, b);
}
