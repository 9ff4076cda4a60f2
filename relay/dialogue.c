/* relay/dialogue.c - see dialogue.h. */
#include "relay/dialogue.h"

#include <inttypes.h>
#include <stdio.h>

#define ELEMENT_MAX (DIALOGUE_LINE_MAX * 6 + 64)        /* of an array: each octet may be \u00xx */

/* ---- parts ---- */

void dialogue_part_clear(struct dialogue_part *p)
{
	sp_buf_clear(&p->first);
	sp_buf_clear(&p->last);
	*p = (struct dialogue_part){ 0 };
}

void dialogue_part_print(const struct dialogue_part *p, const char *key, struct sp_json *j)
{
	sp_json_open(j, key, '[');
	if (p->first.len > 0)
		sp_json_raw(j, NULL, sp_buf_str(&p->first));
	if (p->left_out > 0) {
		char text[48];
		snprintf(text, sizeof(text), "[null,\"*\",\"(%u lines left out)\"]", p->left_out);
		sp_json_raw(j, NULL, sp_str_of(text));
	}
	if (p->last.len > 0)
		sp_json_raw(j, NULL, sp_str_make(p->last.p, p->last.len - 1));  /* each has its comma behind it there */
	sp_json_close(j, ']');
}

static void drop_oldest(struct dialogue_part *p)
{
	sp_buf_consume(&p->last, p->last_len[0]);
	memmove(&p->last_len[0], &p->last_len[1], --p->last_count * sizeof(p->last_len[0]));
	p->left_out++;
}

static void add_element(struct dialogue_part *p, struct sp_str element)
{
	if (p->last_count == 0 && p->left_out == 0 && p->first_count < DIALOGUE_HALF && p->first.len + element.len < DIALOGUE_HALF_OCTETS) {
		p->first.max = DIALOGUE_HALF_OCTETS;
		if (p->first_count++ > 0)
			sp_buf_addc(&p->first, ',');
		sp_buf_add(&p->first, element);
		return;
	}
	p->last.max = DIALOGUE_HALF_OCTETS;
	while (p->last_count == DIALOGUE_HALF || p->last.len + element.len + 1 > DIALOGUE_HALF_OCTETS)
		drop_oldest(p);
	sp_buf_add(&p->last, element);
	sp_buf_addc(&p->last, ',');
	p->last_len[p->last_count++] = (unsigned)element.len + 1;
}

static void add_line(struct dialogue *d, uint64_t ms, const char *who, struct sp_str text)
{
	struct sp_buf element;
	struct sp_json j;
	sp_buf_init(&element, ELEMENT_MAX);
	if (sp_buf_room(&element, text.len + 32) == NULL)
		return;
	sp_json_begin(&j, &element);
	sp_json_open(&j, NULL, '[');
	sp_json_int(&j, NULL, (int64_t)ms);
	sp_json_cstr(&j, NULL, who);
	sp_json_str(&j, NULL, text);
	sp_json_close(&j, ']');
	add_element(&d->part, sp_buf_str(&element));
	sp_buf_clear(&element);
}

void dialogue_note(struct dialogue *d, uint64_t ms, const char *text)
{
	add_line(d, ms, "*", sp_str_make(text, sp_min(strlen(text), DIALOGUE_LINE_MAX)));
}

/* ---- lines ---- */

/* The next line of *octets with what came of it before; false: it is not complete, and is kept as far as it counts. */
static bool take_line(struct sp_buf *begun, struct sp_str *octets, struct sp_str *line)
{
	size_t len = sp_str_find(*octets, '\n');
	bool complete = len < octets->len;
	*line = sp_str_make(octets->p, len);
	*octets = sp_str_from(*octets, len + complete);
	if (!complete || begun->len > 0) {
		sp_buf_add(begun, sp_str_make(line->p, sp_min(line->len, begun->max - begun->len)));
		*line = sp_buf_str(begun);
	}
	if (complete && line->len > 0 && line->p[line->len - 1] == '\r')
		line->len--;
	return complete;
}

static void add_cut(struct dialogue *d, uint64_t ms, const char *who, struct sp_str line)
{
	char text[DIALOGUE_LINE_MAX];
	if (line.len <= DIALOGUE_LINE_MAX) {
		add_line(d, ms, who, line);
		return;
	}
	memcpy(text, line.p, DIALOGUE_LINE_MAX - 3);
	memcpy(text + DIALOGUE_LINE_MAX - 3, "...", 3);
	add_line(d, ms, who, sp_str_make(text, DIALOGUE_LINE_MAX));
}

/* ---- what comes in ---- */

static void add_reply(struct dialogue *d, uint64_t ms, struct sp_str line)
{
	if (!d->auth) {
		add_cut(d, ms, "<", line);
		return;
	}
	char text[80];
	bool code = line.len >= 3 && sp_is_digit(line.p[0]) && sp_is_digit(line.p[1]) && sp_is_digit(line.p[2]);
	snprintf(text, sizeof(text), "%.3s (not kept: it may repeat the credentials)", code ? line.p : "");
	add_line(d, ms, "<", sp_str_of(code ? text : text + 1));
	d->auth = !code || line.p[0] == '3' || (line.len > 3 && line.p[3] == '-');
}

void dialogue_content(struct dialogue *d)
{
	if (d->sending != DIALOGUE_DATA)
		return;
	d->sending = DIALOGUE_CONTENT;
	d->content = 0;
	memcpy(d->tail, "\0\0\r\n", sizeof(d->tail));           /* a line begins */
}

void dialogue_in(struct dialogue *d, uint64_t ms, struct sp_str octets)
{
	struct sp_str line;
	while (octets.len > 0 && take_line(&d->in, &octets, &line)) {
		add_reply(d, ms, line);
		if (line.len > 0 && line.p[0] == '3')
			dialogue_content(d);
		sp_buf_clear(&d->in);
	}
}

/* ---- what goes out ---- */

static void tell_content(struct dialogue *d, uint64_t ms, const char *how)
{
	char text[80];
	snprintf(text, sizeof(text), "(%" PRIu64 " octets of content%s)", d->content, how);
	add_line(d, ms, ">", sp_str_of(text));
	d->content = 0;
}

static void end_content(struct dialogue *d, uint64_t ms)
{
	tell_content(d, ms, "");
	d->sending = DIALOGUE_LINES;
}

static void skip_chunk(struct dialogue *d, uint64_t ms, uint64_t octets)
{
	d->content += octets;
	d->chunk_left -= octets;
	if (d->chunk_left == 0)
		end_content(d, ms);
}

static void remember_tail(struct dialogue *d, struct sp_str octets)
{
	size_t keep = sp_min(octets.len, sizeof(d->tail));
	memmove(d->tail, d->tail + keep, sizeof(d->tail) - keep);
	memcpy(d->tail + sizeof(d->tail) - keep, octets.p + octets.len - keep, keep);
}

/* RFC 5321 4.5.2: dots at the beginning of a line are doubled, so CRLF.CRLF is its end. How many octets of it are in `octets`. */
static size_t skip_content(struct dialogue *d, struct sp_str octets, bool *ended)
{
	static const char end[] = "\r\n.\r\n";
	char seam[8];
	size_t head = sp_min(octets.len, 4);
	memcpy(seam, d->tail, 4);
	memcpy(seam + 4, octets.p, head);
	const char *at = memmem(seam, 4 + head, end, 5);
	size_t used = octets.len;
	if (at)
		used = (size_t)(at - seam) + 1;
	else if ((at = memmem(octets.p, octets.len, end, 5)) != NULL)
		used = (size_t)(at - octets.p) + 5;
	*ended = at != NULL;
	d->content += used;
	remember_tail(d, sp_str_make(octets.p, used));
	return used;
}

/* "AUTH PLAIN (secret)": whatever stands behind the mechanism. */
static void add_auth(struct dialogue *d, uint64_t ms, struct sp_str line)
{
	char text[64];
	struct sp_str rest = sp_str_from(line, 5), mechanism = sp_take_until(&rest, ' ');
	snprintf(text, sizeof(text), "AUTH %.*s%s", (int)sp_min(mechanism.len, 20), mechanism.p, rest.len > 0 ? " (secret)" : "");
	add_line(d, ms, ">", sp_str_of(text));
	d->auth = true;
}

static void add_command(struct dialogue *d, uint64_t ms, struct sp_str line)
{
	struct sp_str rest = line;
	if (d->auth) {
		add_line(d, ms, ">", SP_STR("(secret)"));
		return;
	}
	if (sp_str_starts_nocase(line, SP_STR("AUTH "))) {
		add_auth(d, ms, line);
		return;
	}
	add_cut(d, ms, ">", line);
	d->sending = sp_str_eq_nocase(line, SP_STR("DATA")) ? DIALOGUE_DATA : DIALOGUE_LINES;
	if (sp_take_prefix_nocase(&rest, SP_STR("BDAT ")) && sp_take_digits(&rest, 20, &d->chunk_left) && d->chunk_left > 0) {
		d->sending = DIALOGUE_CHUNK;
		d->content = 0;
	}
}

static void take_out(struct dialogue *d, uint64_t ms, struct sp_str *octets)
{
	struct sp_str line;
	bool ended;
	size_t used;
	switch (d->sending) {
	case DIALOGUE_CHUNK:
		used = (size_t)sp_min((uint64_t)octets->len, d->chunk_left);
		*octets = sp_str_from(*octets, used);
		skip_chunk(d, ms, used);
		return;
	case DIALOGUE_CONTENT:
		*octets = sp_str_from(*octets, skip_content(d, *octets, &ended));
		if (ended) {
			d->content -= sp_min(d->content, 3);    /* ".\r\n" */
			end_content(d, ms);
		}
		return;
	case DIALOGUE_LINES:
	case DIALOGUE_DATA:
		if (take_line(&d->out, octets, &line)) {
			add_command(d, ms, line);
			sp_buf_clear(&d->out);
		}
	}
}

void dialogue_out(struct dialogue *d, uint64_t ms, struct sp_str octets)
{
	while (octets.len > 0)
		take_out(d, ms, &octets);
}

void dialogue_out_unseen(struct dialogue *d, uint64_t ms, uint64_t octets)
{
	if (d->sending == DIALOGUE_CHUNK)
		skip_chunk(d, ms, sp_min(octets, d->chunk_left));
}

/* ---- life ---- */

void dialogue_init(struct dialogue *d)
{
	*d = (struct dialogue){ 0 };
	sp_buf_init(&d->in, DIALOGUE_LINE_MAX + 2);
	sp_buf_init(&d->out, DIALOGUE_LINE_MAX + 2);
}

void dialogue_clear(struct dialogue *d)
{
	dialogue_part_clear(&d->part);
	sp_buf_wipe(&d->in);
	sp_buf_wipe(&d->out);
}

struct dialogue_part dialogue_take(struct dialogue *d, uint64_t ms)
{
	if (d->content > 0)                     /* what is still to come of it stays content */
		tell_content(d, ms, ", unfinished");
	if (d->in.len > 0 && !d->auth)
		add_cut(d, ms, "<", sp_buf_str(&d->in));
	sp_buf_clear(&d->in);
	struct dialogue_part part = d->part;
	d->part = (struct dialogue_part){ 0 };
	return part;
}
