/* relay/cmd_check_list.h - the names that `strictpost check` is given: as arguments, and in a file, one a line. */
#ifndef RELAY_CMD_CHECK_LIST_H
#define RELAY_CMD_CHECK_LIST_H

#include "core/arena.h"
#include "core/map.h"

struct check_list {
	const char **names;             /* each once, in the order in which they were given; passed check_name() */
	size_t count, room;
	size_t faults;                  /* names that are none; each was told on standard error */
	struct sp_map known;
	struct sp_arena arena;
};
void check_list_init(struct check_list *l);
void check_list_clear(struct check_list *l);
/* `where`: for what is told of one that is no domain. */
void check_list_add(struct check_list *l, const char *name, const char *where);
/* A name a line; blanks around it, empty lines and what is behind a "#" do not matter. "-" is standard input. False after it was told that it cannot be read. */
SP_NODISCARD bool check_list_read(struct check_list *l, const char *path);

#endif
