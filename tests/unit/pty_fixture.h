/* tests/unit/pty_fixture.h - a terminal of a certain size to write to, and what came out on it. */
#ifndef PTY_FIXTURE_H
#define PTY_FIXTURE_H

#include "core/buf.h"

#include <stdio.h>

struct pty {
	int master;
	FILE *f;                        /* the terminal; line ends go through as they are */
};
void pty_open(struct pty *p, unsigned columns, unsigned lines);
/* What was written since, added to `out`. */
void pty_read(struct pty *p, struct sp_buf *out);
void pty_type(struct pty *p, const char *text);
void pty_close(struct pty *p);

#endif
