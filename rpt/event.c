/* rpt/event.c - see event.h. */
#include "rpt/event.h"

const char *rpt_policy_type_str(enum rpt_policy_type t)
{
	static const char *const names[] = {
#define X(name, text) [RPT_POLICY_##name] = text,
		RPT_POLICY_TYPES(X)
#undef X
	};
	return names[t];
}

void rpt_event_print(const struct rpt_event *e, struct sp_buf *out)
{
	sp_buf_adds(out, rpt_policy_type_str(e->policy_type));
	if (e->result == SP_RESULT_NONE)
		return;
	sp_buf_printf(out, "/%s", sp_result_str(e->result));
	if (e->reason && *e->reason)
		sp_buf_printf(out, "/%s", e->reason);
}
