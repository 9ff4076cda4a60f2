/* relay/report_api_impl.h - what relay/report_api.c and report_list.c share. */
#ifndef RELAY_REPORT_API_IMPL_H
#define RELAY_REPORT_API_IMPL_H

#include "relay/query.h"
#include "relay/report_api.h"

#include <jansson.h>
#include <stdarg.h>

#define REFUSAL_MAX 1024                /* octets of an error's text */
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
	struct reporter_world world;
	struct reporter *reporter;
	struct config *config;                  /* one ref */
	unsigned under_way;                     /* requests without their answer */
	struct report_run run;
	struct sp_link kept;                    /* of struct kept: the last results of the run */
	size_t kept_octets;
};

/* A request; gone with its answer. */
struct request {
	struct report_api *api;
	report_api_done *done;
	void *owner;
	struct sp_arena arena;
	struct sp_str query;                    /* in `arena` */
};
bool request_read(struct request *q, const struct query_field *fields, size_t count);   /* false: refused, and gone */
void request_answer(struct request *q, int status, json_t *value);                      /* takes the reference */
void request_refuse(struct request *q, int status, const char *fmt, ...) SP_PRINTF(3, 4);
void request_send(struct request *q, int status, const char *content_type, struct sp_buf *body);
void request_document(struct request *q, int64_t day, const char *domain);

json_t *json_day(int64_t day);
json_t *json_time(int64_t at_s);                /* null for 0 */
json_t *json_endpoints(const struct rpt_endpoint *endpoints, size_t count, bool dry);

/* report_list.c */
void report_list(struct request *q);
void report_document(struct request *q);        /* finds the day, where none is named */
void report_suppressions(struct request *q);
void report_unsuppress(struct request *q);

#endif
