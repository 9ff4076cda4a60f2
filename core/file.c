/* core/file.c - see file.h.
 * One job at a time is with the thread pool. A job does all that is known by then: open, write what is queued, seal. While
 * `busy`, the fields under "the pool's" are the pool's alone; the loop touches only the rest. */
#include "core/file.h"

#include "core/list.h"
#include "core/log.h"
#include "core/syncfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>
#include <uv.h>

#define PIECES_A_CALL 32        /* of one writev(2) */

static void set_fail(struct sp_fail *why, int cause, const char *doing, const char *path)
{
	sp_fail_set(why, SP_FAIL_STORE, "%s %s: %s", doing, path, strerror(cause));
	const char *word = cause == ENOSPC || cause == EDQUOT ? "disk-full" : cause == ENOENT ? "missing" : "io";
	snprintf(why->reason, sizeof(why->reason), "%s", word);
}

static void queue_job(struct core_loop *l, uv_work_t *work, uv_work_cb run, uv_after_work_cb after)
{
	int rc = uv_queue_work(core_loop_uv(l), work, run, after);
	sp_assert(rc == 0);             /* only refuses a NULL function */
}

/* ---- writing ---- */

struct piece {
	struct sp_link link;            /* in writer.queued, then in writer.writing */
	struct sp_buf data;
	bool patch;                     /* goes to `offset`, not to the end */
	size_t offset;
};

struct core_file_writer {
	uv_work_t work;
	struct core_loop *loop;
	char *path;
	bool busy;                      /* a job is with the pool */
	bool finishing, aborted;        /* the owner said so */
	bool finished;                  /* the sealing job has ended */
	struct sp_link queued;          /* pieces for the next job */
	size_t given;                   /* octets of the file so far, in the end */
	size_t unwritten;
	void (*drained)(void *owner);
	void *drained_owner;
	void (*done)(void *owner, const struct sp_fail *why);
	void *done_owner;
	/* the pool's while busy */
	struct sp_link writing;
	bool seal, discard;             /* what this job is to end with */
	bool created;                   /* the file is ours to unlink */
	int fd;
	struct sp_fail why;
};

static void pool_open(struct core_file_writer *w)
{
	w->fd = open(w->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (w->fd < 0)
		set_fail(&w->why, errno, "cannot make", w->path);
	else
		w->created = true;
}

/* As many pieces for the end of the file as one call takes. */
static ssize_t append_pieces(struct core_file_writer *w)
{
	struct iovec iov[PIECES_A_CALL];
	int count = 0;
	SP_LIST_EACH(&w->writing, l) {
		struct piece *p = sp_container_of(l, struct piece, link);
		if (p->patch || count == PIECES_A_CALL)
			break;
		iov[count++] = (struct iovec){ p->data.p, p->data.len };
	}
	return writev(w->fd, iov, count);
}

/* Writes one piece after another from the front of `writing`. Progress is kept by consuming. */
static bool pool_write_some(struct core_file_writer *w)
{
	struct piece *first = sp_container_of(sp_list_first(&w->writing), struct piece, link);
	ssize_t n = first->patch ? pwrite(w->fd, first->data.p, first->data.len, (off_t)first->offset) : append_pieces(w);
	if (n < 0 && errno == EINTR)
		return true;
	if (n < 0) {
		set_fail(&w->why, errno, "cannot write", w->path);
		return false;
	}
	size_t left = (size_t)n;
	while (left > 0) {
		struct piece *p = sp_container_of(sp_list_first(&w->writing), struct piece, link);
		if (left < p->data.len) {
			sp_buf_consume(&p->data, left);
			p->offset += left;
			break;
		}
		left -= p->data.len;
		sp_list_remove(&p->link);
		sp_buf_clear(&p->data);
		free(p);
	}
	return true;
}

static void pool_discard(struct core_file_writer *w)
{
	if (w->fd >= 0)
		close(w->fd);
	w->fd = -1;
	if (w->created)
		unlink(w->path);
	w->created = false;
}

/* The file, then its folder: after that a row may name it. */
static void pool_seal(struct core_file_writer *w)
{
	if (!sp_failed(&w->why) && fsync(w->fd) != 0)
		set_fail(&w->why, errno, "cannot sync", w->path);
	if (!sp_failed(&w->why)) {
		if (close(w->fd) != 0)
			set_fail(&w->why, errno, "cannot close", w->path);
		w->fd = -1;
	}
	if (!sp_failed(&w->why) && !core_sync_folder_of(w->path))
		set_fail(&w->why, errno, "cannot sync the folder of", w->path);
	if (sp_failed(&w->why))
		pool_discard(w);
}

static void on_pool_write(uv_work_t *work)
{
	struct core_file_writer *w = sp_container_of(work, struct core_file_writer, work);
	if (w->discard) {
		pool_discard(w);
		return;
	}
	if (w->fd < 0 && !sp_failed(&w->why))
		pool_open(w);
	while (!sp_failed(&w->why) && !sp_list_empty(&w->writing) && pool_write_some(w))
		;
	if (w->seal)
		pool_seal(w);
}

static void drop_pieces(struct sp_link *head)
{
	for (struct sp_link *l; (l = sp_list_pop(head)) != NULL;) {
		struct piece *p = sp_container_of(l, struct piece, link);
		sp_buf_clear(&p->data);
		free(p);
	}
}

static void free_writer(struct core_file_writer *w)
{
	drop_pieces(&w->queued);
	drop_pieces(&w->writing);
	free(w->path);
	free(w);
}

static void on_write_job_done(uv_work_t *work, int status);

/* Starts the next job when there is something to do and none is under way. */
static void advance(struct core_file_writer *w)
{
	if (w->busy)
		return;
	bool more = !sp_list_empty(&w->queued) || w->finishing || w->aborted || (w->fd < 0 && !sp_failed(&w->why));
	if (!more)
		return;
	for (struct sp_link *l; (l = sp_list_pop(&w->queued)) != NULL;)
		sp_list_push_back(&w->writing, l);
	w->discard = w->aborted;
	w->seal = w->finishing;
	w->busy = true;
	queue_job(w->loop, &w->work, on_pool_write, on_write_job_done);
}

/* What of `unwritten` is still waiting: that which came while the job ran. A writer that failed keeps nothing. */
static size_t count_queued(struct core_file_writer *w)
{
	if (sp_failed(&w->why)) {
		drop_pieces(&w->queued);
		drop_pieces(&w->writing);
	}
	size_t octets = 0;
	SP_LIST_EACH(&w->queued, l)
		octets += sp_container_of(l, struct piece, link)->data.len;
	return octets;
}

static void on_write_job_done(uv_work_t *work, int status SP_UNUSED)
{
	struct core_file_writer *w = sp_container_of(work, struct core_file_writer, work);
	w->busy = false;
	if (w->discard) {
		free_writer(w);
		return;
	}
	if (w->aborted) {
		advance(w);
		return;
	}
	if (w->seal) {
		w->finished = true;
		w->done(w->done_owner, &w->why);
		free_writer(w);
		return;
	}
	bool had = w->unwritten > 0;
	w->unwritten = count_queued(w);
	if (had && w->unwritten == 0 && w->drained && !w->finishing)
		w->drained(w->drained_owner);           /* it may write, finish or abort: then a job is under way */
	advance(w);
}

struct core_file_writer *core_file_create(struct core_loop *l, const char *path)
{
	struct core_file_writer *w = sp_alloc(sizeof(*w));
	w->loop = l;
	w->path = sp_strdup(path);
	w->fd = -1;
	sp_list_init(&w->queued);
	sp_list_init(&w->writing);
	advance(w);
	return w;
}

static void queue_piece(struct core_file_writer *w, struct sp_buf *data, bool patch, size_t offset)
{
	sp_assert(!w->finishing && !w->aborted);
	bool dead = !w->busy && sp_failed(&w->why);     /* it is told by finish */
	if (data->len == 0 || dead) {
		sp_buf_clear(data);
		return;
	}
	struct piece *p = sp_alloc(sizeof(*p));
	p->data = *data;
	p->patch = patch;
	p->offset = offset;
	sp_buf_init(data, data->max);
	sp_list_push_back(&w->queued, &p->link);
	w->unwritten += p->data.len;
	advance(w);
}

void core_file_write(struct core_file_writer *w, struct sp_buf *data)
{
	w->given += data->len;
	queue_piece(w, data, false, 0);
}

void core_file_patch(struct core_file_writer *w, size_t offset, struct sp_buf *data)
{
	sp_assert(offset <= w->given && data->len <= w->given - offset);
	queue_piece(w, data, true, offset);
}

size_t core_file_unwritten(const struct core_file_writer *w)
{
	return w->unwritten;
}

void core_file_on_drained(struct core_file_writer *w, void (*drained)(void *owner), void *owner)
{
	w->drained = drained;
	w->drained_owner = owner;
}

void core_file_finish(struct core_file_writer *w, void (*done)(void *owner, const struct sp_fail *why), void *owner)
{
	sp_assert(!w->finishing && !w->aborted);
	w->finishing = true;
	w->done = done;
	w->done_owner = owner;
	advance(w);
}

void core_file_abort(struct core_file_writer *w)
{
	if (w == NULL || w->aborted || w->finished)
		return;
	w->aborted = true;
	advance(w);
}

/* ---- reading ---- */

struct core_file_reader {
	uv_work_t work;
	struct core_loop *loop;
	bool busy;                      /* a job is with the pool */
	bool calling;                   /* `got` is running: the bytes are lent */
	bool asked;                     /* a read has been asked for and not started */
	bool closed;
	void (*got)(void *owner, struct sp_str data, const struct sp_fail *why);
	void *owner;
	/* the pool's while busy */
	char *path;
	int fd;
	size_t first, want;
	struct sp_buf data;
	struct sp_fail why;
};

static void free_reader(struct core_file_reader *r)
{
	if (r->fd >= 0)
		close(r->fd);
	sp_buf_clear(&r->data);
	free(r->path);
	free(r);
}

static void on_pool_read(uv_work_t *work)
{
	struct core_file_reader *r = sp_container_of(work, struct core_file_reader, work);
	if (r->fd < 0)
		r->fd = open(r->path, O_RDONLY | O_CLOEXEC);
	if (r->fd >= 0 && r->first > 0 && lseek(r->fd, (off_t)r->first, SEEK_CUR) >= 0)
		r->first = 0;
	if (r->fd < 0 || r->first > 0) {
		set_fail(&r->why, errno, "cannot open", r->path);
		return;
	}
	ssize_t n;
	do
		n = read(r->fd, r->data.p, r->want);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		set_fail(&r->why, errno, "cannot read", r->path);
	else
		sp_buf_wrote(&r->data, (size_t)n);
}

static void on_read_job_done(uv_work_t *work, int status);

static void start_read(struct core_file_reader *r)
{
	r->asked = false;
	r->busy = true;
	r->why = SP_FAIL_OK;
	r->data.max = sp_max(r->data.max, r->want);
	sp_buf_reset(&r->data);
	char *room = sp_buf_room(&r->data, r->want);
	sp_assert(room);
	queue_job(r->loop, &r->work, on_pool_read, on_read_job_done);
}

static void on_read_job_done(uv_work_t *work, int status SP_UNUSED)
{
	struct core_file_reader *r = sp_container_of(work, struct core_file_reader, work);
	r->busy = false;
	if (!r->closed) {
		r->calling = true;
		r->got(r->owner, sp_buf_str(&r->data), &r->why);
		r->calling = false;
	}
	if (r->closed)
		free_reader(r);
	else if (r->asked)
		start_read(r);
}

struct core_file_reader *core_file_open(struct core_loop *l, const char *path)
{
	struct core_file_reader *r = sp_alloc(sizeof(*r));
	r->loop = l;
	r->path = sp_strdup(path);
	r->fd = -1;
	sp_buf_init(&r->data, 0);
	return r;
}

void core_file_skip(struct core_file_reader *r, size_t octets)
{
	sp_assert(r->fd < 0 && !r->busy);
	r->first = octets;
}

void core_file_read(struct core_file_reader *r, size_t max,
                    void (*got)(void *owner, struct sp_str data, const struct sp_fail *why), void *owner)
{
	sp_assert(!r->closed && !r->busy && !r->asked && max > 0);
	r->want = max;
	r->got = got;
	r->owner = owner;
	r->asked = true;
	if (!r->calling)
		start_read(r);
}

void core_file_close(struct core_file_reader *r)
{
	if (r == NULL || r->closed)
		return;
	r->closed = true;
	if (!r->busy && !r->calling)
		free_reader(r);
}

/* ---- deleting ---- */

struct unlink_op {
	uv_work_t work;
	int cause;
	char path[];
};

static void on_pool_unlink(uv_work_t *work)
{
	struct unlink_op *op = sp_container_of(work, struct unlink_op, work);
	op->cause = unlink(op->path) == 0 || errno == ENOENT ? 0 : errno;
}

static void on_unlinked(uv_work_t *work, int status SP_UNUSED)
{
	struct unlink_op *op = sp_container_of(work, struct unlink_op, work);
	if (op->cause)
		sp_log_text(SP_LOG_WARNING, NULL, "unlink", "cannot delete %s: %s", op->path, strerror(op->cause));
	free(op);
}

void core_file_unlink(struct core_loop *l, const char *path)
{
	struct unlink_op *op = sp_alloc(sizeof(*op) + strlen(path) + 1);
	memcpy(op->path, path, strlen(path) + 1);
	queue_job(l, &op->work, on_pool_unlink, on_unlinked);
}
