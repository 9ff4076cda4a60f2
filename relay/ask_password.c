/* relay/ask_password.c - see ask_password.h. */
#include "relay/ask_password.h"

#include "core/password.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <termios.h>
#include <unistd.h>

#define MADE_LEN 24

static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP };
static volatile sig_atomic_t came;      /* the signal that did, or 0 */

static void on_signal(int signo)
{
	came = signo;
}

/* One octet of standard input, 0 at its end, -1 where a signal came: also one that came just before, since they are blocked but in here. */
static ssize_t read_octet(char *c, const sigset_t *mask)
{
	struct pollfd in = { .fd = STDIN_FILENO, .events = POLLIN };
	return ppoll(&in, 1, NULL, mask) < 0 ? -1 : read(STDIN_FILENO, c, 1);
}

/* Up to the end of the line, which is taken, or of the input. Octet by octet: what follows is not ours. False: a signal came, or it cannot be read. */
static bool read_line(const sigset_t *mask, struct sp_buf *out, bool *longer)
{
	char c;
	ssize_t n;
	*longer = false;
	while ((n = read_octet(&c, mask)) > 0 && c != '\n') {
		*longer |= out->len >= CORE_PASSWORD_MAX;
		if (!*longer)
			sp_buf_addc(out, c);
	}
	if (out->len > 0 && out->p[out->len - 1] == '\r')
		sp_buf_truncate(out, out->len - 1);
	return n >= 0;
}

/* `mask`: of the signals while waiting; NULL: as it is. */
static bool take_line(const sigset_t *mask, struct sp_buf *out, struct sp_fail *why)
{
	bool longer;
	if (!read_line(mask, out, &longer))
		sp_fail_set(why, SP_FAIL_STORE, "no password came: %s", came ? strsignal(came) : strerror(errno));
	else if (longer)
		sp_fail_set(why, SP_FAIL_STORE, "the password is longer than %d octets", CORE_PASSWORD_MAX);
	else if (out->len == 0)
		sp_fail_set(why, SP_FAIL_STORE, "the password is empty");
	else
		return true;
	return false;
}

static bool ask_once(const char *prompt, const sigset_t *mask, struct sp_buf *out, struct sp_fail *why)
{
	fputs(prompt, stderr);
	fflush(stderr);
	bool good = take_line(mask, out, why);
	fputc('\n', stderr);            /* the one that was typed was not shown */
	return good;
}

static bool ask_twice(const char *prompt, const sigset_t *mask, struct sp_buf *out, struct sp_fail *why)
{
	struct sp_buf again;
	sp_buf_init(&again, CORE_PASSWORD_MAX);
	char *room = sp_buf_room(&again, CORE_PASSWORD_MAX);    /* at once, so that no copy stays behind */
	sp_assert(room);
	bool good = ask_once(prompt, mask, out, why) && ask_once("once more: ", mask, &again, why);
	if (good && !sp_str_eq(sp_buf_str(out), sp_buf_str(&again))) {
		sp_fail_set(why, SP_FAIL_STORE, "the two passwords differ");
		good = false;
	}
	sp_buf_wipe(&again);
	return good;
}

/* With echo off. A signal ends the asking; it is raised when all is as it was. */
static bool ask_terminal(const char *prompt, bool twice, const struct termios *was, struct sp_buf *out, struct sp_fail *why)
{
	struct sigaction old[SP_COUNT(signals)], ours = { .sa_handler = on_signal };
	struct termios quiet = *was;
	sigset_t blocked, mask;
	came = 0;
	sigemptyset(&blocked);
	for (size_t i = 0; i < SP_COUNT(signals); i++)
		sigaddset(&blocked, signals[i]);
	sigprocmask(SIG_BLOCK, &blocked, &mask);
	for (size_t i = 0; i < SP_COUNT(signals); i++)
		sigaction(signals[i], &ours, &old[i]);
	quiet.c_lflag &= ~(tcflag_t)(ECHO | ECHONL);
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
	bool good = twice ? ask_twice(prompt, &mask, out, why) : ask_once(prompt, &mask, out, why);
	tcsetattr(STDIN_FILENO, TCSAFLUSH, was);
	for (size_t i = 0; i < SP_COUNT(signals); i++)
		sigaction(signals[i], &old[i], NULL);
	sigprocmask(SIG_SETMASK, &mask, NULL);
	if (came)
		raise(came);
	return good && !came;
}

bool ask_password(const char *prompt, bool twice, struct sp_buf *out, struct sp_fail *why)
{
	struct termios was;
	char *room = sp_buf_room(out, CORE_PASSWORD_MAX);
	sp_assert(room);
	if (tcgetattr(STDIN_FILENO, &was) == 0)
		return ask_terminal(prompt, twice, &was, out, why);
	return take_line(NULL, out, why);
}

void make_password(struct sp_buf *out)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
	const unsigned count = sizeof(digits) - 1, fair = 256 / count * count;
	for (int n = 0; n < MADE_LEN;) {
		unsigned char octet;
		sp_assert(getrandom(&octet, 1, 0) == 1);
		if (octet >= fair)
			continue;               /* else some would come more often than others */
		sp_buf_addc(out, digits[octet % count]);
		n++;
	}
}
