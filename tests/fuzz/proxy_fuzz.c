/* tests/fuzz/proxy_fuzz.c - core/proxy.c: any octets from whoever is in front of us. What is said of the whole must be what is said octet by octet: nothing
 * that is broken becomes sound with more octets, and a header is what it is whatever follows it. */
#include "core/proxy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct core_proxy whole, part;
	size_t taken, taken_then = 0;
	char text[SP_ADDR_TEXT];
	enum core_proxy_step step = core_proxy_read(sp_str_make((const char *)data, size), &taken, &whole), then = CORE_PROXY_MORE;
	sp_assert(step != CORE_PROXY_MORE || size < CORE_PROXY_MAX);
	sp_assert((step == CORE_PROXY_BROKEN) == (whole.why != NULL));
	for (size_t len = 0; len <= size && then == CORE_PROXY_MORE; len++)
		then = core_proxy_read(sp_str_make((const char *)data, len), &taken_then, &part);
	sp_assert(then == step);
	if (step != CORE_PROXY_DONE)
		return 0;
	sp_assert(taken == taken_then && taken > 0 && taken <= size && taken <= CORE_PROXY_MAX && whole.local == part.local);
	if (!whole.local) {
		sp_assert(sp_addr_eq(&whole.from, &part.from) && sp_addr_eq(&whole.to, &part.to));
		struct sp_addr again;
		sp_assert(sp_addr_parse(sp_str_of(sp_addr_str(&whole.from, text)), &again) && sp_addr_eq(&again, &whole.from));
	}
	return 0;
}
