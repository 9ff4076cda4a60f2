/* relay/login.c - see login.h.
 *
 *   KEPT (its address is kept waiting) -> LINE -> GRANTED (a slot is its own, its shard is to hear of it) -> COMPUTING -> ANSWERING -> done
 *   begin: KEPT, LINE or COMPUTING; ANSWERING where nothing has to be computed
 *   LINE is shared by all shards: who gives a slot back hands it to the first in line, through the mailbox of that one's shard. From GRANTED to the end of
 *   COMPUTING a cancelled one lives on, without its owner, since its slot is taken until then. */
#include "relay/login.h"

#include "core/clock.h"
#include "core/password.h"
#include "relay/login_book.h"
#include "relay/users.h"

#include <pthread.h>
#include <stdlib.h>

struct logins {
	pthread_mutex_t lock;
	struct login_book book;
	struct sp_link line;                    /* of struct login */
	unsigned in_line, computing;
};

enum login_state { LOGIN_KEPT, LOGIN_LINE, LOGIN_GRANTED, LOGIN_COMPUTES, LOGIN_ANSWERING };

struct login {
	struct sp_link link;                    /* in logins->line; the lock's */
	struct core_mail mail;                  /* to the shard, when GRANTED */
	struct shard *shard;
	struct login_client *client;            /* entered until the end */
	enum login_state state;                 /* LINE to GRANTED: the lock's; else the shard's own */
	struct users *users;                    /* one ref: `hash` is lent from there; NULL without users */
	const char *hash;                       /* to compute against */
	bool exists;                            /* the name does */
	struct sp_str password;                 /* ours */
	struct login_mark mark;                 /* where it exists */
	struct core_timer *timer;               /* KEPT and ANSWERING */
	enum login_answer answer;
	void (*done)(void *owner, enum login_answer answer);    /* NULL: cancelled */
	void *owner;
};

struct logins *logins_new(void)
{
	struct logins *s = sp_alloc(sizeof(*s));
	pthread_mutex_init(&s->lock, NULL);
	login_book_init(&s->book);
	sp_list_init(&s->line);
	return s;
}

void logins_free(struct logins *s)
{
	if (s == NULL)
		return;
	sp_assert(s->in_line == 0 && s->computing == 0);
	login_book_clear(&s->book);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

static struct logins *shared(const struct login *l)
{
	return l->shard->relay->logins;
}

/* ---- slots ---- */

static void on_granted(struct core_mail *m);

/* Under the lock. */
static void grant_next(struct logins *s)
{
	struct sp_link *first = s->computing < LOGIN_COMPUTING ? sp_list_pop(&s->line) : NULL;
	if (first == NULL)
		return;
	struct login *l = sp_container_of(first, struct login, link);
	s->in_line--;
	s->computing++;
	l->state = LOGIN_GRANTED;
	l->mail.run = on_granted;
	core_mailbox_post(l->shard->mailbox, &l->mail);         /* under the lock, so that it is posted before its owner can cancel, and the shard end */
}

static void give_back(struct logins *s)
{
	pthread_mutex_lock(&s->lock);
	s->computing--;
	grant_next(s);
	pthread_mutex_unlock(&s->lock);
}

/* ---- the end ---- */

static void wipe_password(struct login *l)
{
	if (l->password.p)
		explicit_bzero((char *)l->password.p, l->password.len);
	free((char *)l->password.p);
	l->password = (struct sp_str){ 0 };
}

static void end(struct login *l)
{
	struct logins *s = shared(l);
	struct shard *shard = l->shard;
	pthread_mutex_lock(&s->lock);
	login_book_leave(&s->book, l->client);
	pthread_mutex_unlock(&s->lock);
	core_timer_close(l->timer);
	wipe_password(l);
	users_unref(l->users);
	free(l);
	shard_op_end(shard);
}

static void on_answer(void *owner)
{
	struct login *l = owner;
	void (*done)(void *owner, enum login_answer answer) = l->done;
	void *whose = l->owner;
	enum login_answer answer = l->answer;
	end(l);
	done(whose, answer);
}

static void on_timer(void *owner);

static void answer_after(struct login *l, enum login_answer answer, uint64_t after_ms)
{
	l->state = LOGIN_ANSWERING;
	l->answer = answer;
	wipe_password(l);
	if (l->timer == NULL)
		l->timer = core_timer_new(l->shard->loop, on_timer, l);
	core_timer_start(l->timer, after_ms);
}

/* ---- computing ---- */

static void on_checked(void *owner, bool fits, bool failed)
{
	struct login *l = owner;
	struct logins *s = shared(l);
	uint64_t now = core_clock_mono_ms(), delay = 0;
	bool right = fits && l->exists;
	pthread_mutex_lock(&s->lock);
	s->computing--;
	grant_next(s);
	if (right)
		login_book_remember(&s->book, &l->mark, now);
	else if (!failed)
		delay = login_book_failed(l->client, now);
	pthread_mutex_unlock(&s->lock);
	if (l->done == NULL)
		end(l);
	else
		answer_after(l, right ? LOGIN_OK : failed ? LOGIN_BUSY : LOGIN_WRONG, delay);
}

static void compute(struct login *l)
{
	l->state = LOGIN_COMPUTES;
	core_password_check(l->shard->loop, l->hash, l->password, on_checked, l);
	wipe_password(l);
}

static void on_granted(struct core_mail *m)
{
	struct login *l = sp_container_of(m, struct login, mail);
	if (l->done) {
		compute(l);
		return;
	}
	give_back(shared(l));
	end(l);
}

/* A slot, a place in line, or too many. */
static void queue_up(struct login *l)
{
	struct logins *s = shared(l);
	pthread_mutex_lock(&s->lock);
	bool now = s->computing < LOGIN_COMPUTING;
	bool room = s->in_line < LOGIN_WAITING;
	if (now) {
		s->computing++;
	} else if (room) {
		l->state = LOGIN_LINE;
		s->in_line++;
		sp_list_push_back(&s->line, &l->link);
	}
	pthread_mutex_unlock(&s->lock);
	if (now)
		compute(l);
	else if (!room)
		answer_after(l, LOGIN_BUSY, 0);
}

/* Another failure may have come meanwhile; then it waits on. */
static uint64_t kept_ms(struct login *l)
{
	struct logins *s = shared(l);
	uint64_t now = core_clock_mono_ms();
	pthread_mutex_lock(&s->lock);
	uint64_t until = l->client->failures ? l->client->until_ms : 0;
	pthread_mutex_unlock(&s->lock);
	return until > now ? until - now : 0;
}

static void on_timer(void *owner)
{
	struct login *l = owner;
	if (l->state == LOGIN_ANSWERING) {
		on_answer(l);
		return;
	}
	uint64_t wait = kept_ms(l);
	if (wait > 0)
		core_timer_start(l->timer, wait);
	else
		queue_up(l);
}

/* ---- the beginning ---- */

static void look_up(struct login *l, const char *name, struct sp_str password)
{
	struct config *c = l->shard->config;
	const struct login_book *book = &shared(l)->book;       /* its key never changes */
	l->users = c->auth.users ? users_ref(c->auth.users) : NULL;
	const struct user *user = l->users ? users_find(l->users, name) : NULL;
	l->exists = user != NULL;
	l->hash = user ? user_hash(user) : users_decoy(l->users, name);
	l->mark = login_book_mark(book, name, password, l->hash);       /* also of a name that does not exist: as much work */
}

struct login *login_begin(struct shard *s, const struct sp_addr *client, const char *name, struct sp_str password,
                          void (*done)(void *owner, enum login_answer answer), void *owner)
{
	struct login *l = sp_alloc(sizeof(*l));
	struct logins *all = s->relay->logins;
	uint64_t now = core_clock_mono_ms();
	*l = (struct login){ .shard = s, .done = done, .owner = owner, .state = LOGIN_KEPT };
	shard_op_begin(s);
	look_up(l, name, password);
	pthread_mutex_lock(&all->lock);
	l->client = login_book_enter(&all->book, client, now);
	bool known = l->exists && login_book_knows(&all->book, &l->mark, now);
	bool kept = l->client->failures > 0 && l->client->until_ms > now;
	bool many = l->client->pending > (kept ? LOGIN_OF_FAILING : LOGIN_OF_ADDRESS);
	uint64_t until = l->client->until_ms;
	pthread_mutex_unlock(&all->lock);
	if (known || many) {
		answer_after(l, known ? LOGIN_OK : LOGIN_BUSY, 0);
		return l;
	}
	l->password = sp_str_make(sp_str_dup(password), password.len);
	if (kept) {
		l->timer = core_timer_new(s->loop, on_timer, l);
		core_timer_start(l->timer, until - now);
	} else {
		queue_up(l);
	}
	return l;
}

/* Is nothing of it elsewhere: no slot taken, no mail on its way? One that waits in line leaves it. */
static bool withdraw(struct login *l)
{
	struct logins *s = shared(l);
	pthread_mutex_lock(&s->lock);
	bool waits = l->state == LOGIN_LINE;
	bool idle = waits || l->state == LOGIN_KEPT || l->state == LOGIN_ANSWERING;
	if (waits) {
		sp_list_remove(&l->link);
		s->in_line--;
	}
	pthread_mutex_unlock(&s->lock);
	return idle;
}

void login_cancel(struct login *l)
{
	if (l == NULL)
		return;
	l->done = NULL;
	if (withdraw(l))
		end(l);
}
