/* relay/control.c - see control.h. */
#include "relay/control.h"

#include "core/addr.h"
#include "core/clock.h"
#include "core/httpresp.h"

#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define SILENCE_S 15
#define CROWDED_MS 50                   /* between two tries where others wait to be let in */
#define HEAD_MAX 16384
#define BODY_MAX (64 << 20)

/* ---- why not ---- */

static void explain_missing(const char *config, const char *path, struct sp_buf *why)
{
	sp_buf_printf(why, "there is no control socket at %s: no relay runs with admin.socket in %s, or its log tells why it has none. "
	              "Start it with: strictpost run --config %s", path, config, config);
}

/* The name of a user, for a command line; its number where it has none. */
static const char *user_name(uid_t uid, char text[32])
{
	const struct passwd *p = getpwuid(uid);
	if (p)
		return p->pw_name;
	snprintf(text, 32, "#%ld", (long)uid);
	return text;
}

static void explain_permission(const char *path, struct sp_buf *why)
{
	struct stat st;
	char text[32];
	sp_buf_printf(why, "uid %ld may not use the control socket %s", (long)geteuid(), path);
	if (stat(path, &st) != 0)
		sp_buf_printf(why, ", nor look into its folder: run this as the user of the relay, or as root");
	else if ((st.st_mode & S_IWGRP) && st.st_uid != geteuid())
		sp_buf_printf(why, " (mode %04o, owner uid %ld, group %ld): run this as root or as its owner, sudo -u '%s' strictpost ..., or have yourself added to that group",
		              (unsigned)st.st_mode & 07777, (long)st.st_uid, (long)st.st_gid, user_name(st.st_uid, text));
	else
		sp_buf_printf(why, " (mode %04o, owner uid %ld): run this as that user, or as root: sudo -u '%s' strictpost ...", (unsigned)st.st_mode & 07777,
		              (long)st.st_uid, user_name(st.st_uid, text));
}

static void explain(const char *config, const char *path, unsigned silence_s, int error, struct sp_buf *why)
{
	switch (error) {
	case ENOENT:
	case ENOTDIR:
		explain_missing(config, path, why);
		break;
	case ECONNREFUSED:
		sp_buf_printf(why, "nobody answers at %s: the relay that made this control socket has ended without removing it, or it is another "
		              "kind of file. Start it with: strictpost run --config %s", path, config);
		break;
	case EACCES:
	case EPERM:
		explain_permission(path, why);
		break;
	case EAGAIN:
		sp_buf_printf(why, "the relay at %s does not answer within %u s: it hangs, or its disk does; its log may tell more", path, silence_s);
		break;
	case ECANCELED:
		break;
	default:
		sp_buf_printf(why, "the control socket %s: %s", path, strerror(error));
	}
}

/* ---- asking ---- */

/* Until `fd` is ready for `events` (0: never, it is the time that counts). False with errno: EAGAIN when the time is over, ECANCELED when whoever asks leaves. */
static bool wait_ready(int fd, short events, uint64_t wait_ms, const struct control_patience *patience)
{
	uint64_t until_ms = core_clock_mono_ms() + wait_ms;
	for (;;) {
		struct pollfd fds[] = { { .fd = fd, .events = events }, { .fd = patience->stay ? patience->watch : -1, .events = POLLIN } };
		uint64_t now_ms = core_clock_mono_ms();
		bool over = now_ms >= until_ms;         /* looked at before: we may have been stopped for hours, and the answer is there */
		int ready = poll(fds, SP_COUNT(fds), over ? 0 : (int)(until_ms - now_ms));
		if (ready < 0 && errno != EINTR)
			return false;
		if (patience->stay && (ready < 0 || fds[1].revents) && !patience->stay(patience->owner)) {
			errno = ECANCELED;
			return false;
		}
		if (ready > 0 && fds[0].revents)
			return true;
		if (over) {
			errno = EAGAIN;
			return false;
		}
	}
}

static bool connect_socket(int fd, const struct sockaddr_un *at, const struct control_patience *patience)
{
	uint64_t until_ms = core_clock_mono_ms() + patience->silence_s * 1000ull;
	while (connect(fd, (const struct sockaddr *)at, sizeof(*at)) != 0) {
		if (errno != EAGAIN || core_clock_mono_ms() >= until_ms)
			return false;
		if (!wait_ready(-1, 0, CROWDED_MS, patience) && errno != EAGAIN)
			return false;
	}
	return true;
}

/* The socket, or -1 with errno. */
static int connect_to(const char *path, const struct control_patience *patience)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	size_t len = strlen(path);
	if (len >= sizeof(at.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(at.sun_path, path, len + 1);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || connect_socket(fd, &at, patience))
		return fd;
	int error = errno;
	close(fd);
	errno = error;
	return -1;
}

static bool send_request(int fd, const char *method, const char *path, const struct control_patience *patience)
{
	struct sp_buf b;
	sp_buf_init(&b, HEAD_MAX);
	sp_buf_printf(&b, "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n%s\r\n", method, path,
	              strcmp(method, "POST") == 0 ? "Content-Length: 0\r\n" : "");
	size_t sent = 0;
	while (sent < b.len) {
		ssize_t n = send(fd, b.p + sent, b.len - sent, MSG_NOSIGNAL);
		if (n >= 0)
			sent += (size_t)n;
		else if (errno != EAGAIN || !wait_ready(fd, POLLOUT, patience->silence_s * 1000ull, patience))
			break;
	}
	bool all = sent == b.len;
	sp_buf_clear(&b);
	return all || errno == EPIPE;           /* refused unread: the reason may be there to read */
}

/* False with errno, or with errno 0 when what came is no answer. */
static bool read_answer(int fd, struct core_httpresp *r, const struct control_patience *patience)
{
	char octets[16384];
	enum core_httpresp_state state = CORE_HTTPRESP_MORE;
	while (state == CORE_HTTPRESP_MORE) {
		if (!wait_ready(fd, POLLIN, patience->silence_s * 1000ull, patience))
			return false;
		ssize_t n = recv(fd, octets, sizeof(octets), 0);
		if (n < 0 && errno == EAGAIN)
			continue;
		if (n < 0)
			return false;
		state = n > 0 ? core_httpresp_feed(r, sp_str_make(octets, (size_t)n)) : core_httpresp_end(r);
	}
	errno = 0;
	return state == CORE_HTTPRESP_DONE;
}

bool control_ask(const char *config, const char *socket, const char *method, const char *path, const struct control_patience *patience,
                 struct control_answer *out, struct sp_buf *why)
{
	static const struct control_patience usual = { .silence_s = SILENCE_S, .watch = -1 };
	const struct control_patience *p = patience ? patience : &usual;
	sp_buf_init(&out->body, BODY_MAX);
	out->nobody = *socket == '\0';
	if (out->nobody) {
		sp_buf_printf(why, "admin.socket is empty in %s: this relay has no control socket", config);
		return false;
	}
	int fd = connect_to(socket, p);
	if (fd < 0) {
		out->nobody = errno == ENOENT || errno == ENOTDIR || errno == ECONNREFUSED;
		explain(config, socket, p->silence_s, errno, why);
		return false;
	}
	struct core_httpresp *r = core_httpresp_new(HEAD_MAX, BODY_MAX);
	bool good = send_request(fd, method, path, p) && read_answer(fd, r, p);
	if (good) {
		out->status = core_httpresp_status(r);
		sp_buf_add(&out->body, core_httpresp_body(r));
	} else if (errno != 0) {
		explain(config, socket, p->silence_s, errno, why);
	} else {
		sp_buf_printf(why, "the answer at %s is not what a relay says: %s", socket, core_httpresp_fail(r)->text);
	}
	core_httpresp_free(r);
	close(fd);
	return good;
}

void control_error(const struct control_answer *a, struct sp_buf *out)
{
	json_t *v = json_loadb(a->body.p ? a->body.p : "", a->body.len, 0, NULL);
	const char *text = json_string_value(json_object_get(v, "error"));
	if (text)
		sp_buf_add_printable(out, sp_str_of(text));
	else
		sp_buf_printf(out, "the relay answers with status %d", a->status);
	json_decref(v);
}
