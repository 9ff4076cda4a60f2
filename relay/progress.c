/* relay/progress.c - see progress.h. */
#include "relay/progress.h"

#include "core/clock.h"

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>

#define SHOW_MS 100                     /* between two times that it is written */
#define BAR 20                          /* columns, where they are there */
#define BAR_FROM 70                     /* columns of a terminal */
#define LINE_MAX_OCTETS 2048

struct progress {
	const char *doing;
	uint64_t shown_at;              /* 0: never */
	bool on;                        /* stands on the terminal */
	bool enabled;
};

struct progress *progress_begin(const char *doing)
{
	struct progress *p = sp_alloc(sizeof(*p));
	p->doing = doing;
	p->enabled = terminal_is(stderr);
	return p;
}

void progress_hide(struct progress *p)
{
	if (!p->on)
		return;
	fputs("\r\033[K", stderr);
	fflush(stderr);
	p->on = false;
	p->shown_at = 0;
}

static void add_bar(struct sp_buf *line, uint64_t done, uint64_t total)
{
	size_t full = (size_t)((double)done / (double)total * BAR);
	sp_buf_adds(line, " [");
	for (size_t i = 0; i < BAR; i++)
		sp_buf_addc(line, i < full ? '#' : '.');
	sp_buf_addc(line, ']');
}

void progress_show(struct progress *p, uint64_t done, uint64_t total, const char *what)
{
	uint64_t now = core_clock_mono_ms();
	if (!p->enabled || (p->shown_at > 0 && now - p->shown_at < SHOW_MS))
		return;
	unsigned width = terminal_width(stderr);
	struct sp_buf text, line;
	sp_buf_init(&text, LINE_MAX_OCTETS);
	sp_buf_init(&line, LINE_MAX_OCTETS);
	sp_buf_adds(&text, p->doing);
	if (total > 0) {
		done = done < total ? done : total;
		if (width >= BAR_FROM)
			add_bar(&text, done, total);
		sp_buf_printf(&text, " %" PRIu64 " of %" PRIu64, done, total);
	} else {
		sp_buf_printf(&text, " %" PRIu64, done);
	}
	if (what && *what)
		sp_buf_printf(&text, ": %.512s", what);
	terminal_fit(&line, sp_buf_str(&text), width - 1);      /* one less: some terminals begin a new line behind the last column */
	fprintf(stderr, "\r\033[K%s", sp_buf_cstr(&line));
	fflush(stderr);
	sp_buf_clear(&text);
	sp_buf_clear(&line);
	p->on = true;
	p->shown_at = now;
}

void progress_end(struct progress *p)
{
	if (p)
		progress_hide(p);
	free(p);
}

/* ---- interrupts ---- */

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signo SP_UNUSED)
{
	interrupted = 1;
}

void progress_catch_interrupt(void)
{
	/* SA_RESTART: the answer to what was asked is still read; SA_RESETHAND: the second one ends us. */
	struct sigaction a = { .sa_handler = on_interrupt, .sa_flags = SA_RESTART | (int)SA_RESETHAND };
	interrupted = 0;
	sigaction(SIGINT, &a, NULL);
}

bool progress_interrupted(void)
{
	return interrupted;
}
