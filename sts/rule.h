/* sts/rule.h - an operator's own rule for a domain: `domains` in the configuration. It is a floor under what the domain publishes; with `override` it takes
 * the place of that, for a time. Pure. Made by relay/config_domains.c, used by sts/verdict.c. */
#ifndef STS_RULE_H
#define STS_RULE_H

#include "core/buf.h"

#define STS_LEVELS(X) /* each proves more than the one before */ \
	X(UNSET,   "")        /* the rule says nothing of TLS */ \
	X(CLEAR,   "none")    /* no TLS at all: for a host whose TLS is broken */ \
	X(MAY,     "may")     /* opportunistic */ \
	X(ENCRYPT, "encrypt") /* TLS, whoever it is */ \
	X(VERIFY,  "verify")  /* a certificate for the MX host, as under MTA-STS `enforce`; TLSA that matches is as good */ \
	X(DANE,    "dane")    /* TLSA that matches, or nothing leaves */
enum sts_level {
#define X(name, text) STS_LEVEL_##name,
	STS_LEVELS(X)
#undef X
};
const char *sts_level_str(enum sts_level l);
SP_NODISCARD bool sts_level_parse(struct sp_str s, enum sts_level *out);        /* not UNSET */

enum sts_dane { STS_DANE_AUTO, STS_DANE_OFF, STS_DANE_REQUIRED };       /* delivery.dane: where there are TLSA records; never; no host without them */
const char *sts_dane_str(enum sts_dane d);                              /* "auto" ... */

struct sts_rule {
	const char *domain;             /* A-labels, lower case: the recipient domain, or the next hop's */
	enum sts_level level;
	bool override;                  /* lowers a published policy too: `until` and `reason` are given */
	int64_t until_s;                /* Unix time, a UTC midnight: the rule has no force from then on, as if it were not there; 0: it stays */
	const char *reason;             /* printable; "" none */
};
bool sts_rule_in_force(const struct sts_rule *r, int64_t now_s);
/* "tls: may, override until 2027-01-31 (their certificate is being replaced)", for logs and texts. The day is the last one on which it is in force. */
void sts_rule_print(const struct sts_rule *r, struct sp_buf *out);

#endif
