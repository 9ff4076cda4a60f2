/* tests/bench/smtpsink.c - an MX host that takes everything, checks and counts it, and keeps nothing.
 * Speaks RFC 5321 with PIPELINING, SIZE, 8BITMIME, CHUNKING and STARTTLS, as little of it as a correct
 * client needs. One thread, one epoll. Used by tests/bench/run. */
#include "intake.h"
#include "sinktls.h"
#include "tally.h"
#include "wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define LINE_MAX_LEN 2048
#define RCPT_MAX 100
#define READ_LEN 65536

struct listener {
	enum source { SOURCE_SMTP, SOURCE_CONTROL, SOURCE_SIGNAL, SOURCE_PEER } source;
	int fd;
};

struct peer {
	enum source source;                  /* first, as in struct listener */
	enum { PEER_COMMAND, PEER_DATA, PEER_CHUNK } mode;
	struct wire wire;
	struct peer *next;                   /* in waiting */
	uint64_t due_ns;                     /* waiting: when its output may go */
	bool waiting, leaving, start_tls, in_chunks, last_chunk;
	size_t line_len;
	size_t chunk_left;
	size_t rcpts;
	struct tally_domain *rcpt[RCPT_MAX];
	struct intake in;
	char line[LINE_MAX_LEN];             /* a command whose end has not come */
};

static SSL_CTX *tls;
static int epoll;
static struct listener listeners[64];
static size_t listeners_len;
static uint64_t latency_ns;
static struct { struct peer *first, **last; } waiting = { NULL, &waiting.first };    /* in order of due_ns */
static volatile bool stopping;

/* ---- commands ---- */

struct command {
	const char *verb;
	void (*apply)(struct peer *p, const char *rest);
};

static void reset(struct peer *p)
{
	p->rcpts = 0;
	p->in_chunks = false;
}

static void on_ehlo(struct peer *p, const char *rest)
{
	(void)rest;
	reset(p);
	wire_puts(&p->wire, "250-sink\r\n250-PIPELINING\r\n250-SIZE 104857600\r\n250-8BITMIME\r\n250-CHUNKING\r\n");
	if (tls != NULL && p->wire.ssl == NULL)
		wire_puts(&p->wire, "250-STARTTLS\r\n");
	wire_puts(&p->wire, "250 ENHANCEDSTATUSCODES\r\n");
}

static void on_helo(struct peer *p, const char *rest)
{
	(void)rest;
	reset(p);
	wire_puts(&p->wire, "250 sink\r\n");
}

static void on_starttls(struct peer *p, const char *rest)
{
	(void)rest;
	p->start_tls = tls != NULL && p->wire.ssl == NULL;
	wire_puts(&p->wire, p->start_tls ? "220 2.0.0 go ahead\r\n" : "503 5.5.1 not here\r\n");
}

static void on_ok(struct peer *p, const char *rest)
{
	(void)rest;
	reset(p);
	wire_puts(&p->wire, "250 2.0.0 ok\r\n");
}

static void on_rcpt(struct peer *p, const char *rest)
{
	const char *at = strrchr(rest, '@');

	if (at == NULL) {
		wire_puts(&p->wire, "501 5.1.3 no domain\r\n");
		return;
	}
	if (p->rcpts == RCPT_MAX) {
		wire_puts(&p->wire, "452 4.5.3 too many\r\n");
		return;
	}
	p->rcpt[p->rcpts++] = tally_domain(at + 1, strcspn(at + 1, "> "));
	wire_puts(&p->wire, "250 2.1.5 ok\r\n");
}

static void on_data(struct peer *p, const char *rest)
{
	(void)rest;
	if (p->rcpts == 0) {
		wire_puts(&p->wire, "503 5.5.1 no recipients\r\n");
		return;
	}
	intake_begin(&p->in);
	p->mode = PEER_DATA;
	wire_puts(&p->wire, "354 go ahead\r\n");
}

static void on_bdat(struct peer *p, const char *rest)
{
	char *end;

	if (!p->in_chunks)
		intake_begin(&p->in);
	p->in_chunks = true;
	p->chunk_left = strtoul(rest, &end, 10);
	p->last_chunk = strcasecmp(end, " LAST") == 0;
	p->mode = PEER_CHUNK;
}

static void on_quit(struct peer *p, const char *rest)
{
	(void)rest;
	p->leaving = true;
	wire_puts(&p->wire, "221 2.0.0 bye\r\n");
}

static const struct command commands[] = {
	{ "MAIL FROM:", on_ok },
	{ "RCPT TO:",   on_rcpt },
	{ "DATA",       on_data },
	{ "BDAT ",      on_bdat },
	{ "EHLO ",      on_ehlo },
	{ "HELO ",      on_helo },
	{ "STARTTLS",   on_starttls },
	{ "RSET",       on_ok },
	{ "NOOP",       on_ok },
	{ "QUIT",       on_quit },
};

static void on_command(struct peer *p, const char *line)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++) {
		size_t len = strlen(commands[i].verb);
		if (strncasecmp(line, commands[i].verb, len) == 0) {
			commands[i].apply(p, line + len);
			return;
		}
	}
	wire_puts(&p->wire, "500 5.5.2 what?\r\n");
}

/* ---- input: each taker returns the octets it took ---- */

static void on_message(struct peer *p)
{
	tally_message(&p->in.check, p->rcpt, p->rcpts);
	reset(p);
	wire_puts(&p->wire, "250 2.0.0 taken\r\n");
}

static size_t take_command(struct peer *p, const char *buf, size_t n)
{
	const char *lf = memchr(buf, '\n', n);
	size_t len = lf != NULL ? (size_t)(lf - buf) + 1 : n;

	if (p->line_len + len >= LINE_MAX_LEN) {
		p->leaving = true;
		return n;
	}
	memcpy(p->line + p->line_len, buf, len);
	p->line_len += len;
	if (lf == NULL)
		return n;
	while (p->line_len > 0 && strchr("\r\n", p->line[p->line_len - 1]) != NULL)
		p->line_len--;
	p->line[p->line_len] = '\0';
	p->line_len = 0;
	on_command(p, p->line);
	return len;
}

static size_t take_data(struct peer *p, const char *buf, size_t n)
{
	bool done;
	size_t len = intake_data(&p->in, buf, n, &done);

	if (done) {
		p->mode = PEER_COMMAND;
		on_message(p);
	}
	return len;
}

static size_t take_chunk(struct peer *p, const char *buf, size_t n)
{
	size_t len = n < p->chunk_left ? n : p->chunk_left;

	intake_raw(&p->in, buf, len);
	p->chunk_left -= len;
	return len;
}

static void end_chunk(struct peer *p)
{
	if (p->mode != PEER_CHUNK || p->chunk_left > 0)
		return;
	p->mode = PEER_COMMAND;
	if (p->last_chunk)
		on_message(p);
	else
		wire_puts(&p->wire, "250 2.0.0 more\r\n");
}

static void take(struct peer *p, const char *buf, size_t n)
{
	while (n > 0 && !p->leaving && !p->start_tls) {      /* RFC 3207 5: nothing said before TLS counts */
		size_t len = p->mode == PEER_DATA ? take_data(p, buf, n)
		    : p->mode == PEER_CHUNK ? take_chunk(p, buf, n) : take_command(p, buf, n);
		buf += len;
		n -= len;
		end_chunk(p);
	}
}

/* ---- peers ---- */

static void peer_close(struct peer *p)
{
	wire_close(&p->wire);
	free(p);
}

/* Sends what is gathered and does what was to follow it. Returns false when the peer is gone. */
static bool peer_answer(struct peer *p)
{
	if (wire_flush(&p->wire) != 0 || (p->leaving && p->wire.out_len == 0)) {
		peer_close(p);
		return false;
	}
	if (p->start_tls) {
		p->start_tls = false;
		wire_start_tls(&p->wire, tls, true, NULL);
	}
	return true;
}

/* As peer_answer(), but after the latency that was asked for; until then nothing more is read. */
static bool peer_answer_later(struct peer *p)
{
	if (latency_ns == 0)
		return peer_answer(p);
	p->due_ns = bench_now_ns() + latency_ns;
	p->waiting = true;
	p->next = NULL;
	*waiting.last = p;
	waiting.last = &p->next;
	epoll_ctl(epoll, EPOLL_CTL_MOD, p->wire.fd, &(struct epoll_event){ .data.ptr = p });
	return true;
}

/* Returns false when the peer is gone. */
static bool peer_handshake(struct peer *p)
{
	int done = wire_handshake(&p->wire);

	if (done < 0) {
		peer_close(p);
		return false;
	}
	if (done > 0)
		tally_tls(SSL_session_reused(p->wire.ssl));
	return done > 0;
}

static void on_peer(struct peer *p)
{
	static char buf[READ_LEN];
	ssize_t n;

	if (p->waiting || (p->wire.handshaking && !peer_handshake(p)))
		return;
	do {
		n = wire_read(&p->wire, buf, sizeof(buf));
		if (n < 0) {
			peer_close(p);
			return;
		}
		take(p, buf, (size_t)n);
	} while (n > 0 && !p->leaving && !p->start_tls && wire_has_more(&p->wire));
	if (p->wire.out_len > 0)
		peer_answer_later(p);
}

/* Lets those go whose latency is over. Returns milliseconds to the next one, -1 if there is none. */
static int answer_waiting(void)
{
	while (waiting.first != NULL) {
		struct peer *p = waiting.first;
		uint64_t now = bench_now_ns();
		if (p->due_ns > now)
			return (int)((p->due_ns - now + 999999) / 1000000);
		waiting.first = p->next;
		if (waiting.first == NULL)
			waiting.last = &waiting.first;
		p->waiting = false;
		epoll_ctl(epoll, EPOLL_CTL_MOD, p->wire.fd,
		    &(struct epoll_event){ .events = EPOLLIN, .data.ptr = p });
		if (peer_answer(p) && wire_has_more(&p->wire))
			on_peer(p);
	}
	return -1;
}

static void on_connection(int listener)
{
	struct peer *p;
	int fd;

	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		p = bench_alloc(sizeof(*p));
		p->source = SOURCE_PEER;
		wire_open(&p->wire, epoll, fd, p, false);
		tally_session();
		wire_puts(&p->wire, "220 sink ESMTP\r\n");
		peer_answer_later(p);
	}
	if (errno != EAGAIN && errno != ECONNABORTED)
		bench_die("accept: %s", strerror(errno));
}

/* ---- the process ---- */

/* Whoever connects to the control socket is told what has come so far, and let go. */
static void on_control(int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	FILE *f = fd >= 0 ? fdopen(fd, "w") : NULL;

	if (f == NULL)
		return;
	tally_print(f, false);
	fclose(f);
}

static void on_signal(int fd)
{
	struct signalfd_siginfo info;

	if (read(fd, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo == SIGUSR1)
		tally_print(stdout, true);
	else
		stopping = true;
}

static void add_listener(enum source source, int fd)
{
	struct listener *l = &listeners[listeners_len];

	if (listeners_len++ == sizeof(listeners) / sizeof(*listeners))
		bench_die("too many addresses");
	*l = (struct listener){ source, fd };
	epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &(struct epoll_event){ .events = EPOLLIN, .data.ptr = l });
}

static void listen_smtp(char *address)
{
	char *colon = strrchr(address, ':');
	struct sockaddr_in sin = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (colon == NULL)
		bench_die("%s: want ADDRESS:PORT", address);
	*colon = '\0';
	sin.sin_port = htons((uint16_t)atoi(colon + 1));
	if (inet_pton(AF_INET, address, &sin.sin_addr) != 1)
		bench_die("%s: not an IPv4 address", address);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
	if (bind(fd, (struct sockaddr *)&sin, sizeof(sin)) != 0 || listen(fd, 4096) != 0)
		bench_die("%s:%s: %s", address, colon + 1, strerror(errno));
	add_listener(SOURCE_SMTP, fd);
}

static void listen_control(const char *path)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path);
	unlink(path);
	if (bind(fd, (struct sockaddr *)&sun, sizeof(sun)) != 0 || listen(fd, 16) != 0)
		bench_die("%s: %s", path, strerror(errno));
	add_listener(SOURCE_CONTROL, fd);
}

static void watch_signals(void)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	add_listener(SOURCE_SIGNAL, signalfd(-1, &set, SFD_CLOEXEC));
}

static void serve(void)
{
	struct epoll_event events[256];

	while (!stopping) {
		int n = epoll_wait(epoll, events, 256, answer_waiting());
		for (int i = 0; i < n; i++) {
			struct listener *l = events[i].data.ptr;
			switch (l->source) {
			case SOURCE_SMTP:    on_connection(l->fd); break;
			case SOURCE_CONTROL: on_control(l->fd); break;
			case SOURCE_SIGNAL:  on_signal(l->fd); break;
			case SOURCE_PEER:    on_peer(events[i].data.ptr); break;
			}
		}
	}
	tally_print(stdout, true);
}

static void raise_file_limit(void)
{
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static const char usage[] =
	"usage: smtpsink [options] ADDRESS:PORT...\n"
	"Takes all mail, counts it, and prints JSON on SIGUSR1 and at its end (SIGTERM).\n"
	"  --key FILE         private key of all certificates; without it no STARTTLS\n"
	"  --cert FILE        certificate for clients that name no host we know\n"
	"  --certs DIR        NAME.pem is the certificate of host NAME\n"
	"  --control PATH     UNIX socket that tells the counts to whoever connects\n"
	"  --latency-ms N     answer this much later\n";

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "key", required_argument, NULL, 'k' },     { "cert", required_argument, NULL, 'c' },
		{ "certs", required_argument, NULL, 'd' },   { "control", required_argument, NULL, 's' },
		{ "latency-ms", required_argument, NULL, 'l' }, { "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	const char *key = NULL, *cert = NULL, *certs = NULL, *control = NULL;
	int opt;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1)
		switch (opt) {
		case 'k': key = optarg; break;
		case 'c': cert = optarg; break;
		case 'd': certs = optarg; break;
		case 's': control = optarg; break;
		case 'l': latency_ns = strtoull(optarg, NULL, 10) * 1000000; break;
		case 'h': fputs(usage, stdout); return 0;
		default:  fputs(usage, stderr); return 2;
		}
	if (optind == argc)
		bench_die("%s", usage);
	payload_init();
	raise_file_limit();
	epoll = epoll_create1(EPOLL_CLOEXEC);
	if (key != NULL)
		tls = sinktls_new(cert, certs, key);
	if (control != NULL)
		listen_control(control);
	while (optind < argc)
		listen_smtp(argv[optind++]);
	watch_signals();
	serve();
	return 0;
}
