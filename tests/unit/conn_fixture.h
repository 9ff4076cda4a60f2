/* tests/unit/conn_fixture.h - an owner of a connection that writes down what it hears. */
#ifndef CONN_FIXTURE_H
#define CONN_FIXTURE_H

#include "core/conn.h"

/* What happened, one letter each: o open, d data (a run of them is one), t TLS, w drained, e end, r a lent piece released. */
struct end {
	struct core_loop *loop;
	struct core_conn *conn;
	char story[64];
	struct sp_buf got;
	unsigned data_calls, releases;
	struct sp_fail why;             /* of the end, or of TLS where that failed */
	char close_at;                  /* the letter at which it closes */
	char finish_at;
	char pause_at;                  /* 'd': at the first data, once */
	bool echo;                      /* sends back what comes, and finishes at the end */
	bool follow;                    /* closes at the end */
	void (*at_open)(struct end *e);
	void (*at_tls)(struct end *e);
};

extern const struct core_conn_ops end_ops;

struct end *end_new(struct core_loop *l);
void end_free(struct end *e);                                   /* closes too */
void end_connect(struct end *e, const struct sp_addr *to, uint64_t deadline_ms);
void end_close(struct end *e);                                  /* forgets the connection, as every owner must */
void end_finish(struct end *e, uint64_t linger_ms);
void end_send(struct end *e, const char *text);
void end_release(void *arg);                                    /* for core_conn_send_lent(), with the end as `arg` */
void end_until(struct end *e, char letter);                     /* turns the loop until it is in the story; 10 s at most */
bool end_heard(const struct end *e, char letter);

/* A listener whose connections are ends that behave like `like`. */
struct host {
	struct core_loop *loop;
	struct core_listener *listener;
	struct end *ends[64];
	unsigned count, errors;
	struct end like;
	bool hold;                      /* does not adopt */
	struct sp_fail why;
};
void host_open(struct host *h, struct core_loop *l, const char *at);
void host_close(struct host *h);
void host_until(struct host *h, unsigned count);                /* turns the loop until that many came */

#endif
