/* tests/bench/rptledger.c - what the ledger costs: a count, the page-by-page reading of a domain with very many failures, the list of a day with very many
 * domains, and forgetting them. One line a number: what, how much, unit. In a folder under $TMPDIR or /tmp, which goes in the end.
 *   usage: rptledger [FAILURES [DOMAINS]] */
#include "core/clock.h"
#include "rpt/ledger.h"
#include "rpt/outbox.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define DAY 20779
#define NOON (DAY * (int64_t)RPT_DAY_S + 43200)
#define BATCH 100               /* sessions a transaction */
#define PAGE 500

static struct core_db *db;
static uint64_t number = (uint64_t)3 << 40;     /* as in a third run */
static uint64_t began_us;

static void must(enum core_db_status status)
{
	if (status == CORE_DB_OK)
		return;
	fprintf(stderr, "rptledger: %s\n", core_db_status_str(status));
	exit(1);
}

static void begin_clock(void)
{
	began_us = core_clock_mono_us();
}

static uint64_t gone_us(void)
{
	return core_clock_mono_us() - began_us;
}

static void tell(const char *what, double value, const char *unit)
{
	printf("%-58s %10.2f %s\n", what, value, unit);
}

/* The most memory so far. */
static double peak_mib(void)
{
	struct rusage u;
	getrusage(RUSAGE_SELF, &u);
	return (double)u.ru_maxrss / 1024;
}

static struct rpt_event session(const char *domain, const char *host, enum sp_result result)
{
	return (struct rpt_event){ .at_s = NOON, .policy_type = RPT_POLICY_STS, .policy_domain = domain, .mx_patterns = "*.a.test",
	                           .policy_strings = "version: STSv1\nmode: enforce\nmx: *.a.test\nmax_age: 1209600", .result = result,
	                           .reason = "x509-hostname-mismatch", .sending_ip = "192.0.2.1", .mx_host = host, .mx_helo = host,
	                           .mx_ip = "198.51.100.77" };
}

/* `count` sessions, each a batch of its own; `domains` and `hosts`: of how many different ones. Returns the microseconds in rpt_ledger_add(). */
static uint64_t add(unsigned count, unsigned domains, unsigned hosts, enum sp_result result)
{
	static const struct rpt_rules rules = { .spread_s = 14400, .details_max = 1000000 };
	uint64_t sum_us = 0;
	for (unsigned i = 0; i < count; i += BATCH) {
		must(core_db_begin(db));
		begin_clock();
		for (unsigned j = i; j < i + BATCH && j < count; j++) {
			char domain[64], host[64];
			snprintf(domain, sizeof(domain), "domain-%u.example.com", j % domains);
			snprintf(host, sizeof(host), "mx-%u.mail.example.com", j % hosts);
			struct rpt_event e = session(domain, host, result);
			must(rpt_ledger_add(db, ++number, &e, 1, &rules));
		}
		sum_us += gone_us();
		must(core_db_commit(db));
	}
	return sum_us;
}

static void bench_add(unsigned failures, unsigned domains)
{
	char what[80];
	snprintf(what, sizeof(what), "first session of each of %u domains", domains);
	tell(what, (double)add(domains, domains, 1, SP_RESULT_NONE) / domains, "us a session");
	tell("successes, by turns of all domains", (double)add(domains, domains, 1, SP_RESULT_NONE) / domains, "us a session");
	tell("successes of one domain", (double)add(100000, 1, 1, SP_RESULT_NONE) / 100000, "us a session");
	snprintf(what, sizeof(what), "%u distinct failures of one domain, new", failures);
	tell(what, (double)add(failures, 1, failures, SP_RESULT_VALIDATION_FAILURE) / failures, "us a session");
	tell("the same again", (double)add(failures, 1, failures, SP_RESULT_VALIDATION_FAILURE) / failures, "us a session");
	tell("a failure of one domain and host", (double)add(100000, 1, 1, SP_RESULT_VALIDATION_FAILURE) / 100000, "us a session");
}

static void bench_failures(void)
{
	struct sp_arena arena = SP_ARENA_EMPTY, page = SP_ARENA_EMPTY;
	const struct rpt_policy *policies;
	const struct rpt_failure *list;
	size_t count, rows = 0;
	double before = peak_mib();
	begin_clock();
	must(rpt_ledger_policies(db, DAY, "domain-0.example.com", &arena, &policies, &count));
	int64_t after = 0;
	do {
		sp_arena_clear(&page);
		must(rpt_ledger_failures(db, policies[0].id, after, PAGE, &page, &list, &count));
		after = count > 0 ? list[count - 1].id : after;
		rows += count;
	} while (count > 0);
	char what[80];
	snprintf(what, sizeof(what), "reading %zu failures of one domain, %d a page", rows, PAGE);
	tell(what, (double)gone_us() / 1000, "ms");
	tell("  peak memory beyond what was before", peak_mib() - before, "MiB");
	sp_arena_clear(&page);
	sp_arena_clear(&arena);
}

static void bench_list(void)
{
	struct sp_arena page = SP_ARENA_EMPTY;
	const struct rpt_report *list;
	char what[80], domain[256] = "";
	size_t count, rows = 0;
	int64_t day = 0;
	uint64_t counted;
	struct rpt_filter f = { .last_day = INT64_MAX };
	begin_clock();
	do {
		sp_arena_clear(&page);
		must(rpt_outbox_list(db, &f, day, domain, PAGE, &page, &list, &count));
		if (count > 0) {
			day = list[count - 1].day;
			snprintf(domain, sizeof(domain), "%s", list[count - 1].domain);
		}
		rows += count;
	} while (count > 0);
	snprintf(what, sizeof(what), "listing %zu domains, %d a page", rows, PAGE);
	tell(what, (double)gone_us() / 1000, "ms");
	f = (struct rpt_filter){ .last_day = DAY, .open_only = true, .due_by_s = NOON + 2 * RPT_DAY_S };
	begin_clock();
	must(rpt_outbox_due(db, &f, 16, &page, &list, &count));
	tell("the 16 longest due", (double)gone_us(), "us");
	begin_clock();
	must(rpt_outbox_count(db, &f, &counted));
	tell("counting all that are due", (double)gone_us() / 1000, "ms");
	f.begun_only = true;
	begin_clock();
	must(rpt_outbox_due(db, &f, 16, &page, &list, &count));
	tell("looking for one that has begun, where none has", (double)gone_us(), "us");
	f = (struct rpt_filter){ .last_day = INT64_MAX, .domain = "domain-77.example.com" };
	begin_clock();
	must(rpt_outbox_list(db, &f, 0, "", 100, &page, &list, &count));
	tell("the reports of one domain", (double)gone_us(), "us");
	sp_arena_clear(&page);
}

static void bench_sweep(void)
{
	uint64_t longest_us = 0, sum_us = 0;
	bool more = true;
	must(core_db_exec(db, "UPDATE rpt_report SET state = 'delivered'"));
	while (more) {
		must(core_db_begin(db));
		begin_clock();
		must(rpt_outbox_sweep(db, NOON + 20 * RPT_DAY_S, 14, PAGE, &more));
		uint64_t us = gone_us();
		must(core_db_commit(db));
		sum_us += us;
		longest_us = us > longest_us ? us : longest_us;
	}
	tell("forgetting all of it", (double)sum_us / 1000, "ms");
	tell("  the longest step", (double)longest_us / 1000, "ms");
}

int main(int argc, char **argv)
{
	unsigned failures = argc > 1 ? (unsigned)atoi(argv[1]) : 100000, domains = argc > 2 ? (unsigned)atoi(argv[2]) : 100000;
	const char *under = getenv("TMPDIR");
	char folder[256], path[300], log[320];
	struct sp_fail why;
	snprintf(folder, sizeof(folder), "%s/rptledger-XXXXXX", under ? under : "/tmp");
	if (failures == 0 || domains == 0 || mkdtemp(folder) == NULL) {
		fputs("usage: rptledger [FAILURES [DOMAINS]]\n", stderr);
		return 2;
	}
	snprintf(path, sizeof(path), "%s/spool.db", folder);
	db = core_db_open(path, false, &why);
	if (db == NULL) {
		fprintf(stderr, "rptledger: %s\n", why.text);
		return 1;
	}
	must(rpt_migrate(db, 0));
	bench_add(failures, domains);
	bench_failures();
	bench_list();
	bench_sweep();
	tell("peak memory of it all", peak_mib(), "MiB");
	core_db_close(db);
	for (unsigned i = 0; i < 3; i++) {
		snprintf(log, sizeof(log), "%s%s", path, i == 0 ? "" : i == 1 ? "-wal" : "-shm");
		unlink(log);
	}
	return rmdir(folder) == 0 ? 0 : 1;
}
