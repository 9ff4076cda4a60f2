/* rpt/utf8.h - text that may stand in a JSON document: UTF-8 of RFC 3629 without what RFC 7493 2.1 forbids. Pure. Used by rpt/compose.c. */
#ifndef RPT_UTF8_H
#define RPT_UTF8_H

#include "core/buf.h"

/* Appends `s`; each octet that is part of no character that may stand there becomes U+FFFD. */
void rpt_utf8_add(struct sp_buf *out, struct sp_str s);

#endif
