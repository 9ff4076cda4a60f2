/* queue/gone.c - see gone.h. */
#include "queue/gone.h"

#include "core/log.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

void queue_gone_add(struct queue_gone *g, uint64_t id)
{
	if (g->count == g->room) {
		g->room = g->room ? g->room * 2 : 4;
		g->ids = sp_realloc(g->ids, g->room * sizeof(*g->ids));
	}
	g->ids[g->count++] = id;
}

void queue_gone_unlink(struct queue_gone *g, const struct queue_store *s)
{
	struct sp_buf path;
	sp_buf_init(&path, 4096);
	for (size_t i = 0; i < g->count; i++) {
		char text[QUEUE_ID_TEXT];
		sp_buf_reset(&path);
		queue_store_body_path(s, g->ids[i], &path);
		if (unlink(sp_buf_cstr(&path)) != 0 && errno != ENOENT)
			sp_log_text(SP_LOG_WARNING, queue_id_str(g->ids[i], text), "spool", "cannot remove %s: %s", sp_buf_cstr(&path), strerror(errno));
	}
	sp_buf_clear(&path);
}

void queue_gone_clear(struct queue_gone *g)
{
	free(g->ids);
	*g = (struct queue_gone){ NULL };
}
