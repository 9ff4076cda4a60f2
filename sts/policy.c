/* sts/policy.c - see policy.h. The patterns of `mx` are in mx.c. */
#include "sts/policy.h"

#include "core/tagged.h"
#include "core/utf8.h"

#include <stdatomic.h>
#include <stdlib.h>

struct sts_policy {
	atomic_uint refs;
	enum sts_mode mode;
	uint32_t max_age_s;
	size_t mx_count, mx_cap;
	char **mx;
};

static const char *const mode_names[] = {
#define X(name, text) [STS_MODE_##name] = text,
	STS_MODES(X)
#undef X
};

const char *sts_mode_str(enum sts_mode mode)
{
	return mode_names[mode];
}

bool sts_mode_parse(struct sp_str s, enum sts_mode *out)
{
	size_t i;
	if (!sp_str_among(s, mode_names, SP_COUNT(mode_names), &i))
		return false;
	*out = (enum sts_mode)i;
	return true;
}

/* ---- parsing ---- */

enum key { KEY_VERSION, KEY_MODE, KEY_MAX_AGE, KEY_MX, KEY_COUNT };

struct parser {
	struct sts_policy *p;
	unsigned line;                  /* from 1 */
	unsigned first[KEY_COUNT];      /* the line that set it; 0: none yet */
	sts_warn_fn warn;
	void *warn_arg;
	struct sp_buf *why;
};

#define QUOTE_MAX 80    /* of a stranger's text in a message */

SP_PRINTF(2, 3) static void warn(struct parser *ps, const char *fmt, ...)
{
	if (ps->warn == NULL)
		return;
	struct sp_buf text;
	sp_buf_init(&text, 1024);
	sp_buf_printf(&text, "line %u: ", ps->line);
	va_list args;
	va_start(args, fmt);
	sp_buf_vprintf(&text, fmt, args);
	va_end(args);
	ps->warn(ps->warn_arg, sp_buf_cstr(&text));
	sp_buf_clear(&text);
}

SP_PRINTF(2, 3) static bool fail(struct parser *ps, const char *fmt, ...)
{
	if (ps->why == NULL)
		return false;
	if (ps->line > 0)
		sp_buf_printf(ps->why, "line %u: ", ps->line);
	va_list args;
	va_start(args, fmt);
	sp_buf_vprintf(ps->why, fmt, args);
	va_end(args);
	return false;
}

/* A stranger's text between quotes, printable and cut. */
struct quoted {
	char text[QUOTE_MAX + 8];
};
static struct quoted quote(struct sp_str s)
{
	struct quoted q;
	size_t n = sp_min(s.len, QUOTE_MAX), at = 0;
	q.text[at++] = '"';
	for (size_t i = 0; i < n; i++)
		q.text[at++] = sp_is_print(s.p[i]) ? s.p[i] : '?';
	q.text[at++] = '"';
	for (size_t i = 0; s.len > n && i < 3; i++)
		q.text[at++] = '.';
	q.text[at] = '\0';
	return q;
}

/* RFC 8461 3.2: sts-policy-version-value = %s"STSv1" */
static bool read_version(struct parser *ps, struct sp_str value)
{
	if (sp_str_eq(value, SP_STR("STSv1")))
		return true;
	return fail(ps, "the version must be \"STSv1\" in exactly these letters, not %s", quote(value).text);
}

/* RFC 8461 3.2: a mode that is none of the three makes the policy invalid; it is not "none". */
static bool read_mode(struct parser *ps, struct sp_str value)
{
	if (sts_mode_parse(value, &ps->p->mode))
		return true;
	return fail(ps, "the mode must be \"enforce\", \"testing\" or \"none\" in lower case, not %s", quote(value).text);
}

/* RFC 8461 3.2: 1*10(DIGIT), and a maximum of 31557600, to which we cap because a longer life was meant. */
static bool read_max_age(struct parser *ps, struct sp_str value)
{
	uint64_t n;
	if (!sp_take_digits(&value, 10, &n) || value.len > 0)
		return fail(ps, "max_age must be a number of seconds in 1 to 10 digits, without sign, unit or point");
	if (n > STS_MAX_AGE_MAX)
		warn(ps, "max_age %llu is over the maximum and counts as %u (a year)", (unsigned long long)n, STS_MAX_AGE_MAX);
	else if (n < 86400)
		warn(ps, "max_age %llu is less than a day: an attacker who blocks look-ups for that long removes the protection; "
		     "weeks are usual (RFC 8461 3.2)", (unsigned long long)n);
	ps->p->max_age_s = n > STS_MAX_AGE_MAX ? STS_MAX_AGE_MAX : (uint32_t)n;
	return true;
}

static void add_mx(struct sts_policy *p, struct sp_str pattern)
{
	if (p->mx_count == p->mx_cap) {
		p->mx_cap = p->mx_cap ? p->mx_cap * 2 : 8;
		p->mx = sp_realloc(p->mx, p->mx_cap * sizeof(*p->mx));
	}
	char *copy = sp_str_dup(pattern);
	sp_lower_in_place(copy);
	p->mx[p->mx_count++] = copy;
}

/* RFC 8461 3.2: sts-policy-mx-value = ["*."] Domain */
static bool read_mx(struct parser *ps, struct sp_str value)
{
	const char *why;
	if (!sts_mx_pattern_ok(value, &why))
		return fail(ps, "%s is not an mx pattern: %s", quote(value).text, why);
	if (ps->p->mx_count == STS_MX_MAX)
		return fail(ps, "there are more than %d mx lines; a wildcard such as \"*.example.com\" stands for many", STS_MX_MAX);
	if (value.p[value.len - 1] == '.') {
		warn(ps, "the dot at the end of %s is left out; other senders may refuse the whole policy for it", quote(value).text);
		value.len--;
	}
	struct sp_str name = value;
	if (sp_take_prefix(&name, SP_STR("*.")) && !sp_str_contains(name, '.'))
		warn(ps, "%s allows every host right below a top-level domain, whoever owns it", quote(value).text);
	add_mx(ps->p, value);
	return true;
}

static const struct {
	const char *name;
	bool repeats;
	bool (*read)(struct parser *ps, struct sp_str value);
} keys[KEY_COUNT] = {
	[KEY_VERSION] = { "version", false, read_version },
	[KEY_MODE]    = { "mode",    false, read_mode },
	[KEY_MAX_AGE] = { "max_age", false, read_max_age },
	[KEY_MX]      = { "mx",      true,  read_mx },
};

/* Unknown keys are ignored (RFC 8461 3.2); but one that looks like ours is told to its owner. */
static void warn_lookalike(struct parser *ps, struct sp_str name)
{
	char plain[SP_TAGGED_NAME_MAX + 1];
	size_t n = 0;
	for (size_t i = 0; i < name.len && n < sizeof(plain) - 1; i++)
		if (sp_is_alnum(name.p[i]))
			plain[n++] = name.p[i];
	for (size_t k = 0; k < KEY_COUNT; k++) {
		const char *ours = k == KEY_MAX_AGE ? "maxage" : keys[k].name;
		if (sp_str_eq_nocase(sp_str_make(plain, n), sp_str_of(ours)))
			warn(ps, "%s is not a known key and is ignored; did you mean \"%s\"?", quote(name).text, keys[k].name);
	}
}

static bool read_pair(struct parser *ps, struct sp_str name, struct sp_str value)
{
	for (size_t k = 0; k < KEY_COUNT; k++) {
		if (!sp_str_eq(name, sp_str_of(keys[k].name)))          /* RFC 8461 3.2: %s, so case counts */
			continue;
		if (ps->first[k] && !keys[k].repeats) {                 /* RFC 8461 3.2: all entries but the first are ignored */
			warn(ps, "%s was already set in line %u; this line is ignored", keys[k].name, ps->first[k]);
			return true;
		}
		if (!ps->first[k])
			ps->first[k] = ps->line;
		return keys[k].read(ps, value);
	}
	warn_lookalike(ps, name);
	return true;
}

/* RFC 8461 3.2: sts-policy-ext-value: printable ASCII, UTF-8, blanks inside. NULL, or why not. */
static const char *value_fault(struct sp_str value)
{
	if (value.len == 0)
		return "there is no value behind the colon";
	uint32_t code;
	while (value.len > 0) {
		size_t n = sp_is_print(value.p[0]) ? 1 : 0;
		if (n == 0 && (unsigned char)value.p[0] < 0x80)
			return value.p[0] == '\0' ? "the value holds a NUL character" :
			       value.p[0] == '\t' ? "the value holds a tab" :
			       value.p[0] == '\r' ? "the line holds a carriage return; lines end in LF or CRLF" :
			       "the value holds a control character";
		if (n == 0)
			n = sp_utf8_char(value, &code);
		if (n == 0)
			return "the value is not valid UTF-8; save the file as UTF-8 or plain ASCII";
		value = sp_str_from(value, n);
	}
	return NULL;
}

/* A line without a key: what is it, for the one who wrote it? */
static bool fail_name(struct parser *ps, struct sp_str line, size_t colon)
{
	if (ps->line == 1 && sp_str_starts(line, SP_STR("\xef\xbb\xbf")))
		return fail(ps, "the file begins with a byte order mark; save it without one");
	if (line.p[0] == '<')
		return fail(ps, "this looks like HTML, not like a policy");
	if (sp_is_blank(line.p[0]))
		return fail(ps, "the line begins with a blank; remove it");
	if (colon == line.len)
		return fail(ps, "there is no colon in %s; a line is \"key: value\"", quote(line).text);
	if (colon > 0 && sp_is_blank(line.p[colon - 1]))
		return fail(ps, "there is a blank before the colon; remove it");
	return fail(ps, "%s is not a key: letters, digits, \"_\", \"-\" and \".\" only, 1 to 32 of them",
	            quote(sp_str_make(line.p, colon)).text);
}

static bool read_line(struct parser *ps, struct sp_str line)
{
	size_t colon = sp_str_find(line, ':');
	struct sp_str name = sp_str_make(line.p, colon);
	if (colon == line.len || !sp_tagged_name_ok(name))
		return fail_name(ps, line, colon);
	struct sp_str value = sp_str_from(line, colon + 1);
	sp_take_blanks(&value);                                         /* RFC 8461 3.2: sts-policy-field-delim = ":" *WSP */
	const char *why = value_fault(value);
	if (why)
		return fail(ps, "%s", why);
	return read_pair(ps, name, value);
}

/* Without the blanks at its end, which the grammar allows (sts-policy-field *WSP) and some senders do not. */
static struct sp_str trim_end(struct parser *ps, struct sp_str line)
{
	size_t len = line.len;
	while (line.len > 0 && sp_is_blank(line.p[line.len - 1]))
		line.len--;
	if (line.len > 0 && line.len < len)
		warn(ps, "there are blanks at the end of the line; remove them");
	return line;
}

/* RFC 8461 3.2: sts-policy-term = LF / CRLF; the last line need not have one. A CR elsewhere stays, and is refused as a control character. */
static bool take_line(struct sp_str *body, struct sp_str *line)
{
	if (body->len == 0)
		return false;
	bool ended = sp_str_contains(*body, '\n');
	*line = sp_take_until(body, '\n');
	if (ended && line->len > 0 && line->p[line->len - 1] == '\r')
		line->len--;
	return true;
}

static bool read_lines(struct parser *ps, struct sp_str body)
{
	struct sp_str line;
	unsigned blank = 0;                                             /* the first of the blank lines just seen */
	while (take_line(&body, &line)) {
		ps->line++;
		line = trim_end(ps, line);
		if (line.len == 0) {
			blank = blank ? blank : ps->line;
			continue;
		}
		if (blank) {
			ps->line = blank;
			return fail(ps, "the line is empty; remove it");
		}
		if (!read_line(ps, line))
			return false;
	}
	if (blank) {
		ps->line = blank;
		warn(ps, "there are empty lines at the end; other senders may refuse the whole policy for them");
	}
	return true;
}

/* RFC 8461 3.2: version, mode, max_age: required once; mx: at least once, except when the mode is "none". */
static bool check_complete(struct parser *ps)
{
	ps->line = 0;
	if (!ps->first[KEY_VERSION])
		return fail(ps, "the version is missing; add the line \"version: STSv1\"");
	if (!ps->first[KEY_MODE])
		return fail(ps, "the mode is missing; add \"mode: enforce\", \"mode: testing\" or \"mode: none\"");
	if (!ps->first[KEY_MAX_AGE])
		return fail(ps, "max_age is missing; add a line such as \"max_age: 2419200\" (seconds)");
	if (!ps->first[KEY_MX] && ps->p->mode != STS_MODE_NONE)
		return fail(ps, "mode %s needs at least one mx line; add \"mx: \" and the name of a mail host", sts_mode_str(ps->p->mode));
	return true;
}

static bool read_policy(struct parser *ps, struct sp_str body)
{
	if (body.len == 0)
		return fail(ps, "the policy is empty");
	if (body.len > STS_POLICY_TEXT_MAX)
		return fail(ps, "the policy is larger than %d octets", STS_POLICY_SIZE_MAX);
	return read_lines(ps, body) && check_complete(ps);
}

struct sts_policy *sts_policy_parse(struct sp_str body, sts_warn_fn warn_fn, void *warn_arg, struct sp_buf *why)
{
	struct parser ps = { .p = sp_alloc(sizeof(*ps.p)), .warn = warn_fn, .warn_arg = warn_arg, .why = why };
	atomic_init(&ps.p->refs, 1);
	if (read_policy(&ps, body))
		return ps.p;
	sts_policy_unref(ps.p);
	return NULL;
}

/* ---- life ---- */

struct sts_policy *sts_policy_ref(struct sts_policy *p)
{
	if (p)
		atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
	return p;
}

void sts_policy_unref(struct sts_policy *p)
{
	if (p == NULL || atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) != 1)
		return;
	for (size_t i = 0; i < p->mx_count; i++)
		free(p->mx[i]);
	free(p->mx);
	free(p);
}

/* ---- reading ---- */

enum sts_mode sts_policy_mode(const struct sts_policy *p)
{
	return p->mode;
}

uint32_t sts_policy_max_age_s(const struct sts_policy *p)
{
	return p->max_age_s;
}

size_t sts_policy_mx_count(const struct sts_policy *p)
{
	return p->mx_count;
}

const char *sts_policy_mx(const struct sts_policy *p, size_t i)
{
	sp_assert(i < p->mx_count);
	return p->mx[i];
}

bool sts_policy_equal(const struct sts_policy *a, const struct sts_policy *b)
{
	if (a->mode != b->mode || a->max_age_s != b->max_age_s || a->mx_count != b->mx_count)
		return false;
	for (size_t i = 0; i < a->mx_count; i++)
		if (strcmp(a->mx[i], b->mx[i]) != 0)
			return false;
	return true;
}

bool sts_policy_allows_mx(const struct sts_policy *p, struct sp_str host)
{
	for (size_t i = 0; i < p->mx_count; i++)
		if (sts_mx_match(sp_str_of(p->mx[i]), host))
			return true;
	return false;
}

void sts_policy_print(const struct sts_policy *p, struct sp_buf *out)
{
	sp_buf_printf(out, "version: STSv1\nmode: %s\n", sts_mode_str(p->mode));
	for (size_t i = 0; i < p->mx_count; i++)
		sp_buf_printf(out, "mx: %s\n", p->mx[i]);
	sp_buf_printf(out, "max_age: %u\n", p->max_age_s);
}
