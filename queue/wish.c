/* queue/wish.c - see wish.h. */
#include "queue/wish.h"

/* Version 2 of the tables had the first bit only. */
enum { EIGHT_BIT = 1, BINARY = 2, UTF8 = 4, REQUIRE_TLS = 8, TLS_OPTIONAL = 16, BY_TRACE = 32 };
#define RET_SHIFT 6             /* two bits */
#define BY_SHIFT 8              /* two bits */
#define PRIORITY_SHIFT 10       /* five bits, two's complement */
#define HOLD_FOR_SHIFT 15       /* thirty bits */
#define HOLD_FOR_MAX 999999999  /* RFC 4865 3 */
#define ALL_BITS 45

int64_t queue_wish_pack(const struct queue_message *m)
{
	const struct sp_mail_wish *w = &m->wish;
	int64_t flags = (m->eight_bit ? EIGHT_BIT : 0) | (m->binary ? BINARY : 0) | (w->utf8 ? UTF8 : 0) |
	                (w->require_tls ? REQUIRE_TLS : 0) | (w->tls_optional ? TLS_OPTIONAL : 0) | (w->by_trace ? BY_TRACE : 0);
	return flags | (int64_t)w->ret << RET_SHIFT | (int64_t)w->by << BY_SHIFT | (int64_t)(w->priority & 31) << PRIORITY_SHIFT |
	       (int64_t)w->hold_for_s << HOLD_FOR_SHIFT;
}

bool queue_wish_unpack(int64_t flags, struct queue_message *m)
{
	if (flags < 0 || flags >> ALL_BITS != 0)
		return false;
	int ret = (int)(flags >> RET_SHIFT & 3), by = (int)(flags >> BY_SHIFT & 3), priority = (int)(flags >> PRIORITY_SHIFT & 31);
	priority -= priority > 15 ? 32 : 0;
	m->eight_bit = flags & EIGHT_BIT;
	m->binary = flags & BINARY;
	m->wish.utf8 = flags & UTF8;
	m->wish.require_tls = flags & REQUIRE_TLS;
	m->wish.tls_optional = flags & TLS_OPTIONAL;
	m->wish.by_trace = flags & BY_TRACE;
	m->wish.ret = (enum sp_ret)ret;
	m->wish.by = (enum sp_by_mode)by;
	m->wish.priority = priority;
	m->wish.hold_for_s = (uint32_t)(flags >> HOLD_FOR_SHIFT);
	return ret <= SP_RET_FULL && by <= SP_BY_RETURN && priority >= SP_PRIORITY_MIN && priority <= SP_PRIORITY_MAX &&
	       m->wish.hold_for_s <= HOLD_FOR_MAX;
}

bool queue_wish_is_notify(int64_t notify)
{
	return notify == SP_NOTIFY_NEVER || (notify >= 0 && notify <= (SP_NOTIFY_SUCCESS | SP_NOTIFY_FAILURE | SP_NOTIFY_DELAY));
}
