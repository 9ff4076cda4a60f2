/* relay/config_listen.h - what config_listen.c (reading and printing `listen`) and config_listen_check.c (does it hold together) share, and what is to be
 * warned of. For the files of the configuration. */
#ifndef RELAY_CONFIG_LISTEN_H
#define RELAY_CONFIG_LISTEN_H

#include "relay/config_lists.h"

/* All listeners, once everything is read: defaults that depend on other keys, cross checks, certificates. */
void conf_listen_check(struct conf_reader *r);
/* Certificates that have expired, are about to, or are not for this host. */
void conf_listen_warnings(const struct config *c, int64_t now_s, struct sp_buf *out);

#endif
