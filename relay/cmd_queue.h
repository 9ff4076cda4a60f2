/* relay/cmd_queue.h - the verbs of strictpost queue, and what they share: which messages are meant, and what the API (relay/api_queue_impl.h) answers. */
#ifndef RELAY_CMD_QUEUE_H
#define RELAY_CMD_QUEUE_H

#include "core/buf.h"
#include "relay/api_client.h"
#include "relay/cmd_options.h"

int cmd_queue_list(int argc, char **argv);
int cmd_queue_show(int argc, char **argv);
int cmd_queue_summary(int argc, char **argv);
int cmd_queue_export(int argc, char **argv);
int cmd_queue_retry(int argc, char **argv);
int cmd_queue_hold(int argc, char **argv);
int cmd_queue_release(int argc, char **argv);
int cmd_queue_delete(int argc, char **argv);
int cmd_queue_bounce(int argc, char **argv);
int cmd_queue_holds(int argc, char **argv);

/* Which messages: by their ids, each of which must fit the rest too; or all that fit the rest. */
struct queue_choice {
	char **ids;                     /* arguments */
	size_t id_count;
	const char *sender, *recipient, *domain, *destination, *state, *held_by;
	int64_t older_ms;               /* 0: not said */
	bool all;
};
/* Rows of cmd_options_with() for them: QUEUE_CHOICE_OPTIONS, of which `all` is the last. */
#define QUEUE_CHOICE_OPTIONS 8
void queue_choice_options(struct queue_choice *c, struct cmd_option own[QUEUE_CHOICE_OPTIONS]);
/* The arguments behind the options, as ids. False after it was said what is no id. */
SP_NODISCARD bool queue_choice_ids(struct queue_choice *c, int argc, char **argv, int *status);
bool queue_choice_says(const struct queue_choice *c);           /* anything: ids or a filter, not `all` */
/* How many requests it takes to reach them: one for each id, else one. */
size_t queue_choice_parts(const struct queue_choice *c);
/* Appends the query of part `i` to a target. */
void queue_choice_add(const struct queue_choice *c, size_t i, struct sp_buf *target);

/* How many fit, all pages. False with `why`. */
struct queue_sum { uint64_t messages, recipients, marked; };
SP_NODISCARD bool queue_choice_count(struct api_client *c, const struct queue_choice *choice, struct queue_sum *out, struct sp_buf *why);

/* Opens a client, lets `work` ask, closes; says why it did not work. The exit status is `work`'s where that left *why empty. */
int queue_with_client(const char *config, bool alone, int (*work)(struct api_client *c, void *arg, struct sp_buf *why), void *arg);

#define QUEUE_TARGET_MAX 8192           /* octets of a request's target */
const char *queue_text(const json_t *v, const char *name);      /* "" where there is none */
uint64_t queue_number(const json_t *v, const char *name);
int64_t queue_time(const json_t *v, const char *name);          /* Unix seconds; 0: none */
/* "12 messages, 15 recipients" in `text`. */
const char *queue_sum_str(uint64_t messages, uint64_t recipients, char text[80]);

#endif
