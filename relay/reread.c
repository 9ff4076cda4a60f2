/* relay/reread.c - see reread.h. */
#include "relay/reread.h"

#include <stdlib.h>

#define LOOK_MS 10000
#define PROBLEMS_MAX 262144

struct reread {
	struct core_timer *timer;
	struct config *config;                  /* one ref */
	char *told;                             /* the problems that were logged last; NULL: none since it was sound */
	void (*changed)(void *owner, struct config *c);
	void *owner;
};

/* A certificate and its key are two files: between the renewal of the one and that of the other they do not fit, and it is tried again until they do. */
static void tell(struct reread *r, const struct sp_buf *problems)
{
	if (r->told && strcmp(r->told, sp_buf_cstr(problems)) == 0)
		return;
	free(r->told);
	r->told = sp_strdup(sp_buf_cstr(problems));
	struct sp_str rest = sp_buf_str(problems), line;
	while (sp_take_line(&rest, &line))
		sp_log_text(SP_LOG_ERROR, NULL, "reread", "%.*s; what was read before stays in force", SP_STR_ARG(line));
}

static void look(struct reread *r)
{
	struct sp_buf problems;
	sp_buf_init(&problems, PROBLEMS_MAX);
	struct config *c = config_reread(r->config, &problems);
	if (c)
		r->changed(r->owner, c);        /* which may call reread_config() */
	else
		tell(r, &problems);
	sp_buf_clear(&problems);
}

static void on_timer(void *owner)
{
	struct reread *r = owner;
	core_timer_start(r->timer, LOOK_MS);
	if (config_files_changed(r->config))
		look(r);
}

struct reread *reread_start(struct core_loop *l, struct config *c, void (*changed)(void *owner, struct config *c), void *owner)
{
	struct reread *r = sp_alloc(sizeof(*r));
	r->timer = core_timer_new(l, on_timer, r);
	r->config = config_ref(c);
	r->changed = changed;
	r->owner = owner;
	core_timer_start(r->timer, LOOK_MS);
	return r;
}

void reread_config(struct reread *r, struct config *c)
{
	config_unref(r->config);
	r->config = config_ref(c);
	free(r->told);
	r->told = NULL;
}

void reread_free(struct reread *r)
{
	if (r == NULL)
		return;
	core_timer_close(r->timer);
	config_unref(r->config);
	free(r->told);
	free(r);
}
