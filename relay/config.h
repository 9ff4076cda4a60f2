/* relay/config.h - the configuration: YAML into structs, every problem with its line.
 * One table of rows (relay/config_rows.h) drives the parser, the range checks, the defaults and `strictpost config show`.
 * A loaded configuration never changes and is counted, so that all threads share one. */
#ifndef RELAY_CONFIG_H
#define RELAY_CONFIG_H

#include "core/addr.h"
#include "core/buf.h"
#include "core/crypt.h"
#include "core/log.h"
#include "core/map.h"
#include "core/tls.h"
#include "queue/schedule.h"
#include "sts/rule.h"

struct config_nets { struct sp_net *nets; size_t count; };

enum config_listen_tls { CONFIG_LISTEN_CLEAR, CONFIG_LISTEN_STARTTLS, CONFIG_LISTEN_IMPLICIT };
enum config_listen_auth { CONFIG_AUTH_NONE, CONFIG_AUTH_OFFERED, CONFIG_AUTH_REQUIRED };

/* Whoever may relay does so by its address (`allow`), by its certificate (`tls_client_ca`), or by AUTH; on a unix socket, whoever may open it. */
struct config_listen {
	struct sp_addr address;                 /* IP and port, or a unix socket */
	unsigned unix_mode;                     /* of the socket's file: 0660 */
	struct config_nets allow;               /* who may relay */
	struct config_nets bare_lf;             /* whose bare LF is made CRLF instead of refused */
	enum config_listen_tls tls;
	bool tls_required;                      /* no MAIL in clear */
	char *certificate, *key, *client_ca;    /* paths; "" none */
	bool tickets;                           /* never with client_ca: core/tls.h */
	struct core_tls_server *server;         /* one ref, read with the configuration; NULL without TLS */
	enum config_listen_auth auth;           /* under TLS, against auth.users_file */
	struct config_nets xclient;             /* who may say XCLIENT */
	struct config_nets proxy;               /* who must speak the PROXY protocol, v1 or v2, before anything else */
};

enum config_requiretls { CONFIG_REQUIRETLS_UNSET, CONFIG_REQUIRETLS_ENFORCE, CONFIG_REQUIRETLS_RELAXED };

struct config_rate { int64_t count, per_ms; };          /* messages a time; count 0: no limit */

/* The first route that fits is taken; one by sender comes before one by domain. */
struct config_route {
	char *domain;                           /* of the recipient: A-labels, lower case; "*" for all; NULL: by sender */
	char *sender;                           /* "example.com", or "app@example.com" (domain in A-labels, lower case); NULL: by domain */
	char *via_host;                         /* host name, A-labels, or an address literal */
	uint16_t via_port;
	bool implicit_tls;                      /* TLS from the first octet; else STARTTLS, as the policy of the next hop demands */
	char *user;                             /* "": no AUTH */
	char *password_file, *password;         /* its first line, read with the configuration; a secret, wiped in the end. NULL without a user */
	unsigned password_mode;                 /* permission bits of the file then: 0600 */
	struct config_rate rate;
	int64_t concurrency;                    /* 0: delivery.concurrency */
	enum config_requiretls requiretls;
};

/* Which of our addresses sessions come from, and what we call ourselves there. */
struct config_source {
	char *name;                             /* in destinations and logs: letters, digits, "-" */
	struct sp_addr v4, v6;                  /* family AF_UNSPEC: as the system chooses */
	char *hostname;                         /* EHLO; "" for the configuration's */
	char **senders;                         /* as config_route.sender; none: for all mail that no other entry has */
	size_t sender_count;
};

/* What an operator knows better about a domain, or a next hop. */
struct config_domain {
	struct sp_map_node node;                /* in config.domains.index */
	struct sts_rule rule;                   /* its strings are ours; rule.domain is the key */
	bool has_dane;
	enum sts_dane dane;
	enum config_requiretls requiretls;
	struct config_rate rate;
	int64_t concurrency;                    /* 0: delivery.concurrency */
};

/* What a key signs. A key whose record says s=tlsrpt (RFC 8460 3) proves reports and nothing else: it is not for other mail. */
enum config_dkim_use { CONFIG_DKIM_ALL, CONFIG_DKIM_MAIL, CONFIG_DKIM_REPORTS };

/* Who signs for a domain (RFC 6376): each entry of the domain adds one signature, so that an RSA and an Ed25519 key may stand beside each other. */
struct config_dkim {
	char *domain;                           /* A-labels, lower case: d=, and the domain of the From field that it is for */
	char *selector;                         /* s= */
	char *key_file;
	enum config_dkim_use use;
	struct core_key *key;                   /* one ref; read with the configuration */
	unsigned key_mode;                      /* permission bits of the file then: 0600 */
};

enum config_schedule { CONFIG_SCHEDULE_INTERNAL, CONFIG_SCHEDULE_EXTERNAL };
enum config_first_contact { CONFIG_FIRST_DELIVER, CONFIG_FIRST_DEFER };
enum config_tls_required_no { CONFIG_TLS_NO_HONOUR, CONFIG_TLS_NO_IGNORE, CONFIG_TLS_NO_REFUSE };      /* "TLS-Required: No" */
enum config_trust_ad { CONFIG_TRUST_AUTO, CONFIG_TRUST_YES, CONFIG_TRUST_NO };

/* Who reports (RFC 8460 4.4): with the defaults filled in from `hostname`. Borrowed from the configuration. */
struct config_identity {
	const char *organization;               /* default: the registered part of hostname (Public Suffix List) */
	const char *submitter;                  /* default: the domain that hostname is in; hostname itself where that is a public suffix */
	const char *contact;                    /* default: postmaster@ the submitter; also the sender of mailed reports */
};

struct config {
	struct config_origin *origin;           /* relay/config_origin.h: its text, and the files that it names */
	char *hostname;                         /* fully qualified, lower case */
	char *state_dir;
	int64_t shards;                         /* 0: one per core */
	struct { struct config_listen *items; size_t count; } listen;
	struct {
		int64_t message_size, recipients, connections, connections_per_client, inline_body, memory;
		int64_t hold_ms;                /* FUTURERELEASE (RFC 4865): the longest; 0: not offered */
		int64_t priority;               /* the highest MT-PRIORITY that a client gets */
	} limits;                               /* octets and counts; connections_per_client 0: no limit */
	struct {
		char *users_file;               /* "": nobody */
		struct users *users;            /* relay/users.h: one ref, read with the configuration; NULL without a file */
	} auth;
	struct {
		char *servers;                  /* "ip[:port],ip"; "": /etc/resolv.conf */
		int64_t trust_ad;               /* enum config_trust_ad */
		char *probe;                    /* a signed name, A-labels; "." the root */
		int64_t timeout_ms;
	} resolver;
	struct {
		char *ca_file;                  /* "": the system's store */
		int64_t verified_min, opportunistic_min, listen_min;    /* enum core_tls_version */
	} tls;
	struct {
		bool enabled;
		int64_t first_contact;          /* enum config_first_contact */
		int64_t refresh_ms, fetch_timeout_ms, policy_size;
	} sts;
	struct {
		int64_t port;
		struct config_nets allow_private;
		int64_t concurrency, messages_per_session;
		int64_t host_concurrency;       /* sessions to one address, of all destinations */
		int64_t sessions;               /* outbound, in all */
		struct config_rate rate;        /* of each destination */
		int64_t dane;                   /* enum sts_dane */
		int64_t requiretls;             /* enum config_requiretls */
		int64_t tls_required_no;        /* enum config_tls_required_no */
		struct {
			int64_t first_ms, max_ms;
			double growth, jitter;
		} retry;
		int64_t expire_ms, delay_notice_ms;             /* delay_notice 0: none */
	} delivery;
	struct { struct config_route *items; size_t count; } routes;
	struct { struct config_source *items; size_t count; } sources;
	struct {
		struct config_domain *items;
		size_t count;
		struct sp_map index;            /* of items, by rule.domain */
	} domains;
	struct {
		bool enabled;
		char *organization, *contact, *submitter;       /* as written, "" for the default; config_report_identity() has what is in force */
		int64_t schedule;                               /* enum config_schedule */
		int64_t spread_ms, details_per_domain, keep_days;
	} report;
	struct config_identity identity;                        /* strings are ours */
	struct { struct config_dkim *items; size_t count; } dkim;
	struct { int64_t keep_ms, size; } evidence;             /* of attempts (relay/evidence.h); keep 0: none */
	struct { int64_t format, level; } log;                  /* enum sp_log_format, enum sp_log_level */
	struct {
		char *socket;                   /* "": none */
		char *http;                     /* as written; "": none */
		struct sp_addr http_address;    /* of it */
		char *token_file;               /* "": none */
		char *token;                    /* its first line, read with the configuration; NULL: none */
		unsigned token_mode;            /* permission bits of the file then: 0600 */
	} admin;
	struct { int64_t oldest_ms, idle_ms; } alarm;           /* relay/alarm.h; oldest 0: none for a backlog */
};

/* Files that the configuration names (certificates, keys, users, passwords) are read with it. config_reread() makes the same configuration from the text as
 * it was, with these files as they are now: so a renewed certificate comes into force without what an operator is just writing (relay/reread.h). */
SP_NODISCARD struct config *config_reread(const struct config *c, struct sp_buf *problems);
/* Did one of these files change since (time, size, inode)? Blocks for a stat() of each. */
bool config_files_changed(const struct config *c);

/* Loads and checks `path`. NULL when anything is wrong; then `problems` has one line a problem: "path:line: what, and what to do\n". */
SP_NODISCARD struct config *config_load(const char *path, struct sp_buf *problems);
/* What of `path` can be read, each key for itself, unchecked against the others and without the files it names: for commands that make one of these files. Not
 * for a relay. NULL with the problem where it is no YAML or cannot be read. */
SP_NODISCARD struct config *config_glance(const char *path, struct sp_buf *problems);
/* The same from text; `name` stands for the file in the problems. */
SP_NODISCARD struct config *config_parse(struct sp_str text, const char *name, struct sp_buf *problems);
struct config *config_ref(struct config *c);
void config_unref(struct config *c);            /* NULL is fine */
/* The whole configuration as YAML, defaults filled in. Parses back to the same. */
void config_print(const struct config *c, struct sp_buf *out);
/* "key  type  default  what it is", one line a row. */
void config_print_rows(struct sp_buf *out);

/* What is sound and worth a word all the same, one line each: for the log at start and reload, and `strictpost config check`. */
void config_warnings(const struct config *c, int64_t now_s, struct sp_buf *out);

struct queue_retry config_retry(const struct config *c);
/* No wait for another attempt is longer: what is, was set by a clock that went wrong, and counts for nothing. */
int64_t config_longest_wait_ms(const struct config *c);

/* The entry for a domain (lower case, A-labels; a next hop's name where one is configured) that is in force at `now_s` (Unix time), or NULL: one whose
 * `until` has come is as if it were not there, with all that it says. Costs one look into a table, whatever the number of entries. */
const struct config_domain *config_domain_find(const struct config *c, const char *domain, int64_t now_s);

/* From now on there is no entry for any domain, as far as config_domain_find() knows. For a configuration that nobody shares. */
void config_forget_domains(struct config *c);

const struct config_identity *config_report_identity(const struct config *c);
/* The signers for `domain` (lower case, A-labels), `use` being mail or reports: writes up to `max` of them, returns how many. */
struct smtp_dkim_signer;
size_t config_dkim_signers(const struct config *c, const char *domain, enum config_dkim_use use, struct smtp_dkim_signer *out, size_t max);

#endif
