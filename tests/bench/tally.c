/* tests/bench/tally.c - see tally.h. */
#include "tally.h"
#include "wire.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS 4096
#define ID_MAX (UINT64_C(1) << 28)       /* higher ids are none of ours */

struct tally_domain {
	struct tally_domain *next;           /* in its bucket */
	uint64_t messages;
	char name[256];
};

static struct {
	struct tally_domain *buckets[BUCKETS];
	unsigned char *seen;                 /* a bit an id */
	uint64_t seen_ids;                   /* room in `seen` */
	uint64_t messages, unique, duplicates, damaged, foreign;
	uint64_t sessions, tls, resumed;
	uint64_t first_ns, last_ns;
} t;

static struct tally_domain **bucket_of(const char *name)
{
	uint32_t hash = 2166136261;

	for (; *name != '\0'; name++)
		hash = (hash ^ (unsigned char)*name) * 16777619;
	return &t.buckets[hash % BUCKETS];
}

struct tally_domain *tally_domain(const char *name, size_t len)
{
	struct tally_domain *d, **bucket;
	char lower[sizeof(d->name)] = "";

	for (size_t i = 0; i < len && i < sizeof(lower) - 1; i++)
		lower[i] = (char)tolower((unsigned char)name[i]);
	bucket = bucket_of(lower);
	for (d = *bucket; d != NULL; d = d->next)
		if (strcmp(d->name, lower) == 0)
			return d;
	d = bench_alloc(sizeof(*d));
	memcpy(d->name, lower, sizeof(lower));
	d->next = *bucket;
	return *bucket = d;
}

/* Returns true if `id` came before. */
static bool remember(uint64_t id)
{
	unsigned char bit = (unsigned char)(1u << (id % 8));

	if (id >= t.seen_ids) {
		uint64_t ids = (id + 1) * 2 + 65536;
		t.seen = realloc(t.seen, ids / 8 + 1);
		if (t.seen == NULL)
			bench_die("out of memory");
		memset(t.seen + t.seen_ids / 8, 0, (ids - t.seen_ids) / 8 + 1);
		t.seen_ids = ids / 8 * 8;
	}
	if (t.seen[id / 8] & bit)
		return true;
	t.seen[id / 8] |= bit;
	return false;
}

void tally_message(const struct payload_check *c, struct tally_domain *const *to, size_t n)
{
	t.messages++;
	t.last_ns = bench_now_ns();
	if (!c->known || c->id >= ID_MAX)
		t.foreign++;
	else if (!payload_check_end(c))
		t.damaged++;
	else if (remember(c->id))
		t.duplicates++;
	else
		t.unique++;
	for (size_t i = 0; i < n; i++)
		to[i]->messages++;
}

void tally_session(void)
{
	if (t.sessions++ == 0)
		t.first_ns = bench_now_ns();
}

void tally_tls(bool resumed)
{
	t.tls++;
	t.resumed += resumed;
}

static void print_domains(FILE *f, bool each)
{
	uint64_t domains = 0, least = UINT64_MAX, most = 0;

	if (each)
		fputs(", \"domain\": {", f);
	for (size_t i = 0; i < BUCKETS; i++)
		for (const struct tally_domain *d = t.buckets[i]; d != NULL; d = d->next) {
			least = d->messages < least ? d->messages : least;
			most = d->messages > most ? d->messages : most;
			if (each)
				fprintf(f, "%s\"%s\": %" PRIu64, domains > 0 ? ", " : "", d->name, d->messages);
			domains++;
		}
	fprintf(f, "%s, \"domains\": %" PRIu64 ", \"domain_least\": %" PRIu64 ", \"domain_most\": %" PRIu64,
	    each ? "}" : "", domains, domains > 0 ? least : 0, most);
}

void tally_print(FILE *f, bool each)
{
	fprintf(f, "{\"messages\": %" PRIu64 ", \"unique\": %" PRIu64 ", \"duplicates\": %" PRIu64
	    ", \"damaged\": %" PRIu64 ", \"foreign\": %" PRIu64, t.messages, t.unique, t.duplicates, t.damaged, t.foreign);
	fprintf(f, ", \"sessions\": %" PRIu64 ", \"tls\": %" PRIu64 ", \"resumed\": %" PRIu64,
	    t.sessions, t.tls, t.resumed);
	fprintf(f, ", \"first_ns\": %" PRIu64 ", \"last_ns\": %" PRIu64, t.first_ns, t.last_ns);
	print_domains(f, each);
	fputs("}\n", f);
	fflush(f);
}
