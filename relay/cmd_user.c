/* relay/cmd_user.c - strictpost user add|remove|list|passwd|senders|check: the users file (relay/users.h). */
#include "relay/cmd.h"
#include "relay/cmd_options.h"
#include "relay/cmd_verb.h"

#include "core/password.h"
#include "relay/ask_password.h"
#include "relay/config.h"
#include "relay/table.h"
#include "relay/users.h"
#include "relay/users_edit.h"

#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PROBLEMS_MAX 262144

static const char help[] =
	"usage: strictpost user add NAME [--senders LIST] [--generate]    may log in (AUTH) from now on\n"
	"       strictpost user remove NAME                               may not any more\n"
	"       strictpost user passwd NAME [--generate]                  has another password\n"
	"       strictpost user senders NAME LIST                         sends as others\n"
	"       strictpost user list [--json]                             who may, and as whom\n"
	"       strictpost user check NAME                                does a password fit?\n\n"
	"Writes the file that auth.users_file names, or --file. A running relay has it within 10 seconds. The password is asked for, or is the first\n"
	"line of standard input where that is no terminal.\n\n"
	"  --senders LIST  the addresses the user may send with, as MAIL FROM: app@example.com,@example.net (a whole domain), * (any); <> (bounces)\n"
	"                  is always allowed. Default: NAME where that is an address, else *\n"
	"  --generate      makes a password up and prints it\n"
	"  --file F        another file than the configuration's\n"
	"  --json          one JSON object a line: {\"name\", \"senders\"}\n"
	"exit: 0 done (check: it fits), 1 it did not work (check: it does not fit), 2 usage, 78 there is no configuration that names a file\n";

struct request {
	const char *name, *senders, *file;
	bool generate, json;
	struct config *config;          /* at a glance; NULL with --file */
};

static int failed(const char *text)
{
	fprintf(stderr, "strictpost user: %s\n", text);
	return RELAY_EXIT_FAILED;
}

static int wrong(const char *what, const char *value)
{
	fprintf(stderr, "strictpost user: %s%s; see strictpost user --help\n", what, value);
	return RELAY_EXIT_USAGE;
}

/* ---- passwords ---- */

/* As asked for, or made up. */
static bool get_password(const struct request *r, bool twice, struct sp_buf *out, struct sp_fail *why)
{
	char prompt[USERS_NAME_MAX + 32];
	snprintf(prompt, sizeof(prompt), "password of %s: ", r->name);
	if (!r->generate)
		return ask_password(prompt, twice, out, why);
	make_password(out);
	return true;
}

static void init_password(struct sp_buf *b)
{
	sp_buf_init(b, CORE_PASSWORD_MAX);
	char *room = sp_buf_room(b, CORE_PASSWORD_MAX);         /* at once, so that no copy stays behind */
	sp_assert(room);
}

/* ---- changes ---- */

static const char *state_dir(const struct request *r)
{
	return r->config ? r->config->state_dir : NULL;
}

/* Does the file hold, but for what is at fault elsewhere in it? That is told and left. */
static void warn_of_others(const struct users_edit *e, const char *path)
{
	struct sp_fail why;
	struct users *u = users_parse(users_edit_text(e), path, &why);
	if (u == NULL)
		fprintf(stderr, "strictpost user: the file does not hold yet, and no relay will take it: %s\n", why.text);
	users_unref(u);
}

static int save(struct users_edit *e, const char *path, struct sp_fail *why)
{
	bool saved = users_edit_save(e, why);
	if (sp_failed(why))
		failed(why->text);
	if (!saved)
		return RELAY_EXIT_FAILED;
	warn_of_others(e, path);
	return RELAY_EXIT_OK;
}

/* Opens the file and looks whether the name is there, as it should be. */
static struct users_edit *open_for(const struct request *r, bool is_new, struct sp_fail *why)
{
	struct users_edit *e = users_edit_open(r->file, is_new, state_dir(r), why);
	if (e == NULL)
		return NULL;
	if (users_edit_has(e, r->name) == is_new) {
		sp_fail_set(why, SP_FAIL_STORE, is_new ? "%s is in %s already; strictpost user passwd gives another password" : "there is no user %s in %s",
		            r->name, r->file);
		users_edit_close(e);
		return NULL;
	}
	return e;
}

/* Looks in first, so that nobody types a password for nothing; the file is not locked while someone types. */
static bool would_do(const struct request *r, bool is_new, struct sp_fail *why)
{
	struct users_edit *e = open_for(r, is_new, why);
	users_edit_close(e);
	return e != NULL;
}

/* `is_new`: add; else passwd. */
static int set_password(const struct request *r, bool is_new)
{
	struct sp_buf password, hash;
	struct sp_fail why = SP_FAIL_OK;
	struct users_edit *e = NULL;
	int status = RELAY_EXIT_FAILED;
	init_password(&password);
	sp_buf_init(&hash, CORE_PASSWORD_HASH_MAX);
	bool have = would_do(r, is_new, &why) && get_password(r, true, &password, &why) && core_password_hash(sp_buf_str(&password), &hash, &why);
	if (have && (e = open_for(r, is_new, &why)) != NULL) {
		users_edit_set(e, r->name, sp_buf_cstr(&hash), r->senders);
		status = save(e, r->file, &why);
	} else {
		failed(why.text);
	}
	if (status == RELAY_EXIT_OK && r->generate)
		printf("%s\n", sp_buf_cstr(&password));
	users_edit_close(e);
	sp_buf_wipe(&password);
	sp_buf_clear(&hash);
	return status;
}

static int add(struct request *r)
{
	if (r->senders == NULL)
		r->senders = users_senders_fault(sp_str_of(r->name)) == NULL ? r->name : "*";
	return set_password(r, true);
}

static int passwd(struct request *r)
{
	return set_password(r, false);
}

static int change(struct request *r)
{
	struct sp_fail why = SP_FAIL_OK;
	struct users_edit *e = open_for(r, false, &why);
	if (e == NULL)
		return failed(why.text);
	if (r->senders)
		users_edit_set(e, r->name, NULL, r->senders);
	else
		users_edit_remove(e, r->name);
	int status = save(e, r->file, &why);
	users_edit_close(e);
	return status;
}

/* ---- questions ---- */

static void list_json(void *arg SP_UNUSED, const char *name, const char *senders)
{
	json_t *v = json_pack("{s:s, s:s}", "name", name, "senders", senders);
	cmd_print_json(v);
	json_decref(v);
}

static void list_row(void *arg, const char *name, const char *senders)
{
	table_cell(arg, name);
	table_cell(arg, senders);
}

static int list(struct request *r)
{
	struct sp_fail why;
	struct users *u = users_load(r->file, &why);
	if (u == NULL)
		return failed(why.text);
	if (r->json) {
		users_each(u, list_json, NULL);
	} else {
		struct table *t = table_begin(stdout, (const struct table_column[]){ { "name", false, true }, { "may send as", false, true } }, 2);
		users_each(u, list_row, t);
		table_end(t, "nobody may log in");
	}
	users_unref(u);
	return RELAY_EXIT_OK;
}

static int check(struct request *r)
{
	struct sp_fail why = SP_FAIL_OK;
	struct users *u = users_load(r->file, &why);
	const struct user *user = u ? users_find(u, r->name) : NULL;
	struct sp_buf password;
	bool fits = false, uncomputed = false;
	init_password(&password);
	if (u && user == NULL)
		sp_fail_set(&why, SP_FAIL_STORE, "there is no user %s in %s", r->name, r->file);
	if (user && get_password(r, false, &password, &why)) {
		fits = core_password_fits(user_hash(user), sp_buf_str(&password), &uncomputed);
		puts(uncomputed ? "it cannot be computed" : fits ? "it fits" : "it does not fit");
	} else {
		failed(why.text);
	}
	sp_buf_wipe(&password);
	users_unref(u);
	return fits ? RELAY_EXIT_OK : RELAY_EXIT_FAILED;
}

/* ---- the command ---- */

enum { OPT_SENDERS = 1, OPT_GENERATE = 2, OPT_JSON = 4 };

static const struct verb {
	const char *name;
	int arguments;
	unsigned options;
	int (*run)(struct request *r);
} verbs[] = {
	{ "add", 1, OPT_SENDERS | OPT_GENERATE, add }, { "remove", 1, 0, change },   { "passwd", 1, OPT_GENERATE, passwd },
	{ "senders", 2, 0, change },                   { "list", 0, OPT_JSON, list }, { "check", 1, 0, check },
};

static int take_arguments(struct request *r, const struct verb *v, int argc, char **argv)
{
	unsigned options = (r->senders ? OPT_SENDERS : 0u) | (r->generate ? OPT_GENERATE : 0u) | (r->json ? OPT_JSON : 0u);
	if (options & ~v->options)
		return wrong("this option is not for ", v->name);
	if (argc - optind != v->arguments)
		return wrong(argc - optind < v->arguments ? "an argument is missing for " : "there is one argument too many for ", v->name);
	r->name = v->arguments > 0 ? argv[optind] : NULL;
	if (v->arguments > 1)
		r->senders = argv[optind + 1];
	const char *fault = r->name ? users_name_fault(sp_str_of(r->name)) : NULL;
	if (fault == NULL && r->senders)
		fault = users_senders_fault(sp_str_of(r->senders));
	return fault ? wrong(fault, "") : RELAY_EXIT_OK;
}

/* The file: as told, or as the configuration says, which need not hold otherwise: it does not before there is a users file. */
static int find_file(struct request *r, const char *config)
{
	struct sp_buf problems;
	if (r->file)
		return RELAY_EXIT_OK;
	sp_buf_init(&problems, PROBLEMS_MAX);
	r->config = config_glance(config, &problems);
	fputs(sp_buf_cstr(&problems), stderr);
	sp_buf_clear(&problems);
	if (r->config && r->config->auth.users_file[0] != '\0') {
		r->file = r->config->auth.users_file;
		return RELAY_EXIT_OK;
	}
	fprintf(stderr, "strictpost user: %s names no users file; set auth: {users_file: /etc/strictpost/users} there, or say --file\n", config);
	return RELAY_EXIT_CONFIG;
}

static int run(int argc, char **argv)
{
	const struct verb *v = verbs;
	while (strcmp(argv[0], v->name) != 0)
		v++;
	struct request r = { 0 };
	struct cmd_options o;
	int status;
	const struct cmd_option own[] = {
		{ "senders", &r.senders, NULL, NULL }, { "file", &r.file, NULL, NULL }, { "generate", NULL, &r.generate, NULL }, { 0 },
	};
	if (!cmd_options_with(argc, argv, help, true, own, &o, &status))
		return status;
	r.json = o.json;
	status = take_arguments(&r, v, argc, argv);
	if (status == RELAY_EXIT_OK)
		status = find_file(&r, o.config);
	if (status == RELAY_EXIT_OK)
		status = v->run(&r);
	config_unref(r.config);
	return status;
}

int cmd_user(int argc, char **argv)
{
	static const struct cmd_verb names[] = {
		{ .name = "add", .run = run },     { .name = "remove", .run = run }, { .name = "passwd", .run = run },
		{ .name = "senders", .run = run }, { .name = "list", .run = run },   { .name = "check", .run = run },
	};
	return cmd_verbs(&(struct cmd_verbs){ .group = "user", .help = help, .verbs = names, .count = SP_COUNT(names) }, argc, argv);
}
