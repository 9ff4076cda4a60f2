/* relay/check_world.c - see check_world.h. */
#include "relay/check_impl.h"

#include "core/clock.h"

#include <errno.h>
#include <sys/utsname.h>
#include <unistd.h>

#define BUILT_IN "the built-in configuration, with this machine's resolver"

/* A name is needed for EHLO; the machine's own may be none that a relay could use. */
static struct config *built_in(struct sp_buf *problems)
{
	struct utsname u;
	struct sp_buf text, untold;
	struct config *c = NULL;
	sp_buf_init(&text, 1024);
	sp_buf_init(&untold, 4096);
	if (uname(&u) == 0) {
		sp_buf_printf(&text, "hostname: \"%s\"\n", u.nodename);
		c = config_parse(sp_buf_str(&text), "built-in", &untold);
	}
	if (c == NULL)
		c = config_parse(SP_STR("hostname: strictpost-check.invalid\n"), "built-in", problems);
	sp_buf_clear(&text);
	sp_buf_clear(&untold);
	return c;
}

struct config *check_config(const char *path, bool must, const char **from, struct sp_buf *problems)
{
	bool there = path && (must || access(path, R_OK) == 0 || (errno != ENOENT && errno != EACCES && errno != ENOTDIR));
	*from = there ? path : BUILT_IN;
	return there ? config_load(path, problems) : built_in(problems);
}

/* --- what is told as it goes --- */

static void on_record(void *owner, const char *domain, const struct core_dns_answer *a)
{
	struct check_world *w = owner;
	SP_LIST_EACH(&w->checks, l)
		check_take_record(sp_container_of(l, struct check, link), domain, a);
}

static void on_fetched(void *owner, const char *domain, const struct core_http_response *r, uint64_t took_ms)
{
	struct check_world *w = owner;
	SP_LIST_EACH(&w->checks, l)
		check_take_fetch(sp_container_of(l, struct check, link), domain, r, took_ms);
}

static void on_session(void *owner, const char *destination, struct sp_str json, struct sp_str chain_pem SP_UNUSED)
{
	struct check_world *w = owner;
	SP_LIST_EACH(&w->checks, l)
		check_take_session(sp_container_of(l, struct check, link), destination, json);
}

/* --- life --- */

static void on_known(void *owner)
{
	struct check_world *w = owner;
	w->ready(w->owner);
}

int check_world_open(struct check_world *w, struct config *config, void (*ready)(void *owner), void *owner, struct sp_fail *why)
{
	*w = (struct check_world){ .config = config_ref(config), .ready = ready, .owner = owner };
	sp_list_init(&w->checks);
	w->relay.pace = pace_new();
	w->relay.rates = rates_new();
	w->shard = shard_open_bare(&w->relay, config, why);
	if (w->shard == NULL) {
		check_world_close(w);
		return -1;
	}
	w->loop = w->shard->loop;
	w->relay.shards = &w->shard;
	w->relay.shard_count = 1;
	w->relay.trust_ad = config->resolver.trust_ad == CONFIG_TRUST_YES ||
	                    (config->resolver.trust_ad == CONFIG_TRUST_AUTO && core_dns_servers_local(w->shard->dns));
	w->policy_tap = (struct policy_tap){ .record = on_record, .fetched = on_fetched, .owner = w };
	w->relay.policy_tap = &w->policy_tap;
	w->evidence_tap = (struct evidence_tap){ .session = on_session, .owner = w };
	w->relay.evidence_tap = &w->evidence_tap;
	w->dnssec = dnssec_start(&w->relay, w->loop, config);
	dnssec_when_known(w->dnssec, on_known, w);
	return 0;
}

void check_world_close(struct check_world *w)
{
	dnssec_free(w->dnssec);
	if (w->shard)
		shard_close_bare(w->shard);
	pace_free(w->relay.pace);
	rates_free(w->relay.rates);
	config_unref(w->config);
}
