/* relay/delivery_family.c - see delivery_impl.h: a host whose policy refused the mail over one address family is asked over the other one, once a session;
 * what is said there counts, and if nothing is said, the first word does. */
#include "relay/delivery_impl.h"

#include <stdlib.h>

static bool refused_by_policy(const struct queue_job *job, const struct smtp_client_results *r)
{
	for (size_t i = 0; i < job->count; i++)
		if (!outcome_other_family(&r->recipients[i]))
			return false;
	return !r->uncertain;
}

/* A try of the present host in the other family that is still to come; try_count: none. */
static size_t find_other(const struct delivery_state *y)
{
	size_t i = y->next_try;
	while (i < y->try_count && (y->tries[i].addr < 0 || &y->plan->hosts[y->tries[i].host] != y->host ||
	                            sp_addr_family(&y->host->addrs[y->tries[i].addr]) == sp_addr_family(&y->addr)))
		i++;
	return i;
}

bool delivery_ask_other_family(struct delivery_state *y, const struct smtp_client_results *r)
{
	size_t other = find_other(y), count = y->job->count;
	if (y->family != DELIVERY_FAMILY_FIRST || other == y->try_count || !refused_by_policy(y->job, r))
		return false;
	struct try t = y->tries[other];
	y->tries[other] = y->tries[y->next_try];
	y->tries[y->next_try] = t;
	y->judged = sp_alloc_array(count, sizeof(*y->judged));
	for (size_t i = 0; i < count; i++)
		y->judged[i] = r->recipients[i];
	y->judged_addr = y->addr;
	delivery_evidence_leave(y, &r->recipients[0]);
	y->family = DELIVERY_FAMILY_LEAVING;
	return true;
}

bool delivery_leave_family(struct delivery_state *y)
{
	if (y->family != DELIVERY_FAMILY_LEAVING)
		return false;
	y->family = DELIVERY_FAMILY_OTHER;
	y->messages = 0;
	y->idled = false;
	delivery_drop_connection(y, &SP_FAIL_OK, true);
	core_timer_start(y->timer, 0);
	return true;
}

void delivery_forget_judged(struct delivery_state *y)
{
	free(y->judged);
	y->judged = NULL;
}

bool delivery_settle_judged(struct delivery_state *y)
{
	struct sp_fail *judged = y->judged;
	if (judged == NULL)
		return false;
	y->judged = NULL;
	y->addr = y->judged_addr;
	delivery_settle(y, judged, NULL);
	free(judged);
	return true;
}
