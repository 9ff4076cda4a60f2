/* relay/admin.c - see admin.h. Two doors, each a server with limits of its own, so that whoever crowds the one leaves the other open. */
#include "relay/admin.h"

#include "core/crypt.h"
#include "core/httpd.h"
#include "core/log.h"
#include "relay/config.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SOCKET_MODE 0600
#define ALLOWED_MAX 256                 /* octets */
#define REALM "Bearer realm=\"strictpost\""

struct door {
	struct admin *admin;
	struct core_httpd *server;      /* NULL: could not be opened, or stopped */
	char *at;                       /* as the configuration has it: a path, or address:port */
};

struct admin {
	struct api *api;
	struct core_loop *loop;
	struct door control, tcp;
};

/* ---- requests ---- */

static void on_answer(void *owner, int status, const char *content_type, struct sp_buf *body)
{
	core_httpd_answer(owner, status, content_type, body);
}

static void ask(struct admin *a, struct core_httpd_request *q)
{
	struct sp_buf allowed;
	sp_buf_init(&allowed, ALLOWED_MAX);
	if (api_refuses_method(a->api, core_httpd_method(q), core_httpd_path(q), &allowed))
		core_httpd_refuse_method(q, sp_buf_cstr(&allowed));
	else
		api_ask(a->api, core_httpd_method(q), core_httpd_path(q), core_httpd_query(q), on_answer, q);
	sp_buf_clear(&allowed);
}

static void on_control_request(void *owner, struct core_httpd_request *q)
{
	struct door *d = owner;
	ask(d->admin, q);
}

/* ---- over TCP ---- */

/* Answers those who may not ask: RFC 6750 3. */
static bool refuse_without_token(const struct config *c, struct core_httpd_request *q)
{
	struct sp_str given = core_httpd_field(q, CORE_HTTPREQ_AUTHORIZATION);
	if (!sp_take_prefix_nocase(&given, SP_STR("Bearer "))) {
		core_httpd_refuse_stranger(q, REALM, "this needs the token of admin.token_file: send \"Authorization: Bearer TOKEN\"");
		return true;
	}
	if (core_same_secret(sp_str_trim(given), sp_str_of(c->admin.token)))
		return false;
	core_httpd_refuse_stranger(q, REALM ", error=\"invalid_token\"", "this is not the token of admin.token_file");
	return true;
}

/* "localhost", "127.0.0.1:8025", "[::1]"; RFC 3986 3.2.3: behind the colon are digits alone. */
static bool names_loopback(struct sp_str host)
{
	struct sp_addr at;
	bool bracket = sp_take_prefix(&host, SP_STR("["));
	if (bracket && !sp_str_contains(host, ']'))
		return false;
	struct sp_str name = sp_take_until(&host, bracket ? ']' : ':');
	if (bracket && host.len > 0 && !sp_take_prefix(&host, SP_STR(":")))
		return false;
	for (size_t i = 0; i < host.len; i++)
		if (!sp_is_digit(host.p[i]))
			return false;
	return (!bracket && sp_str_eq_nocase(name, SP_STR("localhost"))) || (sp_addr_parse_ip(name, 0, &at) && sp_addr_is_loopback(&at));
}

/* Without a token whoever can connect may steer mail, and a browser can: a page of anybody's makes it send requests here, and even lets the page read the answers,
 * once its own name has been pointed at 127.0.0.1 (DNS rebinding). It says so, in Origin or in Host. */
static bool refuse_page(struct core_httpd_request *q)
{
	if (core_httpd_has(q, CORE_HTTPREQ_ORIGIN))
		core_httpd_refuse(q, 403, "without admin.token_file a web page may not ask: the request has an Origin field");
	else if (!names_loopback(core_httpd_field(q, CORE_HTTPREQ_HOST)))
		core_httpd_refuse(q, 403, "without admin.token_file the Host field must name localhost or a loopback address");
	else
		return false;
	return true;
}

static void on_tcp_request(void *owner, struct core_httpd_request *q)
{
	struct door *d = owner;
	const struct config *c = api_world(d->admin->api)->config;
	if (c->admin.token) {
		if (!api_is_public(d->admin->api, core_httpd_path(q)) && refuse_without_token(c, q))
			return;
	} else if (refuse_page(q)) {
		return;
	}
	ask(d->admin, q);
}

/* ---- the control socket ---- */

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

static struct core_httpd *open_control(struct door *d, const char *path)
{
	struct core_httpd *server = NULL;
	struct sp_addr at;
	struct sp_fail why;
	if (path[0] != '/' || !parse_path(path, &at)) {
		sp_log_text(SP_LOG_WARNING, NULL, "admin", "no control socket: admin.socket: %s is not an absolute path of 107 characters at most", path);
		return NULL;
	}
	char *folder = folder_of(path);
	if (core_httpd_open(d->admin->loop, &at, SOCKET_MODE, &core_httpd_usual, on_control_request, d, &server, &why) != 0)
		sp_log_text(SP_LOG_WARNING, NULL, "admin", "no control socket, so no strictpost status and healthcheck: %s. Set admin.socket to a path "
		            "that uid %ld may make and nobody uses (\"\" for none), or give it the folder: install -d -o %ld %s (systemd: "
		            "RuntimeDirectory=strictpost). The relay runs without it", why.text, (long)geteuid(), (long)geteuid(), folder);
	free(folder);
	return server;
}

static struct core_httpd *open_tcp(struct door *d, const char *text SP_UNUSED)
{
	struct core_httpd *server = NULL;
	const struct config *c = api_world(d->admin->api)->config;
	struct sp_fail why;
	if (core_httpd_open(d->admin->loop, &c->admin.http_address, 0, &core_httpd_usual, on_tcp_request, d, &server, &why) != 0)
		sp_log_text(SP_LOG_WARNING, NULL, "admin", "no admin.http: %s. The relay runs without it; set admin.http to an address of this machine and a port "
		            "that nobody uses, and reload", why.text);
	return server;
}

/* ---- doors ---- */

static void close_door(struct door *d)
{
	core_httpd_close(d->server);
	free(d->at);
	d->server = NULL;
	d->at = NULL;
}

/* What cannot be opened anew stays where it is; a door to the network without its token does not. */
static bool may_stay(const struct door *d)
{
	const struct sp_addr *at = core_httpd_addr(d->server);
	return sp_addr_family(at) == AF_UNIX || sp_addr_is_loopback(at) || api_world(d->admin->api)->config->admin.token;
}

static void move_door(struct door *d, const char *to, struct core_httpd *(*open)(struct door *d, const char *to))
{
	if (d->server && strcmp(d->at, to) == 0)
		return;
	struct core_httpd *server = *to ? open(d, to) : NULL;
	if (server == NULL && *to && d->server && may_stay(d)) {
		sp_log_text(SP_LOG_WARNING, NULL, "admin", "the admin API stays at %s", d->at);
		return;
	}
	close_door(d);
	d->server = server;
	d->at = server ? sp_strdup(to) : NULL;
}

/* ---- life ---- */

struct admin *admin_start(struct api *api, struct core_loop *l)
{
	struct admin *a = sp_alloc(sizeof(*a));
	a->api = api;
	a->loop = l;
	a->control.admin = a;
	a->tcp.admin = a;
	admin_reload(a);
	return a;
}

void admin_reload(struct admin *a)
{
	const struct config *c = api_world(a->api)->config;
	move_door(&a->control, c->admin.socket, open_control);
	move_door(&a->tcp, c->admin.http, open_tcp);
}

void admin_stop(struct admin *a)
{
	if (a == NULL)
		return;
	close_door(&a->control);
	close_door(&a->tcp);
}

void admin_free(struct admin *a)
{
	admin_stop(a);
	free(a);
}
