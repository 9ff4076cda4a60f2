/* queue/filter.c - see filter.h. */
#include "queue/filter.h"

static const struct { enum queue_state state; const char *text; } names[] = {
#define X(name, text) { QUEUE_STATE_##name, text },
	QUEUE_STATES(X)
#undef X
};

const char *queue_state_str(enum queue_state s)
{
	return names[s].text;
}

bool queue_state_parse(struct sp_str text, enum queue_state *out)
{
	for (size_t i = 0; i < SP_COUNT(names); i++) {
		if (!sp_str_eq(text, sp_str_of(names[i].text)))
			continue;
		*out = names[i].state;
		return true;
	}
	return false;
}

bool queue_filter_names_recipients(const struct queue_filter *f)
{
	return f->recipient || f->domain || f->destination || f->state != QUEUE_STATE_ANY || f->hold_rule != 0;
}

struct sp_str queue_address_domain(struct sp_str address)
{
	for (size_t i = address.len; i-- > 0;)          /* a quoted local part may hold an "@" (RFC 5321 4.1.2) */
		if (address.p[i] == '@')
			return (struct sp_str){ address.p + i + 1, address.len - i - 1 };
	return (struct sp_str){ address.p + address.len, 0 };
}

bool queue_address_fits(struct sp_str address, const char *pattern)
{
	struct sp_str p = sp_str_of(pattern);
	if (sp_str_eq(p, SP_STR("<>")))
		return address.len == 0;
	if (p.len > 0 && p.p[0] == '@')
		return p.len > 1 && sp_str_eq_nocase(queue_address_domain(address), (struct sp_str){ p.p + 1, p.len - 1 });
	return p.len > 0 && sp_str_eq_nocase(address, p);
}

struct queue_filter queue_filter_copy(const struct queue_filter *f, struct sp_arena *arena)
{
	struct queue_filter copy = *f;
	copy.sender = sp_arena_strdup(arena, f->sender);
	copy.recipient = sp_arena_strdup(arena, f->recipient);
	copy.domain = sp_arena_strdup(arena, f->domain);
	copy.destination = sp_arena_strdup(arena, f->destination);
	return copy;
}
