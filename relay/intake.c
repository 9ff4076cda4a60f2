/* relay/intake.c - see intake.h. */
#include "relay/intake.h"

#include "core/clock.h"
#include "core/date.h"
#include "core/file.h"
#include "relay/sign.h"
#include "smtp/lines.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define PIECE 65536             /* octets gathered before they go to the file */
#define TRACE_MAX 8192          /* octets of the fields that we add */

struct intake {
	struct shard *shard;
	uint64_t id;
	struct smtp_header_scan scan;
	const char *user;               /* borrowed, see intake_new() */
	bool binary;                    /* it came as BODY=BINARYMIME */
	struct smtp_lines lines;        /* ... and is looked at */
	struct sp_buf buf;              /* all of it; or, with a file, what has not been given to it yet */
	size_t trace_len;               /* octets of our Received field, at the start */
	size_t sign_len;                /* octets of the signatures behind it */
	size_t added_len;               /* octets of Date and Message-ID that were missing */
	size_t counted;                 /* of buf, in sp_body_memory() */
	uint64_t size;                  /* octets so far, ours included */
	bool header_done, eight_bit;
	bool any, ends_in_crlf, ends_in_cr;     /* of the content */
	bool too_big;                   /* for what limits.message_size was when it began */
	struct sign *sign;              /* NULL: nobody signs it */
	struct core_file_writer *file;  /* or NULL: in memory */
	char *path;
	void (*done)(void *owner, const struct intake_result *r);
	void *owner;
};

struct intake *intake_new(struct shard *s, uint64_t id, bool binary, const char *user, const struct smtp_received *received)
{
	struct intake *i = sp_alloc(sizeof(*i));
	i->shard = s;
	i->id = id;
	i->binary = binary;
	i->user = user;
	smtp_header_scan_init(&i->scan);
	sp_buf_init(&i->buf, (size_t)s->config->limits.message_size + SMTP_HEADER_MAX + TRACE_MAX + SIGN_FIELDS_MAX);
	smtp_add_received(&i->buf, received);
	i->trace_len = i->buf.len;
	i->size = i->buf.len;
	return i;
}

static void count_memory(struct intake *i)
{
	sp_body_memory_add((int64_t)i->buf.len - (int64_t)i->counted);
	i->counted = i->buf.len;
}

static void release(struct intake *i)
{
	sp_buf_clear(&i->buf);
	count_memory(i);
	sign_free(i->sign);
	free(i->path);
	free(i);
}

/* RFC 5321 6.4, RFC 6409 8: a relay for submitting applications adds what RFC 5322 3.6 demands. */
static void missing_fields(const struct intake *i, struct sp_buf *out)
{
	char date[40], name[QUEUE_ID_TEXT];
	int64_t now_s = core_clock_wall_s();
	if (!i->scan.has_date)
		sp_buf_printf(out, "Date: %s\r\n", sp_date_mail(now_s, date));
	if (!i->scan.has_message_id)
		sp_buf_printf(out, "Message-ID: <%s.%lld@%s>\r\n", queue_id_str(i->id, name), (long long)now_s, i->shard->config->hostname);
	if (!i->scan.separated)
		sp_buf_adds(out, "\r\n");       /* what follows is no field */
}

/* Puts `fields` into the buffer at `at`. Returns their length. */
static size_t insert(struct intake *i, size_t at, const struct sp_buf *fields)
{
	if (fields->len == 0)
		return 0;
	char *room = sp_buf_room(&i->buf, fields->len);
	sp_assert(room);                        /* intake_new() counted it in; the engine refuses what is larger than limits.message_size */
	size_t tail = i->buf.len - at;
	sp_buf_wrote(&i->buf, fields->len);
	memmove(i->buf.p + at + fields->len, i->buf.p + at, tail);
	memcpy(i->buf.p + at, fields->p, fields->len);
	i->size += fields->len;
	return fields->len;
}

/* The header section is as it will be sent. What came behind it is the beginning of the body. */
static void begin_signing(struct intake *i, size_t header_len)
{
	if (i->shard->config->dkim.count == 0 || !i->scan.has_from)
		return;
	char name[QUEUE_ID_TEXT];
	struct sp_buf fields;
	sp_buf_init(&fields, SIGN_FIELDS_MAX);
	struct sp_str own = sp_str_from(sp_buf_str(&i->buf), i->trace_len);
	i->sign = sign_begin(i->shard->config, i->user, sp_str_make(own.p, header_len), queue_id_str(i->id, name), &fields);
	if (i->sign) {
		struct sp_str body = sp_str_from(own, header_len);
		bool separated = sp_take_prefix(&body, SP_STR("\r\n"));
		sp_assert(separated);           /* there are CRLF lines only: smtp/content.h */
		sign_body(i->sign, body);
		i->sign_len = insert(i, i->trace_len, &fields);
	}
	sp_buf_clear(&fields);
}

/* The end of the header section is in the buffer: puts what is missing there, and the signatures in front. */
static void complete_header(struct intake *i)
{
	struct sp_buf fields;
	sp_buf_init(&fields, TRACE_MAX);
	missing_fields(i, &fields);
	i->added_len = insert(i, i->trace_len + i->scan.len, &fields);
	size_t line = i->scan.separated ? 0 : 2;        /* the empty line that we added is none of the section's */
	sp_buf_clear(&fields);
	i->header_done = true;
	begin_signing(i, i->scan.len + i->added_len - line);
}

static void open_file(struct intake *i)
{
	struct sp_buf path;
	sp_buf_init(&path, 4096);
	queue_store_body_path(i->shard->relay->store, i->id, &path);
	i->path = sp_buf_take(&path);
	i->file = core_file_create(i->shard->loop, i->path);
}

static void to_file(struct intake *i)
{
	size_t max = i->buf.max;
	core_file_write(i->file, &i->buf);
	sp_buf_init(&i->buf, max);
	count_memory(i);
}

static bool belongs_in_file(const struct intake *i)
{
	const struct config *c = i->shard->config;
	size_t limit = (size_t)c->limits.inline_body;
	if (sp_body_memory() > (size_t)c->limits.memory)
		limit = PIECE;
	return i->header_done && i->buf.len > limit;
}

static void note_end(struct intake *i, struct sp_str content)
{
	if (content.len == 0)
		return;
	bool cr_before = content.len > 1 ? content.p[content.len - 2] == '\r' : i->ends_in_cr;
	i->ends_in_crlf = content.p[content.len - 1] == '\n' && cr_before;
	i->ends_in_cr = content.p[content.len - 1] == '\r';
}

static bool is_refused(const struct intake *i)          /* and will hear of it at the end */
{
	return i->scan.too_long || i->scan.broken || i->too_big;
}

/* More of the message, while the header section has not come to its end. */
static void add_to_header(struct intake *i, struct sp_str content)
{
	smtp_header_scan_feed(&i->scan, content);
	if (is_refused(i))
		sp_buf_clear(&i->buf);
	else if (i->scan.done)
		complete_header(i);
}

void intake_add(struct intake *i, struct sp_str content)
{
	if (is_refused(i))
		return;
	sp_buf_add(&i->buf, content);
	i->too_big |= sp_buf_failed(&i->buf);
	i->size += content.len;
	i->any |= content.len > 0;
	i->eight_bit = i->eight_bit || !sp_str_is_ascii(content);
	note_end(i, content);
	if (i->binary)
		smtp_lines_feed(&i->lines, content);
	if (!i->header_done)
		add_to_header(i, content);
	else if (i->sign)
		sign_body(i->sign, content);
	if (i->file == NULL && belongs_in_file(i))
		open_file(i);
	if (i->file && i->buf.len >= PIECE)
		to_file(i);
	else
		count_memory(i);
}

size_t intake_unwritten(const struct intake *i)
{
	return i->file ? core_file_unwritten(i->file) : 0;
}

void intake_on_drained(struct intake *i, void (*drained)(void *owner), void *owner)
{
	if (i->file)
		core_file_on_drained(i->file, drained, owner);
}

/* The header section ended with the message. */
static void end_header(struct intake *i)
{
	smtp_header_scan_finish(&i->scan);
	if (is_refused(i))
		sp_buf_clear(&i->buf);
	else
		complete_header(i);
}

void intake_end(struct intake *i)
{
	bool binary_body = i->binary && i->header_done;
	if (i->any && !i->ends_in_crlf && !binary_body) /* by BDAT a message may end as it likes; by DATA it cannot go on so */
		intake_add(i, SP_STR("\r\n"));
	if (!i->header_done && !is_refused(i))          /* that line end may have been what broke it */
		end_header(i);
	count_memory(i);
}

const char *intake_refusal(const struct intake *i)
{
	if (i->scan.too_long)
		return "552 5.3.4 Header section larger than 1 MiB";
	if (i->scan.broken)             /* RFC 3030 3 lets bodies be binary, not what RFC 5322 2.2 says of a header */
		return "550 5.6.11 Header section has a bare CR or LF, or a NUL: its lines end in CRLF (RFC 5322 2.2)";
	if (i->too_big)
		return "552 5.3.4 Message too big";
	if (i->scan.received > SMTP_RECEIVED_MAX)
		return "554 5.4.6 Too many hops: more than 100 Received fields, this looks like a loop";
	return NULL;
}

bool intake_tls_optional(const struct intake *i)
{
	return i->scan.tls_optional;
}

static void fill_result(const struct intake *i, struct intake_result *r)
{
	*r = (struct intake_result){ .size = i->size, .header_len = (uint32_t)(i->trace_len + i->sign_len + i->scan.len + i->added_len),
	                             .eight_bit = i->eight_bit, .binary = i->binary && !smtp_lines_fine(&i->lines),
	                             .tls_optional = i->scan.tls_optional, .header_eight_bit = i->scan.eight_bit, .signed_by = sign_by(i->sign) };
}

static void on_written(void *owner, const struct sp_fail *why)
{
	struct intake *i = owner;
	struct intake_result r;
	fill_result(i, &r);
	i->file = NULL;
	r.fail = *why;
	if (!sp_failed(why))
		r.body = sp_body_from_file(i->path, i->size);
	struct shard *s = i->shard;
	i->done(i->owner, &r);
	release(i);
	shard_op_end(s);                        /* last: done() may begin the next operation, and the shard must not end between the two */
}

/* Over the fields that were written without their values. */
static void put_signatures(struct intake *i)
{
	struct sp_buf fields;
	sp_buf_init(&fields, SIGN_FIELDS_MAX);
	sign_finish(i->sign, &fields);
	sp_assert(fields.len == i->sign_len);
	if (i->file)
		core_file_patch(i->file, i->trace_len, &fields);
	else
		memcpy(i->buf.p + i->trace_len, fields.p, fields.len);
	sp_buf_clear(&fields);
}

void intake_finish(struct intake *i, void (*done)(void *owner, const struct intake_result *r), void *owner)
{
	sp_assert(i->header_done && !is_refused(i));
	if (i->file && i->buf.len > 0)          /* all of it may still be here: signatures go over what the file has */
		to_file(i);
	if (i->sign)
		put_signatures(i);
	if (i->file) {
		i->done = done;
		i->owner = owner;
		shard_op_begin(i->shard);
		core_file_finish(i->file, on_written, i);
		return;
	}
	struct intake_result r;
	fill_result(i, &r);
	size_t len = i->buf.len;
	r.body = sp_body_from_memory(sp_buf_take(&i->buf), len);
	done(owner, &r);
	release(i);
}

void intake_abort(struct intake *i)
{
	if (i == NULL)
		return;
	if (i->file)
		core_file_abort(i->file);
	release(i);
}
