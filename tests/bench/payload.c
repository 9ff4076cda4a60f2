/* tests/bench/payload.c - see payload.h. */
#include "payload.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define TEXT_LINES 509                   /* a prime: neighbouring ids start far apart */
#define TEXT_LEN ((size_t)TEXT_LINES * PAYLOAD_LINE_LEN)
#define DOTTED_EVERY 61                  /* these lines begin with a dot */

static char text[TEXT_LEN];

void payload_init(void)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	uint32_t x = 2463534242;

	for (size_t line = 0; line < TEXT_LINES; line++) {
		char *p = text + line * PAYLOAD_LINE_LEN;
		for (size_t i = 0; i < PAYLOAD_LINE_LEN - 2; i++) {
			x ^= x << 13;
			x ^= x >> 17;
			x ^= x << 5;
			p[i] = letters[x % 64];
		}
		if (line % DOTTED_EVERY == 0)
			p[0] = '.';
		memcpy(p + PAYLOAD_LINE_LEN - 2, "\r\n", 2);
	}
}

static uint64_t first_line(uint64_t id)
{
	return id * 31 % TEXT_LINES;
}

size_t payload_head(char out[PAYLOAD_HEAD_MAX], uint64_t id, const char *to, size_t size, uint64_t *lines)
{
	static const char format[] =
		"From: Bench <sender@client.example>\r\n"
		"To: <%s>\r\n"
		"Subject: message %" PRIu64 "\r\n"
		"Date: Mon, 01 Jan 2024 00:00:00 +0000\r\n"
		"Message-ID: <%" PRIu64 ".bench@client.example>\r\n"
		"MIME-Version: 1.0\r\n"
		"Content-Type: text/plain; charset=us-ascii\r\n"
		PAYLOAD_FIELD "%" PRIu64 " %" PRIu64 "\r\n"
		"\r\n";
	size_t rest = size > sizeof(format) + 80 ? size - sizeof(format) - 80 : 0;

	*lines = rest / PAYLOAD_LINE_LEN + 1;
	return (size_t)snprintf(out, PAYLOAD_HEAD_MAX, format, to, id, id, id, *lines);
}

size_t payload_lines(char *out, size_t room, uint64_t id, uint64_t *line, uint64_t end)
{
	size_t at = (first_line(id) + *line) % TEXT_LINES;
	size_t len = 0;

	for (; *line < end && room - len > PAYLOAD_LINE_LEN; ++*line) {
		const char *p = text + at * PAYLOAD_LINE_LEN;
		if (*p == '.')
			out[len++] = '.';
		memcpy(out + len, p, PAYLOAD_LINE_LEN);
		len += PAYLOAD_LINE_LEN;
		at = at + 1 < TEXT_LINES ? at + 1 : 0;
	}
	return len;
}

void payload_check_head(struct payload_check *c, const char *head, size_t n)
{
	static const char field[] = "\r\n" PAYLOAD_FIELD;
	const char *p = memmem(head, n, field, sizeof(field) - 1);
	uint64_t lines = 0;
	char value[64];

	*c = (struct payload_check){0};
	if (p == NULL)
		return;
	p += sizeof(field) - 1;
	snprintf(value, sizeof(value), "%.*s", (int)(head + n - p), p);
	c->known = sscanf(value, "%" SCNu64 " %" SCNu64, &c->id, &lines) == 2;
	c->len = lines * PAYLOAD_LINE_LEN;
}

void payload_check_body(struct payload_check *c, const char *p, size_t n)
{
	size_t at = (first_line(c->id) * PAYLOAD_LINE_LEN + c->seen) % TEXT_LEN;

	c->seen += n;
	while (n > 0 && !c->damaged) {
		size_t part = n < TEXT_LEN - at ? n : TEXT_LEN - at;
		c->damaged = memcmp(text + at, p, part) != 0;
		p += part;
		n -= part;
		at = 0;
	}
}

bool payload_check_end(const struct payload_check *c)
{
	return c->known && !c->damaged && c->seen == c->len;
}
