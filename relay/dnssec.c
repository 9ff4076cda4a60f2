/* relay/dnssec.c - see dnssec.h. */
#include "relay/dnssec.h"

#include "core/dns.h"

#include <stdlib.h>
#include <sys/random.h>

#define EVERY_MS (3600 * 1000)
#define SPREAD_MS (600 * 1000)          /* of it: many relays behind one resolver do not ask in step */
#define BROKEN_MS (60 * 1000)           /* while it does not validate, or does not answer */
#define TOLD_LOOKS 60                   /* of these are passed over in silence, once it is told: an hour */

struct dnssec {
	struct relay *relay;
	struct core_loop *loop;
	struct config *config;          /* one ref */
	struct core_dns *servers[CORE_DNS_SERVERS_MAX];         /* each with one server of the relay's */
	char names[CORE_DNS_SERVERS_MAX][SP_ADDR_TEXT];
	size_t server_count;            /* 0: cannot be set up, or AD is not believed */
	size_t at;                      /* the server being asked */
	size_t validating;              /* of those asked in this round */
	enum core_dns_status trouble;   /* of one that did not answer in this round; OK: none */
	struct core_dns_query *query;
	struct core_timer *timer;
	unsigned silent;                /* looks until the same trouble is told again */
	void (*known)(void *owner);     /* dnssec_when_known(); NULL: nobody waits */
	void *known_owner;
};

const char *dnssec_state_str(enum dnssec_state s)
{
	static const char *const names[] = {
#define X(name, text) [DNSSEC_##name] = text,
		DNSSEC_STATES(X)
#undef X
	};
	return names[s];
}

enum dnssec_state dnssec_state(const struct relay *r)
{
	return r->trust_ad ? (enum dnssec_state)atomic_load_explicit(&r->dnssec, memory_order_relaxed) : DNSSEC_UNTRUSTED;
}

bool dnssec_believed(const struct relay *r)
{
	enum dnssec_state s = dnssec_state(r);
	return s == DNSSEC_VALIDATING || s == DNSSEC_UNKNOWN;
}

#define INSTALL "install unbound and copy conf/unbound/strictpost.conf to /etc/unbound/unbound.conf.d/, then set resolver.servers: [127.0.0.1]"

const char *dnssec_remedy(const struct relay *r)
{
	switch (dnssec_state(r)) {
	case DNSSEC_UNTRUSTED:
		return "the resolver is not on this host, so its word that an answer is authenticated is not believed: " INSTALL
		       ", or set resolver.trust_ad: yes where the way to it is safe";
	case DNSSEC_NOT_VALIDATING:
		return "the resolver does not validate DNSSEC: " INSTALL ", or name another validating one in resolver.servers";
	case DNSSEC_UNKNOWN:
	case DNSSEC_VALIDATING:
		break;
	}
	return "";
}

static bool dane_wanted(const struct config *c)
{
	return c->delivery.dane != STS_DANE_OFF;
}

/* --- what was found --- */

static void tell_known(struct dnssec *d)
{
	void (*known)(void *) = d->known;
	d->known = NULL;
	if (known)
		known(d->known_owner);
}

static void come_back(struct dnssec *d, bool sound)
{
	uint32_t random = 0;
	if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != (ssize_t)sizeof(random))
		random = 0;                     /* then at the full hour */
	core_timer_start(d->timer, sound ? EVERY_MS - random % SPREAD_MS : BROKEN_MS);
	tell_known(d);
}

static void tell_trouble(struct dnssec *d, const char *what)
{
	if (d->silent > 0) {
		d->silent--;
		return;
	}
	d->silent = TOLD_LOOKS;
	sp_log_text(dane_wanted(d->config) ? SP_LOG_ERROR : SP_LOG_WARNING, NULL, "dnssec", "%s", what);
}

/* `faulty`: the server that does not validate. */
static void found(struct dnssec *d, bool validates, const char *faulty)
{
	enum dnssec_state now = validates ? DNSSEC_VALIDATING : DNSSEC_NOT_VALIDATING;
	enum dnssec_state before = (enum dnssec_state)atomic_exchange(&d->relay->dnssec, (int)now);
	if (before != now)
		d->silent = 0;
	if (!validates) {
		struct sp_buf text;
		sp_buf_init(&text, 1024);
		sp_buf_printf(&text, "DANE is off: %s%s%s", dnssec_remedy(d->relay), d->server_count > 1 ? "; all servers must, and this one does not: " : "",
		              d->server_count > 1 ? faulty : "");
		tell_trouble(d, sp_buf_cstr(&text));
		sp_buf_clear(&text);
	} else if (before != now) {
		sp_log_text(SP_LOG_INFO, NULL, "dnssec", "the resolver validates, DANE is %s", dane_wanted(d->config) ? "on" : "off by delivery.dane");
	}
	come_back(d, validates);
}

/* No answer says nothing of validation: DANE stays as it was, since turning it off would be a downgrade that anybody can bring about who keeps answers away. */
static void unanswered(struct dnssec *d, enum core_dns_status status)
{
	struct sp_buf text;
	sp_buf_init(&text, 1024);
	sp_buf_printf(&text, "whether the resolver validates is not known, it has no answer for '%s' SOA: %s. One that has lost its trust anchor answers so to "
	              "everything (Debian: package dns-root-data; unbound-anchor -a /var/lib/unbound/root.key); resolver.probe names what is asked for",
	              d->config->resolver.probe, core_dns_status_str(status));
	tell_trouble(d, sp_buf_cstr(&text));
	sp_buf_clear(&text);
	come_back(d, false);
}

static void ask_next(struct dnssec *d);

static void on_answer(void *owner, const struct core_dns_answer *a)
{
	struct dnssec *d = owner;
	size_t at = d->at++;
	d->query = NULL;
	bool answered = a->status == CORE_DNS_OK || a->status == CORE_DNS_NODATA || a->status == CORE_DNS_NXDOMAIN;
	if (answered && !a->authenticated) {
		found(d, false, d->names[at]);
		return;
	}
	d->validating += answered;
	if (!answered)
		d->trouble = a->status;
	ask_next(d);
}

/* One server after the other; then it is known of all that answer. */
static void ask_next(struct dnssec *d)
{
	if (d->at < d->server_count)
		d->query = core_dns_lookup(d->servers[d->at], d->config->resolver.probe, CORE_DNS_SOA, on_answer, d);
	else if (d->validating > 0)
		found(d, true, "");
	else
		unanswered(d, d->trouble);
}

static void on_timer(void *owner)
{
	struct dnssec *d = owner;
	if (d->server_count == 0) {             /* dnssec_when_known(): there is nothing to look for */
		tell_known(d);
		return;
	}
	d->at = d->validating = 0;
	d->trouble = CORE_DNS_OK;
	ask_next(d);
}

/* --- life --- */

static void close_servers(struct dnssec *d)
{
	while (d->server_count > 0)
		core_dns_close(d->servers[--d->server_count]);
}

static bool open_servers(struct dnssec *d, struct sp_fail *why)
{
	struct sp_addr found[CORE_DNS_SERVERS_MAX];
	unsigned timeout_ms = (unsigned)d->config->resolver.timeout_ms;
	struct core_dns *all = core_dns_open(d->loop, d->config->resolver.servers, timeout_ms, why);
	if (all == NULL)
		return false;
	size_t count = core_dns_servers(all, found);
	core_dns_close(all);
	while (d->server_count < count) {
		size_t i = d->server_count;
		d->servers[i] = core_dns_open(d->loop, sp_addr_str(&found[i], d->names[i]), timeout_ms, why);
		if (d->servers[i] == NULL) {
			close_servers(d);
			return false;
		}
		d->server_count++;
	}
	return true;
}

static void open_resolver(struct dnssec *d)
{
	const struct config *c = d->config;
	struct sp_fail why;
	if (!d->relay->trust_ad) {
		sp_log_text(dane_wanted(c) ? SP_LOG_WARNING : SP_LOG_INFO, NULL, "dnssec", "DANE is off: %s", dnssec_remedy(d->relay));
		return;
	}
	if (!open_servers(d, &why)) {
		atomic_store(&d->relay->dnssec, DNSSEC_NOT_VALIDATING);
		sp_log_text(SP_LOG_ERROR, NULL, "dnssec", "DANE is off, its resolver cannot be set up: %s", why.text);
		return;
	}
	core_timer_start(d->timer, 0);
}

struct dnssec *dnssec_start(struct relay *r, struct core_loop *l, struct config *c)
{
	struct dnssec *d = sp_alloc(sizeof(*d));
	d->relay = r;
	d->loop = l;
	d->config = config_ref(c);
	d->timer = core_timer_new(l, on_timer, d);
	open_resolver(d);
	return d;
}

void dnssec_when_known(struct dnssec *d, void (*done)(void *owner), void *owner)
{
	d->known = done;
	d->known_owner = owner;
	if (!d->query)
		core_timer_start(d->timer, 0);
}

void dnssec_reload(struct dnssec *d, struct config *c)
{
	config_unref(d->config);
	d->config = config_ref(c);
	d->silent = 0;
	if (d->server_count == 0)
		return;
	core_dns_cancel(d->query);
	d->query = NULL;
	core_timer_start(d->timer, 0);
}

void dnssec_free(struct dnssec *d)
{
	if (d == NULL)
		return;
	core_dns_cancel(d->query);
	close_servers(d);
	core_timer_close(d->timer);
	config_unref(d->config);
	free(d);
}
