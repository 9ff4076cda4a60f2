/* core/listener.c - see conn.h: listening sockets.
 * The socket is ours and libuv only polls it: libuv's own accept, out of descriptors, accepts and closes what is
 * waiting without a word to anybody, while we rather leave it in the queue for a second and say so. */
#include "core/conn_impl.h"

#include "core/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BACKLOG 4096                    /* cut by net.core.somaxconn */
#define ACCEPTS_A_TURN 16               /* then others have their turn */
#define PAUSE_MS 1000
#define FOLDER_MODE 0755

struct core_listener {
	uv_poll_t poll;
	uv_timer_t timer;               /* to go on after a pause */
	unsigned open_handles;
	int fd;
	bool closing;
	struct core_loop *loop;
	const struct core_listener_ops *ops;
	void *owner;                    /* borrowed; not touched once closing */
	struct sp_addr at;
	dev_t dev;                      /* of a unix socket's file: it may be another's by the time we close */
	ino_t ino;
};

static void on_readable(uv_poll_t *h, int status, int events);

static void listening(struct core_listener *ln)
{
	uv_poll_start(&ln->poll, UV_READABLE, on_readable);
}

static void on_pause_over(uv_timer_t *h)
{
	listening(h->data);
}

static void on_accept_error(struct core_listener *ln, int err)
{
	uv_poll_stop(&ln->poll);
	uv_timer_start(&ln->timer, on_pause_over, PAUSE_MS, 0);
	struct sp_fail why;
	conn_net_fail(&why, err, "accepting at", &ln->at);
	ln->ops->on_error(ln->owner, &why);
}

static void accepted(struct core_listener *ln, int fd, const struct sp_addr *remote)
{
	int err;
	bool unix_socket = sp_addr_family(&ln->at) == AF_UNIX;
	struct core_conn *c = conn_new(ln->loop, fd, sp_addr_family(&ln->at), &err);
	if (c == NULL)
		return;
	c->remote = unix_socket ? ln->at : *remote;             /* a unix client has no name */
	conn_opened(c);
	ln->ops->on_accept(ln->owner, c);
}

/* False when there is nothing more for now. */
static bool accept_one(struct core_listener *ln)
{
	struct sp_addr remote = { 0 };
	socklen_t len = sizeof(remote);
	int fd = accept4(ln->fd, &remote.sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd >= 0) {
		accepted(ln, fd, &remote);
		return true;
	}
	switch (errno) {
	case EAGAIN:
		return false;
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
		on_accept_error(ln, uv_translate_sys_error(errno));
		return false;
	default:                        /* accept(2): an error of that connection alone, which is gone */
		return true;
	}
}

static void on_readable(uv_poll_t *h, int status, int events)
{
	(void)status, (void)events;
	struct core_listener *ln = h->data;
	for (int i = 0; i < ACCEPTS_A_TURN && !ln->closing; i++)
		if (!accept_one(ln))
			break;
}

/* Opening. */

static int bind_ip(int fd, const struct sp_addr *at, bool reuse_port)
{
	int on = 1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (reuse_port && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) != 0)
		return -1;
	/* [::] is the IPv6 addresses only, so that it can stand beside 0.0.0.0. */
	if (sp_addr_family(at) == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) != 0)
		return -1;
	return bind(fd, &at->sa, (socklen_t)sp_addr_size(at));
}

/* Nobody answers at the socket's file: whoever made it has died. Anything but a socket is not ours to touch. */
static bool is_stale(const struct sp_addr *at)
{
	struct stat st;
	if (lstat(at->un.sun_path, &st) != 0 || !S_ISSOCK(st.st_mode))
		return false;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return false;
	bool refused = connect(fd, &at->sa, (socklen_t)sp_addr_size(at)) != 0 && errno == ECONNREFUSED;
	close(fd);
	return refused;
}

/* The folder of the socket, where only it is missing, such as /run/strictpost after a boot. What fails here shows when the socket is made. */
static void make_folder(const char *path)
{
	const char *slash = strrchr(path, '/');
	char folder[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
	if (slash == NULL || slash == path)
		return;
	snprintf(folder, sizeof(folder), "%.*s", (int)(slash - path), path);
	if (mkdir(folder, FOLDER_MODE) == 0 && chmod(folder, FOLDER_MODE) != 0)         /* whatever the umask */
		sp_log_text(SP_LOG_WARNING, NULL, "listen", "mode of %s: %s", folder, strerror(errno));
}

static int bind_unix(struct core_listener *ln, int fd, unsigned mode)
{
	const char *path = ln->at.un.sun_path;
	make_folder(path);
	fchmod(fd, (mode_t)mode);       /* Linux: the file is made with this, less the umask; never open for a moment */
	socklen_t len = (socklen_t)sp_addr_size(&ln->at);
	if (bind(fd, &ln->at.sa, len) != 0) {
		if (errno != EADDRINUSE)
			return -1;
		if (!is_stale(&ln->at) || unlink(path) != 0) {
			errno = EADDRINUSE;
			return -1;
		}
		if (bind(fd, &ln->at.sa, len) != 0)
			return -1;
	}
	struct stat st;
	if (chmod(path, (mode_t)mode) != 0 || stat(path, &st) != 0)
		return -1;
	ln->dev = st.st_dev;
	ln->ino = st.st_ino;
	return 0;
}

static int open_listening(struct core_listener *ln, bool reuse_port, unsigned unix_mode)
{
	int family = sp_addr_family(&ln->at);
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	int bound = family == AF_UNIX ? bind_unix(ln, fd, unix_mode) : bind_ip(fd, &ln->at, reuse_port);
	socklen_t len = sizeof(ln->at);
	if (bound == 0 && listen(fd, BACKLOG) == 0 &&
	    (family == AF_UNIX || getsockname(fd, &ln->at.sa, &len) == 0))         /* the port, where 0 was asked for */
		return fd;
	int saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

int core_listener_open(struct core_loop *l, const struct sp_addr *at, bool reuse_port, unsigned unix_mode,
                       const struct core_listener_ops *ops, void *owner,
                       struct core_listener **out, struct sp_fail *why)
{
	struct core_listener *ln = sp_alloc(sizeof(*ln));
	ln->loop = l;
	ln->ops = ops;
	ln->owner = owner;
	ln->at = *at;
	ln->fd = open_listening(ln, reuse_port, unix_mode);
	if (ln->fd < 0) {
		conn_net_fail(why, uv_translate_sys_error(errno), "listening at", at);
		free(ln);
		return -1;
	}
	int err = uv_poll_init(core_loop_uv(l), &ln->poll, ln->fd);
	sp_assert(err == 0);                    /* refuses only what epoll cannot watch, and it watches sockets */
	uv_timer_init(core_loop_uv(l), &ln->timer);
	ln->open_handles = 2;
	ln->poll.data = ln->timer.data = ln;
	listening(ln);
	*out = ln;
	return 0;
}

/* A unix socket that somebody answers at is theirs; a stale one is replaced when it is opened. */
static int probe_unix(const struct sp_addr *at, struct sp_fail *why)
{
	struct stat st;
	if (lstat(at->un.sun_path, &st) != 0 || is_stale(at))
		return 0;
	conn_net_fail(why, UV_EADDRINUSE, "listening at", at);
	return -1;
}

int core_listener_probe(const struct sp_addr *at, struct sp_fail *why)
{
	if (sp_addr_family(at) == AF_UNIX)
		return probe_unix(at, why);
	int fd = socket(sp_addr_family(at), SOCK_STREAM | SOCK_CLOEXEC, 0);
	int status = fd < 0 ? -1 : bind_ip(fd, at, false);
	if (status != 0)
		conn_net_fail(why, uv_translate_sys_error(errno), "listening at", at);
	if (fd >= 0)
		close(fd);
	return status;
}

const struct sp_addr *core_listener_addr(const struct core_listener *ln) { return &ln->at; }

static void on_handle_closed(uv_handle_t *h)
{
	struct core_listener *ln = h->data;
	if (--ln->open_handles == 0)
		free(ln);
}

void core_listener_close(struct core_listener *ln)
{
	if (ln == NULL || ln->closing)
		return;
	ln->closing = true;
	struct stat st;
	if (sp_addr_family(&ln->at) == AF_UNIX && stat(ln->at.un.sun_path, &st) == 0 &&
	    st.st_dev == ln->dev && st.st_ino == ln->ino)
		unlink(ln->at.un.sun_path);
	uv_close((uv_handle_t *)&ln->poll, on_handle_closed);
	uv_close((uv_handle_t *)&ln->timer, on_handle_closed);
	close(ln->fd);                          /* at once, so that the address is free for the next */
}
