/* relay/reporter_post.c - an endpoint of a report: https (RFC 8460 5.4), and what both kinds share.
 * What an endpoint said is stored when it said so, not when the last one has: a crash sends nothing again that was taken. Between the answer and the commit
 * there is a moment in which a crash does; the report is then sent once more under the same report-id, which is what that is for (RFC 8460 5.3). */
#include "relay/reporter_impl.h"

#include "core/clock.h"
#include "core/log.h"
#include "relay/policy.h"
#include "smtp/dkim.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define POST_DEADLINE_MS 60000
#define POST_HEAD_MAX 16384             /* octets of the answer */
#define POST_BODY_MAX 65536

/* ---- the end of an endpoint ---- */

void endpoint_set(struct endpoint *e, enum rpt_endpoint_state state, const char *fmt, ...)
{
	struct sp_buf raw, text;
	va_list args;
	sp_buf_init(&raw, 4096);
	sp_buf_init(&text, 4096);
	va_start(args, fmt);
	sp_buf_vprintf(&raw, fmt, args);
	va_end(args);
	sp_buf_add_printable(&text, sp_buf_str(&raw));
	snprintf(e->text, sizeof(e->text), "%s", sp_buf_cstr(&text));
	sp_buf_clear(&raw);
	sp_buf_clear(&text);
	e->result.state = state;
	e->result.at_s = core_clock_wall_s();
	e->tried = true;
}

struct put_op {
	struct reporter_op base;
	struct endpoint *endpoint;              /* its attempt waits */
};

static enum core_db_status run_put(struct core_db *db, struct queue_op *op)
{
	const struct endpoint *e = sp_container_of(op, struct put_op, base.op)->endpoint;
	return rpt_outbox_endpoint_put(db, e->attempt->day, e->attempt->domain, &e->result);
}

static void on_put(struct queue_op *op, const struct sp_fail *why)
{
	struct put_op *p = sp_container_of(op, struct put_op, base.op);
	struct endpoint *e = p->endpoint;
	struct reporter *r = p->base.reporter;
	e->unstored = sp_failed(why);
	attempt_endpoint_done(e->attempt);
	free(p);
	reporter_op_end(r);
}

void endpoint_end(struct endpoint *e)
{
	struct attempt *a = e->attempt;
	if (!a->stores) {
		attempt_endpoint_done(a);
		return;
	}
	struct put_op *p = sp_alloc(sizeof(*p));
	p->endpoint = e;
	reporter_submit(a->reporter, &p->base, run_put, on_put);
}

/* ---- https ---- */

/* RFC 8460 3, 5.4: certificates that do not hold stop no report. */
static void note_certificate(const struct endpoint *e, const struct sp_fail *why)
{
	if (sp_failed(why))
		sp_log_text(SP_LOG_WARNING, e->attempt->domain, "report", "%s: its certificate does not hold, the report went there nevertheless: %s",
		            e->rua->uri, why->text);
}

static void on_response(void *owner, const struct core_http_response *r)
{
	struct endpoint *e = owner;
	const char *remark = sp_failed(&r->tls_fail) ? "; certificate: " : "", *fault = sp_failed(&r->tls_fail) ? r->tls_fail.text : "";
	e->http = NULL;
	note_certificate(e, &r->tls_fail);
	if (r->status >= 200 && r->status < 300)                /* RFC 8460 5.4; whatever follows the status */
		endpoint_set(e, RPT_ENDPOINT_DELIVERED, "HTTP status %d%s%s", r->status, remark, fault);
	else if (r->status >= 300 && r->status < 400)
		endpoint_set(e, RPT_ENDPOINT_FAILED, "HTTP status %d; redirects are not followed%s%s", r->status, remark, fault);
	else if (r->status != 0)
		endpoint_set(e, RPT_ENDPOINT_FAILED, "HTTP status %d%s%s", r->status, remark, fault);
	else
		endpoint_set(e, RPT_ENDPOINT_FAILED, "%s%s%s", r->fail.text, remark, fault);
	endpoint_end(e);
}

static bool may_connect(void *owner, const struct sp_addr *to)
{
	const struct endpoint *e = owner;
	return policy_may_connect(e->attempt->config, to);
}

static void post(struct endpoint *e)
{
	struct attempt *a = e->attempt;
	struct reporter *r = a->reporter;
	struct core_http_ask ask = { .method = "POST", .host = e->rua->host, .port = e->rua->port, .path = e->rua->path,
	                             .content_type = "application/tlsrpt+gzip", .body = sp_buf_str(&a->document->gz),
	                             .deadline_ms = POST_DEADLINE_MS, .head_max = POST_HEAD_MAX, .body_max = POST_BODY_MAX, .verify = false,
	                             .min_version = (enum core_tls_version)a->config->tls.opportunistic_min, .may_connect = may_connect };
	e->http = core_http_start(r->world.loop, r->dns, r->tls, &ask, on_response, e);
}

bool endpoint_cancel(struct endpoint *e)
{
	if (e->http == NULL)
		return false;
	core_http_cancel(e->http);
	e->http = NULL;
	return true;
}

/* ---- either kind ---- */

bool reporter_signers(const struct config *c, struct smtp_dkim_signer *out, size_t max, size_t *count, struct sp_buf *why)
{
	const char *submitter = config_report_identity(c)->submitter;
	*count = config_dkim_signers(c, submitter, CONFIG_DKIM_REPORTS, out, max);
	if (*count == 0)
		sp_buf_printf(why, "there is no DKIM key for %s, so reports are not mailed (RFC 8460 3); make one with: strictpost dkim keygen "
		              "--domain %s --selector tlsrpt", submitter, submitter);
	return *count > 0;
}

static void begin_mail(struct endpoint *e)
{
	char until[16];
	struct smtp_dkim_signer signers[SMTP_DKIM_SIGNERS_MAX];
	size_t count;
	struct sp_buf why;
	sp_buf_init(&why, REPORTER_TEXT);
	if (e->suppressed) {
		endpoint_set(e, RPT_ENDPOINT_SUPPRESSED, "mail to it came back; left alone until %s",
		             rpt_day_str(rpt_day_of(e->suppressed_until_s), until));
		endpoint_end(e);
	} else if (!reporter_signers(e->attempt->config, signers, SP_COUNT(signers), &count, &why)) {
		endpoint_set(e, RPT_ENDPOINT_FAILED, "%s", sp_buf_cstr(&why));
		endpoint_end(e);
	} else if (e->attempt->dry) {
		endpoint_set(e, RPT_ENDPOINT_MAILED, "would be mailed");
		endpoint_end(e);
	} else {
		endpoint_mail(e);
	}
	sp_buf_clear(&why);
}

void endpoint_begin(struct endpoint *e)
{
	if (e->rua->kind == RPT_RUA_MAILTO) {
		begin_mail(e);
	} else if (e->attempt->dry) {
		endpoint_set(e, RPT_ENDPOINT_DELIVERED, "would be posted");
		endpoint_end(e);
	} else {
		post(e);
	}
}
