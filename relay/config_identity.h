/* relay/config_identity.h - who reports: the defaults of report.submitter, report.contact and report.organization, out of `hostname`.
 * Used by config.c only; what others need is config_report_identity(). */
#ifndef RELAY_CONFIG_IDENTITY_H
#define RELAY_CONFIG_IDENTITY_H

#include "relay/config.h"

/* Sets identity.submitter and identity.organization; c->hostname is sound. False with a sentence in `why`. */
SP_NODISCARD bool conf_identity_submitter(struct config *c, struct sp_buf *why);
/* Then identity.contact. */
SP_NODISCARD bool conf_identity_contact(struct config *c, struct sp_buf *why);
void conf_identity_clear(struct config *c);

#endif
