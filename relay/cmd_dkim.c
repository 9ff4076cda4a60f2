/* relay/cmd_dkim.c - strictpost dkim keygen|record: a key to sign with, and what is to be published for it in DNS. */
#include "relay/cmd.h"
#include "relay/cmd_options.h"
#include "relay/cmd_verb.h"

#include "core/syncfile.h"
#include "smtp/address.h"
#include "smtp/dkim.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <jansson.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_ROOM 4096
#define TEXT_MAX 16384                  /* octets of a record, and of what is made of it */
#define BITS_USUAL 2048                 /* RFC 8301 3.2: signers should use at least these */

static const char help[] =
	"usage: strictpost dkim keygen --domain D --selector S [--type rsa|ed25519] [--bits 2048] [--out FILE] [--json]\n"
	"       strictpost dkim record --key FILE --domain D --selector S [--json]\n\n"
	"keygen makes a key that signs mail and TLS reports by DKIM (RFC 6376), in a new file that only its owner may read (--out, default\n"
	"SELECTOR.DOMAIN.pem; a file that exists is never touched), and prints the TXT record to publish, alone and as a line of a zone file, and the\n"
	"lines for the configuration. record prints the same again for a key that exists.\n\n"
	"  --domain D      the domain that signs: that of the From address of your mail; for TLS reports the submitter's\n"
	"  --selector S    a name for this key within the domain, so that several can stand beside each other: s1, 2026a\n"
	"  --type TYPE     rsa (default: all receivers verify it) or ed25519 (short and fast, but few verify it: only beside an RSA key)\n"
	"  --bits N        of an RSA key: 1024 to 4096, default 2048\n"
	"  --json          one JSON object on standard output\n"
	"exit: 0 done, 1 it did not work, 2 usage\n";

struct request {
	const char *domain, *selector;  /* --domain, --selector; then as DNS has them, in `arena` */
	const char *name;               /* of the TXT record, in `arena` */
	const char *type, *bits_text;   /* --type, --bits */
	enum core_key_kind kind;
	unsigned bits;
	const char *file;               /* --out, --key */
	bool json;
	struct sp_arena arena;
};

/* ---- what is asked ---- */

static bool wrong(const char *what, const char *value)
{
	fprintf(stderr, "strictpost dkim: %s%s; see strictpost dkim --help\n", what, value);
	return false;
}

static bool settle_names(struct request *r)
{
	const char *why;
	if (r->domain == NULL || *r->domain == '\0')
		return wrong("give the domain that signs with --domain", "");
	if (r->selector == NULL || *r->selector == '\0')
		return wrong("give the key a name with --selector, as s1", "");
	const char *domain = smtp_domain_ascii(sp_str_of(r->domain), &r->arena, &why);
	if (domain == NULL)
		return wrong("--domain is no domain: ", why);
	if (strchr(domain, '.') == NULL || strchr(domain, '_'))        /* RFC 6376 3.5: two labels at least, of letters, digits and hyphens */
		return wrong("--domain is a domain such as example.com, not ", domain);
	r->domain = domain;
	size_t behind = strlen("._domainkey.") + strlen(domain);
	r->name = smtp_domain_ascii(sp_str_of(sp_arena_printf(&r->arena, "%s._domainkey.%s", r->selector, domain)), &r->arena, &why);
	if (r->name == NULL)                            /* RFC 6376 3.1: a selector is made of labels */
		return wrong("--selector is no part of a domain name: ", why);
	r->selector = sp_arena_dup(&r->arena, sp_str_make(r->name, strlen(r->name) - behind));
	return strchr(r->selector, '_') == NULL || wrong("--selector is made of letters, digits, hyphens and dots, not ", r->selector);
}

static bool settle_kind(struct request *r)
{
	uint64_t bits = BITS_USUAL;
	const char *type = r->type ? r->type : "rsa";
	r->kind = strcmp(type, "ed25519") == 0 ? CORE_KEY_ED25519 : CORE_KEY_RSA;
	if (r->kind == CORE_KEY_RSA && strcmp(type, "rsa") != 0)
		return wrong("--type is rsa or ed25519, not ", type);
	if (r->bits_text && r->kind == CORE_KEY_ED25519)
		return wrong("--bits is for RSA: an Ed25519 key has one size", "");
	if (r->bits_text && !sp_str_number(sp_str_of(r->bits_text), 1024, 4096, &bits))
		return wrong("--bits is a number from 1024 to 4096 (RFC 8301 3.2), not ", r->bits_text);
	r->bits = (unsigned)bits;
	return true;
}

/* ---- the record ---- */

/* RFC 1035 3.3.14, 5.1: a TXT record is made of strings of at most 255 octets, which receivers join (RFC 6376 3.6.2.2). */
static void add_zone_line(const char *name, struct sp_str value, struct sp_buf *out)
{
	sp_buf_printf(out, "%s. IN TXT", name);
	while (value.len > 0) {
		size_t n = sp_min(value.len, 255);
		sp_buf_printf(out, " \"%.*s\"", (int)n, value.p);
		value = sp_str_from(value, n);
	}
}

static bool is_plain_path(const char *path)
{
	for (const char *p = path; *p; p++)
		if (!sp_is_alnum(*p) && strchr("/._-", *p) == NULL)
			return false;
	return true;
}

static void add_config(const struct request *r, const char *path, struct sp_buf *out)
{
	sp_buf_printf(out, "dkim:\n  - {domain: %s, selector: \"%s\", key_file: ", r->domain, r->selector);
	if (is_plain_path(path)) {
		sp_buf_adds(out, path);
	} else {
		sp_buf_addc(out, '"');
		for (const char *p = path; *p; p++)
			sp_buf_printf(out, "%s%c", *p == '"' || *p == '\\' ? "\\" : "", *p);
		sp_buf_addc(out, '"');
	}
	sp_buf_adds(out, "}\n");
}

static const char *caution(const struct core_key *key)
{
	if (core_key_kind(key) == CORE_KEY_ED25519)
		return "few receivers verify Ed25519: have an RSA key, with a selector of its own, beside it; a message is then signed by both";
	return core_key_bits(key) < BITS_USUAL ? "RSA keys of less than 2048 bits are weak (RFC 8301 3.2), and some receivers do not count them"
	                                       : NULL;
}

struct answer {
	struct sp_buf value, zone, report_value, report_zone, config;
	const char *caution;            /* or NULL */
};

static void make_answer(const struct request *r, const struct core_key *key, const char *path, struct answer *a)
{
	struct sp_buf *all[] = { &a->value, &a->zone, &a->report_value, &a->report_zone, &a->config };
	for (size_t i = 0; i < SP_COUNT(all); i++)
		sp_buf_init(all[i], TEXT_MAX);
	smtp_dkim_record(key, "", &a->value);
	smtp_dkim_record(key, "tlsrpt", &a->report_value);
	add_zone_line(r->name, sp_buf_str(&a->value), &a->zone);
	add_zone_line(r->name, sp_buf_str(&a->report_value), &a->report_zone);
	add_config(r, path, &a->config);
	a->caution = caution(key);
}

static void clear_answer(struct answer *a)
{
	struct sp_buf *all[] = { &a->value, &a->zone, &a->report_value, &a->report_zone, &a->config };
	for (size_t i = 0; i < SP_COUNT(all); i++)
		sp_buf_clear(all[i]);
}

static void print_json(const struct request *r, const struct core_key *key, const char *path, const struct answer *a)
{
	json_t *v = json_pack("{s:s, s:s, s:s, s:i, s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "domain", r->domain, "selector", r->selector,
	                      "type", core_key_kind(key) == CORE_KEY_RSA ? "rsa" : "ed25519", "bits", (int)core_key_bits(key), "name", r->name,
	                      "record", sp_buf_cstr(&a->value), "zone", sp_buf_cstr(&a->zone), "tlsrpt_record", sp_buf_cstr(&a->report_value),
	                      "tlsrpt_zone", sp_buf_cstr(&a->report_zone), "key_file", path, "config", sp_buf_cstr(&a->config));
	if (v == NULL)                                  /* a path that is no UTF-8 */
		v = json_pack("{s:s, s:s, s:s}", "name", r->name, "record", sp_buf_cstr(&a->value), "zone", sp_buf_cstr(&a->zone));
	json_t *warnings = json_array();
	if (a->caution)
		json_array_append_new(warnings, json_string(a->caution));
	json_object_set_new(v, "warnings", warnings);
	cmd_print_json(v);
	json_decref(v);
}

static void print_text(const struct request *r, const struct core_key *key, const char *path, const struct answer *a)
{
	printf("key       %s (%s", path, core_key_kind(key) == CORE_KEY_RSA ? "RSA" : "Ed25519");
	if (core_key_kind(key) == CORE_KEY_RSA)
		printf(", %u bits", core_key_bits(key));
	printf(")\n          The relay has to be able to read it, and nobody else.\n");
	if (a->caution)
		printf("caution   %s\n", a->caution);
	printf("\nPublish this TXT record, so that receivers can verify what the key signs: mail and TLS reports. As a line of a zone file:\n\n%s\n\n"
	       "The same for a form: the name is %s, the type TXT, the value\n\n%s\n", sp_buf_cstr(&a->zone), r->name, sp_buf_cstr(&a->value));
	printf("\nOr, for a key that signs TLS reports and nothing else, publish this one (s=tlsrpt, RFC 8460 3). Other mail that is signed with it does\n"
	       "not verify, so such a key needs a selector of its own, and `use: reports` behind its key_file in the configuration:\n\n%s\n\nThe value alone:\n\n%s\n",
	       sp_buf_cstr(&a->report_zone), sp_buf_cstr(&a->report_value));
	printf("\nOnce the record can be seen in DNS, add this to the configuration. The entry for the domain that submits reports (report.submitter)\n"
	       "signs these too:\n\n%s", sp_buf_cstr(&a->config));
}

static int show(const struct request *r, const struct core_key *key)
{
	char *path = realpath(r->file, NULL);
	const char *shown = path ? path : r->file;
	struct answer a;
	make_answer(r, key, shown, &a);
	if (r->json)
		print_json(r, key, shown, &a);
	else
		print_text(r, key, shown, &a);
	clear_answer(&a);
	free(path);
	return RELAY_EXIT_OK;
}

/* ---- the file of a new key ---- */

static void explain_create(const char *path, int cause)
{
	char copy[PATH_ROOM];
	snprintf(copy, sizeof(copy), "%s", path);
	const char *folder = dirname(copy);
	struct stat st;
	fprintf(stderr, "strictpost dkim keygen: cannot make %s as uid %u: ", path, (unsigned)geteuid());
	if (cause == EEXIST)
		fprintf(stderr, "it exists, and was not touched; choose another with --out, or print its record with strictpost dkim record\n");
	else if (cause == ENOENT)
		fprintf(stderr, "there is no folder %s; make it with: mkdir -p %s\n", folder, folder);
	else if (cause == EACCES && stat(folder, &st) == 0)
		fprintf(stderr, "%s has mode %04o and owner %u; choose another folder with --out, or run this as its owner\n", folder,
		        (unsigned)st.st_mode & 07777, (unsigned)st.st_uid);
	else
		fprintf(stderr, "%s\n", strerror(cause));
}

/* A new file, or none; on the disk before its record is printed. */
static bool write_new(const char *path, struct sp_str data)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0) {
		explain_create(path, errno);
		return false;
	}
	bool good = fchmod(fd, 0600) == 0 && core_write_synced(fd, data);     /* whatever the umask */
	int cause = errno;
	close(fd);
	if (good && !core_sync_folder_of(path)) {
		good = false;
		cause = errno;
	}
	if (!good) {
		unlink(path);
		explain_create(path, cause);
	}
	return good;
}

static bool save(const struct core_key *key, const char *path)
{
	struct sp_buf pem;
	sp_buf_init(&pem, CORE_KEY_PEM_MAX);
	char *room = sp_buf_room(&pem, CORE_KEY_PEM_MAX);       /* at once, so that no copy stays behind */
	sp_assert(room);
	core_key_print(key, &pem);
	sp_assert(!sp_buf_failed(&pem));
	bool good = write_new(path, sp_buf_str(&pem));
	explicit_bzero(pem.p, pem.len);
	sp_buf_clear(&pem);
	return good;
}

/* ---- the command ---- */

static int keygen(struct request *r)
{
	if (!settle_kind(r))
		return RELAY_EXIT_USAGE;
	if (r->file == NULL)
		r->file = sp_arena_printf(&r->arena, "%s.%s.pem", r->selector, r->domain);
	struct sp_fail why = SP_FAIL_OK;
	struct core_key *key = core_key_generate(r->kind, r->bits, &why);
	if (key == NULL)
		fprintf(stderr, "strictpost dkim keygen: %s\n", why.text);
	int status = key && save(key, r->file) ? show(r, key) : RELAY_EXIT_FAILED;
	core_key_unref(key);
	return status;
}

static int record(struct request *r)
{
	if (r->file == NULL) {
		wrong("give the file of the private key with --key", "");
		return RELAY_EXIT_USAGE;
	}
	struct sp_fail why = SP_FAIL_OK;
	struct core_key *key = core_key_load(r->file, NULL, &why);
	if (key == NULL)
		fprintf(stderr, "strictpost dkim record: %s\n", why.text);
	int status = key ? show(r, key) : RELAY_EXIT_FAILED;
	core_key_unref(key);
	return status;
}

static int take(struct request *r, const struct cmd_option *own, int (*run)(struct request *r), int argc, char **argv)
{
	struct cmd_options o;                   /* --config is taken, as everywhere; nothing here depends on it */
	int status;
	if (!cmd_options_with(argc, argv, help, true, own, &o, &status))
		return status;
	r->json = o.json;
	if (optind < argc) {
		wrong("one argument too many: ", argv[optind]);
		return RELAY_EXIT_USAGE;
	}
	status = settle_names(r) ? run(r) : RELAY_EXIT_USAGE;
	sp_arena_clear(&r->arena);
	return status;
}

static int cmd_keygen(int argc, char **argv)
{
	struct request r = { 0 };
	const struct cmd_option own[] = { { "domain", &r.domain }, { "selector", &r.selector }, { "type", &r.type }, { "bits", &r.bits_text },
	                                  { "out", &r.file }, { 0 } };
	return take(&r, own, keygen, argc, argv);
}

static int cmd_record(int argc, char **argv)
{
	struct request r = { 0 };
	const struct cmd_option own[] = { { "domain", &r.domain }, { "selector", &r.selector }, { "key", &r.file }, { 0 } };
	return take(&r, own, record, argc, argv);
}

int cmd_dkim(int argc, char **argv)
{
	static const struct cmd_verb verbs[] = { { .name = "keygen", .run = cmd_keygen }, { .name = "record", .run = cmd_record } };
	return cmd_verbs(&(struct cmd_verbs){ .group = "dkim", .help = help, .verbs = verbs, .count = SP_COUNT(verbs) }, argc, argv);
}
