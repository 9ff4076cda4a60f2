/* relay/route.c - see route.h. */
#include "relay/route.h"

#include "core/dnsmsg.h"

#include <stdio.h>

#define PORT_SUBMISSIONS 465            /* RFC 8314 7.3 */

/* No host name, literal or port has a slash. */
static const struct { const char *mark, *label; enum sts_wish wish; bool report; } lasts[] = {
	{ "/requiretls", "REQUIRETLS", STS_WISH_REQUIRE_TLS, false },
	{ "/tls-optional", "TLS-Required: No", STS_WISH_TLS_OPTIONAL, false },
	{ "/report", "reports", STS_WISH_NONE, true },
};

enum sts_wish route_wish(const struct sp_mail_wish *w)
{
	return w->require_tls ? STS_WISH_REQUIRE_TLS : w->tls_optional ? STS_WISH_TLS_OPTIONAL : STS_WISH_NONE;
}

/* --- names inside marks --- */

static bool stands_for_itself(char c)
{
	return sp_is_alnum(c) || (c != '\0' && strchr("-_.@+", c) != NULL);
}

static const char *encode(const char *name, struct sp_arena *arena)
{
	char *out = sp_arena_alloc(arena, 3 * strlen(name) + 1), *p = out;
	for (; *name; name++) {
		if (stands_for_itself(*name))
			*p++ = *name;
		else
			p += snprintf(p, 4, "%%%02X", (unsigned char)*name);
	}
	*p = '\0';
	return out;
}

/* NULL where it is not what encode() writes. */
static const char *decode(struct sp_str s, struct sp_arena *arena)
{
	char *out = sp_arena_alloc(arena, s.len + 1), *p = out;
	for (struct sp_str rest = s; rest.len > 0; p++) {
		if (sp_take_escape(&rest, '%', p))
			continue;
		*p = rest.p[0];
		rest = sp_str_from(rest, 1);
	}
	*p = '\0';
	return p > out && sp_str_eq(sp_str_of(encode(out, arena)), s) ? out : NULL;
}

/* --- by sender --- */

enum fit { FIT_NONE, FIT_DOMAIN, FIT_ADDRESS };

/* RFC 5321 2.4 leaves the case of a local part to its host; nobody means another sender by it here. */
static enum fit sender_fits(const char *pattern, const struct smtp_address *sender)
{
	if (sender == NULL || *sender->text == '\0' || pattern == NULL)
		return FIT_NONE;
	const char *at = strrchr(pattern, '@');
	if (at == NULL)
		return strcmp(pattern, sender->domain) == 0 ? FIT_DOMAIN : FIT_NONE;
	struct sp_str local = sp_str_make(pattern, (size_t)(at - pattern));
	return strcmp(at + 1, sender->domain) == 0 && sp_str_eq_nocase(local, sp_str_of(sender->local)) ? FIT_ADDRESS : FIT_NONE;
}

static const struct config_route *route_by_sender(const struct config *c, const struct smtp_address *sender)
{
	const struct config_route *best = NULL;
	enum fit best_fit = FIT_NONE;
	for (size_t i = 0; i < c->routes.count; i++) {
		enum fit fit = sender_fits(c->routes.items[i].sender, sender);
		if (fit > best_fit) {
			best = &c->routes.items[i];
			best_fit = fit;
		}
	}
	return best;
}

static const struct config_source *source_by_sender(const struct config *c, const struct smtp_address *sender)
{
	const struct config_source *best = NULL;
	enum fit best_fit = FIT_NONE;
	for (size_t i = 0; i < c->sources.count; i++) {
		const struct config_source *s = &c->sources.items[i];
		for (size_t k = 0; k < s->sender_count; k++) {
			enum fit fit = sender_fits(s->senders[k], sender);
			if (fit > best_fit) {
				best = s;
				best_fit = fit;
			}
		}
	}
	return best;
}

/* --- destinations --- */

static const struct config_route *route_by_domain(const struct config *c, const struct smtp_address *to)
{
	const struct config_route *best = NULL;
	for (size_t i = 0; i < c->routes.count; i++) {
		const struct config_route *r = &c->routes.items[i];
		if (r->domain == NULL)
			continue;
		if (strcmp(r->domain, to->domain) == 0)
			return r;
		if (strcmp(r->domain, "*") == 0)
			best = r;
	}
	return best;
}

static const char *hop_of(const struct config *c, const struct route_mail *mail, const struct smtp_address *to, struct sp_arena *arena)
{
	const struct config_route *r = route_by_sender(c, mail->sender);
	if (r == NULL)
		r = route_by_domain(c, to);
	if (r == NULL)
		return sp_arena_strdup(arena, *to->domain ? to->domain : c->hostname);  /* <postmaster> is ours */
	const char *user = r->user ? r->user : "";
	return sp_arena_printf(arena, "%s:%u%s%s", r->via_host, r->via_port, *user ? "/as=" : "", encode(user, arena));
}

static const char *mark_last(const char *destination, enum sts_wish wish, bool report, struct sp_arena *arena)
{
	for (size_t i = 0; i < SP_COUNT(lasts); i++)
		if (lasts[i].report == report && (report || lasts[i].wish == wish))
			return sp_arena_printf(arena, "%s%s", destination, lasts[i].mark);
	return destination;
}

const char *route_destination(const struct config *c, const struct route_mail *mail, const struct smtp_address *to, struct sp_arena *arena)
{
	const char *destination = hop_of(c, mail, to, arena);
	const struct config_source *source = source_by_sender(c, mail->sender);
	if (source)
		destination = sp_arena_printf(arena, "%s/from=%s", destination, encode(source->name, arena));
	return mark_last(destination, mail->wish, mail->report, arena);
}

const char *route_wished(const char *destination, enum sts_wish wish, struct sp_arena *arena)
{
	return mark_last(destination, wish, false, arena);
}

/* --- names of destinations --- */

/* "[192.0.2.1]" or "[IPv6:2001:db8::1]" (RFC 5321 4.1.3) from the front of *s. */
static bool take_literal(struct sp_str *s, uint16_t port, struct sp_addr *out)
{
	struct sp_str rest = *s;
	if (!sp_take_char(&rest, '['))
		return false;
	size_t end = sp_str_find(rest, ']');
	if (end == rest.len)
		return false;
	struct sp_str inside = sp_str_make(rest.p, end);
	bool v6 = sp_take_prefix_nocase(&inside, SP_STR("IPv6:"));
	if (!sp_addr_parse_ip(inside, port, out) || (sp_addr_family(out) == AF_INET6) != v6)
		return false;
	*s = sp_str_from(rest, end + 1);
	return true;
}

/* What stands before the marks. */
static bool parse_hop(struct sp_str s, uint16_t default_port, struct sp_arena *arena, struct route_target *out)
{
	uint64_t port = default_port;
	*out = (struct route_target){ .port = default_port };
	if (take_literal(&s, default_port, &out->addr)) {
		out->kind = ROUTE_LITERAL;
		if (s.len == 0)
			return true;
		out->kind = ROUTE_HOST;
		if (!sp_take_char(&s, ':') || !sp_str_number(s, 1, 65535, &port))
			return false;
		out->port = (uint16_t)port;
		sp_addr_set_port(&out->addr, out->port);
		return true;
	}
	size_t colon = sp_str_find(s, ':');
	struct sp_str name = sp_str_make(s.p, colon);
	if (!core_dns_name_ok(name))
		return false;
	if (colon < s.len && !sp_str_number(sp_str_from(s, colon + 1), 1, 65535, &port))
		return false;
	out->kind = colon < s.len ? ROUTE_HOST : ROUTE_DOMAIN;
	out->port = (uint16_t)port;
	out->host = out->policy_domain = sp_arena_dup(arena, name);
	return true;
}

/* A mark with a name from the front of *s, where it is there; false when its name is none. */
static bool take_named(struct sp_str *s, struct sp_str mark, struct sp_arena *arena, const char **name)
{
	if (!sp_take_prefix(s, mark))
		return true;
	size_t end = sp_str_find(*s, '/');
	*name = decode(sp_str_make(s->p, end), arena);
	*s = sp_str_from(*s, end);
	return *name != NULL;
}

static bool parse_marks(struct sp_str s, struct sp_arena *arena, struct route_target *out)
{
	if (!take_named(&s, SP_STR("/as="), arena, &out->user) || !take_named(&s, SP_STR("/from="), arena, &out->source))
		return false;
	if (out->user && out->kind != ROUTE_HOST)
		return false;
	for (size_t i = 0; i < SP_COUNT(lasts); i++) {
		if (!sp_str_eq(s, sp_str_of(lasts[i].mark)))
			continue;
		out->wish = lasts[i].wish;
		out->report = lasts[i].report;
		return true;
	}
	return s.len == 0;
}

bool route_parse(const char *destination, uint16_t default_port, struct sp_arena *arena, struct route_target *out)
{
	struct sp_str s = sp_str_of(destination);
	size_t marks = sp_str_find(s, '/');
	if (!parse_hop(sp_str_make(s.p, marks), default_port, arena, out) || !parse_marks(sp_str_from(s, marks), arena, out))
		return false;
	if (out->report)
		out->policy_domain = NULL;      /* RFC 8460 3: reports go out despite TLS failures; DESIGN.md: and are counted in none */
	return true;
}

const char *route_label(const char *destination, struct sp_arena *arena)
{
	struct route_target t;
	size_t hop = strcspn(destination, "/");
	const char *words = "";
	if (!route_parse(destination, 25, arena, &t) || destination[hop] == '\0')
		return sp_arena_strdup(arena, destination);
	if (t.user)
		words = sp_arena_printf(arena, ", as %s", t.user);
	if (t.source)
		words = sp_arena_printf(arena, "%s, from %s", words, t.source);
	for (size_t i = 0; i < SP_COUNT(lasts); i++)
		if (lasts[i].report == t.report && (t.report || lasts[i].wish == t.wish))
			words = sp_arena_printf(arena, "%s, %s", words, lasts[i].label);
	return sp_arena_printf(arena, "%.*s (%s)", (int)hop, destination, words + 2);
}

const char *route_hop(const char *destination, struct sp_arena *arena)
{
	struct sp_str s = sp_str_of(destination), account = SP_STR("/as=");
	size_t end = sp_str_find(s, '/');
	if (sp_str_starts(sp_str_from(s, end), account)) {
		end += account.len;
		end += sp_str_find(sp_str_from(s, end), '/');
	}
	return sp_arena_dup(arena, sp_str_make(s.p, end));
}

/* --- back to the configuration --- */

const struct config_route *route_config(const struct config *c, const struct route_target *t)
{
	char text[SP_ADDR_TEXT];
	if (t->kind != ROUTE_HOST)
		return NULL;
	const char *host = t->host ? t->host : sp_addr_literal_str(&t->addr, text);
	for (size_t i = 0; i < c->routes.count; i++) {
		const struct config_route *r = &c->routes.items[i];
		if (r->via_port == t->port && strcmp(r->via_host, host) == 0 && strcmp(r->user ? r->user : "", t->user ? t->user : "") == 0)
			return r;
	}
	return NULL;
}

const struct config_source *route_source(const struct config *c, const struct route_target *t)
{
	for (size_t i = 0; i < c->sources.count; i++) {
		const struct config_source *s = &c->sources.items[i];
		if (t->source ? strcmp(s->name, t->source) == 0 : s->sender_count == 0)
			return s;
	}
	return NULL;
}

bool route_implicit_tls(const struct config *c, const struct route_target *t)
{
	const struct config_route *r = route_config(c, t);
	return r ? r->implicit_tls : t->kind == ROUTE_HOST && t->port == PORT_SUBMISSIONS;
}

bool route_in_force(const struct config *c, const struct route_target *t, struct sp_fail *why)
{
	char text[SP_ADDR_TEXT];
	if (t->user && route_config(c, t) == NULL) {
		sp_fail_set(why, SP_FAIL_POLICY, "the route by %s:%u with the user '%s' is no longer in the configuration, and its mail does not go without it: "
		            "put it back under `routes`", t->host ? t->host : sp_addr_literal_str(&t->addr, text), t->port, t->user);
		snprintf(why->reason, sizeof(why->reason), "route-gone");
	} else if (t->source && route_source(c, t) == NULL) {
		sp_fail_set(why, SP_FAIL_POLICY, "the source '%s' is no longer in the configuration, and its mail does not come from another address: "
		            "put it back under `source`", t->source);
		snprintf(why->reason, sizeof(why->reason), "source-gone");
	} else {
		return true;
	}
	snprintf(why->esc, sizeof(why->esc), "4.3.5");  /* RFC 3463 3.4: system incorrectly configured */
	return false;
}
