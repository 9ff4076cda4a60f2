/* relay/users.h - who may log in: the users file. One line a user, "name:hash:senders": a crypt(3) hash, and with which addresses the user may send, comma
 * separated: "app@example.com", "@example.com" for a domain, "*" for any; "<>" (bounces) is always allowed, and alone means nothing else. "#" begins a comment
 * line. Names are printable ASCII without blanks and colons, and differ by case. `strictpost user` writes it (relay/cmd_user.c). Read with the configuration;
 * never changes, counted, so that all threads share it. */
#ifndef RELAY_USERS_H
#define RELAY_USERS_H

#include "core/buf.h"
#include "core/fail.h"

#define USERS_NAME_MAX 128              /* octets */
#define USERS_SENDERS_MAX 4096          /* octets of that field */
#define USERS_FILE_MAX (16 * 1024 * 1024)

struct users;
struct user;

/* NULL with *why: path and line, what is wrong, what mends it. A file that others may read is refused (mode). Blocks. */
SP_NODISCARD struct users *users_load(const char *path, struct sp_fail *why);
SP_NODISCARD struct users *users_parse(struct sp_str text, const char *name, struct sp_fail *why);
struct users *users_ref(struct users *u);
void users_unref(struct users *u);              /* NULL is fine; wipes the hashes */

const struct user *users_find(const struct users *u, const char *name);         /* NULL: none of that name */
const char *user_hash(const struct user *user);
/* May the user send as `sender` ("" is the null path)? Domains compare without case, local parts exactly. */
bool user_may_send(const struct user *user, const char *sender);
/* May the user speak for `domain` (A-labels): send as any address there? */
bool user_has_domain(const struct user *user, const char *domain);
/* What to compute for a name that is not there (or that is): a user's hash, for each name always the same one, so that time tells no names where users
 * have hashes of several costs. `u` may be NULL. */
const char *users_decoy(const struct users *u, const char *name);

/* NULL, or what is wrong with it, a static English phrase. For relay/cmd_user.c, too. */
const char *users_name_fault(struct sp_str name);
const char *users_senders_fault(struct sp_str senders);

/* Line by line for `strictpost user list`, in order of names. */
void users_each(const struct users *u, void (*one)(void *arg, const char *name, const char *senders), void *arg);

#endif
