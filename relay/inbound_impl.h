/* relay/inbound_impl.h - what the files of a client session share: inbound.c (its life), inbound_client.c (who it is, and may it relay), inbound_mail.c (its
 * envelopes and their content), inbound_store.c (what becomes of a message). */
#ifndef RELAY_INBOUND_IMPL_H
#define RELAY_INBOUND_IMPL_H

#include "core/arena.h"
#include "relay/inbound.h"
#include "relay/intake.h"
#include "relay/login.h"
#include "smtp/server.h"

/* Who the client is: by its connection, as a load balancer said (PROXY), or as a proxy did (XCLIENT). */
struct inbound_client {
	struct sp_addr addr;                    /* AF_UNIX: a unix socket; AF_UNSPEC: not known */
	char text[SP_ADDR_TEXT];                /* the same, for logs */
	char *via;                              /* the peer of the connection, where it speaks for another; else NULL */
	bool local;                             /* it may open our unix socket */
	bool by_address;                        /* it is in listen.allow */
	char *subject;                          /* of its certificate, which listen.tls_client_ca vouches for; NULL: none */
	char *user;                             /* NULL: not logged in */
	bool user_of_proxy;                     /* XCLIENT says so: the proxy knows it, our users file may not */
	bool by_proxy;                          /* XCLIENT was said: a certificate that comes later is the proxy's */
	char *tls;                              /* "TLSv1.3 TLS_AES_256_GCM_SHA384"; NULL: in clear */
};

/*  PROXY -> HANDSHAKE -> TALK <-> HANDSHAKE
 *  PROXY only where listen.proxy has the peer. HANDSHAKE at the start under implicit TLS, later by STARTTLS. The engine is made when the client is known. */
enum inbound_phase { INBOUND_PROXY, INBOUND_HANDSHAKE, INBOUND_TALK };

struct inbound {
	struct sp_link link;                    /* in shard->inbounds */
	struct shard *shard;
	struct config *config;                  /* one ref: what the session began under */
	const struct config_listen *listen;     /* in it */
	struct core_conn *conn;
	enum inbound_phase phase;
	struct smtp_server *engine;             /* NULL before TALK, or the handshake of STARTTLS */
	struct smtp_server_settings settings;
	struct inbound_client client;
	bool dismissed;                         /* it was told once; the second time it goes, unless a message is coming in */
	bool counted;                           /* in relay->clients */
	struct sp_buf pending;                  /* octets that came while the engine waits */
	bool paused;
	uint64_t began_ms, deadline_ms;         /* monotonic; of the session */
	uint64_t content_deadline_ms;           /* of the content being received: the minimum data rate */
	struct login *login;                    /* a password is being checked */
	char *login_name;                       /* whose */
	/* the transaction */
	struct sp_arena arena;
	struct sp_mail_wish wish;               /* strings in the arena; times made absolute */
	struct queue_recipient *recipients;
	size_t recipient_count, recipient_cap;
	struct intake *intake;
	uint64_t id;
	struct storing *storing;                /* the spool has the message, or is about to */
};

#define INBOUND_DRAINING "421 4.3.2 This relay is being emptied and takes no mail; try again later"

/* inbound.c */
void inbound_feed(struct inbound *in, struct sp_str data);      /* goes on with `data` behind what is pending. May free the session: the last thing a caller does */
void inbound_forget_transaction(struct inbound *in);

/* inbound_client.c */
void inbound_client_init(struct inbound *in);                   /* by its connection */
void inbound_client_proxied(struct inbound *in, const struct sp_addr *from);    /* AF_UNSPEC: it stays the connection's */
bool inbound_client_count(struct inbound *in);                  /* false: it has too many sessions */
void inbound_client_uncount(struct inbound *in);
void inbound_client_handshake(struct inbound *in);              /* TLS is up: what the client showed */
void inbound_client_known(struct inbound *in);                  /* tells the engine */
bool inbound_client_may_relay(const struct inbound *in);
bool inbound_client_may_send(const struct inbound *in, const char *sender);     /* "" is the null path */
void inbound_client_copy(struct inbound_client *to, const struct inbound_client *from);
void inbound_client_clear(struct inbound_client *c);
void inbound_client_log(struct sp_log *l, const struct inbound_client *c);      /* its fields of a line */
/* "192.0.2.1", "192.0.2.1 (app1)": for the spool. Appends. */
void inbound_client_name(const struct inbound_client *c, struct sp_buf *out);
void inbound_client_login(struct inbound *in);                  /* at LOGIN, XCLIENT of the engine */
void inbound_client_xclient(struct inbound *in);

/* inbound_mail.c */
void inbound_refuse(struct inbound *in, enum metrics_counter counter, const char *reply);       /* a message or a recipient, and counts it */
void inbound_mail(struct inbound *in);                          /* at MAIL, RCPT, BEGIN, CONTENT of the engine */
void inbound_rcpt(struct inbound *in);
void inbound_begin(struct inbound *in);
void inbound_content(struct inbound *in);

/* inbound_store.c */
void inbound_store(struct inbound *in);                         /* at END: the content is complete. It goes on when the spool has answered */
void inbound_store_left(struct inbound *in);                    /* the client goes away meanwhile */

#endif
