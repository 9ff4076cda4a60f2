/* relay/api_areas.h - the admin API with all its areas: one place for the relay (relay/cmd_run.c) and for a command without one (relay/api_client.c). */
#ifndef RELAY_API_AREAS_H
#define RELAY_API_AREAS_H

#include "relay/api.h"

struct api *api_areas_new(const struct api_world *w);
/* Each adds its routes. */
void api_status_add(struct api *a);             /* api_status.c */
void api_destinations_add(struct api *a);       /* api_destinations.c */
void api_policy_add(struct api *a);             /* api_policy.c */
void api_evidence_add(struct api *a);           /* api_evidence.c */
void api_drain_add(struct api *a);              /* api_drain.c */
void api_explain_add(struct api *a);            /* api_explain.c */
void api_metrics_add(struct api *a);            /* api_metrics.c */
void api_report_add(struct api *a);             /* report_api.c */
void api_queue_add(struct api *a);              /* api_queue.c */

#endif
