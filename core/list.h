/* core/list.h - intrusive doubly linked lists. A link says in a comment which list it is in.
 * A list head is a link whose ends are itself; a link in no list is zeroed or points at itself.
 * Pure. One thread at a time. */
#ifndef CORE_LIST_H
#define CORE_LIST_H

#include "core/base.h"

struct sp_link {
	struct sp_link *prev, *next;
};

static inline void sp_list_init(struct sp_link *head) { head->prev = head->next = head; }
static inline bool sp_list_empty(const struct sp_link *head) { return head->next == head; }
static inline bool sp_link_used(const struct sp_link *l) { return l->next != NULL && l->next != l; }

static inline void sp_list_insert_before(struct sp_link *at, struct sp_link *l)
{
	l->prev = at->prev;
	l->next = at;
	at->prev->next = l;
	at->prev = l;
}
static inline void sp_list_push_back(struct sp_link *head, struct sp_link *l) { sp_list_insert_before(head, l); }
static inline void sp_list_push_front(struct sp_link *head, struct sp_link *l) { sp_list_insert_before(head->next, l); }

/* Leaves its list; fine for a link in none. */
static inline void sp_list_remove(struct sp_link *l)
{
	if (l->next == NULL)
		return;
	l->prev->next = l->next;
	l->next->prev = l->prev;
	l->prev = l->next = NULL;
}

static inline struct sp_link *sp_list_first(const struct sp_link *head)
{
	return sp_list_empty(head) ? NULL : head->next;
}
static inline struct sp_link *sp_list_last(const struct sp_link *head)
{
	return sp_list_empty(head) ? NULL : head->prev;
}
/* The first one, removed; NULL when empty. */
static inline struct sp_link *sp_list_pop(struct sp_link *head)
{
	struct sp_link *l = sp_list_first(head);
	if (l)
		sp_list_remove(l);
	return l;
}

/* Walks a list; the body may remove `l` itself. */
#define SP_LIST_EACH(head, l) \
	for (struct sp_link *l = (head)->next, *l##_next = l->next; l != (head); l = l##_next, l##_next = l->next)

#endif
