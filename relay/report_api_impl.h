/* relay/report_api_impl.h - what relay/report_api.c and report_list.c share. */
#ifndef RELAY_REPORT_API_IMPL_H
#define RELAY_REPORT_API_IMPL_H

#include "relay/api.h"
#include "relay/reporter.h"

#define RPT_STATE_COUNT (RPT_STATE_NO_RECORD + 1)

/* The last run, under way or over. */
struct report_run {
	uint64_t number;                        /* 0: there was none yet */
	bool running;
	uint64_t total, done, dry;
	uint64_t states[RPT_STATE_COUNT];
	struct sp_fail fail;                    /* how it ended */
};

struct report_api {
	struct report_run run;
	struct sp_link kept;                    /* of struct kept: the last results of the run */
	size_t kept_octets;
};

void report_send_document(struct api_request *q, int64_t day, const char *domain);
json_t *json_day(int64_t day);
json_t *json_endpoints(const struct rpt_endpoint *endpoints, size_t count, bool dry);

/* report_list.c */
void report_list(struct api_request *q);
void report_notice(struct api_request *q);
void report_document(struct api_request *q);    /* finds the day, where none is named */
void report_suppressions(struct api_request *q);
void report_unsuppress(struct api_request *q);

#endif
