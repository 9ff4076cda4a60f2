/* relay/users.c - see users.h. */
#include "relay/users.h"

#include "core/map.h"
#include "core/password.h"
#include "core/readfile.h"
#include "smtp/address.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

struct user {
	struct sp_map_node node;        /* in users.map */
	char *name, *hash, *senders;
	char **allowed;                 /* of senders: domains in A-labels; NULL at the end */
	bool any;                       /* "*" */
};

struct users {
	atomic_uint refs;
	struct sp_map map;              /* struct user, by name */
	struct user **sorted;           /* by name */
	size_t count;
};

/* ---- what a line may hold ---- */

const char *users_name_fault(struct sp_str name)
{
	if (name.len == 0)
		return "the name is empty";
	if (name.len > USERS_NAME_MAX)
		return "the name is longer than 128 octets";
	if (name.p[0] == '#' || name.p[0] == '-')
		return "a name begins neither with '#', which begins a comment, nor with '-'";
	for (size_t i = 0; i < name.len; i++)
		if (!sp_is_print(name.p[i]) || name.p[i] == ' ' || name.p[i] == ':')
			return "a name is made of printable ASCII, without blanks and colons";
	return NULL;
}

/* One item of the senders as it is compared: "*", "<>", "@domain" or "local@domain" with the domain in A-labels. NULL with *why. */
static const char *read_sender(struct sp_str item, struct sp_arena *arena, const char **why)
{
	struct smtp_address a;
	if (sp_str_eq(item, SP_STR("*")) || sp_str_eq(item, SP_STR("<>")))
		return sp_arena_dup(arena, item);
	*why = "a sender is an address, '@' and a domain, '*' for any, or '<>' for bounces alone";
	if (!sp_str_contains(item, '@'))
		return NULL;
	if (sp_take_char(&item, '@')) {
		const char *domain = smtp_domain_ascii(item, arena, why);
		return domain ? sp_arena_printf(arena, "@%s", domain) : NULL;
	}
	return smtp_address_parse(item, true, arena, &a, why) ? sp_arena_printf(arena, "%s@%s", a.local, a.domain) : NULL;
}

const char *users_senders_fault(struct sp_str senders)
{
	struct sp_arena arena = SP_ARENA_EMPTY;
	const char *why = NULL;
	if (senders.len == 0)
		return "say who the user may send as: addresses, '@' and a domain, '*' for any, or '<>' for bounces alone";
	if (senders.len > USERS_SENDERS_MAX)
		return "the senders are longer than 4096 octets";
	for (size_t i = 0; i < senders.len; i++)
		if ((unsigned char)senders.p[i] < ' ' || senders.p[i] == 127 || senders.p[i] == ':')
			return "senders hold neither control characters nor colons";
	while (why == NULL && senders.len > 0) {
		struct sp_str item = sp_str_trim(sp_take_until(&senders, ','));
		const char *fault = NULL;
		if (read_sender(item, &arena, &fault) == NULL)
			why = fault;
	}
	sp_arena_clear(&arena);
	return why;
}

/* ---- reading ---- */

static void free_user(struct user *user)
{
	if (user->hash)
		explicit_bzero(user->hash, strlen(user->hash));
	for (char **a = user->allowed; a && *a; a++)
		free(*a);
	free(user->allowed);
	free(user->name);
	free(user->hash);
	free(user->senders);
	free(user);
}

/* Of senders that have no fault. */
static void split_senders(struct user *user)
{
	struct sp_str rest = sp_str_of(user->senders);
	struct sp_arena arena = SP_ARENA_EMPTY;
	size_t n = 0;
	const char *why;
	while (rest.len > 0) {
		const char *item = read_sender(sp_str_trim(sp_take_until(&rest, ',')), &arena, &why);
		sp_assert(item);
		user->any |= strcmp(item, "*") == 0;
		user->allowed = sp_realloc(user->allowed, (n + 2) * sizeof(*user->allowed));
		user->allowed[n++] = sp_strdup(item);
		user->allowed[n] = NULL;
	}
	sp_arena_clear(&arena);
}

/* "name:hash:senders". NULL with what is wrong in `why`. */
static struct user *read_user(struct sp_str line, struct sp_fail *why)
{
	struct sp_str name = sp_take_until(&line, ':');
	bool has_senders = sp_str_contains(line, ':');
	struct sp_str hash = sp_take_until(&line, ':');
	const char *fault = users_name_fault(name);
	if (fault == NULL && !has_senders)
		fault = "a line has three fields: name:hash:senders; strictpost user add writes it";
	if (fault == NULL)
		fault = users_senders_fault(line);
	if (fault) {
		sp_fail_set(why, SP_FAIL_STORE, "%s", fault);
		return NULL;
	}
	struct user *user = sp_alloc(sizeof(*user));
	user->name = sp_str_dup(name);
	user->hash = sp_str_dup(hash);
	user->senders = sp_str_dup(line);
	struct sp_fail inner;
	if (sp_str_contains(hash, '\0') || !core_password_hash_ok(user->hash, &inner)) {
		sp_fail_set(why, SP_FAIL_STORE, "%s of user %s; strictpost user passwd %s makes another",
		            sp_str_contains(hash, '\0') ? "there is a NUL in the hash" : inner.text, user->name, user->name);
		free_user(user);
		return NULL;
	}
	split_senders(user);
	return user;
}

static bool take_user(struct users *u, struct user *user, struct sp_fail *why)
{
	if (sp_map_find(&u->map, sp_str_of(user->name))) {
		sp_fail_set(why, SP_FAIL_STORE, "the user %s is there twice", user->name);
		free_user(user);
		return false;
	}
	sp_map_insert(&u->map, &user->node, sp_str_of(user->name));
	if ((u->count & (u->count + 1)) == 0 || u->sorted == NULL)      /* doubles: room for 1, 3, 7 ... */
		u->sorted = sp_realloc(u->sorted, (2 * u->count + 2) * sizeof(struct user *));
	u->sorted[u->count++] = user;
	return true;
}

static int by_name(const void *a, const void *b)
{
	return strcmp((*(struct user *const *)a)->name, (*(struct user *const *)b)->name);
}

struct users *users_parse(struct sp_str text, const char *name, struct sp_fail *why)
{
	struct users *u = sp_alloc(sizeof(*u));
	atomic_init(&u->refs, 1);
	sp_map_init(&u->map);
	struct sp_str line;
	struct sp_fail inner = SP_FAIL_OK;
	for (size_t n = 1; sp_take_line(&text, &line); n++) {
		if (sp_str_trim(line).len == 0 || line.p[0] == '#')
			continue;
		struct user *user = read_user(line, &inner);
		if (user && take_user(u, user, &inner))
			continue;
		sp_fail_set(why, SP_FAIL_STORE, "%s:%zu: %s", name, n, inner.text);
		users_unref(u);
		return NULL;
	}
	if (u->count > 0)
		qsort(u->sorted, u->count, sizeof(struct user *), by_name);
	return u;
}

struct users *users_load(const char *path, struct sp_fail *why)
{
	unsigned mode;
	struct users *u = NULL;
	char *text = sp_alloc(USERS_FILE_MAX + 1);              /* one more: too large is seen, not cut */
	ssize_t len = core_read_file(path, text, USERS_FILE_MAX + 1, &mode, why);
	if (len < 0 && strcmp(why->reason, "missing") == 0)
		sp_fail_set(why, SP_FAIL_STORE, "cannot read %s: there is no such file; strictpost user add makes one", path);
	else if (len > USERS_FILE_MAX)
		sp_fail_set(why, SP_FAIL_STORE, "%s is larger than 16 MiB; is this the right file?", path);
	else if (len >= 0 && (mode & 0007))
		sp_fail_set(why, SP_FAIL_STORE, "%s has mode %04o: everybody can get at the password hashes; mend it with: chmod o= %s", path, mode, path);
	else if (len >= 0)
		u = users_parse(sp_str_make(text, (size_t)len), path, why);
	if (len > 0)
		explicit_bzero(text, (size_t)len);
	free(text);
	return u;
}

struct users *users_ref(struct users *u)
{
	atomic_fetch_add(&u->refs, 1);
	return u;
}

void users_unref(struct users *u)
{
	if (u == NULL || atomic_fetch_sub(&u->refs, 1) != 1)
		return;
	for (size_t i = 0; i < u->count; i++)
		free_user(u->sorted[i]);
	free(u->sorted);
	sp_map_clear(&u->map);
	free(u);
}

/* ---- asking ---- */

const struct user *users_find(const struct users *u, const char *name)
{
	struct sp_map_node *n = sp_map_find(&u->map, sp_str_of(name));
	return n ? sp_container_of(n, struct user, node) : NULL;
}

const char *user_hash(const struct user *user)
{
	return user->hash;
}

static bool fits(const char *allowed, struct sp_str sender, size_t at)
{
	struct sp_str a = sp_str_of(allowed);
	size_t mark = a.len;
	while (mark > 0 && a.p[mark - 1] != '@')                /* the last one: a quoted local part may have its own */
		mark--;
	if (mark == 0 || !sp_str_eq_nocase(sp_str_from(a, mark), sp_str_from(sender, at + 1)))
		return false;
	return mark == 1 || sp_str_eq(sp_str_make(a.p, mark - 1), sp_str_make(sender.p, at));
}

bool user_may_send(const struct user *user, const char *sender)
{
	struct sp_str s = sp_str_of(sender);
	size_t at = s.len;
	if (user->any || s.len == 0)            /* RFC 5321 4.5.5: notices have the null path, whoever writes them */
		return true;
	while (at > 0 && s.p[at - 1] != '@')
		at--;
	for (char **a = user->allowed; at > 0 && *a; a++)
		if (fits(*a, s, at - 1))
			return true;
	return false;
}

bool user_has_domain(const struct user *user, const char *domain)
{
	bool has = user->any;
	for (char **a = user->allowed; !has && *a; a++) {
		const char *at = strrchr(*a, '@');
		has = at && sp_str_eq_nocase(sp_str_of(at + 1), sp_str_of(domain));
	}
	return has;
}

const char *users_decoy(const struct users *u, const char *name)
{
	if (u == NULL || u->count == 0)
		return core_password_decoy();
	struct sp_buf seeded;           /* by the map's seed, so that nobody outside can tell which */
	sp_buf_init(&seeded, SIZE_MAX / 2);
	sp_buf_printf(&seeded, "%" PRIu64 " %s", u->map.seed, name);
	const char *hash = u->sorted[sp_hash(sp_buf_str(&seeded)) % u->count]->hash;
	sp_buf_clear(&seeded);
	return hash;
}

void users_each(const struct users *u, void (*one)(void *arg, const char *name, const char *senders), void *arg)
{
	for (size_t i = 0; i < u->count; i++)
		one(arg, u->sorted[i]->name, u->sorted[i]->senders);
}
