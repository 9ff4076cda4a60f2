/* relay/report_client.c - see report_client.h. */
#include "relay/report_client.h"

#include "relay/cmd.h"
#include "relay/config.h"
#include "relay/relay.h"
#include "relay/report_api.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PROBLEMS_MAX 262144             /* octets */
#define WHY_MAX 4096

/* A reporter of our own. */
struct local {
	struct core_loop *loop;
	struct core_mailbox *mailbox;
	struct core_timer *timer;
	struct queue_store *store;
	struct reporter *reporter;
	struct report_api *api;
	struct control_answer *answer;          /* where it goes, while we wait */
	bool answered, running;                 /* running: the loop is, and a stop is meant for this turn, not the next */
};

struct report_client {
	char *config_path;
	struct config *config;                  /* one ref */
	struct local *local;                    /* NULL: the relay answers */
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
	if (l->reporter) {
		reporter_stop(l->reporter, stop_loop, l);       /* told on a later turn */
		run_loop(l);
	}
	report_api_free(l->api);
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
	struct reporter_world world = { .loop = l->loop, .mailbox = l->mailbox, .store = l->store };
	l->reporter = reporter_new(&world, c, why);
	if (l->reporter == NULL) {
		close_local(l);
		return NULL;
	}
	l->api = report_api_new(&world, l->reporter, c);
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
	report_api_ask(l->api, method, path, query, on_answer, l);
	while (!l->answered)
		run_loop(l);
}

/* ---- which of the two ---- */

/* Files that root makes in the spool of another user keep the relay from starting. */
static bool is_fit(const struct config *c, struct sp_buf *why)
{
	struct stat st;
	char path[4096];
	snprintf(path, sizeof(path), "%s/spool.db", c->state_dir);
	if (stat(path, &st) != 0) {
		sp_buf_printf(why, "%s: %s", path, errno == ENOENT ? "there is no spool yet; the relay makes it at its first start" : strerror(errno));
		return false;
	}
	if (st.st_uid == geteuid())
		return true;
	sp_buf_printf(why, "%s belongs to uid %ld, and this is uid %ld; run it as that user: setpriv --reuid=%ld --regid=%ld --clear-groups "
	              "strictpost report ...", path, (long)st.st_uid, (long)geteuid(), (long)st.st_uid, (long)st.st_gid);
	return false;
}

/* No relay is at the control socket. `no_relay` says why it was not reached. */
static struct local *try_local(const struct report_client *c, const char *no_relay, struct sp_buf *why)
{
	struct sp_fail fail;
	if (!is_fit(c->config, why)) {
		sp_buf_printf(why, "\n(and no relay answers: %s)", no_relay);
		return NULL;
	}
	struct local *l = open_local(c->config, &fail);
	if (l)
		return l;
	if (strcmp(fail.reason, "in-use") == 0)
		sp_buf_printf(why, "%s\nIf it is a relay that stops, or strictpost report, try again when it has ended. A relay that goes on is asked over its "
		              "control socket, and does not answer there: set admin.socket in %s, and restart it", fail.text, c->config_path);
	else
		sp_buf_printf(why, "%s\n(and no relay answers: %s)", fail.text, no_relay);
	return NULL;
}

/* True when one of the two is there. */
static bool find(struct report_client *c, struct sp_buf *why)
{
	struct control_answer a = { 0 };
	struct sp_buf no_relay;
	sp_buf_init(&no_relay, WHY_MAX);
	bool found = control_ask(c->config_path, c->config->admin.socket, "GET", "/livez", &a, &no_relay);
	if (!found && a.nobody) {
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

struct report_client *report_client_open(const char *name, const char *config_path, int *status)
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
	struct report_client *c = sp_alloc(sizeof(*c));
	c->config_path = sp_strdup(config_path);
	c->config = config;
	if (!find(c, &text)) {
		fprintf(stderr, "strictpost %s: %s\n", name, sp_buf_cstr(&text));
		report_client_close(c);
		c = NULL;
		*status = RELAY_EXIT_FAILED;
	}
	sp_buf_clear(&text);
	return c;
}

bool report_client_ask(struct report_client *c, const char *method, const char *target, struct control_answer *out, struct sp_buf *why)
{
	if (c->local)
		ask_local(c->local, method, target, out);
	else if (!control_ask(c->config_path, c->config->admin.socket, method, target, out, why))
		return false;
	if (out->status == 200)
		return true;
	control_error(out, why);
	return false;
}

void report_client_wait(struct report_client *c, unsigned wait_ms)
{
	if (c->local) {
		core_timer_start(c->local->timer, wait_ms);
		run_loop(c->local);
		return;
	}
	struct timespec wait = { .tv_sec = wait_ms / 1000, .tv_nsec = (long)(wait_ms % 1000) * 1000000 };
	nanosleep(&wait, NULL);
}

bool report_client_is_relay(const struct report_client *c)
{
	return c->local == NULL;
}

void report_client_close(struct report_client *c)
{
	if (c == NULL)
		return;
	if (c->local)
		close_local(c->local);
	config_unref(c->config);
	free(c->config_path);
	free(c);
}
