/* relay/check_look.c - see check_impl.h: a session of the relay's own kind to every address of every host, not only until one is good, each as far as the point where mail
 * would follow. A host that is barred, or has no address, is gone through as the relay goes through it: no connection, and its own words. */
#include "relay/check_impl.h"

#include "relay/delivery.h"

#include <stdlib.h>

static void on_looked(struct destination *d, const struct sp_fail *why)
{
	struct look *k = sp_container_of(d, struct look, dest);
	k->over = true;
	k->fail = *why;
	check_answered(k->check);
}

static void add(struct check *c, size_t host, size_t addr)
{
	sp_assert(c->look_count < CHECK_LOOKS_MAX);
	struct look *k = sp_alloc(sizeof(*k));
	struct destination *d = &k->dest;
	k->check = c;
	k->host = host;
	k->plan = plan_narrow(c->plan, host, addr);
	k->seen = json_array();
	d->shard = c->world->shard;
	d->name = sp_strdup(c->domain);
	d->plan = k->plan;
	d->looked = on_looked;
	sp_list_init(&d->waiting);
	sp_list_init(&d->inflight);
	sp_list_init(&d->sessions);
	sp_list_init(&d->pool);
	resume_init(&d->resume);
	c->looks[c->look_count++] = k;
	c->waiting++;
	delivery_start(d, k->plan);
}

/* As relay/delivery_connect.c: families in turn, IPv6 first. */
static void add_addresses(struct check *c, size_t host)
{
	const struct plan_host *h = &c->plan->hosts[host];
	for (int round = 0; round < PLAN_ADDRS_MAX; round++) {
		for (int family = 0; family < 2; family++) {
			int seen = 0;
			for (size_t a = 0; a < h->addr_count; a++)
				if (sp_addr_family(&h->addrs[a]) == (family == 0 ? AF_INET6 : AF_INET) && seen++ == round)
					add(c, host, a);
		}
	}
}

void check_look_begin(struct check *c)
{
	if (!c->connect || sp_failed(&c->plan->fail))
		return;
	for (size_t i = 0; i < c->plan->host_count; i++) {
		const struct plan_host *h = &c->plan->hosts[i];
		if (sp_failed(&h->demand.barred) || h->addr_count == 0)
			add(c, i, SIZE_MAX);
		else
			add_addresses(c, i);
	}
}

void check_look_cut(struct check *c)
{
	for (size_t i = 0; i < c->look_count; i++) {
		struct look *k = c->looks[i];
		k->cut = !k->over;
		SP_LIST_EACH(&k->dest.sessions, l)
			delivery_cut(sp_container_of(l, struct delivery, link));
	}
}

void check_look_free(struct check *c)
{
	while (c->look_count > 0) {
		struct look *k = c->looks[--c->look_count];
		sp_assert(k->over);
		resume_clear(&k->dest.resume);
		plan_unref(k->plan);
		json_decref(k->seen);
		free(k->dest.name);
		free(k);
	}
}

/* --- what was seen --- */

static const char *address_of(const struct look *k, char text[SP_ADDR_TEXT])
{
	const struct plan_host *h = &k->plan->hosts[0];
	return h->addr_count > 0 ? sp_addr_ip_str(&h->addrs[0], text) : NULL;
}

static bool same_text(const json_t *value, const char *text)
{
	const char *s = json_string_value(value);
	return s && text ? strcmp(s, text) == 0 : s == NULL && text == NULL;
}

void check_take_session(struct check *c, const char *destination, struct sp_str json)
{
	char text[SP_ADDR_TEXT];
	if (strcmp(destination, c->domain) != 0)
		return;
	json_t *seen = json_loadb(json.p, json.len, 0, NULL);
	for (size_t i = 0; seen && i < c->look_count; i++) {
		struct look *k = c->looks[i];
		if (!k->over && same_text(json_object_get(seen, "host"), k->plan->hosts[0].label) && same_text(json_object_get(seen, "address"), address_of(k, text)))
			json_array_append(k->seen, seen);
	}
	json_decref(seen);
}

json_t *check_tell_looks(const struct check *c)
{
	json_t *list = json_array();
	for (size_t i = 0; i < c->look_count; i++) {
		const struct look *k = c->looks[i];
		char text[SP_ADDR_TEXT];
		json_array_append_new(list, json_pack("{s:s, s:s?, s:b, s:o, s:b, s:O}", "host", k->plan->hosts[0].label, "address", address_of(k, text),
		                                      "carries", !sp_failed(&k->fail), "failure", plan_tell_fail(&k->fail), "cut", k->cut, "seen", k->seen));
	}
	return list;
}
