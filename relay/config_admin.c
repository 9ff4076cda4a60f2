/* relay/config_admin.c - admin.http and admin.token_file: where the admin API is asked over TCP, and what opens it there (RFC 6750). */
#include "relay/config_lists.h"

#include "core/readfile.h"

#include <stdlib.h>
#include <sys/stat.h>

#define TOKEN_MIN 16                    /* characters */
#define TOKEN_MAX 512

/* RFC 6750 2.1: what can stand in "Authorization: Bearer ...". */
static bool is_token(struct sp_str s)
{
	while (sp_str_ends(s, SP_STR("=")))
		s.len--;
	for (size_t i = 0; i < s.len; i++)
		if (!sp_is_alnum(s.p[i]) && (s.p[i] == '\0' || strchr("-._~+/", s.p[i]) == NULL))
			return false;
	return s.len > 0;
}

/* The first line. Wiped on the way. */
static void read_token(struct conf_reader *r, const yaml_node_t *at)
{
	struct sp_fail why;
	char text[2 * TOKEN_MAX];
	const char *path = r->c->admin.token_file;
	conf_file(r, path);
	ssize_t len = core_read_file(path, text, sizeof(text), &r->c->admin.token_mode, &why);
	struct sp_str rest = sp_str_make(text, len > 0 ? (size_t)len : 0), line = { 0 };
	if (len < 0)
		conf_problem(r, at, "admin.token_file: %s", why.text);
	else if (!sp_take_line(&rest, &line) || line.len < TOKEN_MIN)
		conf_problem(r, at, "admin.token_file: the first line of %s is no token: under %d characters; make one: openssl rand -hex 32", path, TOKEN_MIN);
	else if (line.len > TOKEN_MAX || !is_token(line))
		conf_problem(r, at, "admin.token_file: the first line of %s is no token: over %d characters, or others than letters, digits and -._~+/= "
		             "(RFC 6750 2.1); make one: openssl rand -hex 32", path, TOKEN_MAX);
	else
		r->c->admin.token = sp_str_dup(line);
	explicit_bzero(text, sizeof(text));
}

void conf_admin_check(struct conf_reader *r)
{
	struct config *c = r->c;
	const struct conf_seen *http = conf_row_seen(r, "admin.http"), *file = conf_row_seen(r, "admin.token_file");
	if (!file->bad && *c->admin.token_file == '/')
		read_token(r, file->at);
	else if (!file->bad && *c->admin.token_file)
		conf_problem(r, file->at, "admin.token_file: '%s' is not an absolute path", c->admin.token_file);
	if (http->bad || *c->admin.http == '\0')
		return;
	struct sp_addr *at = &c->admin.http_address;
	if (!sp_addr_parse(sp_str_of(c->admin.http), at) || sp_addr_family(at) == AF_UNIX || sp_addr_port(at) == 0)
		conf_problem(r, http->at, "admin.http: '%s' is not address:port; write it like 127.0.0.1:8025 or [::1]:8025", c->admin.http);
	else if (*c->admin.token_file == '\0' && !sp_addr_is_loopback(at))
		conf_problem(r, http->at, "admin.http: %s is not a loopback address, and whoever reaches it could steer mail: set admin.token_file (make it: "
		             "openssl rand -hex 32), or listen on 127.0.0.1 or [::1]", c->admin.http);
}

void conf_admin_clear(struct config *c)
{
	if (c->admin.token)
		explicit_bzero(c->admin.token, strlen(c->admin.token));
	free(c->admin.token);
}

void conf_admin_warnings(const struct config *c, struct sp_buf *out)
{
	if (c->admin.token && (c->admin.token_mode & (S_IRWXO | S_IWGRP)))
		sp_buf_printf(out, "admin: %s has mode %04o, so more than the relay may read or change the token; make the user that the relay runs as its owner, "
		              "and the mode 0600\n", c->admin.token_file, c->admin.token_mode);
	if (*c->admin.http && !sp_addr_is_loopback(&c->admin.http_address))
		sp_buf_printf(out, "admin: admin.http %s is not a loopback address, and the token goes over it in clear; put a proxy with TLS before it, or keep that "
		              "network to yourself\n", c->admin.http);
}
