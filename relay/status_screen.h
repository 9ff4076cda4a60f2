/* relay/status_screen.h - /status (relay/status.h) and the worst of /destinations in plain words: what strictpost status prints, and strictpost top between its rates. */
#ifndef RELAY_STATUS_SCREEN_H
#define RELAY_STATUS_SCREEN_H

#include "relay/terminal.h"

#include <jansson.h>

/* Lines with colours where standard output has them. `width`: 0 no limit. */
void status_screen_head(const json_t *status, struct sp_buf *out);
void status_screen_body(const json_t *status, struct sp_buf *out);
void status_screen_overrides(const json_t *status, struct sp_buf *out);
void status_screen_worst(const json_t *destinations, unsigned width, struct sp_buf *out);

int64_t status_number(const json_t *v, const char *name);               /* 0 where there is none */
const char *status_text(const json_t *v, const char *name);             /* "?" where there is none */
const json_t *status_member(const json_t *v, const char *a, const char *b);     /* v.a.b */

#endif
