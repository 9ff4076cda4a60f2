/* tests/unit/smtp_command_test.c - smtp/command.c: command lines, row by row. */
#include "smtp/command.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define X50 "xxxxxxxxxxyyyyyyyyyyxxxxxxxxxxyyyyyyyyyyxxxxxxxxxx"
#define LABELS_150 X50 ".a" X50 ".b" X50
#define PATH_256 "<" "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz0123456789xy" "@" LABELS_150 ".c" \
	"zzzzzzzzzzzzzzzzzzzzzzzzzzzzz.org" ">"

static const struct smtp_command_terms terms = { .auth = true, .require_tls = true, .hold = true };

static const struct {
	const char *label, *line;
	enum smtp_verb verb;
	const char *reply;              /* its first octets; NULL: none */
	const char *path;               /* MAIL and RCPT: the address read */
} rows[] = {
	{ "EHLO", "EHLO client.example", SMTP_VERB_EHLO },
	{ "verbs know no case, RFC 5321 2.4", "eHlO client.example", SMTP_VERB_EHLO },
	{ "a literal", "HELO [192.0.2.1]", SMTP_VERB_HELO },
	{ "any word will do", "HELO my_host!", SMTP_VERB_HELO },
	{ "blanks at the end, RFC 5321 4.1.1", "NOOP  \t", SMTP_VERB_NOOP },
	{ "EHLO needs a name", "EHLO", SMTP_VERB_EHLO, "501 5.5.4" },
	{ "EHLO needs one name", "EHLO a b", SMTP_VERB_EHLO, "501 5.5.4" },
	{ "HELO over 255", "HELO " X50 X50 X50 X50 X50 "xxxxxx", SMTP_VERB_HELO, "501 5.5.4" },

	{ "MAIL", "MAIL FROM:<a@example.com>", SMTP_VERB_MAIL, NULL, "a@example.com" },
	{ "the null path", "MAIL FROM:<>", SMTP_VERB_MAIL, NULL, "" },
	{ "blank behind the colon (leniency)", "MAIL FROM: <a@example.com>", SMTP_VERB_MAIL, NULL, "a@example.com" },
	{ "any case", "mail from:<a@Example.com> size=5 body=7bit", SMTP_VERB_MAIL, NULL, "a@example.com" },
	{ "a quoted bracket", "MAIL FROM:<\"a>b\"@x.org>", SMTP_VERB_MAIL, NULL, "\"a>b\"@x.org" },
	{ "a quoted pair", "MAIL FROM:<\"a\\\">b\"@x.org>", SMTP_VERB_MAIL, NULL, "\"a\\\">b\"@x.org" },
	{ "a source route is dropped, RFC 5321 Appendix C", "MAIL FROM:<@a.org,@b.org:c@d.org>", SMTP_VERB_MAIL, NULL, "c@d.org" },
	{ "a U-label", "MAIL FROM:<a@b\xc3\xbc" "cher.example>", SMTP_VERB_MAIL, NULL, "a@xn--bcher-kva.example" },
	{ "a path of 256, RFC 5321 4.5.3.1.3", "MAIL FROM:" PATH_256, SMTP_VERB_MAIL, NULL, NULL },
	{ "SIZE", "MAIL FROM:<a@x.org> SIZE=12345", SMTP_VERB_MAIL, NULL, "a@x.org" },
	{ "several blanks", "MAIL  FROM:<a@x.org>  SIZE=1  BODY=8BITMIME", SMTP_VERB_MAIL, NULL, "a@x.org" },
	{ "no path", "MAIL FROM:", SMTP_VERB_MAIL, "501 5.1.7" },
	{ "no FROM", "MAIL <a@x.org>", SMTP_VERB_MAIL, "501 5.5.4" },
	{ "TO in place of FROM", "MAIL TO:<a@x.org>", SMTP_VERB_MAIL, "501 5.5.4" },
	{ "blank before the colon", "MAIL FROM :<a@x.org>", SMTP_VERB_MAIL, "501 5.5.4" },
	{ "only the verb", "MAIL", SMTP_VERB_MAIL, "501 5.5.4" },
	{ "no brackets", "MAIL FROM:a@x.org", SMTP_VERB_MAIL, "501 5.1.7" },
	{ "bracket not closed", "MAIL FROM:<a@x.org", SMTP_VERB_MAIL, "501 5.1.7" },
	{ "bracket closed in quotes only", "MAIL FROM:<\"a@x.org>", SMTP_VERB_MAIL, "501 5.1.7" },
	{ "no domain", "MAIL FROM:<a>", SMTP_VERB_MAIL, "501 5.1.7" },
	{ "postmaster is no sender", "MAIL FROM:<postmaster>", SMTP_VERB_MAIL, "501 5.1.7" },
	{ "text behind the bracket", "MAIL FROM:<a@x.org>SIZE=1", SMTP_VERB_MAIL, "501 5.5.4" },
	{ "two brackets", "MAIL FROM:<<a@x.org>>", SMTP_VERB_MAIL, "501 5.1.7" },
	{ "a path of 257", "MAIL FROM:<@b:" "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz0123456789xy" "@" LABELS_150 ".c"
	  "zzzzzzzzzzzzzzzzzzzzzzzzzzz.org>", SMTP_VERB_MAIL, "501 5.1.7" },
	{ "8 bits in the local part, RFC 6531 3.5", "MAIL FROM:<j\xc3\xb6rg@x.org>", SMTP_VERB_MAIL, "550 5.6.7" },
	{ "SIZE is a number", "MAIL FROM:<a@x.org> SIZE=a", SMTP_VERB_MAIL, "501 5.5.4" },
	{ "SIZE alone", "MAIL FROM:<a@x.org> SIZE", SMTP_VERB_MAIL, "501 5.5.4" },
	{ "SIZE=", "MAIL FROM:<a@x.org> SIZE=", SMTP_VERB_MAIL, "501 5.5.4" },
	{ "SIZE over 2^64", "MAIL FROM:<a@x.org> SIZE=18446744073709551616", SMTP_VERB_MAIL, "501 5.5.4" },
	{ "SIZE negative", "MAIL FROM:<a@x.org> SIZE=-1", SMTP_VERB_MAIL, "501 5.5.4" },
	{ "SIZE twice", "MAIL FROM:<a@x.org> SIZE=1 SIZE=1", SMTP_VERB_MAIL, "501 5.5.4" },
	{ "SIZE and =", "MAIL FROM:<a@x.org> SIZE=1=2", SMTP_VERB_MAIL, "501 5.5.4" },
	{ "BODY unknown", "MAIL FROM:<a@x.org> BODY=9BIT", SMTP_VERB_MAIL, "501 5.5.4" },
	{ "unknown parameter, RFC 5321 4.1.1.11", "MAIL FROM:<a@x.org> FOO=bar", SMTP_VERB_MAIL, "555 5.5.4 Unknown parameter FOO" },
	{ "unknown keyword alone", "MAIL FROM:<a@x.org> FOO", SMTP_VERB_MAIL, "555 5.5.4" },
	{ "a keyword begins with a letter or digit", "MAIL FROM:<a@x.org> -A=1", SMTP_VERB_MAIL, "501 5.5.4" },
	{ "8 bits in a parameter", "MAIL FROM:<a@x.org> ENVID=\xc3\xb6", SMTP_VERB_MAIL, "501 5.5.4" },
	{ "8 bits in a keyword", "MAIL FROM:<a@x.org> \xc3\xb6=a", SMTP_VERB_MAIL, "501 5.5.4" },
	{ "BODY=BINARYMIME, RFC 3030 3", "MAIL FROM:<a@x.org> BODY=binarymime", SMTP_VERB_MAIL, NULL, "a@x.org" },
	{ "SMTPUTF8, RFC 6531 3.4", "MAIL FROM:<a@x.org> SMTPUTF8", SMTP_VERB_MAIL, NULL, "a@x.org" },
	{ "SMTPUTF8 has no value", "MAIL FROM:<a@x.org> SMTPUTF8=1", SMTP_VERB_MAIL, "501 5.5.4" },
	{ "SIZE has a value", "MAIL FROM:<a@x.org> SIZE", SMTP_VERB_MAIL, "501 5.5.4" },
	{ "REQUIRETLS, RFC 8689 2", "MAIL FROM:<a@x.org> requiretls", SMTP_VERB_MAIL, NULL, "a@x.org" },
	{ "REQUIRETLS has no value", "MAIL FROM:<a@x.org> REQUIRETLS=yes", SMTP_VERB_MAIL, "501 5.5.4" },
	{ "RET, RFC 3461 4.3", "MAIL FROM:<a@x.org> RET=full", SMTP_VERB_MAIL, NULL, "a@x.org" },
	{ "RET unknown", "MAIL FROM:<a@x.org> RET=BODY", SMTP_VERB_MAIL, "501 5.5.4" },
	{ "ENVID, RFC 3461 4.4", "MAIL FROM:<a@x.org> ENVID=QQ+2B314159", SMTP_VERB_MAIL, NULL, "a@x.org" },
	{ "ENVID of 100 octets", "MAIL FROM:<a@x.org> ENVID=xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", SMTP_VERB_MAIL, NULL, "a@x.org" },
	{ "ENVID of 101 octets", "MAIL FROM:<a@x.org> ENVID=xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", SMTP_VERB_MAIL, "501 5.5.4" },
	{ "ENVID that is no xtext", "MAIL FROM:<a@x.org> ENVID=a+4", SMTP_VERB_MAIL, "501 5.5.4" },
	{ "ENVID that stands for a line end", "MAIL FROM:<a@x.org> ENVID=a+0D+0Ab", SMTP_VERB_MAIL, "501 5.5.4" },
	{ "ENVID that stands for 8 bits", "MAIL FROM:<a@x.org> ENVID=a+C3+B6", SMTP_VERB_MAIL, "501 5.5.4" },
	{ "ENVID twice", "MAIL FROM:<a@x.org> ENVID=a ENVID=a", SMTP_VERB_MAIL, "501 5.5.4" },
	{ "MT-PRIORITY, RFC 6710 7", "MAIL FROM:<a@x.org> MT-PRIORITY=-9", SMTP_VERB_MAIL, NULL, "a@x.org" },
	{ "MT-PRIORITY over 9", "MAIL FROM:<a@x.org> MT-PRIORITY=10", SMTP_VERB_MAIL, "501 5.5.4" },
	{ "MT-PRIORITY with a plus", "MAIL FROM:<a@x.org> MT-PRIORITY=+3", SMTP_VERB_MAIL, "501 5.5.4" },
	{ "MT-PRIORITY of minus nothing", "MAIL FROM:<a@x.org> MT-PRIORITY=-0", SMTP_VERB_MAIL, "501 5.5.4" },
	{ "MT-PRIORITY of a word", "MAIL FROM:<a@x.org> MT-PRIORITY=high", SMTP_VERB_MAIL, "501 5.5.4" },
	{ "HOLDFOR, RFC 4865 3", "MAIL FROM:<a@x.org> HOLDFOR=86400", SMTP_VERB_MAIL, NULL, "a@x.org" },
	{ "HOLDFOR of ten digits", "MAIL FROM:<a@x.org> HOLDFOR=1234567890", SMTP_VERB_MAIL, "501 5.5.4" },
	{ "HOLDFOR of nothing, RFC 4865 3", "MAIL FROM:<a@x.org> HOLDFOR=0", SMTP_VERB_MAIL, "501 5.5.4" },
	{ "HOLDFOR with a zero in front", "MAIL FROM:<a@x.org> HOLDFOR=060", SMTP_VERB_MAIL, "501 5.5.4" },
	{ "HOLDFOR negative", "MAIL FROM:<a@x.org> HOLDFOR=-1", SMTP_VERB_MAIL, "501 5.5.4" },
	{ "HOLDUNTIL, RFC 4865 3", "MAIL FROM:<a@x.org> HOLDUNTIL=2026-11-22T14:03:09Z", SMTP_VERB_MAIL, NULL, "a@x.org" },
	{ "HOLDUNTIL with an offset, RFC 4865 3", "MAIL FROM:<a@x.org> HOLDUNTIL=2026-11-22T14:03:09+02:00", SMTP_VERB_MAIL, "501 5.5.4" },
	{ "HOLDUNTIL that is no instant", "MAIL FROM:<a@x.org> HOLDUNTIL=2026-02-30T14:03:09Z", SMTP_VERB_MAIL, "501 5.5.4" },
	{ "both holds", "MAIL FROM:<a@x.org> HOLDFOR=1 HOLDUNTIL=2026-11-22T14:03:09Z", SMTP_VERB_MAIL, "501 5.5.4" },
	{ "both holds, the other way round", "MAIL FROM:<a@x.org> HOLDUNTIL=2026-11-22T14:03:09Z HOLDFOR=1", SMTP_VERB_MAIL, "501 5.5.4" },
	{ "BY, RFC 2852 4", "MAIL FROM:<a@x.org> BY=120;R", SMTP_VERB_MAIL, NULL, "a@x.org" },
	{ "BY with a trace", "MAIL FROM:<a@x.org> BY=-5;NT", SMTP_VERB_MAIL, NULL, "a@x.org" },
	{ "BY of nothing, notify", "MAIL FROM:<a@x.org> BY=0;N", SMTP_VERB_MAIL, NULL, "a@x.org" },
	{ "BY with a plus", "MAIL FROM:<a@x.org> BY=+5;rt", SMTP_VERB_MAIL, NULL, "a@x.org" },
	{ "BY of nothing, return", "MAIL FROM:<a@x.org> BY=0;R", SMTP_VERB_MAIL, "501 5.5.4" },
	{ "BY negative, return", "MAIL FROM:<a@x.org> BY=-1;R", SMTP_VERB_MAIL, "501 5.5.4" },
	{ "BY without a mode", "MAIL FROM:<a@x.org> BY=5", SMTP_VERB_MAIL, "501 5.5.4" },
	{ "BY with an unknown mode", "MAIL FROM:<a@x.org> BY=5;X", SMTP_VERB_MAIL, "501 5.5.4" },
	{ "BY with more", "MAIL FROM:<a@x.org> BY=5;NTT", SMTP_VERB_MAIL, "501 5.5.4" },
	{ "BY of a sign", "MAIL FROM:<a@x.org> BY=+;N", SMTP_VERB_MAIL, "501 5.5.4" },
	{ "BY of two signs", "MAIL FROM:<a@x.org> BY=+-5;N", SMTP_VERB_MAIL, "501 5.5.4" },
	{ "BY of ten digits", "MAIL FROM:<a@x.org> BY=1234567890;N", SMTP_VERB_MAIL, "501 5.5.4" },
	{ "AUTH=, RFC 4954 5", "MAIL FROM:<a@x.org> AUTH=e+3Dmc2@example.com", SMTP_VERB_MAIL, NULL, "a@x.org" },
	{ "AUTH of nobody", "MAIL FROM:<a@x.org> AUTH=<>", SMTP_VERB_MAIL, NULL, "a@x.org" },
	{ "AUTH that is no xtext", "MAIL FROM:<a@x.org> AUTH=a+", SMTP_VERB_MAIL, "501 5.5.4" },
	{ "8 bits with SMTPUTF8, RFC 6531 3.3", "MAIL FROM:<j\xc3\xb6rg@b\xc3\xbc" "cher.example> SMTPUTF8", SMTP_VERB_MAIL, NULL, "j\xc3\xb6rg@xn--bcher-kva.example" },
	{ "no UTF-8", "MAIL FROM:<j\xf6rg@x.org> SMTPUTF8", SMTP_VERB_MAIL, "501 5.1.7" },
	{ "a control character of Unicode", "MAIL FROM:<j\xc2\x85rg@x.org> SMTPUTF8", SMTP_VERB_MAIL, "501 5.1.7" },
	{ "8 bits in a recipient of other mail", "RCPT TO:<j\xc3\xb6rg@x.org>", SMTP_VERB_RCPT, "553 5.6.7" },
	{ "source route without mailbox", "MAIL FROM:<@a.org>", SMTP_VERB_MAIL, "501 5.1.7" },
	{ "source route with a bad hop", "MAIL FROM:<@a..org:c@d.org>", SMTP_VERB_MAIL, "501 5.1.7" },
	{ "source route ends in a comma", "MAIL FROM:<@a.org,:c@d.org>", SMTP_VERB_MAIL, "501 5.1.7" },
	{ "source route without at", "MAIL FROM:<@a.org,b.org:c@d.org>", SMTP_VERB_MAIL, "501 5.1.7" },
	{ "source route of nothing", "MAIL FROM:<@:c@d.org>", SMTP_VERB_MAIL, "501 5.1.7" },

	{ "RCPT", "RCPT TO:<b@x.org>", SMTP_VERB_RCPT, NULL, "b@x.org" },
	{ "postmaster, RFC 5321 4.1.1.3", "RCPT TO:<postmaster>", SMTP_VERB_RCPT, NULL, "postmaster" },
	{ "Postmaster", "RCPT TO:<PostMaster>", SMTP_VERB_RCPT, NULL, "PostMaster" },
	{ "a literal", "RCPT TO:<b@[192.0.2.1]>", SMTP_VERB_RCPT, NULL, "b@[192.0.2.1]" },
	{ "a route", "RCPT TO:<@a.org:b@x.org>", SMTP_VERB_RCPT, NULL, "b@x.org" },
	{ "the null path is no recipient", "RCPT TO:<>", SMTP_VERB_RCPT, "501 5.1.3" },
	{ "no domain", "RCPT TO:<b>", SMTP_VERB_RCPT, "501 5.1.3" },
	{ "SIZE is not for RCPT", "RCPT TO:<b@x.org> SIZE=1", SMTP_VERB_RCPT, "555 5.5.4" },
	{ "NOTIFY, RFC 3461 4.1", "RCPT TO:<b@x.org> NOTIFY=success,FAILURE,Delay", SMTP_VERB_RCPT, NULL, "b@x.org" },
	{ "NOTIFY=NEVER", "RCPT TO:<b@x.org> NOTIFY=NEVER", SMTP_VERB_RCPT, NULL, "b@x.org" },
	{ "NEVER stands alone", "RCPT TO:<b@x.org> NOTIFY=NEVER,FAILURE", SMTP_VERB_RCPT, "501 5.5.4" },
	{ "NEVER stands alone, at the end too", "RCPT TO:<b@x.org> NOTIFY=DELAY,NEVER", SMTP_VERB_RCPT, "501 5.5.4" },
	{ "NOTIFY of an unknown word", "RCPT TO:<b@x.org> NOTIFY=ALWAYS", SMTP_VERB_RCPT, "501 5.5.4" },
	{ "NOTIFY of an empty word", "RCPT TO:<b@x.org> NOTIFY=DELAY,", SMTP_VERB_RCPT, "501 5.5.4" },
	{ "NOTIFY twice", "RCPT TO:<b@x.org> NOTIFY=DELAY NOTIFY=DELAY", SMTP_VERB_RCPT, "501 5.5.4" },
	{ "ORCPT, RFC 3461 4.2", "RCPT TO:<b@x.org> ORCPT=rfc822;Bob+2BSales@Example.COM", SMTP_VERB_RCPT, NULL, "b@x.org" },
	{ "ORCPT of utf-8 in ASCII, RFC 6533 3", "RCPT TO:<b@x.org> ORCPT=utf-8;j\\x{F6}rg@x.org", SMTP_VERB_RCPT, NULL, "b@x.org" },
	{ "ORCPT with 8 bits needs SMTPUTF8", "RCPT TO:<b@x.org> ORCPT=utf-8;j\xc3\xb6rg@x.org", SMTP_VERB_RCPT, "501 5.5.4" },
	{ "ORCPT beyond ASCII as Postfix 3.7 says it", "RCPT TO:<b@x.org> ORCPT=rfc822;j+C3+B6rg@x.org", SMTP_VERB_RCPT, NULL, "b@x.org" },
	{ "ORCPT that stands for no UTF-8", "RCPT TO:<b@x.org> ORCPT=rfc822;j+F6rg@x.org", SMTP_VERB_RCPT, "501 5.5.4" },
	{ "ORCPT without a type", "RCPT TO:<b@x.org> ORCPT=bob@x.org", SMTP_VERB_RCPT, "501 5.5.4" },
	{ "ORCPT without an address", "RCPT TO:<b@x.org> ORCPT=rfc822;", SMTP_VERB_RCPT, "501 5.5.4" },
	{ "ORCPT that stands for a line end", "RCPT TO:<b@x.org> ORCPT=rfc822;a+0D+0Ab@x.org", SMTP_VERB_RCPT, "501 5.5.4" },
	{ "ORCPT of 500 octets", "RCPT TO:<b@x.org> ORCPT=rfc822;xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", SMTP_VERB_RCPT, NULL, "b@x.org" },
	{ "ORCPT of 501 octets", "RCPT TO:<b@x.org> ORCPT=rfc822;xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", SMTP_VERB_RCPT, "501 5.5.4" },
	{ "RET is not for RCPT", "RCPT TO:<b@x.org> RET=FULL", SMTP_VERB_RCPT, "555 5.5.4" },
	{ "NOTIFY is not for MAIL", "MAIL FROM:<a@x.org> NOTIFY=DELAY", SMTP_VERB_MAIL, "555 5.5.4" },

	{ "DATA", "DATA", SMTP_VERB_DATA },
	{ "DATA takes nothing", "DATA now", SMTP_VERB_DATA, "501 5.5.4" },
	{ "RSET", "RSET", SMTP_VERB_RSET },
	{ "RSET takes nothing", "RSET x", SMTP_VERB_RSET, "501 5.5.4" },
	{ "QUIT takes nothing", "QUIT x", SMTP_VERB_QUIT, "501 5.5.4" },
	{ "NOOP takes anything", "NOOP a b c", SMTP_VERB_NOOP },
	{ "HELP", "HELP MAIL", SMTP_VERB_HELP },
	{ "VRFY", "VRFY bob", SMTP_VERB_VRFY },
	{ "VRFY with SMTPUTF8, RFC 6531 3.7.4.2", "VRFY j\xc3\xb6rg SMTPUTF8", SMTP_VERB_VRFY },
	{ "VRFY whom", "VRFY", SMTP_VERB_VRFY, "501 5.5.4" },

	{ "BDAT", "BDAT 86", SMTP_VERB_BDAT },
	{ "BDAT LAST", "BDAT 86 LAST", SMTP_VERB_BDAT },
	{ "BDAT last", "bdat 0 last", SMTP_VERB_BDAT },
	{ "BDAT of nothing", "BDAT", SMTP_VERB_BDAT, "501 5.5.4" },
	{ "BDAT of what", "BDAT x", SMTP_VERB_BDAT, "501 5.5.4" },
	{ "BDAT over 2^64", "BDAT 18446744073709551616", SMTP_VERB_BDAT, "501 5.5.4" },
	{ "BDAT of 21 digits", "BDAT 000000000000000000001", SMTP_VERB_BDAT, "501 5.5.4" },
	{ "BDAT FIRST", "BDAT 1 FIRST", SMTP_VERB_BDAT, "501 5.5.4" },
	{ "BDAT 1LAST", "BDAT 1LAST", SMTP_VERB_BDAT, "501 5.5.4" },
	{ "BDAT LAST and more", "BDAT 1 LAST 2", SMTP_VERB_BDAT, "501 5.5.4" },

	{ "unknown", "FOO bar", SMTP_VERB_UNKNOWN, "500 5.5.1" },
	{ "empty", "", SMTP_VERB_UNKNOWN, "500 5.5.1" },
	{ "only blanks", "   ", SMTP_VERB_UNKNOWN, "500 5.5.1" },
	{ "a blank in front", " NOOP", SMTP_VERB_UNKNOWN, "500 5.5.1" },
	{ "verb and more in one word", "NOOPS", SMTP_VERB_UNKNOWN, "500 5.5.1" },
	{ "known, not offered, RFC 5321 4.2.4", "EXPN list", SMTP_VERB_EXPN, "502 5.5.1" },
	{ "STARTTLS", "STARTTLS", SMTP_VERB_STARTTLS },
	{ "STARTTLS takes nothing, RFC 3207 4", "STARTTLS now", SMTP_VERB_STARTTLS, "501 5.5.4" },
	{ "AUTH, RFC 4954 4", "AUTH PLAIN AGEAYg==", SMTP_VERB_AUTH },
	{ "AUTH how", "AUTH", SMTP_VERB_AUTH, "501 5.5.4" },
	{ "AUTH and more", "AUTH PLAIN a b", SMTP_VERB_AUTH, "501 5.5.4" },
	{ "HTTP", "GET / HTTP/1.1", SMTP_VERB_HTTP, "500 5.5.1" },
	{ "HTTP/2", "PRI * HTTP/2.0", SMTP_VERB_HTTP, "500 5.5.1" },
	{ "control character", "NOOP \x01", SMTP_VERB_NOOP, "500 5.5.2" },
	{ "bare CR", "NOOP a\rQUIT", SMTP_VERB_NOOP, "500 5.5.2" },
	{ "tab for a blank", "NOOP\tx", SMTP_VERB_UNKNOWN, "500 5.5.2" },
	{ "DEL", "NOOP \x7f", SMTP_VERB_NOOP, "500 5.5.2" },
	{ "8 bits", "NOOP \xc3\xb6", SMTP_VERB_NOOP, "500 5.5.2" },
	{ "8 bits in EHLO", "EHLO b\xc3\xbc" "cher.example", SMTP_VERB_EHLO, "500 5.5.2" },
};

static void command_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		struct sp_arena arena = SP_ARENA_EMPTY;
		struct smtp_command c;
		const char *reply = smtp_command_parse(sp_str_of(rows[i].line), &terms, &arena, &c);
		const char *want = rows[i].reply;
		if (c.verb != rows[i].verb || (reply == NULL) != (want == NULL) || (want && strncmp(reply, want, strlen(want)) != 0) ||
		    (rows[i].path && strcmp(c.path.text, rows[i].path) != 0))
			fail_msg("%s: %s: got %s, %s, path %s", rows[i].label, rows[i].line, smtp_verb_str(c.verb), reply ? reply : "no reply",
			         !reply && c.path.text ? c.path.text : "none");
		sp_arena_clear(&arena);
	}
}

static void parameters_are_read(void **state)
{
	(void)state;
	struct sp_arena arena = SP_ARENA_EMPTY;
	struct smtp_command c;
	assert_null(smtp_command_parse(SP_STR("MAIL FROM:<> BODY=8bitMIME SIZE=18446744073709551615"), &terms, &arena, &c));
	assert_true(c.eight_bit);
	assert_true(c.size == UINT64_MAX);
	assert_true(c.extended);
	assert_null(smtp_command_parse(SP_STR("MAIL FROM:<>"), &terms, &arena, &c));
	assert_false(c.eight_bit);
	assert_false(c.extended);
	assert_true(c.size == 0);
	assert_null(smtp_command_parse(SP_STR("BDAT 18446744073709551615"), &terms, &arena, &c));
	assert_true(c.chunk == UINT64_MAX);
	assert_false(c.last);
	assert_null(smtp_command_parse(SP_STR("BDAT 0 LAST"), &terms, &arena, &c));
	assert_true(c.chunk == 0);
	assert_true(c.last);
	assert_null(smtp_command_parse(SP_STR("EHLO Client.Example "), &terms, &arena, &c));
	assert_true(sp_str_eq(c.argument, SP_STR("Client.Example")));
	sp_arena_clear(&arena);
}

static void wishes_are_read(void **state)
{
	(void)state;
	struct sp_arena arena = SP_ARENA_EMPTY;
	struct smtp_command c;
	assert_null(smtp_command_parse(SP_STR("MAIL FROM:<> BODY=BINARYMIME SMTPUTF8 REQUIRETLS RET=HDRS ENVID=a+2Bb MT-PRIORITY=-3 HOLDFOR=60 BY=-5;NT"),
	                               &terms, &arena, &c));
	assert_true(c.binary && !c.eight_bit && c.wish.utf8 && c.wish.require_tls && c.wish.ret == SP_RET_HDRS && c.wish.priority == -3);
	assert_string_equal(c.wish.envid, "a+2Bb");
	assert_true(c.hold_for_s == 60 && c.hold_until_s == 0 && c.by_s == -5 && c.wish.by == SP_BY_NOTIFY && c.wish.by_trace);
	assert_null(smtp_command_parse(SP_STR("MAIL FROM:<> RET=FULL HOLDUNTIL=2026-11-22T14:03:09Z BY=120;R"), &terms, &arena, &c));
	assert_true(c.wish.ret == SP_RET_FULL && c.hold_for_s == 0 && c.hold_until_s == 1795356189);
	assert_true(c.by_s == 120 && c.wish.by == SP_BY_RETURN && !c.wish.by_trace && c.wish.envid == NULL && !c.wish.utf8);
	assert_null(smtp_command_parse(SP_STR("RCPT TO:<a@x.org> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;Bob@X.org"), &terms, &arena, &c));
	assert_true(c.rcpt.notify == (SP_NOTIFY_SUCCESS | SP_NOTIFY_DELAY));
	assert_string_equal(c.rcpt.orcpt, "rfc822;Bob@X.org");
	sp_arena_clear(&arena);
}

/* What is not offered is unknown, and says nothing about itself. */
static void what_is_not_offered_is_unknown(void **state)
{
	(void)state;
	static const char *const lines[] = { "MAIL FROM:<> REQUIRETLS", "MAIL FROM:<> REQUIRETLS=1", "MAIL FROM:<> HOLDFOR=1",
	                                     "MAIL FROM:<> HOLDUNTIL=2026-11-22T14:03:09Z", "MAIL FROM:<> AUTH=<>" };
	struct smtp_command_terms none = { 0 };
	for (size_t i = 0; i < SP_COUNT(lines); i++) {
		struct sp_arena arena = SP_ARENA_EMPTY;
		struct smtp_command c;
		const char *reply = smtp_command_parse(sp_str_of(lines[i]), &none, &arena, &c);
		if (reply == NULL || strncmp(reply, "555 5.5.4", 9) != 0)
			fail_msg("%s: got %s", lines[i], reply ? reply : "no reply");
		sp_arena_clear(&arena);
	}
}

static void recipients_of_smtputf8_mail(void **state)           /* RFC 6531 3.3, RFC 6533 3 */
{
	(void)state;
	struct smtp_command_terms utf8 = { .utf8 = true };
	struct sp_arena arena = SP_ARENA_EMPTY;
	struct smtp_command c;
	assert_null(smtp_command_parse(SP_STR("RCPT TO:<j\xc3\xb6rg@b\xc3\xbc" "cher.example> ORCPT=utf-8;j\xc3\xb6rg@b\xc3\xbc" "cher.example"), &utf8,
	                               &arena, &c));
	assert_string_equal(c.path.text, "j\xc3\xb6rg@xn--bcher-kva.example");        /* RFC 6531 3.2: a domain can be said in A-labels */
	assert_true(c.path.utf8);
	assert_string_equal(c.rcpt.orcpt, "utf-8;j\xc3\xb6rg@b\xc3\xbc" "cher.example");
	assert_non_null(smtp_command_parse(SP_STR("RCPT TO:<b@x.org> ORCPT=rfc822;j\xc3\xb6rg@x.org"), &utf8, &arena, &c));
	assert_non_null(smtp_command_parse(SP_STR("RCPT TO:<b@x.org> ORCPT=utf-8;j\xf6rg@x.org"), &utf8, &arena, &c));
	sp_arena_clear(&arena);
}

static void postmaster_has_no_domain(void **state)
{
	(void)state;
	struct sp_arena arena = SP_ARENA_EMPTY;
	struct smtp_command c;
	assert_null(smtp_command_parse(SP_STR("RCPT TO:<postmaster>"), &terms, &arena, &c));
	assert_string_equal(c.path.local, "postmaster");
	assert_string_equal(c.path.domain, "");
	assert_null(smtp_command_parse(SP_STR("MAIL FROM:<>"), &terms, &arena, &c));
	assert_string_equal(c.path.local, "");
	assert_string_equal(c.path.domain, "");
	sp_arena_clear(&arena);
}

static void nul_is_a_control_character(void **state)
{
	(void)state;
	struct sp_arena arena = SP_ARENA_EMPTY;
	struct smtp_command c;
	const char *reply = smtp_command_parse(SP_STR("RCPT TO:<a@x.org>\0"), &terms, &arena, &c);
	assert_non_null(reply);
	assert_memory_equal(reply, "500 5.5.2", 9);
	sp_arena_clear(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(command_rows),
		cmocka_unit_test(parameters_are_read),
		cmocka_unit_test(wishes_are_read),
		cmocka_unit_test(what_is_not_offered_is_unknown),
		cmocka_unit_test(recipients_of_smtputf8_mail),
		cmocka_unit_test(postmaster_has_no_domain),
		cmocka_unit_test(nul_is_a_control_character),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
