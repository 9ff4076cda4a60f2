/* relay/admin.c - see admin.h. */
#include "relay/admin.h"

#include "core/httpd.h"
#include "core/log.h"
#include "relay/config.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SOCKET_MODE 0600
#define ALLOWED_MAX 256                 /* octets */

struct admin {
	struct api *api;
	struct core_loop *loop;
	struct core_httpd *server;      /* NULL: could not be opened, or stopped */
	char *path;                     /* of the server's socket */
};

/* ---- requests ---- */

static void on_answer(void *owner, int status, const char *content_type, struct sp_buf *body)
{
	core_httpd_answer(owner, status, content_type, body);
}

static void on_request(void *owner, struct core_httpd_request *q)
{
	struct admin *a = owner;
	struct sp_buf allowed;
	sp_buf_init(&allowed, ALLOWED_MAX);
	if (api_refuses_method(a->api, core_httpd_method(q), core_httpd_path(q), &allowed))
		core_httpd_refuse_method(q, sp_buf_cstr(&allowed));
	else
		api_ask(a->api, core_httpd_method(q), core_httpd_path(q), core_httpd_query(q), on_answer, q);
	sp_buf_clear(&allowed);
}

/* ---- the socket ---- */

static char *folder_of(const char *path)
{
	size_t len = (size_t)(strrchr(path, '/') - path);       /* it is absolute */
	return sp_strndup(path, len ? len : 1);
}

static bool parse_path(const char *path, struct sp_addr *at)
{
	struct sp_buf text;
	sp_buf_init(&text, 256);
	sp_buf_printf(&text, "unix:%s", path);
	bool good = !sp_buf_failed(&text) && sp_addr_parse(sp_buf_str(&text), at);
	sp_buf_clear(&text);
	return good;
}

static struct core_httpd *open_socket(struct admin *a, const char *path)
{
	struct core_httpd *server = NULL;
	struct sp_addr at;
	struct sp_fail why;
	if (path[0] != '/' || !parse_path(path, &at)) {
		sp_log_text(SP_LOG_WARNING, NULL, "admin", "no control socket: admin.socket: %s is not an absolute path of 107 characters at most", path);
		return NULL;
	}
	char *folder = folder_of(path);
	if (core_httpd_open(a->loop, &at, SOCKET_MODE, &core_httpd_usual, on_request, a, &server, &why) != 0)
		sp_log_text(SP_LOG_WARNING, NULL, "admin", "no control socket, so no strictpost status and healthcheck: %s. Set admin.socket to a path "
		            "that uid %ld may make and nobody uses (\"\" for none), or give it the folder: install -d -o %ld %s (systemd: "
		            "RuntimeDirectory=strictpost). The relay runs without it", why.text, (long)geteuid(), (long)geteuid(), folder);
	free(folder);
	return server;
}

static void move_socket(struct admin *a)
{
	const char *path = api_world(a->api)->config->admin.socket;
	if (a->server && strcmp(a->path, path) == 0)
		return;
	struct core_httpd *server = *path ? open_socket(a, path) : NULL;
	if (server == NULL && *path) {
		if (a->server)
			sp_log_text(SP_LOG_WARNING, NULL, "admin", "the control socket stays at %s", a->path);
		return;
	}
	core_httpd_close(a->server);
	free(a->path);
	a->server = server;
	a->path = server ? sp_strdup(path) : NULL;
}

/* ---- life ---- */

struct admin *admin_start(struct api *api, struct core_loop *l)
{
	struct admin *a = sp_alloc(sizeof(*a));
	a->api = api;
	a->loop = l;
	move_socket(a);
	return a;
}

void admin_reload(struct admin *a)
{
	move_socket(a);
}

void admin_stop(struct admin *a)
{
	if (a == NULL)
		return;
	core_httpd_close(a->server);
	a->server = NULL;
}

void admin_free(struct admin *a)
{
	if (a == NULL)
		return;
	admin_stop(a);
	free(a->path);
	free(a);
}
