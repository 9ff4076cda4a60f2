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
#define FULL_MAX (1024 * 1024)          /* the same with RET=FULL */
#define HEADER_MAX 65536                /* octets of a header that are returned */
#define DSN_MAX (FULL_MAX + HEADER_MAX + 4 * 1024 * 1024)

struct bounce {
	struct shard *shard;
	struct queue_message *message;          /* one ref: what it is about */
	enum smtp_dsn_action action;
	const struct smtp_dsn_recipient *recipients;
	size_t count;
	void (*done)(void *owner, struct queue_message *dsn);
	void *owner;
	struct core_file_reader *reader;
	struct sp_buf content;                  /* what was read so far */
	size_t wanted;                          /* octets */
};

const char *bounce_destination(const struct config *c, const char *address, const struct sp_mail_wish *wish, struct sp_arena *arena)
{
	struct smtp_address a;
	const char *why;
	if (!smtp_address_parse(sp_str_of(address), true, arena, &a, &why))
		return sp_arena_strdup(arena, c->hostname);
	return route_destination(c, &(struct route_mail){ .wish = route_wish(wish) }, &a, arena);
}

/* RFC 8689 5 and 6: what tells of mail travels under TLS as that mail did; RFC 6710 4.6: and is as urgent. SMTPUTF8 is needed where its own envelope and header need it. */
static struct sp_mail_wish wish_for(const struct queue_message *about)
{
	struct sp_mail_wish wish = { .require_tls = about->wish.require_tls, .tls_optional = about->wish.tls_optional,
	                             .priority = about->wish.priority };
	for (const char *p = about->sender; *p; p++)
		wish.utf8 |= (unsigned char)*p > 127;
	return wish;
}

static struct queue_message *as_message(struct shard *s, uint64_t id, const struct queue_message *about, struct sp_buf *text)
{
	struct smtp_header_scan scan;
	smtp_header_scan_init(&scan);
	smtp_header_scan_feed(&scan, sp_buf_str(text));
	size_t len = text->len;
	bool eight_bit = !sp_str_is_ascii(sp_buf_str(text));
	char client[64];
	snprintf(client, sizeof(client), "strictpost shard %u", s->index);
	struct queue_message fields = { .id = id, .kind = QUEUE_DSN, .arrived_ms = core_clock_wall_ms(), .sender = "",
	                                .eight_bit = eight_bit, .size = len, .header_len = (uint32_t)scan.len, .client = client, .wish = wish_for(about),
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
	                      .recipients = recipients, .count = count, .original_header = header, .original_body = whole,
	                      .envid = m->wish.envid, .utf8 = m->wish.utf8, .tls_optional = m->wish.tls_optional,
	                      .deliver_by_s = m->wish.by != SP_BY_NONE ? m->wish.by_ms / 1000 : 0,
	                      .hold_for_s = m->wish.hold_for_s, .hold_until_s = m->wish.hold_until_ms / 1000 };
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
	struct queue_message *dsn = as_message(s, id, m, &text);
	queue_store_in_hand(s->relay->store, s->index, 0);
	struct sp_log l;
	sp_log_begin(&l, SP_LOG_INFO, m->name, "notice");
	sp_log_cstr(&l, "action", smtp_dsn_action_str(action));
	sp_log_cstr(&l, "to", m->sender);
	sp_log_cstr(&l, "notice_id", dsn->name);
	sp_log_int(&l, "recipients", (int64_t)count);
	sp_log_end(&l);
	return dsn;
}

/* How many octets of it are returned whole; 0: its header is returned. */
static size_t whole_wanted(const struct queue_message *m, enum smtp_dsn_action action)
{
	if (action != SMTP_DSN_FAILED)          /* RFC 3461 4.3: the header will do */
		return 0;
	if (m->wish.require_tls || m->wish.ret == SP_RET_HDRS)          /* RFC 8689 5: as if RET=HDRS was said */
		return 0;
	return m->size <= (m->wish.ret == SP_RET_FULL ? FULL_MAX : WHOLE_MAX) ? (size_t)m->size : 0;
}

static struct queue_message *compose_of(struct shard *s, const struct queue_message *m, enum smtp_dsn_action action,
                                        const struct smtp_dsn_recipient *recipients, size_t count, struct sp_str content)
{
	size_t whole = whole_wanted(m, action);
	struct sp_str header = sp_str_make(content.p, sp_min(sp_min(m->header_len, content.len), HEADER_MAX));
	struct sp_str all = whole > 0 && content.len == whole ? content : sp_str_make(NULL, 0);
	return compose(s, m, action, recipients, count, header, all);
}

static void on_content(void *owner, struct sp_str data, const struct sp_fail *why)
{
	struct bounce *b = owner;
	if (sp_failed(why))
		sp_log_text(SP_LOG_WARNING, b->message->name, "notice", "it cannot be returned with the notification: %s", why->text);
	sp_buf_add(&b->content, data);
	if (data.len > 0 && b->content.len < b->wanted) {
		core_file_read(b->reader, b->wanted - b->content.len, on_content, b);
		return;
	}
	struct queue_message *dsn = compose_of(b->shard, b->message, b->action, b->recipients, b->count, sp_buf_str(&b->content));
	core_file_close(b->reader);
	queue_message_unref(b->message);
	sp_buf_clear(&b->content);
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
		done(owner, compose_of(s, m, action, recipients, count, sp_body_bytes(m->body)));
		return NULL;
	}
	struct bounce *b = sp_alloc(sizeof(*b));
	*b = (struct bounce){ .shard = s, .message = queue_message_ref(m), .action = action, .recipients = recipients, .count = count,
	                      .done = done, .owner = owner, .wanted = whole_wanted(m, action) };
	if (b->wanted == 0)
		b->wanted = sp_min(sp_max(m->header_len, 1), HEADER_MAX);
	sp_buf_init(&b->content, b->wanted);
	b->reader = core_file_open(s->loop, path);
	core_file_read(b->reader, b->wanted, on_content, b);
	return b;
}

struct queue_message *bounce_without_require_tls(struct shard *s, const struct queue_message *m)
{
	if (*m->sender || !m->wish.require_tls || sp_body_path(m->body))
		return NULL;
	struct queue_message fields = *m;
	fields.id = queue_store_next_id(s->relay->store);
	fields.arrived_ms = core_clock_wall_ms();
	fields.wish.require_tls = false;
	fields.body = sp_body_ref(m->body);
	struct queue_message *copy = queue_message_new(&fields);
	sp_log_text(SP_LOG_INFO, m->name, "notice", "a bounce that cannot go under REQUIRETLS goes without, as %s", copy->name);
	return copy;
}
