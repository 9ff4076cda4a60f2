/* tests/fuzz/route_fuzz.c - route_parse() on a destination's name as a damaged spool may hold it: what is taken has at most one wish, its names are
 * printed in texts, and a name without a wish that gets one means the same with it. */
#include "relay/route.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static bool same(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

static void check_wished(const char *name, const struct route_target *t, enum sts_wish wish, struct sp_arena *arena)
{
	struct route_target w;
	bool ok = route_parse(route_wished(name, wish, arena), 25, arena, &w);
	sp_assert(ok && w.wish == wish && !w.report && w.kind == t->kind && w.port == t->port);
	sp_assert(same(w.user, t->user) && same(w.source, t->source) && same(w.host, t->host) && same(w.policy_domain, t->policy_domain));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	if (len > 4096)
		return 0;
	struct sp_arena arena = SP_ARENA_EMPTY;
	const char *name = sp_arena_dup(&arena, sp_str_make((const char *)data, len));
	struct route_target t;
	sp_assert(*route_label(name, &arena) || *name == '\0');
	if (route_parse(name, 25, &arena, &t)) {
		sp_assert(!t.report || (t.wish == STS_WISH_NONE && t.policy_domain == NULL));
		sp_assert(!t.user || (*t.user && t.kind == ROUTE_HOST));
		sp_assert(!t.source || *t.source);
		if (t.wish == STS_WISH_NONE && !t.report) {
			check_wished(name, &t, STS_WISH_REQUIRE_TLS, &arena);
			check_wished(name, &t, STS_WISH_TLS_OPTIONAL, &arena);
		}
	}
	sp_arena_clear(&arena);
	return 0;
}
