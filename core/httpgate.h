/* core/httpgate.h - the framing of an HTTP/1.1 request, octet by octet, exactly as RFC 9112 has it.
 * Stands before llhttp, which forgives much (how much depends on its version and how it was built): what two readers frame differently is
 * how requests are smuggled. No leniency but one: empty lines before a request (RFC 9112 2.2). Pure. Used by core/httpreq.c. */
#ifndef CORE_HTTPGATE_H
#define CORE_HTTPGATE_H

#include "core/str.h"

enum core_httpgate_state {
	CORE_HTTPGATE_LINE_START,               /* before the request line */
	CORE_HTTPGATE_METHOD, CORE_HTTPGATE_TARGET, CORE_HTTPGATE_VERSION,
	CORE_HTTPGATE_FIELD_START, CORE_HTTPGATE_NAME, CORE_HTTPGATE_VALUE,
	CORE_HTTPGATE_SIZE_START, CORE_HTTPGATE_SIZE, CORE_HTTPGATE_EXTENSION, CORE_HTTPGATE_DATA, CORE_HTTPGATE_DATA_END,
	CORE_HTTPGATE_LF,                       /* after CR */
	CORE_HTTPGATE_DONE                      /* the section ended: head, or chunked body */
};

struct core_httpgate {
	enum core_httpgate_state state;
	enum core_httpgate_state after_lf;
	unsigned matched;                       /* octets of the version */
	unsigned digits;                        /* of a chunk's size */
	uint64_t left;                          /* octets of the chunk */
	const char *why;                        /* what was wrong, a static English phrase; NULL while all is well */
};

/* Before a head; and, after it, before a chunked body. A body by length has no framing: it does not come here. */
void core_httpgate_head(struct core_httpgate *g);
void core_httpgate_chunks(struct core_httpgate *g);
/* How many octets of `data` belong to the section and are in order. Fewer than all: it ended there (state DONE), or what follows is wrong
 * (`why` is set). */
SP_NODISCARD size_t core_httpgate_pass(struct core_httpgate *g, struct sp_str data);

#endif
