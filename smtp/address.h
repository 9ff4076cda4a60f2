/* smtp/address.h - mailboxes and domains as they stand in SMTP commands.
 * Implements RFC 5321 4.1.2 (Path, Mailbox), 4.1.3 (address literals), RFC 5890/5891 (A-labels, by libidn2,
 * non-transitional), RFC 5321 4.5.3.1 (lengths). Pure. */
#ifndef SMTP_ADDRESS_H
#define SMTP_ADDRESS_H

#include "core/addr.h"
#include "core/arena.h"

#define SMTP_LOCAL_MAX 64               /* RFC 5321 4.5.3.1.1 */
#define SMTP_DOMAIN_MAX 255             /* RFC 5321 4.5.3.1.2 */
#define SMTP_PATH_MAX 256               /* RFC 5321 4.5.3.1.3, with the angle brackets */

struct smtp_address {
	const char *text;       /* "local@domain" as it goes into a command (no brackets); "" is the null path */
	const char *local;      /* as written, quotes kept; ASCII unless `utf8` */
	const char *domain;     /* lower case, A-labels, no trailing dot; "[192.0.2.1]" for a literal; "" for the null path
	                         * and for <postmaster> */
	bool literal;           /* `ip` holds the address */
	bool utf8;              /* the local part has octets over 127 (RFC 6531) */
	struct sp_addr ip;      /* port 0 */
};

/* Parses a Mailbox ("a@example.com", no brackets). All strings live in `arena`. A domain in U-labels behind an ASCII local part is
 * turned into A-labels. False with *why, a static English phrase. */
SP_NODISCARD bool smtp_address_parse(struct sp_str s, bool allow_utf8_local, struct sp_arena *arena,
                                     struct smtp_address *out, const char **why);

/* UTF-8 (RFC 3629), and no control characters in it: neither those of ASCII nor U+0080 to U+009F. */
bool smtp_is_utf8_text(struct sp_str s);

/* A domain as the rest of the program uses it: lower case, A-labels, no trailing dot; NULL with *why where it is none.
 * Every label LDH (underscore allowed), 1..63 octets, at most 253 in all. */
const char *smtp_domain_ascii(struct sp_str s, struct sp_arena *arena, const char **why);

#endif
