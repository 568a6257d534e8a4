// SPDX-License-Identifier: MIT
#include "targets/strings.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "targets/proc.h"

#define RING 65536u /* one ask for each row of a large table: I/O counters are asked for in every pass */
#define HELPERS_MIN 2u
#define HELPERS_MAX 8u
#define STUCK_NS 1000000000ull
#define STACK (128u << 10) /* small: the daemon locks its memory */
#define CGROUP_BUF 16384u

struct helper {
	struct gf_strings *s;
	pthread_t thread;
	bool started;
	bool joined;
	_Atomic uint64_t busy_since; /* CLOCK_MONOTONIC, 0: idle */
};

struct gf_strings {
	struct gf_string_ask ring[RING];
	_Atomic uint32_t head; /* next to be written, by the sampler */
	_Atomic uint32_t tail; /* next to be read, under lock */
	uint32_t kicked;       /* head at the last kick */
	_Atomic(struct gf_string *) answers;
	_Atomic(struct gf_string *) dropped;
	pthread_mutex_t lock;  /* among helpers only */
	sem_t work, grow;
	_Atomic bool stop;
	_Atomic uint32_t refs;
	_Atomic uint32_t helpers;
	_Atomic bool growing;
	gf_string_reader read;
	struct helper helper[HELPERS_MAX];
	pthread_t keeper;
	bool keeper_started;
};

static uint64_t mono_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void push(_Atomic(struct gf_string *) *list, struct gf_string *str)
{
	struct gf_string *old = atomic_load_explicit(list, memory_order_relaxed);

	do
		str->next = old;
	while (!atomic_compare_exchange_weak_explicit(list, &old, str, memory_order_release, memory_order_relaxed));
}

static void free_list(struct gf_string *str)
{
	while (str) {
		struct gf_string *next = str->next;
		free(str);
		str = next;
	}
}

static void unref(struct gf_strings *s)
{
	if (atomic_fetch_sub(&s->refs, 1) != 1)
		return;
	free_list(atomic_load(&s->answers));
	free_list(atomic_load(&s->dropped));
	pthread_mutex_destroy(&s->lock);
	sem_destroy(&s->work);
	sem_destroy(&s->grow);
	free(s);
}

static int read_all(int dir, const char *name, char *buf, size_t size, size_t *ret_len)
{
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	size_t len = 0;

	if (fd < 0)
		return -errno;
	while (len < size) {
		ssize_t n = read(fd, buf + len, size - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			int e = -errno;
			close(fd);
			return e;
		}
		if (!n)
			break;
		len += (size_t)n;
	}
	close(fd);
	*ret_len = len;
	return 0;
}

static int read_cmdline(int dir, char *text, uint32_t *ret_len)
{
	size_t len;
	int r = read_all(dir, "cmdline", text, GF_STRING_MAX, &len);

	if (r)
		return r;
	while (len && !text[len - 1])
		len--;
	for (size_t i = 0; i < len; i++)
		if (!text[i])
			text[i] = ' ';
	text[len] = 0;
	*ret_len = (uint32_t)len;
	return 0;
}

/* " (deleted)", which the kernel adds once the file was replaced, is left out: a
 * daemon is the same program to a rule after its package was upgraded. */
static int read_exe(int dir, char *text, uint32_t *ret_len)
{
	static const char gone[] = " (deleted)";
	ssize_t n = readlinkat(dir, "exe", text, GF_STRING_MAX);

	if (n < 0)
		return -errno;
	size_t len = (size_t)n, g = sizeof gone - 1;
	if (len > g && !memcmp(text + len - g, gone, g))
		len -= g;
	text[len] = 0;
	*ret_len = (uint32_t)len;
	return 0;
}

static int read_cgroup(int dir, char *text, uint32_t *ret_len)
{
	char *buf = malloc(CGROUP_BUF), *best = NULL, *save = NULL;
	size_t len;

	if (!buf)
		return -ENOMEM;
	int r = read_all(dir, "cgroup", buf, CGROUP_BUF - 1, &len);
	if (r) {
		free(buf);
		return r;
	}
	buf[len] = 0;
	/* ID:CONTROLLERS:PATH; v2 is 0::PATH. A v2 path of "/" says nothing
	 * where a v1 hierarchy is in use beside it. */
	for (char *line = strtok_r(buf, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char *path = strchr(line, ':');
		path = path ? strchr(path + 1, ':') : NULL;
		if (!path)
			continue;
		path++;
		bool v2 = !strncmp(line, "0::", 3), root = !strcmp(path, "/");
		if (v2 && !root) {
			best = path;
			break;
		}
		if (!best || (!strcmp(best, "/") && !root))
			best = path;
	}
	if (best) {
		len = strnlen(best, GF_STRING_MAX);
		memcpy(text, best, len);
		text[len] = 0;
		*ret_len = (uint32_t)len;
	}
	free(buf);
	return best ? 0 : -ENODATA;
}

/* A descriptor of /proc/PID stays with the process that it was opened for: once
 * the start time has been found right, nothing read through it can be another's. */
static int open_process(int32_t pid, uint64_t start_ns)
{
	struct gf_proc_stat st;
	char buf[2048];
	size_t len;
	char name[32];

	snprintf(name, sizeof name, "/proc/%d", pid);
	int dir = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	int r = read_all(dir, "stat", buf, sizeof buf, &len);
	if (!r)
		r = gf_proc_stat_parse(buf, len, &st);
	if (!r && st.start_ticks != start_ns / GF_TICK_NS)
		r = -ESRCH;
	if (r) {
		close(dir);
		return r;
	}
	return dir;
}

static int read_field(int dir, unsigned field, char *text, uint32_t *ret_len)
{
	switch (field) {
	case GF_SF_EXE:
		return read_exe(dir, text, ret_len);
	case GF_SF_CMDLINE:
		return read_cmdline(dir, text, ret_len);
	case GF_SF_CGROUP:
		return read_cgroup(dir, text, ret_len);
	case GF_STRING_IO: {
		size_t len = 0;
		int r = read_all(dir, "io", text, GF_STRING_MAX, &len);
		text[len] = 0;
		*ret_len = (uint32_t)len;
		return r;
	}
	}
	return -EINVAL;
}

int gf_string_read(int32_t pid, uint64_t start_ns, unsigned field, char *text, uint32_t *ret_len)
{
	int dir = open_process(pid, start_ns);

	if (dir < 0)
		return dir;
	int r = read_field(dir, field, text, ret_len);
	close(dir);
	return r;
}

static void answer(struct gf_strings *s, const struct gf_string_ask *ask, unsigned field, int error, const char *text,
		   uint32_t len)
{
	struct gf_string *str = malloc(sizeof *str + len + 1);

	if (!str)
		return; /* stays unknown */
	*str = (struct gf_string){
		.row = ask->row, .gen = ask->gen, .id = ask->id, .field = (uint8_t)field, .error = error, .len = len,
	};
	memcpy(str->text, text, len);
	str->text[len] = 0;
	push(&s->answers, str);
}

static void serve(struct gf_strings *s, const struct gf_string_ask *ask, char *text)
{
	/* What may wait for the process comes last. */
	static const uint8_t order[] = { GF_SF_CGROUP, GF_SF_EXE, GF_SF_CMDLINE, GF_STRING_IO };

	if (s->read) {
		for (unsigned i = 0; i < sizeof order; i++) {
			uint32_t len = 0;
			if (!(ask->fields & 1u << order[i]))
				continue;
			int r = s->read(ask->pid, ask->start_ns, order[i], text, &len);
			answer(s, ask, order[i], r, text, r ? 0 : len);
		}
		return;
	}
	int dir = open_process(ask->pid, ask->start_ns);

	for (unsigned i = 0; i < sizeof order; i++) {
		uint32_t len = 0;
		if (!(ask->fields & 1u << order[i]))
			continue;
		int r = dir < 0 ? dir : read_field(dir, order[i], text, &len);
		answer(s, ask, order[i], r, text, r ? 0 : len);
	}
	if (dir >= 0)
		close(dir);
}

static bool next_ask(struct gf_strings *s, struct gf_string_ask *ret)
{
	bool got = false;

	pthread_mutex_lock(&s->lock);
	uint32_t tail = atomic_load_explicit(&s->tail, memory_order_relaxed);
	if (tail != atomic_load_explicit(&s->head, memory_order_acquire)) {
		*ret = s->ring[tail % RING];
		atomic_store_explicit(&s->tail, tail + 1, memory_order_release);
		got = true;
	}
	pthread_mutex_unlock(&s->lock);
	return got;
}

static void *helper_main(void *arg)
{
	struct helper *h = arg;
	struct gf_strings *s = h->s;
	char *text = malloc(GF_STRING_MAX + 1);

	while (text && !atomic_load(&s->stop)) {
		struct gf_string_ask ask;
		while (sem_wait(&s->work) && errno == EINTR)
			;
		while (!atomic_load(&s->stop) && next_ask(s, &ask)) {
			atomic_store(&h->busy_since, mono_ns());
			serve(s, &ask, text);
			atomic_store(&h->busy_since, 0);
		}
		free_list(atomic_exchange_explicit(&s->dropped, NULL, memory_order_acquire));
	}
	free(text);
	unref(s);
	return NULL;
}

static int start_thread(pthread_t *ret, void *(*fn)(void *), void *arg)
{
	pthread_attr_t attr;
	int r = pthread_attr_init(&attr);

	if (r)
		return -r;
	pthread_attr_setstacksize(&attr, STACK);
	/* Never with the engine's real-time priority. */
	struct sched_param none = { 0 };
	pthread_attr_setinheritsched(&attr, PTHREAD_EXPLICIT_SCHED);
	pthread_attr_setschedpolicy(&attr, SCHED_OTHER);
	pthread_attr_setschedparam(&attr, &none);
	r = pthread_create(ret, &attr, fn, arg);
	pthread_attr_destroy(&attr);
	return -r;
}

static int start_helper(struct gf_strings *s)
{
	uint32_t n = atomic_load(&s->helpers);
	struct helper *h = &s->helper[n];

	h->s = s;
	atomic_fetch_add(&s->refs, 1);
	int r = start_thread(&h->thread, helper_main, h);
	if (r) {
		atomic_fetch_sub(&s->refs, 1);
		return r;
	}
	h->started = true;
	atomic_store(&s->helpers, n + 1);
	return 0;
}

/* Starting a thread is not for the tick: this one waits to be told to. */
static void *keeper_main(void *arg)
{
	struct gf_strings *s = arg;

	for (;;) {
		while (sem_wait(&s->grow) && errno == EINTR)
			;
		if (atomic_load(&s->stop))
			break;
		if (atomic_load(&s->helpers) < HELPERS_MAX && !start_helper(s))
			sem_post(&s->work);
		atomic_store(&s->growing, false);
	}
	unref(s);
	return NULL;
}

int gf_strings_create(struct gf_strings **ret, struct gf_err *err)
{
	return gf_strings_create_reading(NULL, ret, err);
}

int gf_strings_create_reading(gf_string_reader read, struct gf_strings **ret, struct gf_err *err)
{
	struct gf_strings *s = calloc(1, sizeof *s);

	if (!s)
		return gf_err_set(err, ENOMEM, "no memory for the string readers");
	s->read = read;
	pthread_mutex_init(&s->lock, NULL);
	sem_init(&s->work, 0, 0);
	sem_init(&s->grow, 0, 0);
	atomic_store(&s->refs, 2); /* the owner's and the keeper's */
	int r = start_thread(&s->keeper, keeper_main, s);
	if (r)
		atomic_fetch_sub(&s->refs, 1);
	else
		s->keeper_started = true;
	for (uint32_t i = 0; !r && i < HELPERS_MIN; i++)
		r = start_helper(s);
	if (r) {
		gf_strings_destroy(s);
		return gf_err_set(err, -r, "cannot start the threads that read command lines: %s", strerror(-r));
	}
	*ret = s;
	return 0;
}

void gf_strings_destroy(struct gf_strings *s)
{
	struct timespec until;

	if (!s)
		return;
	atomic_store(&s->stop, true);
	if (s->keeper_started) {
		sem_post(&s->grow);
		pthread_join(s->keeper, NULL);
	}
	for (uint32_t i = 0; i < HELPERS_MAX; i++)
		sem_post(&s->work);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 2;
	for (uint32_t i = 0; i < HELPERS_MAX; i++)
		if (s->helper[i].started && pthread_timedjoin_np(s->helper[i].thread, NULL, &until))
			pthread_detach(s->helper[i].thread);
	unref(s);
}

bool gf_strings_ask(struct gf_strings *s, const struct gf_string_ask *ask)
{
	uint32_t head = atomic_load_explicit(&s->head, memory_order_relaxed);

	if (head - atomic_load_explicit(&s->tail, memory_order_acquire) >= RING)
		return false;
	s->ring[head % RING] = *ask;
	atomic_store_explicit(&s->head, head + 1, memory_order_release);
	return true;
}

void gf_strings_count(struct gf_strings *s, unsigned *ret_threads, unsigned *ret_stuck)
{
	uint32_t n = atomic_load(&s->helpers);
	uint64_t now = mono_ns();

	*ret_threads = n;
	*ret_stuck = 0;
	for (uint32_t i = 0; i < n; i++) {
		uint64_t since = atomic_load(&s->helper[i].busy_since);
		if (since && now > since && now - since > STUCK_NS)
			++*ret_stuck;
	}
}

void gf_strings_kick(struct gf_strings *s)
{
	uint32_t head = atomic_load_explicit(&s->head, memory_order_relaxed);
	unsigned n, stuck;

	gf_strings_count(s, &n, &stuck);
	if (head != s->kicked || atomic_load_explicit(&s->dropped, memory_order_relaxed)) {
		uint32_t more = GF_MIN(GF_MAX(head - s->kicked, 1u), n);
		int idle = 0;
		sem_getvalue(&s->work, &idle);
		for (uint32_t i = (uint32_t)GF_MAX(idle, 0); i < more; i++)
			sem_post(&s->work);
		s->kicked = head;
	}
	if (stuck && n - stuck < HELPERS_MIN && n < HELPERS_MAX && !atomic_exchange(&s->growing, true))
		sem_post(&s->grow);
}

struct gf_string *gf_strings_take(struct gf_strings *s)
{
	if (!atomic_load_explicit(&s->answers, memory_order_relaxed))
		return NULL;
	return atomic_exchange_explicit(&s->answers, NULL, memory_order_acquire);
}

void gf_strings_drop(struct gf_strings *s, struct gf_string *str)
{
	push(&s->dropped, str);
}
