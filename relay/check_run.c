/* relay/check_run.c - see check_run.h. */
#include "relay/check_run.h"

#include "relay/check_impl.h"
#include "relay/progress.h"

#include <stdlib.h>

#define LOOK_MS 100                     /* between two looks at SIGINT; and the progress */

struct running {
	struct check_run *run;
	struct check_world world;
	struct progress *progress;
	struct core_timer *tick;
	size_t next, active;
	bool stopping;
};
struct one {
	struct running *running;
	size_t index;
};

static void start_more(struct running *r);

static void show(struct running *r)
{
	const struct sp_link *first = sp_list_first(&r->world.checks);
	if (r->run->count > 1)
		progress_show(r->progress, r->run->done, r->run->count, first ? sp_container_of(first, struct check, link)->domain : NULL);
}

static void stop(struct running *r)
{
	r->stopping = true;
	while (!sp_list_empty(&r->world.checks))
		check_cut(sp_container_of(sp_list_first(&r->world.checks), struct check, link));
	core_timer_stop(r->tick);
	core_loop_stop(r->world.loop);
}

/* Inside the check's last callback: what comes next is begun, or the end, on a turn of its own. */
static void on_done(void *owner, enum check_status status, json_t *told)
{
	struct one *one = owner;
	struct running *r = one->running;
	size_t index = one->index;
	free(one);
	r->active--;
	if (r->stopping)
		return;
	r->run->done++;
	progress_hide(r->progress);
	if (!r->run->each(r->run->owner, index, status, told))
		r->next = r->run->count;
	core_timer_start(r->tick, 0);
}

static void start_more(struct running *r)
{
	while (r->next < r->run->count && r->active < r->run->parallel) {
		struct one *one = sp_alloc(sizeof(*one));
		struct check_ask ask = r->run->ask;
		*one = (struct one){ r, r->next };
		ask.name = r->run->names[r->next++];
		r->active++;
		check_start(&r->world, &ask, on_done, one);
	}
}

static void on_tick(void *owner)
{
	struct running *r = owner;
	if (!progress_interrupted())
		start_more(r);
	if (progress_interrupted() || r->active == 0) {
		stop(r);
		return;
	}
	show(r);
	core_timer_start(r->tick, LOOK_MS);
}

static void on_ready(void *owner)
{
	struct running *r = owner;
	if (r->run->forget_rules)
		check_forget_rules(&r->world);
	core_timer_start(r->tick, 0);
}

bool check_run(struct check_run *run, struct config *config, struct sp_fail *why)
{
	struct running r = { .run = run };
	run->done = 0;
	if (check_world_open(&r.world, config, on_ready, &r, why) != 0)
		return false;
	progress_catch_interrupt();
	r.progress = progress_begin("checking");
	r.tick = core_timer_new(r.world.loop, on_tick, &r);
	core_loop_run(r.world.loop);
	progress_end(r.progress);
	core_timer_close(r.tick);
	check_world_close(&r.world);
	return true;
}
