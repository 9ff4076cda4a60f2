/* relay/cmd_top.c - strictpost top: what a running relay does, on the whole terminal, drawn anew every few seconds. */
#include "relay/cmd.h"
#include "relay/cmd_options.h"

#include "core/clock.h"
#include "relay/config.h"
#include "relay/control.h"
#include "relay/status_screen.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#define SCREEN_MAX 262144               /* octets */
#define PROBLEMS_MAX 262144
#define SILENCE_S 5                     /* then it is told that the relay does not answer */
#define SIGNAL_MS 500                   /* a signal that came just before the wait is seen after it */
#define INTERVAL_MIN_MS 100
#define INTERVAL_MAX_MS 3600000

static const char help[] =
	"usage: strictpost top [--interval 2s] [--config FILE]\n\n"
	"Shows what the running relay does, on the whole terminal, until you press q: rates since the last look, the queue, sessions by what they proved, policies,\n"
	"disk, and where most waits. For programs there is strictpost status --json. Keys:\n"
	"  q       leaves\n"
	"  space   looks at once\n"
	"  r o n   the ten destinations where most waits in the order of: recipients (as it begins), oldest mail, name\n"
	"Exit: 0 you left it, 1 the terminal cannot be used, 2 usage, or no terminal, 78 a configuration that does not hold\n";

/* ---- the terminal ---- */

/* Alternate screen, no cursor, no wrapping; and back. ECMA-48 and xterm's private modes, which every terminal of today has. */
#define ENTER "\033[?1049h\033[?25l\033[?7l"
#define LEAVE "\033[?7h\033[?25h\033[?1049l"

static struct termios before;           /* as it was when we came */
static volatile sig_atomic_t stop, resized, suspended, continued;

static void on_signal(int number)
{
	if (number == SIGWINCH)
		resized = 1;
	else if (number == SIGTSTP)
		suspended = 1;
	else if (number == SIGCONT)
		continued = 1;
	else
		stop = number;
}

static void listen_to(int number)
{
	struct sigaction act = { .sa_handler = on_signal };             /* no SA_RESTART: the wait for a key ends */
	sigaction(number, &act, NULL);
}

static bool take_screen(void)
{
	struct termios raw = before;
	raw.c_lflag &= (tcflag_t)~(ICANON | ECHO);
	raw.c_cc[VMIN] = 1;
	raw.c_cc[VTIME] = 0;
	if (tcsetattr(STDIN_FILENO, TCSAFLUSH, &raw) != 0)
		return false;
	fputs(ENTER, stdout);
	return true;
}

static bool enter(void)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH, SIGTSTP, SIGCONT };
	if (tcgetattr(STDIN_FILENO, &before) != 0)
		return false;
	for (size_t i = 0; i < SP_COUNT(signals); i++)
		listen_to(signals[i]);
	return take_screen();
}

static void leave(void)
{
	fputs(LEAVE, stdout);
	fflush(stdout);
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
}

/* Ctrl-Z: the shell has its screen until it continues us; and what stopped us without asking left the screen to others, too. */
static void follow_signals(void)
{
	if (suspended) {
		suspended = 0;
		leave();
		signal(SIGTSTP, SIG_DFL);
		raise(SIGTSTP);                         /* returns when we are continued */
		listen_to(SIGTSTP);
		continued = 1;
	}
	if (continued) {
		continued = 0;
		resized = take_screen();
	}
}

/* The lines that fit, each to its end: what stood there before is gone. No flicker: nothing is cleared first. */
static void draw(const struct sp_buf *screen)
{
	unsigned lines = terminal_height(stdout);
	struct sp_str rest = sp_buf_str(screen);
	fputs("\033[H", stdout);
	for (unsigned i = 0; i < lines && rest.len > 0; i++) {
		struct sp_str line = sp_take_until(&rest, '\n');
		printf("%s%.*s\033[K", i ? "\r\n" : "", (int)line.len, line.p ? line.p : "");
	}
	fputs("\033[J", stdout);
	fflush(stdout);
}

struct top {
	const char *config_path, *socket;
	int64_t interval_ms;
	json_t *last;                   /* the status before; NULL: none of this relay */
	uint64_t last_ms;               /* monotonic */
	enum { BY_RECIPIENTS, BY_OLDEST, BY_NAME } order;
	bool left, at_once;             /* a key was pressed: to leave; to draw anew */
};

/* ---- keys ---- */

static void press(struct top *t, char key)
{
	t->at_once = true;
	switch (key) {
	case 'q': case 'Q': t->left = true; break;
	case 'r': case 'R': t->order = BY_RECIPIENTS; break;
	case 'o': case 'O': t->order = BY_OLDEST; break;
	case 'n': case 'N': t->order = BY_NAME; break;
	case ' ': break;
	default: t->at_once = false;
	}
}

/* Takes what was typed and what came as a signal, without waiting; also while the relay is silent. False: to be left. */
static bool attend(void *owner)
{
	struct top *t = owner;
	struct pollfd keys = { .fd = STDIN_FILENO, .events = POLLIN };
	char key;
	follow_signals();
	while (!stop && !t->left && poll(&keys, 1, 0) > 0) {
		if (read(STDIN_FILENO, &key, 1) > 0)
			press(t, key);
		else
			t->left = errno != EINTR;
	}
	return !stop && !t->left;
}

/* Until a key that means something, a signal, or the next look is due. False: to be left. */
static bool wait_for_key(struct top *t)
{
	uint64_t until_ms = core_clock_mono_ms() + (uint64_t)t->interval_ms;
	while (attend(t) && !resized && !t->at_once) {
		struct pollfd keys = { .fd = STDIN_FILENO, .events = POLLIN };
		uint64_t now_ms = core_clock_mono_ms();
		if (now_ms >= until_ms)
			break;
		poll(&keys, 1, (int)sp_min(until_ms - now_ms, SIGNAL_MS));
	}
	return !stop && !t->left;
}

/* ---- what is asked ---- */

static json_t *get(struct top *t, const char *path, struct sp_buf *why)
{
	const struct control_patience patience = { .silence_s = SILENCE_S, .watch = STDIN_FILENO, .stay = attend, .owner = t };
	struct control_answer a;
	json_t *v = NULL;
	sp_buf_init(&a.body, 0);
	if (control_ask(t->config_path, t->socket, "GET", path, &patience, &a, why)) {
		if (a.status == 200)
			v = json_loadb(a.body.p ? a.body.p : "", a.body.len, 0, NULL);
		else
			control_error(&a, why);
	}
	sp_buf_clear(&a.body);
	return v;
}

static double rate(const struct top *t, const json_t *v, const char *name, uint64_t now_ms)
{
	double seconds = (double)(now_ms - t->last_ms) / 1000;
	int64_t more = status_number(v, name) - status_number(t->last, name);
	return t->last && seconds > 0 && more > 0 ? (double)more / seconds : 0;
}

static void add_rates(const struct top *t, const json_t *v, uint64_t now_ms, struct sp_buf *out)
{
	sp_buf_printf(out, "%sa second   %.1f accepted; %.1f delivered, %.1f bounced, %.1f times deferred%s\n", terminal_on(stdout, TERMINAL_BOLD),
	              rate(t, v, "accepted", now_ms), rate(t, v, "delivered", now_ms), rate(t, v, "bounced", now_ms), rate(t, v, "deferred", now_ms),
	              terminal_off(stdout, TERMINAL_BOLD));
}

/* Another relay counts from 0. */
static bool same_relay(const json_t *a, const json_t *b)
{
	return status_number(a, "pid") == status_number(b, "pid") && strcmp(status_text(a, "started"), status_text(b, "started")) == 0;
}

static void keep(struct top *t, json_t *v, uint64_t now_ms)
{
	json_decref(t->last);
	t->last = v;
	t->last_ms = now_ms;
}

/* ---- what is shown ---- */

/* Is `a` to stand before `b`? */
static bool comes_before(const struct top *t, const json_t *a, const json_t *b)
{
	if (t->order == BY_NAME)
		return strcmp(status_text(a, "destination"), status_text(b, "destination")) < 0;
	return strcmp(status_text(a, "oldest"), status_text(b, "oldest")) < 0;          /* RFC 3339 in UTC: as text, as in time */
}

/* Lent rows in a new array, in the order that was asked for; the relay has them by recipients. */
static json_t *ordered(const struct top *t, const json_t *rows)
{
	json_t *list = json_array();
	size_t i;
	json_t *row;
	json_array_foreach((json_t *)rows, i, row) {
		size_t at = json_array_size(list);
		while (t->order != BY_RECIPIENTS && at > 0 && comes_before(t, row, json_array_get(list, at - 1)))
			at--;
		json_array_insert(list, at, row);
	}
	return list;
}

static void compose(struct top *t, struct sp_buf *out)
{
	struct sp_buf why;
	sp_buf_init(&why, 4096);
	json_t *v = get(t, "/status", &why), *worst = v ? get(t, "/destinations?top=10", &why) : NULL;
	json_t *rows = ordered(t, json_object_get(worst, "destinations"));
	uint64_t now_ms = core_clock_mono_ms();
	if (v && t->last && !same_relay(v, t->last))
		keep(t, NULL, now_ms);
	if (v) {
		status_screen_head(v, out);
		add_rates(t, v, now_ms, out);
		status_screen_body(v, out);
		status_screen_worst(rows, terminal_width(stdout), out);
		status_screen_overrides(v, out);
	} else {
		sp_buf_printf(out, "%sno answer%s; asked again every %.1f s, q leaves\n\n", terminal_on(stdout, TERMINAL_BAD), terminal_off(stdout, TERMINAL_BAD),
		              (double)t->interval_ms / 1000);
		terminal_fit(out, sp_buf_str(&why), 0);
		sp_buf_addc(out, '\n');
	}
	keep(t, v, now_ms);
	json_decref(rows);
	json_decref(worst);
	sp_buf_clear(&why);
}

static int show(struct top *t)
{
	if (!enter()) {
		fputs("strictpost top: the terminal cannot be used\n", stderr);
		return RELAY_EXIT_FAILED;
	}
	struct sp_buf screen;
	sp_buf_init(&screen, SCREEN_MAX);
	do {
		resized = 0;
		t->at_once = false;
		sp_buf_reset(&screen);
		compose(t, &screen);
		if (!stop && !t->left)
			draw(&screen);
	} while (wait_for_key(t));
	leave();
	sp_buf_clear(&screen);
	json_decref(t->last);
	return RELAY_EXIT_OK;
}

int cmd_top(int argc, char **argv)
{
	struct cmd_options o;
	struct top t = { .interval_ms = 2000 };
	int status;
	const struct cmd_option own[] = { { .name = "interval", .duration_ms = &t.interval_ms }, { 0 } };
	if (!cmd_options_with(argc, argv, help, false, own, &o, &status) || !cmd_arguments(argc, argv, 0, 0, &status))
		return status;
	if (t.interval_ms < INTERVAL_MIN_MS || t.interval_ms > INTERVAL_MAX_MS) {
		fputs("strictpost top: --interval: from 100ms to 1h\n", stderr);
		return RELAY_EXIT_USAGE;
	}
	if (!terminal_is(stdout) || !isatty(STDIN_FILENO)) {
		fputs("strictpost top: this is no terminal; for programs there is: strictpost status --json\n", stderr);
		return RELAY_EXIT_USAGE;
	}
	struct sp_buf problems;
	sp_buf_init(&problems, PROBLEMS_MAX);
	struct config *c = config_load(o.config, &problems);
	status = RELAY_EXIT_CONFIG;
	t.config_path = o.config;
	if (c) {
		t.socket = c->admin.socket;
		status = show(&t);
	} else {
		fputs(sp_buf_cstr(&problems), stderr);
	}
	config_unref(c);
	sp_buf_clear(&problems);
	return status;
}
