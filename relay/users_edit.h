/* relay/users_edit.h - changes to the users file (relay/users.h), a line at a time: comments and order stay. Under a lock, so that two do not undo each other;
 * written beside the file, synced, and put in its place, with its mode and owner; so a relay reads the old one or the new one. Blocks. For relay/cmd_user.c. */
#ifndef RELAY_USERS_EDIT_H
#define RELAY_USERS_EDIT_H

#include "core/buf.h"
#include "core/fail.h"

struct users_edit;                      /* opaque: the file, locked */

/* Waits for its lock. `make`: a file that is not there is made, mode 0600; with `group_of`, a path, and as root, mode 0640 with the group of that path: so that
 * the relay can read it. NULL with *why. */
SP_NODISCARD struct users_edit *users_edit_open(const char *path, bool make, const char *group_of, struct sp_fail *why);
void users_edit_close(struct users_edit *e);    /* NULL is fine; what was not saved is gone, and a file made for nothing too */

bool users_edit_has(const struct users_edit *e, const char *name);
/* Sets what is not NULL; a new name goes to the end, and needs both. */
void users_edit_set(struct users_edit *e, const char *name, const char *hash, const char *senders);
void users_edit_remove(struct users_edit *e, const char *name);

/* False with *why: nothing is changed then. */
SP_NODISCARD bool users_edit_save(struct users_edit *e, struct sp_fail *why);
struct sp_str users_edit_text(const struct users_edit *e);

#endif
