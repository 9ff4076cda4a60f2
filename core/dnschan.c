/* core/dnschan.c - see dnschan.h.
 * c-ares knows nothing of libuv: it tells which sockets it wants to hear of, and is woken by them and by a tick while something
 * is asked. A single query cannot be cancelled in it: a question that nobody waits for any more stays with it, forgotten. */
#include "core/dnschan.h"

#include "core/list.h"

#include <ares.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/random.h>
#include <uv.h>

/* ares_create_query(), ares_send() and the server lists by struct are deprecated in newer versions, and all that 1.18 has. */
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

#define UDP_SIZE 1232                   /* DNS flag day 2020: no fragments */
#define DNS_PORT 53
#define CLASS_IN 1
#define HEADER_AD 0x20                  /* in the fourth octet of the header (RFC 2535 6.1) */
#define TICK_MAX_MS 250
#define TICK_MIN_MS 5
/* Since 1.32 c-ares waits less than we say, by what it knows of the server, and asks again; before, once is enough. */
#define TRIES (ARES_VERSION >= 0x012000 ? 5 : 1)

struct core_dnschan {
	struct core_loop *loop;
	ares_channel ares;
	unsigned timeout_ms;
	struct core_timer *tick;
	unsigned with_ares;             /* asks that c-ares has not given back */
	struct sp_link waiting;         /* asks somebody waits for, oldest first: all have the same timeout */
	struct sp_link polls;
};

struct core_dnschan_ask {
	struct sp_link link;            /* in chan.waiting; in none once forgotten */
	struct core_dnschan *chan;
	uint64_t deadline;              /* of the loop's clock */
	void (*got)(void *owner, enum core_dns_status status, struct sp_str message);   /* NULL: forgotten */
	void *owner;
	struct core_dnschan_ask **ref;  /* the owner's pointer to us */
};

struct poll {
	uv_poll_t handle;
	struct sp_link link;            /* in chan.polls */
	struct core_dnschan *chan;
	ares_socket_t fd;
};

static void init_ares(void)
{
	int rc = ares_library_init(ARES_LIB_INIT_ALL);
	sp_assert(rc == ARES_SUCCESS);
}

static void init_once(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	pthread_once(&once, init_ares);
}

/* ---- sockets and time ---- */

static void on_poll(uv_poll_t *handle, int status, int events)
{
	struct poll *p = sp_container_of(handle, struct poll, handle);
	if (status < 0)                                 /* let c-ares read the error itself */
		events = UV_READABLE | UV_WRITABLE;
	ares_process_fd(p->chan->ares, events & UV_READABLE ? p->fd : ARES_SOCKET_BAD,
	                events & UV_WRITABLE ? p->fd : ARES_SOCKET_BAD);
}

static void on_poll_closed(uv_handle_t *handle)
{
	free(sp_container_of(handle, struct poll, handle));
}

static struct poll *find_poll(struct core_dnschan *c, ares_socket_t fd)
{
	SP_LIST_EACH(&c->polls, l) {
		struct poll *p = sp_container_of(l, struct poll, link);
		if (p->fd == fd)
			return p;
	}
	return NULL;
}

static struct poll *new_poll(struct core_dnschan *c, ares_socket_t fd)
{
	struct poll *p = sp_alloc(sizeof(*p));
	p->chan = c;
	p->fd = fd;
	if (uv_poll_init(core_loop_uv(c->loop), &p->handle, fd) != 0) {
		free(p);
		return NULL;                            /* deaf: the question times out */
	}
	sp_list_push_back(&c->polls, &p->link);
	return p;
}

static void on_socket_state(void *arg, ares_socket_t fd, int readable, int writable)
{
	struct core_dnschan *c = arg;
	struct poll *p = find_poll(c, fd);
	int events = (readable ? UV_READABLE : 0) | (writable ? UV_WRITABLE : 0);
	if (events) {
		if (p == NULL)
			p = new_poll(c, fd);
		if (p)
			uv_poll_start(&p->handle, events, on_poll);
	} else if (p) {                                 /* c-ares closes it next */
		sp_list_remove(&p->link);
		uv_close((uv_handle_t *)&p->handle, on_poll_closed);
	}
}

static void answer(struct core_dnschan_ask *ask, enum core_dns_status status, struct sp_str message)
{
	void (*got)(void *, enum core_dns_status, struct sp_str) = ask->got;
	void *owner = ask->owner;
	core_dnschan_forget(ask);
	got(owner, status, message);
}

static void start_tick(struct core_dnschan *c)
{
	if (c->with_ares > 0 && !core_timer_running(c->tick))
		core_timer_start(c->tick, sp_max(TICK_MIN_MS, sp_min(TICK_MAX_MS, c->timeout_ms / 4)));
}

static void on_tick(void *owner)
{
	struct core_dnschan *c = owner;
	ares_process_fd(c->ares, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	uint64_t now = uv_now(core_loop_uv(c->loop));
	for (struct sp_link *l; (l = sp_list_first(&c->waiting)) != NULL;) {
		struct core_dnschan_ask *ask = sp_container_of(l, struct core_dnschan_ask, link);
		if (ask->deadline > now)
			break;
		answer(ask, CORE_DNS_TIMEOUT, SP_STR(""));
	}
	start_tick(c);
}

/* ---- questions ---- */

static enum core_dns_status status_of(int ares_status)
{
	switch (ares_status) {
	case ARES_SUCCESS: return CORE_DNS_OK;
	case ARES_EBADNAME:
	case ARES_EBADQUERY: return CORE_DNS_BADNAME;
	case ARES_EBADRESP: return CORE_DNS_MALFORMED;
	default: return CORE_DNS_TIMEOUT;               /* ETIMEOUT, ECONNREFUSED: nobody there */
	}
}

static void on_answer(void *arg, int ares_status, int timeouts SP_UNUSED, unsigned char *message, int len)
{
	struct core_dnschan_ask *ask = arg;
	ask->chan->with_ares--;
	if (ask->got) {
		enum core_dns_status status = status_of(ares_status);
		answer(ask, status, status == CORE_DNS_OK ? sp_str_make((char *)message, (size_t)len) : SP_STR(""));
	}
	free(ask);
}

/* Before 1.26 a raw query keeps the id it is sent with: so it must not be guessable. */
static unsigned short random_id(void)
{
	unsigned short id;
	ssize_t n = getrandom(&id, sizeof(id), 0);
	sp_assert(n == sizeof(id));
	return id;
}

void core_dnschan_ask(struct core_dnschan *c, const char *name, enum core_dns_type type,
                      void (*got)(void *owner, enum core_dns_status status, struct sp_str message), void *owner,
                      struct core_dnschan_ask **out)
{
	struct core_dnschan_ask *ask = sp_alloc(sizeof(*ask));
	*ask = (struct core_dnschan_ask){ .chan = c, .got = got, .owner = owner, .ref = out };
	ask->deadline = uv_now(core_loop_uv(c->loop)) + c->timeout_ms;
	sp_list_push_back(&c->waiting, &ask->link);
	*out = ask;
	c->with_ares++;
	unsigned char *query = NULL;
	int len = 0;
	int rc = ares_create_query(name, CLASS_IN, (int)type, random_id(), 1, &query, &len, UDP_SIZE);
	if (rc != ARES_SUCCESS) {
		on_answer(ask, rc, 0, NULL, 0);
		return;
	}
	query[3] |= HEADER_AD;                          /* RFC 6840 5.7: tell us whether it was authenticated */
	ares_send(c->ares, query, len, on_answer, ask); /* may call back before it returns */
	ares_free_string(query);
	start_tick(c);
}

void core_dnschan_forget(struct core_dnschan_ask *ask)
{
	if (ask == NULL)
		return;
	sp_list_remove(&ask->link);
	ask->got = NULL;
	*ask->ref = NULL;
}

/* ---- the channel ---- */

static int init_channel(struct core_dnschan *c)
{
	struct ares_options o = {
		.flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES | ARES_FLAG_NOCHECKRESP | ARES_FLAG_EDNS,
		.timeout = (int)c->timeout_ms,
		.tries = TRIES,
		.ednspsz = UDP_SIZE,
		.sock_state_cb = on_socket_state,
		.sock_state_cb_data = c,
	};
	int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_EDNSPSZ | ARES_OPT_SOCK_STATE_CB;
#if ARES_VERSION >= 0x011700                            /* 1.23 */
	mask |= ARES_OPT_QUERY_CACHE;                   /* none: what is asked afresh must be fresh */
	o.qcache_max_ttl = 0;
#endif
	return ares_init_options(&c->ares, &o, mask);
}

static int set_server(struct core_dnschan *c, const struct sp_addr *server)
{
	struct ares_addr_port_node node = { .family = sp_addr_family(server) };
	node.udp_port = node.tcp_port = sp_addr_port(server);
	if (node.family == AF_INET)
		memcpy(&node.addr.addr4, &server->in.sin_addr, sizeof(node.addr.addr4));
	else
		memcpy(&node.addr.addr6, &server->in6.sin6_addr, sizeof(node.addr.addr6));
	return ares_set_servers_ports(c->ares, &node);
}

struct core_dnschan *core_dnschan_open(struct core_loop *l, const struct sp_addr *server, unsigned timeout_ms)
{
	init_once();
	struct core_dnschan *c = sp_alloc(sizeof(*c));
	c->loop = l;
	c->timeout_ms = timeout_ms;
	sp_list_init(&c->waiting);
	sp_list_init(&c->polls);
	if (init_channel(c) != ARES_SUCCESS) {
		free(c);
		return NULL;
	}
	if (set_server(c, server) != ARES_SUCCESS) {
		ares_destroy(c->ares);
		free(c);
		return NULL;
	}
	c->tick = core_timer_new(l, on_tick, c);
	return c;
}

void core_dnschan_close(struct core_dnschan *c)
{
	if (c == NULL)
		return;
	for (struct sp_link *l; (l = sp_list_first(&c->waiting)) != NULL;)
		core_dnschan_forget(sp_container_of(l, struct core_dnschan_ask, link));
	core_timer_close(c->tick);
	ares_destroy(c->ares);                          /* gives back every ask, and lets go of every socket */
	sp_assert(c->with_ares == 0 && sp_list_empty(&c->polls));
	free(c);
}

size_t core_dnschan_system_servers(struct sp_addr *out, size_t max)
{
	init_once();
	ares_channel ares;
	struct ares_addr_port_node *list = NULL;
	size_t count = 0;
	if (ares_init(&ares) != ARES_SUCCESS)
		return 0;
	if (ares_get_servers_ports(ares, &list) != ARES_SUCCESS)
		list = NULL;
	for (struct ares_addr_port_node *n = list; n && count < max; n = n->next) {
		uint16_t port = n->udp_port ? (uint16_t)n->udp_port : DNS_PORT;
		if (n->family == AF_INET)
			sp_addr_from_ipv4((const uint8_t *)&n->addr.addr4, port, &out[count++]);
		else if (n->family == AF_INET6)
			sp_addr_from_ipv6((const uint8_t *)&n->addr.addr6, port, &out[count++]);
	}
	ares_free_data(list);
	ares_destroy(ares);
	return count;
}
