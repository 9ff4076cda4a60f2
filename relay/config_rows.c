/* relay/config_rows.c - see config_rows.h. */
#include "relay/config_rows.h"

#include "core/dns.h"
#include "relay/config_value.h"

#include <inttypes.h>
#include <stdlib.h>

#define AT(member) offsetof(struct config, member)
#define SECOND INT64_C(1000)
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)
#define KIB INT64_C(1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)

static const char *const words_first[] = { "deliver", "defer", NULL };
static const char *const words_ad[] = { "auto", "yes", "no", NULL };
static const char *const words_dane[] = { "auto", "off", "required", NULL };
static const char *const words_requiretls[] = { "enforce", "relaxed", NULL };
static const char *const words_tls_no[] = { "honour", "ignore", "refuse", NULL };
static const char *const words_tls[] = { "1.0", "1.1", "1.2", "1.3", NULL };
static const char *const words_verified[] = { "1.2", "1.3", NULL };
static const char *const words_schedule[] = { "internal", "external", NULL };
static const char *const words_format[] = { "text", "json", NULL };
static const char *const words_level[] = { "error", "warning", "info", "debug", NULL };

const struct conf_row conf_rows[] = {
	{ "hostname", CONF_STRING, AT(hostname), "", 0, 253, NULL,
	  "EHLO, Received, Message-ID and DSN name; default: the system's, where it is fully qualified" },
	{ "state_dir", CONF_STRING, AT(state_dir), "/var/lib/strictpost", 1, 200, NULL, "the spool; an exclusive lock is held inside" },
	{ "shards", CONF_INT, AT(shards), "0", 0, 256, NULL, "threads that receive and deliver; 0: one a core" },

	{ "limits.message_size", CONF_SIZE, AT(limits.message_size), "50M", 64 * KIB, 2 * GIB, NULL, "largest message, in octets" },
	{ "limits.recipients", CONF_INT, AT(limits.recipients), "1000", 100, 50000, NULL, "recipients of a message (RFC 5321 4.5.3.1.8: at least 100)" },
	{ "limits.connections", CONF_INT, AT(limits.connections), "10000", 1, 1000000, NULL, "client sessions at once" },
	{ "limits.connections_per_client", CONF_INT, AT(limits.connections_per_client), "0", 0, 1000000, NULL, "of one address; 0: no limit" },
	{ "limits.inline_body", CONF_SIZE, AT(limits.inline_body), "128K", 1 * KIB, 16 * MIB, NULL, "larger messages are files of the spool" },
	{ "limits.memory", CONF_SIZE, AT(limits.memory), "256M", 8 * MIB, 1024 * GIB, NULL, "message content held in memory" },
	{ "limits.hold", CONF_DURATION, AT(limits.hold_ms), "7d", 0, 365 * DAY, NULL, "longest time that a client may have mail held (FUTURERELEASE, RFC 4865), not on port 25; 0: not offered" },
	{ "limits.priority", CONF_INT, AT(limits.priority), "9", 0, 9, NULL, "highest MT-PRIORITY (RFC 6710) that clients may give their mail; what is above is lowered to it" },

	{ "auth.users_file", CONF_STRING, AT(auth.users_file), "", 0, 4095, NULL, "who may log in (AUTH); empty: nobody; `strictpost user add` writes it" },
	{ "resolver.servers", CONF_ADDRS, AT(resolver.servers), "", 0, 0, NULL, "DNS servers, ip or ip:port; empty: /etc/resolv.conf" },
	{ "resolver.trust_ad", CONF_WORD, AT(resolver.trust_ad), "auto", 0, 0, words_ad,
	  "believe the resolver that an answer was authenticated; auto: if all are on loopback" },
	{ "resolver.probe", CONF_STRING, AT(resolver.probe), ".", 1, 253, NULL,
	  "a signed name, asked for to see whether the resolver validates; another one than the root only under private roots" },
	{ "resolver.timeout", CONF_DURATION, AT(resolver.timeout_ms), "5s", 100, 60 * SECOND, NULL, "for one try of one server" },

	{ "tls.ca_file", CONF_STRING, AT(tls.ca_file), "", 0, 4000, NULL, "trusted roots, PEM; empty: the system's" },
	{ "tls.verified_min", CONF_WORD, AT(tls.verified_min), "1.2", CORE_TLS_1_2, 0, words_verified, "least TLS version where a policy demands it" },
	{ "tls.opportunistic_min", CONF_WORD, AT(tls.opportunistic_min), "1.0", CORE_TLS_1_0, 0, words_tls, "least TLS version elsewhere" },
	{ "tls.listen_min", CONF_WORD, AT(tls.listen_min), "1.2", CORE_TLS_1_0, 0, words_tls, "least TLS version on listeners" },

	{ "sts.enabled", CONF_BOOL, AT(sts.enabled), "yes", 0, 0, NULL, "look for and honour MTA-STS policies" },
	{ "sts.first_contact", CONF_WORD, AT(sts.first_contact), "deliver", 0, 0, words_first,
	  "when nothing is cached and DNS does not say whether there is a policy" },
	{ "sts.refresh", CONF_DURATION, AT(sts.refresh_ms), "24h", 1 * MINUTE, 30 * DAY, NULL, "policies are fetched again in the background after about half of it" },
	{ "sts.fetch_timeout", CONF_DURATION, AT(sts.fetch_timeout_ms), "60s", 1 * SECOND, 60 * SECOND, NULL, "for a policy fetch in all (RFC 8461 3.3)" },
	{ "sts.policy_size", CONF_SIZE, AT(sts.policy_size), "64K", 1 * KIB, 64 * KIB, NULL, "largest policy (RFC 8461 3.2)" },

	{ "delivery.port", CONF_INT, AT(delivery.port), "25", 1, 65535, NULL, "of MX hosts" },
	{ "delivery.allow_private", CONF_NETS, AT(delivery.allow_private), "", 0, 0, NULL,
	  "networks that an MX or policy host may be in although they are not public" },
	{ "delivery.dane", CONF_WORD, AT(delivery.dane), "auto", STS_DANE_AUTO, 0, words_dane,
	  "DANE (RFC 7672): auto: where an MX host has TLSA records; off; required: no host without them" },
	{ "delivery.requiretls", CONF_WORD, AT(delivery.requiretls), "enforce", CONFIG_REQUIRETLS_ENFORCE, 0, words_requiretls,
	  "mail under REQUIRETLS (RFC 8689); relaxed: to a verified host also where it does not offer REQUIRETLS" },
	{ "delivery.tls_required_no", CONF_WORD, AT(delivery.tls_required_no), "honour", CONFIG_TLS_NO_HONOUR, 0, words_tls_no,
	  "mail with the header field TLS-Required: No (RFC 8689): honour: no policy keeps it; ignore the field; refuse the mail" },
	{ "delivery.concurrency", CONF_INT, AT(delivery.concurrency), "20", 1, 1000, NULL, "sessions at once to a destination" },
	{ "delivery.host_concurrency", CONF_INT, AT(delivery.host_concurrency), "20", 1, 1000, NULL,
	  "sessions at once to one address, of all destinations that share it" },
	{ "delivery.sessions", CONF_INT, AT(delivery.sessions), "1000", 1, 100000, NULL, "outbound sessions at once, in all" },
	{ "delivery.rate", CONF_RATE, AT(delivery.rate), "0", 0, 0, NULL, "messages to each destination, such as 100/1m; 0: no limit" },
	{ "delivery.messages_per_session", CONF_INT, AT(delivery.messages_per_session), "100", 1, 100000, NULL, "then the session ends" },
	{ "delivery.expire", CONF_DURATION, AT(delivery.expire_ms), "5d", 1 * SECOND, 60 * DAY, NULL, "then a message bounces (RFC 5321 4.5.4.1: 4 to 5 days)" },
	{ "delivery.delay_notice", CONF_DURATION, AT(delivery.delay_notice_ms), "4h", 0, 60 * DAY, NULL, "the sender is told of a delay after this; 0: never" },

	{ "delivery.retry.first", CONF_DURATION, AT(delivery.retry.first_ms), "5m", 100, 1 * DAY, NULL, "wait after the first failure" },
	{ "delivery.retry.growth", CONF_FLOAT, AT(delivery.retry.growth), "2", 1000, 10000, NULL, "factor of each further wait" },
	{ "delivery.retry.max", CONF_DURATION, AT(delivery.retry.max_ms), "4h", 100, 5 * DAY, NULL, "longest wait" },
	{ "delivery.retry.jitter", CONF_FLOAT, AT(delivery.retry.jitter), "0.2", 0, 1000, NULL, "waits are spread by this share up and down" },
	{ "report.enabled", CONF_BOOL, AT(report.enabled), "yes", 0, 0, NULL, "count sessions and send TLS reports (RFC 8460)" },
	{ "report.organization", CONF_STRING, AT(report.organization), "", 0, 200, NULL, "organization-name of reports; empty: the registered part of hostname" },
	{ "report.contact", CONF_STRING, AT(report.contact), "", 0, 254, NULL, "contact-info and sender of reports; empty: postmaster@ the submitter" },
	{ "report.submitter", CONF_STRING, AT(report.submitter), "", 0, 253, NULL, "the domain that reports come from; empty: the domain of hostname" },
	{ "report.schedule", CONF_WORD, AT(report.schedule), "internal", CONFIG_SCHEDULE_INTERNAL, 0, words_schedule,
	  "who starts the sending: the relay itself, or `strictpost report send` from cron" },
	{ "report.spread", CONF_DURATION, AT(report.spread_ms), "4h", 0, 20 * HOUR, NULL, "reports go out in the first hours of a day, each domain's at its own moment" },
	{ "report.details_per_domain", CONF_INT, AT(report.details_per_domain), "1000", 1, 1000000, NULL,
	  "distinct failures that are kept of a domain and a day; the rest is counted by result type" },
	{ "report.keep_days", CONF_INT, AT(report.keep_days), "14", 1, 366, NULL, "days that are kept for `strictpost report list` and `show`" },
	{ "evidence.keep", CONF_DURATION, AT(evidence.keep_ms), "14d", 0, 366 * DAY, NULL,
	  "what was seen of attempts is kept so long, for `strictpost explain`, of delivered mail too; 0: not at all" },
	{ "evidence.size", CONF_SIZE, AT(evidence.size), "256M", 1 * MIB, 1024 * GIB, NULL, "and at most so much of it, in octets: the oldest goes first" },
	{ "log.format", CONF_WORD, AT(log.format), "text", SP_LOG_TEXT, 0, words_format, "of the lines on standard error" },
	{ "log.level", CONF_WORD, AT(log.level), "info", SP_LOG_ERROR, 0, words_level, "the least severe that is written" },
	{ "alarm.oldest", CONF_DURATION, AT(alarm.oldest_ms), "1d", 0, 60 * DAY, NULL,
	  "an error is logged, every day anew, when mail waits longer than this and nothing was delivered for alarm.idle; 0: never" },
	{ "alarm.idle", CONF_DURATION, AT(alarm.idle_ms), "6h", 100, 60 * DAY, NULL, "see alarm.oldest" },
	{ "admin.socket", CONF_STRING, AT(admin.socket), "/run/strictpost/control.sock", 0, 107, NULL, "control socket; empty: none" },
	{ "admin.http", CONF_STRING, AT(admin.http), "", 0, 63, NULL, "address:port for the admin API over TCP; empty: none; other than loopback only with a token" },
	{ "admin.token_file", CONF_STRING, AT(admin.token_file), "", 0, 4095, NULL, "its first line is the bearer token that admin.http demands" },
};
const size_t conf_row_count = SP_COUNT(conf_rows);

static void *member(struct config *c, const struct conf_row *row)
{
	return (char *)c + row->at;
}

static const void *member_const(const struct config *c, const struct conf_row *row)
{
	return (const char *)c + row->at;
}

const struct conf_row *conf_row_find(struct sp_str path)
{
	for (size_t i = 0; i < conf_row_count; i++)
		if (sp_str_eq(path, sp_str_of(conf_rows[i].path)))
			return &conf_rows[i];
	return NULL;
}

bool conf_is_group(struct sp_str path)
{
	for (size_t i = 0; i < conf_row_count; i++) {
		struct sp_str p = sp_str_of(conf_rows[i].path);
		if (p.len > path.len && p.p[path.len] == '.' && sp_str_starts(p, path))
			return true;
	}
	return false;
}

const char *conf_type_str(enum conf_type t)
{
	static const char *const names[] = {
		[CONF_STRING] = "text", [CONF_INT] = "number", [CONF_SIZE] = "size", [CONF_DURATION] = "duration", [CONF_BOOL] = "yes/no",
		[CONF_FLOAT] = "number", [CONF_RATE] = "rate", [CONF_WORD] = "word", [CONF_NETS] = "networks", [CONF_ADDRS] = "addresses",
	};
	return names[t];
}

static void print_range(const struct conf_row *row, struct sp_buf *out)
{
	void (*print)(int64_t, struct sp_buf *) = row->type == CONF_DURATION ? config_print_duration : config_print_size;
	if (row->type == CONF_INT) {
		sp_buf_printf(out, "%" PRId64 " to %" PRId64, row->min, row->max);
		return;
	}
	print(row->min, out);
	sp_buf_adds(out, " to ");
	print(row->max, out);
}

static bool in_range(const struct conf_row *row, int64_t n, struct sp_str text, struct sp_buf *why)
{
	if (n >= row->min && n <= row->max)
		return true;
	sp_buf_printf(why, "%s: %.*s is out of range; it takes ", row->path, SP_STR_ARG(conf_shown(text)));
	print_range(row, why);
	return false;
}

static bool set_number(struct config *c, const struct conf_row *row, struct sp_str text, struct sp_buf *why)
{
	int64_t n = 0;
	uint64_t plain;
	bool ok;
	const char *form;
	switch (row->type) {
	case CONF_SIZE:
		ok = config_size(text, &n);
		form = "a size such as 64K, 50M or 1G";
		break;
	case CONF_DURATION:
		ok = config_duration(text, &n);
		form = "a duration such as 30s, 5m, 4h or 5d";
		break;
	default:
		ok = sp_str_number(text, 0, INT64_MAX, &plain);
		n = ok ? (int64_t)plain : 0;
		form = "a number";
	}
	if (!ok) {
		sp_buf_printf(why, "%s: '%.*s' is not %s", row->path, SP_STR_ARG(conf_shown(text)), form);
		return false;
	}
	if (!in_range(row, n, text, why))
		return false;
	*(int64_t *)member(c, row) = n;
	return true;
}

static bool set_word(struct config *c, const struct conf_row *row, struct sp_str text, struct sp_buf *why)
{
	for (int64_t i = 0; row->words[i]; i++) {
		if (sp_str_eq_nocase(text, sp_str_of(row->words[i]))) {
			*(int64_t *)member(c, row) = row->min + i;
			return true;
		}
	}
	sp_buf_printf(why, "%s: '%.*s' is none of:", row->path, SP_STR_ARG(conf_shown(text)));
	for (size_t i = 0; row->words[i]; i++)
		sp_buf_printf(why, " %s", row->words[i]);
	return false;
}

static bool set_float(struct config *c, const struct conf_row *row, struct sp_str text, struct sp_buf *why)
{
	double d;
	if (!config_float(text, &d) || d * 1000 < (double)row->min || d * 1000 > (double)row->max) {
		sp_buf_printf(why, "%s: '%.*s' is not a number from %g to %g", row->path, SP_STR_ARG(conf_shown(text)),
		              (double)row->min / 1000, (double)row->max / 1000);
		return false;
	}
	*(double *)member(c, row) = d;
	return true;
}

static bool set_string(struct config *c, const struct conf_row *row, struct sp_str text, struct sp_buf *why)
{
	if ((int64_t)text.len < row->min || (int64_t)text.len > row->max || sp_str_contains(text, '\0')) {
		sp_buf_printf(why, "%s: takes %" PRId64 " to %" PRId64 " characters", row->path, row->min, row->max);
		return false;
	}
	char **at = member(c, row);
	free(*at);
	*at = sp_str_dup(text);
	return true;
}

static bool set_rate(struct config *c, const struct conf_row *row, struct sp_str text, struct sp_buf *why)
{
	struct config_rate *rate = member(c, row);
	if (config_rate(text, &rate->count, &rate->per_ms))
		return true;
	sp_buf_printf(why, "%s: '%.*s' is not a rate such as 100/1m, nor 0 for no limit", row->path, SP_STR_ARG(conf_shown(text)));
	return false;
}

bool conf_set(struct config *c, const struct conf_row *row, struct sp_str text, struct sp_buf *why)
{
	switch (row->type) {
	case CONF_STRING:
		return set_string(c, row, text, why);
	case CONF_INT:
	case CONF_SIZE:
	case CONF_DURATION:
		return set_number(c, row, text, why);
	case CONF_FLOAT:
		return set_float(c, row, text, why);
	case CONF_WORD:
		return set_word(c, row, text, why);
	case CONF_BOOL:
		if (config_bool(text, member(c, row)))
			return true;
		sp_buf_printf(why, "%s: '%.*s' is neither yes nor no", row->path, SP_STR_ARG(conf_shown(text)));
		return false;
	case CONF_RATE:
		return set_rate(c, row, text, why);
	case CONF_NETS:
	case CONF_ADDRS:
		break;
	}
	sp_buf_printf(why, "%s: takes a list, such as [a, b]", row->path);
	return false;
}

/* Servers are kept as core_dns_open() takes them: separated by commas. */
static bool add_server(char **list, struct sp_str item, struct sp_buf *why)
{
	struct sp_addr a;
	if (!sp_addr_parse_ip(item, 53, &a) && (!sp_addr_parse(item, &a) || sp_addr_family(&a) == AF_UNIX)) {
		sp_buf_printf(why, "'%.*s' is not an address such as 192.0.2.1, 192.0.2.1:53 or [2001:db8::1]:53", SP_STR_ARG(conf_shown(item)));
		return false;
	}
	size_t servers = 1;
	for (const char *p = *list; *p; p++)
		servers += *p == ',';
	if (**list && servers >= CORE_DNS_SERVERS_MAX) {
		sp_buf_printf(why, "takes %d servers at most", CORE_DNS_SERVERS_MAX);
		return false;
	}
	struct sp_buf b;
	sp_buf_init(&b, 4096);
	sp_buf_adds(&b, *list);
	sp_buf_adds(&b, b.len ? "," : "");
	sp_buf_add(&b, item);
	bool ok = !sp_buf_failed(&b);
	if (!ok)
		sp_buf_adds(why, "too many servers");
	free(*list);
	*list = sp_buf_take(&b);
	return ok;
}

bool conf_add(struct config *c, const struct conf_row *row, struct sp_str item, struct sp_buf *why)
{
	size_t at = why->len;
	bool ok = row->type == CONF_NETS ? conf_nets_add(member(c, row), item, why) : add_server(member(c, row), item, why);
	if (!ok) {
		char *text = sp_strndup(why->p + at, why->len - at);
		sp_buf_truncate(why, at);
		sp_buf_printf(why, "%s: %s", row->path, text);
		free(text);
	}
	return ok;
}

void conf_set_default(struct config *c, const struct conf_row *row)
{
	struct sp_buf why;
	sp_buf_init(&why, 1024);
	if (row->type == CONF_ADDRS)
		*(char **)member(c, row) = sp_strdup("");
	else if (row->type == CONF_STRING)
		*(char **)member(c, row) = sp_strdup(row->def);
	else if (row->type != CONF_NETS) {
		bool ok = conf_set(c, row, sp_str_of(row->def), &why);
		sp_assert(ok);
	}
	sp_buf_clear(&why);
}

void conf_clear(struct config *c, const struct conf_row *row)
{
	if (row->type == CONF_NETS)
		conf_nets_clear(member(c, row));
	else if (row->type == CONF_STRING || row->type == CONF_ADDRS) {
		char **at = member(c, row);
		free(*at);
		*at = NULL;
	}
}

void conf_nets_clear(struct config_nets *n)
{
	free(n->nets);
	*n = (struct config_nets){ 0 };
}

bool conf_nets_add(struct config_nets *n, struct sp_str item, struct sp_buf *why)
{
	struct sp_net net;
	if (!sp_net_parse(item, &net)) {
		sp_buf_printf(why, "'%.*s' is not a network such as 10.0.0.0/8 or ::1/128 (the bits behind the length must be 0)",
		              SP_STR_ARG(conf_shown(item)));
		return false;
	}
	n->nets = sp_realloc(n->nets, (n->count + 1) * sizeof(*n->nets));
	n->nets[n->count++] = net;
	return true;
}

void conf_nets_print(const struct config_nets *n, struct sp_buf *out)
{
	char text[SP_ADDR_TEXT];
	sp_buf_addc(out, '[');
	for (size_t i = 0; i < n->count; i++) {
		const struct sp_addr *a = &n->nets[i].addr;
		bool mapped = sp_addr_family(a) == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&a->in6.sin6_addr);
		sp_buf_printf(out, "%s\"%s/%u\"", i ? ", " : "", sp_addr_ip_str(a, text), n->nets[i].bits + (mapped ? 96 : 0));
	}
	sp_buf_addc(out, ']');
}

/* The next character of UTF-8, which libyaml has checked. */
static uint32_t take_character(const char **s)
{
	const uint8_t *p = (const uint8_t *)*s;
	unsigned more = p[0] < 0xc0 ? 0 : p[0] < 0xe0 ? 1 : p[0] < 0xf0 ? 2 : 3;
	uint32_t c = more ? p[0] & (0x3fu >> more) : p[0];
	size_t len = 1;
	while (len <= more && (p[len] & 0xc0) == 0x80)
		c = c << 6 | (p[len++] & 0x3fu);
	*s += len;
	return c;
}

/* May it stand for itself between quotes? Not what ends a line in YAML, nor what is no text (YAML 1.1 5.1). */
static bool stands_for_itself(uint32_t c)
{
	return (c >= ' ' && c <= '~') || (c >= 0xa0 && c < 0xd800 && c != 0x2028 && c != 0x2029) ||
	       (c >= 0xe000 && c < 0xfffe && c != 0xfeff) || c >= 0x10000;
}

void conf_print_string(const char *s, struct sp_buf *out)
{
	sp_buf_addc(out, '"');
	while (*s) {
		const char *start = s;
		uint32_t c = take_character(&s);
		if (c == '"' || c == '\\')
			sp_buf_addc(out, '\\');
		if (stands_for_itself(c))
			sp_buf_add(out, sp_str_make(start, (size_t)(s - start)));
		else
			sp_buf_printf(out, c < 0x100 ? "\\x%02x" : "\\u%04x", c);
	}
	sp_buf_addc(out, '"');
}

static void print_servers(const char *list, struct sp_buf *out)
{
	struct sp_str rest = sp_str_of(list);
	sp_buf_addc(out, '[');
	for (size_t i = 0; rest.len > 0; i++) {
		struct sp_str one = sp_take_until(&rest, ',');
		sp_buf_printf(out, "%s\"%.*s\"", i ? ", " : "", SP_STR_ARG(one));
	}
	sp_buf_addc(out, ']');
}

void conf_print(const struct config *c, const struct conf_row *row, struct sp_buf *out)
{
	const void *at = member_const(c, row);
	switch (row->type) {
	case CONF_STRING:
		conf_print_string(*(char *const *)at, out);
		break;
	case CONF_INT:
		sp_buf_printf(out, "%" PRId64, *(const int64_t *)at);
		break;
	case CONF_SIZE:
		config_print_size(*(const int64_t *)at, out);
		break;
	case CONF_DURATION:
		config_print_duration(*(const int64_t *)at, out);
		break;
	case CONF_BOOL:
		sp_buf_adds(out, *(const bool *)at ? "yes" : "no");
		break;
	case CONF_FLOAT:
		config_print_float(*(const double *)at, out);
		break;
	case CONF_WORD:
		sp_buf_printf(out, "\"%s\"", row->words[*(const int64_t *)at - row->min]);
		break;
	case CONF_RATE:
		sp_buf_addc(out, '"');
		config_print_rate(((const struct config_rate *)at)->count, ((const struct config_rate *)at)->per_ms, out);
		sp_buf_addc(out, '"');
		break;
	case CONF_NETS:
		conf_nets_print(at, out);
		break;
	case CONF_ADDRS:
		print_servers(*(char *const *)at, out);
		break;
	}
}
