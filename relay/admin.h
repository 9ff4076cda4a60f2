/* relay/admin.h - where the admin API (relay/api.h) is asked over HTTP/1.1: on the control socket (admin.socket), whose file permissions are the authorisation, and
 * over TCP (admin.http), on a loopback address or with the bearer token of admin.token_file (RFC 6750), which is demanded there wherever it is set.
 * No request is logged above level debug. Main thread. */
#ifndef RELAY_ADMIN_H
#define RELAY_ADMIN_H

#include "relay/api.h"

struct admin;

/* Opens both, as the api's configuration says. Where that fails a warning says why and what to do, and the relay goes without. `api` is borrowed: it outlives the
 * admin, and whoever frees it waits until it is not busy. */
struct admin *admin_start(struct api *api, struct core_loop *l);
/* The api has another configuration: each moves where it says so; where the new one cannot be opened, the old one stays. One that could not be opened before is
 * tried again. */
void admin_reload(struct admin *a);
/* Takes no more requests, removes the socket. NULL is fine, and so is twice. */
void admin_stop(struct admin *a);
void admin_free(struct admin *a);       /* NULL is fine */

#endif
