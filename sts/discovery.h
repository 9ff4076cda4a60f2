/* sts/discovery.h - finding the policy of a domain: what to do with what DNS, the cache and the policy host said.
 * Implements RFC 8461 3.1, 3.3 (fetch rules), 5.1, 10.2 and DESIGN.md's policy table. Pure: `now_s` is Unix time, an argument. The moving
 * part, which looks up and fetches, is relay/policy.c; it calls these in order:
 *
 *     entry from memory or sts/cache.c  ->  sts_discover_txt()  -> DONE: the finding stands
 *                                                               -> FETCH: GET https://mta-sts.<domain>/.well-known/mta-sts.txt
 *                                                                  then sts_discover_fetched()
 * Promise: no error ever moves an expiry; only a completed fetch of a valid policy does. */
#ifndef STS_DISCOVERY_H
#define STS_DISCOVERY_H

#include "core/dnsmsg.h"
#include "core/fail.h"
#include "sts/policy.h"
#include "sts/record.h"

/* What is known of a domain: a row of the cache. */
struct sts_entry {
	struct sts_policy *policy;      /* one ref; NULL: none is cached */
	char id[STS_ID_MAX + 1];        /* of the record under which it was fetched; "" unknown */
	int64_t fetched_s;              /* last successful fetch; in the future when the clock has jumped back since: then a fetch is due, and
	                                 * one that fails too moves it to now, so that no such policy outlives now + max_age */
	int64_t expires_s;              /* fetched_s + max_age; not valid at or after it */
	int64_t refresh_s;              /* when to fetch again in the background; a failure puts it off to retry_s */
	int64_t fresh_s;                /* last fetch that mail in danger asked for (`fresh`), 0: none */
	/* the last failure, cleared by a success; kept across restarts */
	char failed_id[STS_ID_MAX + 1]; /* under which the fetch failed */
	int64_t retry_s;                /* no fetch under failed_id before this */
	unsigned failures;              /* in a row */
	enum sp_result failed_result;
	char failed_reason[48];
	char failed_text[256];
};
void sts_entry_init(struct sts_entry *e);
void sts_entry_clear(struct sts_entry *e);
void sts_entry_copy(struct sts_entry *to, const struct sts_entry *from);        /* `to` is initialised */
bool sts_entry_valid(const struct sts_entry *e, int64_t now_s);                 /* a policy that may be applied now */

#define STS_SOURCES(X) \
	X(NONE,   "none")    /* no policy */ \
	X(FRESH,  "fetched") /* fetched just now */ \
	X(CACHE,  "cache")   /* cached, and its id was confirmed */ \
	X(CACHE_UNCONFIRMED, "cache-unconfirmed") /* cached; the record was gone, unreachable or the fetch failed */
enum sts_source {
#define X(name, text) STS_SOURCE_##name,
	STS_SOURCES(X)
#undef X
};
const char *sts_source_str(enum sts_source s);

/* What discovery concluded: the input of sts/verdict.c. */
struct sts_finding {
	struct sts_policy *policy;      /* one ref; NULL: deliver opportunistically */
	enum sts_source source;
	int64_t fetched_s, expires_s;   /* of the policy */
	char id[STS_ID_MAX + 1];
	bool has_record;                /* a valid record was seen: a failed fetch is reported under "sts", not no-policy-found */
	bool unreachable;               /* nothing is cached, and the look-up of the record failed: there may be a policy */
	struct sp_fail fetch_fail;      /* failed(): the policy could not be fetched or parsed; result is one of the sts-* types */
	struct sp_fail defer;           /* failed(): nothing may be sent now (first_contact: defer) */
};
void sts_finding_init(struct sts_finding *f);
void sts_finding_clear(struct sts_finding *f);
void sts_finding_copy(struct sts_finding *to, const struct sts_finding *from);

struct sts_rules {                      /* from the configuration */
	bool first_contact_defer;       /* sts.first_contact */
	uint32_t refresh_s;             /* sts.refresh: fetch again at the latest after this (RFC 8461 3.3, 10.2: before expiry) */
};

enum sts_next { STS_NEXT_DONE, STS_NEXT_FETCH };

/* The `_mta-sts` look-up ended. `fresh`: mail would be given up because of the policy: fetch again although the id is unchanged
 * (DESIGN.md: at most every 5 minutes; e->fresh_s and e->retry_s tell); then also when the record is gone, to find a `mode: none`. Worth
 * asking only where the policy that refuses was not fetched in this very attempt (STS_SOURCE_FRESH).
 * On DONE *out (initialised) is filled; on FETCH `id` is what to pass on. A fetch that is held back by an earlier failure is reported as that
 * failure, in fetch_fail (kind: TLS for sts-webpki-invalid, else HTTP). */
SP_NODISCARD enum sts_next sts_discover_txt(const struct sts_entry *e, const struct core_dns_answer *txt, bool fresh,
                                            const struct sts_rules *rules, int64_t now_s,
                                            char id[STS_ID_MAX + 1], struct sts_finding *out);

/* How the fetch went, without HTTP's details. */
struct sts_fetch {
	struct sp_fail fail;            /* failed(): DNS, connect, TLS (result STS_WEBPKI_INVALID), HTTP, limits */
	int status;                     /* HTTP status, 0 when none */
	const char *content_type;       /* as sent, "" when missing */
	const char *content_encoding;
	struct sp_str body;
};
/* Takes the response in: updates *e (the caller stores it when *changed), and fills *out. Order of checks: fetch failure, status, content
 * type, encoding, body; a status other than 200 counts before a limit that its page broke. `random` spreads the refresh. `id`: from the record, or
 * e->id for a background refresh. has_record is taken to be true where `id` is not empty. */
void sts_discover_fetched(struct sts_entry *e, const char *id, const struct sts_fetch *fetch,
                          const struct sts_rules *rules, int64_t now_s, uint32_t random,
                          bool *changed, struct sts_finding *out);

/* text/plain, whatever its case and parameters (RFC 8461 3.2, RFC 2045 5.1). */
bool sts_content_type_ok(const char *content_type);
#define STS_RETRY_MIN_S 300             /* no second fetch for a (domain, id) that failed before this; doubles up to a day */
#define STS_POLICY_PATH "/.well-known/mta-sts.txt"      /* RFC 8461 3.3 */

#endif
