/* core/httpreq.c - see httpreq.h.
 * Octets go through the gate first; llhttp gets what passed, and both must find the ends at the same octets. */
#include "core/httpreq.h"

#include "core/buf.h"
#include "core/httpgate.h"

#include <llhttp.h>
#include <stdio.h>
#include <stdlib.h>

#define FIELD_MAX 64            /* of a name: no name we look for is longer */
#define VALUE_MAX 1024          /* of a value that we look at */
#define FIELDS 3                /* that are kept: enum core_httpreq_field */
#define FRAMING_FACTOR 8        /* octets on the wire for one of body, at most: a chunk of one octet takes 6 */

enum phase { HEAD, BODY, CHUNKS };

struct core_httpreq {
	llhttp_t parser;
	llhttp_settings_t settings;
	struct core_httpgate gate;
	enum phase phase;
	size_t head_max, body_max;
	size_t taken;                   /* octets fed */
	size_t left;                    /* BODY: octets to come */
	bool head_done, done, keep_alive, expects, chunked;
	unsigned seen[FIELDS];          /* how often */
	struct sp_buf kept[FIELDS];     /* values */
	int status;                     /* of a failure */
	char why[160];
	struct sp_buf target, body;
	struct sp_buf field;            /* name being read */
	struct sp_buf value;            /* of a field that we look at */
};

static int fail(struct core_httpreq *r, int status, const char *why)
{
	if (r->status == 0) {
		r->status = status;
		snprintf(r->why, sizeof(r->why), "%s", why);
	}
	return -1;
}

/* ---- what llhttp calls: 0 to go on, -1 after fail() ---- */

static int on_url(llhttp_t *p, const char *at, size_t len)
{
	struct core_httpreq *r = p->data;
	sp_buf_add(&r->target, sp_str_make(at, len));
	return 0;
}

static int on_field(llhttp_t *p, const char *at, size_t len)
{
	struct core_httpreq *r = p->data;
	sp_buf_add(&r->field, sp_str_make(at, len));
	return 0;
}

static int on_value(llhttp_t *p, const char *at, size_t len)
{
	struct core_httpreq *r = p->data;
	sp_buf_add(&r->value, sp_str_make(at, len));
	return 0;
}

/* Each of them says one thing, or what it says cannot be known (RFC 9112 3.2, RFC 9110 5.3). */
static int keep_field(struct core_httpreq *r, enum core_httpreq_field f, struct sp_str value)
{
	if (++r->seen[f] > 1)
		return fail(r, 400, f == CORE_HTTPREQ_HOST ? "more than one Host field" : "a field is there twice that may not be");
	sp_buf_add(&r->kept[f], value);
	return 0;
}

/* llhttp reads Content-Length, and refuses two; what it thinks of Transfer-Encoding is too generous. */
static int judge_field(struct core_httpreq *r, struct sp_str name, struct sp_str value, bool whole)
{
	static const char *const kept[FIELDS] = { "Host", "Origin", "Authorization" };
	for (size_t i = 0; i < FIELDS; i++)
		if (sp_str_eq_nocase(name, sp_str_of(kept[i])))
			return keep_field(r, (enum core_httpreq_field)i, whole ? value : SP_STR(""));
	if (sp_str_eq_nocase(name, SP_STR("expect")))
		r->expects = whole && sp_str_eq_nocase(value, SP_STR("100-continue"));
	if (!sp_str_eq_nocase(name, SP_STR("transfer-encoding")))
		return 0;
	if (r->chunked || !whole || !sp_str_eq_nocase(value, SP_STR("chunked")))
		return fail(r, 400, "the only Transfer-Encoding understood is chunked, once");
	r->chunked = true;
	return 0;
}

static int on_value_complete(llhttp_t *p)
{
	struct core_httpreq *r = p->data;
	int status = 0;
	if (!r->head_done && !sp_buf_failed(&r->field))         /* no trailer, and not longer than any that we look at */
		status = judge_field(r, sp_buf_str(&r->field), sp_str_trim(sp_buf_str(&r->value)), !sp_buf_failed(&r->value));
	sp_buf_reset(&r->field);
	sp_buf_reset(&r->value);
	return status;
}

/* RFC 9112 3.2.2: the form with scheme and authority is accepted; its authority counts, whatever Host says. */
static bool take_authority(struct core_httpreq *r)
{
	struct sp_buf *host = &r->kept[CORE_HTTPREQ_HOST];
	struct sp_str s = sp_buf_str(&r->target);
	if (!sp_take_prefix_nocase(&s, SP_STR("http://")))
		return true;
	size_t slash = sp_str_find(s, '/');
	if (slash == s.len || slash > VALUE_MAX)
		return false;
	sp_buf_reset(host);
	sp_buf_add(host, sp_str_make(s.p, slash));
	r->seen[CORE_HTTPREQ_HOST] = 1;
	sp_buf_consume(&r->target, r->target.len - (s.len - slash));
	return true;
}

static int on_headers_complete(llhttp_t *p)
{
	struct core_httpreq *r = p->data;
	bool length = p->flags & F_CONTENT_LENGTH, hostless = r->seen[CORE_HTTPREQ_HOST] == 0 && p->http_minor > 0;
	r->head_done = true;
	r->keep_alive = llhttp_should_keep_alive(p);
	if (!take_authority(r) || r->target.len == 0 || r->target.p[0] != '/' || sp_str_contains(sp_buf_str(&r->target), '#'))
		return fail(r, 400, "the target is no path");
	if (hostless)                           /* RFC 9112 3.2: also where the target has an authority */
		return fail(r, 400, "the Host field is missing");
	if (r->chunked && (length || p->http_minor == 0))       /* RFC 9112 6.1 */
		return fail(r, 400, "Transfer-Encoding with Content-Length, or in HTTP/1.0");
	if (length && p->content_length > r->body_max)
		return fail(r, 413, "the body is larger than the limit");
	r->left = length ? (size_t)p->content_length : 0;               /* RFC 9112 6.3: without either there is no body: curl -X POST */
	r->expects = r->expects && p->http_minor > 0 && (r->chunked || p->content_length > 0);
	return 0;
}

static int on_body(llhttp_t *p, const char *at, size_t len)
{
	struct core_httpreq *r = p->data;
	sp_buf_add(&r->body, sp_str_make(at, len));
	return sp_buf_failed(&r->body) ? fail(r, 413, "the body is larger than the limit") : 0;
}

static int on_message_complete(llhttp_t *p)
{
	struct core_httpreq *r = p->data;
	r->done = true;
	return HPE_PAUSED;                                      /* the next one begins anew */
}

/* ---- the reader ---- */

struct core_httpreq *core_httpreq_new(size_t head_max, size_t body_max)
{
	struct core_httpreq *r = sp_alloc(sizeof(*r));
	r->head_max = head_max;
	r->body_max = body_max;
	sp_buf_init(&r->target, head_max);
	sp_buf_init(&r->field, FIELD_MAX);
	sp_buf_init(&r->value, VALUE_MAX);
	sp_buf_init(&r->body, body_max);
	for (size_t i = 0; i < FIELDS; i++)
		sp_buf_init(&r->kept[i], VALUE_MAX);
	core_httpgate_head(&r->gate);
	llhttp_settings_init(&r->settings);
	r->settings.on_url = on_url;
	r->settings.on_header_field = on_field;
	r->settings.on_header_value = on_value;
	r->settings.on_header_value_complete = on_value_complete;
	r->settings.on_headers_complete = on_headers_complete;
	r->settings.on_body = on_body;
	r->settings.on_message_complete = on_message_complete;
	llhttp_init(&r->parser, HTTP_REQUEST, &r->settings);
	r->parser.data = r;
	return r;
}

void core_httpreq_free(struct core_httpreq *r)
{
	if (r == NULL)
		return;
	sp_buf_clear(&r->target);
	sp_buf_clear(&r->field);
	sp_buf_wipe(&r->value);
	sp_buf_clear(&r->body);
	for (size_t i = 0; i < FIELDS; i++)
		sp_buf_wipe(&r->kept[i]);
	free(r);
}

/* What passed the gate. */
static void execute(struct core_httpreq *r, struct sp_str piece)
{
	llhttp_errno_t err = llhttp_execute(&r->parser, piece.p, piece.len);
	if (r->status != 0 || err == HPE_OK)
		return;
	if (err != HPE_PAUSED || llhttp_get_error_pos(&r->parser) != piece.p + piece.len) {
		const char *said = llhttp_get_error_reason(&r->parser);
		fail(r, 400, said && *said ? said : llhttp_errno_name(err));
	}
}

static void begin_body(struct core_httpreq *r)
{
	if (!r->head_done) {
		fail(r, 400, "the head is not well-formed");
	} else if (r->chunked) {
		core_httpgate_chunks(&r->gate);
		r->phase = CHUNKS;
	} else if (!r->done) {
		r->phase = BODY;
		if (r->left == 0)
			fail(r, 400, "the head is not well-formed");
	}
}

/* How many octets may still come before a limit; 0 after fail(). */
static size_t room(struct core_httpreq *r)
{
	size_t limit = r->head_max;
	if (r->phase == CHUNKS)                                 /* sizes, extensions and trailers count too */
		limit += r->head_max + FRAMING_FACTOR * r->body_max;
	if (r->phase == BODY)
		return r->left;
	if (r->taken < limit)
		return limit - r->taken;
	if (r->phase == HEAD)
		fail(r, 431, "the head is larger than the limit");
	else
		fail(r, 413, "the body is larger than the limit");
	return 0;
}

static struct sp_str feed_piece(struct core_httpreq *r, struct sp_str data)
{
	struct sp_str piece = sp_str_make(data.p, sp_min(data.len, room(r)));
	if (r->status != 0)
		return piece;
	if (r->phase != BODY)
		piece.len = core_httpgate_pass(&r->gate, piece);
	else
		r->left -= piece.len;
	r->taken += piece.len;
	if (piece.len > 0)
		execute(r, piece);
	if (r->status == 0 && r->phase != BODY && r->gate.why)
		fail(r, 400, r->gate.why);
	if (r->status == 0 && r->phase == HEAD && r->gate.state == CORE_HTTPGATE_DONE)
		begin_body(r);
	else if (r->status == 0 && r->phase == CHUNKS && r->gate.state == CORE_HTTPGATE_DONE && !r->done)
		fail(r, 400, "the chunks are not well-formed");
	return sp_str_from(data, piece.len);
}

enum core_httpreq_state core_httpreq_feed(struct core_httpreq *r, struct sp_str data, size_t *used)
{
	size_t len = data.len;
	while (data.len > 0 && !r->done && r->status == 0)
		data = feed_piece(r, data);
	*used = len - data.len;
	if (r->status != 0)
		return CORE_HTTPREQ_FAILED;
	return r->done ? CORE_HTTPREQ_DONE : CORE_HTTPREQ_MORE;
}

int core_httpreq_status(const struct core_httpreq *r) { return r->status; }
const char *core_httpreq_why(const struct core_httpreq *r) { return r->why; }
bool core_httpreq_begun(const struct core_httpreq *r) { return r->taken > 0; }
bool core_httpreq_keep_alive(const struct core_httpreq *r) { return r->keep_alive; }
struct sp_str core_httpreq_field(const struct core_httpreq *r, enum core_httpreq_field f) { return sp_buf_str(&r->kept[f]); }
bool core_httpreq_has(const struct core_httpreq *r, enum core_httpreq_field f) { return r->seen[f] > 0; }
struct sp_str core_httpreq_body(const struct core_httpreq *r) { return sp_buf_str(&r->body); }

bool core_httpreq_expects(const struct core_httpreq *r)
{
	return r->expects && r->head_done && !r->done && r->status == 0 && r->body.len == 0;
}

const char *core_httpreq_method(const struct core_httpreq *r)
{
	return r->target.len > 0 ? llhttp_method_name((llhttp_method_t)r->parser.method) : "";
}

struct sp_str core_httpreq_path(const struct core_httpreq *r)
{
	struct sp_str target = sp_buf_str(&r->target);
	return sp_str_make(target.p, sp_str_find(target, '?'));
}

struct sp_str core_httpreq_query(const struct core_httpreq *r)
{
	struct sp_str target = sp_buf_str(&r->target);
	size_t path = sp_str_find(target, '?');
	return path < target.len ? sp_str_from(target, path + 1) : sp_str_make(NULL, 0);
}
