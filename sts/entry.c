/* sts/entry.c - what is known of a domain, and what was found: making, copying, clearing. The contract stands in discovery.h. */
#include "sts/discovery.h"

void sts_entry_init(struct sts_entry *e)
{
	*e = (struct sts_entry){ .policy = NULL };
}

void sts_entry_clear(struct sts_entry *e)
{
	sts_policy_unref(e->policy);
	sts_entry_init(e);
}

void sts_entry_copy(struct sts_entry *to, const struct sts_entry *from)
{
	struct sts_policy *policy = sts_policy_ref(from->policy);       /* first: `to` may hold the last ref of the same one */
	struct sts_entry copy = *from;
	sts_entry_clear(to);
	*to = copy;
	to->policy = policy;
}

bool sts_entry_valid(const struct sts_entry *e, int64_t now_s)
{
	return e->policy != NULL && now_s < e->expires_s;
}

const char *sts_source_str(enum sts_source s)
{
	static const char *const names[] = {
#define X(name, text) [STS_SOURCE_##name] = text,
		STS_SOURCES(X)
#undef X
	};
	return names[s];
}

void sts_finding_init(struct sts_finding *f)
{
	*f = (struct sts_finding){ .policy = NULL };
}

void sts_finding_clear(struct sts_finding *f)
{
	sts_policy_unref(f->policy);
	sts_finding_init(f);
}

void sts_finding_copy(struct sts_finding *to, const struct sts_finding *from)
{
	struct sts_policy *policy = sts_policy_ref(from->policy);
	struct sts_finding copy = *from;
	sts_finding_clear(to);
	*to = copy;
	to->policy = policy;
}
