/* relay/cmd_queue_export.c - strictpost queue export: content and envelope of messages, as files. */
#include "relay/cmd_queue.h"

#include "relay/cmd.h"
#include "relay/cmd_options.h"
#include "relay/cmd_verb.h"
#include "relay/progress.h"
#include "relay/query.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_LEN 4096

static const char help[] =
	"usage: strictpost queue export WHICH --out DIR|- [--config FILE]\n\n"
	"Writes messages as they are in the spool: ID.eml is the content, ID.json the envelope with where each recipient stands. The queue is left as it\n"
	"is. WHICH: ids, --sender, --recipient, --domain, --destination, --older-than, --state, --held-by, --all (strictpost queue --help).\n"
	"  --out DIR   into this folder, which is made; files that are there are not written over\n"
	"  --out -     the content of the one message named, to standard output\n"
	"exit: 0 written, 1 not, or not all, 2 usage, 78 a configuration that does not hold\n";

struct export {
	struct queue_choice choice;
	const char *out;
	struct api_client *client;
	struct progress *progress;
	struct sp_buf *why;
	uint64_t count;
};

/* ---- content ---- */

static bool write_piece(FILE *f, const char *where, struct sp_str piece, struct sp_buf *why)
{
	if (fwrite(piece.p, 1, piece.len, f) == piece.len)
		return true;
	sp_buf_printf(why, "%s: %s", where, strerror(errno));
	return false;
}

/* Piece by piece. */
static bool copy_content(struct export *e, const char *id, uint64_t size, FILE *f, const char *where)
{
	struct sp_buf target;
	char offset[24];
	bool good = true;
	sp_buf_init(&target, QUEUE_TARGET_MAX);
	for (uint64_t at = 0; good && at < size;) {
		struct control_answer a = { 0 };
		sp_buf_reset(&target);
		sp_buf_adds(&target, "/queue/content");
		query_add(&target, "id", id);
		snprintf(offset, sizeof(offset), "%" PRIu64, at);
		query_add(&target, "offset", offset);
		good = api_client_ask(e->client, "GET", sp_buf_cstr(&target), &a, e->why) && write_piece(f, where, sp_buf_str(&a.body), e->why);
		at += a.body.len;
		if (good && a.body.len == 0) {
			sp_buf_printf(e->why, "%s: its content ends after %" PRIu64 " of %" PRIu64 " octets", id, at, size);
			good = false;
		}
		sp_buf_clear(&a.body);
	}
	sp_buf_clear(&target);
	return good;
}

/* ---- files ---- */

static FILE *create(const char *path, struct sp_buf *why)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	FILE *f = fd >= 0 ? fdopen(fd, "w") : NULL;
	if (f == NULL)
		sp_buf_printf(why, "%s: %s", path, strerror(errno));
	return f;
}

static bool finish(FILE *f, const char *path, bool good, struct sp_buf *why)
{
	if (fclose(f) != 0 && good) {
		sp_buf_printf(why, "%s: %s", path, strerror(errno));
		good = false;
	}
	if (!good)
		unlink(path);           /* half of a message is none */
	return good;
}

static bool write_files(struct export *e, const json_t *m)
{
	char eml[PATH_LEN], envelope[PATH_LEN];
	const char *id = queue_text(m, "queue_id");
	snprintf(eml, sizeof(eml), "%s/%.20s.eml", e->out, id);
	snprintf(envelope, sizeof(envelope), "%s/%.20s.json", e->out, id);
	FILE *f = create(eml, e->why);
	if (f == NULL || !finish(f, eml, copy_content(e, id, queue_number(m, "message_size"), f, eml), e->why))
		return false;
	f = create(envelope, e->why);
	if (f == NULL)
		return false;
	bool good = cmd_write_json(m, f);
	if (!good)
		sp_buf_printf(e->why, "%s: %s", envelope, strerror(errno));
	return finish(f, envelope, good, e->why);
}

static bool on_message(void *owner, const json_t *m)
{
	struct export *e = owner;
	if (!write_files(e, m))
		return false;
	progress_show(e->progress, ++e->count, 0, queue_text(m, "queue_id"));
	return !progress_interrupted();
}

/* ---- all of them ---- */

static bool export_part(struct export *e, size_t part)
{
	struct sp_buf target;
	uint64_t before = e->count;
	sp_buf_init(&target, QUEUE_TARGET_MAX);
	sp_buf_adds(&target, "/queue/list?limit=100");
	queue_choice_add(&e->choice, part, &target);
	bool good = api_client_each(e->client, sp_buf_cstr(&target), "messages", on_message, e, e->why) && e->why->len == 0;
	if (good && e->choice.id_count > 0 && e->count == before) {
		sp_buf_printf(e->why, "%s is not in the queue", e->choice.ids[part]);
		good = false;
	}
	sp_buf_clear(&target);
	return good;
}

static int to_folder(struct export *e)
{
	if (mkdir(e->out, 0700) != 0 && errno != EEXIST) {
		sp_buf_printf(e->why, "%s: %s", e->out, strerror(errno));
		return RELAY_EXIT_FAILED;
	}
	progress_catch_interrupt();
	e->progress = progress_begin("exporting");
	for (size_t i = 0; i < queue_choice_parts(&e->choice) && !progress_interrupted(); i++)
		if (!export_part(e, i))
			break;
	progress_end(e->progress);
	printf("%s: %" PRIu64 " message%s written to %s\n", progress_interrupted() ? "interrupted" : "done", e->count, e->count == 1 ? "" : "s", e->out);
	return progress_interrupted() ? RELAY_EXIT_FAILED : RELAY_EXIT_OK;
}

static int to_stdout(struct export *e)
{
	struct sp_buf target;
	sp_buf_init(&target, QUEUE_TARGET_MAX);
	sp_buf_adds(&target, "/queue/message");
	query_add(&target, "id", e->choice.ids[0]);
	json_t *m = api_client_json(e->client, "GET", sp_buf_cstr(&target), e->why);
	bool good = m && copy_content(e, e->choice.ids[0], queue_number(m, "message_size"), stdout, "standard output");
	json_decref(m);
	sp_buf_clear(&target);
	return good ? RELAY_EXIT_OK : RELAY_EXIT_FAILED;
}

static int work(struct api_client *c, void *arg, struct sp_buf *why)
{
	struct export *e = arg;
	e->client = c;
	e->why = why;
	return strcmp(e->out, "-") == 0 ? to_stdout(e) : to_folder(e);
}

int cmd_queue_export(int argc, char **argv)
{
	struct export e = { 0 };
	struct cmd_options o;
	int status;
	struct cmd_option own[QUEUE_CHOICE_OPTIONS + 2] = { 0 };
	queue_choice_options(&e.choice, own);
	own[QUEUE_CHOICE_OPTIONS] = (struct cmd_option){ "out", &e.out, NULL, NULL };
	if (!cmd_options_with(argc, argv, help, false, own, &o, &status) || !queue_choice_ids(&e.choice, argc, argv, &status))
		return status;
	const char *wrong = NULL;
	if (!queue_choice_says(&e.choice) && !e.choice.all)
		wrong = "which messages? Say ids, or --sender and the like, or --all";
	else if (e.out == NULL)
		wrong = "where to? Say --out DIR, or --out - for the content of one message";
	else if (strcmp(e.out, "-") == 0 && e.choice.id_count != 1)
		wrong = "--out - is for one message, by its id";
	if (wrong) {
		fprintf(stderr, "strictpost queue export: %s\n", wrong);
		return RELAY_EXIT_USAGE;
	}
	return queue_with_client(o.config, true, work, &e);
}
