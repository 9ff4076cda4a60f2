/* smtp/client_ext.c - what an EHLO reply offers.
 * Implements RFC 5321 4.1.1.1 (the reply), and the parameters of RFC 1870 (SIZE), 9422 (LIMITS), 4954 (AUTH), 2852 (DELIVERBY). Pure. */
#include "smtp/client_state.h"

static void take_size(struct smtp_client_ext *x, struct sp_str args)
{
	x->size = true;
	uint64_t max;
	if (sp_take_digits(&args, 20, &max) && args.len == 0)   /* RFC 1870 4: none, or 0: no limit told */
		x->size_max = max;
}

/* RFC 9422 4: name=value; values of 1 to 6 digits, and never 0. What we do not know is left alone. */
static void take_limits(struct smtp_client_ext *x, struct sp_str args)
{
	while (args.len > 0) {
		struct sp_str word = sp_take_until(&args, ' ');
		struct sp_str name = sp_take_until(&word, '=');
		uint64_t value;
		if (!sp_str_number(word, 1, 999999, &value))
			continue;
		if (sp_str_eq_nocase(name, SP_STR("MAILMAX")))
			x->mail_max = (unsigned)value;
		else if (sp_str_eq_nocase(name, SP_STR("RCPTMAX")))
			x->rcpt_max = (unsigned)value;
		else if (sp_str_eq_nocase(name, SP_STR("RCPTDOMAINMAX")))
			x->rcpt_domain_max = (unsigned)value;
	}
}

static void take_auth(struct smtp_client_ext *x, struct sp_str args)
{
	while (args.len > 0) {
		struct sp_str word = sp_take_until(&args, ' ');
		if (sp_str_eq_nocase(word, SP_STR("PLAIN")))
			x->auth_plain = true;
		else if (sp_str_eq_nocase(word, SP_STR("LOGIN")))
			x->auth_login = true;
	}
}

/* RFC 2852 2: a list of options with commas between them, of which the first is the least time that BY=...;R may ask for. */
static void take_deliverby(struct smtp_client_ext *x, struct sp_str args)
{
	uint64_t min_s;
	x->deliverby = true;
	if (sp_str_number(sp_str_trim(sp_take_until(&args, ',')), 1, 999999999, &min_s))
		x->deliverby_min_s = (uint32_t)min_s;
}

/* Keywords without arguments that matter; what stands behind them is ignored. */
static const struct {
	struct sp_str keyword;
	size_t at;              /* of the bool in struct smtp_client_ext */
} flags[] = {
#define FLAG(word, member) { { word, sizeof(word) - 1 }, offsetof(struct smtp_client_ext, member) }
	FLAG("STARTTLS", starttls),             /* RFC 3207 */
	FLAG("PIPELINING", pipelining),         /* RFC 2920 */
	FLAG("8BITMIME", eight_bit),            /* RFC 6152 */
	FLAG("CHUNKING", chunking),             /* RFC 3030 */
	FLAG("ENHANCEDSTATUSCODES", enhanced),  /* RFC 2034 */
	FLAG("SMTPUTF8", smtputf8),             /* RFC 6531 */
	FLAG("DSN", dsn),                       /* RFC 3461 */
	FLAG("REQUIRETLS", requiretls),         /* RFC 8689 */
	FLAG("BINARYMIME", binary),             /* RFC 3030 */
	FLAG("MT-PRIORITY", mt_priority),       /* RFC 6710 */
	FLAG("FUTURERELEASE", future_release),  /* RFC 4865 */
#undef FLAG
};

static void take_keyword(struct smtp_client_ext *x, struct sp_str line)
{
	struct sp_str args = sp_str_trim(line);
	struct sp_str keyword = sp_take_until(&args, ' ');
	args = sp_str_trim(args);
	if (sp_str_eq_nocase(keyword, SP_STR("SIZE")))
		take_size(x, args);
	else if (sp_str_eq_nocase(keyword, SP_STR("LIMITS")))
		take_limits(x, args);
	else if (sp_str_eq_nocase(keyword, SP_STR("DELIVERBY")))
		take_deliverby(x, args);
	else if (sp_str_eq_nocase(keyword, SP_STR("AUTH")))
		take_auth(x, args);
	if (sp_take_prefix_nocase(&keyword, SP_STR("AUTH="))) {  /* "AUTH=LOGIN PLAIN": from before RFC 2554, and still said */
		take_auth(x, keyword);
		take_auth(x, args);
	}
	for (size_t i = 0; i < SP_COUNT(flags); i++)
		if (sp_str_eq_nocase(keyword, flags[i].keyword))
			*(bool *)((char *)x + flags[i].at) = true;
}

void smtp_client_ext_parse(const struct smtp_reply *r, struct smtp_client_ext *out)
{
	*out = (struct smtp_client_ext){ .esmtp = true };
	struct sp_str rest = sp_buf_str(&r->text);
	sp_take_until(&rest, '\n');                     /* the first line greets; it offers nothing */
	while (rest.len > 0)
		take_keyword(out, sp_take_until(&rest, '\n'));
}
