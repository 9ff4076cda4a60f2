/* smtp/command_param.c - the parameters of MAIL and RCPT; see command.h. */
#include "smtp/command.h"

#include "core/date.h"
#include "smtp/xtext.h"

#define SIZE_DIGITS 20          /* RFC 1870 4 */
#define SECONDS_DIGITS 9        /* RFC 4865 3, RFC 2852 4 */
#define AUTH_MAX 500            /* RFC 4954 5 makes MAIL as much longer */

/* ---- what a parameter may be ---- */

struct parameter {
	struct sp_str keyword, value;
	bool has_value;
};

static size_t keyword_len(struct sp_str s)              /* RFC 5321 4.1.2: esmtp-keyword */
{
	size_t i = 0;
	while (i < s.len && (sp_is_alnum(s.p[i]) || (s.p[i] == '-' && i > 0)))
		i++;
	return i;
}

static size_t value_len(struct sp_str s)                /* RFC 5321 4.1.2: esmtp-value; RFC 6531 3.3: and octets over 127 */
{
	size_t i = 0;
	while (i < s.len && ((unsigned char)s.p[i] > 127 || (s.p[i] > ' ' && s.p[i] <= '~' && s.p[i] != '=')))
		i++;
	return i;
}

static bool take_parameter(struct sp_str *s, struct parameter *out)
{
	*out = (struct parameter){ .keyword = sp_str_make(s->p, keyword_len(*s)) };
	*s = sp_str_from(*s, out->keyword.len);
	out->has_value = sp_take_char(s, '=');
	if (out->has_value) {
		out->value = sp_str_make(s->p, value_len(*s));
		*s = sp_str_from(*s, out->value.len);
	}
	return out->keyword.len > 0 && (!out->has_value || out->value.len > 0) && (s->len == 0 || s->p[0] == ' ');
}

/* xtext that stands for text: nothing that could end a line of a notification. */
static bool is_xtext(struct sp_str s, size_t max, bool utf8)
{
	struct sp_buf text;
	sp_buf_init(&text, max);
	bool fine = s.len > 0 && s.len <= max && smtp_xtext_decode(s, &text) && smtp_is_utf8_text(sp_buf_str(&text)) &&
	            (utf8 || sp_str_is_ascii(sp_buf_str(&text)));
	sp_buf_clear(&text);
	return fine;
}

/* ---- one by one ---- */

struct reading {
	const struct smtp_command_terms *terms;
	struct sp_arena *arena;         /* for what is kept */
	struct smtp_command *out;
	unsigned seen;                  /* a bit for each row below */
	bool held;                      /* HOLDFOR or HOLDUNTIL was read */
};

static const char *apply_size(struct sp_str value, struct reading *r)
{
	if (!sp_take_digits(&value, SIZE_DIGITS, &r->out->size) || value.len > 0)
		return "501 5.5.4 Bad SIZE: a number of octets is asked for";
	return NULL;
}

static const char *apply_body(struct sp_str value, struct reading *r)
{
	r->out->eight_bit = sp_str_eq_nocase(value, SP_STR("8BITMIME"));
	r->out->binary = sp_str_eq_nocase(value, SP_STR("BINARYMIME"));            /* RFC 3030 3 */
	if (r->out->eight_bit || r->out->binary || sp_str_eq_nocase(value, SP_STR("7BIT")))
		return NULL;
	return "501 5.5.4 Bad BODY: 7BIT, 8BITMIME or BINARYMIME is asked for";
}

static const char *apply_smtputf8(struct sp_str value, struct reading *r)
{
	(void)value;                            /* it has none */
	r->out->wish.utf8 = true;
	return NULL;
}

static const char *apply_requiretls(struct sp_str value, struct reading *r)
{
	(void)value;                            /* it has none */
	r->out->wish.require_tls = true;
	return NULL;
}

static const char *apply_ret(struct sp_str value, struct reading *r)
{
	if (sp_str_eq_nocase(value, SP_STR("FULL")))
		r->out->wish.ret = SP_RET_FULL;
	else if (sp_str_eq_nocase(value, SP_STR("HDRS")))
		r->out->wish.ret = SP_RET_HDRS;
	else
		return "501 5.5.4 Bad RET: FULL or HDRS is asked for";
	return NULL;
}

static const char *apply_envid(struct sp_str value, struct reading *r)
{
	if (!is_xtext(value, SP_ENVID_MAX, false))           /* RFC 3461 4.4 */
		return "501 5.5.4 Bad ENVID: xtext of at most 100 octets is asked for";
	r->out->wish.envid = sp_arena_dup(r->arena, value);
	return NULL;
}

/* RFC 6710 7: priority-value. */
static const char *apply_priority(struct sp_str value, struct reading *r)
{
	uint64_t n;
	bool negative = sp_take_char(&value, '-');
	if (!sp_take_digits(&value, 1, &n) || value.len > 0 || (negative && n == 0))
		return "501 5.5.4 Bad MT-PRIORITY: a number from -9 to 9 is asked for";
	r->out->wish.priority = negative ? -(int)n : (int)n;
	return NULL;
}

/* RFC 4865 4.2 (9): either of the two. */
static const char *note_hold(struct reading *r)
{
	bool second = r->held;
	r->held = true;
	return second ? "501 5.5.4 HOLDFOR and HOLDUNTIL do not go together" : NULL;
}

static const char *apply_hold_for(struct sp_str value, struct reading *r)
{
	bool positive = value.p[0] != '0';      /* RFC 4865 3: future-release-integer */
	if (!positive || !sp_take_digits(&value, SECONDS_DIGITS, &r->out->hold_for_s) || value.len > 0)
		return "501 5.5.4 Bad HOLDFOR: a number of seconds is asked for";
	return note_hold(r);
}

static const char *apply_hold_until(struct sp_str value, struct reading *r)
{
	bool utc = sp_lower(value.p[value.len - 1]) == 'z';     /* RFC 4865 3 */
	if (!utc || !sp_date_parse_rfc3339(value, &r->out->hold_until_s))
		return "501 5.5.4 Bad HOLDUNTIL: an instant such as 2026-11-22T14:03:09Z is asked for";
	return note_hold(r);
}

/* RFC 2852 4: by-time ";" by-mode [by-trace]. */
static const char *apply_by(struct sp_str value, struct reading *r)
{
	static const char bad[] = "501 5.5.4 Bad BY: seconds;N or seconds;R is asked for, T behind it for a trace";
	uint64_t n;
	bool negative = sp_take_char(&value, '-');
	if (!negative && sp_take_char(&value, '+') && value.len == 0)
		return bad;
	if (!sp_take_digits(&value, SECONDS_DIGITS, &n) || !sp_take_char(&value, ';'))
		return bad;
	r->out->by_s = negative ? -(int64_t)n : (int64_t)n;
	if (sp_take_prefix_nocase(&value, SP_STR("N")))
		r->out->wish.by = SP_BY_NOTIFY;
	else if (sp_take_prefix_nocase(&value, SP_STR("R")))
		r->out->wish.by = SP_BY_RETURN;
	else
		return bad;
	r->out->wish.by_trace = sp_take_prefix_nocase(&value, SP_STR("T"));
	if (value.len > 0)
		return bad;
	if (r->out->wish.by == SP_BY_RETURN && r->out->by_s <= 0)     /* RFC 2852 4 */
		return "501 5.5.4 Bad BY: with R the time is more than 0";
	return NULL;
}

/* Who first submitted it, as the client has it: nothing here is decided by that (RFC 4954 5 allows to say "<>" in its place). */
static const char *apply_auth(struct sp_str value, struct reading *r)
{
	(void)r;
	if (sp_str_eq(value, SP_STR("<>")) || is_xtext(value, AUTH_MAX, true))
		return NULL;
	return "501 5.5.4 Bad AUTH: xtext or <> is asked for";
}

static const char *apply_notify(struct sp_str value, struct reading *r)     /* RFC 3461 4.1 */
{
	static const struct { const char *word; unsigned bit; } words[] = {
		{ "NEVER", SP_NOTIFY_NEVER }, { "SUCCESS", SP_NOTIFY_SUCCESS }, { "FAILURE", SP_NOTIFY_FAILURE }, { "DELAY", SP_NOTIFY_DELAY },
	};
	bool more = true;
	while (more) {
		struct sp_str word = sp_str_make(value.p, sp_str_find(value, ','));
		size_t i = 0;
		while (i < SP_COUNT(words) && !sp_str_eq_nocase(word, sp_str_of(words[i].word)))
			i++;
		if (i == SP_COUNT(words))
			return "501 5.5.4 Bad NOTIFY: NEVER, or a list of SUCCESS, FAILURE, DELAY is asked for";
		r->out->rcpt.notify |= words[i].bit;
		value = sp_str_from(value, word.len);
		more = sp_take_char(&value, ',');
	}
	if ((r->out->rcpt.notify & SP_NOTIFY_NEVER) && r->out->rcpt.notify != SP_NOTIFY_NEVER)
		return "501 5.5.4 Bad NOTIFY: NEVER stands alone";
	return NULL;
}

static bool is_atom(struct sp_str s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!sp_is_alnum(s.p[i]) && s.p[i] != '-')
			return false;
	return s.len > 0;
}

/* RFC 3461 4.2: addr-type ";" xtext. RFC 6533 3: of type utf-8 it may have octets over 127 where SMTPUTF8 was said; "\x{...}" in it is xtext as well.
 * Leniency: xtext of octets over 127, as Postfix 3.7 says of an address beyond ASCII: "rfc822;j+C3+B6rg@example.com". */
static bool is_orcpt(struct sp_str value, bool utf8)
{
	struct sp_str type = sp_take_until(&value, ';');
	if (!is_atom(type) || value.len == 0)
		return false;
	if (is_xtext(value, SP_ORCPT_MAX, true))
		return true;
	return utf8 && sp_str_eq_nocase(type, SP_STR("utf-8")) && smtp_is_utf8_text(value) && !sp_str_contains(value, '+');
}

static const char *apply_orcpt(struct sp_str value, struct reading *r)
{
	if (value.len > SP_ORCPT_MAX || !is_orcpt(value, r->terms->utf8))
		return "501 5.5.4 Bad ORCPT: type;xtext of at most 500 octets is asked for";
	r->out->rcpt.orcpt = sp_arena_dup(r->arena, value);
	return NULL;
}

/* ---- all of them ---- */

enum offered { ALWAYS, UNDER_TLS, WITH_HOLD, WITH_AUTH };

static const struct parameter_row {
	enum smtp_verb verb;
	const char *keyword;
	bool has_value;
	enum offered offered;
	const char *(*apply)(struct sp_str value, struct reading *r);
} rows[] = {
	{ SMTP_VERB_MAIL, "SIZE", true, ALWAYS, apply_size },                   /* RFC 1870 3 */
	{ SMTP_VERB_MAIL, "BODY", true, ALWAYS, apply_body },                   /* RFC 6152 2 */
	{ SMTP_VERB_MAIL, "SMTPUTF8", false, ALWAYS, apply_smtputf8 },          /* RFC 6531 3.4 */
	{ SMTP_VERB_MAIL, "REQUIRETLS", false, UNDER_TLS, apply_requiretls },   /* RFC 8689 2 */
	{ SMTP_VERB_MAIL, "RET", true, ALWAYS, apply_ret },                     /* RFC 3461 4.3 */
	{ SMTP_VERB_MAIL, "ENVID", true, ALWAYS, apply_envid },                 /* RFC 3461 4.4 */
	{ SMTP_VERB_MAIL, "MT-PRIORITY", true, ALWAYS, apply_priority },        /* RFC 6710 3 */
	{ SMTP_VERB_MAIL, "HOLDFOR", true, WITH_HOLD, apply_hold_for },         /* RFC 4865 3 */
	{ SMTP_VERB_MAIL, "HOLDUNTIL", true, WITH_HOLD, apply_hold_until },
	{ SMTP_VERB_MAIL, "BY", true, ALWAYS, apply_by },                       /* RFC 2852 4 */
	{ SMTP_VERB_MAIL, "AUTH", true, WITH_AUTH, apply_auth },                /* RFC 4954 5 */
	{ SMTP_VERB_RCPT, "NOTIFY", true, ALWAYS, apply_notify },               /* RFC 3461 4.1 */
	{ SMTP_VERB_RCPT, "ORCPT", true, ALWAYS, apply_orcpt },                 /* RFC 3461 4.2 */
};

static bool is_offered(enum offered o, const struct smtp_command_terms *terms)
{
	switch (o) {
	case UNDER_TLS:
		return terms->require_tls;
	case WITH_HOLD:
		return terms->hold;
	case WITH_AUTH:
		return terms->auth;
	case ALWAYS:
		break;
	}
	return true;
}

static const struct parameter_row *find_row(struct sp_str keyword, const struct reading *r)
{
	for (size_t i = 0; i < SP_COUNT(rows); i++)
		if (rows[i].verb == r->out->verb && sp_str_eq_nocase(keyword, sp_str_of(rows[i].keyword)) && is_offered(rows[i].offered, r->terms))
			return &rows[i];
	return NULL;
}

static const char *apply(const struct parameter *p, struct reading *r)
{
	const struct parameter_row *row = find_row(p->keyword, r);
	if (row == NULL)
		return sp_arena_printf(r->arena, "555 5.5.4 Unknown parameter %.*s", (int)sp_min(p->keyword.len, 40), p->keyword.p);
	unsigned bit = 1u << (row - rows);
	if (r->seen & bit)
		return "501 5.5.4 A parameter is there twice";
	r->seen |= bit;
	if (p->has_value != row->has_value)
		return sp_arena_printf(r->arena, "501 5.5.4 Bad %s: it has %s value", row->keyword, row->has_value ? "a" : "no");
	return row->apply(p->value, r);
}

const char *smtp_command_parameters(struct sp_str s, const struct smtp_command_terms *terms, struct sp_arena *arena, struct smtp_command *out)
{
	struct reading r = { .terms = terms, .arena = arena, .out = out };
	while (s.len > 0) {
		if (sp_take_blanks(&s) == 0)
			return "501 5.5.4 A blank is missing behind the address";
		struct parameter p;
		if (!take_parameter(&s, &p))
			return "501 5.5.4 Bad parameter: KEYWORD or KEYWORD=value is asked for";
		out->extended = true;
		const char *reply = apply(&p, &r);
		if (reply)
			return reply;
	}
	return NULL;
}
