/* core/http.h - an HTTPS client for one request: resolve, connect (every address in turn, both families), TLS with a verified
 * name, request, response by llhttp. No redirect is followed, nothing is cached, no cookie, no proxy, no compression asked for.
 * Used for policies (RFC 8461 3.3) and reports (RFC 8460 5.4). On the loop's thread. */
#ifndef CORE_HTTP_H
#define CORE_HTTP_H

#include "core/conn.h"
#include "core/dns.h"

struct core_http_ask {
	const char *method;             /* "GET", "POST" */
	const char *host;               /* A-labels: Host, SNI, and the name that must verify */
	uint16_t port;
	const char *path;               /* from "/" on, with the query */
	const char *content_type;       /* of `body`; NULL without one */
	struct sp_str body;             /* borrowed until done or cancel */
	uint64_t deadline_ms;           /* for everything together */
	size_t head_max, body_max;      /* octets accepted of the response; more is a failure, never cut */
	bool verify;                    /* false: certificate faults are reported in the response's tls_fail, not fatal */
	enum core_tls_version min_version;
	/* May we talk to this address? NULL: to any. `owner` is the request's. (private networks, see sp_addr_is_public()) */
	bool (*may_connect)(void *owner, const struct sp_addr *to);
};

struct core_http_response {
	/* failed(): no complete response. Kind DNS, CONNECT, TLS, PROTOCOL or HTTP. Where the certificate was refused: TLS with the
	 * result sts-webpki-invalid, the cause in reason and text; with any other failure the result is none, for the caller to name.
	 * Reasons: "dns", "refused", "unreachable", "lost", "private-address", "timeout", "truncated", "http-syntax",
	 * "head-too-long", "body-too-large". */
	struct sp_fail fail;
	struct sp_fail tls_fail;        /* with verify == false: what the certificate check said */
	int status;                     /* 200 ...; set also when a later limit failed, 0 when none was seen */
	const char *content_type;       /* as sent, "" when missing; lower case up to the parameters is the caller's work */
	const char *content_encoding;   /* "" when missing */
	struct sp_str body;             /* complete */
	struct sp_addr remote;          /* the address that answered, family 0 if none */
};

struct core_http;               /* one request under way */

/* Exactly one call of `done`, on a later turn; the response is lent until it returns. */
struct core_http *core_http_start(struct core_loop *l, struct core_dns *dns, struct core_tls_client *tls,
                                  const struct core_http_ask *ask,
                                  void (*done)(void *owner, const struct core_http_response *r), void *owner);
void core_http_cancel(struct core_http *h);     /* silence; NULL is fine; not after done */

#endif
