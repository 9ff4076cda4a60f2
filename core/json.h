/* core/json.h - writes JSON (RFC 8259) straight into a buffer, without a tree: for answers of many rows, and for what is written with each message. Commas come by
 * themselves. What is read, and small answers, are jansson's. Pure.
 *
 *   sp_json_begin(&j, &buf);  sp_json_open(&j, NULL, '{');  sp_json_int(&j, "size", 7);  sp_json_close(&j, '}');      ->  {"size":7}
 * `key` is NULL inside an array and at the top; it is text of ours, written as it is. */
#ifndef CORE_JSON_H
#define CORE_JSON_H

#include "core/buf.h"

struct sp_json {
	struct sp_buf *out;             /* its ceiling and its failure are the only error */
	bool comma;                     /* something stands before what comes next */
};
void sp_json_begin(struct sp_json *j, struct sp_buf *out);
void sp_json_open(struct sp_json *j, const char *key, char bracket);            /* '{' or '[' */
void sp_json_close(struct sp_json *j, char bracket);                            /* '}' or ']' */
void sp_json_str(struct sp_json *j, const char *key, struct sp_str value);      /* any octets: what is no UTF-8 is written as U+FFFD, what is not seen as \uXXXX */
void sp_json_cstr(struct sp_json *j, const char *key, const char *value);       /* null for NULL */
void sp_json_given(struct sp_json *j, const char *key, const char *value);      /* left out when NULL or "" */
void sp_json_int(struct sp_json *j, const char *key, int64_t value);
void sp_json_bool(struct sp_json *j, const char *key, bool value);
void sp_json_time(struct sp_json *j, const char *key, int64_t at_ms);           /* RFC 3339 in UTC with milliseconds; null for 0 and less */
void sp_json_raw(struct sp_json *j, const char *key, struct sp_str json);       /* a value that is JSON already; null when empty */

/* "..." with what must be escaped escaped: the string alone. */
void sp_buf_add_json(struct sp_buf *b, struct sp_str value);

#endif
