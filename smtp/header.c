/* smtp/header.c - see header.h. */
#include "smtp/header.h"

#include "core/date.h"

/* ---- where the section ends, and what is in it ---- */

void smtp_header_scan_init(struct smtp_header_scan *h)
{
	*h = (struct smtp_header_scan){ .state = SMTP_HEADER_LINE_START };
}

static bool is_ftext(char c)            /* RFC 5322 3.6.8 */
{
	return c > ' ' && c <= '~' && c != ':';
}

/* The section ends before the line being read. */
static void end_section(struct smtp_header_scan *h, bool separated)
{
	/* RFC 8689 3: "No" is the only value there is; what contradicts itself asks for nothing. */
	h->tls_optional = h->tls_required == 1 && (h->no == SMTP_HEADER_NO_WHOLE || h->no == SMTP_HEADER_NO_ENDED);
	h->len -= h->line_len;
	h->line_len = 0;
	h->done = true;
	h->separated = separated;
}

static void add_to_name(struct smtp_header_scan *h, char c)
{
	if (h->name_len < sizeof(h->name))
		h->name[h->name_len] = sp_lower(c);
	h->name_len++;
}

static bool name_is(const struct smtp_header_scan *h, struct sp_str name)
{
	return h->name_len == name.len && memcmp(h->name, name.p, name.len) == 0;
}

static void note_field(struct smtp_header_scan *h)
{
	h->received += name_is(h, SP_STR("received"));
	h->has_date |= name_is(h, SP_STR("date"));
	h->has_message_id |= name_is(h, SP_STR("message-id"));
	h->has_from |= name_is(h, SP_STR("from"));
	h->in_tls_required = name_is(h, SP_STR("tls-required"));
	h->tls_required += h->in_tls_required;
}

static void count(struct smtp_header_scan *h, size_t octets, enum smtp_header_state next)
{
	h->len += octets;
	h->line_len += octets;
	h->too_long |= h->len > SMTP_HEADER_MAX;
	h->state = next;
}

static void begin_line(struct smtp_header_scan *h, char c)
{
	h->line_len = 0;
	h->name_len = 0;
	h->after_cr = false;
	if (c == '\n') {
		h->broken = true;
		end_section(h, true);
	} else if (c == '\r') {
		count(h, 1, SMTP_HEADER_CR);
	} else if (sp_is_blank(c) && h->len > 0) {      /* RFC 5322 2.2.3: the field before goes on */
		count(h, 1, SMTP_HEADER_VALUE);
	} else if (is_ftext(c)) {
		add_to_name(h, c);
		count(h, 1, SMTP_HEADER_NAME);
	} else {
		end_section(h, false);
	}
}

static void go_on_in_name(struct smtp_header_scan *h, char c)
{
	bool behind = h->state == SMTP_HEADER_NAME_END;
	if (c == ':') {
		note_field(h);
		count(h, 1, SMTP_HEADER_VALUE);
	} else if (sp_is_blank(c)) {
		count(h, 1, SMTP_HEADER_NAME_END);
	} else if (is_ftext(c) && !behind) {
		add_to_name(h, c);
		count(h, 1, SMTP_HEADER_NAME);
	} else {
		end_section(h, false);
	}
}

static void note_no(struct smtp_header_scan *h, char c)
{
	bool blank = sp_is_blank(c) || c == '\r' || c == '\n';
	if (blank && h->no == SMTP_HEADER_NO_NOTHING)
		return;
	if (blank && (h->no == SMTP_HEADER_NO_WHOLE || h->no == SMTP_HEADER_NO_ENDED))
		h->no = SMTP_HEADER_NO_ENDED;
	else if (h->no == SMTP_HEADER_NO_NOTHING && sp_lower(c) == 'n')
		h->no = SMTP_HEADER_NO_N;
	else if (h->no == SMTP_HEADER_NO_N && sp_lower(c) == 'o')
		h->no = SMTP_HEADER_NO_WHOLE;
	else
		h->no = SMTP_HEADER_NO_OTHER;
}

/* `text` goes on in a value, up to an LF (`ended`) or to the end of what there is. */
static void look_at(struct smtp_header_scan *h, struct sp_str text, bool ended)
{
	for (size_t i = 0; i < text.len && h->in_tls_required; i++)
		note_no(h, text.p[i]);
	h->eight_bit = h->eight_bit || !sp_str_is_ascii(text);
	bool cr = text.len > 0 ? text.p[text.len - 1] == '\r' : h->after_cr;
	h->broken |= h->after_cr && text.len > 0;
	text.len -= cr && text.len > 0 ? 1 : 0;
	h->broken |= (ended && !cr) || sp_str_contains(text, '\r') || sp_str_contains(text, '\0');
	h->after_cr = cr && !ended;
}

static void go_on_in_value(struct smtp_header_scan *h, struct sp_str data)
{
	size_t lf = sp_str_find(data, '\n');
	look_at(h, sp_str_make(data.p, lf), lf < data.len);
	if (lf < data.len)
		count(h, lf + 1, SMTP_HEADER_LINE_START);
	else
		count(h, lf, SMTP_HEADER_VALUE);
}

size_t smtp_header_scan_feed(struct smtp_header_scan *h, struct sp_str data)
{
	size_t before = h->len;
	while (!h->done && before + data.len > h->len) {
		struct sp_str rest = sp_str_from(data, h->len - before);
		switch (h->state) {
		case SMTP_HEADER_LINE_START:
			begin_line(h, rest.p[0]);
			break;
		case SMTP_HEADER_NAME:
		case SMTP_HEADER_NAME_END:
			go_on_in_name(h, rest.p[0]);
			break;
		case SMTP_HEADER_VALUE:
			go_on_in_value(h, rest);
			break;
		case SMTP_HEADER_CR:
			end_section(h, rest.p[0] == '\n');
			break;
		}
	}
	return h->len > before ? h->len - before : 0;
}

void smtp_header_scan_finish(struct smtp_header_scan *h)
{
	if (h->done)
		return;
	bool field = h->state == SMTP_HEADER_LINE_START || h->state == SMTP_HEADER_VALUE;
	if (field)
		h->line_len = 0;                        /* what there is of the line stays */
	h->broken |= h->after_cr;
	end_section(h, false);
}

/* ---- what we add ---- */

#define HELO_CUT 255

static bool is_name(char c)
{
	return sp_is_alnum(c) || (c != '\0' && strchr("-._:[]", c) != NULL);
}

/* The client chose this text. It stands where a domain belongs, so nothing that could open a comment or end the field may pass. */
static void add_helo(struct sp_buf *out, struct sp_str helo)
{
	helo.len = sp_min(helo.len, HELO_CUT);
	if (helo.len == 0)
		sp_buf_adds(out, "unknown");
	for (size_t i = 0; i < helo.len; i++)
		sp_buf_addc(out, is_name(helo.p[i]) ? helo.p[i] : '?');
}

void smtp_add_received(struct sp_buf *out, const struct smtp_received *r)      /* RFC 5321 4.4 */
{
	char date[40];
	sp_buf_adds(out, "Received: from ");
	add_helo(out, sp_str_of(r->helo));
	sp_buf_printf(out, " (%s)\r\n\tby %s with %s id %s", r->client_literal, r->by, r->with, r->id);
	bool utf8 = sp_str_starts(sp_str_of(r->with), SP_STR("UTF8"));
	if (r->recipient && (utf8 || sp_str_is_ascii(sp_str_of(r->recipient))))        /* RFC 6531 3.7.3 */
		sp_buf_printf(out, "\r\n\tfor <%s>", r->recipient);
	if (r->priority != 0)
		sp_buf_printf(out, "\r\n\tPRIORITY %d", r->priority);          /* RFC 6710 7 */
	sp_buf_printf(out, ";\r\n\t%s\r\n", sp_date_mail(r->at_s, date));
}
