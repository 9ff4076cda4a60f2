/* core/httpgate.c - see httpgate.h.
 *   head:    LINE_START -> METHOD -> TARGET -> VERSION -> (FIELD_START -> NAME -> VALUE)* -> DONE
 *   chunked: (SIZE_START -> SIZE [-> EXTENSION] -> DATA -> DATA_END)* -> SIZE of 0 -> (FIELD_START ...)* -> DONE
 * Every line ends in CR LF, by way of LF. */
#include "core/httpgate.h"

#define SIZE_DIGITS_MAX 8       /* of a chunk's size: over 4 GiB is over every limit */

static const char version[] = "HTTP/1.";

void core_httpgate_head(struct core_httpgate *g)
{
	*g = (struct core_httpgate){ .state = CORE_HTTPGATE_LINE_START };
}

void core_httpgate_chunks(struct core_httpgate *g)
{
	*g = (struct core_httpgate){ .state = CORE_HTTPGATE_SIZE_START };
}

/* RFC 9110 5.6.2 */
static bool is_token(char c)
{
	return sp_is_alnum(c) || (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

/* RFC 9110 5.5: VCHAR, obs-text and blanks between them. */
static bool is_value(char c)
{
	return sp_is_print(c) || c == '\t' || (unsigned char)c >= 0x80;
}

static bool wrong(struct core_httpgate *g, const char *why)
{
	g->why = why;
	return false;
}

static bool go(struct core_httpgate *g, enum core_httpgate_state next)
{
	g->state = next;
	return true;
}

/* The line ends if `c` is CR. */
static bool end_line(struct core_httpgate *g, char c, enum core_httpgate_state next, const char *why)
{
	if (c != '\r')
		return wrong(g, c == '\n' ? "a line ends in LF alone" : why);
	g->after_lf = next;
	return go(g, CORE_HTTPGATE_LF);
}

static bool on_version(struct core_httpgate *g, char c)
{
	static const char why[] = "the request line does not end in HTTP/1.1 or HTTP/1.0";
	size_t len = sizeof(version) - 1;
	if (g->matched > len)
		return end_line(g, c, CORE_HTTPGATE_FIELD_START, why);
	bool fits = g->matched < len ? c == version[g->matched] : c == '0' || c == '1';
	g->matched++;
	return fits || wrong(g, why);
}

static bool on_field_start(struct core_httpgate *g, char c)
{
	if (is_token(c))
		return go(g, CORE_HTTPGATE_NAME);
	if (sp_is_blank(c))                     /* RFC 9112 5.2 */
		return wrong(g, "a line begins with a blank (obs-fold)");
	return end_line(g, c, CORE_HTTPGATE_DONE, "a field has no name");
}

static bool on_size(struct core_httpgate *g, char c)
{
	int digit = sp_hex_value(c);
	if (digit >= 0 && g->digits < SIZE_DIGITS_MAX) {
		g->left = g->left * 16 + (unsigned)digit;
		g->digits++;
		return true;
	}
	if (digit >= 0)
		return wrong(g, "the size of a chunk is too long");
	if (c == ';')
		return go(g, CORE_HTTPGATE_EXTENSION);
	return end_line(g, c, g->left ? CORE_HTTPGATE_DATA : CORE_HTTPGATE_FIELD_START, "the size of a chunk is no number");
}

static bool step(struct core_httpgate *g, char c)
{
	switch (g->state) {
	case CORE_HTTPGATE_LINE_START:
		return is_token(c) ? go(g, CORE_HTTPGATE_METHOD) : end_line(g, c, CORE_HTTPGATE_LINE_START, "the request line has no method");
	case CORE_HTTPGATE_METHOD:
		if (is_token(c))
			return true;
		g->left = 0;                    /* of the target: none yet */
		return c == ' ' ? go(g, CORE_HTTPGATE_TARGET) : wrong(g, "the method is no word");
	case CORE_HTTPGATE_TARGET:
		if (c == ' ' && g->left > 0)
			return go(g, CORE_HTTPGATE_VERSION);
		g->left++;
		return (sp_is_print(c) && c != ' ') || wrong(g, "the target has a blank, a control character or no version behind it");
	case CORE_HTTPGATE_VERSION:
		return on_version(g, c);
	case CORE_HTTPGATE_FIELD_START:
		return on_field_start(g, c);
	case CORE_HTTPGATE_NAME:
		if (c == ':')
			return go(g, CORE_HTTPGATE_VALUE);
		return is_token(c) || wrong(g, "the name of a field is no word, or no colon follows it at once");
	case CORE_HTTPGATE_VALUE:
		return is_value(c) || end_line(g, c, CORE_HTTPGATE_FIELD_START, "a field has a control character");
	case CORE_HTTPGATE_SIZE_START:
		g->left = g->digits = 0;
		g->state = CORE_HTTPGATE_SIZE;
		return sp_hex_value(c) >= 0 ? on_size(g, c) : wrong(g, "the size of a chunk is no number");
	case CORE_HTTPGATE_SIZE:
		return on_size(g, c);
	case CORE_HTTPGATE_EXTENSION:
		return is_value(c) || end_line(g, c, g->left ? CORE_HTTPGATE_DATA : CORE_HTTPGATE_FIELD_START,
		                               "a chunk extension has a control character");
	case CORE_HTTPGATE_DATA:                /* pass() skips all but the last octet */
		return --g->left > 0 || go(g, CORE_HTTPGATE_DATA_END);
	case CORE_HTTPGATE_DATA_END:
		return end_line(g, c, CORE_HTTPGATE_SIZE_START, "a chunk is longer than its size");
	case CORE_HTTPGATE_LF:
		return c == '\n' ? go(g, g->after_lf) : wrong(g, "CR without LF");
	case CORE_HTTPGATE_DONE:
		break;
	}
	return false;
}

size_t core_httpgate_pass(struct core_httpgate *g, struct sp_str data)
{
	size_t at = 0;
	while (at < data.len && g->state != CORE_HTTPGATE_DONE && g->why == NULL) {
		if (g->state == CORE_HTTPGATE_DATA && g->left > 1) {
			size_t skip = (size_t)(g->left - 1 < data.len - at ? g->left - 1 : data.len - at);
			g->left -= skip;
			at += skip;
		} else if (step(g, data.p[at])) {
			at++;
		}
	}
	return at;
}
