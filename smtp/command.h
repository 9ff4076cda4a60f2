/* smtp/command.h - a command line as the server understands it: verb, path, parameters; or the reply that refuses it.
 * Implements RFC 5321 4.1.1 and 4.1.2 (syntax), 1870 (SIZE), 6152 (BODY), 3030 (BDAT, BINARYMIME), 3207 (STARTTLS), 4954 (AUTH, AUTH=),
 * 3461 (RET, ENVID, NOTIFY, ORCPT), 6531 (SMTPUTF8), 8689 (REQUIRETLS), 6710 (MT-PRIORITY), 4865 (HOLDFOR, HOLDUNTIL), 2852 (BY). Pure.
 * Used by smtp/server.c. */
#ifndef SMTP_COMMAND_H
#define SMTP_COMMAND_H

#include "smtp/address.h"
#include "core/wish.h"

#define SMTP_VERBS(X) /* name, the word */ \
	X(HELO, "HELO") \
	X(EHLO, "EHLO") \
	X(MAIL, "MAIL") \
	X(RCPT, "RCPT") \
	X(DATA, "DATA") \
	X(BDAT, "BDAT") \
	X(RSET, "RSET") \
	X(NOOP, "NOOP") \
	X(VRFY, "VRFY") \
	X(HELP, "HELP") \
	X(QUIT, "QUIT") \
	X(STARTTLS, "STARTTLS") \
	X(AUTH, "AUTH") \
	X(XCLIENT, "XCLIENT") \
	X(EXPN, "EXPN")         /* known, and never offered */

enum smtp_verb {
	SMTP_VERB_UNKNOWN,
	SMTP_VERB_HTTP,         /* GET, POST ...: a browser was led here */
#define SMTP_VERB_ENUM(name, word) SMTP_VERB_##name,
	SMTP_VERBS(SMTP_VERB_ENUM)
#undef SMTP_VERB_ENUM
	SMTP_VERB_COUNT
};

/* What a session offers as it stands, as far as it decides what a command may say. */
struct smtp_command_terms {
	bool utf8;                      /* the transaction is SMTPUTF8: recipients may have octets over 127 (RFC 6531 3.4) */
	bool auth;                      /* MAIL may have AUTH= (RFC 4954 5) */
	bool require_tls;               /* ... REQUIRETLS (RFC 8689 2) */
	bool hold;                      /* ... HOLDFOR= and HOLDUNTIL= (RFC 4865) */
};

struct smtp_command {
	enum smtp_verb verb;
	struct sp_str argument;         /* of HELO and EHLO: the name; of AUTH: the mechanism; of XCLIENT: all that stands behind it;
	                                 * lent from the line */
	struct sp_str initial;          /* of AUTH: the initial response; p is NULL when there is none; lent from the line */
	struct smtp_address path;       /* of MAIL and RCPT; text "" is the null path, "postmaster" may stand without a domain */
	uint64_t size;                  /* of MAIL: SIZE=, 0 when not told */
	bool eight_bit;                 /* of MAIL: BODY=8BITMIME */
	bool binary;                    /* of MAIL: BODY=BINARYMIME */
	struct sp_mail_wish wish;       /* of MAIL; no times in it */
	uint64_t hold_for_s;            /* of MAIL: HOLDFOR=, 0 when not told */
	int64_t hold_until_s;           /* of MAIL: HOLDUNTIL=, Unix seconds; 0 when not told */
	int64_t by_s;                   /* of MAIL: BY=, with wish.by */
	struct sp_rcpt_wish rcpt;       /* of RCPT */
	bool extended;                  /* of MAIL and RCPT: there were parameters, which only EHLO entitles to */
	uint64_t chunk;                 /* of BDAT: octets that follow */
	bool last;                      /* of BDAT: LAST */
};

/* Reads `line`, without its CRLF. NULL when *out is complete; else the whole reply that refuses it, static or in `arena`; out->verb is
 * right even then. Strings of *out live in `line` or `arena`. */
SP_NODISCARD const char *smtp_command_parse(struct sp_str line, const struct smtp_command_terms *terms, struct sp_arena *arena,
                                            struct smtp_command *out);

/* What stands behind the path of MAIL or RCPT, as smtp_command_parse() reads it: its parameters, into *out, whose verb is set. smtp/command_param.c. */
SP_NODISCARD const char *smtp_command_parameters(struct sp_str s, const struct smtp_command_terms *terms, struct sp_arena *arena,
                                                 struct smtp_command *out);

const char *smtp_verb_str(enum smtp_verb v);

#endif
