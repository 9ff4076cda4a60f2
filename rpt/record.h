/* rpt/record.h - the `_smtp._tls` TXT record: where a domain wants its reports.
 * Implements RFC 8460 3 (record, ABNF), RFC 6068 (mailto) and RFC 3986 as far as the `rua` needs them. Pure. Used by relay/reporter.c and
 * `strictpost report txt`. */
#ifndef RPT_RECORD_H
#define RPT_RECORD_H

#include "core/arena.h"

#define RPT_RUA_MAX 10                  /* endpoints of a record; the rest is ignored (DESIGN.md, limits) */

enum rpt_rua_kind { RPT_RUA_HTTPS, RPT_RUA_MAILTO };
struct rpt_rua {
	enum rpt_rua_kind kind;
	const char *uri;                /* as written, decoded as far as the record's own escapes go (%2C, %21, %3B); what endpoints are known by. Where one
	                                 * mailto: names several addresses, each is an endpoint: "mailto:" and the address */
	const char *host;               /* HTTPS: A-labels, lower case */
	uint16_t port;                  /* HTTPS: 443 unless told */
	const char *path;               /* HTTPS: from "/" on with the query, as it goes into the request line; no blank, no control character */
	const char *address;            /* MAILTO: local@domain, percent-decoded, without "?...": RFC 5321 Mailbox, ASCII, the domain lower case */
};
struct rpt_record {
	struct rpt_rua rua[RPT_RUA_MAX];
	size_t count;
	const char *skipped[RPT_RUA_MAX];       /* why an entry was passed over: "'foo@example.com' has no scheme" ...; printable, the first of them */
	size_t skipped_count;
};

enum rpt_record_status {
	RPT_RECORD_OK,                  /* at least one endpoint that can be used */
	RPT_RECORD_NONE,                /* no record that begins with v=TLSRPTv1; */
	RPT_RECORD_SEVERAL,             /* more than one: as if there were none (RFC 8460 3) */
	RPT_RECORD_INVALID              /* one, and it breaks the grammar, or no endpoint of it can be used */
};
/* `txts`: the records of the set, the strings of each joined. Strings live in `arena`. Unless OK, there are no endpoints, and *why is a phrase
 * (static or in `arena`) that a domain owner can act on. */
SP_NODISCARD enum rpt_record_status rpt_record_parse(const struct sp_str *txts, size_t count, struct sp_arena *arena, struct rpt_record *out,
                                                     const char **why);
#endif
