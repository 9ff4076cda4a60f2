/* rpt/lint_impl.h - what the files of the lint share: lint.c (the document), lint_policy.c (its policies), lint_mail.c (the mail around it). */
#ifndef RPT_LINT_IMPL_H
#define RPT_LINT_IMPL_H

#include "rpt/lint.h"

#define LINT_SCHEMA "RFC 8460 4.4"

struct lint {
	rpt_lint_fn told;
	void *arg;
	unsigned errors;
	struct sp_buf where;            /* the place that is looked at */
	int64_t begin_s, end_s;         /* of the date-range; 0 where it cannot be read */
	const char *domain, *report_id; /* the first policy-domain, the report-id; NULL where there is none. Lent by the document */
};

void lint_error(struct lint *l, const char *section, const char *fmt, ...) SP_PRINTF(3, 4);
void lint_warning(struct lint *l, const char *section, const char *fmt, ...) SP_PRINTF(3, 4);

/* Goes to a member or an item of an array; lint_leave() with what it returned goes back. */
size_t lint_enter(struct lint *l, const char *name);
size_t lint_enter_item(struct lint *l, size_t index);
void lint_leave(struct lint *l, size_t mark);

enum lint_need { LINT_MUST, LINT_SHOULD, LINT_MAY };            /* missing: an error, a warning, nothing */
/* The member, if it has that type; NULL where not, which was told then as `need` says. */
const json_t *lint_member(struct lint *l, const json_t *object, const char *name, json_type type, enum lint_need need);
/* A string that is not empty; NULL where there is none. */
const char *lint_text(struct lint *l, const json_t *object, const char *name, enum lint_need need);
/* Warns of every member that is not in `known` (NULL ends it). */
void lint_unknown(struct lint *l, const json_t *object, const char *const *known);

/* Domain names and host names (RFC 8460 4.4: A-labels): tells at the place that is looked at. */
void lint_name(struct lint *l, const char *name, bool pattern);

void lint_policies(struct lint *l, const json_t *policies);     /* lint_policy.c */
void lint_mail(struct lint *l, const struct rpt_carrier *c);    /* lint_mail.c */

#endif
