/* core/log.c - see log.h. */
#include "core/log.h"

#include "core/clock.h"
#include "core/json.h"

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define LINE_ROOM 512           /* most lines fit: one allocation a line */
#define LINE_MAX_LEN 16384      /* a value that does not fit any more is left out */
#define VALUE_MAX 4096          /* octets shown of one value, before escaping; more is cut with "..." */
#define TAIL_MAX 2              /* "}\n", always fits */

static atomic_int current_format = SP_LOG_TEXT;
static atomic_int current_level = SP_LOG_INFO;

static const char *const level_names[] = {
	[SP_LOG_ERROR] = "error", [SP_LOG_WARNING] = "warning", [SP_LOG_INFO] = "info", [SP_LOG_DEBUG] = "debug",
};

void sp_log_setup(enum sp_log_format format, enum sp_log_level level)
{
	atomic_store_explicit(&current_format, (int)format, memory_order_relaxed);
	atomic_store_explicit(&current_level, (int)level, memory_order_relaxed);
}

void sp_log_silence(void)
{
	atomic_store_explicit(&current_level, SP_LOG_ERROR - 1, memory_order_relaxed);
}

bool sp_log_enabled(enum sp_log_level level)
{
	return (int)level <= atomic_load_explicit(&current_level, memory_order_relaxed);
}

/* ---- values ---- */

static bool is_plain(char c)
{
	return sp_is_print(c) && c != '"' && c != '\\';
}

static void add_escaped(struct sp_buf *b, struct sp_str s)
{
	for (size_t i = 0; i < s.len; i++) {
		switch (s.p[i]) {
		case '"': sp_buf_adds(b, "\\\""); break;
		case '\\': sp_buf_adds(b, "\\\\"); break;
		case '\n': sp_buf_adds(b, "\\n"); break;
		case '\r': sp_buf_adds(b, "\\r"); break;
		case '\t': sp_buf_adds(b, "\\t"); break;
		default:
			if (sp_is_print(s.p[i]))
				sp_buf_addc(b, s.p[i]);
			else
				sp_buf_printf(b, "\\x%02x", (unsigned char)s.p[i]);
		}
	}
}

static bool needs_quotes(struct sp_str s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!is_plain(s.p[i]) || s.p[i] == ' ' || s.p[i] == '=')
			return true;
	return s.len == 0;
}

static void add_value(struct sp_log *l, struct sp_str value)
{
	struct sp_str shown = sp_str_make(value.p, sp_min(value.len, VALUE_MAX));
	bool cut = shown.len < value.len;
	if (!l->json && !cut && !needs_quotes(value)) {
		sp_buf_add(&l->line, value);
		return;
	}
	if (l->json) {
		sp_buf_add_json(&l->line, shown);
		if (!sp_buf_failed(&l->line))
			sp_buf_truncate(&l->line, l->line.len - 1);     /* its last quote: ours follows */
	} else {
		sp_buf_addc(&l->line, '"');
		add_escaped(&l->line, shown);
	}
	sp_buf_adds(&l->line, cut ? "...\"" : "\"");
}

static void add_key(struct sp_log *l, const char *key)
{
	sp_buf_adds(&l->line, l->json ? ",\"" : " ");
	sp_buf_adds(&l->line, key);
	sp_buf_adds(&l->line, l->json ? "\":" : "=");
}

/* A pair that did not fit leaves no half of itself behind. */
static void end_pair(struct sp_log *l, size_t start)
{
	if (!sp_buf_failed(&l->line))
		return;
	l->line.failed = false;
	sp_buf_truncate(&l->line, start);
}

/* ---- lines ---- */

/* "2026-11-22T14:03:09.123Z"; the part that changes once a second is kept. */
static void add_time(struct sp_buf *b)
{
	static _Thread_local struct {
		int64_t second;
		char text[32];
	} cached = { .second = INT64_MIN };
	int64_t now_ms = core_clock_wall_ms();
	if (cached.second != now_ms / 1000) {
		time_t t = (time_t)(now_ms / 1000);
		struct tm tm;
		gmtime_r(&t, &tm);
		strftime(cached.text, sizeof(cached.text), "%Y-%m-%dT%H:%M:%S", &tm);
		cached.second = now_ms / 1000;
	}
	unsigned ms = (unsigned)(now_ms % 1000);
	char rest[] = { '.', (char)('0' + ms / 100), (char)('0' + ms / 10 % 10), (char)('0' + ms % 10), 'Z', '\0' };
	sp_buf_adds(b, cached.text);
	sp_buf_adds(b, rest);
}

void sp_log_begin(struct sp_log *l, enum sp_log_level level, const char *id, const char *event)
{
	l->on = sp_log_enabled(level);
	if (!l->on)
		return;
	l->json = atomic_load_explicit(&current_format, memory_order_relaxed) == SP_LOG_JSON;
	sp_buf_init(&l->line, LINE_MAX_LEN - TAIL_MAX);
	if (sp_buf_room(&l->line, LINE_ROOM) == NULL)
		return;
	struct sp_str who = id && *id ? sp_str_of(id) : SP_STR("-");
	if (l->json) {
		sp_buf_adds(&l->line, "{\"time\":\"");
		add_time(&l->line);
		sp_buf_adds(&l->line, "\",\"level\":\"");
		sp_buf_adds(&l->line, level_names[level]);
		sp_buf_adds(&l->line, "\",\"id\":");
		add_value(l, who);
		sp_buf_adds(&l->line, ",\"event\":");
		add_value(l, sp_str_of(event));
	} else {
		add_time(&l->line);
		sp_buf_addc(&l->line, ' ');
		sp_buf_adds(&l->line, level_names[level]);
		sp_buf_addc(&l->line, ' ');
		add_value(l, who);
		sp_buf_addc(&l->line, ' ');
		sp_buf_adds(&l->line, event);
	}
}

void sp_log_str(struct sp_log *l, const char *key, struct sp_str value)
{
	if (!l->on || value.len == 0)
		return;
	size_t start = l->line.len;
	add_key(l, key);
	add_value(l, value);
	end_pair(l, start);
}

void sp_log_cstr(struct sp_log *l, const char *key, const char *value)
{
	sp_log_str(l, key, sp_str_of(value));
}

static void add_bare(struct sp_log *l, const char *key, const char *value)
{
	size_t start = l->line.len;
	add_key(l, key);
	sp_buf_adds(&l->line, value);
	end_pair(l, start);
}

void sp_log_int(struct sp_log *l, const char *key, int64_t value)
{
	if (!l->on)
		return;
	char text[24];
	snprintf(text, sizeof(text), "%" PRId64, value);
	add_bare(l, key, text);
}

void sp_log_bool(struct sp_log *l, const char *key, bool value)
{
	if (!l->on)
		return;
	if (l->json)
		add_bare(l, key, value ? "true" : "false");
	else
		add_bare(l, key, value ? "yes" : "no");
}

/* Lines go out whole: one write(2). Where standard error takes only a part, the rest follows; where it takes nothing, the
 * line is lost, because mail must not wait for its log. */
static void write_out(struct sp_str s)
{
	while (s.len > 0) {
		ssize_t n = write(STDERR_FILENO, s.p, s.len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		s = sp_str_from(s, (size_t)n);
	}
}

void sp_log_end(struct sp_log *l)
{
	if (!l->on)
		return;
	l->line.max += TAIL_MAX;
	sp_buf_adds(&l->line, l->json ? "}\n" : "\n");
	write_out(sp_buf_str(&l->line));
	sp_buf_clear(&l->line);
	l->on = false;
}

void sp_log_text(enum sp_log_level level, const char *id, const char *event, const char *fmt, ...)
{
	struct sp_log l;
	sp_log_begin(&l, level, id, event);
	if (!l.on)
		return;
	char text[VALUE_MAX + 1];
	va_list args;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	sp_log_cstr(&l, "text", text);
	sp_log_end(&l);
}
