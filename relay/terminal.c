/* relay/terminal.c - see terminal.h. */
#include "relay/terminal.h"

#include "core/utf8.h"

#include <inttypes.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

#define WIDTH_MIN 40
#define HEIGHT_MIN 5
#define ANSWER_MAX 16                   /* octets of an answer that are looked at */
#define CUT "..."
#define CUT_COLUMNS 3

bool terminal_is(FILE *f)
{
	const char *term = getenv("TERM");
	return isatty(fileno(f)) && term && *term && strcmp(term, "dumb") != 0;
}

/* Columns and lines; 80 and 24 where the terminal does not say. */
static struct winsize size(FILE *f)
{
	struct winsize w = { 0 };
	if (ioctl(fileno(f), TIOCGWINSZ, &w) != 0 || w.ws_col == 0 || w.ws_row == 0)
		w = (struct winsize){ .ws_col = 80, .ws_row = 24 };
	return w;
}

unsigned terminal_width(FILE *f)
{
	return terminal_is(f) ? (unsigned)sp_max(size(f).ws_col, WIDTH_MIN) : 0;
}

unsigned terminal_height(FILE *f)
{
	return terminal_is(f) ? (unsigned)sp_max(size(f).ws_row, HEIGHT_MIN) : 0;
}

const char *terminal_on(FILE *f, enum terminal_colour c)
{
	static const char *const sequences[] = {
		[TERMINAL_PLAIN] = "", [TERMINAL_GOOD] = "\033[32m", [TERMINAL_WARN] = "\033[33m", [TERMINAL_BAD] = "\033[31m", [TERMINAL_DIM] = "\033[2m",
		[TERMINAL_BOLD] = "\033[1m",
	};
	const char *no = getenv("NO_COLOR");
	return c != TERMINAL_PLAIN && !(no && *no) && terminal_is(f) ? sequences[c] : "";
}

const char *terminal_off(FILE *f, enum terminal_colour c)
{
	return *terminal_on(f, c) ? "\033[m" : "";
}

/* ---- text of others ---- */

/* As the locale has it, which for ours (C) is nothing beyond ASCII: 1 then, but for what is wide everywhere (CJK, Hangul, fullwidth, emoji). */
static size_t columns_of(uint32_t c)
{
	int known = wcwidth((wchar_t)c);
	if (known >= 0)
		return (size_t)known;
	bool combines = (c >= 0x300 && c <= 0x36f) || (c >= 0xfe00 && c <= 0xfe0f) || (c >= 0x20d0 && c <= 0x20ff);
	bool wide = (c >= 0x1100 && c <= 0x115f) || (c >= 0x2e80 && c <= 0xa4cf) || (c >= 0xac00 && c <= 0xd7a3) || (c >= 0xf900 && c <= 0xfaff) ||
	            (c >= 0xfe30 && c <= 0xfe6f) || (c >= 0xff00 && c <= 0xff60) || (c >= 0xffe0 && c <= 0xffe6) || (c >= 0x1f300 && c <= 0x1faff) ||
	            (c >= 0x20000 && c <= 0x3fffd);
	return combines ? 0 : wide ? 2 : 1;
}

size_t terminal_fit(struct sp_buf *out, struct sp_str s, size_t columns)
{
	size_t used = 0, kept = 0, keep_at = out->len, len;             /* kept: columns up to keep_at, behind which there is room for CUT */
	for (; s.len > 0; s = sp_str_from(s, len)) {
		uint32_t c;
		len = sp_utf8_char(s, &c);
		bool shown = len > 0 && !sp_utf8_is_hidden(c);
		size_t width = shown ? columns_of(c) : 1;
		if (columns > 0 && used + width > columns) {
			sp_buf_truncate(out, keep_at);
			sp_buf_adds(out, columns > CUT_COLUMNS ? CUT : "");
			return columns > CUT_COLUMNS ? kept + CUT_COLUMNS : kept;
		}
		len = sp_max(len, 1);
		sp_buf_add(out, shown ? sp_str_make(s.p, len) : SP_STR("?"));
		used += width;
		if (columns <= CUT_COLUMNS || used + CUT_COLUMNS <= columns) {
			kept = used;
			keep_at = out->len;
		}
	}
	return used;
}

/* ---- questions ---- */

bool terminal_confirm(bool yes, const char *fmt, ...)
{
	char answer[ANSWER_MAX] = "";
	if (yes)
		return true;
	bool can_ask = isatty(STDIN_FILENO) && isatty(STDERR_FILENO);
	va_list args;
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputs(can_ask ? " [y/N] " : " Nobody can be asked here, and nothing was done; --yes says that it is meant.\n", stderr);
	fflush(stderr);
	if (!can_ask)
		return false;
	size_t len = 0;
	int c;
	while ((c = getchar()) != EOF && c != '\n')
		if (len < sizeof(answer) - 1)
			answer[len++] = (char)c;
	if (c == EOF)
		fputc('\n', stderr);
	struct sp_str said = sp_str_trim(sp_str_make(answer, len));
	return c != EOF && (sp_str_eq_nocase(said, SP_STR("y")) || sp_str_eq_nocase(said, SP_STR("yes")));
}

/* ---- numbers ---- */

const char *terminal_age(int64_t s, char text[TERMINAL_NUMBER])
{
	static const struct { const char *name; int64_t s; } units[] = { { "d", 86400 }, { "h", 3600 }, { "min", 60 }, { "s", 1 } };
	size_t i = 0;
	while (i < SP_COUNT(units) - 1 && s < units[i].s)
		i++;
	int64_t less = i + 1 < SP_COUNT(units) ? s % units[i].s / units[i + 1].s : 0;
	if (s < 0)
		snprintf(text, TERMINAL_NUMBER, "-");
	else if (less == 0)
		snprintf(text, TERMINAL_NUMBER, "%" PRId64 " %s", s / units[i].s, units[i].name);
	else
		snprintf(text, TERMINAL_NUMBER, "%" PRId64 " %s %d %s", s / units[i].s, units[i].name, (int)less, units[i + 1].name);
	return text;
}

const char *terminal_size(uint64_t octets, char text[TERMINAL_NUMBER])
{
	static const char units[] = "KMGTPE";
	if (octets < 1024) {
		snprintf(text, TERMINAL_NUMBER, "%" PRIu64, octets);
		return text;
	}
	double n = (double)octets / 1024;
	size_t i = 0;
	for (; n >= 1023.95 && units[i + 1]; i++)               /* which would print as 1024.0 */
		n /= 1024;
	unsigned tenths = (unsigned)(n * 10 + 0.5);
	snprintf(text, TERMINAL_NUMBER, "%u.%u%c", tenths / 10, tenths % 10, units[i]);
	return text;
}
