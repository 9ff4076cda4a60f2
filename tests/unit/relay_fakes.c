/* tests/unit/relay_fakes.c - see relay_fakes.h. */
#include "relay_fakes.h"

#include "core/clock.h"
#include "core/http.h"
#include "queue/store.h"
#include "relay/policy.h"
#include "sts/cache.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static struct world *world;             /* the one that is open */

/* ---- clocks and timers ---- */

int64_t core_clock_wall_ms(void) { return world->wall_ms; }
uint64_t core_clock_mono_ms(void) { return world->mono_ms; }
uint64_t core_clock_mono_us(void) { return world->mono_ms * 1000; }

void __real_core_timer_start(struct core_timer *t, uint64_t after_ms);
void __wrap_core_timer_start(struct core_timer *t, uint64_t after_ms);

void __wrap_core_timer_start(struct core_timer *t, uint64_t after_ms)
{
	world->waited_ms += after_ms;
	world->mono_ms += after_ms;
	world->wall_ms += (int64_t)after_ms;
	__real_core_timer_start(t, after_ms ? 1 : 0);           /* 0 started from its own callback would fire for ever within the turn */
}

/* ---- answers, each on a later turn ---- */

struct asked {
	struct sp_link link;                    /* in `held` */
	void (*answer)(struct asked *a);
};
static struct sp_link held;                     /* of struct asked */

static void on_turn(void *arg)
{
	struct asked *a = arg;
	a->answer(a);
}

static void answer_later(struct asked *a, bool hold)
{
	if (hold)
		sp_list_push_back(&held, &a->link);
	else
		core_loop_later(world->shard.loop, on_turn, a);
}

static void release_held(void)
{
	struct sp_link *l;
	while (!world->hold_dns && !world->hold_https && (l = sp_list_pop(&held)))
		core_loop_later(world->shard.loop, on_turn, sp_container_of(l, struct asked, link));
}

/* ---- DNS ---- */

struct core_dns_query {
	struct asked asked;
	char name[256];
	enum core_dns_type type;
	void (*done)(void *owner, const struct core_dns_answer *answer);        /* NULL: cancelled */
	void *owner;
};

static const struct { const char *name; enum core_dns_type type; } types[] = {
	{ "A", CORE_DNS_A }, { "AAAA", CORE_DNS_AAAA }, { "MX", CORE_DNS_MX }, { "TXT", CORE_DNS_TXT },
	{ "TLSA", CORE_DNS_TLSA }, { "CNAME", CORE_DNS_CNAME },
};

static const char *type_str(enum core_dns_type type)
{
	for (size_t i = 0; i < SP_COUNT(types); i++)
		if (types[i].type == type)
			return types[i].name;
	return "?";
}

static bool take_status(struct sp_str data, enum core_dns_status *out)
{
	static const char *const names[] = {
#define X(name, text) [CORE_DNS_##name] = #name,
		CORE_DNS_STATUSES(X)
#undef X
	};
	for (size_t i = 0; i < SP_COUNT(names); i++) {
		if (sp_str_eq(data, sp_str_of(names[i]))) {
			*out = (enum core_dns_status)i;
			return true;
		}
	}
	return false;
}

static void read_record(struct sp_str data, struct core_dns_record *r, struct sp_arena *arena)
{
	uint64_t n;
	switch (r->type) {
	case CORE_DNS_A:
	case CORE_DNS_AAAA:
		assert_true(sp_addr_parse_ip(data, 0, &r->addr));
		assert_int_equal(sp_addr_family(&r->addr), r->type == CORE_DNS_A ? AF_INET : AF_INET6);
		break;
	case CORE_DNS_MX:
		assert_true(sp_take_digits(&data, 5, &n) && sp_take_char(&data, ' '));
		r->mx.preference = (uint16_t)n;
		r->mx.host = sp_str_eq(data, SP_STR(".")) ? "" : sp_arena_dup(arena, data);
		break;
	case CORE_DNS_TLSA:
		assert_true(data.len >= 7);
		r->tlsa = (struct core_tlsa){ .usage = (uint8_t)(data.p[0] - '0'), .selector = (uint8_t)(data.p[2] - '0'), .matching = (uint8_t)(data.p[4] - '0') };
		char *digest = sp_arena_alloc(arena, 32);
		memset(digest, data.p[6], 32);
		r->tlsa.data = sp_str_make(digest, 32);
		break;
	default:
		r->txt = data;
	}
}

/* Takes the mark off a type. */
static bool take_secure(struct sp_str *type)
{
	bool secure = type->len > 0 && type->p[type->len - 1] == '+';
	type->len -= secure;
	return secure;
}

/* Where a CNAME at `name` leads, copied to `out`. */
static bool read_cname(const char *name, char out[256], bool *secure)
{
	struct sp_str rest = sp_str_of(world->dns), line;
	while (sp_take_line(&rest, &line)) {
		bool here = sp_str_eq(sp_take_until(&line, ' '), sp_str_of(name));
		struct sp_str type = sp_take_until(&line, ' ');
		bool plus = take_secure(&type);
		if (!here || !sp_str_eq(type, SP_STR("CNAME")))
			continue;
		*secure &= plus;
		snprintf(out, 256, "%.*s", SP_STR_ARG(line));
		return true;
	}
	return false;
}

/* One line of the world's DNS: it is another name's, another type's, a status, or a record. */
static void read_line(struct sp_str line, struct core_dns_query *q, struct core_dns_answer *a, struct core_dns_record *records, struct sp_arena *arena)
{
	uint64_t ttl = 300;
	if (!sp_str_eq(sp_take_until(&line, ' '), sp_str_of(a->name)))
		return;
	if (a->status == CORE_DNS_NXDOMAIN)
		a->status = CORE_DNS_NODATA;
	struct sp_str type = sp_take_until(&line, ' ');
	struct sp_str bare = sp_take_until(&type, '@');
	bool secure = take_secure(&bare);
	if (!sp_str_eq(bare, sp_str_of(type_str(q->type))))
		return;
	if (type.len > 0)
		assert_true(sp_str_number(type, 0, UINT32_MAX, &ttl));
	a->ttl_s = (uint32_t)ttl;
	a->authenticated = a->count > 0 ? a->authenticated && secure : secure;
	if (take_status(line, &a->status))
		return;
	a->status = CORE_DNS_OK;
	assert_in_range(a->count, 0, 31);
	records[a->count] = (struct core_dns_record){ .type = q->type, .ttl_s = (uint32_t)ttl };
	read_record(line, &records[a->count++], arena);
}

static void answer_dns(struct asked *asked)
{
	struct core_dns_query *q = sp_container_of(asked, struct core_dns_query, asked);
	struct core_dns_record records[32];
	struct core_dns_answer a = { .status = CORE_DNS_NXDOMAIN, .ttl_s = 300, .name = q->name };
	char end[256];
	bool secure = true;
	struct sp_str rest = sp_str_of(world->dns), line;
	struct sp_arena arena = SP_ARENA_EMPTY;
	while (q->type != CORE_DNS_CNAME && a.cnames < CORE_DNS_CNAME_MAX && read_cname(a.name, end, &secure)) {
		a.cnames++;
		a.name = sp_arena_strdup(&arena, end);
	}
	while (sp_take_line(&rest, &line))
		read_line(line, q, &a, records, &arena);
	a.records = records;
	a.authenticated = (a.authenticated && secure) || world->dns_authenticated;
	if (q->name[0] == '\0')
		a.status = CORE_DNS_BADNAME;
	if (q->done)
		q->done(q->owner, &a);
	sp_arena_clear(&arena);
	free(q);
}

/* The shard's needs no opening; relay/dnssec.c, which has one of its own, is not played. */
struct core_dns *core_dns_open(struct core_loop *l SP_UNUSED, const char *servers SP_UNUSED, unsigned timeout_ms SP_UNUSED, struct sp_fail *why SP_UNUSED)
{
	return NULL;
}

void core_dns_close(struct core_dns *d SP_UNUSED) {}

size_t core_dns_servers(const struct core_dns *d SP_UNUSED, struct sp_addr out[CORE_DNS_SERVERS_MAX] SP_UNUSED)
{
	return 0;
}

struct core_dns_query *core_dns_lookup(struct core_dns *d, const char *name, enum core_dns_type type,
                                       void (*done)(void *owner, const struct core_dns_answer *answer), void *owner)
{
	(void)d;
	struct core_dns_query *q = sp_alloc(sizeof(*q));
	q->asked.answer = answer_dns;
	q->type = type;
	q->done = done;
	q->owner = owner;
	snprintf(q->name, sizeof(q->name), "%s", name);
	sp_buf_printf(&world->asked, "%s %s\n", name, type_str(type));
	answer_later(&q->asked, world->hold_dns);
	return q;
}

void core_dns_cancel(struct core_dns_query *q)
{
	if (q)
		q->done = NULL;
}

/* ---- HTTPS ---- */

struct core_http {
	struct asked asked;
	char domain[256];
	bool (*may_connect)(void *owner, const struct sp_addr *to);
	void (*done)(void *owner, const struct core_http_response *r);          /* NULL: cancelled */
	void *owner;
};

static bool find_site(const char *domain, struct sp_str *rest_of_line)
{
	struct sp_str rest = sp_str_of(world->https);
	while (sp_take_line(&rest, rest_of_line))
		if (sp_str_eq(sp_take_until(rest_of_line, ' '), sp_str_of(domain)))
			return true;
	return false;
}

static bool at_forbidden_address(const struct core_http *h)
{
	struct sp_str rest = sp_str_of(world->dns), line;
	char want[300];
	struct sp_addr at;
	snprintf(want, sizeof(want), "mta-sts.%s A ", h->domain);
	while (sp_take_line(&rest, &line))
		if (sp_take_prefix(&line, sp_str_of(want)) && sp_addr_parse_ip(line, 443, &at))
			return !h->may_connect(h->owner, &at);
	return false;
}

static void answer_https(struct asked *asked)
{
	struct core_http *h = sp_container_of(asked, struct core_http, asked);
	struct core_http_response r = { .content_type = "text/plain", .content_encoding = "" };
	struct sp_str site;
	struct sp_buf body;
	sp_buf_init(&body, 1024);
	if (at_forbidden_address(h)) {
		sp_fail_set(&r.fail, SP_FAIL_CONNECT, "not a public address");
		snprintf(r.fail.reason, sizeof(r.fail.reason), "private-address");
	} else if (!find_site(h->domain, &site)) {
		sp_fail_set(&r.fail, SP_FAIL_CONNECT, "connection refused");
		snprintf(r.fail.reason, sizeof(r.fail.reason), "refused");
	} else {
		uint64_t status;
		assert_true(sp_str_number(sp_take_until(&site, ' '), 100, 599, &status));
		r.status = (int)status;
		struct sp_str mode = sp_take_until(&site, ' '), max_age = sp_take_until(&site, ' ');
		sp_buf_printf(&body, "version: STSv1\nmode: %.*s\nmax_age: %.*s\n", SP_STR_ARG(mode), SP_STR_ARG(max_age));
		if (site.len > 0)
			sp_buf_printf(&body, "mx: %.*s\n", SP_STR_ARG(site));
		r.body = sp_buf_str(&body);
	}
	if (h->done)
		h->done(h->owner, &r);
	sp_buf_clear(&body);
	free(h);
}

struct core_http *core_http_start(struct core_loop *l, struct core_dns *dns, struct core_tls_client *tls, const struct core_http_ask *ask,
                                  void (*done)(void *owner, const struct core_http_response *r), void *owner)
{
	(void)l, (void)dns, (void)tls;
	struct sp_str domain = sp_str_of(ask->host);
	assert_true(sp_take_prefix(&domain, SP_STR("mta-sts.")));
	assert_string_equal(ask->method, "GET");
	assert_string_equal(ask->path, "/.well-known/mta-sts.txt");
	assert_int_equal(ask->port, 443);
	assert_true(ask->verify);
	assert_int_equal(ask->min_version, CORE_TLS_1_2);
	assert_in_range(ask->body_max, 1024, 65536);
	assert_in_range(ask->deadline_ms, 1000, 60000);
	struct core_http *h = sp_alloc(sizeof(*h));
	h->asked.answer = answer_https;
	snprintf(h->domain, sizeof(h->domain), "%.*s", SP_STR_ARG(domain));
	h->may_connect = ask->may_connect;
	h->done = done;
	h->owner = owner;
	sp_buf_printf(&world->asked, "https %s\n", h->domain);
	answer_later(&h->asked, world->hold_https);
	return h;
}

void core_http_cancel(struct core_http *h)
{
	if (h)
		h->done = NULL;
}

/* ---- the store: at once, answered on a later turn ---- */

static void on_stored(void *arg)
{
	struct queue_op *op = arg;
	op->done(op, &op->fail);
}

void queue_store_submit(struct queue_store *s, struct queue_op *op)
{
	(void)s;
	op->fail = SP_FAIL_OK;
	if (world->store_fails) {
		sp_fail_set(&op->fail, SP_FAIL_STORE, "the disk is gone");
	} else {
		assert_int_equal(core_db_begin(world->db), CORE_DB_OK);
		enum core_db_status status = op->run(world->db, op);
		assert_true(status == CORE_DB_OK || status == CORE_DB_ROW);
		assert_int_equal(core_db_commit(world->db), CORE_DB_OK);
	}
	core_loop_later(world->shard.loop, on_stored, op);
}

/* ---- the shard ---- */

uint32_t shard_random(struct shard *s)
{
	s->random = s->random * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(s->random >> 32);
}

void shard_op_end(struct shard *s)
{
	assert_true(s->ops > 0);
	s->ops--;
}

static void open_shard(struct world *w)
{
	struct shard *s = &w->shard;
	struct config *config = s->config;
	*s = (struct shard){ .relay = &w->relay, .config = config, .random = 1, .metrics = metrics_of_shard(NULL, 0) };
	s->loop = core_loop_new();
	sp_map_init(&s->policies);
	sp_list_init(&s->policy_lru);
}

static void close_shard(struct world *w)
{
	policy_clear(&w->shard);
	w->hold_dns = w->hold_https = false;
	world_run(w);
	assert_int_equal(w->shard.ops, 0);
	assert_int_equal(atomic_load(&w->relay.fetches), 0);
	core_loop_free(w->shard.loop);
}

void world_open(struct world *w, const char *config)
{
	*w = (struct world){ .dns = "", .https = "", .wall_ms = INT64_C(1800000000000), .mono_ms = 1000000, .folder = "/tmp/relay_fakes.XXXXXX" };
	world = w;
	sp_list_init(&held);
	sp_buf_init(&w->asked, 1 << 24);
	struct sp_buf text, problems;
	sp_buf_init(&text, 4096);
	sp_buf_init(&problems, 4096);
	sp_buf_printf(&text, "hostname: relay.example.com\n%s", config);
	w->shard.config = config_parse(sp_buf_str(&text), "t", &problems);
	if (w->shard.config == NULL)
		print_message("%s", sp_buf_cstr(&problems));
	assert_non_null(w->shard.config);
	sp_buf_clear(&text);
	struct sp_fail why;
	char path[80];
	assert_non_null(mkdtemp(w->folder));
	snprintf(path, sizeof(path), "%s/db", w->folder);
	w->db = core_db_open(path, false, &why);
	assert_non_null(w->db);
	assert_int_equal(core_db_exec(w->db, "PRAGMA synchronous = OFF"), CORE_DB_OK);
	assert_int_equal(sts_cache_migrate(w->db, 0), CORE_DB_OK);
	w->relay.store = (struct queue_store *)(void *)w;       /* there is one, and who submits to it comes here */
	open_shard(w);
}

void world_close(struct world *w)
{
	close_shard(w);
	config_unref(w->shard.config);
	core_db_close(w->db);
	static const char *const files[] = { "db", "db-wal", "db-shm", "" };
	for (size_t i = 0; i < SP_COUNT(files); i++) {
		char path[80];
		snprintf(path, sizeof(path), "%s/%s", w->folder, files[i]);
		remove(path);
	}
	sp_buf_clear(&w->asked);
	world = NULL;
}

void world_restart(struct world *w)
{
	close_shard(w);
	open_shard(w);
}

void world_run(struct world *w)
{
	int turns = 0;
	do {
		release_held();
		assert_in_range(++turns, 1, 100000);
	} while (core_loop_turn(w->shard.loop));
}

void world_pass(struct world *w, int64_t s)
{
	w->wall_ms += s * 1000;
	w->mono_ms += (uint64_t)s * 1000;
}

void world_forget(struct world *w)
{
	sp_buf_reset(&w->asked);
	w->waited_ms = 0;
}

unsigned world_count(const struct world *w, const char *asked)
{
	struct sp_str rest = sp_buf_str(&w->asked), line;
	unsigned n = 0;
	while (sp_take_line(&rest, &line))
		n += sp_str_eq(line, sp_str_of(asked));
	return n;
}
