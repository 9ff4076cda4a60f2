/* smtp/command.h - a command line as the server understands it: verb, path, parameters; or the reply that refuses it.
 * Implements RFC 5321 4.1.1 and 4.1.2 (syntax), 1870 (SIZE), 6152 (BODY), 3030 (BDAT), 3207 (STARTTLS), 4954 4 (AUTH). Pure.
 * Used by smtp/server.c. */
#ifndef SMTP_COMMAND_H
#define SMTP_COMMAND_H

#include "smtp/address.h"

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
	X(EXPN, "EXPN")         /* known, and never offered */

enum smtp_verb {
	SMTP_VERB_UNKNOWN,
	SMTP_VERB_HTTP,         /* GET, POST ...: a browser was led here */
#define SMTP_VERB_ENUM(name, word) SMTP_VERB_##name,
	SMTP_VERBS(SMTP_VERB_ENUM)
#undef SMTP_VERB_ENUM
	SMTP_VERB_COUNT
};

struct smtp_command {
	enum smtp_verb verb;
	struct sp_str argument;         /* of HELO and EHLO: the name; of AUTH: the mechanism; lent from the line */
	struct sp_str initial;          /* of AUTH: the initial response; p is NULL when there is none; lent from the line */
	struct smtp_address path;       /* of MAIL and RCPT; text "" is the null path, "postmaster" may stand without a domain */
	uint64_t size;                  /* of MAIL: SIZE=, 0 when not told */
	bool eight_bit;                 /* of MAIL: BODY=8BITMIME */
	bool extended;                  /* of MAIL and RCPT: there were parameters, which only EHLO entitles to */
	uint64_t chunk;                 /* of BDAT: octets that follow */
	bool last;                      /* of BDAT: LAST */
};

/* Reads `line`, without its CRLF. NULL when *out is complete; else the whole reply that refuses it, static or in `arena`; out->verb is
 * right even then. Strings of *out live in `line` or `arena`. */
SP_NODISCARD const char *smtp_command_parse(struct sp_str line, struct sp_arena *arena, struct smtp_command *out);

const char *smtp_verb_str(enum smtp_verb v);

#endif
