/* sts/mx.c - the `mx` patterns of a policy: is it one, does a host match it. The contract stands in policy.h.
 * Implements sts-policy-mx-value of RFC 8461 3.2 and RFC 8461 4.1. Pure. */
#include "sts/policy.h"

#define LABEL_MAX 63    /* RFC 1035 2.3.4 */
#define NAME_MAX_LEN 253

static struct sp_str without_dot(struct sp_str name)
{
	if (name.len > 0 && name.p[name.len - 1] == '.')
		name.len--;
	return name;
}

static bool all_digits(struct sp_str label)
{
	for (size_t i = 0; i < label.len; i++)
		if (!sp_is_digit(label.p[i]))
			return false;
	return true;
}

/* RFC 5321 4.1.2: sub-domain = Let-dig [Ldh-str]. NULL, or why not. */
static const char *label_fault(struct sp_str label)
{
	if (label.len == 0)
		return "it has an empty label";
	if (label.len > LABEL_MAX)
		return "one of its labels is longer than 63 characters";
	for (size_t i = 0; i < label.len; i++)
		if (!sp_is_alnum(label.p[i]) && label.p[i] != '-')
			return "a host name has letters, digits, hyphens and dots only";
	if (label.p[0] == '-' || label.p[label.len - 1] == '-')
		return "a label may not begin or end with a hyphen";
	return NULL;
}

/* RFC 5321 4.1.2: Domain = sub-domain *("." sub-domain) */
static const char *name_fault(struct sp_str name)
{
	if (name.len > NAME_MAX_LEN)
		return "it is longer than 253 characters";
	struct sp_str label = { NULL, 0 };
	for (bool more = true; more; ) {
		more = sp_str_contains(name, '.');
		label = sp_take_until(&name, '.');
		const char *why = label_fault(label);
		if (why)
			return why;
	}
	/* The grammar lets 192.0.2.1 pass as a name; RFC 3696 2: no top-level domain is all digits. */
	return all_digits(label) ? "it is an IP address; a policy names hosts" : NULL;
}

static const char *pattern_fault(struct sp_str pattern)
{
	if (pattern.len == 0)
		return "it is empty";
	for (size_t i = 0; i < pattern.len; i++)
		if ((unsigned char)pattern.p[i] >= 0x80)
			return "it must be in ASCII; write an internationalised name in its xn-- form";
	size_t colon = sp_str_find(pattern, ':');
	if (pattern.p[0] == '[' || (colon < pattern.len && sp_str_contains(sp_str_from(pattern, colon + 1), ':')))
		return "it is an IP address; a policy names hosts";
	if (colon < pattern.len)
		return "a port has no place here; leave the name alone";
	if (sp_str_eq(pattern, SP_STR("*")) || sp_str_eq(pattern, SP_STR("*.")))
		return "a wildcard must be followed by a domain, as in \"*.example.com\"";
	struct sp_str name = sp_str_starts(pattern, SP_STR("*.")) ? sp_str_from(pattern, 2) : pattern;
	if (sp_str_contains(name, '*'))
		return "a wildcard may only be the whole first label, as in \"*.example.com\"";
	return name_fault(without_dot(name));
}

bool sts_mx_pattern_ok(struct sp_str pattern, const char **why)
{
	*why = pattern_fault(pattern);
	return *why == NULL;
}

/* A label as host names in DNS have it; unlike in a pattern, an underscore does occur there. */
static bool is_host_label(struct sp_str label)
{
	for (size_t i = 0; i < label.len; i++)
		if (!sp_is_alnum(label.p[i]) && label.p[i] != '-' && label.p[i] != '_')
			return false;
	return label.len > 0 && label.len <= LABEL_MAX;
}

/* RFC 8461 4.1: the wildcard stands for one label, whole and not empty. */
static bool match_wildcard(struct sp_str domain, struct sp_str host)
{
	if (!sp_str_contains(host, '.'))
		return false;
	struct sp_str first = sp_take_until(&host, '.');
	return is_host_label(first) && sp_str_eq_nocase(domain, host);
}

bool sts_mx_match(struct sp_str pattern, struct sp_str host)
{
	const char *why;
	if (!sts_mx_pattern_ok(pattern, &why))
		return false;
	pattern = without_dot(pattern);
	host = without_dot(host);
	if (sp_take_prefix(&pattern, SP_STR("*.")))
		return match_wildcard(pattern, host);
	return sp_str_eq_nocase(pattern, host);
}
