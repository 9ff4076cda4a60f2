/* relay/api_client.c - see api_client.h. */
#include "relay/api_client.h"

#include "core/clock.h"
#include "relay/api_areas.h"
#include "relay/cmd.h"
#include "relay/config.h"
#include "relay/query.h"
#include "relay/relay.h"
#include "relay/reporter.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PROBLEMS_MAX 262144             /* octets */
#define WHY_MAX 4096
#define PAUSES 2                        /* between two pages: so many times as long as the last one took, */
#define PAUSE_MAX_MS 200                /* and not longer */
#define TARGET_MAX 12288                /* octets of a request's target: its head is 16 KiB at most */

/* The admin API in this process. */
struct local {
	struct core_loop *loop;
	struct core_mailbox *mailbox;
	struct core_timer *timer;
	struct queue_store *store;
	struct reporter *reporter;
	struct api *api;
	struct control_answer *answer;          /* where it goes, while we wait */
	bool answered, running;                 /* running: the loop is, and a stop is meant for this turn, not the next */
};

struct api_client {
	char *name, *config_path;
	struct config *config;                  /* one ref */
	struct local *local;                    /* NULL: the relay answers */
	uint64_t took_ms;                       /* the last answer */
};

/* ---- our own ---- */

static void stop_loop(void *owner)
{
	struct local *l = owner;
	if (l->running)
		core_loop_stop(l->loop);
}

static void run_loop(struct local *l)
{
	l->running = true;
	core_loop_run(l->loop);
	l->running = false;
}

static void close_local(struct local *l)
{
	reporter_stop(l->reporter, stop_loop, l);       /* told on a later turn */
	run_loop(l);
	api_free(l->api);
	reporter_free(l->reporter);
	core_timer_close(l->timer);
	core_mailbox_close(l->mailbox);
	core_loop_run(l->loop);
	core_loop_free(l->loop);
	queue_store_close(l->store);
	free(l);
}

static struct local *open_local(struct config *c, struct sp_fail *why)
{
	struct local *l = sp_alloc(sizeof(*l));
	l->store = relay_open_store(c->state_dir, why);
	if (l->store == NULL) {
		free(l);
		return NULL;
	}
	l->loop = core_loop_new();
	l->mailbox = core_mailbox_open(l->loop);
	l->timer = core_timer_new(l->loop, stop_loop, l);
	struct reporter_world reports = { .loop = l->loop, .mailbox = l->mailbox, .store = l->store };
	l->reporter = reporter_new(&reports, c);
	struct api_world world = { .loop = l->loop, .mailbox = l->mailbox, .store = l->store, .reporter = l->reporter, .config = c };
	l->api = api_areas_new(&world);
	return l;
}

static void on_answer(void *owner, int status, const char *content_type SP_UNUSED, struct sp_buf *body)
{
	struct local *l = owner;
	l->answer->status = status;
	sp_buf_add(&l->answer->body, sp_buf_str(body));
	sp_buf_clear(body);
	l->answered = true;
	stop_loop(l);
}

static void ask_local(struct local *l, const char *method, const char *target, struct control_answer *out)
{
	struct sp_str query = sp_str_of(target), path = sp_take_until(&query, '?');
	sp_buf_init(&out->body, SIZE_MAX / 4);
	l->answer = out;
	l->answered = false;
	api_ask(l->api, method, path, query, on_answer, l);
	while (!l->answered)
		run_loop(l);
}

/* ---- which of the two ---- */

static bool explain_missing_spool(const struct config *c, int error, struct sp_buf *why)
{
	struct stat st;
	if (error == EACCES)
		sp_buf_printf(why, "uid %ld may not look into state_dir %s; run this as the user of the relay, or as root", (long)geteuid(), c->state_dir);
	else if (error == ENOENT && stat(c->state_dir, &st) != 0)
		sp_buf_printf(why, "state_dir %s is not there: it is another one in the relay's configuration (--config), or no relay was ever started here",
		              c->state_dir);
	else
		sp_buf_printf(why, "%s/spool.db: %s", c->state_dir, error == ENOENT ? "there is no spool yet; the relay makes it at its first start" : strerror(error));
	return false;
}

/* Files that root makes in the spool of another user keep the relay from starting. */
static bool is_fit(const struct api_client *c, struct sp_buf *why)
{
	struct stat st;
	struct sp_buf path;
	sp_buf_init(&path, PATH_MAX);
	sp_buf_printf(&path, "%s/spool.db", c->config->state_dir);
	int error = stat(sp_buf_cstr(&path), &st) == 0 ? 0 : errno;
	sp_buf_clear(&path);
	if (error)
		return explain_missing_spool(c->config, error, why);
	if (st.st_uid == geteuid())
		return true;
	sp_buf_printf(why, "%s/spool.db belongs to uid %ld, and this is uid %ld; run it as that user: setpriv --reuid=%ld --regid=%ld --clear-groups "
	              "strictpost %s ...", c->config->state_dir, (long)st.st_uid, (long)geteuid(), (long)st.st_uid, (long)st.st_gid, c->name);
	return false;
}

/* No relay is at the control socket. `no_relay` says why it was not reached. */
static struct local *try_local(const struct api_client *c, const char *no_relay, struct sp_buf *why)
{
	struct sp_fail fail;
	if (!is_fit(c, why)) {
		sp_buf_printf(why, "\n(and no relay answers: %s)", no_relay);
		return NULL;
	}
	struct local *l = open_local(c->config, &fail);
	if (l)
		return l;
	if (strcmp(fail.reason, "in-use") == 0)
		sp_buf_printf(why, "%s\nIf it is a relay that stops, or another strictpost command, try again when it has ended. A relay that goes on is asked over its "
		              "control socket, and does not answer there: set admin.socket in %s, and restart it", fail.text, c->config_path);
	else
		sp_buf_printf(why, "%s\n(and no relay answers: %s)", fail.text, no_relay);
	return NULL;
}

/* True when one of the two is there. */
static bool find(struct api_client *c, bool alone, struct sp_buf *why)
{
	struct control_answer a = { 0 };
	struct sp_buf no_relay;
	sp_buf_init(&no_relay, WHY_MAX);
	bool found = control_ask(c->config_path, c->config->admin.socket, "GET", "/livez", NULL, &a, &no_relay);
	if (!found && a.nobody && alone) {
		c->local = try_local(c, sp_buf_cstr(&no_relay), why);
		found = c->local != NULL;
	} else if (!found) {
		sp_buf_add(why, sp_buf_str(&no_relay));
	}
	sp_buf_clear(&a.body);
	sp_buf_clear(&no_relay);
	return found;
}

/* ---- life ---- */

struct api_client *api_client_open(const char *name, const char *config_path, bool alone, int *status)
{
	struct sp_buf text;
	sp_buf_init(&text, PROBLEMS_MAX);
	struct config *config = config_load(config_path, &text);
	if (config == NULL) {
		fputs(sp_buf_cstr(&text), stderr);
		sp_buf_clear(&text);
		*status = RELAY_EXIT_CONFIG;
		return NULL;
	}
	enum sp_log_level level = (enum sp_log_level)config->log.level;
	sp_log_setup((enum sp_log_format)config->log.format, level == SP_LOG_INFO ? SP_LOG_WARNING : level);    /* what goes well is told by us */
	struct api_client *c = sp_alloc(sizeof(*c));
	c->name = sp_strdup(name);
	c->config_path = sp_strdup(config_path);
	c->config = config;
	if (!find(c, alone, &text)) {
		fprintf(stderr, "strictpost %s: %s\n", name, sp_buf_cstr(&text));
		api_client_close(c);
		c = NULL;
		*status = RELAY_EXIT_FAILED;
	}
	sp_buf_clear(&text);
	return c;
}

bool api_client_ask(struct api_client *c, const char *method, const char *target, struct control_answer *out, struct sp_buf *why)
{
	uint64_t began_ms = core_clock_mono_ms();
	if (c->local)
		ask_local(c->local, method, target, out);
	else if (!control_ask(c->config_path, c->config->admin.socket, method, target, NULL, out, why))
		return false;
	c->took_ms = core_clock_mono_ms() - began_ms;
	if (out->status == 200)
		return true;
	control_error(out, why);
	return false;
}

json_t *api_client_json(struct api_client *c, const char *method, const char *target, struct sp_buf *why)
{
	struct control_answer a = { 0 };
	json_error_t error;
	json_t *v = NULL;
	if (api_client_ask(c, method, target, &a, why)) {
		v = json_loadb(a.body.p ? a.body.p : "", a.body.len, 0, &error);
		if (v == NULL)
			sp_buf_printf(why, "the answer is not JSON: %s", error.text);
	}
	sp_buf_clear(&a.body);
	return v;
}

/* False when `row` wants no more, or there is no next page; else its target in `next`. */
static bool read_page(const json_t *page, const char *target, const char *rows, bool (*row)(void *owner, const json_t *row), void *owner,
                      struct sp_buf *next)
{
	size_t i;
	const json_t *r;
	json_array_foreach(json_object_get(page, rows), i, r)
		if (!row(owner, r))
			return false;
	const char *after = json_string_value(json_object_get(page, "next"));
	sp_buf_reset(next);
	sp_buf_adds(next, target);
	query_add(next, "after", after);
	return after != NULL;
}

bool api_client_each(struct api_client *c, const char *target, const char *rows, bool (*row)(void *owner, const json_t *row), void *owner,
                     struct sp_buf *why)
{
	struct sp_buf next;
	sp_buf_init(&next, TARGET_MAX);
	sp_buf_adds(&next, target);
	bool good, more;
	do {
		json_t *page = sp_buf_failed(&next) ? NULL : api_client_json(c, "GET", sp_buf_cstr(&next), why);
		if (sp_buf_failed(&next))
			sp_buf_adds(why, "what is asked for is too long");
		good = page != NULL;
		more = good && read_page(page, target, rows, row, owner, &next);
		json_decref(page);
		if (more)
			api_client_pause(c);
	} while (more);
	sp_buf_clear(&next);
	return good;
}

void api_client_wait(struct api_client *c, unsigned wait_ms)
{
	if (c->local) {
		core_timer_start(c->local->timer, wait_ms);
		run_loop(c->local);
		return;
	}
	struct timespec wait = { .tv_sec = wait_ms / 1000, .tv_nsec = (long)(wait_ms % 1000) * 1000000 };
	nanosleep(&wait, NULL);
}

void api_client_pause(struct api_client *c)
{
	if (c->local == NULL)
		api_client_wait(c, (unsigned)sp_min(c->took_ms * PAUSES, PAUSE_MAX_MS));
}

bool api_client_is_relay(const struct api_client *c)
{
	return c->local == NULL;
}

void api_client_close(struct api_client *c)
{
	if (c == NULL)
		return;
	if (c->local)
		close_local(c->local);
	config_unref(c->config);
	free(c->config_path);
	free(c->name);
	free(c);
}
