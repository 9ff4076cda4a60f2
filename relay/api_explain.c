/* relay/api_explain.c - what would be done with a message for a domain now, as an area of the admin API (relay/api.h):
 *   GET /explain/domain   ?domain= a domain or "[192.0.2.1]"; sender= for routes by sender. relay/explain.h has the answer */
#include "relay/api_areas.h"
#include "relay/explain.h"
#include "relay/route.h"

static void on_told(void *owner, json_t *told)
{
	struct api_request *q = owner;
	if (told)
		api_answer(q, 200, told);
	else
		api_refuse(q, 503, "the relay is stopping");
}

/* As relay/inbound_mail.c finds it for a recipient. NULL after it was refused. */
static const char *destination_of(struct api_request *q, const char *domain, const char *sender, const char **address)
{
	struct smtp_address to, from;
	const char *why;
	struct route_mail mail = { .sender = sender ? &from : NULL, .wish = STS_WISH_NONE };
	if (sender && !smtp_address_parse(sp_str_of(sender), true, &q->arena, &from, &why)) {
		api_refuse(q, 400, "sender: '%s' is no address: %s", sender, why);
		return NULL;
	}
	*address = sp_arena_printf(&q->arena, "postmaster@%s", domain);
	if (!smtp_address_parse(sp_str_of(*address), false, &q->arena, &to, &why)) {
		api_refuse(q, 400, "domain: '%s' is none: %s", domain, why);
		return NULL;
	}
	return route_destination(q->world->config, &mail, &to, &q->arena);
}

static void on_domain(struct api_request *q)
{
	const char *domain = NULL, *sender = NULL;
	const struct query_field fields[] = { { "domain", QUERY_TEXT, &domain }, { "sender", QUERY_TEXT, &sender } };
	if (!api_read(q, fields, SP_COUNT(fields)))
		return;
	if (domain == NULL) {
		api_refuse(q, 400, "domain: it is missing");
		return;
	}
	const char *address, *destination = destination_of(q, domain, sender, &address);
	if (destination)
		explain_destination(q->world->relay, destination, address, sender, on_told, q);
}

static const struct api_route routes[] = {
	{ "GET", "/explain/domain", on_domain, API_NEEDS_RELAY },
};

void api_explain_add(struct api *a)
{
	api_add(a, routes, SP_COUNT(routes), NULL, NULL);
}
