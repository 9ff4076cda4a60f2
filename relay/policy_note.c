/* relay/policy_note.c - see policy.h: what changed of a domain's policy, told in the log. */
#include "relay/policy.h"

#include "core/log.h"

static enum sp_log_level level_of(const struct sts_note *n)
{
	if (n->weaker)
		return SP_LOG_WARNING;
	return n->how == STS_HOW_FIRST_SEEN || n->how == STS_HOW_SEEN_AGAIN ? SP_LOG_DEBUG : SP_LOG_INFO;
}

void policy_log_note(const char *domain, const struct sts_note *n, const char *reason)
{
	struct sp_log l;
	if (!n->noted)
		return;
	sp_log_begin(&l, level_of(n), domain, "policy-change");
	sp_log_cstr(&l, "how", sts_how_str(n->how));
	sp_log_cstr(&l, "from", n->from[0] ? n->from : "no-policy");
	sp_log_cstr(&l, "to", n->to[0] ? n->to : "no-policy");
	if (n->weaker)
		sp_log_bool(&l, "weaker", true);
	sp_log_cstr(&l, "why", n->why);
	sp_log_cstr(&l, "reason", reason);
	sp_log_end(&l);
}
