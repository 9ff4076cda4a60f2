/* relay/ask_password.h - a password from who sits at the terminal, not shown; or from a pipe; or made up. Blocks. For subcommands. */
#ifndef RELAY_ASK_PASSWORD_H
#define RELAY_ASK_PASSWORD_H

#include "core/buf.h"
#include "core/fail.h"

/* From standard input: a terminal is asked, twice where `twice`, with echo off (and on again, also where a signal ends us meanwhile: it is then raised anew);
 * of anything else the first line counts. Appends to `out`, which has room for CORE_PASSWORD_MAX octets and is wiped by the caller. False with *why. */
SP_NODISCARD bool ask_password(const char *prompt, bool twice, struct sp_buf *out, struct sp_fail *why);
/* Appends 24 letters and digits, 142 bits of chance. */
void make_password(struct sp_buf *out);

#endif
