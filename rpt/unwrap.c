/* rpt/unwrap.c - the documents in a file; see read.h. Looks at the first octets, undoes what it sees, and looks again. */
#include "rpt/read.h"

#include "core/gzip.h"
#include "rpt/mime.h"

#include <string.h>

#define DEPTH_MAX 10                    /* gzip in base64 in a part in a forwarded mail in a mail ... */
#define PARTS_MAX 200                   /* of a mail, and of all the mails in it */
#define UNPACKED_MAX (2 * (size_t)RPT_FILE_MAX) /* octets decoded and unpacked in all */
#define WEIGHT_MAX 4000000u             /* of the values in a document: bounds what the parser allocates */

struct walk {
	rpt_found_fn found;
	void *arg;
	struct sp_buf *why;             /* the first reason */
	struct sp_arena arena;
	unsigned count, parts;
	bool foreign;                   /* a mail held JSON of another kind */
	size_t left;                    /* of UNPACKED_MAX */
	struct sp_buf seen;             /* the types of the parts that were no report */
};

static void look(struct walk *w, struct sp_str s, const struct rpt_carrier *carrier, unsigned depth);

SP_PRINTF(2, 3) static void note(struct walk *w, const char *fmt, ...)
{
	struct sp_buf text;
	if (w->why->len > 0)
		return;
	sp_buf_init(&text, 4096);
	va_list args;
	va_start(args, fmt);
	sp_buf_vprintf(&text, fmt, args);
	va_end(args);
	sp_buf_add_printable(w->why, sp_buf_str(&text));
	sp_buf_clear(&text);
}

/* ---- what is it? ---- */

enum kind { KIND_EMPTY, KIND_JSON, KIND_GZIP, KIND_BASE64, KIND_MAIL, KIND_ZIP, KIND_UTF16, KIND_OTHER };

static const struct { enum kind kind; struct sp_str start; } marks[] = {
	{ KIND_GZIP, { "\x1f\x8b", 2 } },
	{ KIND_ZIP, { "PK\x03\x04", 4 } },
	{ KIND_ZIP, { "PK\x05\x06", 4 } },
	{ KIND_UTF16, { "\xff\xfe", 2 } },
	{ KIND_UTF16, { "\xfe\xff", 2 } },
};

static struct sp_str skip_space(struct sp_str s)
{
	while (s.len > 0 && (sp_is_blank(s.p[0]) || s.p[0] == '\r' || s.p[0] == '\n'))
		s = sp_str_from(s, 1);
	return s;
}

static enum kind kind_of(struct sp_str s)
{
	for (size_t i = 0; i < SP_COUNT(marks); i++)
		if (sp_str_starts(s, marks[i].start))
			return marks[i].kind;
	(void)!sp_take_prefix(&s, SP_STR("\xef\xbb\xbf"));
	s = skip_space(s);
	if (s.len == 0)
		return KIND_EMPTY;
	if (s.p[0] == '{' || s.p[0] == '[')
		return KIND_JSON;
	if (sp_str_starts(s, SP_STR("H4sI")))                           /* the first octets of gzip */
		return KIND_BASE64;
	return rpt_mime_is_mail(s) ? KIND_MAIL : KIND_OTHER;
}

/* ---- JSON ---- */

/* How much of the parser's memory the text would take, roughly: a value 1, an object or array 4. */
static bool too_many_values(struct sp_str s)
{
	uint64_t weight = 0;
	bool in_string = false;
	for (size_t i = 0; i < s.len; i++) {
		char c = s.p[i];
		if (in_string && c == '\\')
			i++;
		else if (c == '"')
			in_string = !in_string;
		else if (!in_string)
			weight += c == ',' ? 1 : c == '{' || c == '[' ? 4 : 0;
	}
	return weight > WEIGHT_MAX;
}

/* What the parser refuses, for people. */
static void note_fault(struct walk *w, const json_error_t *e)
{
	enum json_error_code code = json_error_code(e);
	if (code == json_error_numeric_overflow)
		note(w, "line %d, column %d: a number that is larger than is read here (2^63)", e->line, e->column);
	else if (code == json_error_null_character || code == json_error_null_byte_in_key)
		note(w, "line %d, column %d: the character U+0000 in a string, which is not read here", e->line, e->column);
	else
		note(w, "line %d, column %d: not JSON: %s", e->line, e->column, e->text);
}

static bool is_report(const json_t *document)
{
	return json_object_get(document, "policies") || json_object_get(document, "report-id") || json_object_get(document, "date-range") ||
	       json_object_get(document, "organization-name");
}

static void look_json(struct walk *w, struct sp_str s, struct rpt_carrier carrier)
{
	json_error_t error;
	carrier.byte_order_mark = sp_take_prefix(&s, SP_STR("\xef\xbb\xbf"));
	if (too_many_values(s)) {
		note(w, "the document holds more values than are read here (about a third of a million failures)");
		return;
	}
	json_t *document = json_loadb(s.p, s.len, JSON_REJECT_DUPLICATES, &error);
	if (document == NULL && json_error_code(&error) == json_error_duplicate_key) {
		carrier.repeated = sp_arena_strdup(&w->arena, error.text);
		document = json_loadb(s.p, s.len, 0, &error);
	}
	if (document == NULL)
		note_fault(w, &error);
	else if (carrier.mail && !is_report(document))                  /* an attachment of another kind */
		w->foreign = true;
	else {
		w->count++;
		w->found(w->arg, document, &carrier);
	}
	json_decref(document);
}

/* ---- packed ---- */

static size_t room_left(const struct walk *w)
{
	return sp_min(w->left, RPT_FILE_MAX);
}

static void look_gzip(struct walk *w, struct sp_str s, struct rpt_carrier carrier, unsigned depth)
{
	struct sp_buf out;
	const char *why = "";
	sp_buf_init(&out, room_left(w));
	carrier.gzip = true;
	bool good = core_gunzip(s, &out, &why);
	w->left -= sp_min(out.len, w->left);
	if (good)
		look(w, sp_buf_str(&out), &carrier, depth + 1);
	else
		note(w, "the gzip data cannot be unpacked: %s", why);
	sp_buf_clear(&out);
}

static void look_base64(struct walk *w, struct sp_str s, const struct rpt_carrier *carrier, unsigned depth)
{
	struct sp_buf out;
	sp_buf_init(&out, room_left(w));
	bool good = rpt_mime_decode_base64(s, &out);
	w->left -= sp_min(out.len, w->left);
	if (good)
		look(w, sp_buf_str(&out), carrier, depth + 1);
	else
		note(w, "it is larger than %u MiB, once decoded", RPT_FILE_MAX >> 20);
	sp_buf_clear(&out);
}

/* ---- mail ---- */

static void look_entity(struct walk *w, struct sp_str header, struct sp_str body, const struct rpt_carrier *carrier, unsigned depth);

static const char *field(struct walk *w, struct sp_str header, const char *name)
{
	return rpt_mime_field(&header, name, &w->arena);
}

/* A tag of a DKIM-Signature value (RFC 6376 3.2), blanks in it left out; NULL: not there. */
static const char *dkim_tag(struct walk *w, const char *value, const char *name)
{
	struct sp_str s = sp_str_of(value);
	while (s.len > 0) {
		struct sp_str tag = sp_take_until(&s, ';');
		struct sp_str key = sp_str_trim(sp_take_until(&tag, '='));
		if (!sp_str_eq(key, sp_str_of(name)))
			continue;
		char *copy = sp_arena_dup(&w->arena, tag), *to = copy;
		for (const char *c = copy; *c; c++)
			if (!sp_is_blank(*c))
				*to++ = *c;
		*to = '\0';
		return copy;
	}
	return NULL;
}

static void take_signatures(struct walk *w, struct sp_str header, struct rpt_carrier *carrier)
{
	const char *value;
	while (carrier->signature_count < RPT_SIGNATURES_MAX && (value = rpt_mime_field(&header, "DKIM-Signature", &w->arena)) != NULL)
		carrier->signatures[carrier->signature_count++] = (struct rpt_signature){
			.domain = dkim_tag(w, value, "d"), .fields = dkim_tag(w, value, "h"), .partial = dkim_tag(w, value, "l") != NULL,
		};
}

static void look_mail(struct walk *w, struct sp_str s, unsigned depth)
{
	struct sp_str header, body;
	rpt_mime_split(skip_space(s), &header, &body);
	const char *type = field(w, header, "Content-Type");
	struct rpt_carrier carrier = {
		.mail = true,
		.type = type ? rpt_mime_token(type, &w->arena) : NULL,
		.report_type = type ? rpt_mime_parameter(type, "report-type", &w->arena) : NULL,
		.domain = field(w, header, "TLS-Report-Domain"),
		.submitter = field(w, header, "TLS-Report-Submitter"),
		.subject = field(w, header, "Subject"),
	};
	take_signatures(w, header, &carrier);
	look_entity(w, header, body, &carrier, depth);
}

static void look_mailbox(struct walk *w, struct sp_str s, unsigned depth)
{
	struct sp_str mail;
	unsigned before = w->parts;
	while (rpt_mime_next_mail(&s, &mail)) {
		w->parts = before;
		look_mail(w, mail, depth);
	}
}

static void look_multipart(struct walk *w, const char *type, struct sp_str body, const struct rpt_carrier *carrier, unsigned depth)
{
	const char *boundary = rpt_mime_parameter(type, "boundary", &w->arena);
	if (boundary == NULL || *boundary == '\0') {
		note(w, "the mail is in several parts and does not tell its boundary (RFC 2046 5.1.1)");
		return;
	}
	struct rpt_parts parts;
	struct sp_str part, header, inner;
	rpt_parts_begin(&parts, body, boundary);
	while (w->parts < PARTS_MAX && rpt_parts_next(&parts, &part)) {
		rpt_mime_split(part, &header, &inner);
		look_entity(w, header, inner, carrier, depth + 1);
	}
}

static const char *file_name(struct walk *w, struct sp_str header, const char *type)
{
	const char *disposition = field(w, header, "Content-Disposition");
	const char *name = disposition ? rpt_mime_parameter(disposition, "filename", &w->arena) : NULL;
	return name || type == NULL ? name : rpt_mime_parameter(type, "name", &w->arena);
}

/* A part's content, decoded. What people read is passed over, unless it is JSON. */
static void look_content(struct walk *w, struct sp_str content, const struct rpt_carrier *carrier, unsigned depth)
{
	struct sp_str type = sp_str_of(carrier->part_type);
	enum kind kind = kind_of(content);
	bool is_text = sp_str_starts(type, SP_STR("text/")), is_tlsrpt = sp_str_starts(type, SP_STR("application/tlsrpt"));
	bool is_mail = kind == KIND_MAIL || sp_str_eq(type, SP_STR("message/rfc822"));
	if (is_mail && !is_text && !is_tlsrpt)
		look_mail(w, content, depth + 1);
	else if (kind == KIND_JSON || kind == KIND_GZIP || kind == KIND_ZIP || (kind == KIND_BASE64 && !is_text))
		look(w, content, carrier, depth + 1);
	else if (is_tlsrpt)
		note(w, "the part of type %s holds %s", carrier->part_type, kind == KIND_EMPTY ? "nothing" : "neither gzip nor JSON");
	else
		sp_buf_printf(&w->seen, "%s%s", w->seen.len > 0 ? ", " : "", carrier->part_type);
}

static void look_entity(struct walk *w, struct sp_str header, struct sp_str body, const struct rpt_carrier *outer, unsigned depth)
{
	const char *type = field(w, header, "Content-Type"), *encoding = field(w, header, "Content-Transfer-Encoding");
	struct rpt_carrier carrier = *outer;
	if (++w->parts > PARTS_MAX || depth > DEPTH_MAX) {
		note(w, "the mail has more parts, or parts in parts, than are looked at (%d, %d deep)", PARTS_MAX, DEPTH_MAX);
		return;
	}
	carrier.part_type = type ? rpt_mime_token(type, &w->arena) : "text/plain";      /* RFC 2045 5.2 */
	if (sp_str_starts(sp_str_of(carrier.part_type), SP_STR("multipart/"))) {
		look_multipart(w, type, body, &carrier, depth);
		return;
	}
	carrier.file_name = file_name(w, header, type);
	struct sp_buf room;
	struct sp_str content;
	sp_buf_init(&room, room_left(w));
	bool good = rpt_mime_decode(body, encoding ? rpt_mime_token(encoding, &w->arena) : "", &room, &content);
	w->left -= sp_min(room.len, w->left);
	if (good)
		look_content(w, content, &carrier, depth);
	else
		note(w, "a part of the mail is larger than %u MiB", RPT_FILE_MAX >> 20);
	sp_buf_clear(&room);
}

/* ---- all of it ---- */

static void look(struct walk *w, struct sp_str s, const struct rpt_carrier *carrier, unsigned depth)
{
	if (depth > DEPTH_MAX) {
		note(w, "it is packed more than %d times", DEPTH_MAX);
		return;
	}
	switch (kind_of(s)) {
	case KIND_EMPTY:
		note(w, "it is empty");
		break;
	case KIND_JSON:
		look_json(w, s, *carrier);
		break;
	case KIND_GZIP:
		look_gzip(w, s, *carrier, depth);
		break;
	case KIND_BASE64:
		look_base64(w, s, carrier, depth);
		break;
	case KIND_MAIL:
		look_mailbox(w, s, depth);
		break;
	case KIND_ZIP:
		note(w, "%s%sthis is a zip archive, which RFC 8460 5.2 does not know (gzip); unpack it, and give the JSON file in it",
		     carrier->file_name ? carrier->file_name : "", carrier->file_name ? ": " : "");
		break;
	case KIND_UTF16:
		note(w, "this is UTF-16; save it as UTF-8 (RFC 8259 8.1)");
		break;
	case KIND_OTHER:
		note(w, "this is neither JSON, nor gzip, nor a mail");
		break;
	}
}

unsigned rpt_unwrap_each(struct sp_str file, rpt_found_fn found, void *arg, struct sp_buf *why)
{
	struct walk w = { .found = found, .arg = arg, .why = why, .arena = SP_ARENA_EMPTY, .left = UNPACKED_MAX };
	sp_buf_init(&w.seen, 1024);
	sp_buf_reset(why);
	if (file.len > RPT_FILE_MAX)
		note(&w, "it is larger than %u MiB", RPT_FILE_MAX >> 20);
	else
		look(&w, file, &(struct rpt_carrier){ 0 }, 0);
	if (w.count == 0 && w.foreign)
		note(&w, "the JSON in this mail is no TLS report: it has none of the members of RFC 8460 4.4");
	if (w.count == 0)
		note(&w, "no part of this mail is a report (RFC 8460 5.3: application/tlsrpt+gzip, application/tlsrpt+json); it has %s",
		     w.seen.len > 0 ? sp_buf_cstr(&w.seen) : "none");
	sp_buf_clear(&w.seen);
	sp_arena_clear(&w.arena);
	return w.count;
}

static void keep_first(void *arg, const json_t *document, const struct rpt_carrier *carrier SP_UNUSED)
{
	json_t **first = arg;
	if (*first == NULL)
		*first = json_incref((json_t *)document);
}

json_t *rpt_unwrap(struct sp_str file, struct sp_buf *why)
{
	json_t *first = NULL;
	(void)rpt_unwrap_each(file, keep_first, &first, why);
	return first;
}
