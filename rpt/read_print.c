/* rpt/read_print.c - a report as a table for people; see read.h. */
#include "rpt/read.h"

#include "core/fail.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define COLUMNS_MIN 60
#define CELL_MIN 4                      /* so that all cells fit beside a count of 19 digits */
#define LABEL 10                        /* width of "contact   " */
#define LINES_SHOWN 100                 /* of a policy's strings and its MX hosts */

struct page {
	struct sp_buf *out;
	size_t columns;
	bool colour;
};

/* ---- text in a width ---- */

static size_t width_of(struct sp_str s)                 /* code points */
{
	size_t n = 0;
	for (size_t i = 0; i < s.len; i++)
		n += ((unsigned char)s.p[i] & 0xc0) != 0x80;
	return n;
}

/* The first `width` code points of *s, taken off it. */
static struct sp_str take_width(struct sp_str *s, size_t width)
{
	size_t i = 0;
	for (; i < s->len; i++)
		if (((unsigned char)s->p[i] & 0xc0) != 0x80 && width-- == 0)
			break;
	struct sp_str taken = sp_str_make(s->p, i);
	*s = sp_str_from(*s, i);
	return taken;
}

/* As take_width(), but ends at a blank where there is one. */
static struct sp_str take_words(struct sp_str *s, size_t width)
{
	struct sp_str rest = *s, line = take_width(&rest, width);
	size_t end = line.len;
	if (rest.len > 0 && rest.p[0] != ' ')
		while (end > 0 && line.p[end - 1] != ' ')
			end--;
	line.len = end > 0 ? end : line.len;
	*s = sp_str_from(*s, line.len);
	while (sp_take_char(s, ' '))
		continue;
	return sp_str_trim(line);
}

static bool is_mark(char c)
{
	return strchr("-._:/ ", c) != NULL;
}

/* As take_width(), but ends behind a mark that parts a name or an address: one in the second half, or any where what follows it fits a line. */
static struct sp_str take_cell(struct sp_str *s, size_t width)
{
	struct sp_str rest = *s, line = take_width(&rest, width);
	size_t end = line.len, next = line.len;
	if (rest.len > 0)
		while (end > 0 && !is_mark(line.p[end - 1]))
			end--;
	while (next < s->len && !is_mark(s->p[next]))
		next++;
	if (end > line.len / 2 || (end > 0 && next - end <= width))
		line.len = end;
	*s = sp_str_from(*s, line.len);
	return line;
}

static void add_blanks(struct sp_buf *out, size_t n)
{
	while (n-- > 0)
		sp_buf_addc(out, ' ');
}

/* "label     text", text that is too long going on below itself. */
static void put_field(const struct page *p, const char *label, const char *text)
{
	struct sp_str s = sp_str_of(text);
	size_t width = p->columns - LABEL - 2;
	sp_buf_printf(p->out, "  %-*s", LABEL, label);
	do {
		sp_buf_add(p->out, take_words(&s, width));
		sp_buf_addc(p->out, '\n');
		if (s.len > 0)
			add_blanks(p->out, LABEL + 2);
	} while (s.len > 0);
}

static void put_list(const struct page *p, const char *label, const char *const *items, size_t count)
{
	char more[64];
	for (size_t i = 0; i < count && i < LINES_SHOWN; i++)
		put_field(p, i == 0 ? label : "", items[i]);
	if (count > LINES_SHOWN) {
		snprintf(more, sizeof(more), "... and %zu more", count - LINES_SHOWN);
		put_field(p, "", more);
	}
}

static const char *paint(const struct page *p, const char *escape)
{
	return p->colour ? escape : "";
}
#define BOLD "\033[1m"
#define RED "\033[31m"
#define PLAIN "\033[0m"

/* ---- counts ---- */

static uint64_t sum(uint64_t a, uint64_t b)
{
	return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

/* "12.5 %"; what is not nothing does not look like nothing, what is not all not like all. */
static const char *share(uint64_t part, uint64_t all, char text[16])
{
	double percent = all > 0 ? 100.0 * (double)part / (double)all : 0;
	if (part > 0 && percent < 0.1)
		return "<0.1 %";
	if (part < all && percent > 99.9)
		return ">99.9 %";
	snprintf(text, 16, "%.1f %%", percent);
	return text;
}

static void put_sessions(const struct page *p, uint64_t successes, uint64_t failures)
{
	char ok[16], failed[16];
	uint64_t all = sum(successes, failures);
	sp_buf_printf(p->out, "  %-*s%" PRIu64 ": %" PRIu64 " ok", LABEL, "sessions", all, successes);
	if (all > 0)
		sp_buf_printf(p->out, " (%s)", share(successes, all, ok));
	sp_buf_printf(p->out, ", %s%" PRIu64 " failed", failures > 0 ? paint(p, RED) : "", failures);
	if (all > 0)
		sp_buf_printf(p->out, " (%s)", share(failures, all, failed));
	sp_buf_printf(p->out, "%s\n", failures > 0 ? paint(p, PLAIN) : "");
}

/* ---- the table of failures ---- */

#define AT(member) offsetof(struct rpt_read_failure, member)
static const struct {
	const char *title;
	size_t at;                      /* of a string; COUNT: the number */
} columns_of[] = {
#define COUNT SIZE_MAX
	{ "count", COUNT }, { "result", AT(result) }, { "reason", AT(reason) }, { "mx host", AT(mx_host) }, { "mx ip", AT(mx_ip) },
	{ "helo", AT(mx_helo) }, { "sender ip", AT(sending_ip) },
};
#define CELLS SP_COUNT(columns_of)

static struct sp_str cell_text(const struct rpt_read_failure *f, size_t column, char number[24])
{
	if (columns_of[column].at == COUNT)
		return sp_str_make(number, (size_t)snprintf(number, 24, "%" PRIu64, f->count));
	return sp_str_of(*(const char *const *)(const void *)((const char *)f + columns_of[column].at));
}

/* Widths as the cells want them; 0 for a column that is empty in all rows. Then the widest give way until the line fits. */
static void fit(const struct page *p, const struct rpt_read_failure *const *rows, size_t count, size_t width[CELLS])
{
	char number[24];
	size_t total = 0;
	for (size_t c = 0; c < CELLS; c++) {
		width[c] = 0;
		for (size_t i = 0; i < count; i++)
			width[c] = sp_max(width[c], width_of(cell_text(rows[i], c, number)));
		if (width[c] > 0)
			width[c] = sp_max(width[c], strlen(columns_of[c].title));
		total += width[c] + (width[c] > 0 ? 2 : 0);
	}
	while (total > p->columns) {
		size_t widest = 1;
		for (size_t c = 1; c < CELLS; c++)
			widest = width[c] > width[widest] ? c : widest;
		if (width[widest] <= CELL_MIN)
			return;
		width[widest]--;
		total--;
	}
}

/* One row, in as many lines as its longest cell takes. */
static void put_row(const struct page *p, struct sp_str cells[CELLS], const size_t width[CELLS])
{
	for (bool more = true; more; ) {
		size_t blanks = 0;
		more = false;
		for (size_t c = 0; c < CELLS; c++) {
			if (width[c] == 0)
				continue;
			struct sp_str piece = take_cell(&cells[c], width[c]);
			size_t pad = width[c] - width_of(piece);
			bool right = columns_of[c].at == COUNT;
			blanks += 2 + (right ? pad : 0);
			if (piece.len > 0) {                            /* no blanks at the end of a line */
				add_blanks(p->out, blanks);
				sp_buf_add(p->out, piece);
				blanks = 0;
			}
			blanks += right ? 0 : pad;
			more = more || cells[c].len > 0;
		}
		sp_buf_addc(p->out, '\n');
	}
}

static int by_count(const void *a, const void *b)
{
	const struct rpt_read_failure *x = *(const struct rpt_read_failure *const *)a, *y = *(const struct rpt_read_failure *const *)b;
	if (x->count != y->count)
		return x->count > y->count ? -1 : 1;
	return x < y ? -1 : x > y;                                      /* else as the report has them */
}

static void put_rows(const struct page *p, const struct rpt_read_failure *const *rows, size_t count)
{
	size_t width[CELLS];
	struct sp_str cells[CELLS];
	char number[24];
	fit(p, rows, count, width);
	for (size_t c = 0; c < CELLS; c++)
		cells[c] = sp_str_of(columns_of[c].title);
	sp_buf_printf(p->out, "\n%s", paint(p, BOLD));
	put_row(p, cells, width);
	sp_buf_adds(p->out, paint(p, PLAIN));
	for (size_t i = 0; i < count; i++) {
		for (size_t c = 0; c < CELLS; c++)
			cells[c] = cell_text(rows[i], c, number);
		put_row(p, cells, width);
	}
}

static void put_failures(const struct page *p, const struct rpt_read_policy *policy)
{
	if (policy->detail_count == 0)
		return;
	const struct rpt_read_failure **rows = sp_alloc_array(policy->detail_count, sizeof(*rows));
	for (size_t i = 0; i < policy->detail_count; i++)
		rows[i] = &policy->details[i];
	qsort(rows, policy->detail_count, sizeof(*rows), by_count);
	size_t shown = sp_min(policy->detail_count, RPT_PRINT_ROWS);
	put_rows(p, rows, shown);
	uint64_t rest = 0;
	for (size_t i = shown; i < policy->detail_count; i++)
		rest = sum(rest, rows[i]->count);
	if (shown < policy->detail_count)
		sp_buf_printf(p->out, "  ... and %zu more rows with %" PRIu64 " sessions (--json has them all)\n", policy->detail_count - shown, rest);
	free(rows);
}

static bool is_among(const char *text, const char *const *items, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(items[i], text) == 0)
			return true;
	return false;
}

/* What the sender says more of them, each once. */
static void put_information(const struct page *p, const struct rpt_read_policy *policy)
{
	const char *shown[LINES_SHOWN];
	size_t count = 0;
	for (size_t i = 0; i < policy->detail_count && count < LINES_SHOWN; i++) {
		const char *info = policy->details[i].info;
		if (*info && !is_among(info, shown, count))
			shown[count++] = info;
	}
	put_list(p, "see", shown, count);
}

/* ---- what they mean ---- */

static const char *const advice[] = {                           /* RFC 8460 4.3 */
	[SP_RESULT_STARTTLS_NOT_SUPPORTED] =
		"The MX host did not offer STARTTLS, or refused it. Turn TLS on there, and see that no firewall or mail filter on the way hides it.",
	[SP_RESULT_CERTIFICATE_HOST_MISMATCH] =
		"The certificate does not name the MX host. Get one that holds the host name as the MX record has it, as a DNS name (subjectAltName).",
	[SP_RESULT_CERTIFICATE_EXPIRED] =
		"The certificate had run out. Renew it, and see that the mail server loads the new one: many do so at a restart only.",
	[SP_RESULT_CERTIFICATE_NOT_TRUSTED] =
		"The certificate leads to no authority that the sender trusts. Use one of a public authority, and send its intermediate certificates with it.",
	[SP_RESULT_VALIDATION_FAILURE] =
		"TLS failed in some other way; the reason tells which. Often an MX host that the policy does not list, or no TLS version in common.",
	[SP_RESULT_TLSA_INVALID] =
		"No TLSA record could be used or matched the certificate. Publish the record of a new key before the key is used, and keep the old one a while.",
	[SP_RESULT_DNSSEC_INVALID] =
		"DNSSEC validation failed. See that the zone's signatures are fresh and that the DS record above it matches its keys.",
	[SP_RESULT_DANE_REQUIRED] =
		"The sender asks for DANE, and the MX hosts have no usable TLSA records. Publish them in a signed zone, or talk to the sender.",
	[SP_RESULT_STS_POLICY_FETCH_ERROR] =
		"The MTA-STS policy could not be fetched. See that https://mta-sts.<domain>/.well-known/mta-sts.txt answers 200, without a redirect.",
	[SP_RESULT_STS_POLICY_INVALID] =
		"The MTA-STS policy is not valid. Check the file: strictpost policy lint FILE.",
	[SP_RESULT_STS_WEBPKI_INVALID] =
		"The web server's certificate is not valid for mta-sts.<domain>. Renew it, or get one that holds that name.",
};

static void put_advice(const struct page *p, enum sp_result result)
{
	struct sp_str s = sp_str_of(advice[result]);
	sp_buf_printf(p->out, "  %s%s%s\n", paint(p, BOLD), sp_result_str(result), paint(p, PLAIN));
	while (s.len > 0) {
		add_blanks(p->out, 4);
		sp_buf_add(p->out, take_words(&s, p->columns - 4));
		sp_buf_addc(p->out, '\n');
	}
}

static void put_meanings(const struct page *p, const struct rpt_read_report *r)
{
	bool seen[SP_COUNT(advice)] = { false }, any = false;
	enum sp_result result;
	for (size_t i = 0; i < r->policy_count; i++)
		for (size_t j = 0; j < r->policies[i].detail_count; j++)
			if (sp_result_parse(sp_str_of(r->policies[i].details[j].result), &result) && advice[result])
				seen[result] = any = true;
	if (any)
		sp_buf_printf(p->out, "\n%sWhat the failures mean%s\n", paint(p, BOLD), paint(p, PLAIN));
	for (size_t i = 0; i < SP_COUNT(advice); i++)
		if (seen[i])
			put_advice(p, (enum sp_result)i);
}

/* ---- the report ---- */

static const char *told(const char *text)
{
	return *text ? text : "(not told)";
}

static void put_policy(const struct page *p, const struct rpt_read_policy *policy)
{
	sp_buf_printf(p->out, "\n%sPolicy of %s: %s%s\n", paint(p, BOLD), told(policy->domain), told(policy->type), paint(p, PLAIN));
	put_list(p, "policy", policy->strings, policy->string_count);
	put_list(p, "mx", policy->mx_hosts, policy->mx_host_count);
	put_sessions(p, policy->successes, policy->failures);
	put_failures(p, policy);
	put_information(p, policy);
}

static void put_total(const struct page *p, const struct rpt_read_report *r)
{
	uint64_t successes = 0, failures = 0;
	for (size_t i = 0; i < r->policy_count; i++) {
		successes = sum(successes, r->policies[i].successes);
		failures = sum(failures, r->policies[i].failures);
	}
	sp_buf_printf(p->out, "\n%sAll policies%s\n", paint(p, BOLD), paint(p, PLAIN));
	put_sessions(p, successes, failures);
}

void rpt_read_print(const struct rpt_read_report *r, unsigned columns, bool colour, struct sp_buf *out)
{
	struct page p = { out, sp_max(columns, COLUMNS_MIN), colour };
	char period[2100];
	snprintf(period, sizeof(period), "%s to %s", told(r->from), told(r->to));
	sp_buf_printf(out, "%sTLS report of %s%s\n", paint(&p, BOLD), told(r->organization), paint(&p, PLAIN));
	put_field(&p, "contact", told(r->contact));
	put_field(&p, "id", told(r->report_id));
	put_field(&p, "period", period);
	for (size_t i = 0; i < r->policy_count; i++)
		put_policy(&p, &r->policies[i]);
	if (r->policy_count != 1)
		put_total(&p, r);
	put_meanings(&p, r);
}
