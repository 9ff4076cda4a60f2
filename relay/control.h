/* relay/control.h - asks a running relay, over its control socket (relay/admin.h). For the subcommands: it blocks, and there is no loop. */
#ifndef RELAY_CONTROL_H
#define RELAY_CONTROL_H

#include "core/buf.h"

struct control_answer {
	int status;                     /* 200 ... */
	struct sp_buf body;             /* complete */
	bool nobody;                    /* there was none, because no relay listens at this socket, or there is no socket */
};

/* How long a relay may be silent, and who may leave meanwhile. */
struct control_patience {
	unsigned silence_s;
	int watch;                      /* a descriptor; -1: none */
	bool (*stay)(void *owner);      /* asked whenever `watch` can be read or a signal came: false gives up at once, with nothing in `why`. NULL: nobody leaves */
	void *owner;
};

/* One request to the relay at `socket` (a path; "": there is none), and its answer; `patience` NULL: 15 s. False with `why`: nobody answered, and what to do
 * about it; `config` is the name of the file that has the path. The answer's body is to be cleared in any case. */
SP_NODISCARD bool control_ask(const char *config, const char *socket, const char *method, const char *path, const struct control_patience *patience,
                              struct control_answer *out, struct sp_buf *why);
/* Adds the text of an {"error": "..."} answer; of another one, its status. */
void control_error(const struct control_answer *a, struct sp_buf *out);

#endif
