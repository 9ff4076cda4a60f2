/* core/httpresp.c - see httpresp.h.
 * llhttp hands names and values over in pieces; an error sticks, and a callback's own failure is noted here before it returns. */
#include "core/httpresp.h"

#include "core/buf.h"

#include <llhttp.h>
#include <stdio.h>
#include <stdlib.h>

#define FIELD_MAX 64            /* of a name: no name we look for is longer */
#define VALUE_MAX 1024          /* of a value that we keep */
#define FRAMING_FACTOR 8        /* octets on the wire for one of body, at most: a chunk of one octet takes 6 */

struct core_httpresp {
	llhttp_t parser;
	llhttp_settings_t settings;
	size_t head_max, body_max;
	size_t taken;                   /* octets fed */
	bool head_done;                 /* of the final response */
	bool done;
	int status;
	struct sp_fail fail;
	struct sp_buf field;            /* name being read */
	struct sp_buf value;            /* of a field that we keep */
	struct sp_buf content_type, content_encoding, body;
};

static void set_fail(struct core_httpresp *r, enum sp_fail_kind kind, const char *reason, const char *text)
{
	if (sp_failed(&r->fail))
		return;
	sp_fail_set(&r->fail, kind, "%s", text);
	snprintf(r->fail.reason, sizeof(r->fail.reason), "%s", reason);
}

/* ---- what llhttp calls: 0 to go on, -1 after set_fail() ---- */

static int on_field(llhttp_t *p, const char *at, size_t len)
{
	struct core_httpresp *r = p->data;
	sp_buf_add(&r->field, sp_str_make(at, len));
	return 0;
}

static struct sp_buf *kept_in(struct core_httpresp *r)
{
	struct sp_str name = sp_buf_str(&r->field);
	if (r->head_done || sp_buf_failed(&r->field))           /* a trailer, or longer than any that we keep */
		return NULL;
	if (sp_str_eq_nocase(name, SP_STR("content-type")))
		return &r->content_type;
	if (sp_str_eq_nocase(name, SP_STR("content-encoding")))
		return &r->content_encoding;
	return NULL;
}

static int on_value(llhttp_t *p, const char *at, size_t len)
{
	struct core_httpresp *r = p->data;
	if (kept_in(r))
		sp_buf_add(&r->value, sp_str_make(at, len));
	return 0;
}

static int on_value_complete(llhttp_t *p)
{
	struct core_httpresp *r = p->data;
	struct sp_buf *to = kept_in(r);
	bool too_long = sp_buf_failed(&r->value);
	if (to && to->len == 0 && !too_long)
		sp_buf_add(to, sp_str_trim(sp_buf_str(&r->value)));
	sp_buf_reset(&r->field);
	sp_buf_reset(&r->value);
	if (!too_long)
		return 0;
	set_fail(r, SP_FAIL_HTTP, "head-too-long", "a header field of the response is too long");
	return -1;
}

static bool is_interim(int status)
{
	return status >= 100 && status < 200 && status != HTTP_STATUS_SWITCHING_PROTOCOLS;
}

static int on_headers_complete(llhttp_t *p)
{
	struct core_httpresp *r = p->data;
	int status = llhttp_get_status_code(p);
	if (is_interim(status)) {                               /* RFC 9110 15.2: the final one follows */
		sp_buf_reset(&r->content_type);
		sp_buf_reset(&r->content_encoding);
		return 0;
	}
	r->status = status;
	r->head_done = true;
	if (status < 200) {
		set_fail(r, SP_FAIL_PROTOCOL, "http-syntax", "the server switched protocols unasked");
		return -1;
	}
	if ((p->flags & F_CONTENT_LENGTH) && p->content_length > r->body_max) {
		set_fail(r, SP_FAIL_HTTP, "body-too-large", "the response body is announced larger than the limit");
		return -1;
	}
	return 0;
}

static int on_body(llhttp_t *p, const char *at, size_t len)
{
	struct core_httpresp *r = p->data;
	sp_buf_add(&r->body, sp_str_make(at, len));
	if (!sp_buf_failed(&r->body))
		return 0;
	set_fail(r, SP_FAIL_HTTP, "body-too-large", "the response body is larger than the limit");
	return -1;
}

static int on_message_complete(llhttp_t *p)
{
	struct core_httpresp *r = p->data;
	if (!r->head_done)                                      /* that was an interim one */
		return 0;
	r->done = true;
	return HPE_PAUSED;                                      /* what follows is not ours to read */
}

/* ---- the reader ---- */

struct core_httpresp *core_httpresp_new(size_t head_max, size_t body_max)
{
	struct core_httpresp *r = sp_alloc(sizeof(*r));
	r->head_max = head_max;
	r->body_max = body_max;
	sp_buf_init(&r->field, FIELD_MAX);
	sp_buf_init(&r->value, VALUE_MAX);
	sp_buf_init(&r->content_type, VALUE_MAX);
	sp_buf_init(&r->content_encoding, VALUE_MAX);
	sp_buf_init(&r->body, body_max);
	llhttp_settings_init(&r->settings);
	r->settings.on_header_field = on_field;
	r->settings.on_header_value = on_value;
	r->settings.on_header_value_complete = on_value_complete;
	r->settings.on_headers_complete = on_headers_complete;
	r->settings.on_body = on_body;
	r->settings.on_message_complete = on_message_complete;
	llhttp_init(&r->parser, HTTP_RESPONSE, &r->settings);
	r->parser.data = r;
	return r;
}

void core_httpresp_free(struct core_httpresp *r)
{
	if (r == NULL)
		return;
	sp_buf_clear(&r->field);
	sp_buf_clear(&r->value);
	sp_buf_clear(&r->content_type);
	sp_buf_clear(&r->content_encoding);
	sp_buf_clear(&r->body);
	free(r);
}

static enum core_httpresp_state after(struct core_httpresp *r, llhttp_errno_t err)
{
	if (sp_failed(&r->fail))
		return CORE_HTTPRESP_FAILED;
	if (r->done)
		return CORE_HTTPRESP_DONE;
	if (err == HPE_OK)                                      /* all was taken */
		return CORE_HTTPRESP_MORE;
	if (err == HPE_INVALID_EOF_STATE) {
		set_fail(r, SP_FAIL_PROTOCOL, "truncated", "the connection ended before the response did");
	} else {
		set_fail(r, SP_FAIL_PROTOCOL, "http-syntax", "");
		const char *said = llhttp_get_error_reason(&r->parser);
		snprintf(r->fail.text, sizeof(r->fail.text), "not an HTTP response: %s",
		         said && *said ? said : llhttp_errno_name(err));
	}
	return CORE_HTTPRESP_FAILED;
}

static enum core_httpresp_state feed_piece(struct core_httpresp *r, struct sp_str piece)
{
	r->taken += piece.len;
	return after(r, llhttp_execute(&r->parser, piece.p, piece.len));
}

enum core_httpresp_state core_httpresp_feed(struct core_httpresp *r, struct sp_str data)
{
	while (data.len > 0) {
		size_t limit = r->head_max;
		if (r->head_done)                               /* chunk sizes, extensions and trailers count too */
			limit += r->head_max + FRAMING_FACTOR * r->body_max;
		if (r->taken >= limit) {
			set_fail(r, SP_FAIL_HTTP, r->head_done ? "body-too-large" : "head-too-long",
			         r->head_done ? "the response is larger than the limit"
			                      : "the head of the response is larger than the limit");
			return CORE_HTTPRESP_FAILED;
		}
		struct sp_str piece = sp_str_make(data.p, sp_min(data.len, limit - r->taken));
		enum core_httpresp_state state = feed_piece(r, piece);
		if (state != CORE_HTTPRESP_MORE)
			return state;
		data = sp_str_from(data, piece.len);
	}
	return CORE_HTTPRESP_MORE;
}

enum core_httpresp_state core_httpresp_end(struct core_httpresp *r)
{
	enum core_httpresp_state state = after(r, llhttp_finish(&r->parser));
	if (state != CORE_HTTPRESP_MORE)
		return state;
	set_fail(r, SP_FAIL_PROTOCOL, "truncated", "the connection ended without a response");
	return CORE_HTTPRESP_FAILED;
}

const struct sp_fail *core_httpresp_fail(const struct core_httpresp *r) { return &r->fail; }
bool core_httpresp_begun(const struct core_httpresp *r) { return r->taken > 0; }
int core_httpresp_status(const struct core_httpresp *r) { return r->status; }
const char *core_httpresp_content_type(const struct core_httpresp *r) { return sp_buf_cstr(&r->content_type); }
const char *core_httpresp_content_encoding(const struct core_httpresp *r) { return sp_buf_cstr(&r->content_encoding); }
struct sp_str core_httpresp_body(const struct core_httpresp *r) { return sp_buf_str(&r->body); }
