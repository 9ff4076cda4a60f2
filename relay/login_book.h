/* relay/login_book.h - what log-ins leave behind: the failures of client addresses, and what fitted lately. Bounded. The caller holds a lock, and says what time
 * it is. For relay/login.c. */
#ifndef RELAY_LOGIN_BOOK_H
#define RELAY_LOGIN_BOOK_H

#include "core/addr.h"
#include "core/crypt.h"
#include "core/list.h"
#include "core/map.h"

struct login_book {
	uint8_t key[CORE_SHA256_SIZE];          /* random */
	struct sp_map clients;                  /* struct login_client, by address */
	struct sp_link quiet;                   /* of these, with nothing pending: the longest so first */
	struct sp_map fits;                     /* struct login_fit, by mark */
	struct sp_link fit_order;               /* the oldest first */
};

struct login_client {
	struct sp_map_node node;                /* in clients */
	struct sp_link link;                    /* in quiet, while nothing is pending */
	char address[SP_ADDR_TEXT];
	unsigned failures;                      /* in a row, none of them older than LOGIN_FORGET_MS to the next */
	uint64_t failed_ms;                     /* the last one */
	uint64_t until_ms;                      /* its answer is kept back until then */
	unsigned pending;                       /* log-ins that wait */
};

void login_book_init(struct login_book *b);
void login_book_clear(struct login_book *b);    /* wipes */

/* Who is counted for `addr`: made where it is new; stays while it has something pending. */
struct login_client *login_book_enter(struct login_book *b, const struct sp_addr *addr, uint64_t now_ms);      /* pending goes up */
void login_book_leave(struct login_book *b, struct login_client *c);                                            /* and down */
/* One more failure: how long from now it is kept back. */
uint64_t login_book_failed(struct login_client *c, uint64_t now_ms);

struct login_mark { uint8_t octets[CORE_SHA256_SIZE]; };
/* Of a name, a password, and the hash that it fitted. */
struct login_mark login_book_mark(const struct login_book *b, const char *name, struct sp_str password, const char *hash);
void login_book_remember(struct login_book *b, const struct login_mark *mark, uint64_t now_ms);
bool login_book_knows(struct login_book *b, const struct login_mark *mark, uint64_t now_ms);

#endif
