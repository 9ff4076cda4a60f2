/* tests/unit/pty_fixture.c - see pty_fixture.h. */
#include "pty_fixture.h"

#include <fcntl.h>
#include <pty.h>
#include <unistd.h>

void pty_open(struct pty *p, unsigned columns, unsigned lines)
{
	struct winsize w = { .ws_col = (unsigned short)columns, .ws_row = (unsigned short)lines };
	struct termios t;
	int slave;
	sp_assert(openpty(&p->master, &slave, NULL, NULL, &w) == 0);
	sp_assert(tcgetattr(slave, &t) == 0);
	t.c_oflag &= ~(tcflag_t)OPOST;
	t.c_lflag &= ~(tcflag_t)ECHO;
	sp_assert(tcsetattr(slave, TCSANOW, &t) == 0);
	sp_assert(fcntl(p->master, F_SETFL, O_NONBLOCK) == 0);
	p->f = fdopen(slave, "r+");
	sp_assert(p->f);
}

void pty_read(struct pty *p, struct sp_buf *out)
{
	char chunk[512];
	ssize_t n;
	fflush(p->f);
	while ((n = read(p->master, chunk, sizeof(chunk))) > 0)
		sp_buf_add(out, sp_str_make(chunk, (size_t)n));
}

void pty_type(struct pty *p, const char *text)
{
	sp_assert(write(p->master, text, strlen(text)) == (ssize_t)strlen(text));
}

void pty_close(struct pty *p)
{
	fclose(p->f);
	close(p->master);
}
