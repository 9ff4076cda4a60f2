/* tests/unit/relay_login_test.c - relay/login.c, login_book.c: who waits for whom, how late a failure is answered, what is remembered. Hashes are computed when
 * the test says so, and time passes when it says so: core/password.c, core/clock.c and timers are played here. The "hash" of a password is "H" and it. */
#include "relay/login.h"
#include "relay/login_book.h"

#include "core/clock.h"
#include "core/password.h"
#include "relay/users.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* ---- time ---- */

static uint64_t now_ms;

int64_t core_clock_wall_ms(void) { return (int64_t)now_ms; }
uint64_t core_clock_mono_ms(void) { return now_ms; }
uint64_t core_clock_mono_us(void) { return now_ms * 1000; }

#define TIMERS 16384
static struct { struct core_timer *timer; uint64_t at_ms; } timers[TIMERS];

void __real_core_timer_start(struct core_timer *t, uint64_t after_ms);
void __wrap_core_timer_start(struct core_timer *t, uint64_t after_ms);
void __real_core_timer_close(struct core_timer *t);
void __wrap_core_timer_close(struct core_timer *t);

void __wrap_core_timer_start(struct core_timer *t, uint64_t after_ms)
{
	if (after_ms == 0) {
		__real_core_timer_start(t, 0);
		return;
	}
	for (size_t i = 0; i < TIMERS; i++) {
		if (timers[i].timer == NULL) {
			timers[i].timer = t;
			timers[i].at_ms = now_ms + after_ms;
			return;
		}
	}
	fail_msg("too many timers");
}

void __wrap_core_timer_close(struct core_timer *t)
{
	for (size_t i = 0; t && i < TIMERS; i++)
		if (timers[i].timer == t)
			timers[i].timer = NULL;
	__real_core_timer_close(t);
}

/* ---- hashes ---- */

struct core_password_check {
	char hash[200], password[200];
	void (*done)(void *owner, bool fits, bool failed);
	void *owner;
};
static struct core_password_check *computing[64];
static size_t computing_count;
static bool hashes_fail;

bool core_password_hash_ok(const char *hash, struct sp_fail *why)
{
	(void)hash, (void)why;
	return true;
}

const char *core_password_decoy(void)
{
	return "decoy";
}

struct core_password_check *core_password_check(struct core_loop *l, const char *hash, struct sp_str password,
                                                void (*done)(void *owner, bool fits, bool failed), void *owner)
{
	(void)l;
	struct core_password_check *c = sp_alloc(sizeof(*c));
	snprintf(c->hash, sizeof(c->hash), "%s", hash);
	snprintf(c->password, sizeof(c->password), "H%.*s", SP_STR_ARG(password));
	c->done = done;
	c->owner = owner;
	assert_true(computing_count < SP_COUNT(computing));
	computing[computing_count++] = c;
	return c;
}

/* The one that has been computed the longest is through. */
static void compute_one(void)
{
	assert_true(computing_count > 0);
	struct core_password_check *c = computing[0];
	memmove(computing, computing + 1, --computing_count * sizeof(struct core_password_check *));
	c->done(c->owner, strcmp(c->hash, c->password) == 0 && !hashes_fail, hashes_fail);
	free(c);
}

/* ---- shards ---- */

static struct relay relay;
static struct shard shards[2];
static struct config config;

void shard_op_end(struct shard *s)
{
	assert_true(s->ops > 0);
	s->ops--;
}

static void use_users(const char *text)
{
	struct sp_fail why;
	users_unref(config.auth.users);
	config.auth.users = users_parse(sp_str_of(text), "users", &why);
	if (config.auth.users == NULL)
		fail_msg("%s", why.text);
}

static int setup(void **state)
{
	(void)state;
	now_ms = 1000000;
	relay.logins = logins_new();
	use_users("ann:Hsecret:*\nbob:Hbob:*\n");
	for (size_t i = 0; i < SP_COUNT(shards); i++) {
		shards[i] = (struct shard){ .relay = &relay, .config = &config, .loop = core_loop_new() };
		shards[i].mailbox = core_mailbox_open(shards[i].loop);
	}
	return 0;
}

static void turn(void)
{
	for (int i = 0; i < 5; i++)
		for (size_t j = 0; j < SP_COUNT(shards); j++)
			core_loop_turn(shards[j].loop);
}

static int teardown(void **state)
{
	(void)state;
	while (computing_count > 0) {
		compute_one();
		turn();
	}
	for (size_t i = 0; i < SP_COUNT(shards); i++) {
		core_mailbox_close(shards[i].mailbox);
		core_loop_run(shards[i].loop);
		core_loop_free(shards[i].loop);
		assert_int_equal(shards[i].ops, 0);
	}
	logins_free(relay.logins);
	users_unref(config.auth.users);
	config.auth.users = NULL;
	hashes_fail = false;
	return 0;
}

static void pass(uint64_t ms)
{
	now_ms += ms;
	for (size_t i = 0; i < TIMERS; i++) {
		struct core_timer *t = timers[i].timer;
		if (t && timers[i].at_ms <= now_ms) {
			timers[i].timer = NULL;
			__real_core_timer_start(t, 0);
		}
	}
	turn();
}

struct caller {
	struct login *login;
	unsigned calls;
	enum login_answer answer;
	uint64_t at_ms;
};

static void on_login(void *owner, enum login_answer answer)
{
	struct caller *c = owner;
	c->calls++;
	c->login = NULL;
	c->answer = answer;
	c->at_ms = now_ms;
}

static struct caller ask_at(struct caller *c, unsigned shard, const char *from, const char *name, const char *password)
{
	struct sp_addr at;
	char text[50];
	assert_true(sp_addr_parse_ip(sp_str_of(from), 4711, &at));
	snprintf(text, sizeof(text), "%s", password);
	*c = (struct caller){ 0 };
	c->login = login_begin(&shards[shard], &at, name, sp_str_of(text), on_login, c);
	assert_int_equal(c->calls, 0);          /* on a later turn */
	memset(text, 'x', strlen(text));        /* it has its own */
	return *c;
}

static void ask(struct caller *c, const char *from, const char *name, const char *password)
{
	ask_at(c, 0, from, name, password);
	turn();
}

/* From the start to the answer, with one hash at most. */
static struct caller log_in(const char *from, const char *name, const char *password)
{
	struct caller c;
	ask(&c, from, name, password);
	if (computing_count > 0)
		compute_one();
	turn();
	for (int i = 0; c.calls == 0 && i < 100000; i++)
		pass(10);
	assert_int_equal(c.calls, 1);
	return c;
}

/* ---- answers ---- */

static void test_right_and_wrong(void **state)
{
	(void)state;
	assert_int_equal(log_in("192.0.2.1", "ann", "secret").answer, LOGIN_OK);
	assert_int_equal(log_in("192.0.2.1", "ann", "Secret").answer, LOGIN_WRONG);
	assert_int_equal(log_in("192.0.2.1", "Ann", "secret").answer, LOGIN_WRONG);
	assert_int_equal(log_in("192.0.2.1", "ann", "").answer, LOGIN_WRONG);
	assert_int_equal(log_in("192.0.2.1", "", "").answer, LOGIN_WRONG);
	assert_int_equal(log_in("192.0.2.1", "bob", "secret").answer, LOGIN_WRONG);
	assert_int_equal(log_in("192.0.2.1", "bob", "bob").answer, LOGIN_OK);
}

static void test_a_password_that_fits_the_decoy_is_wrong(void **state)
{
	(void)state;
	use_users("ann:Hsecret:*\n");           /* whose hash stands for the name that is not there */
	struct caller c;
	ask(&c, "192.0.2.1", "nobody", "secret");
	assert_int_equal(computing_count, 1);
	compute_one();
	pass(LOGIN_DELAY_MS);
	assert_int_equal(c.calls, 1);
	assert_int_equal(c.answer, LOGIN_WRONG);
	assert_int_equal(log_in("192.0.2.9", "nobody", "secret").answer, LOGIN_WRONG);  /* nor is it remembered */
}

static void test_a_hash_that_cannot_be_computed_is_no_failure(void **state)
{
	(void)state;
	hashes_fail = true;
	struct caller c = log_in("192.0.2.1", "ann", "secret");
	assert_int_equal(c.answer, LOGIN_BUSY);
	hashes_fail = false;
	uint64_t before = now_ms;
	assert_int_equal(log_in("192.0.2.1", "ann", "secret").at_ms, before);
}

/* ---- delays ---- */

static uint64_t failing_takes(const char *from, const char *name)
{
	uint64_t before = now_ms;
	struct caller c = log_in(from, name, "wrong");
	assert_int_equal(c.answer, LOGIN_WRONG);
	return c.at_ms - before;
}

static void test_delays_grow_by_address(void **state)
{
	(void)state;
	static const uint64_t want[] = { 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000 };
	for (size_t i = 0; i < SP_COUNT(want); i++)
		assert_int_equal(failing_takes("192.0.2.1", i % 2 ? "nobody" : "ann"), want[i]);        /* a name that is not there: as late */
	assert_int_equal(failing_takes("192.0.2.2", "ann"), 1000);
	assert_int_equal(log_in("192.0.2.1", "ann", "secret").answer, LOGIN_OK);
	assert_int_equal(failing_takes("192.0.2.1", "ann"), 30000);     /* who knows one account is not let off */
	now_ms += LOGIN_FORGET_MS - 30000;
	assert_int_equal(failing_takes("192.0.2.1", "ann"), 1000);
}

static void test_an_ipv6_client_is_its_64(void **state)
{
	(void)state;
	assert_int_equal(failing_takes("2001:db8::1", "ann"), 1000);
	assert_int_equal(failing_takes("2001:db8:0:0:ffff:eeee:dddd:cccc", "ann"), 2000);
	assert_int_equal(failing_takes("2001:db8:0:1::1", "ann"), 1000);
	assert_int_equal(failing_takes("192.0.2.7", "ann"), 1000);
	assert_int_equal(failing_takes("::ffff:192.0.2.7", "ann"), 2000);
	assert_int_equal(failing_takes("::ffff:192.0.2.8", "ann"), 1000);
}

/* Who hangs up rather than wait for the answer, and tries again at once, gains nothing. */
static void test_hanging_up_does_not_shorten_the_wait(void **state)
{
	(void)state;
	struct caller c;
	ask(&c, "192.0.2.1", "ann", "wrong");
	login_cancel(c.login);
	assert_int_equal(computing_count, 1);
	compute_one();                          /* it counts all the same */
	ask(&c, "192.0.2.1", "ann", "secret");
	assert_int_equal(computing_count, 0);   /* kept */
	pass(LOGIN_DELAY_MS - 1);
	assert_int_equal(computing_count, 0);
	pass(1);
	assert_int_equal(computing_count, 1);
	compute_one();
	turn();
	assert_int_equal(c.calls, 1);
	assert_int_equal(c.answer, LOGIN_OK);
	struct caller other;
	ask(&other, "192.0.2.2", "bob", "bob"); /* others were never kept */
	assert_int_equal(computing_count, 1);
	login_cancel(other.login);
}

static void test_few_are_kept_of_an_address_that_fails(void **state)
{
	(void)state;
	struct caller c[LOGIN_OF_FAILING + 3];
	ask(&c[0], "192.0.2.1", "ann", "wrong");
	compute_one();
	turn();
	for (size_t i = 1; i < SP_COUNT(c); i++) {
		ask(&c[i], "192.0.2.1", "ann", "wrong");
		assert_int_equal(c[i].calls, i < LOGIN_OF_FAILING ? 0 : 1);
		assert_true(c[i].calls == 0 || c[i].answer == LOGIN_BUSY);
	}
	assert_int_equal(computing_count, 0);
	for (size_t i = 0; i < LOGIN_OF_FAILING; i++)
		login_cancel(c[i].login);
}

static void test_while_kept_another_failure_keeps_on(void **state)
{
	(void)state;
	struct caller a, b, c;
	ask(&a, "192.0.2.1", "ann", "wrong");
	ask(&b, "192.0.2.1", "ann", "wrong");
	compute_one();
	ask(&c, "192.0.2.1", "ann", "secret");
	pass(500);
	compute_one();                          /* the second failure: 2 s from now */
	turn();
	pass(500);
	assert_int_equal(a.calls, 1);
	assert_int_equal(computing_count, 0);
	pass(1499);
	assert_int_equal(computing_count, 0);
	pass(1);
	assert_int_equal(b.calls, 1);
	assert_int_equal(computing_count, 1);
	compute_one();
	turn();
	assert_int_equal(c.calls, 1);
}

/* ---- slots ---- */

static void test_only_so_many_hashes_at_once_over_all_shards(void **state)
{
	(void)state;
	struct caller c[6];
	for (unsigned i = 0; i < SP_COUNT(c); i++)
		ask_at(&c[i], i % 2, "192.0.2.1", "bob", i == 3 ? "wrong" : "bob");
	turn();
	for (unsigned i = 0; i < SP_COUNT(c); i++) {
		assert_int_equal(computing_count, sp_min(LOGIN_COMPUTING, SP_COUNT(c) - i));
		compute_one();
		turn();
		assert_int_equal(c[i].calls, i == 3 ? 0 : 1);           /* in the order they came */
	}
	pass(LOGIN_DELAY_MS);
	assert_int_equal(c[3].calls, 1);
	assert_int_equal(c[3].answer, LOGIN_WRONG);
}

static void test_a_long_line_is_busy(void **state)
{
	(void)state;
	static struct caller c[LOGIN_COMPUTING + LOGIN_WAITING + 1];
	for (unsigned i = 0; i < SP_COUNT(c); i++) {
		char from[20];
		snprintf(from, sizeof(from), "192.0.%u.%u", i / 250, i % 250);
		ask(&c[i], from, "ann", "secret");
		assert_int_equal(c[i].calls, i == SP_COUNT(c) - 1);
	}
	assert_int_equal(c[SP_COUNT(c) - 1].answer, LOGIN_BUSY);
	for (unsigned i = 0; i < SP_COUNT(c); i++)
		login_cancel(c[i].login);
	for (unsigned i = 0; i < SP_COUNT(c) - 1; i++)
		assert_int_equal(c[i].calls, 0);
	assert_int_equal(computing_count, LOGIN_COMPUTING);
	assert_int_equal(shards[0].ops, LOGIN_COMPUTING);       /* what is computed is waited for; nothing else */
}

static void test_one_address_does_not_fill_the_line(void **state)
{
	(void)state;
	static struct caller c[LOGIN_OF_ADDRESS + 1], other;
	for (unsigned i = 0; i < SP_COUNT(c); i++)
		ask(&c[i], "192.0.2.1", "ann", "secret");
	assert_int_equal(c[LOGIN_OF_ADDRESS].calls, 1);
	assert_int_equal(c[LOGIN_OF_ADDRESS].answer, LOGIN_BUSY);
	ask(&other, "192.0.2.2", "bob", "bob");
	assert_int_equal(other.calls, 0);
	for (unsigned i = 0; i < LOGIN_OF_ADDRESS; i++)
		login_cancel(c[i].login);
	login_cancel(other.login);
	login_cancel(NULL);
}

/* The slot that a cancelled one holds goes on to the next, also when it was only just granted. */
static void test_cancelled_while_it_is_granted(void **state)
{
	(void)state;
	struct caller c[4];
	for (unsigned i = 0; i < SP_COUNT(c); i++)
		ask_at(&c[i], 1, "192.0.2.1", "ann", "secret");
	turn();
	assert_int_equal(computing_count, 2);
	compute_one();                          /* posts to the third */
	login_cancel(c[2].login);
	turn();
	assert_int_equal(c[2].calls, 0);
	assert_int_equal(computing_count, 2);   /* the fourth has it */
	compute_one();
	compute_one();
	turn();
	assert_true(c[0].calls == 1 && c[1].calls == 1 && c[3].calls == 1);
	assert_int_equal(shards[1].ops, 0);
}

/* ---- what is remembered ---- */

static bool needs_a_hash(const char *name, const char *password)
{
	struct caller c;
	ask(&c, "192.0.2.1", name, password);
	bool needs = computing_count > 0;
	if (needs)
		compute_one();
	pass(LOGIN_DELAY_MAX_MS);
	assert_int_equal(c.calls, 1);
	return needs;
}

static void test_the_second_log_in_costs_no_hash(void **state)
{
	(void)state;
	assert_true(needs_a_hash("ann", "secret"));
	assert_false(needs_a_hash("ann", "secret"));
	assert_true(needs_a_hash("ann", "wrong"));
	assert_true(needs_a_hash("ann", "wrong"));              /* failures are not remembered */
	assert_true(needs_a_hash("annsecret", ""));             /* fields do not run into each other */
	assert_true(needs_a_hash("bob", "secret"));
	assert_false(needs_a_hash("ann", "secret"));
	now_ms += LOGIN_REMEMBER_MS;
	assert_true(needs_a_hash("ann", "secret"));
}

static void test_a_changed_password_is_forgotten_at_once(void **state)
{
	(void)state;
	assert_true(needs_a_hash("ann", "secret") && needs_a_hash("bob", "bob"));
	use_users("ann:Hother:*\nbob:Hbob:@example.com\n");
	struct caller c;
	ask(&c, "192.0.2.1", "ann", "secret");
	assert_int_equal(computing_count, 1);
	compute_one();
	pass(LOGIN_DELAY_MS);
	assert_int_equal(c.answer, LOGIN_WRONG);
	assert_false(needs_a_hash("bob", "bob"));               /* of others nothing is */
	use_users("ann:Hother:*\n");
	ask(&c, "192.0.2.2", "bob", "bob");
	assert_int_equal(computing_count, 1);
	compute_one();
	pass(LOGIN_DELAY_MS);
	assert_int_equal(c.answer, LOGIN_WRONG);
}

static void test_who_is_remembered_is_not_kept_waiting(void **state)
{
	(void)state;
	struct caller c;
	assert_true(needs_a_hash("ann", "secret"));
	ask(&c, "192.0.2.1", "ann", "guess");   /* somebody else behind the same address */
	compute_one();
	turn();
	uint64_t before = now_ms;
	assert_int_equal(log_in("192.0.2.1", "ann", "secret").at_ms, before);
	pass(LOGIN_DELAY_MS);
	assert_int_equal(c.calls, 1);
}

/* ---- bounds ---- */

static void test_memory_is_bounded(void **state)
{
	(void)state;
	struct login_book b;
	login_book_init(&b);
	struct sp_addr at;
	struct login_mark first = { 0 };
	for (uint32_t i = 0; i < LOGIN_ADDRESSES + 50; i++) {
		uint8_t octets[4] = { 10, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i };
		char name[20];
		sp_addr_from_ipv4(octets, 0, &at);
		struct login_client *c = login_book_enter(&b, &at, now_ms);
		login_book_failed(c, now_ms);
		login_book_leave(&b, c);
		snprintf(name, sizeof(name), "u%u", i);
		struct login_mark mark = login_book_mark(&b, name, SP_STR("p"), "h");
		if (i == 0)
			first = mark;
		login_book_remember(&b, &mark, now_ms);
		login_book_remember(&b, &mark, now_ms);
		assert_true(login_book_knows(&b, &mark, now_ms));
	}
	assert_int_equal(b.clients.count, LOGIN_ADDRESSES);
	assert_int_equal(b.fits.count, LOGIN_REMEMBERED);
	assert_false(login_book_knows(&b, &first, now_ms));
	struct login_client *gone = login_book_enter(&b, &(struct sp_addr){ 0 }, now_ms);       /* without a failure: nothing stays */
	login_book_leave(&b, gone);
	assert_int_equal(b.clients.count, LOGIN_ADDRESSES);
	uint8_t oldest[4] = { 10, 0, 0, 0 };
	sp_addr_from_ipv4(oldest, 0, &at);
	struct login_client *c = login_book_enter(&b, &at, now_ms);
	assert_int_equal(c->failures, 0);       /* the oldest went */
	login_book_leave(&b, c);
	login_book_clear(&b);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_right_and_wrong),
		TEST(test_a_password_that_fits_the_decoy_is_wrong),
		TEST(test_a_hash_that_cannot_be_computed_is_no_failure),
		TEST(test_delays_grow_by_address),
		TEST(test_an_ipv6_client_is_its_64),
		TEST(test_hanging_up_does_not_shorten_the_wait),
		TEST(test_few_are_kept_of_an_address_that_fails),
		TEST(test_while_kept_another_failure_keeps_on),
		TEST(test_only_so_many_hashes_at_once_over_all_shards),
		TEST(test_a_long_line_is_busy),
		TEST(test_one_address_does_not_fill_the_line),
		TEST(test_cancelled_while_it_is_granted),
		TEST(test_the_second_log_in_costs_no_hash),
		TEST(test_a_changed_password_is_forgotten_at_once),
		TEST(test_who_is_remembered_is_not_kept_waiting),
		cmocka_unit_test(test_memory_is_bounded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
