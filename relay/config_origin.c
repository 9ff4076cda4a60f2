/* relay/config_origin.c - see config_origin.h. */
#include "relay/config_origin.h"

#include <stdlib.h>
#include <sys/stat.h>

struct origin_file {
	char *path;
	struct stat was;                        /* zeroed: there was none */
};

struct config_origin {
	char *name;
	char *text;
	size_t text_len;
	struct origin_file *files;
	size_t count;
};

struct config_origin *config_origin_new(struct sp_str text, const char *name)
{
	struct config_origin *o = sp_alloc(sizeof(*o));
	o->name = sp_strdup(name);
	o->text = sp_str_dup(text);
	o->text_len = text.len;
	return o;
}

void config_origin_free(struct config_origin *o)
{
	if (o == NULL)
		return;
	for (size_t i = 0; i < o->count; i++)
		free(o->files[i].path);
	free(o->files);
	free(o->text);
	free(o->name);
	free(o);
}

struct sp_str config_origin_text(const struct config_origin *o) { return sp_str_make(o->text, o->text_len); }
const char *config_origin_name(const struct config_origin *o) { return o->name; }

static struct stat look(const char *path)
{
	struct stat st, none = { 0 };
	return stat(path, &st) == 0 ? st : none;
}

void config_origin_file(struct config_origin *o, const char *path)
{
	if (path == NULL || *path == '\0')
		return;
	o->files = sp_realloc(o->files, (o->count + 1) * sizeof(*o->files));
	o->files[o->count++] = (struct origin_file){ .path = sp_strdup(path), .was = look(path) };
}

/* A mode that was wrong and is mended counts as well (ctime). */
static bool same(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
	       a->st_mtim.tv_nsec == b->st_mtim.tv_nsec && a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

bool config_origin_changed(const struct config_origin *o)
{
	for (size_t i = 0; i < o->count; i++) {
		struct stat now = look(o->files[i].path);
		if (!same(&now, &o->files[i].was))
			return true;
	}
	return false;
}
