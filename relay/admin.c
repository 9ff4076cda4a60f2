/* relay/admin.c - see admin.h. The routes are a table. What the store must be asked is asked once for all who wait for it at that moment. */
#include "relay/admin.h"

#include "core/clock.h"
#include "core/httpd.h"
#include "relay/dnssec.h"
#include "relay/metrics.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define SOCKET_MODE 0600
#define ANSWER_MAX (1 << 20)
#define OVERRIDES_TOLD 100

struct admin {
	struct relay *relay;
	struct report_api *reports;
	struct core_loop *loop;
	struct config *config;          /* one ref */
	struct core_httpd *server;      /* NULL: could not be opened, or stopped */
	char *path;                     /* of the server's socket */
	int64_t started_s;
	uint64_t started_ms;            /* monotonic */
	struct sp_link waiting;         /* of struct waiter: for counts of the queue */
	bool counting;                  /* the store was asked */
};

struct waiter {
	struct sp_link link;            /* in admin.waiting */
	struct core_httpd_request *request;
};

/* ---- answers ---- */

static int add_octets(const char *octets, size_t len, void *arg)
{
	sp_buf_add(arg, sp_str_make(octets, len));
	return 0;
}

static void answer_json(struct core_httpd_request *q, json_t *value)
{
	struct sp_buf body;
	sp_buf_init(&body, ANSWER_MAX);
	json_dump_callback(value, add_octets, &body, JSON_COMPACT);
	sp_buf_addc(&body, '\n');
	json_decref(value);
	core_httpd_answer(q, 200, "application/json", &body);
}

static void answer_ok(struct core_httpd_request *q)
{
	struct sp_buf body;
	sp_buf_init(&body, 16);
	sp_buf_adds(&body, "ok\n");
	core_httpd_answer(q, 200, "text/plain", &body);
}

/* ---- /livez, /readyz ---- */

static void on_livez(struct admin *a SP_UNUSED, struct core_httpd_request *q)
{
	answer_ok(q);
}

/* Why mail is not taken or not delivered; NULL when all is well. */
static const char *unready(const struct relay *r)
{
	if (atomic_load(&r->stopping))
		return "the relay is stopping";
	if (!queue_store_accepting(r->store))
		return "the spool takes no mail: its disk is nearly full, or a write failed; the log says which";
	if (atomic_load(&r->unsettled) > 0)
		return "the spool takes no results, deliveries pause; the log says why";
	return NULL;
}

static void on_readyz(struct admin *a, struct core_httpd_request *q)
{
	const char *why = unready(a->relay);
	if (why)
		core_httpd_refuse(q, 503, "%s", why);
	else
		answer_ok(q);
}

/* ---- /status ---- */

static json_t *number(unsigned long long n)
{
	return json_integer((json_int_t)n);
}

static json_t *time_value(int64_t at_s)
{
	time_t t = (time_t)at_s;
	struct tm tm;
	char text[32] = "";
	if (gmtime_r(&t, &tm))
		strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);        /* RFC 3339 */
	return json_string(text);
}

static json_t *list_listeners(const struct config *c)
{
	json_t *list = json_array();
	char text[SP_ADDR_TEXT];
	for (size_t i = 0; i < c->listen.count; i++)
		json_array_append_new(list, json_string(sp_addr_str(&c->listen.items[i].address, text)));
	return list;
}

static json_t *store_state(const struct queue_store *s)
{
	struct queue_store_stats stats;
	queue_store_stats(s, &stats);
	return json_pack("{s:o, s:o, s:o, s:b}", "commits", number(stats.commits), "ops", number(stats.ops),
	                 "largest_batch", number(stats.largest_batch), "accepting", (int)queue_store_accepting(s));
}

static json_t *queue_state(const struct queue_counts *counts, const struct sp_fail *why)
{
	if (sp_failed(why))
		return json_pack("{s:s}", "error", why->text);
	return json_pack("{s:o, s:o, s:o}", "messages", number(counts->messages), "recipients", number(counts->recipients),
	                 "destinations_waiting", number(counts->destinations_waiting));
}

static json_t *outbound_value(const struct relay *r)
{
	struct pace_counts counts;
	pace_counts(r->pace, core_clock_mono_ms(), &counts);
	return json_pack("{s:o, s:o, s:o}", "sessions", number(counts.sessions), "addresses", number(counts.addresses), "dead", number(counts.dead));
}

static json_t *dnssec_value(const struct relay *r)
{
	return json_pack("{s:s, s:b, s:s}", "resolver", dnssec_state_str(dnssec_state(r)), "believed", (int)dnssec_believed(r), "remedy", dnssec_remedy(r));
}

/* What is lowered now: the rules with override that are in force. An operator has few; whoever has more sees the first. */
static json_t *overrides_value(const struct config *c, int64_t now_s)
{
	json_t *list = json_array();
	for (size_t i = 0; i < c->domains.count && json_array_size(list) < OVERRIDES_TOLD; i++) {
		const struct config_domain *d = &c->domains.items[i];
		if (!d->rule.override || !sts_rule_in_force(&d->rule, now_s))
			continue;
		json_t *v = json_pack("{s:s, s:s, s:o}", "domain", d->rule.domain, "reason", d->rule.reason, "ends",
		                      time_value(d->rule.until_s));
		if (d->rule.level != STS_LEVEL_UNSET)
			json_object_set_new(v, "tls", json_string(sts_level_str(d->rule.level)));
		if (d->has_dane)
			json_object_set_new(v, "dane", json_string(sts_dane_str(d->dane)));
		json_array_append_new(list, v);
	}
	return list;
}

static json_t *status_value(const struct admin *a, const struct queue_counts *counts, const struct sp_fail *why)
{
	struct relay *r = a->relay;
	const char *reason = unready(r);
	json_t *v = json_pack("{s:s, s:s, s:i, s:o, s:o, s:b, s:s?, s:i, s:o}", "version", STRICTPOST_VERSION, "hostname", a->config->hostname,
	                      "pid", (int)getpid(), "started", time_value(a->started_s),
	                      "uptime_s", number((core_clock_mono_ms() - a->started_ms) / 1000), "ready", (int)(reason == NULL),
	                      "reason", reason, "shards", (int)r->shard_count, "listen", list_listeners(a->config));
	json_object_set_new(v, "connections", number(atomic_load(&r->connections)));
	json_object_set_new(v, "outbound", outbound_value(r));
	json_object_set_new(v, "accepted", number(metrics_sum(r->metrics, METRIC_ACCEPTED, 0)));
	json_object_set_new(v, "delivered", number(metrics_sum(r->metrics, METRIC_RECIPIENTS, METRICS_DELIVERED)));
	json_object_set_new(v, "deferred", number(metrics_sum(r->metrics, METRIC_RECIPIENTS, METRICS_DEFERRED)));
	json_object_set_new(v, "bounced", number(metrics_sum_all(r->metrics, METRIC_RECIPIENTS + METRICS_BOUNCED, METRIC_RECIPIENTS + METRICS_EXPIRED)));
	json_object_set_new(v, "queue", queue_state(counts, why));
	json_object_set_new(v, "store", store_state(r->store));
	json_object_set_new(v, "dnssec", dnssec_value(r));
	json_object_set_new(v, "overrides", overrides_value(a->config, core_clock_wall_s()));
	return v;
}

static void on_counts(void *owner, const struct queue_counts *counts, const struct sp_fail *why)
{
	struct admin *a = owner;
	a->counting = false;
	struct sp_link *l;
	while ((l = sp_list_pop(&a->waiting)) != NULL) {
		struct waiter *w = sp_container_of(l, struct waiter, link);
		answer_json(w->request, status_value(a, counts, why));
		free(w);
	}
}

static void on_status(struct admin *a, struct core_httpd_request *q)
{
	struct waiter *w = sp_alloc(sizeof(*w));
	w->request = q;
	sp_list_push_back(&a->waiting, &w->link);
	if (a->counting)
		return;
	a->counting = true;
	queue_counts(a->relay->store, a->relay->main_mailbox, on_counts, a);
}

/* ---- routes ---- */

static const struct {
	const char *method, *path;
	void (*run)(struct admin *a, struct core_httpd_request *q);
} routes[] = {
	{ "GET", "/livez",  on_livez },
	{ "GET", "/readyz", on_readyz },
	{ "GET", "/status", on_status },
};

static void on_report_answer(void *owner, int status, const char *content_type, struct sp_buf *body)
{
	core_httpd_answer(owner, status, content_type, body);
}

static void on_request(void *owner, struct core_httpd_request *q)
{
	struct sp_str path = core_httpd_path(q);
	if (sp_str_starts(path, SP_STR("/report/"))) {
		struct admin *a = owner;
		report_api_ask(a->reports, core_httpd_method(q), path, core_httpd_query(q), on_report_answer, q);
		return;
	}
	for (size_t i = 0; i < SP_COUNT(routes); i++) {
		if (!sp_str_eq(path, sp_str_of(routes[i].path)))
			continue;
		if (strcmp(core_httpd_method(q), routes[i].method) == 0)
			routes[i].run(owner, q);
		else
			core_httpd_refuse_method(q, "GET, HEAD");
		return;
	}
	core_httpd_refuse(q, 404, "there is no %.*s", (int)sp_min(path.len, 200), path.p);
}

/* ---- the socket ---- */

static char *folder_of(const char *path)
{
	size_t len = (size_t)(strrchr(path, '/') - path);       /* it is absolute */
	return sp_strndup(path, len ? len : 1);
}

static bool parse_path(const char *path, struct sp_addr *at)
{
	struct sp_buf text;
	sp_buf_init(&text, 256);
	sp_buf_printf(&text, "unix:%s", path);
	bool good = !sp_buf_failed(&text) && sp_addr_parse(sp_buf_str(&text), at);
	sp_buf_clear(&text);
	return good;
}

static struct core_httpd *open_socket(struct admin *a, const char *path)
{
	struct core_httpd *server = NULL;
	struct sp_addr at;
	struct sp_fail why;
	if (path[0] != '/' || !parse_path(path, &at)) {
		sp_log_text(SP_LOG_WARNING, NULL, "admin", "no control socket: admin.socket: %s is not an absolute path of 107 characters at most", path);
		return NULL;
	}
	char *folder = folder_of(path);
	if (core_httpd_open(a->loop, &at, SOCKET_MODE, &core_httpd_usual, on_request, a, &server, &why) != 0)
		sp_log_text(SP_LOG_WARNING, NULL, "admin", "no control socket, so no strictpost status and healthcheck: %s. Set admin.socket to a path "
		            "that uid %ld may make and nobody uses (\"\" for none), or give it the folder: install -d -o %ld %s (systemd: "
		            "RuntimeDirectory=strictpost). The relay runs without it", why.text, (long)geteuid(), (long)geteuid(), folder);
	free(folder);
	return server;
}

static void move_socket(struct admin *a)
{
	const char *path = a->config->admin.socket;
	if (a->server && strcmp(a->path, path) == 0)
		return;
	struct core_httpd *server = *path ? open_socket(a, path) : NULL;
	if (server == NULL && *path) {
		if (a->server)
			sp_log_text(SP_LOG_WARNING, NULL, "admin", "the control socket stays at %s", a->path);
		return;
	}
	core_httpd_close(a->server);
	free(a->path);
	a->server = server;
	a->path = server ? sp_strdup(path) : NULL;
}

/* ---- life ---- */

struct admin *admin_start(struct relay *r, struct report_api *reports, struct core_loop *l, struct config *c)
{
	struct admin *a = sp_alloc(sizeof(*a));
	a->relay = r;
	a->reports = reports;
	a->loop = l;
	a->config = config_ref(c);
	a->started_s = core_clock_wall_s();
	a->started_ms = core_clock_mono_ms();
	sp_list_init(&a->waiting);
	move_socket(a);
	return a;
}

void admin_reload(struct admin *a, struct config *c)
{
	config_unref(a->config);
	a->config = config_ref(c);
	move_socket(a);
}

void admin_stop(struct admin *a)
{
	if (a == NULL)
		return;
	core_httpd_close(a->server);
	a->server = NULL;
}

bool admin_busy(const struct admin *a)
{
	return a->counting;
}

void admin_free(struct admin *a)
{
	if (a == NULL)
		return;
	admin_stop(a);
	config_unref(a->config);
	free(a->path);
	free(a);
}
