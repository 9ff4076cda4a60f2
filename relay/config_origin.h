/* relay/config_origin.h - what a configuration was made from: its text, and the files that it names, as they were when they were read. For config.c and
 * those who read such files. */
#ifndef RELAY_CONFIG_ORIGIN_H
#define RELAY_CONFIG_ORIGIN_H

#include "core/str.h"

struct config_origin;           /* opaque; never changes once the configuration is made */

struct config_origin *config_origin_new(struct sp_str text, const char *name);
void config_origin_free(struct config_origin *o);               /* NULL is fine */
struct sp_str config_origin_text(const struct config_origin *o);
const char *config_origin_name(const struct config_origin *o);
/* Notes how `path` is now: before it is read, so that no change is missed. A missing file is noted too; "" is passed over. */
void config_origin_file(struct config_origin *o, const char *path);
/* Is one of the files another than it was (time, size, inode)? Blocks for a stat() of each. */
bool config_origin_changed(const struct config_origin *o);

#endif
