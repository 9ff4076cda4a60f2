/* relay/cmd_check_list.c - see cmd_check_list.h. */
#include "relay/cmd_check_list.h"

#include "relay/check.h"
#include "relay/terminal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define NAMES_MAX 1000000               /* of one run */

struct known { struct sp_map_node node; };

void check_list_init(struct check_list *l)
{
	*l = (struct check_list){ .arena = SP_ARENA_EMPTY };
	sp_map_init(&l->known);
}

void check_list_clear(struct check_list *l)
{
	sp_map_clear(&l->known);
	sp_arena_clear(&l->arena);
	free(l->names);
}

static void fault(struct check_list *l, struct sp_str name, const char *where, const char *why)
{
	struct sp_buf shown;
	sp_buf_init(&shown, 1024);
	terminal_fit(&shown, name, 200);
	fprintf(stderr, "strictpost check: %s'%s' %s\n", where, sp_buf_cstr(&shown), why);
	sp_buf_clear(&shown);
	l->faults++;
}

void check_list_add(struct check_list *l, const char *name, const char *where)
{
	const char *why, *domain = check_name(name, &l->arena, &why);
	if (domain == NULL) {
		fault(l, sp_str_of(name), where, sp_arena_printf(&l->arena, "is no domain: %s", why));
		return;
	}
	if (sp_map_find(&l->known, sp_str_of(domain)))
		return;
	if (l->count == NAMES_MAX) {
		fault(l, sp_str_of(name), where, "is not looked at: a million stand before it");
		return;
	}
	struct known *k = sp_arena_alloc(&l->arena, sizeof(*k));
	sp_map_insert(&l->known, &k->node, sp_str_of(domain));
	if (l->count == l->room) {
		l->room = l->room ? 2 * l->room : 64;
		l->names = sp_realloc(l->names, l->room * sizeof(*l->names));
	}
	l->names[l->count++] = sp_arena_strdup(&l->arena, name);
}

/* The line without what is no name; empty: nothing is left. */
static struct sp_str name_of(struct sp_str line)
{
	line.len = sp_str_find(line, '#');
	line = sp_str_trim(line);
	if (line.len > 0 && line.p[line.len - 1] == '\r')
		line.len--;
	return sp_str_trim(line);
}

static void read_lines(struct check_list *l, FILE *f, const char *path)
{
	char *text = NULL, where[400];
	size_t room = 0;
	ssize_t len;
	for (unsigned n = 1; (len = getline(&text, &room, f)) >= 0; n++) {
		struct sp_str line = sp_str_make(text, (size_t)len);
		if (line.len > 0 && line.p[line.len - 1] == '\n')
			line.len--;
		struct sp_str name = name_of(line);
		snprintf(where, sizeof(where), "%.300s:%u: ", path, n);
		if (sp_str_find(name, '\0') < name.len)
			fault(l, name, where, "is no domain: it has an octet 0 in it");
		else if (name.len > 0)
			check_list_add(l, sp_arena_dup(&l->arena, name), where);
	}
	free(text);
}

bool check_list_read(struct check_list *l, const char *path)
{
	bool in = strcmp(path, "-") == 0;
	FILE *f = in ? stdin : fopen(path, "re");
	if (f == NULL) {
		fprintf(stderr, "strictpost check: %s cannot be read: %s\n", path, strerror(errno));
		return false;
	}
	errno = 0;
	read_lines(l, f, in ? "standard input" : path);
	bool whole = !ferror(f);
	if (!whole)
		fprintf(stderr, "strictpost check: %s cannot be read: %s\n", path, strerror(errno));
	if (!in)
		fclose(f);
	return whole;
}
