/* tests/unit/relay_config_identity_test.c - relay/config_identity.c and the list dkim of relay/config_lists.c: who reports, who signs, and what is said
 * of a configuration that is sound. The keys are made here. */
#include "relay/config.h"
#include "smtp/dkim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define TEXT_MAX (1 << 20)
#define HOST "hostname: relay.example.com\n"
#define QUIET "report: {enabled: no}\n"

static char folder[] = "/tmp/config_identity_XXXXXX";

static struct config *parse(const char *text, struct sp_buf *problems)
{
	sp_buf_init(problems, TEXT_MAX);
	struct config *c = config_parse(sp_str_of(text), "t.yaml", problems);
	assert_int_equal(c == NULL, problems->len > 0);
	return c;
}

static struct config *parse_sound(const char *text)
{
	struct sp_buf problems;
	struct config *c = parse(text, &problems);
	print_message("%s", sp_buf_cstr(&problems));
	assert_non_null(c);
	sp_buf_clear(&problems);
	return c;
}

/* ---- who reports ---- */

static const struct { const char *label, *file, *submitter, *organization, *contact; } identities[] = {       /* RFC 8460 4.4 */
	{ "a host in a registered domain", "hostname: relay.example.com\n", "example.com", "example.com", "postmaster@example.com" },
	{ "a suffix of two labels", "hostname: mx.mail.example.co.uk\n", "mail.example.co.uk", "example.co.uk", "postmaster@mail.example.co.uk" },
	{ "a host right under a suffix of two labels", "hostname: example.co.uk\n", "example.co.uk", "example.co.uk", "postmaster@example.co.uk" },
	{ "a host right under a top level that the list has not", "hostname: relay.example\n", "relay.example", "relay.example", "postmaster@relay.example" },
	{ "a top level that the list has not, deeper", "hostname: a.relay.example\n", "relay.example", "relay.example", "postmaster@relay.example" },
	{ "a public suffix itself", "hostname: co.uk\n", "co.uk", "co.uk", "postmaster@co.uk" },
	{ "A-labels", "hostname: mx.B\xc3\xbc""cher.Example.COM\n", "xn--bcher-kva.example.com", "example.com", "postmaster@xn--bcher-kva.example.com" },
	{ "the submitter is set", HOST "report: {submitter: Reports.B\xc3\xbc""cher.Example.}\n", "reports.xn--bcher-kva.example", "example.com",
	  "postmaster@reports.xn--bcher-kva.example" },
	{ "the organization is set", HOST "report: {organization: \"Example, Inc.\"}\n", "example.com", "Example, Inc.", "postmaster@example.com" },
	{ "the contact is set", HOST "report: {contact: TLS-Reports@Example.COM}\n", "example.com", "example.com", "TLS-Reports@example.com" },
	{ "submitter and contact are set", HOST "report: {contact: t@other.example, submitter: other.example}\n", "other.example", "example.com",
	  "t@other.example" },
};

static void test_identity(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_COUNT(identities); i++) {
		struct config *c = parse_sound(identities[i].file);
		const struct config_identity *got = config_report_identity(c);
		print_message("%s: want %s, %s, %s; got %s, %s, %s\n", identities[i].label, identities[i].submitter, identities[i].organization,
		              identities[i].contact, got->submitter, got->organization, got->contact);
		assert_string_equal(got->submitter, identities[i].submitter);
		assert_string_equal(got->organization, identities[i].organization);
		assert_string_equal(got->contact, identities[i].contact);
		config_unref(c);
	}
}

static const struct { const char *label, *file, *want; } identity_mistakes[] = {
	{ "the submitter is no domain", HOST "report:\n  submitter: a b\n", "t.yaml:3: report.submitter: 'a b' is not a domain such as example.com: " },
	{ "the submitter has one label", HOST "report:\n  submitter: relay\n", "t.yaml:3: report.submitter: 'relay' is not a domain such as example.com\n" },
	{ "the submitter is a list", HOST "report:\n  submitter: [a.example]\n", "t.yaml:3: report.submitter: takes one value" },
	{ "the contact is no address", HOST "report:\n  contact: postmaster\n", "t.yaml:3: report.contact: 'postmaster' is not a mail address: " },
	{ "the contact has a name", HOST "report:\n  contact: Me <me@example.com>\n", "t.yaml:3: report.contact: 'Me <me@example.com>' is not a mail address: " },
	{ "the contact is at a literal", HOST "report:\n  contact: a@[192.0.2.1]\n", "t.yaml:3: report.contact: 'a@[192.0.2.1]' is not a mail address: " },
	{ "the contact has 8-bit in front", HOST "report:\n  contact: \xc3\xa9@example.com\n", "t.yaml:3: report.contact: '?\?@example.com' is not a mail address: " },
	{ "the contact is elsewhere", HOST "report:\n  contact: a@other.example\n",     /* RFC 8460 5.3 */
	  "t.yaml:3: report.contact: 'a@other.example' is not at the submitter's domain, example.com; set report.submitter: other.example" },
	{ "the contact is in a part of it", HOST "report:\n  contact: a@sub.example.com\n", "t.yaml:3: report.contact: 'a@sub.example.com' is not at " },
	{ "both are set, and differ", HOST "report:\n  contact: a@a.example\n  submitter: b.example\n", "t.yaml:3: report.contact: 'a@a.example' is not at " },
	{ "nothing is said of what follows from a bad hostname", "hostname: relay\nreport: {contact: a@b.example}\n", "t.yaml:1: hostname 'relay' is not" },
};

static void check_mistake(const char *label, const char *file, const char *want)
{
	struct sp_buf problems;
	struct config *c = parse(file, &problems);
	print_message("%s: want %s, got %s\n", label, want, c ? "sound" : sp_buf_cstr(&problems));
	assert_null(c);
	assert_int_equal(strncmp(sp_buf_cstr(&problems), want, strlen(want)), 0);
	assert_ptr_equal(strchr(sp_buf_cstr(&problems), '\n'), problems.p + problems.len - 1);         /* one problem */
	sp_buf_clear(&problems);
}

static void test_identity_mistakes(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_COUNT(identity_mistakes); i++)
		check_mistake(identity_mistakes[i].label, identity_mistakes[i].file, identity_mistakes[i].want);
}

/* ---- who signs ---- */

static void write_file(const char *name, struct sp_str text, mode_t mode)
{
	char path[100];
	snprintf(path, sizeof(path), "%s/%s", folder, name);
	FILE *f = fopen(path, "we");
	assert_non_null(f);
	assert_int_equal(fwrite(text.p, 1, text.len, f), text.len);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(path, mode), 0);
}

static void write_key(const char *name, enum core_key_kind kind, unsigned bits, mode_t mode)
{
	struct sp_fail why;
	struct core_key *k = core_key_generate(kind, bits, &why);
	assert_non_null(k);
	struct sp_buf pem;
	sp_buf_init(&pem, 65536);
	core_key_print(k, &pem);
	write_file(name, sp_buf_str(&pem), mode);
	core_key_unref(k);
	sp_buf_clear(&pem);
}

static int make_keys(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(folder));
	write_key("rsa.pem", CORE_KEY_RSA, 2048, 0600);
	write_key("short.pem", CORE_KEY_RSA, 1024, 0600);
	write_key("ed.pem", CORE_KEY_ED25519, 0, 0400);
	write_key("group.pem", CORE_KEY_ED25519, 0, 0640);
	write_key("others.pem", CORE_KEY_ED25519, 0, 0604);
	write_file("no.pem", SP_STR("this is no key\n"), 0600);
	return 0;
}

static int remove_keys(void **state)
{
	(void)state;
	static const char *const names[] = { "rsa.pem", "short.pem", "ed.pem", "group.pem", "others.pem", "no.pem" };
	char path[100];
	for (size_t i = 0; i < SP_COUNT(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
		unlink(path);
	}
	rmdir(folder);
	return 0;
}

/* `text` with each '@' as the folder of the keys. */
static char *with_folder(const char *text)
{
	struct sp_buf out;
	sp_buf_init(&out, TEXT_MAX);
	for (; *text; text++)
		if (*text == '@')
			sp_buf_adds(&out, folder);
		else
			sp_buf_addc(&out, *text);
	return sp_buf_take(&out);
}

static struct config *parse_keys(const char *text)
{
	char *file = with_folder(text);
	struct config *c = parse_sound(file);
	free(file);
	return c;
}

static void test_signers(void **state)
{
	(void)state;
	struct config *c = parse_keys(HOST "dkim:\n  - {domain: Example.COM., selector: R1.relay, key_file: @/rsa.pem}\n"
	                              "  - {domain: other.example, selector: x, key_file: @/ed.pem}\n"
	                              "  - {key_file: \"@/ed.pem\", selector: E1, domain: example.com}\n"
	                              "  - {domain: B\xc3\xbc""cher.example, selector: B\xc3\xbc""cher, key_file: @/ed.pem}\n");
	struct smtp_dkim_signer s[SMTP_DKIM_SIGNERS_MAX];
	assert_int_equal(config_dkim_signers(c, "example.com", CONFIG_DKIM_MAIL, s, SP_COUNT(s)), 2);
	assert_string_equal(s[0].domain, "example.com");
	assert_string_equal(s[0].selector, "r1.relay");
	assert_int_equal(core_key_kind(s[0].key), CORE_KEY_RSA);
	assert_string_equal(s[1].selector, "e1");
	assert_int_equal(core_key_kind(s[1].key), CORE_KEY_ED25519);
	assert_int_equal(config_dkim_signers(c, "example.com", CONFIG_DKIM_MAIL, s, 1), 1);
	assert_int_equal(config_dkim_signers(c, "sub.example.com", CONFIG_DKIM_MAIL, s, SP_COUNT(s)), 0);
	assert_int_equal(config_dkim_signers(c, "com", CONFIG_DKIM_MAIL, s, SP_COUNT(s)), 0);
	assert_int_equal(config_dkim_signers(c, "xn--bcher-kva.example", CONFIG_DKIM_MAIL, s, SP_COUNT(s)), 1);
	assert_string_equal(s[0].selector, "xn--bcher-kva");
	config_unref(c);
}

/* RFC 8460 3: what a key with s=tlsrpt signs besides does not verify. */
static void test_a_key_for_reports_signs_no_mail(void **state)
{
	(void)state;
	struct config *c = parse_keys(HOST "dkim:\n  - {domain: example.com, selector: both, key_file: @/rsa.pem}\n"
	                              "  - {domain: example.com, selector: rpt, key_file: @/ed.pem, use: reports}\n"
	                              "  - {domain: example.com, selector: mail, key_file: @/ed.pem, use: Mail}\n");
	struct smtp_dkim_signer s[SMTP_DKIM_SIGNERS_MAX];
	assert_int_equal(config_dkim_signers(c, "example.com", CONFIG_DKIM_MAIL, s, SP_COUNT(s)), 2);
	assert_string_equal(s[0].selector, "both");
	assert_string_equal(s[1].selector, "mail");
	assert_int_equal(config_dkim_signers(c, "example.com", CONFIG_DKIM_REPORTS, s, SP_COUNT(s)), 2);
	assert_string_equal(s[0].selector, "both");
	assert_string_equal(s[1].selector, "rpt");
	config_unref(c);
}

static void test_the_list_is_printed_back(void **state)
{
	(void)state;
	struct config *c = parse_keys(HOST "dkim: [{domain: a.example, selector: s, key_file: '@/rsa.pem'}, {domain: a.example, selector: t, key_file: @/ed.pem, use: reports}]\n");
	struct sp_buf once, twice;
	sp_buf_init(&once, TEXT_MAX);
	sp_buf_init(&twice, TEXT_MAX);
	config_print(c, &once);
	char *want = with_folder("\ndkim:\n  - {domain: \"a.example\", selector: \"s\", key_file: \"@/rsa.pem\", use: all}\n"
	                         "  - {domain: \"a.example\", selector: \"t\", key_file: \"@/ed.pem\", use: reports}\n");
	assert_non_null(strstr(sp_buf_cstr(&once), want));
	struct config *again = parse_sound(sp_buf_cstr(&once));
	config_print(again, &twice);
	assert_string_equal(sp_buf_cstr(&once), sp_buf_cstr(&twice));
	config_unref(c);
	config_unref(again);
	sp_buf_clear(&once);
	sp_buf_clear(&twice);
	free(want);
}

#define ROW(n) "  - {domain: a.example, selector: s" #n ", key_file: @/ed.pem}\n"

static const struct { const char *label, *file, *want; } dkim_mistakes[] = {
	{ "no list", HOST "dkim: {domain: a.example}\n", "t.yaml:2: dkim: takes a list of groups\n" },
	{ "an item is no group", HOST "dkim:\n  - a.example\n", "t.yaml:3: dkim: an item takes the keys: domain selector key_file use\n" },
	{ "unknown key", HOST "dkim:\n  - {domain: a.example, selektor: s}\n", "t.yaml:3: dkim: there is no key 'selektor'; known here: domain selector key_file use\n" },
	{ "no domain", HOST "dkim:\n  - {selector: s, key_file: @/ed.pem}\n", "t.yaml:3: dkim: an item needs domain, selector and key_file\n" },
	{ "no selector", HOST "dkim:\n  - {domain: a.example, key_file: @/ed.pem}\n", "t.yaml:3: dkim: an item needs domain, selector and key_file\n" },
	{ "no key", HOST "dkim:\n  - {domain: a.example, selector: s}\n", "t.yaml:3: dkim: an item needs domain, selector and key_file\n" },
	{ "nothing", HOST "dkim:\n  - {}\n", "t.yaml:3: dkim: an item needs domain, selector and key_file\n" },
	{ "a use that is none", HOST "dkim:\n  - {domain: a.example, selector: s, key_file: @/ed.pem, use: tlsrpt}\n", "t.yaml:3: dkim.use: takes all, mail or reports\n" },
	{ "the domain has one label", HOST "dkim:\n  - domain: a\n", "t.yaml:3: dkim.domain: 'a' is not a domain such as example.com\n" },
	{ "the domain is a list", HOST "dkim:\n  - domain: [a.example]\n", "t.yaml:3: dkim.domain: takes a domain, such as example.com\n" },
	{ "a star is no domain", HOST "dkim:\n  - domain: \"*\"\n", "t.yaml:3: dkim.domain: " },
	{ "the domain has an underscore", HOST "dkim:\n  - domain: a_b.example\n", "t.yaml:3: dkim.domain: an underscore has no place in it\n" },
	{ "the selector is empty", HOST "dkim:\n  - selector: \"\"\n", "t.yaml:3: dkim.selector: empty domain\n" },
	{ "the selector has a blank", HOST "dkim:\n  - selector: \"a b\"\n", "t.yaml:3: dkim.selector: " },
	{ "the selector would end the field", HOST "dkim:\n  - selector: \"a;l=0\"\n", "t.yaml:3: dkim.selector: " },
	{ "the selector has an underscore", HOST "dkim:\n  - selector: a_b\n", "t.yaml:3: dkim.selector: an underscore has no place in it\n" },
	{ "the selector has an empty label", HOST "dkim:\n  - selector: a..b\n", "t.yaml:3: dkim.selector: " },
	{ "no such file", HOST "dkim:\n  - domain: a.example\n    selector: s\n    key_file: @/none.pem\n", "t.yaml:5: dkim.key_file: " },
	{ "no key in the file", HOST "dkim:\n  - domain: a.example\n    selector: s\n    key_file: @/no.pem\n", "t.yaml:5: dkim.key_file: " },
	{ "an empty path", HOST "dkim:\n  - key_file: \"\"\n", "t.yaml:3: dkim.key_file: takes the path of a private key in PEM\n" },
	{ "a path with a NUL", HOST "dkim:\n  - key_file: \"@/ed.pem\\0x\"\n", "t.yaml:3: dkim.key_file: takes the path of a private key in PEM\n" },
	{ "twice", HOST "dkim:\n  - {domain: a.example, selector: s, key_file: @/ed.pem}\n  - {domain: A.example., selector: S, key_file: @/rsa.pem}\n",
	  "t.yaml:4: dkim: the selector s of a.example is there twice\n" },
	{ "more than a message can have, told once", HOST "dkim:\n" ROW(1) ROW(2) ROW(3) ROW(4) ROW(5) ROW(6) ROW(7) ROW(8) ROW(9) ROW(10),
	  "t.yaml:11: dkim: a.example has more than 8 entries\n" },
	{ "a name that DNS has no room for", HOST "dkim:\n  - domain: "
	  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.a.example\n    selector: "
	  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n    key_file: @/ed.pem\n",
	  "t.yaml:3: dkim: aaaa" },
};

static void test_dkim_mistakes(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_COUNT(dkim_mistakes); i++) {
		char *file = with_folder(dkim_mistakes[i].file);
		check_mistake(dkim_mistakes[i].label, file, dkim_mistakes[i].want);
		free(file);
	}
}

/* ---- what is said of what is sound ---- */

#define NO_KEY "report: https reports go out, mailed ones do not: dkim has no key for the submitter example.com; make one: " \
	"strictpost dkim keygen --domain example.com --selector tlsrpt\n"

#define OPEN ", so more than the relay may read or change the private key; make the user that the relay runs as its owner, and the mode 0600\n"

static const struct { const char *label, *file, *want; } warnings[] = {
	{ "no key for the submitter", HOST, NO_KEY },
	{ "a key for another domain", HOST "dkim: [{domain: relay.example.com, selector: s, key_file: @/ed.pem}]\n", NO_KEY },
	{ "nobody reports", HOST QUIET, "" },
	{ "a key for the submitter", HOST "dkim: [{domain: example.com, selector: s, key_file: @/rsa.pem}]\n", "" },
	{ "a short key", HOST QUIET "dkim: [{domain: b.example, selector: s, key_file: @/short.pem}]\n",
	  "dkim: the key of s._domainkey.b.example has 1024 bits; signers should use 2048 at least (RFC 8301 3.2)\n" },
	{ "an Ed25519 key is not short", HOST QUIET "dkim: [{domain: b.example, selector: s, key_file: @/ed.pem}]\n", "" },
	{ "a private key of root's that the relay's group may read", HOST QUIET "dkim: [{domain: b.example, selector: s, key_file: @/group.pem}]\n", "" },
	{ "a private key that others may read, told once", HOST QUIET "dkim: [{domain: b.example, selector: s, key_file: @/others.pem}, "
	  "{domain: c.example, selector: s, key_file: @/others.pem}]\n", "dkim: @/others.pem has mode 0604" OPEN },
};

static void test_warnings(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_COUNT(warnings); i++) {
		struct config *c = parse_keys(warnings[i].file);
		char *want = with_folder(warnings[i].want);
		struct sp_buf got;
		sp_buf_init(&got, TEXT_MAX);
		config_warnings(c, 0, &got);
		print_message("%s: want %s\n got %s\n", warnings[i].label, want, sp_buf_cstr(&got));
		assert_string_equal(sp_buf_cstr(&got), want);
		free(want);
		sp_buf_clear(&got);
		config_unref(c);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_identity),
		cmocka_unit_test(test_identity_mistakes),
		cmocka_unit_test(test_signers),
		cmocka_unit_test(test_a_key_for_reports_signs_no_mail),
		cmocka_unit_test(test_the_list_is_printed_back),
		cmocka_unit_test(test_dkim_mistakes),
		cmocka_unit_test(test_warnings),
	};
	return cmocka_run_group_tests(tests, make_keys, remove_keys);
}
