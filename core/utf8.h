/* core/utf8.h - UTF-8 (RFC 3629), a character at a time. What a character may be for is its reader's business: controls, noncharacters. Pure. Any thread. */
#ifndef CORE_UTF8_H
#define CORE_UTF8_H

#include "core/str.h"

/* Octets of the character at the front of `s`, 1 to 4, and its number in *code; 0 where there is none: the end, an octet that begins none, a form that is not the
 * shortest, a surrogate, more than U+10FFFF (RFC 3629 3, 4). */
size_t sp_utf8_char(struct sp_str s, uint32_t *code);

/* A character that is not seen, but changes what is: a control, what turns the direction of writing, a separator of lines, a tag, what is no character. Nothing of the kind
 * goes to a terminal, or into a line of JSON, as it is. */
bool sp_utf8_is_hidden(uint32_t code);

/* Is all of it UTF-8? */
bool sp_str_is_utf8(struct sp_str s);

#endif
