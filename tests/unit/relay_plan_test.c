/* tests/unit/relay_plan_test.c - relay/plan.c and relay/policy.c on a loop whose world is played (relay_fakes.h): where mail may go, and which
 * policy rules, from what DNS, the policy host and the store say. Every test ends with the loop run dry. */
#include "relay/dnssec.h"
#include "relay/plan.h"
#include "relay/policy.h"
#include "relay_fakes.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define HOUR 3600
#define DAY 86400

/* ---- plans ---- */

struct made {
	struct plan *plan;
	unsigned calls;
};

static void on_plan(void *owner, struct plan *p)
{
	struct made *m = owner;
	m->plan = p;
	m->calls++;
}

static unsigned count_asked(const struct world *w, const char *type)
{
	struct sp_str rest = sp_buf_str(&w->asked), line;
	unsigned count = 0;
	while (sp_take_line(&rest, &line))
		count += sp_str_ends(line, sp_str_of(type));
	return count;
}

static struct plan *make(struct world *w, const char *destination, bool fresh, bool patient)
{
	struct made m = { 0 };
	struct plan_making *making = plan_make(&w->shard, destination, fresh, patient, on_plan, &m);
	assert_non_null(making);
	assert_int_equal(m.calls, 0);                   /* never before it returns */
	world_run(w);
	assert_int_equal(m.calls, 1);
	return m.plan;
}

static void describe_fail(const struct sp_fail *f, struct sp_buf *out)
{
	if (sp_failed(f))
		sp_buf_printf(out, "!%s%s", f->esc, f->permanent ? "P" : "");
}

/* "mx1/10=11.0.0.1:25,[2a00::1]:25 mx2/20!4.4.3; !5.1.2P": hosts, preferences, addresses, failures (P: permanent), then the plan's. */
static void describe_hosts(const struct plan *p, struct sp_buf *out)
{
	char text[SP_ADDR_TEXT];
	for (size_t i = 0; i < p->host_count; i++) {
		const struct plan_host *h = &p->hosts[i];
		sp_buf_printf(out, "%s%s/%u", i ? " " : "", h->label, h->preference);
		for (size_t j = 0; j < h->addr_count; j++)
			sp_buf_printf(out, "%c%s", j ? ',' : '=', sp_addr_str(&h->addrs[j], text));
		describe_fail(&h->fail, out);
		assert_int_equal(h->addr_count == 0, sp_failed(&h->fail));
	}
	if (sp_failed(&p->fail)) {
		sp_buf_adds(out, p->host_count ? "; " : "");
		describe_fail(&p->fail, out);
	}
}

#define MX1 "d.example MX 10 mx1.example\nmx1.example A 11.0.0.1\n"
#define NO_STS "sts: {enabled: no}\n"
#define LOCAL "delivery: {allow_private: [127.0.0.0/8, 10.0.0.0/8, \"::1/128\"]}\n" NO_STS

static const struct { const char *label, *config, *destination, *dns, *want; } plans[] = {
	{ "one MX", NO_STS, "d.example", MX1, "mx1.example/10=11.0.0.1:25" },
	{ "both families", NO_STS, "d.example", MX1 "mx1.example AAAA 2a00::1\n", "mx1.example/10=11.0.0.1:25,[2a00::1]:25" },
	{ "IPv6 alone", NO_STS, "d.example", "d.example MX 10 mx6.example\nmx6.example AAAA 2a00::1\n", "mx6.example/10=[2a00::1]:25" },
	{ "by preference, whatever the order of the answer", NO_STS, "d.example",
	  "d.example MX 30 c.example\nd.example MX 10 a.example\nd.example MX 20 b.example\na.example A 11.0.0.1\nb.example A 11.0.0.2\nc.example A 11.0.0.3\n",
	  "a.example/10=11.0.0.1:25 b.example/20=11.0.0.2:25 c.example/30=11.0.0.3:25" },
	{ "the least and the greatest preference", NO_STS, "d.example",
	  "d.example MX 65535 b.example\nd.example MX 0 a.example\na.example A 11.0.0.1\nb.example A 11.0.0.2\n", "a.example/0=11.0.0.1:25 b.example/65535=11.0.0.2:25" },
	{ "another port", "delivery: {port: 2526}\n" NO_STS, "d.example", MX1, "mx1.example/10=11.0.0.1:2526" },
	{ "implicit MX", NO_STS, "d.example", "d.example A 11.0.0.1\n", "d.example/0=11.0.0.1:25" },
	{ "implicit MX by IPv6", NO_STS, "d.example", "d.example AAAA 2a00::1\n", "d.example/0=[2a00::1]:25" },
	{ "implicit MX without an address", NO_STS, "d.example", "d.example TXT x\n", "d.example/0!5.4.4P" },
	{ "no implicit MX where there is one that cannot be reached", NO_STS, "d.example", "d.example MX 10 gone.example\nd.example A 11.0.0.1\n", "gone.example/10!5.4.4P" },
	{ "null MX", NO_STS, "d.example", "d.example MX 0 .\nd.example A 11.0.0.1\n", "!5.1.10P" },
	{ "null MX of another preference", NO_STS, "d.example", "d.example MX 10 .\n", "!5.1.10P" },
	{ "we are the only MX", NO_STS, "d.example", "d.example MX 10 relay.example.com\nrelay.example.com A 11.0.0.9\n", "!5.4.6P" },
	{ "we are the best MX", NO_STS, "d.example", MX1 "d.example MX 5 relay.example.com\n", "!5.4.6P" },
	{ "we are a best MX beside another", NO_STS, "d.example", MX1 "d.example MX 10 relay.example.com\n", "!5.4.6P" },
	{ "we are a later MX: only better ones are left", NO_STS, "d.example",
	  MX1 "d.example MX 20 relay.example.com\nd.example MX 20 other.example\nd.example MX 30 worse.example\n", "mx1.example/10=11.0.0.1:25" },
	{ "we are the domain, without an MX", NO_STS, "relay.example.com", "relay.example.com A 11.0.0.9\n", "!5.4.6P" },
	{ "we are the domain, with an MX", NO_STS, "relay.example.com", "relay.example.com MX 1 mx1.example\nmx1.example A 11.0.0.1\n", "mx1.example/1=11.0.0.1:25" },
	{ "no such domain", NO_STS, "d.example", "", "!5.1.2P" },
	{ "MX SERVFAIL", NO_STS, "d.example", "d.example MX SERVFAIL\nd.example A 11.0.0.1\n", "!4.4.3" },
	{ "MX timeout", NO_STS, "d.example", "d.example MX TIMEOUT\n", "!4.4.3" },
	{ "MX refused", NO_STS, "d.example", "d.example MX REFUSED\n", "!4.4.3" },
	{ "MX malformed", NO_STS, "d.example", "d.example MX MALFORMED\n", "!4.4.3" },
	{ "CNAMEs in a circle", NO_STS, "d.example", "d.example MX CHAIN\n", "!5.4.4P" },
	{ "an address by SERVFAIL", NO_STS, "d.example", "d.example MX 10 mx1.example\nmx1.example A SERVFAIL\nmx1.example AAAA SERVFAIL\n", "mx1.example/10!4.4.3" },
	{ "one family by SERVFAIL, the other none: it may pass", NO_STS, "d.example", "d.example MX 10 mx1.example\nmx1.example A SERVFAIL\n", "mx1.example/10!4.4.3" },
	{ "the other way round", NO_STS, "d.example", "d.example MX 10 mx1.example\nmx1.example AAAA TIMEOUT\n", "mx1.example/10!4.4.3" },
	{ "one family by SERVFAIL, the other there", NO_STS, "d.example", MX1 "mx1.example AAAA SERVFAIL\n", "mx1.example/10=11.0.0.1:25" },
	{ "one host gone, one there", NO_STS, "d.example", MX1 "d.example MX 5 gone.example\n", "gone.example/5!5.4.4P mx1.example/10=11.0.0.1:25" },
	{ "five hosts of seven, the best", NO_STS, "d.example",
	  "d.example MX 7 g.example\nd.example MX 6 f.example\nd.example MX 5 e.example\nd.example MX 4 d4.example\nd.example MX 3 c.example\nd.example MX 2 b.example\n"
	  "d.example MX 1 a.example\na.example A 11.0.0.1\nb.example A 11.0.0.2\nc.example A 11.0.0.3\nd4.example A 11.0.0.4\ne.example A 11.0.0.5\n",
	  "a.example/1=11.0.0.1:25 b.example/2=11.0.0.2:25 c.example/3=11.0.0.3:25 d4.example/4=11.0.0.4:25 e.example/5=11.0.0.5:25" },
	{ "two addresses of each family", NO_STS, "d.example", MX1 "mx1.example A 11.0.0.2\nmx1.example AAAA 2a00::1\nmx1.example AAAA 2a00::2\n",
	  "mx1.example/10=11.0.0.1:25,11.0.0.2:25,[2a00::1]:25,[2a00::2]:25" },
	/* what is not public */
	{ "a private MX", NO_STS, "d.example", "d.example MX 10 mx1.example\nmx1.example A 10.0.0.1\n", "mx1.example/10!4.4.4" },
	{ "a loopback MX", NO_STS, "d.example", "d.example MX 10 mx1.example\nmx1.example A 127.0.0.1\nmx1.example AAAA ::1\n", "mx1.example/10!4.4.4" },
	{ "a mapped private MX", NO_STS, "d.example", "d.example MX 10 mx1.example\nmx1.example AAAA ::ffff:10.0.0.1\n", "mx1.example/10!4.4.4" },
	{ "NAT64 to a private one", NO_STS, "d.example", "d.example MX 10 mx1.example\nmx1.example AAAA 64:ff9b::a00:1\n", "mx1.example/10!4.4.4" },
	{ "an unspecified MX", NO_STS, "d.example", "d.example MX 10 mx1.example\nmx1.example A 0.0.0.0\n", "mx1.example/10!4.4.4" },
	{ "one private address, one public", NO_STS, "d.example", MX1 "mx1.example A 10.0.0.1\n", "mx1.example/10=11.0.0.1:25" },
	{ "one private family, one public", NO_STS, "d.example", "d.example MX 10 mx1.example\nmx1.example A 10.0.0.1\nmx1.example AAAA 2a00::1\n", "mx1.example/10=[2a00::1]:25" },
	{ "the public family first", NO_STS, "d.example", MX1 "mx1.example AAAA ::1\n", "mx1.example/10=11.0.0.1:25" },
	{ "a private network that is allowed", LOCAL, "d.example", "d.example MX 10 mx1.example\nmx1.example A 10.0.0.1\nmx1.example AAAA ::1\n",
	  "mx1.example/10=10.0.0.1:25,[::1]:25" },
	{ "a private network beside the one that is allowed", LOCAL, "d.example", "d.example MX 10 mx1.example\nmx1.example A 192.168.0.1\n", "mx1.example/10!4.4.4" },
	{ "an implicit MX that is private", NO_STS, "d.example", "d.example A 127.0.0.1\n", "d.example/0!4.4.4" },
	/* no MX step */
	{ "an IPv4 literal", NO_STS, "[11.0.0.1]", "", "[11.0.0.1]/0=11.0.0.1:25" },
	{ "an IPv6 literal", NO_STS, "[IPv6:2a00::1]", "", "[IPv6:2a00::1]/0=[2a00::1]:25" },
	{ "a private literal, which nobody mends", NO_STS, "[10.0.0.1]", "", "[10.0.0.1]/0!5.4.4P" },
	{ "a private literal that is allowed", LOCAL, "[10.0.0.1]", "", "[10.0.0.1]/0=10.0.0.1:25" },
	{ "a next hop", NO_STS, "mx1.example:2525", MX1, "mx1.example/0=11.0.0.1:2525" },
	{ "a next hop has no MX", NO_STS, "d.example:25", MX1 "d.example A 11.0.0.7\n", "d.example/0=11.0.0.7:25" },
	{ "a next hop may be anywhere", NO_STS, "mx1.example:25", "mx1.example A 10.0.0.1\nmx1.example AAAA ::1\n", "mx1.example/0=10.0.0.1:25,[::1]:25" },
	{ "a next hop by address", NO_STS, "[10.0.0.1]:26", "", "[10.0.0.1]/0=10.0.0.1:26" },
	{ "a next hop by IPv6 address", NO_STS, "[IPv6:fe80::1]:26", "", "[IPv6:fe80::1]/0=[fe80::1]:26" },
	{ "a next hop that does not exist", NO_STS, "gone.example:25", "", "gone.example/0!5.4.4P" },
	{ "a next hop by SERVFAIL", NO_STS, "mx1.example:25", "mx1.example A SERVFAIL\n", "mx1.example/0!4.4.3" },
	{ "a damaged destination", NO_STS, "a..b", "", "!5.1.2P" },
	{ "an empty destination", NO_STS, "", "", "!5.1.2P" },
};

static void test_plans(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_COUNT(plans); i++) {
		struct world w;
		struct sp_buf got;
		sp_buf_init(&got, 4096);
		world_open(&w, plans[i].config);
		w.dns = plans[i].dns;
		struct plan *p = make(&w, plans[i].destination, false, false);
		describe_hosts(p, &got);
		print_message("%s:\n  want %s\n  got  %s\n", plans[i].label, plans[i].want, sp_buf_cstr(&got));
		assert_string_equal(sp_buf_cstr(&got), plans[i].want);
		assert_false(p->sts_asked);
		if (sp_failed(&p->fail))
			print_message("  (%s)\n", p->fail.text);
		plan_unref(p);
		sp_buf_clear(&got);
		world_close(&w);
	}
}

/* RFC 5321 5.1: those of one preference in random order; and which five of many, and which two addresses of many, is drawn anew. */
static void test_equal_hosts_take_turns(void **state)
{
	(void)state;
	struct world w;
	world_open(&w, NO_STS);
	w.dns = "d.example MX 10 a.example\nd.example MX 10 b.example\nd.example MX 10 c.example\nd.example MX 10 d4.example\nd.example MX 10 e.example\n"
	        "d.example MX 10 f.example\nd.example MX 5 z.example\nz.example A 11.0.1.1\nz.example A 11.0.1.2\nz.example A 11.0.1.3\nz.example A 11.0.1.4\n"
	        "z.example A 11.0.1.5\n";
	unsigned second[128] = { 0 }, addresses[8] = { 0 };
	for (int i = 0; i < 300; i++) {
		struct plan *p = make(&w, "d.example", false, false);
		assert_int_equal(p->host_count, PLAN_HOSTS_MAX);
		assert_string_equal(p->hosts[0].name, "z.example");
		second[(unsigned char)p->hosts[1].name[0]]++;
		assert_int_equal(p->hosts[0].addr_count, PLAN_ADDRS_MAX);
		assert_false(sp_addr_eq_ip(&p->hosts[0].addrs[0], &p->hosts[0].addrs[1]));
		for (size_t j = 0; j < 2; j++)
			addresses[ntohl(p->hosts[0].addrs[j].in.sin_addr.s_addr) & 7]++;
		for (size_t j = 0; j < p->host_count; j++)
			for (size_t k = 0; k < j; k++)
				assert_string_not_equal(p->hosts[j].name, p->hosts[k].name);
		plan_unref(p);
	}
	for (unsigned char c = 'a'; c <= 'f'; c++) {
		print_message("%c second: %u of 300\n", c, second[c]);
		assert_in_range(second[c], 20, 90);
	}
	for (int i = 1; i <= 5; i++) {
		print_message("address %d: %u of 600\n", i, addresses[i]);
		assert_in_range(addresses[i], 80, 160);
	}
	world_close(&w);
}

static const struct { const char *label, *dns; uint32_t want_s; bool sts; } lives[] = {
	{ "the least of MX and address", "d.example MX@500 10 mx1.example\nmx1.example A@100 11.0.0.1\n", 100, false },
	{ "of every host's", "d.example MX@500 10 a.example\nd.example MX@500 20 b.example\na.example A@400 11.0.0.1\nb.example A@50 11.0.0.2\n", 50, false },
	{ "an hour at most", "d.example MX@86400 10 mx1.example\nmx1.example A@86400 11.0.0.1\n", 3600, false },
	{ "a second at least", "d.example MX@0 10 mx1.example\nmx1.example A@0 11.0.0.1\n", 1, false },
	{ "an implicit MX as long as there is none", "d.example A@3000 11.0.0.1\nd.example MX@200 NODATA\n", 200, false },
	{ "no longer than the policy's record", MX1 "_mta-sts.d.example TXT@20 v=STSv1; id=1;\n", 20, true },
	{ "no longer than there is no record", MX1 "_mta-sts.d.example TXT@20 NODATA\n", 20, true },
	{ "a failure for a short time", "d.example MX SERVFAIL\n", 5, false },
	{ "no such domain for a short time", "", 5, false },
};

static void test_how_long_a_plan_is_good(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_COUNT(lives); i++) {
		struct world w;
		world_open(&w, lives[i].sts ? "" : NO_STS);
		w.dns = lives[i].dns;
		struct plan *p = make(&w, "d.example", false, false);
		uint64_t got_s = (p->good_until_ms - w.mono_ms) / 1000;
		print_message("%s: want %u, got %" PRIu64 "\n", lives[i].label, lives[i].want_s, got_s);
		assert_true(got_s == lives[i].want_s);
		plan_unref(p);
		world_close(&w);
	}
}

/* The world's clock stands at 08:00 of the day on which the rule ends. */
static void test_no_plan_outlives_the_rule_it_was_made_by(void **state)
{
	(void)state;
	static const struct { const char *label; int64_t left_ms, making_s; uint64_t want_ms; } rows[] = {
		{ "it ends soon", 90500, 0, 90500 },
		{ "it ends in less than the least time of a plan", 500, 0, 500 },
		{ "it ends while DNS is slow", 20000, 15, 5000 },
		{ "it ended while DNS was slow", 20000, 30, 0 },
	};
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		struct world w;
		struct made m = { 0 };
		world_open(&w, "domains: [{domain: d.example, tls: may, override: yes, until: 2027-01-15, reason: test}]\n" NO_STS);
		w.dns = MX1;
		w.wall_ms = INT64_C(1800057600000) - rows[i].left_ms;
		w.hold_dns = true;
		assert_non_null(plan_make(&w.shard, "d.example", false, false, on_plan, &m));
		world_run(&w);
		world_pass(&w, rows[i].making_s);
		w.hold_dns = false;
		world_run(&w);
		uint64_t got_ms = m.plan->good_until_ms > w.mono_ms ? m.plan->good_until_ms - w.mono_ms : 0;
		print_message("%s: want %" PRIu64 ", got %" PRIu64 "\n", rows[i].label, rows[i].want_ms, got_ms);
		assert_true(got_ms == rows[i].want_ms);
		plan_unref(m.plan);
		world_close(&w);
	}
}

static void test_ad_counts_only_from_a_resolver_that_is_trusted(void **state)
{
	(void)state;
	for (int i = 0; i < 4; i++) {
		struct world w;
		world_open(&w, NO_STS);
		w.dns = MX1;
		w.dns_authenticated = i & 1;
		w.relay.trust_ad = i & 2;
		struct plan *p = make(&w, "d.example", false, false);
		print_message("AD=%d trusted=%d: want %d, got %d\n", i & 1, i >> 1, i == 3, p->mx_authenticated);
		assert_int_equal(p->mx_authenticated, i == 3);
		plan_unref(p);
		world_close(&w);
	}
}

/* ---- TLSA ---- */

/* "mx1.example=dane@mx1.example[mx1.example d.example]": what is demanded, the TLSA base domain, the reference names; "!dnssec-invalid": barred. */
static void describe_dane(const struct plan *p, struct sp_buf *out)
{
	for (size_t i = 0; i < p->host_count; i++) {
		const struct plan_host *h = &p->hosts[i];
		sp_buf_printf(out, "%s%s=%s", i ? " " : "", h->label, sts_requirement_str(h->demand.require));
		if (sp_failed(&h->demand.barred))
			sp_buf_printf(out, "!%s", sp_result_str(h->demand.barred.result));
		if (h->tlsa == NULL || h->tlsa->state != STS_TLSA_USABLE)
			continue;
		sp_buf_printf(out, "@%s[", h->tlsa->base);
		for (size_t j = 0; j < h->name_count; j++)
			sp_buf_printf(out, "%s%s", j ? " " : "", h->names[j]);
		sp_buf_addc(out, ']');
	}
}

#define MX_SECURE "d.example MX+ 10 mx1.example\n"
#define MX_INSECURE "d.example MX 10 mx1.example\n"
#define A_SECURE "mx1.example A+ 11.0.0.1\n"
#define A_INSECURE "mx1.example A 11.0.0.1\n"
#define TLSA_AT(name) "_25._tcp." name " TLSA+ 3 1 1 a\n"
#define DANE(word) "delivery: {dane: " word "}\n" NO_STS

static const struct { const char *label, *config, *destination, *dns, *want; unsigned asked; } danes[] = {   /* asked: TLSA look-ups, and CNAMEs */
	{ "no records", NO_STS, "d.example", MX_SECURE A_SECURE, "mx1.example=none", 1 },
	{ "records", NO_STS, "d.example", MX_SECURE A_SECURE TLSA_AT("mx1.example"), "mx1.example=dane@mx1.example[mx1.example d.example]", 1 },
	{ "insecure MX, secure host: DANE for the host", NO_STS, "d.example", MX_INSECURE A_SECURE TLSA_AT("mx1.example"), "mx1.example=dane@mx1.example[mx1.example]", 1 },
	{ "insecure host: never asked", NO_STS, "d.example", MX_SECURE A_INSECURE "_25._tcp.mx1.example TLSA SERVFAIL\n", "mx1.example=none", 0 },
	{ "SERVFAIL under a secure host bars it", NO_STS, "d.example", MX_SECURE A_SECURE "_25._tcp.mx1.example TLSA SERVFAIL\n", "mx1.example=none!dnssec-invalid", 1 },
	{ "timeout bars it too", NO_STS, "d.example", MX_SECURE A_SECURE "_25._tcp.mx1.example TLSA TIMEOUT\n", "mx1.example=none!dnssec-invalid", 1 },
	{ "one host barred, the other not", NO_STS, "d.example",
	  MX_SECURE A_SECURE "d.example MX+ 20 mx2.example\nmx2.example A+ 11.0.0.2\n_25._tcp.mx1.example TLSA SERVFAIL\n" TLSA_AT("mx2.example"),
	  "mx1.example=none!dnssec-invalid mx2.example=dane@mx2.example[mx2.example d.example]", 2 },
	{ "records of an insecure answer are none", NO_STS, "d.example", MX_SECURE A_SECURE "_25._tcp.mx1.example TLSA 3 1 1 a\n", "mx1.example=none", 1 },
	{ "unusable records", NO_STS, "d.example", MX_SECURE A_SECURE "_25._tcp.mx1.example TLSA+ 1 1 1 a\n", "mx1.example=encrypt", 1 },
	{ "implicit MX", NO_STS, "d.example", "d.example A+ 11.0.0.1\n" TLSA_AT("d.example"), "d.example=dane@d.example[d.example]", 1 },
	{ "IPv6 secure, IPv4 fails: no downgrade", NO_STS, "d.example", MX_SECURE "mx1.example A SERVFAIL\nmx1.example AAAA+ 2a00::1\n" TLSA_AT("mx1.example"),
	  "mx1.example=dane@mx1.example[mx1.example d.example]", 1 },
	{ "no address, no question", NO_STS, "d.example", MX_SECURE "mx1.example A SERVFAIL\n" TLSA_AT("mx1.example"), "mx1.example=none", 0 },
	/* RFC 7672 2.2.2 */
	{ "secure CNAME: at its end", NO_STS, "d.example", MX_SECURE "mx1.example CNAME+ host.example\nhost.example A+ 11.0.0.1\n" TLSA_AT("host.example"),
	  "mx1.example=dane@host.example[host.example mx1.example d.example]", 1 },
	{ "secure CNAME: at its end before the host", NO_STS, "d.example",
	  MX_SECURE "mx1.example CNAME+ host.example\nhost.example A+ 11.0.0.1\n" TLSA_AT("host.example") TLSA_AT("mx1.example"),
	  "mx1.example=dane@host.example[host.example mx1.example d.example]", 1 },
	{ "secure CNAME, nothing at its end: at the host", NO_STS, "d.example",
	  MX_SECURE "mx1.example CNAME+ host.example\nhost.example A+ 11.0.0.1\n" TLSA_AT("mx1.example"), "mx1.example=dane@mx1.example[mx1.example d.example]", 2 },
	{ "secure CNAME to an insecure zone: at the host", NO_STS, "d.example",
	  MX_SECURE "mx1.example CNAME+ host.test\nhost.test A 11.0.0.1\n_25._tcp.host.test TLSA SERVFAIL\n" TLSA_AT("mx1.example"),
	  "mx1.example=dane@mx1.example[mx1.example d.example]", 2 },
	{ "insecure CNAME to a secure zone: nowhere", NO_STS, "d.example",
	  MX_SECURE "mx1.example CNAME host.example\nhost.example A+ 11.0.0.1\n" TLSA_AT("mx1.example") TLSA_AT("host.example"), "mx1.example=none", 1 },
	{ "SERVFAIL at the end of a CNAME bars it", NO_STS, "d.example",
	  MX_SECURE "mx1.example CNAME+ host.example\nhost.example A+ 11.0.0.1\n_25._tcp.host.example TLSA SERVFAIL\n" TLSA_AT("mx1.example"),
	  "mx1.example=none!dnssec-invalid", 1 },
	{ "the domain's own CNAME, secure", NO_STS, "d.example", "d.example CNAME+ e.example\ne.example MX+ 10 mx1.example\n" A_SECURE TLSA_AT("mx1.example"),
	  "mx1.example=dane@mx1.example[mx1.example d.example e.example]", 1 },
	/* a configured next hop is named securely */
	{ "a next hop", NO_STS, "mx1.example:2525", A_SECURE "_2525._tcp.mx1.example TLSA+ 3 1 1 a\n", "mx1.example=dane@mx1.example[mx1.example]", 1 },
	{ "an address", NO_STS, "[11.0.0.1]:25", "", "[11.0.0.1]=none", 0 },
	{ "reports go out whatever there is", NO_STS, "d.example/report", MX_SECURE A_SECURE TLSA_AT("mx1.example"), "mx1.example=none", 0 },
	/* delivery.dane */
	{ "off", DANE("off"), "d.example", MX_SECURE A_SECURE TLSA_AT("mx1.example"), "mx1.example=none", 0 },
	{ "required, and there", DANE("required"), "d.example", MX_SECURE A_SECURE TLSA_AT("mx1.example"), "mx1.example=dane@mx1.example[mx1.example d.example]", 1 },
	{ "required, and not there", DANE("required"), "d.example", MX_SECURE A_SECURE, "mx1.example=none!dane-required", 1 },
	{ "required, and insecure", DANE("required"), "d.example", MX_SECURE A_INSECURE, "mx1.example=none!dane-required", 0 },
};

static void test_dane(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_COUNT(danes); i++) {
		struct world w;
		struct sp_buf got;
		sp_buf_init(&got, 4096);
		world_open(&w, danes[i].config);
		w.relay.trust_ad = true;
		w.dns = danes[i].dns;
		struct plan *p = make(&w, danes[i].destination, false, false);
		describe_dane(p, &got);
		unsigned asked = count_asked(&w, " TLSA") + count_asked(&w, " CNAME");
		print_message("%s:\n  want %s (%u)\n  got  %s (%u)\n", danes[i].label, danes[i].want, danes[i].asked, sp_buf_cstr(&got), asked);
		assert_string_equal(sp_buf_cstr(&got), danes[i].want);
		assert_int_equal(asked, danes[i].asked);
		plan_unref(p);
		sp_buf_clear(&got);
		world_close(&w);
	}
}

/* Whatever the records say: without a resolver that is believed there is no DANE, and mail that requires it waits, with the remedy. */
static void test_no_dane_without_a_resolver_that_is_believed(void **state)
{
	(void)state;
	static const struct { bool trusted; enum dnssec_state state; bool dane; } rows[] = {
		{ true, DNSSEC_UNKNOWN, true }, { true, DNSSEC_VALIDATING, true }, { true, DNSSEC_NOT_VALIDATING, false }, { false, DNSSEC_VALIDATING, false },
	};
	for (size_t i = 0; i < 2 * SP_COUNT(rows); i++) {
		bool required = i >= SP_COUNT(rows);
		struct world w;
		world_open(&w, required ? DANE("required") : NO_STS);
		w.relay.trust_ad = rows[i % SP_COUNT(rows)].trusted;
		atomic_store(&w.relay.dnssec, (int)rows[i % SP_COUNT(rows)].state);
		w.dns = MX_SECURE A_SECURE TLSA_AT("mx1.example");
		struct plan *p = make(&w, "d.example", false, false);
		const struct sts_demand *d = &p->hosts[0].demand;
		bool dane = rows[i % SP_COUNT(rows)].dane;
		assert_int_equal(d->require == STS_REQUIRE_DANE, dane);
		assert_int_equal(sp_failed(&d->barred), required && !dane);
		if (required && !dane) {
			assert_int_equal(d->barred.result, SP_RESULT_DANE_REQUIRED);
			assert_string_equal(d->barred.reason, "resolver-not-validating");
			assert_non_null(strstr(d->barred.text, "conf/unbound/strictpost.conf"));
			assert_false(d->barred.permanent);
		}
		plan_unref(p);
		world_close(&w);
	}
}

/* Was: where nobody published a policy, they were said to whoever answered, with any certificate. */
static void test_credentials_are_said_to_a_proven_host(void **state)
{
	(void)state;
	static const struct { const char *label, *more, *destination; enum sts_requirement want; } rows[] = {
		{ "no account", "", "mx1.example:587", STS_REQUIRE_NONE },
		{ "an account", "", "mx1.example:587/as=app", STS_REQUIRE_PKIX },
		{ "for TLS-Required: No", "", "mx1.example:587/as=app/tls-optional", STS_REQUIRE_PKIX },
		{ "for a report", "", "mx1.example:587/as=app/report", STS_REQUIRE_PKIX },
		{ "the operator is content with less", "domains: [{domain: mx1.example, tls: encrypt}]\n", "mx1.example:587/as=app", STS_REQUIRE_ENCRYPT },
		{ "also for a report", "domains: [{domain: mx1.example, tls: encrypt}]\n", "mx1.example:587/as=app/report", STS_REQUIRE_ENCRYPT },
	};
	char path[] = "/tmp/plan-test-XXXXXX", config[512];
	int fd = mkstemp(path);
	assert_int_equal(write(fd, "secret\n", 7), 7);
	close(fd);
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		struct world w;
		snprintf(config, sizeof(config), NO_STS "routes: [{domain: a.example, via: 'mx1.example:587', user: app, password_file: %s}]\n%s", path, rows[i].more);
		world_open(&w, config);
		w.dns = "mx1.example A 11.0.0.1\n";
		struct plan *p = make(&w, rows[i].destination, false, false);
		print_message("%s: want %s, got %s\n", rows[i].label, sts_requirement_str(rows[i].want), sts_requirement_str(p->hosts[0].demand.require));
		assert_false(sp_failed(&p->fail));
		assert_int_equal(p->hosts[0].demand.require, rows[i].want);
		plan_unref(p);
		world_close(&w);
	}
	unlink(path);
}

/* A policy that tightens between two messages: what was proved under the weaker plan is not good enough. */
static void test_sessions_of_another_demand_end(void **state)
{
	(void)state;
	static const struct { const char *label, *now; bool agrees, same; } rows[] = {
		{ "nothing changed", MX_SECURE A_SECURE TLSA_AT("mx1.example"), true, true },
		{ "another address", MX_SECURE "mx1.example A+ 11.0.0.2\n" TLSA_AT("mx1.example"), true, true },
		{ "another record", MX_SECURE A_SECURE "_25._tcp.mx1.example TLSA+ 3 1 1 b\n", false, false },
		{ "one more record", MX_SECURE A_SECURE TLSA_AT("mx1.example") "_25._tcp.mx1.example TLSA+ 3 1 1 b\n", false, false },
		{ "no record any more", MX_SECURE A_SECURE, false, false },
		{ "records that cannot be used", MX_SECURE A_SECURE "_25._tcp.mx1.example TLSA+ 1 1 1 a\n", false, false },
		{ "another host", "d.example MX+ 10 mx2.example\nmx2.example A+ 11.0.0.2\n", false, true },
	};
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		struct world w;
		world_open(&w, NO_STS);
		w.relay.trust_ad = true;
		w.dns = MX_SECURE A_SECURE TLSA_AT("mx1.example");
		struct plan *then = make(&w, "d.example", false, false);
		w.dns = rows[i].now;
		struct plan *now = make(&w, "d.example", false, false);
		bool agrees = plan_host_agrees(now, then, &then->hosts[0]), same = plan_same_demands(then, now);
		print_message("%s: want %d %d, got %d %d\n", rows[i].label, rows[i].agrees, rows[i].same, agrees, same);
		assert_int_equal(agrees, rows[i].agrees);
		assert_int_equal(same, rows[i].same);
		plan_unref(then);
		plan_unref(now);
		world_close(&w);
	}
}

/* What fails to be looked up is asked for again with each plan: sessions to the other hosts go on all the same. */
static void test_a_host_that_stays_barred_ends_no_session(void **state)
{
	(void)state;
	static const char *const both = MX_SECURE A_SECURE "d.example MX+ 20 mx2.example\nmx2.example A+ 11.0.0.2\n_25._tcp.mx2.example TLSA SERVFAIL\n";
	static const struct { const char *label, *then, *now; bool same; } rows[] = {
		{ "barred as before", both, both, true },
		{ "barred now", MX_SECURE A_SECURE "d.example MX+ 20 mx2.example\nmx2.example A+ 11.0.0.2\n", both, false },
		{ "barred no longer", both, MX_SECURE A_SECURE "d.example MX+ 20 mx2.example\nmx2.example A+ 11.0.0.2\n", true },
	};
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		struct world w;
		world_open(&w, NO_STS);
		w.relay.trust_ad = true;
		w.dns = rows[i].then;
		struct plan *then = make(&w, "d.example", false, false);
		w.dns = rows[i].now;
		struct plan *now = make(&w, "d.example", false, false);
		print_message("%s\n", rows[i].label);
		assert_int_equal(plan_same_demands(then, now), rows[i].same);
		assert_true(plan_host_agrees(now, then, &then->hosts[0]));
		plan_unref(then);
		plan_unref(now);
		world_close(&w);
	}
}

/* ---- plans under a policy ---- */

#define STS "_mta-sts.d.example TXT v=STSv1; id=1;\n"
#define HOSTS "d.example MX 10 mx1.example\nd.example MX 20 mx2.example\nmx1.example A 11.0.0.1\nmx2.example A 11.0.0.2\n"

static const struct { const char *label, *config, *destination, *dns, *https, *want; } policies[] = {
	{ "no record", "", "d.example", HOSTS, "d.example 200 enforce 604800 mx1.example", "d.example none: mx1.example=none mx2.example=none" },
	{ "enforce", "", "d.example", HOSTS STS, "d.example 200 enforce 604800 mx1.example", "d.example fetched: mx1.example=pkix mx2.example=barred" },
	{ "enforce, a pattern for both", "", "d.example", HOSTS STS, "d.example 200 enforce 604800 *.example", "d.example fetched: mx1.example=pkix mx2.example=pkix" },
	{ "testing", "", "d.example", HOSTS STS, "d.example 200 testing 604800 mx1.example", "d.example fetched: mx1.example=testing mx2.example=testing" },
	{ "none", "", "d.example", HOSTS STS, "d.example 200 none 604800", "d.example fetched: mx1.example=none mx2.example=none" },
	{ "a record, no host: opportunistic", "", "d.example", HOSTS STS, "", "d.example none sts-policy-fetch-error: mx1.example=none mx2.example=none" },
	{ "404", "", "d.example", HOSTS STS, "d.example 404 enforce 604800 mx1.example", "d.example none sts-policy-fetch-error: mx1.example=none mx2.example=none" },
	{ "an invalid policy", "", "d.example", HOSTS STS, "d.example 200 force 604800 mx1.example", "d.example none sts-policy-invalid: mx1.example=none mx2.example=none" },
	{ "two records are none", "", "d.example", HOSTS STS STS, "d.example 200 enforce 604800 mx1.example", "d.example none: mx1.example=none mx2.example=none" },
	{ "switched off", NO_STS, "d.example", HOSTS STS, "d.example 200 enforce 604800 mx1.example", "- none: mx1.example=none mx2.example=none" },
	{ "a next hop has its own policy", "", "mx1.example:25", HOSTS "_mta-sts.mx1.example TXT v=STSv1; id=1;\n", "mx1.example 200 enforce 604800 mx1.example",
	  "mx1.example fetched: mx1.example=pkix" },
	{ "a next hop is not its domain's", "", "mx1.example:25", HOSTS STS, "d.example 200 enforce 604800 mx1.example", "mx1.example none: mx1.example=none" },
	{ "a literal has none", "", "[11.0.0.1]", HOSTS STS, "d.example 200 enforce 604800 mx1.example", "- none: [11.0.0.1]=none" },
	{ "a next hop by address has none", "", "[11.0.0.1]:25", "", "", "- none: [11.0.0.1]=none" },
	{ "a policy host on a private address", "", "d.example", HOSTS STS "mta-sts.d.example A 10.0.0.1\n", "d.example 200 enforce 604800 mx1.example",
	  "d.example none sts-policy-fetch-error: mx1.example=none mx2.example=none" },
	{ "one that is allowed", "delivery: {allow_private: [10.0.0.0/8]}\n", "d.example", HOSTS STS "mta-sts.d.example A 10.0.0.1\n",
	  "d.example 200 enforce 604800 mx1.example", "d.example fetched: mx1.example=pkix mx2.example=barred" },
};

static void describe_policy(const struct plan *p, struct sp_buf *out)
{
	sp_buf_printf(out, "%s %s", p->policy_domain && p->sts_asked ? p->policy_domain : "-", sts_source_str(p->finding.source));
	if (sp_failed(&p->finding.fetch_fail))
		sp_buf_printf(out, " %s", sp_result_str(p->finding.fetch_fail.result));
	for (size_t i = 0; i < p->host_count; i++)
		sp_buf_printf(out, "%s %s=%s", i ? "" : ":", p->hosts[i].label,
		              sp_failed(&p->hosts[i].demand.barred) ? "barred" : sts_requirement_str(p->hosts[i].demand.require));
}

static void test_plans_under_a_policy(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_COUNT(policies); i++) {
		struct world w;
		struct sp_buf got;
		sp_buf_init(&got, 4096);
		world_open(&w, policies[i].config);
		w.dns = policies[i].dns;
		w.https = policies[i].https;
		struct plan *p = make(&w, policies[i].destination, false, false);
		describe_policy(p, &got);
		print_message("%s:\n  want %s\n  got  %s\n", policies[i].label, policies[i].want, sp_buf_cstr(&got));
		assert_string_equal(sp_buf_cstr(&got), policies[i].want);
		assert_false(sp_failed(&p->fail));
		plan_unref(p);
		sp_buf_clear(&got);
		world_close(&w);
	}
}

#define DEFER "sts: {first_contact: defer}\n"

/* sts.first_contact: defer holds the mail only as long as the caller is patient, and says why. */
static void test_first_contact(void **state)
{
	(void)state;
	static const struct { const char *config, *destination; bool patient, want; } rows[] = {
		{ "", "d.example", true, false }, { "", "d.example", false, false },
		{ DEFER, "d.example", true, true }, { DEFER, "d.example", false, false }, { DEFER, "d.example/requiretls", true, true },
		{ DEFER, "d.example/tls-optional", true, false },       /* TLS-Required: No: no policy would keep it */
	};
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		struct world w;
		world_open(&w, rows[i].config);
		w.dns = MX1 "_mta-sts.d.example TXT SERVFAIL\n";
		struct plan *p = make(&w, rows[i].destination, false, rows[i].patient);
		print_message("%s '%.30s' patient=%d: want %d, got %d %s\n", rows[i].destination, rows[i].config, rows[i].patient, rows[i].want, sp_failed(&p->fail), p->fail.text);
		assert_int_equal(sp_failed(&p->fail), rows[i].want);
		assert_false(p->fail.permanent);
		plan_unref(p);
		world_close(&w);
	}
}

/* A plan can be called off at any turn: nothing is told, nothing is left. */
static void test_called_off_at_any_turn(void **state)
{
	(void)state;
	static const char *const destinations[] = { "d.example", "mx1.example:25", "[11.0.0.1]", "a..b" };
	for (size_t i = 0; i < SP_COUNT(destinations); i++) {
		for (int turns = 0; turns < 12; turns++) {
			struct world w;
			struct made m = { 0 };
			world_open(&w, "");
			w.dns = HOSTS STS;
			w.https = "d.example 200 enforce 604800 mx1.example";
			struct plan_making *making = plan_make(&w.shard, destinations[i], false, false, on_plan, &m);
			for (int t = 0; t < turns && m.calls == 0; t++)
				core_loop_turn(w.shard.loop);
			if (m.calls == 0) {
				plan_cancel(making);
				world_run(&w);
				assert_int_equal(m.calls, 0);
			}
			plan_unref(m.plan);
			world_close(&w);
		}
	}
	plan_cancel(NULL);
	plan_unref(NULL);
}

/* ---- finding a policy ---- */

struct asker {
	struct world *w;
	struct policy_wait *wait;
	unsigned calls;
	enum sts_source source;
	enum sts_mode mode;
	bool has_policy, has_record;
	enum sp_result failure;
	enum sp_fail_kind defer;
	uint32_t ttl_s;
	struct asker *then;                     /* asks when this one is told */
	struct asker *cancels;                  /* is called off when this one is told */
};

static void ask(struct asker *a, bool fresh);

static void on_found(void *owner, const struct sts_finding *f, uint32_t ttl_s)
{
	struct asker *a = owner;
	a->wait = NULL;
	a->calls++;
	a->source = f->source;
	a->has_policy = f->policy != NULL;
	a->mode = f->policy ? sts_policy_mode(f->policy) : STS_MODE_NONE;
	a->has_record = f->has_record;
	a->failure = f->fetch_fail.result;
	a->defer = f->defer.kind;
	a->ttl_s = ttl_s;
	if (a->cancels) {
		policy_cancel(a->cancels->wait);
		a->cancels->wait = NULL;
	}
	if (a->then) {
		ask(a->then, false);
		assert_int_equal(a->then->calls, 0);    /* on a later turn */
	}
}

static void ask(struct asker *a, bool fresh)
{
	a->wait = policy_find(&a->w->shard, "d.example", fresh, on_found, a);
}

/* "enforce/fetched", "no-policy/none sts-policy-fetch-error": what an asker is told now. */
static void check_find(struct world *w, bool fresh, const char *label, const char *want)
{
	struct asker a = { .w = w };
	char got[200];
	ask(&a, fresh);
	assert_int_equal(a.calls, 0);
	world_run(w);
	assert_int_equal(a.calls, 1);
	snprintf(got, sizeof(got), "%s/%s%s%s%s%s", a.has_policy ? sts_mode_str(a.mode) : "no-policy", sts_source_str(a.source),
	         a.failure ? " " : "", a.failure ? sp_result_str(a.failure) : "", a.defer ? " wait: " : "", a.defer ? sp_fail_kind_str(a.defer) : "");
	print_message("%s: want %s, got %s\n", label, want, got);
	assert_string_equal(got, want);
}

static void check_asked(struct world *w, unsigned txt, unsigned https)
{
	unsigned got_txt = world_count(w, "_mta-sts.d.example TXT"), got_https = world_count(w, "https d.example");
	print_message("  want %u look-ups, %u fetches, got %u and %u\n", txt, https, got_txt, got_https);
	assert_int_equal(got_txt, txt);
	assert_int_equal(got_https, https);
	world_forget(w);
}

static void open_enforced(struct world *w)
{
	world_open(w, "");
	w->dns = STS;
	w->https = "d.example 200 enforce 604800 mx1.example";
}

static void test_one_look_up_for_all_who_ask(void **state)
{
	(void)state;
	struct world w;
	open_enforced(&w);
	struct asker a[5] = { { .w = &w }, { .w = &w }, { .w = &w }, { .w = &w }, { .w = &w } };
	w.hold_https = true;
	for (size_t i = 0; i < 3; i++)
		ask(&a[i], false);
	core_loop_turn(w.shard.loop);
	core_loop_turn(w.shard.loop);
	ask(&a[3], false);                              /* while it runs */
	policy_cancel(a[1].wait);
	policy_cancel(NULL);
	world_run(&w);
	ask(&a[4], false);                              /* while it fetches */
	w.hold_https = false;
	world_run(&w);
	for (size_t i = 0; i < SP_COUNT(a); i++)
		assert_int_equal(a[i].calls, i == 1 ? 0 : 1);
	assert_int_equal(a[4].source, STS_SOURCE_FRESH);
	check_asked(&w, 1, 1);
	world_close(&w);
}

/* What ran when mail was about to be given up was no fresh look: the asker gets one of its own. */
static void test_a_fresh_look_is_not_lost_in_a_run_that_is_not(void **state)
{
	(void)state;
	struct world w;
	open_enforced(&w);
	check_find(&w, false, "first", "enforce/fetched");
	world_pass(&w, 301);
	world_forget(&w);
	struct asker plain = { .w = &w }, fresh = { .w = &w };
	ask(&plain, false);
	ask(&fresh, true);
	world_run(&w);
	assert_int_equal(plain.calls, 1);
	assert_int_equal(plain.source, STS_SOURCE_CACHE);
	assert_int_equal(fresh.calls, 1);
	assert_int_equal(fresh.source, STS_SOURCE_FRESH);
	check_asked(&w, 2, 1);
	world_close(&w);
}

static void test_the_id_is_compared_when_its_ttl_is_over(void **state)
{
	(void)state;
	struct world w;
	open_enforced(&w);
	check_find(&w, false, "first", "enforce/fetched");
	check_asked(&w, 1, 1);
	world_pass(&w, 299);
	check_find(&w, false, "inside the TTL", "enforce/cache");
	check_asked(&w, 0, 0);
	world_pass(&w, 1);
	check_find(&w, false, "after it, the same id", "enforce/cache");
	check_asked(&w, 1, 0);
	world_pass(&w, 300);
	w.dns = "_mta-sts.d.example TXT@86400 v=STSv1; id=2;\n";
	w.https = "d.example 200 testing 604800 mx1.example";
	check_find(&w, false, "another id", "testing/fetched");
	check_asked(&w, 1, 1);
	world_pass(&w, HOUR - 1);
	check_find(&w, false, "a TTL of a day: not yet", "testing/cache");
	check_asked(&w, 0, 0);
	world_pass(&w, 1);
	check_find(&w, false, "an hour at most", "testing/cache");
	check_asked(&w, 1, 0);
	world_close(&w);
}

static void test_no_record_is_remembered_for_its_ttl(void **state)
{
	(void)state;
	struct world w;
	world_open(&w, "");
	w.dns = "_mta-sts.d.example TXT@60 NODATA\n";
	check_find(&w, false, "none", "no-policy/none");
	world_pass(&w, 59);
	check_find(&w, false, "still", "no-policy/none");
	check_asked(&w, 1, 0);
	world_pass(&w, 1);
	check_find(&w, false, "again", "no-policy/none");
	check_asked(&w, 1, 0);
	world_close(&w);
}

static void test_servfail_is_asked_once_more(void **state)
{
	(void)state;
	struct world w;
	open_enforced(&w);
	w.dns = "_mta-sts.d.example TXT SERVFAIL\n";
	check_find(&w, false, "with nothing cached", "no-policy/none");
	assert_int_equal(w.waited_ms, 1000);
	check_asked(&w, 2, 0);
	world_pass(&w, 29);
	check_find(&w, false, "not again at once", "no-policy/none");
	check_asked(&w, 0, 0);
	world_pass(&w, 1);
	w.dns = STS;
	check_find(&w, false, "it answers again", "enforce/fetched");
	check_asked(&w, 1, 1);
	world_pass(&w, 300);
	w.dns = "_mta-sts.d.example TXT TIMEOUT\n";
	check_find(&w, false, "with a cached policy: that rules, at once", "enforce/cache-unconfirmed");
	assert_int_equal(w.waited_ms, 0);
	check_asked(&w, 1, 0);
	world_close(&w);
}

static void test_the_short_retry_helps(void **state)
{
	(void)state;
	struct world w;
	open_enforced(&w);
	w.dns = "_mta-sts.d.example TXT SERVFAIL\n";
	struct asker a = { .w = &w };
	ask(&a, false);
	while (world_count(&w, "_mta-sts.d.example TXT") == 0 || w.waited_ms == 0)
		core_loop_turn(w.shard.loop);
	w.dns = STS;
	world_run(&w);
	assert_int_equal(a.calls, 1);
	assert_int_equal(a.source, STS_SOURCE_FRESH);
	check_asked(&w, 2, 1);
	world_close(&w);
}

static void test_fresh_fetches_though_the_id_is_the_same(void **state)
{
	(void)state;
	struct world w;
	open_enforced(&w);
	check_find(&w, false, "first", "enforce/fetched");
	check_asked(&w, 1, 1);
	world_pass(&w, 10);
	w.https = "d.example 200 none 604800";
	check_find(&w, true, "fresh", "none/fetched");
	check_asked(&w, 1, 1);
	world_pass(&w, 299);
	check_find(&w, true, "fresh again within 5 minutes", "none/cache");
	check_asked(&w, 1, 0);
	world_pass(&w, 1);
	check_find(&w, true, "and after them", "none/fetched");
	check_asked(&w, 1, 1);
	w.https = "";
	world_pass(&w, 300);
	check_find(&w, true, "a failed one keeps what there is", "none/cache-unconfirmed sts-policy-fetch-error");
	check_asked(&w, 1, 1);
	world_close(&w);
}

static void test_a_failed_fetch_is_not_repeated_at_once(void **state)
{
	(void)state;
	struct world w;
	open_enforced(&w);
	w.https = "";
	check_find(&w, false, "no host", "no-policy/none sts-policy-fetch-error");
	check_asked(&w, 1, 1);
	world_pass(&w, 299);
	check_find(&w, false, "inside the TTL", "no-policy/none sts-policy-fetch-error");
	check_asked(&w, 0, 0);
	world_pass(&w, 1);
	check_find(&w, false, "after 5 minutes", "no-policy/none sts-policy-fetch-error");
	check_asked(&w, 1, 1);
	world_pass(&w, 300);
	w.https = "d.example 200 enforce 604800 mx1.example";
	check_find(&w, false, "the second wait is longer, and still reported", "no-policy/none sts-policy-fetch-error");
	check_asked(&w, 1, 0);
	world_restart(&w);
	check_find(&w, false, "a restart does not shorten it", "no-policy/none sts-policy-fetch-error");
	check_asked(&w, 1, 0);
	w.dns = "_mta-sts.d.example TXT v=STSv1; id=2;\n";
	world_pass(&w, 300);
	check_find(&w, false, "another id is fetched at once", "enforce/fetched");
	check_asked(&w, 1, 1);
	world_close(&w);
}

static void test_a_restart_keeps_the_policy(void **state)
{
	(void)state;
	struct world w;
	open_enforced(&w);
	check_find(&w, false, "first", "enforce/fetched");
	world_restart(&w);
	world_forget(&w);
	check_find(&w, false, "from the store", "enforce/cache");
	check_asked(&w, 1, 0);
	world_restart(&w);
	world_forget(&w);
	w.dns = "";
	w.https = "";
	world_pass(&w, 6 * DAY);
	check_find(&w, false, "record and host are gone: an attacker may have taken them", "enforce/cache-unconfirmed");
	world_pass(&w, DAY);
	check_find(&w, false, "its time is over", "no-policy/none");
	world_close(&w);
}

/* The store may know of an enforce that DNS no longer tells: while it cannot be read, nothing goes. */
static void test_a_store_that_cannot_be_read_holds_mail(void **state)
{
	(void)state;
	struct world w;
	open_enforced(&w);
	check_find(&w, false, "first", "enforce/fetched");
	world_restart(&w);
	w.dns = MX1;
	w.store_fails = true;
	world_forget(&w);
	check_find(&w, false, "not read", "no-policy/none wait: store");
	check_asked(&w, 0, 0);
	for (int patient = 0; patient < 2; patient++) {
		struct plan *p = make(&w, "d.example", false, patient);
		assert_int_equal(p->fail.kind, SP_FAIL_STORE);
		assert_false(p->fail.permanent);
		plan_unref(p);
	}
	w.store_fails = false;
	world_pass(&w, 2);
	check_find(&w, false, "read again", "enforce/cache-unconfirmed");
	world_close(&w);
}

static void test_a_store_that_cannot_be_written_does_not_stop_mail(void **state)
{
	(void)state;
	struct world w;
	open_enforced(&w);
	w.dns = "";
	check_find(&w, false, "read: nothing", "no-policy/none");
	world_pass(&w, 300);
	w.dns = STS;
	w.store_fails = true;
	check_find(&w, false, "not written", "enforce/fetched");
	world_pass(&w, 300);
	check_find(&w, false, "kept in memory", "enforce/cache");
	world_restart(&w);
	w.store_fails = false;
	check_find(&w, false, "and fetched again", "enforce/fetched");
	world_close(&w);
}

/* A week in which an attacker has taken DNS away: what was promised to the policy's last second holds, and no longer. */
static void test_a_week_under_attack(void **state)
{
	(void)state;
	struct world w;
	open_enforced(&w);
	check_find(&w, false, "fetched", "enforce/fetched");
	int64_t until_ms = w.wall_ms + INT64_C(604800) * 1000;
	w.dns = "_mta-sts.d.example TXT TIMEOUT\n";
	w.https = "";
	unsigned refused = 0;
	for (int64_t pass = 600; w.wall_ms < until_ms - 1000; pass = (until_ms - w.wall_ms) / 1000 > 600 ? 600 : (until_ms - w.wall_ms) / 1000 - 1) {
		struct asker a = { .w = &w };
		ask(&a, refused % 3 == 0);
		if (refused % 7 == 0)
			policy_refresh(&w.shard, "d.example");
		world_run(&w);
		assert_int_equal(a.calls, 1);
		assert_true(a.has_policy && a.mode == STS_MODE_ENFORCE);
		refused++;
		world_pass(&w, pass > 0 ? pass : 1);
	}
	print_message("%u times, and %u fetches tried\n", refused, world_count(&w, "https d.example"));
	assert_in_range(refused, 900, 1200);
	world_pass(&w, 2);
	check_find(&w, false, "over", "no-policy/none");
	world_close(&w);
}

static void test_an_expired_policy_is_not_used_inside_the_ttl(void **state)
{
	(void)state;
	struct world w;
	open_enforced(&w);
	w.https = "d.example 200 enforce 60 mx1.example";
	check_find(&w, false, "a minute long", "enforce/fetched");
	world_pass(&w, 59);
	check_find(&w, false, "to its last second", "enforce/cache");
	check_asked(&w, 1, 1);
	w.https = "d.example 200 testing 60 mx1.example";
	world_pass(&w, 1);
	check_find(&w, false, "then it is fetched again", "testing/fetched");
	check_asked(&w, 1, 1);
	world_close(&w);
}

/* ---- refresh ---- */

static void test_refresh(void **state)
{
	(void)state;
	struct world w;
	open_enforced(&w);
	check_find(&w, false, "first", "enforce/fetched");
	world_forget(&w);
	w.dns = "";
	w.https = "d.example 200 testing 604800 mx1.example";
	world_pass(&w, DAY / 2);
	policy_refresh(&w.shard, "d.example");
	policy_refresh(&w.shard, "d.example");
	world_run(&w);
	check_asked(&w, 0, 1);                                  /* by HTTPS alone, once */
	w.dns = STS;
	check_find(&w, false, "the new one rules, and its id is compared", "testing/cache");
	check_asked(&w, 1, 0);                                  /* a refresh asks no record, so it moves no TTL */

	w.https = "";
	world_pass(&w, 3 * DAY);
	policy_refresh(&w.shard, "d.example");
	world_run(&w);
	check_asked(&w, 0, 1);
	w.dns = "_mta-sts.d.example TXT SERVFAIL\n";
	check_find(&w, false, "a failed one shortens nothing", "testing/cache-unconfirmed");
	world_close(&w);
}

static void test_refresh_from_the_store(void **state)
{
	(void)state;
	struct world w;
	open_enforced(&w);
	check_find(&w, false, "first", "enforce/fetched");
	world_restart(&w);
	world_forget(&w);
	policy_refresh(&w.shard, "d.example");
	struct asker a = { .w = &w };
	ask(&a, false);                                         /* rides along */
	world_run(&w);
	assert_int_equal(a.calls, 1);
	assert_int_equal(a.source, STS_SOURCE_FRESH);
	check_asked(&w, 0, 1);
	world_close(&w);
}

static void test_refresh_of_what_is_gone(void **state)
{
	(void)state;
	struct world w;
	open_enforced(&w);
	policy_refresh(&w.shard, "d.example");
	world_run(&w);
	check_asked(&w, 0, 0);
	policy_refresh(&w.shard, "d.example");
	struct asker a = { .w = &w };
	ask(&a, false);
	world_run(&w);
	assert_int_equal(a.calls, 1);
	assert_int_equal(a.source, STS_SOURCE_FRESH);           /* but who asks gets an answer */
	check_asked(&w, 1, 1);
	world_close(&w);
}

/* ---- bounds ---- */

static void test_fetches_wait_for_their_turn(void **state)
{
	(void)state;
	struct world w;
	open_enforced(&w);
	atomic_store(&w.relay.fetches, RELAY_FETCHES_MAX);      /* by other shards */
	struct asker a = { .w = &w };
	ask(&a, false);
	while (w.waited_ms < 1000)
		core_loop_turn(w.shard.loop);
	assert_int_equal(a.calls, 0);
	assert_int_equal(world_count(&w, "https d.example"), 0);
	assert_int_equal(atomic_load(&w.relay.fetches), RELAY_FETCHES_MAX);
	assert_int_equal(w.waited_ms, 1000);
	atomic_fetch_sub(&w.relay.fetches, 1);
	world_run(&w);
	assert_int_equal(a.calls, 1);
	assert_int_equal(a.source, STS_SOURCE_FRESH);
	assert_int_equal(atomic_load(&w.relay.fetches), RELAY_FETCHES_MAX - 1);
	atomic_store(&w.relay.fetches, 0);
	world_close(&w);
}

/* 40 hosts that drip until the deadline kept all others from being asked for as long. */
static void test_a_slow_fetch_gives_its_place_to_another(void **state)
{
	(void)state;
	for (unsigned others_slow = 0; others_slow <= RELAY_SLOW_FETCHES_MAX; others_slow += RELAY_SLOW_FETCHES_MAX) {
		struct world w;
		bool room = others_slow < RELAY_SLOW_FETCHES_MAX;
		open_enforced(&w);
		atomic_store(&w.relay.fetches, RELAY_FETCHES_MAX - 1);
		atomic_store(&w.relay.slow_fetches, others_slow);
		w.hold_https = true;
		struct asker a = { .w = &w };
		ask(&a, false);
		while (w.waited_ms < 5000 && atomic_load(&w.relay.slow_fetches) == others_slow)
			core_loop_turn(w.shard.loop);
		assert_in_range(w.waited_ms, 3000, 5000);
		assert_int_equal(a.calls, 0);
		assert_int_equal(atomic_load(&w.relay.fetches), RELAY_FETCHES_MAX - room);
		assert_int_equal(atomic_load(&w.relay.slow_fetches), others_slow + room);
		w.hold_https = false;
		world_run(&w);
		assert_int_equal(a.calls, 1);
		assert_int_equal(world_count(&w, "https d.example"), 1);
		assert_int_equal(atomic_load(&w.relay.fetches), RELAY_FETCHES_MAX - 1);
		assert_int_equal(atomic_load(&w.relay.slow_fetches), others_slow);
		atomic_store(&w.relay.fetches, 0);
		world_close(&w);
	}
}

static void on_counted(void *owner, const struct sts_finding *f, uint32_t ttl_s)
{
	(void)f, (void)ttl_s;
	++*(unsigned *)owner;
}

static size_t idle_count(const struct world *w)
{
	size_t n = 0;
	SP_LIST_EACH(&w->shard.policy_lru, l)
		n++;
	return n;
}

static void find_many(struct world *w, unsigned from, unsigned count)
{
	unsigned told = 0;
	char domain[32];
	for (unsigned i = from; i < from + count; i++) {
		snprintf(domain, sizeof(domain), "d%u.example", i);
		policy_find(&w->shard, domain, false, on_counted, &told);
	}
	world_run(w);
	assert_int_equal(told, count);
	world_forget(w);
}

static void test_memory_is_bounded(void **state)
{
	(void)state;
	struct world w;
	world_open(&w, "");
	for (unsigned i = 0; i < 23; i++)
		find_many(&w, i * 1000, 1000);
	print_message("%zu domains in memory, %zu of them idle\n", w.shard.policies.count, idle_count(&w));
	assert_int_equal(w.shard.policies.count, 20000);
	assert_int_equal(idle_count(&w), 20000);
	world_close(&w);
}

/* One whose askers all left was never idle again: it could not be forgotten. */
static void test_a_domain_whose_askers_left_can_be_forgotten(void **state)
{
	(void)state;
	struct world w;
	open_enforced(&w);
	check_find(&w, false, "known", "enforce/fetched");
	struct asker a = { .w = &w };
	ask(&a, false);
	policy_cancel(a.wait);
	world_run(&w);
	assert_int_equal(a.calls, 0);
	assert_int_equal(idle_count(&w), w.shard.policies.count);
	ask(&a, true);
	policy_cancel(a.wait);
	world_run(&w);
	assert_int_equal(a.calls, 0);
	assert_int_equal(idle_count(&w), w.shard.policies.count);
	world_close(&w);
}

/* ---- order ---- */

static void test_whoever_is_told_may_ask_again(void **state)
{
	(void)state;
	struct world w;
	open_enforced(&w);
	struct asker last = { .w = &w }, first = { .w = &w, .then = &last };
	ask(&first, false);
	world_run(&w);
	assert_int_equal(first.calls, 1);
	assert_int_equal(last.calls, 1);
	check_asked(&w, 1, 1);
	world_close(&w);
}

static void test_whoever_is_told_may_call_another_off(void **state)
{
	(void)state;
	struct world w;
	open_enforced(&w);
	struct asker b = { .w = &w }, a = { .w = &w, .cancels = &b }, c = { .w = &w };
	ask(&a, false);
	ask(&b, false);
	ask(&c, false);
	world_run(&w);
	assert_int_equal(a.calls, 1);
	assert_int_equal(b.calls, 0);
	assert_int_equal(c.calls, 1);
	world_close(&w);
}

/* The shard ends at any turn of a run: nothing is left behind, and nothing is told. */
static void test_the_end_at_any_turn(void **state)
{
	(void)state;
	for (int turns = 0; turns < 12; turns++) {
		struct world w;
		open_enforced(&w);
		w.hold_https = turns % 2;
		struct asker a = { .w = &w };
		ask(&a, false);
		for (int i = 0; i < turns && a.calls == 0; i++)
			core_loop_turn(w.shard.loop);
		unsigned calls = a.calls;
		policy_cancel(a.wait);
		world_close(&w);
		assert_int_equal(a.calls, calls);
	}
}

int main(void)
{
	sp_log_setup(SP_LOG_TEXT, SP_LOG_ERROR);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plans),
		cmocka_unit_test(test_equal_hosts_take_turns),
		cmocka_unit_test(test_how_long_a_plan_is_good),
		cmocka_unit_test(test_no_plan_outlives_the_rule_it_was_made_by),
		cmocka_unit_test(test_ad_counts_only_from_a_resolver_that_is_trusted),
		cmocka_unit_test(test_dane),
		cmocka_unit_test(test_no_dane_without_a_resolver_that_is_believed),
		cmocka_unit_test(test_credentials_are_said_to_a_proven_host),
		cmocka_unit_test(test_sessions_of_another_demand_end),
		cmocka_unit_test(test_a_host_that_stays_barred_ends_no_session),
		cmocka_unit_test(test_plans_under_a_policy),
		cmocka_unit_test(test_first_contact),
		cmocka_unit_test(test_called_off_at_any_turn),
		cmocka_unit_test(test_one_look_up_for_all_who_ask),
		cmocka_unit_test(test_a_fresh_look_is_not_lost_in_a_run_that_is_not),
		cmocka_unit_test(test_the_id_is_compared_when_its_ttl_is_over),
		cmocka_unit_test(test_no_record_is_remembered_for_its_ttl),
		cmocka_unit_test(test_servfail_is_asked_once_more),
		cmocka_unit_test(test_the_short_retry_helps),
		cmocka_unit_test(test_fresh_fetches_though_the_id_is_the_same),
		cmocka_unit_test(test_a_failed_fetch_is_not_repeated_at_once),
		cmocka_unit_test(test_a_restart_keeps_the_policy),
		cmocka_unit_test(test_a_store_that_cannot_be_read_holds_mail),
		cmocka_unit_test(test_a_store_that_cannot_be_written_does_not_stop_mail),
		cmocka_unit_test(test_a_week_under_attack),
		cmocka_unit_test(test_an_expired_policy_is_not_used_inside_the_ttl),
		cmocka_unit_test(test_refresh),
		cmocka_unit_test(test_refresh_from_the_store),
		cmocka_unit_test(test_refresh_of_what_is_gone),
		cmocka_unit_test(test_fetches_wait_for_their_turn),
		cmocka_unit_test(test_a_slow_fetch_gives_its_place_to_another),
		cmocka_unit_test(test_memory_is_bounded),
		cmocka_unit_test(test_a_domain_whose_askers_left_can_be_forgotten),
		cmocka_unit_test(test_whoever_is_told_may_ask_again),
		cmocka_unit_test(test_whoever_is_told_may_call_another_off),
		cmocka_unit_test(test_the_end_at_any_turn),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
