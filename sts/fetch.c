/* sts/fetch.c - see fetch.h.
 * RFC 8460 4.3.2.2 has three words. sts-webpki-invalid: "could not be authenticated using PKIX validation", so: a certificate was judged
 * and failed. sts-policy-fetch-error: "a failure to retrieve": everything that leaves us without a text to read: look-up, connection,
 * handshake, any status but 200, a redirect, a body too large; also a body of another media type or encoding, which says that the document at
 * this address is not the policy (RFC 8461 3.2 asks for the check because of strangers' uploads). sts-policy-invalid: a text
 * was read and is not a policy, exactly where `strictpost policy lint` would say so. */
#include "sts/fetch.h"

#include <stdio.h>

bool sts_content_type_ok(const char *content_type)
{
	struct sp_str rest = sp_str_of(content_type ? content_type : "");
	struct sp_str type = sp_str_trim(sp_take_until(&rest, ';'));    /* RFC 9110 8.3.1: blanks may stand around the semicolon */
	return sp_str_eq_nocase(type, SP_STR("text/plain"));            /* RFC 2045 5.1: case does not count */
}

static bool is_certificate_fault(enum sp_result r)
{
	return r == SP_RESULT_CERTIFICATE_EXPIRED || r == SP_RESULT_CERTIFICATE_HOST_MISMATCH || r == SP_RESULT_CERTIFICATE_NOT_TRUSTED;
}

/* No response: keeps what was seen, and gives it its name in a report. */
static void name_failure(const struct sp_fail *seen, struct sp_fail *why)
{
	*why = *seen;
	why->permanent = false;                                         /* the policy host's fault is not the recipient's */
	if (is_certificate_fault(seen->result)) {
		snprintf(why->reason, sizeof(why->reason), "%s", sp_result_str(seen->result));
		why->result = SP_RESULT_STS_WEBPKI_INVALID;
	} else if (seen->result != SP_RESULT_STS_WEBPKI_INVALID && seen->result != SP_RESULT_STS_POLICY_INVALID) {
		why->result = SP_RESULT_STS_POLICY_FETCH_ERROR;
	}
	if (why->reason[0] == '\0')
		snprintf(why->reason, sizeof(why->reason), "%s", sp_fail_kind_str(seen->kind));
}

static void not_fetched(struct sp_fail *why, const char *reason, const char *text, const char *detail)
{
	sp_fail_tls(why, SP_FAIL_HTTP, SP_RESULT_STS_POLICY_FETCH_ERROR, reason, "%s%s%s", text, *detail ? ": " : "", detail);
}

/* RFC 8461 3.3: only 200 counts, and redirects are not followed. */
static void refuse_status(int status, struct sp_fail *why)
{
	char reason[48], text[96];
	snprintf(reason, sizeof(reason), "http-status-%d", status);
	bool redirect = status >= 300 && status < 400;
	snprintf(text, sizeof(text), "the policy host answered with HTTP status %d%s", status,
	         redirect ? "; redirects are not followed" : "");
	not_fetched(why, redirect ? "redirect" : reason, text, "");
}

static bool no_encoding(const char *encoding)
{
	struct sp_str value = sp_str_trim(sp_str_of(encoding ? encoding : ""));
	return value.len == 0 || sp_str_eq_nocase(value, SP_STR("identity"));
}

static struct sts_policy *read_body(struct sp_str body, struct sp_fail *why)
{
	struct sp_buf text;
	sp_buf_init(&text, 1024);
	struct sts_policy *p = sts_policy_parse(body, NULL, NULL, &text);
	if (p == NULL)
		sp_fail_tls(why, SP_FAIL_HTTP, SP_RESULT_STS_POLICY_INVALID, "policy-syntax", "the policy is invalid: %s", sp_buf_cstr(&text));
	sp_buf_clear(&text);
	return p;
}

struct sts_policy *sts_fetch_judge(const struct sts_fetch *fetch, struct sp_fail *why)
{
	if (fetch->status != 0 && fetch->status != 200)                 /* before the failure: the page of a 404 may also be too large */
		refuse_status(fetch->status, why);
	else if (sp_failed(&fetch->fail))
		name_failure(&fetch->fail, why);
	else if (fetch->status != 200)
		not_fetched(why, "no-response", "the policy host gave no answer", "");
	else if (!sts_content_type_ok(fetch->content_type))             /* RFC 8461 3.2: SHOULD be checked */
		not_fetched(why, "media-type", "the policy is not served as text/plain", fetch->content_type ? fetch->content_type : "");
	else if (!no_encoding(fetch->content_encoding))                 /* none was asked for */
		not_fetched(why, "encoding", "the policy is served with a content encoding that was not asked for", fetch->content_encoding);
	else if (fetch->body.len > STS_POLICY_SIZE_MAX)
		not_fetched(why, "body-too-large", "the policy is larger than 64 KiB", "");
	else
		return read_body(fetch->body, why);
	return NULL;
}
