/* tests/unit/relay_fakes.h - a shard without a world: DNS, HTTPS, both clocks and the store are played here, in place of core/dns.c,
 * core/http.c, core/clock.c and queue/store.c. Timers do not wait: they move the clocks. Linked with core_timer_start wrapped. */
#ifndef RELAY_FAKES_H
#define RELAY_FAKES_H

#include "relay/shard.h"

struct world {
	struct relay relay;
	struct shard shard;
	/* A line a record: "example.com MX 10 mx.example.com", "x A@60 192.0.2.1" (TTL, 300 without), "_mta-sts.x TXT v=STSv1; id=1;", or a
	 * status in place of the data: "x MX SERVFAIL". A name with other types has no data; any other does not exist. A "+" behind the type: the record is
	 * secure; an answer is when all of it is. "x CNAME+ y" is followed. TLSA: "x TLSA+ 3 1 1 a", a digest of 32 letters. */
	const char *dns;
	bool dns_authenticated;                 /* all answers are secure */
	/* What https://mta-sts.<domain> answers: "example.com 200 enforce 604800 mx.example.com": status, mode, max_age and one pattern; no line: no
	 * connection. The host's address stands in `dns`, and is asked for like any other. */
	const char *https;
	bool store_fails;
	int64_t wall_ms;
	uint64_t mono_ms;
	uint64_t waited_ms;                     /* by timers, in all */
	bool hold_dns, hold_https;              /* nothing is answered while true */
	/* what was asked since world_forget() */
	struct sp_buf asked;                    /* "example.com MX\n", "https example.com\n" */
	char folder[64];
	struct core_db *db;
};

void world_open(struct world *w, const char *config);           /* YAML without hostname, which is relay.example.com */
void world_close(struct world *w);              /* policies go, the loop runs dry and is freed */
void world_restart(struct world *w);            /* the shard's memory is gone, its store is not */
void world_run(struct world *w);                /* until nothing moves any more */
void world_pass(struct world *w, int64_t s);    /* time goes by */
void world_forget(struct world *w);             /* what was asked */
unsigned world_count(const struct world *w, const char *asked);         /* how often that line was asked */

#endif
