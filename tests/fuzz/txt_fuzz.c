/* tests/fuzz/txt_fuzz.c - sts_record_parse() on a set of anything: the input is records, a line each. */
#include "sts/record.h"

#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define RECORDS_MAX 16

static void check_id(const char *id)
{
	size_t len = strlen(id);
	sp_assert(len >= 1 && len <= STS_ID_MAX);
	for (size_t i = 0; i < len; i++)
		sp_assert(sp_is_alnum(id[i]));
	char text[64], again[STS_ID_MAX + 1];
	snprintf(text, sizeof(text), "v=STSv1; id=%s;", id);
	struct sp_str txt = sp_str_of(text);
	const char *why;
	enum sts_record_status status = sts_record_parse(&txt, 1, again, &why);
	sp_assert(status == STS_RECORD_OK && strcmp(id, again) == 0);
}

/* What does not begin as one changes nothing. */
static void check_company(const struct sp_str *txts, size_t count, enum sts_record_status want, const char *want_id)
{
	struct sp_str more[RECORDS_MAX + 2];
	more[0] = SP_STR("v=spf1 include:example.com -all");
	memcpy(more + 1, txts, count * sizeof(*txts));
	more[count + 1] = SP_STR("v=STSv10; id=1;");
	char id[STS_ID_MAX + 1];
	const char *why;
	enum sts_record_status status = sts_record_parse(more, count + 2, id, &why);
	sp_assert(status == want && strcmp(id, want_id) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct sp_str rest = sp_str_make((const char *)data, len);
	struct sp_str txts[RECORDS_MAX] = { { NULL, 0 } };
	size_t count = 0;
	while (rest.len > 0 && count < RECORDS_MAX)
		txts[count++] = sp_take_until(&rest, '\n');
	char id[STS_ID_MAX + 1];
	const char *why = NULL;
	enum sts_record_status status = sts_record_parse(txts, count, id, &why);
	if (status == STS_RECORD_OK)
		check_id(id);
	else
		sp_assert(id[0] == '\0' && why && *why);
	check_company(txts, count, status, id);
	return 0;
}
