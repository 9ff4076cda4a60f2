/* relay/api_queue_read.c - see api_queue_impl.h: the content of a message, and ages by destination. */
#include "relay/api_queue_impl.h"

#include "core/clock.h"
#include "core/file.h"
#include "core/json.h"

#include <stdlib.h>

#define PIECE_MAX (1u << 20)            /* octets of content in an answer */
#define SUMMARY_USUAL 200
#define SUMMARY_MAX (8u << 20)          /* octets of an answer: API_PAGE_MAX rows with what they wait for */

/* ---- content ---- */

struct content {
	struct api_request *request;
	struct queue_message *message;          /* one ref */
	struct core_file_reader *reader;
	uint64_t offset;
};

static void end_content(struct content *c)
{
	core_file_close(c->reader);
	queue_message_unref(c->message);
	free(c);
}

static void send_piece(struct api_request *q, struct sp_str piece)
{
	struct sp_buf body;
	sp_buf_init(&body, PIECE_MAX);
	sp_buf_add(&body, piece);
	api_send(q, 200, "message/rfc822", &body);
}

static void on_piece(void *owner, struct sp_str data, const struct sp_fail *why)
{
	struct content *c = owner;
	if (!sp_failed(why))
		send_piece(c->request, data);
	else if (strcmp(why->reason, "missing") == 0)           /* since we were told of it */
		api_refuse(c->request, 404, "%s left the queue meanwhile", c->message->name);
	else
		api_refuse(c->request, 500, "the content of %s: %s", c->message->name, why->text);
	end_content(c);
}

static void on_content(void *owner, struct queue_message *m, const struct sp_fail *why)
{
	struct content *c = owner;
	struct api_request *q = c->request;
	c->message = m;
	if (m == NULL) {
		if (!api_store_refused(q, why))
			api_refuse(q, 404, "there is no such message in the queue");
	} else if (sp_body_path(m->body) && c->offset < m->size) {
		c->reader = core_file_open(q->world->loop, sp_body_path(m->body));
		core_file_skip(c->reader, (size_t)c->offset);
		core_file_read(c->reader, PIECE_MAX, on_piece, c);
		return;
	} else {
		struct sp_str all = sp_body_bytes(m->body), rest = sp_str_from(all, (size_t)sp_min(c->offset, all.len));
		send_piece(q, sp_str_make(rest.p, sp_min(rest.len, PIECE_MAX)));
	}
	end_content(c);
}

void queue_show_content(struct api_request *q)
{
	const char *id = NULL;
	uint64_t number, offset = 0;
	const struct query_field fields[] = { { "id", QUERY_TEXT, &id }, { "offset", QUERY_NUMBER, &offset } };
	if (!api_read(q, fields, SP_COUNT(fields)))
		return;
	if (id == NULL || !queue_id_parse(sp_str_of(id), &number)) {
		api_refuse(q, 400, "id: '%s' is no queue id, as the log and the list show them", id ? id : "");
		return;
	}
	struct content *c = sp_alloc(sizeof(*c));
	c->request = q;
	c->offset = offset;
	queue_content(q->world->store, number, q->world->mailbox, on_content, c);
}

/* ---- ages ---- */

static void write_shape(struct sp_json *j, const struct queue_shape *s)
{
	sp_json_open(j, NULL, '{');
	sp_json_cstr(j, "destination", s->destination);
	sp_json_int(j, "recipients", (int64_t)s->recipients);
	sp_json_open(j, "ages", '[');
	for (size_t i = 0; i < QUEUE_AGES; i++)
		sp_json_int(j, NULL, (int64_t)s->ages[i]);
	sp_json_close(j, ']');
	sp_json_time(j, "oldest", s->oldest_ms);
	sp_json_time(j, "next_attempt", s->next_at_ms);
	sp_json_int(j, "failures", s->failures);
	sp_json_time(j, "failing_since", s->since_ms);
	sp_json_cstr(j, "delay_reason", *s->failure ? s->failure : NULL);
	sp_json_bool(j, "whole", s->whole);
	sp_json_close(j, '}');
}

static void on_shape(void *owner, const struct queue_shape *rows, size_t count, const char *next, const struct sp_fail *why)
{
	struct api_request *q = owner;
	struct api_page page;
	struct sp_json *j = &page.json;
	if (api_store_refused(q, why))
		return;
	api_page_begin(&page, SUMMARY_MAX);
	sp_json_open(j, "minutes", '[');       /* the ages' upper bounds; the last has none */
	for (size_t i = 0; i < QUEUE_AGES; i++) {
		if (queue_age_min[i] > 0)
			sp_json_int(j, NULL, queue_age_min[i]);
		else
			sp_json_cstr(j, NULL, NULL);
	}
	sp_json_close(j, ']');
	sp_json_open(j, "destinations", '[');
	for (size_t i = 0; i < count; i++)
		write_shape(j, &rows[i]);
	api_page_send(q, &page, next);
}

void queue_show_summary(struct api_request *q)
{
	uint64_t limit = SUMMARY_USUAL;
	const char *after = NULL;
	const struct query_field fields[] = { { "limit", QUERY_NUMBER, &limit }, { "after", QUERY_TEXT, &after } };
	if (api_read(q, fields, SP_COUNT(fields)) && api_limit_ok(q, limit, API_PAGE_MAX))
		queue_shape(q->world->store, after, (size_t)limit, core_clock_wall_ms(), q->world->mailbox, on_shape, q);
}
