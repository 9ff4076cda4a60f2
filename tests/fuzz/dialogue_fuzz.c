/* tests/fuzz/dialogue_fuzz.c - relay/dialogue.c: any octets both ways; 0xfe turns the direction. What is kept is JSON, is bounded, and is the same however the octets came in pieces. */
#include "relay/dialogue.h"

#include <jansson.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void play(const char *p, size_t size, size_t piece, struct sp_buf *out)
{
	struct dialogue d;
	struct sp_json j;
	bool in = true;
	dialogue_init(&d);
	for (size_t i = 0; i < size;) {
		if (p[i] == (char)0xfe) {
			in = !in;
			i++;
			continue;
		}
		size_t len = 0;
		while (len < piece && i + len < size && p[i + len] != (char)0xfe)
			len++;
		(in ? dialogue_in : dialogue_out)(&d, 1, sp_str_make(p + i, len));
		i += len;
	}
	struct dialogue_part part = dialogue_take(&d, 1);
	sp_assert(part.first_count <= DIALOGUE_HALF && part.last_count <= DIALOGUE_HALF);
	sp_json_begin(&j, out);
	dialogue_part_print(&part, NULL, &j);
	dialogue_part_clear(&part);
	dialogue_clear(&d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sp_buf whole, pieces;
	sp_buf_init(&whole, 3 * DIALOGUE_HALF_OCTETS);
	sp_buf_init(&pieces, 3 * DIALOGUE_HALF_OCTETS);
	play((const char *)data, size, size, &whole);
	play((const char *)data, size, 1, &pieces);
	sp_assert(!sp_buf_failed(&whole) && sp_str_eq(sp_buf_str(&whole), sp_buf_str(&pieces)));
	json_t *v = json_loadb(whole.p, whole.len, JSON_ALLOW_NUL, NULL);
	sp_assert(json_is_array(v));
	json_decref(v);
	sp_buf_clear(&whole);
	sp_buf_clear(&pieces);
	return 0;
}
