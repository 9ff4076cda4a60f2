/* tests/bench/smtpgen.c - sends numbered messages over many SMTP sessions as a mail server would, as fast
 * as they are taken, and tells how long each acceptance took: from the end of data to its reply.
 * One thread, one epoll. Used by tests/bench/run. */
#include "payload.h"
#include "wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_LEN 16384
#define REPLY_LINE_MAX 1024
#define CONTENT_PIECE 65536              /* content made ahead of what the peer takes */

/*  GREETING -> EHLO [-> STARTTLS -> HANDSHAKE -> EHLO] -> ENVELOPE -> CONTENT -> ENVELOPE ... -> QUIT
 *  ENVELOPE waits for the replies to MAIL, RCPT and DATA, which go out together (RFC 2920). */
enum state { GREETING, EHLO, STARTTLS, HANDSHAKE, ENVELOPE, CONTENT, QUIT };

struct session {
	struct wire wire;
	enum state state;
	bool offers_tls;
	bool refused;                        /* MAIL, RCPT or DATA of this message */
	unsigned replies;                    /* ENVELOPE: come so far */
	unsigned sent;                       /* messages on this connection */
	uint64_t id, line, lines;            /* the message; body lines written, and of all */
	uint64_t end_ns;                     /* when its end of data was written */
	size_t reply_len;
	char reply[REPLY_LINE_MAX];
};

static struct {
	struct sockaddr_in to;
	uint64_t count, first_id;
	unsigned sessions, per_session, domains;
	size_t size;
	bool starttls;
	const char *prefix, *suffix, *sni;
} opt = { .count = 1000, .sessions = 50, .per_session = 100, .domains = 1, .size = 4096,
	.prefix = "d", .suffix = "bench.test" };

static SSL_CTX *tls;
static int epoll;
static uint64_t next_message, accepted, failed, connections, lost;
static uint64_t start_ns, last_ns;
static uint32_t *accept_us;              /* a row an accepted message */
static unsigned open_sessions;
static char first_trouble[REPLY_LINE_MAX];

static void note_trouble(const char *what)
{
	if (first_trouble[0] == '\0')
		snprintf(first_trouble, sizeof(first_trouble), "%s", what);
}

/* ---- what is sent ---- */

static void address_of(uint64_t id, char *out, size_t cap)
{
	snprintf(out, cap, "rcpt@%s%04" PRIu64 ".%s", opt.prefix, id % opt.domains, opt.suffix);
}

static void send_envelope(struct session *s)
{
	char to[320], line[640];

	if (next_message == opt.count || s->sent == opt.per_session) {
		s->state = QUIT;
		wire_puts(&s->wire, "QUIT\r\n");
		return;
	}
	s->id = opt.first_id + next_message++;
	s->sent++;
	s->replies = 0;
	s->refused = false;
	s->state = ENVELOPE;
	address_of(s->id, to, sizeof(to));
	snprintf(line, sizeof(line), "MAIL FROM:<sender@client.example> SIZE=%zu\r\nRCPT TO:<%s>\r\nDATA\r\n",
	    opt.size, to);
	wire_puts(&s->wire, line);
}

/* Fills the output with content as far as a piece goes; ends it with the final dot. */
static void add_content(struct session *s)
{
	char *room;

	if (s->state != CONTENT || s->end_ns != 0)
		return;
	room = wire_room(&s->wire, CONTENT_PIECE);
	wire_grow(&s->wire, payload_lines(room, CONTENT_PIECE, s->id, &s->line, s->lines));
	if (s->line < s->lines)
		return;
	wire_puts(&s->wire, ".\r\n");
	s->end_ns = bench_now_ns();
}

static void begin_content(struct session *s)
{
	char to[320];

	address_of(s->id, to, sizeof(to));
	s->state = CONTENT;
	s->line = 0;
	s->end_ns = 0;
	wire_grow(&s->wire, payload_head(wire_room(&s->wire, PAYLOAD_HEAD_MAX), s->id, to, opt.size, &s->lines));
	add_content(s);
}

/* ---- what comes back ---- */

static void on_ehlo(struct session *s)
{
	if (opt.starttls && s->wire.ssl == NULL) {
		if (!s->offers_tls)
			bench_die("no STARTTLS there");
		s->state = STARTTLS;
		wire_puts(&s->wire, "STARTTLS\r\n");
		return;
	}
	send_envelope(s);
}

static void on_envelope(struct session *s, int code)
{
	if (code >= 400) {
		s->refused = true;
		note_trouble(s->reply);
	}
	if (++s->replies < 3)
		return;
	if (code == 354) {
		begin_content(s);
		return;
	}
	failed++;
	send_envelope(s);
}

static void on_content(struct session *s, int code)
{
	last_ns = bench_now_ns();
	if (code == 250 && s->end_ns != 0) {
		accept_us[accepted++] = (uint32_t)((last_ns - s->end_ns) / 1000);
	} else {
		failed++;
		note_trouble(s->reply);
	}
	send_envelope(s);
}

/* A whole reply came; its last line is in s->reply. Returns false when the session is at its end. */
static bool on_reply(struct session *s, int code)
{
	switch (s->state) {
	case GREETING:
		if (code != 220) {
			note_trouble(s->reply);
			return false;
		}
		s->state = EHLO;
		wire_puts(&s->wire, "EHLO client.example\r\n");
		break;
	case EHLO:
		on_ehlo(s);
		break;
	case STARTTLS:
		if (code != 220)
			bench_die("STARTTLS refused: %s", s->reply);
		s->state = HANDSHAKE;
		wire_start_tls(&s->wire, tls, false, opt.sni);
		break;
	case ENVELOPE:
		on_envelope(s, code);
		break;
	case CONTENT:
		on_content(s, code);
		break;
	case HANDSHAKE:
	case QUIT:
		return false;
	}
	return true;
}

/* Takes one octet of a reply. Returns false when the session is at its end. */
static bool on_reply_octet(struct session *s, char c)
{
	if (c != '\n') {
		if (s->reply_len < REPLY_LINE_MAX - 1 && c != '\r')
			s->reply[s->reply_len++] = c;
		return true;
	}
	s->reply[s->reply_len] = '\0';
	s->reply_len = 0;
	if (s->state == EHLO && strncasecmp(s->reply + 4, "STARTTLS", 8) == 0)
		s->offers_tls = true;
	return s->reply[3] == '-' || on_reply(s, atoi(s->reply));
}

/* ---- sessions ---- */

static void session_open(struct session *s)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	*s = (struct session){ .state = GREETING };
	if (connect(fd, (struct sockaddr *)&opt.to, sizeof(opt.to)) != 0 && errno != EINPROGRESS)
		bench_die("connect: %s", strerror(errno));
	wire_open(&s->wire, epoll, fd, s, false);
	connections++;
	open_sessions++;
}

/* Ends the connection and begins the next one, if there is more to send. */
static void session_next(struct session *s)
{
	if (s->state != QUIT) {
		lost++;
		failed += s->state == ENVELOPE || s->state == CONTENT;
		note_trouble("connection lost");
	}
	wire_close(&s->wire);
	open_sessions--;
	if (next_message < opt.count && lost < 100)
		session_open(s);
}

/* Returns false when the session is at its end. */
static bool session_read(struct session *s)
{
	static char buf[READ_LEN];
	ssize_t n;

	do {
		n = wire_read(&s->wire, buf, sizeof(buf));
		for (ssize_t i = 0; i < n; i++)
			if (!on_reply_octet(s, buf[i]))
				return false;
	} while (n > 0 && wire_has_more(&s->wire));
	return n >= 0;
}

/* Returns false when the session is at its end. */
static bool session_write(struct session *s)
{
	do {
		if (wire_flush(&s->wire) != 0)
			return false;
		if (s->wire.out_len == 0)
			add_content(s);
	} while (s->wire.out_len > 0 && !s->wire.wants_out);
	return true;
}

/* Returns false when the session is at its end. */
static bool session_handshake(struct session *s)
{
	int done = wire_handshake(&s->wire);

	if (done > 0) {
		s->state = EHLO;
		wire_puts(&s->wire, "EHLO client.example\r\n");
	}
	return done >= 0;
}

static void on_session(struct session *s)
{
	bool alive;

	if (s->wire.handshaking)
		alive = session_handshake(s);
	else
		alive = session_read(s);
	if (alive && s->wire.handshaking)            /* just begun, or still waiting */
		alive = session_handshake(s);
	if (alive && !s->wire.handshaking)
		alive = session_write(s);
	if (!alive)
		session_next(s);
}

/* ---- the process ---- */

static void send_all(void)
{
	struct session *all = bench_alloc(opt.sessions * sizeof(*all));
	struct epoll_event events[256];

	start_ns = bench_now_ns();
	for (unsigned i = 0; i < opt.sessions && i < opt.count; i++)
		session_open(&all[i]);
	while (open_sessions > 0) {
		int n = epoll_wait(epoll, events, 256, -1);
		for (int i = 0; i < n; i++)
			on_session(events[i].data.ptr);
	}
	free(all);
}

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static double accept_ms(unsigned per_mille)
{
	return accepted > 0 ? accept_us[(accepted - 1) * per_mille / 1000] / 1000.0 : 0;
}

static void print_result(void)
{
	double seconds = last_ns > start_ns ? (double)(last_ns - start_ns) / 1e9 : 0;

	qsort(accept_us, accepted, sizeof(*accept_us), by_value);
	printf("{\"accepted\": %" PRIu64 ", \"failed\": %" PRIu64 ", \"connections\": %" PRIu64 ", \"lost\": %" PRIu64
	    ", \"seconds\": %.4f, \"messages_per_s\": %.1f", accepted, failed, connections, lost,
	    seconds, seconds > 0 ? (double)accepted / seconds : 0);
	printf(", \"accept_ms\": {\"p50\": %.3f, \"p99\": %.3f, \"max\": %.3f}, \"start_ns\": %" PRIu64
	    ", \"last_ns\": %" PRIu64 "}\n", accept_ms(500), accept_ms(990), accept_ms(1000), start_ns, last_ns);
	if (first_trouble[0] != '\0')
		fprintf(stderr, "smtpgen: first trouble: %s\n", first_trouble);
}

static void parse_target(char *address)
{
	char *colon = strrchr(address, ':');

	if (colon == NULL)
		bench_die("%s: want ADDRESS:PORT", address);
	*colon = '\0';
	opt.to.sin_family = AF_INET;
	opt.to.sin_port = htons((uint16_t)atoi(colon + 1));
	if (inet_pton(AF_INET, address, &opt.to.sin_addr) != 1)
		bench_die("%s: not an IPv4 address", address);
}

static void make_tls(void)
{
	tls = SSL_CTX_new(TLS_client_method());
	SSL_CTX_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_read_ahead(tls, 1);
}

static const char usage[] =
	"usage: smtpgen [options] ADDRESS:PORT\n"
	"Sends messages and prints JSON: how many were accepted, how fast, and how long each took.\n"
	"  --count N          messages in all (1000)\n"
	"  --size N           octets of a message (4096)\n"
	"  --sessions N       connections at the same time (50)\n"
	"  --per-session N    messages on one connection (100)\n"
	"  --domains N        recipient domains, in turn (1)\n"
	"  --prefix P, --suffix S     domain number 7 is P0007.S (d, bench.test)\n"
	"  --first-id N       number of the first message (0)\n"
	"  --starttls         send under TLS; the certificate is not looked at\n"
	"  --sni NAME         the host asked for\n";

static void parse_options(int argc, char **argv)
{
	static const struct option options[] = {
		{ "count", required_argument, NULL, 'n' },       { "size", required_argument, NULL, 's' },
		{ "sessions", required_argument, NULL, 'c' },    { "per-session", required_argument, NULL, 'm' },
		{ "domains", required_argument, NULL, 'd' },     { "prefix", required_argument, NULL, 'p' },
		{ "suffix", required_argument, NULL, 'x' },      { "first-id", required_argument, NULL, 'i' },
		{ "starttls", no_argument, NULL, 't' },          { "sni", required_argument, NULL, 'v' },
		{ "help", no_argument, NULL, 'h' },              { NULL, 0, NULL, 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1)
		switch (c) {
		case 'n': opt.count = strtoull(optarg, NULL, 10); break;
		case 's': opt.size = strtoul(optarg, NULL, 10); break;
		case 'c': opt.sessions = (unsigned)strtoul(optarg, NULL, 10); break;
		case 'm': opt.per_session = (unsigned)strtoul(optarg, NULL, 10); break;
		case 'd': opt.domains = (unsigned)strtoul(optarg, NULL, 10); break;
		case 'p': opt.prefix = optarg; break;
		case 'x': opt.suffix = optarg; break;
		case 'i': opt.first_id = strtoull(optarg, NULL, 10); break;
		case 't': opt.starttls = true; break;
		case 'v': opt.sni = optarg; break;
		case 'h': fputs(usage, stdout); exit(0);
		default:  fputs(usage, stderr); exit(2);
		}
	if (optind + 1 != argc || opt.domains == 0 || opt.sessions == 0 || opt.per_session == 0)
		bench_die("%s", usage);
	parse_target(argv[optind]);
}

int main(int argc, char **argv)
{
	parse_options(argc, argv);
	signal(SIGPIPE, SIG_IGN);
	payload_init();
	make_tls();
	accept_us = bench_alloc((opt.count + 1) * sizeof(*accept_us));
	epoll = epoll_create1(EPOLL_CLOEXEC);
	send_all();
	print_result();
	return accepted == opt.count ? 0 : 1;
}
