/* relay/config_value.c - see config_value.h. */
#include "relay/config_value.h"

#include <inttypes.h>
#include <stdio.h>

#define RATE_COUNT_MAX 1000000000
#define RATE_MS_MAX (INT64_C(30) * 86400 * 1000)

struct unit { const char *suffix; int64_t factor; };

static const struct unit durations[] = {
	{ "ms", 1 }, { "s", 1000 }, { "m", 60 * 1000 }, { "h", 3600 * 1000 }, { "d", 86400 * 1000 },
};
static const struct unit sizes[] = {
	{ "K", 1024 }, { "M", 1024 * 1024 }, { "G", 1024 * 1024 * 1024 },
};

/* A number and one of the units; without a unit, times `bare`. */
static bool number_with_unit(struct sp_str s, const struct unit *units, size_t count, int64_t bare, int64_t *out)
{
	uint64_t n;
	int64_t factor = bare;
	if (!sp_take_digits(&s, 15, &n))
		return false;
	if (s.len > 0) {
		size_t i = 0;
		while (i < count && !sp_str_eq_nocase(s, sp_str_of(units[i].suffix)))
			i++;
		if (i == count)
			return false;
		factor = units[i].factor;
	}
	if (n > (uint64_t)(INT64_MAX / factor))
		return false;
	*out = (int64_t)n * factor;
	return true;
}

bool config_duration(struct sp_str s, int64_t *ms)
{
	return number_with_unit(s, durations, SP_COUNT(durations), 1000, ms);
}

bool config_size(struct sp_str s, int64_t *octets)
{
	return number_with_unit(s, sizes, SP_COUNT(sizes), 1, octets);
}

bool config_bool(struct sp_str s, bool *out)
{
	static const struct { const char *word; bool value; } words[] = {
		{ "yes", true }, { "true", true }, { "on", true }, { "no", false }, { "false", false }, { "off", false },
	};
	for (size_t i = 0; i < SP_COUNT(words); i++) {
		if (sp_str_eq_nocase(s, sp_str_of(words[i].word))) {
			*out = words[i].value;
			return true;
		}
	}
	return false;
}

bool config_float(struct sp_str s, double *out)
{
	uint64_t whole, part = 0;
	double scale = 1;
	if (!sp_take_digits(&s, 9, &whole))
		return false;
	if (sp_take_char(&s, '.')) {
		size_t digits = s.len;
		if (!sp_take_digits(&s, 9, &part))
			return false;
		for (; digits > 0; digits--)
			scale *= 10;
	}
	if (s.len > 0)
		return false;
	*out = (double)whole + (double)part / scale;
	return true;
}

bool config_rate(struct sp_str s, int64_t *count, int64_t *per_ms)
{
	uint64_t n;
	struct sp_str number = sp_take_until(&s, '/');
	if (sp_str_number(number, 0, 0, &n) && s.len == 0) {
		*count = *per_ms = 0;
		return true;
	}
	if (!sp_str_number(number, 1, RATE_COUNT_MAX, &n) || !config_duration(s, per_ms) || *per_ms < 1 || *per_ms > RATE_MS_MAX)
		return false;
	*count = (int64_t)n;
	return true;
}

static void print_with_unit(int64_t n, const struct unit *units, size_t count, struct sp_buf *out)
{
	for (size_t i = count; i-- > 0;) {
		if (n != 0 && n % units[i].factor == 0) {
			sp_buf_printf(out, "%" PRId64 "%s", n / units[i].factor, units[i].suffix);
			return;
		}
	}
	sp_buf_printf(out, "%" PRId64, n);
}

void config_print_duration(int64_t ms, struct sp_buf *out)
{
	print_with_unit(ms, durations, SP_COUNT(durations), out);
}

void config_print_size(int64_t octets, struct sp_buf *out)
{
	print_with_unit(octets, sizes, SP_COUNT(sizes), out);
}

void config_print_float(double d, struct sp_buf *out)
{
	char text[40];
	size_t len = (size_t)snprintf(text, sizeof(text), "%.9f", d);           /* never with an exponent, which does not read back */
	while (len > 1 && text[len - 1] == '0')
		len--;
	if (text[len - 1] == '.')
		len--;
	sp_buf_add(out, sp_str_make(text, len));
}

void config_print_rate(int64_t count, int64_t per_ms, struct sp_buf *out)
{
	sp_buf_printf(out, "%" PRId64, count);
	if (count > 0) {
		sp_buf_addc(out, '/');
		config_print_duration(per_ms, out);
	}
}
