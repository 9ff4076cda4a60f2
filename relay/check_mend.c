/* relay/check_mend.c - see check_impl.h. */
#include "relay/check_impl.h"

static const char *leaf_text(const json_t *seen, const char *key)
{
	const char *s = json_string_value(json_object_get(json_array_get(json_object_get(seen, "chain"), 0), key));
	return s ? s : "";
}

/* The names of the leaf, as text: an array, or one string. */
static void add_names(const json_t *seen, struct sp_buf *out)
{
	const json_t *names = json_object_get(json_array_get(json_object_get(seen, "chain"), 0), "names");
	size_t i;
	json_t *name;
	if (json_is_string(names))
		sp_buf_adds(out, json_string_value(names));
	json_array_foreach(names, i, name)
		sp_buf_printf(out, "%s%s", i ? ", " : "", json_string_value(name) ? json_string_value(name) : "?");
}

static void mend_name(const char *host, const json_t *seen, struct sp_buf *out)
{
	struct sp_buf names;
	sp_buf_init(&names, 400);
	add_names(seen, &names);
	sp_buf_printf(out, "the certificate of %s is for %s: renew it with the name %s among its subject alternative names", host,
	              names.len ? sp_buf_cstr(&names) : "no name in them", host);
	sp_buf_clear(&names);
}

static void mend_trust(const char *host, const char *reason, struct sp_buf *out)
{
	if (strstr(reason, "SELF_SIGNED"))
		sp_buf_printf(out, "give %s a certificate from a public authority in place of a self-signed one", host);
	else if (strstr(reason, "UNABLE_TO_GET_ISSUER") || strstr(reason, "UNABLE_TO_VERIFY_LEAF"))
		sp_buf_printf(out, "let %s send the intermediate certificates too (fullchain.pem), and have them lead to a public authority", host);
	else if (strstr(reason, "NOT_YET_VALID"))
		sp_buf_printf(out, "wait until the certificate of %s is valid, or set the clock of whoever issued it", host);
	else
		sp_buf_printf(out, "give %s a certificate from a public authority, with its intermediates", host);
}

static void mend_validation(const char *host, const char *reason, struct sp_buf *out)
{
	if (strcmp(reason, "tlsa-mismatch") == 0)
		sp_buf_printf(out, "publish a TLSA record for the key that %s shows now, and with the next change the new one before the certificate", host);
	else if (strcmp(reason, "tls-version") == 0 || strstr(reason, "protocol-version"))
		sp_buf_printf(out, "let %s speak TLS 1.2 or newer", host);
	else
		sp_buf_printf(out, "look at the TLS settings of %s: it offers STARTTLS, and no handshake comes of it (its log has the other side of this)", host);
}

void check_mend(const struct check *c, const char *host, const char *result, const char *reason, const json_t *seen, struct sp_buf *out)
{
	enum sp_result r = SP_RESULT_NONE;
	if (!sp_result_parse(sp_str_of(result), &r))
		r = SP_RESULT_NONE;
	switch (r) {
	case SP_RESULT_STARTTLS_NOT_SUPPORTED:
		sp_buf_printf(out, "let %s offer STARTTLS, with a certificate for its name", host);
		break;
	case SP_RESULT_CERTIFICATE_HOST_MISMATCH:
		mend_name(host, seen, out);
		break;
	case SP_RESULT_CERTIFICATE_EXPIRED:
		sp_buf_printf(out, "renew the certificate of %s%s%s", host, *leaf_text(seen, "not_after") ? ": the present one ended at " : "", leaf_text(seen, "not_after"));
		break;
	case SP_RESULT_CERTIFICATE_NOT_TRUSTED:
		mend_trust(host, reason, out);
		break;
	case SP_RESULT_VALIDATION_FAILURE:
		mend_validation(host, reason, out);
		break;
	default:
		sp_buf_printf(out, "look at %s, and at what %s publishes", host, c->domain);
	}
}
