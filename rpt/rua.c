/* rpt/rua.c - see rua.h. Whoever owns a domain chose these octets, and they end in a request line, a Host field, an SMTP command and a
 * mail header. So only what is known to be harmless there gets through, and nothing is mended. */
#include "rpt/rua.h"

#include "core/buf.h"

#define SHOWN_MAX 120                   /* octets of an entry that a reason repeats */
#define LOCAL_MAX 64                    /* RFC 5321 4.5.3.1.1 */
#define DOMAIN_MAX 253
#define LABEL_MAX 63

/* --- telling --- */

static void skip(struct rpt_record *out, struct sp_arena *arena, struct sp_str what, const char *why)
{
	if (out->skipped_count == RPT_RUA_MAX)
		return;
	struct sp_buf shown;
	sp_buf_init(&shown, SHOWN_MAX + 3);
	sp_buf_add_printable(&shown, sp_str_make(what.p, sp_min(what.len, SHOWN_MAX)));
	sp_buf_adds(&shown, what.len > SHOWN_MAX ? "..." : "");
	out->skipped[out->skipped_count++] = sp_arena_printf(arena, "'%s' %s", sp_buf_cstr(&shown), why);
	sp_buf_clear(&shown);
}

static bool same(const struct rpt_rua *a, const struct rpt_rua *b)
{
	if (a->kind != b->kind)
		return false;
	return a->kind == RPT_RUA_MAILTO ? strcmp(a->address, b->address) == 0 : strcmp(a->uri, b->uri) == 0;
}

static void add(struct rpt_record *out, struct sp_arena *arena, const struct rpt_rua *rua)
{
	for (size_t i = 0; i < out->count; i++) {
		if (same(&out->rua[i], rua)) {
			skip(out, arena, sp_str_of(rua->uri), "is named twice");
			return;
		}
	}
	if (out->count < RPT_RUA_MAX)
		out->rua[out->count++] = *rua;
}

/* --- percent --- */

/* The octet that %XX at the front of `s` stands for; -1 where that is not what is there. */
static int escaped(struct sp_str s)
{
	char c;
	return sp_take_escape(&s, '%', &c) ? (unsigned char)c : -1;
}

/* `s` with the escapes decoded that stand for an octet of `which`; NULL: all of them. */
static struct sp_str decode(struct sp_str s, const char *which, struct sp_arena *arena)
{
	char *to = sp_arena_alloc(arena, s.len + 1);
	size_t len = 0;
	while (s.len > 0) {
		int c = escaped(s);
		bool taken = c >= 0 && (which == NULL || (c > 0 && strchr(which, c) != NULL));
		to[len++] = taken ? (char)c : s.p[0];
		if (c < 0 || taken) {
			s = sp_str_from(s, taken ? 3 : 1);
			continue;
		}
		to[len++] = s.p[1];                     /* passed over as a whole: "%252C" is not "%2C" */
		to[len++] = s.p[2];
		s = sp_str_from(s, 3);
	}
	return sp_str_make(to, len);
}

/* RFC 6068 2: an address as it stands in a URI, but for what only a record escapes (see struct rpt_rua). */
static const char *mailto_uri(const char *address, struct sp_arena *arena)
{
	struct sp_buf b;
	sp_buf_init(&b, RPT_URI_MAX);
	sp_buf_adds(&b, "mailto:");
	for (const char *c = address; *c; c++) {
		if (sp_is_alnum(*c) || strchr("-._~@!$'*+,;", *c) != NULL)
			sp_buf_addc(&b, *c);
		else
			sp_buf_printf(&b, "%%%02X", (unsigned)*c);
	}
	const char *uri = sp_arena_dup(arena, sp_buf_str(&b));
	sp_buf_clear(&b);
	return uri;
}

/* RFC 3986 2: printable ASCII, and "%" only before two hexadecimal digits. */
static const char *uri_fault(struct sp_str s)
{
	for (size_t i = 0; i < s.len; i++) {
		if ((unsigned char)s.p[i] > 127)
			return "is not ASCII: a host name is written in A-labels (xn--...), anything else as %XX";
		if (!sp_is_print(s.p[i]) || strchr(" \"<>\\^`{|}", s.p[i]) != NULL)
			return "holds a blank or a character that no URI has";
		if (s.p[i] == '%' && escaped(sp_str_from(s, i)) < 0)
			return "has a % that no two hexadecimal digits follow";
	}
	return NULL;
}

/* --- hosts --- */

static bool label_ok(struct sp_str label)
{
	if (label.len == 0 || label.len > LABEL_MAX || label.p[0] == '-' || label.p[label.len - 1] == '-')
		return false;
	for (size_t i = 0; i < label.len; i++)
		if (!sp_is_alnum(label.p[i]) && label.p[i] != '-' && label.p[i] != '_')
			return false;
	return true;
}

static bool all_digits(struct sp_str s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!sp_is_digit(s.p[i]))
			return false;
	return true;
}

/* A fully qualified name of two labels at least, the last one no number: neither "localhost" nor an address. Lower case, without a dot
 * at the end; or NULL. */
static const char *host_name(struct sp_str s, struct sp_arena *arena)
{
	if (s.len > 1 && s.p[s.len - 1] == '.')
		s.len--;
	if (s.len > DOMAIN_MAX || !sp_str_contains(s, '.'))
		return NULL;
	struct sp_str rest = s, label;
	do {
		label = sp_take_until(&rest, '.');
		if (!label_ok(label))
			return NULL;
	} while (label.p + label.len < s.p + s.len);
	if (all_digits(label))
		return NULL;
	char *name = sp_arena_dup(arena, s);
	sp_lower_in_place(name);
	return name;
}

/* --- https --- */

/* RFC 3986 3.2: host [":" port]; NULL, or why not. */
static const char *take_authority(struct sp_str authority, struct sp_arena *arena, struct rpt_rua *rua)
{
	if (sp_str_contains(authority, '@'))            /* RFC 9110 4.2.4 */
		return "names a user before its host, which is not allowed";
	if (sp_str_contains(authority, '['))
		return "names an address where a host name is needed: certificates hold names";
	struct sp_str host = sp_take_until(&authority, ':');
	uint64_t port = 443;
	if (authority.len > 0 && !sp_str_number(authority, 1, 65535, &port))
		return "has no valid port";
	rua->port = (uint16_t)port;
	rua->host = host_name(host, arena);
	return rua->host ? NULL : "has no valid host name (a full one, in A-labels)";
}

static void add_https(struct sp_str uri, struct sp_arena *arena, struct rpt_record *out)
{
	struct rpt_rua rua = { .kind = RPT_RUA_HTTPS, .uri = sp_arena_dup(arena, uri) };
	struct sp_str rest = sp_str_from(uri, strlen("https://"));
	struct sp_str sent = sp_take_until(&rest, '#');         /* RFC 9110 4.2.5: a fragment is not sent */
	size_t end = sp_min(sp_str_find(sent, '/'), sp_str_find(sent, '?'));
	const char *fault = take_authority(sp_str_make(sent.p, end), arena, &rua);
	struct sp_str path = sp_str_from(sent, end);
	if (fault == NULL && (sp_str_contains(path, '[') || sp_str_contains(path, ']')))
		fault = "holds a blank or a character that no URI has";
	if (fault) {
		skip(out, arena, uri, fault);
		return;
	}
	/* RFC 9112 3.2.1: an empty path is sent as "/" */
	rua.path = sp_arena_printf(arena, "%s%.*s", path.len > 0 && path.p[0] == '/' ? "" : "/", SP_STR_ARG(path));
	add(out, arena, &rua);
}

/* --- mailto --- */

static bool is_atext(char c)            /* RFC 5322 3.2.3 */
{
	return sp_is_alnum(c) || (c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL);
}

/* How many octets the quoted string at the front of `s` has (RFC 5321 4.1.2), its quotes included; 0: it does not end, or holds what it
 * may not. */
static size_t quoted_len(struct sp_str s)
{
	for (size_t i = 1; i < s.len; i++) {
		if (s.p[i] == '"')
			return i + 1;
		if (s.p[i] == '\\')
			i++;
		if (i >= s.len || !sp_is_print(s.p[i]))
			return 0;
	}
	return 0;
}

static size_t dot_atom_len(struct sp_str s)
{
	size_t len = 0;
	while (len < s.len && (is_atext(s.p[len]) || (s.p[len] == '.' && len > 0 && s.p[len - 1] != '.')))
		len++;
	return len > 0 && s.p[len - 1] == '.' ? 0 : len;
}

static size_t local_len(struct sp_str s)
{
	return s.len > 0 && s.p[0] == '"' ? quoted_len(s) : dot_atom_len(s);
}

/* RFC 5321 4.1.2 Mailbox, in ASCII, with a host name behind the "@"; NULL where it is none. */
static const char *mailbox(struct sp_str s, struct sp_arena *arena)
{
	size_t len = local_len(s);
	if (len == 0 || len > LOCAL_MAX || len == s.len || s.p[len] != '@')
		return NULL;
	const char *domain = host_name(sp_str_from(s, len + 1), arena);
	return domain ? sp_arena_printf(arena, "%.*s@%s", (int)len, s.p, domain) : NULL;
}

/* RFC 6068 2: addresses are parted by commas; one in a quoted local part is none of them. */
static struct sp_str take_address(struct sp_str *s)
{
	size_t quoted = s->len > 0 && s->p[0] == '"' ? quoted_len(*s) : 0;
	size_t end = quoted + sp_str_find(sp_str_from(*s, quoted), ',');
	struct sp_str address = sp_str_make(s->p, end);
	*s = sp_str_from(*s, sp_min(end + 1, s->len));
	return address;
}

/* RFC 6068 2: "mailto:" [ to ] [ "?" hfields ]. The fields are not for us: a report has the form of RFC 8460 5.3. Escapes are decoded
 * first, as RFC 8460 3 has the comma that parts two addresses written as %2C. */
static void add_mailto(struct sp_str uri, struct sp_arena *arena, struct rpt_record *out)
{
	struct sp_str rest = sp_str_from(uri, strlen("mailto:"));
	struct sp_str fields = rest;
	struct sp_str to = decode(sp_take_until(&fields, '?'), NULL, arena);
	size_t whole = to.len;
	do {
		struct sp_str one = take_address(&to);
		bool several = one.len < whole;
		struct rpt_rua rua = { .kind = RPT_RUA_MAILTO, .address = mailbox(one, arena) };
		if (rua.address == NULL) {
			skip(out, arena, several ? one : uri, "holds no valid mail address (local@domain, ASCII, a full domain in A-labels)");
			continue;
		}
		rua.uri = several ? mailto_uri(rua.address, arena) : sp_arena_dup(arena, uri);
		add(out, arena, &rua);
	} while (to.len > 0 && out->count < RPT_RUA_MAX);
}

/* --- the entry --- */

/* RFC 3986 3.1: what stands before ":"; empty where there is no scheme. */
static struct sp_str scheme_of(struct sp_str s)
{
	size_t len = 0;
	while (len < s.len && (sp_is_alnum(s.p[len]) || (len > 0 && strchr("+-.", s.p[len]) != NULL && s.p[len] != '\0')))
		len++;
	bool has = len > 0 && len < s.len && sp_is_alpha(s.p[0]) && s.p[len] == ':';
	return sp_str_make(s.p, has ? len : 0);
}

void rpt_rua_add(struct sp_str entry, struct sp_arena *arena, struct rpt_record *out)
{
	if (out->count == RPT_RUA_MAX)
		return;
	if (entry.len > RPT_URI_MAX) {
		skip(out, arena, entry, "is too long");
		return;
	}
	const char *fault = uri_fault(entry);
	struct sp_str scheme = scheme_of(entry);
	/* RFC 8460 3: commas, exclamation marks and semicolons are encoded for the record's sake. */
	struct sp_str uri = decode(entry, ",!;", arena);
	if (fault)
		skip(out, arena, entry, fault);
	else if (scheme.len == 0)
		skip(out, arena, entry, "has no scheme: write mailto: before an address, https:// before a host");
	else if (sp_str_eq_nocase(scheme, SP_STR("mailto")))
		add_mailto(uri, arena, out);
	else if (sp_str_starts_nocase(uri, SP_STR("https://")))
		add_https(uri, arena, out);
	else                                            /* RFC 8460 3: others, http too, are not for reports */
		skip(out, arena, entry, "is neither https://... nor mailto:...");
}
