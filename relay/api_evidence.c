/* relay/api_evidence.c - GET /evidence/message, /evidence/sessions and /evidence/chain (relay/api.h): what is kept of attempts, as relay/evidence.h has it.
 *   message   {"events": [{"id", "at", "data": {...}, "session": {"id", "at", "data": {...}} or null}], "next"}: the oldest first
 *   sessions  {"sessions": [{"id", "at", "destination", "data": {...}}], "next"}: the newest first
 *   chain     {"pem"} */
#include "relay/api_areas.h"

#include "queue/evidence.h"

#define USUAL 100
#define ANSWER_MAX (16u << 20)          /* octets: a page of the store, and the sessions that its events name */

/* The text of an id as a number, 0 where it is missing. False: refused. */
static bool read_id(struct api_request *q, const char *name, const char *text, uint64_t *out)
{
	*out = 0;
	if (text == NULL || queue_id_parse(sp_str_of(text), out))
		return true;
	api_refuse(q, 400, "%s: '%s' is no id: those are up to 13 letters and digits (no U)", name, text);
	return false;
}

static void add_id(struct sp_json *j, const char *key, uint64_t id)
{
	char text[QUEUE_ID_TEXT];
	sp_json_cstr(j, key, id ? queue_id_str(id, text) : NULL);
}

static void begin(struct api_page *p, const char *rows)
{
	api_page_begin(p, ANSWER_MAX);
	sp_json_open(&p->json, rows, '[');
}

static void send_page(struct api_request *q, struct api_page *p, uint64_t next)
{
	char text[QUEUE_ID_TEXT];
	api_page_send(q, p, next ? queue_id_str(next, text) : NULL);
}

static void add_session(struct sp_json *j, const char *key, const struct queue_evidence_session *s)
{
	sp_json_open(j, key, '{');
	add_id(j, "id", s->id);
	sp_json_time(j, "at", s->at_ms);
	sp_json_cstr(j, "destination", s->destination);
	sp_json_raw(j, "data", s->data);
	sp_json_close(j, '}');
}

/* ---- a message ---- */

static void on_events(void *owner, const struct queue_evidence_row *rows, size_t count, uint64_t next, const struct sp_fail *why)
{
	struct api_request *q = owner;
	struct api_page page;
	if (api_store_refused(q, why))
		return;
	begin(&page, "events");
	for (size_t i = 0; i < count; i++) {
		sp_json_open(&page.json, NULL, '{');
		add_id(&page.json, "id", rows[i].event.id);
		sp_json_time(&page.json, "at", rows[i].event.at_ms);
		sp_json_raw(&page.json, "data", rows[i].event.data);
		if (rows[i].session)
			add_session(&page.json, "session", rows[i].session);
		else
			sp_json_cstr(&page.json, "session", NULL);
		sp_json_close(&page.json, '}');
	}
	send_page(q, &page, next);
}

static void get_message(struct api_request *q)
{
	const char *id = NULL, *after = NULL;
	uint64_t message, from, limit = USUAL;
	const struct query_field fields[] = { { "id", QUERY_TEXT, &id }, { "after", QUERY_TEXT, &after }, { "limit", QUERY_NUMBER, &limit } };
	if (!api_read(q, fields, SP_COUNT(fields)) || !read_id(q, "id", id ? id : "", &message) || !read_id(q, "after", after, &from) ||
	    !api_limit_ok(q, limit, API_PAGE_MAX))
		return;
	queue_evidence_of(q->world->store, message, from, (size_t)limit, q->world->mailbox, on_events, q);
}

/* ---- sessions ---- */

static void on_sessions(void *owner, const struct queue_evidence_session *rows, size_t count, uint64_t next, const struct sp_fail *why)
{
	struct api_request *q = owner;
	struct api_page page;
	if (api_store_refused(q, why))
		return;
	begin(&page, "sessions");
	for (size_t i = 0; i < count; i++)
		add_session(&page.json, NULL, &rows[i]);
	send_page(q, &page, next);
}

static void get_sessions(struct api_request *q)
{
	const char *destination = NULL, *before = NULL;
	uint64_t below, limit = USUAL;
	const struct query_field fields[] = { { "destination", QUERY_TEXT, &destination }, { "before", QUERY_TEXT, &before },
	                                      { "after", QUERY_TEXT, &before }, { "limit", QUERY_NUMBER, &limit } };
	if (!api_read(q, fields, SP_COUNT(fields)) || !read_id(q, "before", before, &below) || !api_limit_ok(q, limit, API_PAGE_MAX))
		return;
	queue_evidence_sessions(q->world->store, destination, below, (size_t)limit, q->world->mailbox, on_sessions, q);
}

/* ---- certificates ---- */

static void on_chain(void *owner, struct sp_str pem, const struct sp_fail *why)
{
	struct api_request *q = owner;
	struct sp_buf body;
	struct sp_json j;
	if (api_store_refused(q, why))
		return;
	sp_buf_init(&body, ANSWER_MAX);
	sp_json_begin(&j, &body);
	sp_json_open(&j, NULL, '{');
	sp_json_str(&j, "pem", pem);
	sp_json_close(&j, '}');
	sp_buf_addc(&body, '\n');
	api_send(q, 200, "application/json", &body);
}

static void get_chain(struct api_request *q)
{
	const char *session = NULL;
	uint64_t id;
	const struct query_field fields[] = { { "session", QUERY_TEXT, &session } };
	if (!api_read(q, fields, SP_COUNT(fields)) || !read_id(q, "session", session ? session : "", &id))
		return;
	queue_evidence_chain(q->world->store, id, q->world->mailbox, on_chain, q);
}

void api_evidence_add(struct api *a)
{
	static const struct api_route routes[] = {
		{ "GET", "/evidence/message", get_message, 0 },
		{ "GET", "/evidence/sessions", get_sessions, 0 },
		{ "GET", "/evidence/chain", get_chain, 0 },
	};
	api_add(a, routes, SP_COUNT(routes), NULL, NULL);
}
