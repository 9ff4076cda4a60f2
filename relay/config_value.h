/* relay/config_value.h - the values a configuration is written in: durations, sizes, numbers, yes and no. Pure. */
#ifndef RELAY_CONFIG_VALUE_H
#define RELAY_CONFIG_VALUE_H

#include "core/buf.h"

/* "90s", "5m", "4h", "5d", "250ms"; a bare number is seconds. Into milliseconds. */
SP_NODISCARD bool config_duration(struct sp_str s, int64_t *ms);
/* "64K", "50M", "1G" (powers of 1024); a bare number is octets. */
SP_NODISCARD bool config_size(struct sp_str s, int64_t *octets);
SP_NODISCARD bool config_bool(struct sp_str s, bool *out);              /* yes/no, true/false, on/off */
SP_NODISCARD bool config_float(struct sp_str s, double *out);           /* digits and one point; at most 9 on each side */

/* "100/1m": so many in such a time; "0": no limit, *count 0. */
SP_NODISCARD bool config_rate(struct sp_str s, int64_t *count, int64_t *per_ms);

/* The shortest form that reads back to the same. */
void config_print_duration(int64_t ms, struct sp_buf *out);
void config_print_size(int64_t octets, struct sp_buf *out);
void config_print_float(double d, struct sp_buf *out);
void config_print_rate(int64_t count, int64_t per_ms, struct sp_buf *out);

#endif
