/* relay/resume.c - see resume.h. */
#include "relay/resume.h"

#include <stdlib.h>
#include <string.h>

struct resume_entry {
	struct sp_link link;            /* in memory->entries */
	char *host;
	struct sp_addr addr;            /* port included */
	enum sts_requirement require;
	struct core_tls_session *session;
};

void resume_init(struct resume_memory *m)
{
	sp_list_init(&m->entries);
	m->count = 0;
}

/* The entry goes, its session's ref passes to the caller. */
static struct core_tls_session *remove_entry(struct resume_memory *m, struct resume_entry *e)
{
	struct core_tls_session *session = e->session;
	sp_list_remove(&e->link);
	m->count--;
	free(e->host);
	free(e);
	return session;
}

void resume_clear(struct resume_memory *m)
{
	while (!sp_list_empty(&m->entries))
		core_tls_session_unref(remove_entry(m, sp_container_of(sp_list_first(&m->entries), struct resume_entry, link)));
}

void resume_keep(struct resume_memory *m, const char *host, const struct sp_addr *addr, enum sts_requirement require,
                 struct core_tls_session *session)
{
	if (session == NULL)
		return;
	if (m->count == RESUME_MAX)
		core_tls_session_unref(remove_entry(m, sp_container_of(sp_list_last(&m->entries), struct resume_entry, link)));
	struct resume_entry *e = sp_alloc(sizeof(*e));
	e->host = sp_strdup(host);
	e->addr = *addr;
	e->require = require;
	e->session = session;
	sp_list_push_front(&m->entries, &e->link);
	m->count++;
}

struct core_tls_session *resume_take(struct resume_memory *m, const char *host, const struct sp_addr *addr, enum sts_requirement require)
{
	SP_LIST_EACH(&m->entries, l) {
		struct resume_entry *e = sp_container_of(l, struct resume_entry, link);
		if (e->require == require && sp_addr_eq(&e->addr, addr) && strcmp(e->host, host) == 0)
			return remove_entry(m, e);
	}
	return NULL;
}
