/* relay/bounce.c - see bounce.h. */
#include "relay/bounce.h"

#include "core/clock.h"
#include "core/file.h"
#include "core/log.h"
#include "relay/route.h"
#include "relay/sign.h"
#include "smtp/header.h"

#include <stdio.h>
#include <stdlib.h>

#define WHOLE_MAX 51200                 /* octets: a message up to this is returned whole, else its header */
#define HEADER_MAX 65536                /* octets of a header that are returned */
#define DSN_MAX (WHOLE_MAX + HEADER_MAX + 4 * 1024 * 1024)

struct bounce {
	struct shard *shard;
	struct queue_message *message;          /* one ref: what it is about */
	enum smtp_dsn_action action;
	const struct smtp_dsn_recipient *recipients;
	size_t count;
	void (*done)(void *owner, struct queue_message *dsn);
	void *owner;
	struct core_file_reader *reader;
};

const char *bounce_destination(const struct config *c, const char *address, struct sp_arena *arena)
{
	struct smtp_address a;
	const char *why;
	if (!smtp_address_parse(sp_str_of(address), true, arena, &a, &why))
		return sp_arena_strdup(arena, c->hostname);
	return route_destination(c, &(struct route_mail){ 0 }, &a, arena);
}

static struct queue_message *as_message(struct shard *s, uint64_t id, struct sp_buf *text)
{
	struct smtp_header_scan scan;
	smtp_header_scan_init(&scan);
	smtp_header_scan_feed(&scan, sp_buf_str(text));
	size_t len = text->len;
	bool eight_bit = false;
	for (size_t i = 0; i < len && !eight_bit; i++)
		eight_bit = (unsigned char)text->p[i] > 127;
	char client[64];
	snprintf(client, sizeof(client), "strictpost shard %u", s->index);
	struct queue_message fields = { .id = id, .kind = QUEUE_DSN, .arrived_ms = core_clock_wall_ms(), .sender = "",
	                                .eight_bit = eight_bit, .size = len, .header_len = (uint32_t)scan.len, .client = client,
	                                .body = sp_body_from_memory(sp_buf_take(text), len) };
	return queue_message_new(&fields);
}

static struct queue_message *compose(struct shard *s, const struct queue_message *m, enum smtp_dsn_action action,
                                     const struct smtp_dsn_recipient *recipients, size_t count, struct sp_str header, struct sp_str whole)
{
	char name[QUEUE_ID_TEXT];
	uint64_t id = queue_store_next_id(s->relay->store);
	struct smtp_dsn d = { .action = action, .hostname = s->config->hostname, .id = queue_id_str(id, name), .original_id = m->name,
	                      .sender = m->sender, .arrived_s = m->arrived_ms / 1000, .now_s = core_clock_wall_s(),
	                      .recipients = recipients, .count = count, .original_header = header, .original_body = whole };
	struct sp_buf text;
	sp_buf_init(&text, DSN_MAX);
	queue_store_in_hand(s->relay->store, s->index, m->id);
	smtp_dsn_write(&d, &text);
	if (sp_buf_failed(&text)) {             /* very many recipients with very long replies: without what was sent */
		sp_buf_clear(&text);
		sp_buf_init(&text, 4 * (size_t)DSN_MAX);
		d.original_body = sp_str_make(NULL, 0);
		smtp_dsn_write(&d, &text);
	}
	sign_message(s->config, m->name, &text);
	struct queue_message *dsn = as_message(s, id, &text);
	queue_store_in_hand(s->relay->store, s->index, 0);
	struct sp_log l;
	sp_log_begin(&l, SP_LOG_INFO, m->name, "notice");
	sp_log_cstr(&l, "action", action == SMTP_DSN_FAILED ? "failed" : "delayed");
	sp_log_cstr(&l, "to", m->sender);
	sp_log_cstr(&l, "notice_id", dsn->name);
	sp_log_int(&l, "recipients", (int64_t)count);
	sp_log_end(&l);
	return dsn;
}

static void on_header(void *owner, struct sp_str data, const struct sp_fail *why)
{
	struct bounce *b = owner;
	if (sp_failed(why))
		sp_log_text(SP_LOG_WARNING, b->message->name, "notice", "its header cannot be returned with the notification: %s", why->text);
	struct sp_str header = sp_str_make(data.p, sp_min(data.len, b->message->header_len));
	struct queue_message *dsn = compose(b->shard, b->message, b->action, b->recipients, b->count, header, sp_str_make(NULL, 0));
	core_file_close(b->reader);
	queue_message_unref(b->message);
	void (*done)(void *, struct queue_message *) = b->done;
	void *done_owner = b->owner;
	free(b);
	done(done_owner, dsn);
}

struct bounce *bounce_write(struct shard *s, struct queue_message *m, enum smtp_dsn_action action,
                            const struct smtp_dsn_recipient *recipients, size_t count,
                            void (*done)(void *owner, struct queue_message *dsn), void *owner)
{
	if (m->kind == QUEUE_DSN || *m->sender == '\0') {
		sp_log_text(SP_LOG_WARNING, m->name, "notice", "nobody can be told that it was not delivered: it has no sender; dropped");
		done(owner, NULL);
		return NULL;
	}
	const char *path = sp_body_path(m->body);
	if (path == NULL) {
		struct sp_str all = sp_body_bytes(m->body);
		struct sp_str header = sp_str_make(all.p, sp_min(sp_min(m->header_len, all.len), HEADER_MAX));
		done(owner, compose(s, m, action, recipients, count, header, all.len <= WHOLE_MAX ? all : sp_str_make(NULL, 0)));
		return NULL;
	}
	struct bounce *b = sp_alloc(sizeof(*b));
	*b = (struct bounce){ .shard = s, .message = queue_message_ref(m), .action = action, .recipients = recipients, .count = count,
	                      .done = done, .owner = owner };
	b->reader = core_file_open(s->loop, path);
	core_file_read(b->reader, sp_min(sp_max(m->header_len, 1), HEADER_MAX), on_header, b);
	return b;
}
