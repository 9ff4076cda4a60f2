/* tests/fuzz/driver.c - runs a fuzz target without libFuzzer: every file of a corpus as it is, then changed ones for a while.
 *   dns_fuzz [-max_total_time=SECONDS] [-seed=N] [-max_len=N] FILE|FOLDER...
 * The changes are blind (no coverage is measured): this finds what is shallow with any compiler; clang's libFuzzer finds the
 * rest. On a crash the input is in ./crash-input; give it as FILE to see it again. */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define CORPUS_MAX 4096
#define FILE_MAX (1 << 20)

struct input {
	uint8_t *data;
	size_t len;
};

static struct input corpus[CORPUS_MAX];
static size_t corpus_count;
static struct input current;            /* for the crash handler */
static uint64_t rng_state;

static uint64_t random64(void)          /* xorshift64* */
{
	rng_state ^= rng_state >> 12;
	rng_state ^= rng_state << 25;
	rng_state ^= rng_state >> 27;
	return rng_state * 2685821657736338717u;
}

static size_t below(size_t n)
{
	return n ? (size_t)(random64() % n) : 0;
}

/* ---- the corpus ---- */

static void add_file(const char *path)
{
	int fd = open(path, O_RDONLY);
	if (fd < 0 || corpus_count == CORPUS_MAX) {
		fprintf(stderr, "cannot take %s\n", path);
		exit(2);
	}
	uint8_t *data = malloc(FILE_MAX);
	ssize_t len = data ? read(fd, data, FILE_MAX) : -1;
	close(fd);
	if (len < 0) {
		fprintf(stderr, "cannot read %s\n", path);
		exit(2);
	}
	corpus[corpus_count++] = (struct input){ data, (size_t)len };
}

static void add_path(const char *path)
{
	struct stat st;
	if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode)) {
		add_file(path);
		return;
	}
	struct dirent **names;
	int count = scandir(path, &names, NULL, alphasort);     /* sorted: a seed gives the same run everywhere */
	for (int i = 0; i < count; i++) {
		char file[4096];
		snprintf(file, sizeof(file), "%s/%s", path, names[i]->d_name);
		if (names[i]->d_name[0] != '.')
			add_file(file);
		free(names[i]);
	}
	if (count >= 0)
		free(names);
}

/* ---- changes: each takes `buf` of `len` octets with room for `max` and returns the new length ---- */

static size_t flip_bit(uint8_t *buf, size_t len, size_t max)
{
	(void)max;
	if (len)
		buf[below(len)] ^= (uint8_t)(1u << below(8));
	return len;
}

static size_t set_octet(uint8_t *buf, size_t len, size_t max)
{
	static const uint8_t telling[] = { 0, 1, 0x3f, 0x40, 0x7f, 0x80, 0xc0, 0xff, '\r', '\n', ' ', '.', '<', '>', ':', ';', '"', '\\' };
	(void)max;
	if (len)
		buf[below(len)] = random64() & 1 ? telling[below(sizeof(telling))] : (uint8_t)random64();
	return len;
}

static size_t remove_run(uint8_t *buf, size_t len, size_t max)
{
	(void)max;
	size_t at = below(len), n = 1 + below(len - at < 16 ? len - at : 16);
	if (at + n > len)
		return len;
	memmove(buf + at, buf + at + n, len - at - n);
	return len - n;
}

static size_t insert_run(uint8_t *buf, size_t len, const uint8_t *run, size_t n, size_t max)
{
	if (len + n > max)
		return len;
	size_t at = below(len + 1);
	memmove(buf + at + n, buf + at, len - at);
	memcpy(buf + at, run, n);
	return len + n;
}

static size_t repeat_run(uint8_t *buf, size_t len, size_t max)
{
	uint8_t run[64];
	size_t at = below(len), n = len - at < sizeof(run) ? len - at : sizeof(run);
	n = below(n + 1);
	memcpy(run, buf + at, n);
	for (size_t times = 1 + below(8); times > 0; times--)
		len = insert_run(buf, len, run, n, max);
	return len;
}

static size_t insert_random(uint8_t *buf, size_t len, size_t max)
{
	uint8_t run[8];
	size_t n = 1 + below(sizeof(run));
	for (size_t i = 0; i < n; i++)
		run[i] = (uint8_t)random64();
	return insert_run(buf, len, run, n, max);
}

static size_t mix_in(uint8_t *buf, size_t len, size_t max)
{
	const struct input *other = &corpus[below(corpus_count)];
	size_t at = below(other->len), n = below(other->len - at + 1);
	return insert_run(buf, len, other->data + at, n, max);
}

static size_t cut(uint8_t *buf, size_t len, size_t max)
{
	(void)buf;
	(void)max;
	return below(len + 1);
}

static size_t change(uint8_t *buf, size_t len, size_t max)
{
	static size_t (*const ways[])(uint8_t *, size_t, size_t) = {
		flip_bit, flip_bit, set_octet, set_octet, remove_run, repeat_run, insert_random, mix_in, cut,
	};
	for (size_t times = 1 + below(6); times > 0; times--)
		len = ways[below(sizeof(ways) / sizeof(ways[0]))](buf, len, max);
	return len;
}

/* ---- running ---- */

static void save_current(void)
{
	int fd = open("crash-input", O_WRONLY | O_CREAT | O_TRUNC, 0644);
	if (fd >= 0 && write(fd, current.data, current.len) >= 0)
		close(fd);
}

static void on_crash(int signo)
{
	save_current();
	signal(signo, SIG_DFL);
	raise(signo);
}

/* The sanitizers end the process without a signal; there only where they are. */
void __sanitizer_set_death_callback(void (*fn)(void)) __attribute__((weak));

/* In memory of its exact size, so that the sanitizer sees one octet too far. */
static void run(const uint8_t *data, size_t len)
{
	current.data = malloc(len ? len : 1);
	if (current.data == NULL)
		exit(2);
	current.len = len;
	memcpy(current.data, data, len);
	LLVMFuzzerTestOneInput(current.data, len);
	free(current.data);
}

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static unsigned long run_changed(double seconds, size_t max)
{
	uint8_t *buf = malloc(max);
	unsigned long count = 0;
	double end = now() + seconds;
	if (buf == NULL)
		exit(2);
	for (; now() < end; count++) {
		const struct input *from = &corpus[below(corpus_count)];
		size_t len = from->len < max ? from->len : max;
		memcpy(buf, from->data, len);
		run(buf, change(buf, len, max));
	}
	free(buf);
	return count;
}

int main(int argc, char **argv)
{
	double seconds = 0;
	size_t max = 4096;
	rng_state = 0x9e3779b97f4a7c15u;
	for (int i = 1; i < argc; i++) {
		if (strncmp(argv[i], "-max_total_time=", 16) == 0)
			seconds = atof(argv[i] + 16);
		else if (strncmp(argv[i], "-seed=", 6) == 0)
			rng_state ^= strtoull(argv[i] + 6, NULL, 10) * 0xbf58476d1ce4e5b9u;
		else if (strncmp(argv[i], "-max_len=", 9) == 0)
			max = strtoull(argv[i] + 9, NULL, 10);
		else if (argv[i][0] != '-')             /* other options of libFuzzer: not ours */
			add_path(argv[i]);
	}
	if (corpus_count == 0)
		corpus[corpus_count++] = (struct input){ calloc(1, 1), 0 };
	signal(SIGABRT, on_crash);
	signal(SIGSEGV, on_crash);
	if (__sanitizer_set_death_callback)
		__sanitizer_set_death_callback(save_current);
	for (size_t i = 0; i < corpus_count; i++)
		run(corpus[i].data, corpus[i].len);
	unsigned long changed = seconds > 0 ? run_changed(seconds, max) : 0;
	printf("%zu inputs, %lu changed ones\n", corpus_count, changed);
	for (size_t i = 0; i < corpus_count; i++)
		free(corpus[i].data);
	return 0;
}
