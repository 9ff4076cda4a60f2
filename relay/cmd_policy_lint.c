/* relay/cmd_policy_lint.c - strictpost policy lint|txt|match: our parsers, for the owner of a domain, before a policy is published.
 * Says exactly what the relay would conclude, and with it what may trouble other senders. */
#include "relay/cmd.h"
#include "relay/cmd_options.h"
#include "relay/cmd_policy.h"

#include "core/dnsmsg.h"
#include "sts/policy.h"
#include "sts/record.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- answers ---- */

static int answer_json(json_t *answer, bool good)
{
	cmd_print_json(answer);
	json_decref(answer);
	return good ? RELAY_EXIT_OK : RELAY_EXIT_FAILED;
}

static int answer_invalid(bool json, const char *what, const char *error)
{
	if (json)
		return answer_json(json_pack("{s:b, s:s}", "valid", 0, "error", error), false);
	printf("%s: not valid: %s\n", what, error);
	return RELAY_EXIT_FAILED;
}

/* ---- lint ---- */

/* At most one octet more than a policy may have: enough to see that it is too large. False with errno. */
static bool read_file(const char *path, struct sp_buf *out)
{
	FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "rb");
	if (file == NULL)
		return false;
	char *room = sp_buf_room(out, STS_POLICY_SIZE_MAX + 1);
	errno = 0;
	sp_buf_wrote(out, fread(room, 1, STS_POLICY_SIZE_MAX + 1, file));
	int error = ferror(file) ? errno : 0;
	if (file != stdin)
		fclose(file);
	errno = error;
	return error == 0;
}

static void on_warning(void *arg, const char *text)
{
	json_array_append_new(arg, json_string(text));
}

static json_t *list_mx(const struct sts_policy *p)
{
	json_t *list = json_array();
	for (size_t i = 0; i < sts_policy_mx_count(p); i++)
		json_array_append_new(list, json_string(sts_policy_mx(p, i)));
	return list;
}

static void print_policy(const char *path, const struct sts_policy *p, const json_t *warnings)
{
	static const char *const meaning[] = {
		[STS_MODE_NONE] = "senders act as if there were no policy",
		[STS_MODE_TESTING] = "failures are reported, mail is delivered nevertheless",
		[STS_MODE_ENFORCE] = "mail is kept back from hosts that fail",
	};
	printf("%s: valid\n", path);
	printf("  mode     %s: %s\n", sts_mode_str(sts_policy_mode(p)), meaning[sts_policy_mode(p)]);
	for (size_t i = 0; i < sts_policy_mx_count(p); i++)
		printf("  mx       %s\n", sts_policy_mx(p, i));
	printf("  max_age  %u s (%.1f days)\n", sts_policy_max_age_s(p), sts_policy_max_age_s(p) / 86400.0);
	size_t i;
	json_t *text;
	json_array_foreach(warnings, i, text)
		printf("  warning: %s\n", json_string_value(text));
}

static int report_policy(bool json, const char *path, const struct sts_policy *p, json_t *warnings)
{
	if (!json) {
		print_policy(path, p, warnings);
		return RELAY_EXIT_OK;
	}
	return answer_json(json_pack("{s:b, s:s, s:o, s:I, s:O}", "valid", 1, "mode", sts_mode_str(sts_policy_mode(p)), "mx", list_mx(p),
	                             "max_age", (json_int_t)sts_policy_max_age_s(p), "warnings", warnings), true);
}

static int judge_policy(bool json, const char *path, struct sp_str body)
{
	if (body.len > STS_POLICY_SIZE_MAX)
		return answer_invalid(json, path, "the policy is larger than 64 KiB (65536 octets); senders do not read more");
	json_t *warnings = json_array();
	struct sp_buf why;
	sp_buf_init(&why, 1024);
	struct sts_policy *p = sts_policy_parse(body, on_warning, warnings, &why);
	int status = p ? report_policy(json, path, p, warnings) : answer_invalid(json, path, sp_buf_cstr(&why));
	sts_policy_unref(p);
	json_decref(warnings);
	sp_buf_clear(&why);
	return status;
}

int cmd_policy_lint(bool json, int argc, char **argv)
{
	if (argc != 1) {
		fputs("strictpost policy lint: give one file, or - for standard input\n", stderr);
		return RELAY_EXIT_USAGE;
	}
	struct sp_buf body;
	sp_buf_init(&body, STS_POLICY_SIZE_MAX + 1);
	int status = RELAY_EXIT_USAGE;
	if (read_file(argv[0], &body))
		status = judge_policy(json, strcmp(argv[0], "-") == 0 ? "standard input" : argv[0], sp_buf_str(&body));
	else
		fprintf(stderr, "strictpost policy lint: cannot read %s: %s\n", argv[0], strerror(errno));
	sp_buf_clear(&body);
	return status;
}

/* ---- txt ---- */

int cmd_policy_txt(bool json, int argc, char **argv)
{
	if (argc < 1) {
		fputs("strictpost policy txt: give the TXT records of _mta-sts.<domain>, one argument each\n", stderr);
		return RELAY_EXIT_USAGE;
	}
	struct sp_str *records = sp_alloc_array((size_t)argc, sizeof(*records));
	for (int i = 0; i < argc; i++)
		records[i] = sp_str_of(argv[i]);
	char id[STS_ID_MAX + 1];
	const char *why;
	enum sts_record_status status = sts_record_parse(records, (size_t)argc, id, &why);
	free(records);
	if (status != STS_RECORD_OK)
		return answer_invalid(json, "_mta-sts", why);
	if (json)
		return answer_json(json_pack("{s:b, s:s}", "valid", 1, "id", id), true);
	printf("_mta-sts: valid\n  id       %s\n", id);
	return RELAY_EXIT_OK;
}

/* ---- match ---- */

static void warn_about(const char *host, int count, char **patterns)
{
	struct sp_str name = sp_str_of(host);
	if (name.len > 0 && name.p[name.len - 1] == '.')
		name.len--;
	if (!core_dns_name_ok(name))
		fprintf(stderr, "warning: %s is not a host name as DNS has it; an internationalised one is written in its xn-- form\n", host);
	for (int i = 0; i < count; i++) {
		const char *why;
		if (!sts_mx_pattern_ok(sp_str_of(patterns[i]), &why))
			fprintf(stderr, "warning: %s is no mx pattern and matches nothing: %s\n", patterns[i], why);
	}
}

int cmd_policy_match(bool json, int argc, char **argv)
{
	if (argc < 2) {
		fputs("strictpost policy match: give a host name and one pattern or more\n", stderr);
		return RELAY_EXIT_USAGE;
	}
	int at = 1;
	while (at < argc && !sts_mx_match(sp_str_of(argv[at]), sp_str_of(argv[0])))
		at++;
	bool good = at < argc;
	warn_about(argv[0], argc - 1, argv + 1);
	if (json)
		return answer_json(json_pack("{s:b}", "match", good), good);
	if (good)
		printf("%s: match: covered by %s\n", argv[0], argv[at]);
	else
		printf("%s: no match: no pattern covers it (a wildcard stands for exactly one label)\n", argv[0]);
	return good ? RELAY_EXIT_OK : RELAY_EXIT_FAILED;
}
