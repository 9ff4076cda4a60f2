/* tests/unit/conn_fixture.c - see conn_fixture.h. */
#include "conn_fixture.h"

#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define GOT_MAX (64 << 20)
#define PATIENCE_S 10

void end_close(struct end *e)
{
	core_conn_close(e->conn);
	core_conn_close(e->conn);               /* twice is once */
	e->conn = NULL;
}

void end_finish(struct end *e, uint64_t linger_ms)
{
	core_conn_finish(e->conn, linger_ms);
	e->conn = NULL;
}

static void tell(struct end *e, char letter)
{
	size_t len = strlen(e->story);
	bool again = len > 0 && letter == 'd' && e->story[len - 1] == 'd';
	if (!again && len + 1 < sizeof(e->story))
		e->story[len] = letter;
	if (e->close_at == letter) {
		end_close(e);
	} else if (e->finish_at == letter) {
		end_finish(e, 5000);
	} else if (e->pause_at == letter) {
		e->pause_at = 0;
		core_conn_pause(e->conn);
	}
}

static void on_open(void *owner)
{
	struct end *e = owner;
	tell(e, 'o');
	if (e->conn && e->at_open)
		e->at_open(e);
}

static void on_data(void *owner, struct sp_str data)
{
	struct end *e = owner;
	sp_assert(data.len > 0);
	sp_buf_add(&e->got, data);
	e->data_calls++;
	if (e->echo) {
		struct sp_buf back;
		sp_buf_init(&back, data.len);
		sp_buf_add(&back, data);
		core_conn_send(e->conn, &back);
	}
	tell(e, 'd');
}

static void on_tls(void *owner, const struct sp_fail *why)
{
	struct end *e = owner;
	e->why = *why;
	tell(e, 't');
	if (e->conn && e->at_tls)
		e->at_tls(e);
}

static void on_drained(void *owner)
{
	tell(owner, 'w');
}

static void on_end(void *owner, const struct sp_fail *why)
{
	struct end *e = owner;
	e->why = *why;
	tell(e, 'e');
	if (e->echo)
		end_finish(e, 5000);
	else if (e->follow)
		end_close(e);
}

const struct core_conn_ops end_ops = { on_open, on_data, on_tls, on_drained, on_end };

struct end *end_new(struct core_loop *l)
{
	struct end *e = sp_alloc(sizeof(*e));
	e->loop = l;
	sp_buf_init(&e->got, GOT_MAX);
	return e;
}

void end_free(struct end *e)
{
	core_conn_close(e->conn);
	sp_buf_clear(&e->got);
	free(e);
}

void end_connect(struct end *e, const struct sp_addr *to, uint64_t deadline_ms)
{
	struct sp_fail why;
	int err = core_conn_connect(e->loop, to, NULL, deadline_ms, &end_ops, e, &e->conn, &why);
	sp_assert(err == 0);
}

void end_send(struct end *e, const char *text)
{
	struct sp_buf data;
	sp_buf_init(&data, 1 << 20);
	sp_buf_adds(&data, text);
	core_conn_send(e->conn, &data);
	sp_assert(data.p == NULL && data.len == 0);
}

void end_release(void *arg)
{
	struct end *e = arg;
	e->releases++;
}

bool end_heard(const struct end *e, char letter)
{
	return strchr(e->story, letter) != NULL;
}

static bool patient(const struct timespec *since)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec - since->tv_sec < PATIENCE_S;
}

void end_until(struct end *e, char letter)
{
	struct timespec start;
	clock_gettime(CLOCK_MONOTONIC, &start);
	while (!end_heard(e, letter)) {
		sp_assert(patient(&start));
		core_loop_turn(e->loop);
		usleep(100);
	}
}

static void on_accept(void *owner, struct core_conn *c)
{
	struct host *h = owner;
	sp_assert(h->count < SP_COUNT(h->ends));
	struct end *e = end_new(h->loop);
	struct sp_buf got = e->got;
	*e = h->like;
	e->got = got;
	e->loop = h->loop;
	e->conn = c;
	h->ends[h->count++] = e;
	if (!h->hold)
		core_conn_adopt(c, &end_ops, e);
}

static void on_error(void *owner, const struct sp_fail *why)
{
	struct host *h = owner;
	h->errors++;
	h->why = *why;
}

static const struct core_listener_ops host_ops = { on_accept, on_error };

void host_open(struct host *h, struct core_loop *l, const char *at)
{
	struct sp_addr addr;
	h->loop = l;
	sp_assert(sp_addr_parse(sp_str_of(at), &addr));
	int err = core_listener_open(l, &addr, false, 0600, &host_ops, h, &h->listener, &h->why);
	sp_assert(err == 0);
}

void host_close(struct host *h)
{
	core_listener_close(h->listener);
	for (unsigned i = 0; i < h->count; i++)
		end_free(h->ends[i]);
}

void host_until(struct host *h, unsigned count)
{
	struct timespec start;
	clock_gettime(CLOCK_MONOTONIC, &start);
	while (h->count < count) {
		sp_assert(patient(&start));
		core_loop_turn(h->loop);
		usleep(100);
	}
}
