/* relay/api_areas.c - see api_areas.h. */
#include "relay/api_areas.h"

struct api *api_areas_new(const struct api_world *w)
{
	struct api *a = api_new(w);
	api_status_add(a);
	api_destinations_add(a);
	api_policy_add(a);
	api_evidence_add(a);
	api_drain_add(a);
	api_explain_add(a);
	api_metrics_add(a);
	api_report_add(a);
	api_queue_add(a);
	return a;
}
