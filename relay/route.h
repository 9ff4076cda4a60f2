/* relay/route.h - where a recipient goes: its destination, which is a name for the next hop.
 * The name of a destination is its whole meaning, so that it can be stored: a domain ("example.com": MX look-up), an address literal
 * ("[192.0.2.1]"), or a configured next hop ("mx.corp.example:25", "[192.0.2.1]:25"). Marks behind it, in this order, keep apart what must not share a
 * plan, a session or a TLS session:
 *     /as=USER      the account at the next hop            /from=NAME    the entry of `source` that its sessions come from
 *     /requiretls   REQUIRETLS (RFC 8689)                  /tls-optional "TLS-Required: No"
 *     /report       TLS reports: without a policy, and so counted nowhere (RFC 8460 3: they go out despite TLS failures)
 * Of the last three at most one. USER and NAME have "%XX" for octets that are no letter, digit or one of "-_.@+". Pure. */
#ifndef RELAY_ROUTE_H
#define RELAY_ROUTE_H

#include "relay/config.h"
#include "core/wish.h"
#include "smtp/address.h"
#include "sts/verdict.h"

/* What decides besides the recipient. */
struct route_mail {
	const struct smtp_address *sender;      /* NULL, or with an empty text: the null path, which no entry by sender has */
	enum sts_wish wish;
	bool report;                            /* a mailed TLS report: then `wish` does not matter */
};
enum sts_wish route_wish(const struct sp_mail_wish *w);

/* The destination of `to` under the configured routes, in `arena`. A route by sender comes before one by domain, and in each a whole match (the address; the
 * domain) before a wider one (the sender's domain; "*"). */
const char *route_destination(const struct config *c, const struct route_mail *mail, const struct smtp_address *to, struct sp_arena *arena);
/* `destination`, which has no wish yet, for mail that has one: what the header asks for is known after the recipients. In `arena`. */
const char *route_wished(const char *destination, enum sts_wish wish, struct sp_arena *arena);

/* How a destination is called in texts: as it is, or "example.com (REQUIRETLS)", "mx.example.com:587 (as app, reports)". In `arena`. */
const char *route_label(const char *destination, struct sp_arena *arena);

enum route_kind { ROUTE_DOMAIN, ROUTE_LITERAL, ROUTE_HOST };
struct route_target {
	enum route_kind kind;
	const char *host;               /* DOMAIN: the domain; HOST: the next hop's name, or NULL when it is an address */
	struct sp_addr addr;            /* LITERAL, and HOST by address; with port */
	uint16_t port;
	const char *policy_domain;      /* whose MTA-STS policy rules (RFC 8461 3.4: the next hop's where one is configured); NULL: none can */
	bool report;                    /* carries reports; policy_domain is NULL */
	enum sts_wish wish;
	const char *user, *source;      /* decoded; NULL: none */
};
/* Takes a destination's name apart. False when it is none (a damaged spool). Strings live in `arena`. */
SP_NODISCARD bool route_parse(const char *destination, uint16_t default_port, struct sp_arena *arena, struct route_target *out);

/* The next hop with its account, without what else keeps mail apart: "example.com" of "example.com/requiretls". In `arena`. */
const char *route_hop(const char *destination, struct sp_arena *arena);

/* The route that leads to `t` with its account, or NULL: for a domain, a literal, and where it is no longer in the configuration. */
const struct config_route *route_config(const struct config *c, const struct route_target *t);
/* The entry of `source` that sessions to `t` come from: the one it names, else the one for all senders; NULL: as the system chooses. */
const struct config_source *route_source(const struct config *c, const struct route_target *t);
/* TLS from the first octet: as its route says, else by the port (RFC 8314 7.3: 465). */
bool route_implicit_tls(const struct config *c, const struct route_target *t);
/* Is what the name asks for still in the configuration? Where the account or the source is gone mail waits for it: without them it could be refused for good,
 * or show an address that it must not come from. False with *why, which says what to put back. */
SP_NODISCARD bool route_in_force(const struct config *c, const struct route_target *t, struct sp_fail *why);

#endif
