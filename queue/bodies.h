/* queue/bodies.h - the folder of large bodies: <state_dir>/body/<two hex digits>/<id>. Used by queue/store.c and queue/load.c. */
#ifndef QUEUE_BODIES_H
#define QUEUE_BODIES_H

#include "core/db.h"

/* Makes all folders and syncs their names, so that a writer needs to sync only its own. */
SP_NODISCARD bool queue_bodies_open(const char *state_dir, struct sp_fail *why);
void queue_bodies_path(const char *state_dir, uint64_t id, struct sp_buf *out);

/* Are there bodies of messages? Where the database is new, they are somebody's mail. */
bool queue_bodies_any(const char *state_dir);
/* Removes the files that no row names: their messages were never acknowledged, or are settled. What cannot be removed is logged. */
SP_NODISCARD bool queue_bodies_sweep(struct core_db *db, const char *state_dir, struct sp_fail *why);

#endif
