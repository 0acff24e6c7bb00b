/*
 * The guest's only program: started as /init it reads /case (the language of configs/validate/kernel/README.md), sets the
 * machine up, runs the processes, and prints the kernel's counters to the emulator's debug port. record.py reads them there.
 *
 * Output, all through port 0xe9: lines that begin with '@' are ours, what follows "@file NAME" is that file as it was read.
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <linux/mempolicy.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define OUT_PORT 0xe9
#define TRACE_PORT 0xea
#define EXIT_PORT 0x501
#define PAGE 4096UL
#define FIRST_REGION 0x100000000000UL
#define REGION_SHIFT 36
#define FLUSH_PAGES 64 /* more than the kernel flushes singly (33), so that the whole TLB goes */

enum { MAX_PROCS = 64, MAX_REGIONS = 16, MAX_THREADS = 16, MAX_GROUPS = 32, MAX_BARRIERS = 256, MAX_WORDS = 20, MAX_EXTRA = 16 };

struct step { char *word[MAX_WORDS]; int words; };
struct region { char *name, *kind, *path; char *policy; unsigned long pages; int fd; char *at; };
struct thread { char *cpus; struct step *steps; int count; };
struct process {
	char *name, *group, *after;
	int huge, threads, regions;
	unsigned long flush;
	struct region region[MAX_REGIONS];
	struct thread thread[MAX_THREADS];
	pid_t pid;
};
/* What all processes share. */
struct common {
	pthread_mutex_t print;
	int barrier[MAX_BARRIERS];
	int ready, go, running;
	pid_t pid[MAX_PROCS];
	char flushed[FLUSH_PAGES * PAGE] __attribute__((aligned(4096)));
};

static struct process procs[MAX_PROCS];
static int proc_count, group_count, nodes, cpus, tracing, extra_count;
static char *groups[MAX_GROUPS], *extra[MAX_EXTRA];
static unsigned long sample_ms, delay_us;
static struct common *common;
static struct process *self;

/* ---- output ---- */

static void put(const char *text, size_t n)
{
	while (n--) outb(*text++, OUT_PORT);
}

static void say(const char *format, ...)
{
	char line[512];
	va_list a;
	va_start(a, format);
	int n = vsnprintf(line, sizeof line, format, a);
	va_end(a);
	put(line, n < (int)sizeof line ? n : (int)sizeof line - 1);
}

static void finish(const char *why)
{
	say("\n@%s\n", why);
	outb(0, EXIT_PORT);
	for (;;) pause();
}

static void fail(const char *what, const char *which)
{
	say("\n@error %s %s: %s\n", what, which, strerror(errno));
	outb(1, EXIT_PORT);
	for (;;) pause();
}

static uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static void sleep_us(uint64_t us)
{
	struct timespec t = { us / 1000000, us % 1000000 * 1000 };
	while (nanosleep(&t, &t) && errno == EINTR);
}

static int write_file(const char *path, const char *value)
{
	int f = open(path, O_WRONLY | O_TRUNC);
	if (f < 0) return -1;
	ssize_t n = write(f, value, strlen(value));
	close(f);
	return n < 0 ? -1 : 0;
}

static void set(const char *path, const char *value)
{
	if (write_file(path, value)) fail("set", path);
}

static char chunk[16384];

static void print_file(const char *name, const char *path)
{
	int f = open(path, O_RDONLY);
	if (f < 0) return;
	say("@file %s\n", name);
	for (ssize_t n; (n = read(f, chunk, sizeof chunk)) > 0;) put(chunk, n);
	close(f);
}

/* Only the caches that are compared: the whole file is long. */
static void print_slabs(void)
{
	FILE *f = fopen("/proc/slabinfo", "r");
	char line[512];
	if (!f) return;
	say("@file slabinfo\n");
	while (fgets(line, sizeof line, f))
		if (!strncmp(line, "dentry ", 7) || !strncmp(line, "ext4_inode_cache ", 17) || !strncmp(line, "radix_tree_node ", 16))
			put(line, strlen(line));
	fclose(f);
}

/* What the scheduler tells of each thread: its node, its faults by node, its time. */
static void print_tasks(pid_t pid)
{
	char path[300];
	snprintf(path, sizeof path, "/proc/%d/task", pid);
	DIR *d = opendir(path);
	for (struct dirent *e; d && (e = readdir(d));) {
		if (e->d_name[0] == '.') continue;
		snprintf(path, sizeof path, "/proc/%d/task/%.20s/sched", pid, e->d_name);
		print_file("sched", path);
	}
	if (d) closedir(d);
}

static void snapshot(const char *label)
{
	char name[128], path[256];
	static const char *of_group[] = { "memory.current", "memory.swap.current", "memory.events", "memory.stat" };
	pthread_mutex_lock(&common->print);
	say("\n@snap %s %llu\n", label, (unsigned long long)now_ns());
	print_file("vmstat", "/proc/vmstat");
	for (int i = 0; i < nodes; i++) {
		snprintf(path, sizeof path, "/sys/devices/system/node/node%d/numastat", i);
		snprintf(name, sizeof name, "node%d.numastat", i);
		print_file(name, path);
		snprintf(path, sizeof path, "/sys/devices/system/node/node%d/vmstat", i);
		snprintf(name, sizeof name, "node%d.vmstat", i);
		print_file(name, path);
	}
	for (int g = 0; g < group_count; g++)
		for (int i = 0; i < 4; i++) {
			snprintf(path, sizeof path, "/cg/%s/%s", groups[g], of_group[i]);
			snprintf(name, sizeof name, "cg:%s %s", groups[g], of_group[i]);
			print_file(name, path);
		}
	print_slabs();
	print_file("zoneinfo", "/proc/zoneinfo");
	for (int i = 0; i < extra_count; i++) print_file(extra[i], extra[i]);
	for (int i = 0; nodes > 1 && i < proc_count; i++)
		if (common->pid[i]) {
			snprintf(path, sizeof path, "/proc/%d/numa_maps", common->pid[i]);
			snprintf(name, sizeof name, "map:%s", procs[i].name);
			print_file(name, path);
			print_tasks(common->pid[i]);
		}
	say("@end\n");
	pthread_mutex_unlock(&common->print);
}

/* ---- words of a statement ---- */

static const char *option(const struct step *s, const char *key, const char *otherwise)
{
	size_t n = strlen(key);
	for (int i = 1; i < s->words; i++)
		if (!strncmp(s->word[i], key, n) && s->word[i][n] == '=') return s->word[i] + n + 1;
	return otherwise;
}

static uint64_t number(const struct step *s, const char *key, uint64_t otherwise)
{
	const char *v = option(s, key, NULL);
	return v ? strtoull(v, NULL, 0) : otherwise;
}

/* ---- generators, as the README defines them ---- */

struct generator {
	uint64_t s[4], i, first, span, hot, mul;
	enum { IN_ORDER, UNIFORM, SCANMIX, ZIPF } pattern;
	double *cdf;
};

/* A macro, as BELOW and the pattern are written out: the program is compiled without optimization, and its pace is that of the recorded rates. */
#define ROTL(x, k) ((x) << (k) | (x) >> (64 - (k)))

static uint64_t draw(struct generator *g)
{
	uint64_t *s = g->s, m = s[1] * 5, v = ROTL(m, 7) * 9, t = s[1] << 17;
	s[2] ^= s[0]; s[3] ^= s[1]; s[1] ^= s[2]; s[0] ^= s[3];
	s[2] ^= t;
	s[3] = ROTL(s[3], 45);
	return v;
}

#define BELOW(g, n) ((uint64_t)((unsigned __int128)draw(g) * (n) >> 64))

static uint64_t gcd(uint64_t a, uint64_t b) { return b ? gcd(b, a % b) : a; }

static void generator_init(struct generator *g, const struct step *s, uint64_t pages)
{
	const char *p = option(s, "pat", "seq");
	uint64_t x = number(s, "seed", 1);
	memset(g, 0, sizeof *g);
	for (int i = 0; i < 4; i++) {
		x += 0x9e3779b97f4a7c15ull;
		uint64_t z = x;
		z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
		z = (z ^ z >> 27) * 0x94d049bb133111ebull;
		g->s[i] = z ^ z >> 31;
	}
	g->first = number(s, "first", 0);
	g->span = number(s, "span", pages - g->first);
	g->hot = number(s, "hot", 0);
	g->pattern = !strcmp(p, "uniform") ? UNIFORM : !strcmp(p, "scanmix") ? SCANMIX : !strcmp(p, "zipf") ? ZIPF : IN_ORDER;
	if (g->pattern != ZIPF) return;
	const char *theta = option(s, "theta", "1");
	double sum = 0;
	g->cdf = malloc(g->span * sizeof *g->cdf);
	if (!g->cdf) fail("malloc", "cdf");
	for (uint64_t k = 1; k <= g->span; k++) {
		double d = k;
		sum += !strcmp(theta, "1") ? 1 / d : !strcmp(theta, "0.5") ? 1 / sqrt(d) : 1 / (sqrt(d) * sqrt(sqrt(d)));
		g->cdf[k - 1] = sum;
	}
	g->mul = 2654435761ull % g->span;
	if (g->mul < 2) g->mul = 1;
	while (gcd(g->mul, g->span) != 1) g->mul++;
}

static uint64_t next_page(struct generator *g)
{
	uint64_t i = g->i++;
	switch (g->pattern) {
	case IN_ORDER: return g->first + i % g->span;
	case UNIFORM: return g->first + BELOW(g, g->span);
	case SCANMIX: return i & 1 ? g->first + g->hot + (i >> 1) % (g->span - g->hot) : g->first + BELOW(g, g->hot);
	default: break;
	}
	const double *cdf = g->cdf;
	register uint64_t lo = 0, hi = g->span - 1, m;
	register double u = (double)(draw(g) >> 11) * 0x1p-53 * cdf[hi];
	while (lo < hi) {
		m = (lo + hi) / 2;
		if (cdf[m] > u) hi = m; else lo = m + 1;
	}
	return g->first + lo * g->mul % g->span;
}

/* ---- steps ---- */

static struct region *region_named(const char *name)
{
	for (int i = 0; i < self->regions; i++)
		if (!strcmp(self->region[i].name, name)) return &self->region[i];
	errno = ENOENT;
	fail("region", name);
	return NULL;
}

/* A changed protection of many pages makes the kernel flush the whole TLB. */
static void flush_tlb(void)
{
	mprotect(common->flushed, sizeof common->flushed, PROT_READ);
	mprotect(common->flushed, sizeof common->flushed, PROT_READ | PROT_WRITE);
	for (int i = 0; i < FLUSH_PAGES; i++) ((volatile char *)common->flushed)[i * PAGE] = 1;
}

static uint64_t value_of(const char *text, const char *key)
{
	size_t n = strlen(key);
	for (const char *p = text; (p = strstr(p, key)); p += n)
		if ((p == text || p[-1] == '\n') && p[n] == ' ') return strtoull(p + n, NULL, 10);
	return 0;
}

static size_t slurp(const char *path, char *to, size_t room)
{
	int f = open(path, O_RDONLY);
	size_t n = 0;
	if (f < 0) fail("open", path);
	for (ssize_t r; n < room - 1 && (r = read(f, to + n, room - 1 - n)) > 0;) n += r;
	to[n] = 0;
	close(f);
	return n;
}

static void watch_row(uint64_t touches, uint64_t ns)
{
	static __thread char text[24576];
	static const char *keys[] = { "nr_free_pages", "nr_dirty", "nr_writeback", "pgscan_kswapd", "pgsteal_kswapd", "pgscan_direct", "pgsteal_direct", "pageoutrun" };
	char row[512];
	int n = snprintf(row, sizeof row, "@row %llu %llu", (unsigned long long)touches, (unsigned long long)ns);
	slurp("/proc/vmstat", text, sizeof text);
	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
		n += snprintf(row + n, sizeof row - n, " %llu", (unsigned long long)value_of(text, keys[i]));
	slurp("/proc/zoneinfo", text, sizeof text);
	for (char *z = text; (z = strstr(z, "Node ")); z++) {
		int node;
		char zone[32];
		if (sscanf(z, "Node %d, zone %31s", &node, zone) != 2) continue;
		char *f = strstr(z, "pages free"), *next = strstr(z + 1, "Node ");
		if (f && (!next || f < next) && strtoull(f + 10, NULL, 10)) n += snprintf(row + n, sizeof row - n, " free.%d.%s=%llu", node, zone, strtoull(f + 10, NULL, 10));
	}
	n += snprintf(row + n, sizeof row - n, "\n");
	put(row, n);
}

static void touch(const struct step *s, const char *thread)
{
	struct region *r = region_named(s->word[1]);
	struct generator g;
	struct rusage before, after;
	uint64_t count = number(s, "count", UINT64_MAX), ms = number(s, "ms", 0), watch = number(s, "watch", 0), pace = 0, pace_us = 0, i;
	int write = !strcmp(option(s, "op", "r"), "w"), io = !strcmp(r->kind, "io");
	const char *p = option(s, "pace", NULL);
	static __thread char buffer[PAGE];
	if (p) sscanf(p, "%lu:%lu", &pace, &pace_us);
	generator_init(&g, s, r->pages);
	getrusage(RUSAGE_THREAD, &before);
	uint64_t start = now_ns(), end = start + ms * 1000000;
	for (i = 0; i < count; i++) {
		if (ms && i % 256 == 0 && i && now_ns() >= end) break;
		uint64_t page = next_page(&g);
		if (io) {
			ssize_t n = write ? pwrite(r->fd, buffer, PAGE, page * PAGE) : pread(r->fd, buffer, PAGE, page * PAGE);
			if (n != (ssize_t)PAGE) fail("touch", r->name);
		} else if (write) {
			*(volatile char *)(r->at + page * PAGE) = (char)i;
		} else {
			(void)*(volatile char *)(r->at + page * PAGE);
		}
		if (self->flush && (i + 1) % self->flush == 0) flush_tlb();
		if (watch && (i + 1) % watch == 0) watch_row(i + 1, now_ns() - start);
		if (pace && (i + 1) % pace == 0) sleep_us(pace_us);
	}
	uint64_t ns = now_ns() - start;
	getrusage(RUSAGE_THREAD, &after);
	free(g.cdf);
	pthread_mutex_lock(&common->print);
	say("@touch %s %s %s %llu %llu %ld %ld %s\n", thread, r->name, r->kind, (unsigned long long)i, (unsigned long long)ns,
	    after.ru_minflt - before.ru_minflt, after.ru_majflt - before.ru_majflt, watch ? "watch" : "-");
	pthread_mutex_unlock(&common->print);
}

static void barrier(int id, int n)
{
	int *b = &common->barrier[id];
	if (__sync_add_and_fetch(b, 1) >= n) {
		syscall(SYS_futex, b, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
		return;
	}
	for (int seen; (seen = __atomic_load_n(b, __ATOMIC_SEQ_CST)) < n;) syscall(SYS_futex, b, FUTEX_WAIT, seen, NULL, NULL, 0);
}

static void pin(const char *list)
{
	cpu_set_t set;
	CPU_ZERO(&set);
	if (!strcmp(list, "any"))
		for (int i = 0; i < cpus; i++) CPU_SET(i, &set);
	for (const char *p = list; isdigit((unsigned char)*p);) {
		char *e;
		long a = strtol(p, &e, 10), b = a;
		if (*e == '-') b = strtol(e + 1, &e, 10);
		for (; a <= b; a++) CPU_SET(a, &set);
		p = *e == ',' ? e + 1 : e;
	}
	if (sched_setaffinity(0, sizeof set, &set)) fail("cpu", list);
}

static void set_policy(struct region *r, const char *policy)
{
	static const struct { const char *name; int mode; } modes[] = { { "default", MPOL_DEFAULT }, { "local", 4 }, { "preferred", MPOL_PREFERRED },
		{ "bind", MPOL_BIND }, { "interleave", MPOL_INTERLEAVE }, { "many", 5 }, { "weighted", 6 } };
	const char *colon = strchr(policy, ':');
	size_t n = colon ? (size_t)(colon - policy) : strlen(policy);
	unsigned long mask = colon ? strtoul(colon + 1, NULL, 0) : 0;
	for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
		if (strlen(modes[i].name) != n || strncmp(policy, modes[i].name, n)) continue;
		if (modes[i].mode == MPOL_PREFERRED) mask = 1ul << mask;
		if (syscall(SYS_mbind, r->at, r->pages * PAGE, modes[i].mode, mask ? &mask : NULL, mask ? 65ul : 0ul, 0)) fail("policy", policy);
		return;
	}
	errno = EINVAL;
	fail("policy", policy);
}

static void advise(struct region *r, const char *what)
{
	static const struct { const char *name; int advice; } all[] = { { "free", MADV_FREE }, { "dontneed", MADV_DONTNEED }, { "cold", 20 }, { "pageout", 21 },
		{ "willneed", MADV_WILLNEED }, { "random", MADV_RANDOM }, { "nohuge", MADV_NOHUGEPAGE } };
	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		if (!strcmp(all[i].name, what)) {
			if (madvise(r->at, r->pages * PAGE, all[i].advice)) fail("advise", what);
			return;
		}
	errno = EINVAL;
	fail("advise", what);
}

static void where(struct region *r, const char *label)
{
	enum { AT_ONCE = 512 };
	void *pages[AT_ONCE];
	int status[AT_ONCE], last = INT_MIN;
	pthread_mutex_lock(&common->print);
	say("@where %s %s.%s", label, self->name, r->name);
	for (unsigned long p = 0; p < r->pages; p += AT_ONCE) {
		unsigned long n = r->pages - p < AT_ONCE ? r->pages - p : AT_ONCE;
		for (unsigned long i = 0; i < n; i++) pages[i] = r->at + (p + i) * PAGE;
		if (syscall(SYS_move_pages, 0, n, pages, NULL, status, 0)) break;
		for (unsigned long i = 0; i < n; i++)
			if (status[i] != last) say(" %lu:%d", p + i, last = status[i]);
	}
	say("\n");
	pthread_mutex_unlock(&common->print);
}

static void join_group(const char *name)
{
	char path[256];
	snprintf(path, sizeof path, "/cg/%s/cgroup.procs", name);
	set(path, "0");
}

static void names(const struct step *s)
{
	uint64_t first = number(s, "first", 0), count = number(s, "count", 0);
	int make = !strcmp(s->word[0], "files");
	char path[256];
	struct stat st;
	if (make) mkdir(s->word[1], 0755);
	for (uint64_t i = first; i < first + count; i++) {
		if (!strcmp(s->word[0], "negdentry")) {
			snprintf(path, sizeof path, "%s/no%llu", s->word[1], (unsigned long long)i);
			stat(path, &st);
			continue;
		}
		snprintf(path, sizeof path, "%s/f%llu", s->word[1], (unsigned long long)i);
		if (!make) {
			stat(path, &st);
			continue;
		}
		int f = open(path, O_CREAT | O_WRONLY, 0644);
		if (f < 0) fail("files", path);
		close(f);
	}
}

static void fork_child(const struct step *s, const char *thread)
{
	struct step t = *s;
	memmove(t.word, t.word + 1, sizeof t.word - sizeof *t.word);
	t.words--;
	pid_t child = fork();
	if (child < 0) fail("fork", thread);
	if (!child) {
		char name[256];
		snprintf(name, sizeof name, "%s.%s", thread, s->word[1]);
		/* "fork LABEL R ...": the label stands where "touch" does. */
		touch(&t, name);
		snapshot(s->word[1]);
		_exit(0);
	}
	waitpid(child, NULL, 0);
}

static void run_step(const struct step *s, const char *thread)
{
	const char *w = s->word[0];
	if (!strcmp(w, "touch")) touch(s, thread);
	else if (!strcmp(w, "cpu")) pin(s->word[1]);
	else if (!strcmp(w, "sleep")) sleep_us(strtoull(s->word[1], NULL, 10) * 1000);
	else if (!strcmp(w, "barrier")) barrier(atoi(s->word[1]), atoi(s->word[2]));
	else if (!strcmp(w, "snap")) snapshot(s->word[1]);
	else if (!strcmp(w, "where")) where(region_named(s->word[1]), s->word[2]);
	else if (!strcmp(w, "advise")) advise(region_named(s->word[1]), s->word[2]);
	else if (!strcmp(w, "policy")) set_policy(region_named(s->word[1]), s->word[2]);
	else if (!strcmp(w, "join")) join_group(s->word[1]);
	else if (!strcmp(w, "lock")) { struct region *r = region_named(s->word[1]); if (mlock(r->at, r->pages * PAGE)) fail("lock", r->name); }
	else if (!strcmp(w, "unlock")) { struct region *r = region_named(s->word[1]); munlock(r->at, r->pages * PAGE); }
	else if (!strcmp(w, "fork")) fork_child(s, thread);
	else if (!strcmp(w, "negdentry") || !strcmp(w, "files") || !strcmp(w, "statfiles")) names(s);
	else { errno = EINVAL; fail("step", w); }
}

/* ---- processes ---- */

static void *run_thread(void *arg)
{
	struct thread *t = arg;
	char name[96];
	snprintf(name, sizeof name, "%s.%d", self->name, (int)(t - self->thread));
	if (t->cpus) pin(t->cpus);
	for (int i = 0; i < t->count; i++) run_step(&t->steps[i], name);
	return NULL;
}

static void map_region(struct region *r, int i)
{
	void *at = (void *)(FIRST_REGION + ((unsigned long)i << REGION_SHIFT));
	int file = !strcmp(r->kind, "file"), io = !strcmp(r->kind, "io");
	r->fd = -1;
	if (file || io) {
		r->fd = open(r->path, O_RDWR);
		if (r->fd < 0) fail("open", r->path);
		if (io) return;
	}
	int flags = file ? MAP_SHARED : MAP_ANONYMOUS | (!strcmp(r->kind, "shmem") ? MAP_SHARED : MAP_PRIVATE);
	r->at = mmap(at, r->pages * PAGE, PROT_READ | PROT_WRITE, flags | MAP_FIXED_NOREPLACE | MAP_NORESERVE, r->fd, 0);
	if (r->at != at) fail("mmap", r->name);
	if (!file) madvise(r->at, r->pages * PAGE, self->huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	if (r->policy) set_policy(r, r->policy);
}

static void start_process(int i)
{
	struct process *p = &procs[i];
	pid_t pid = fork();
	if (pid < 0) fail("fork", p->name);
	if (pid) {
		p->pid = common->pid[i] = pid;
		return;
	}
	self = p;
	if (p->group) join_group(p->group);
	for (int r = 0; r < p->regions; r++) map_region(&p->region[r], r);
	pthread_t t[MAX_THREADS];
	pthread_attr_t small; /* so that no stack is given a huge page */
	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, 1 << 16);
	/* One thread is the process itself: the kernel marks less for a process of one thread. Of several all are cloned, so that they
	   are alike: a clone has its first NUMA scan later than the process. */
	if (p->threads == 1) {
		run_thread(&p->thread[0]);
		_exit(0);
	}
	for (int k = 0; k < p->threads; k++)
		if (pthread_create(&t[k], &small, run_thread, &p->thread[k])) fail("thread", p->name);
	for (int k = 0; k < p->threads; k++) pthread_join(t[k], NULL);
	_exit(0);
}

static void reaped(pid_t pid)
{
	for (int i = 0; i < proc_count; i++)
		if (procs[i].pid == pid) {
			common->pid[i] = 0;
			common->running--;
			for (int k = 0; k < proc_count; k++)
				if (procs[k].after && !strcmp(procs[k].after, procs[i].name)) start_process(k);
		}
}

static void run_processes(void)
{
	int k = 0, status;
	common->running = proc_count;
	for (int i = 0; i < proc_count; i++)
		if (!procs[i].after) start_process(i);
	while (common->running > 0) {
		if (!sample_ms) {
			pid_t pid = wait(&status);
			if (pid < 0) break;
			if (!WIFEXITED(status)) say("@killed %d\n", status);
			reaped(pid);
			continue;
		}
		char label[32];
		sleep_us(sample_ms * 1000);
		snprintf(label, sizeof label, "s%d", ++k);
		snapshot(label);
		for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) reaped(pid);
	}
}

/* ---- the machine ---- */

static void load(const char *module, const char *options)
{
	char path[128];
	static char loaded[64][32];
	static int n;
	for (int i = 0; i < n; i++)
		if (!strcmp(loaded[i], module)) return;
	snprintf(loaded[n++], sizeof loaded[0], "%s", module);
	snprintf(path, sizeof path, "/m/%s.ko", module);
	int f = open(path, O_RDONLY | O_CLOEXEC);
	if (f < 0) return; /* built in, or another module of the chain is not needed by this kernel */
	if (syscall(SYS_finit_module, f, options, 0) && errno != EEXIST) fail("module", module);
	close(f);
}

static void load_all(const char *list, const char *last_options)
{
	char copy[256], *save, *w = copy;
	snprintf(copy, sizeof copy, "%s", list);
	for (w = strtok_r(copy, " ", &save); w;) {
		char *next = strtok_r(NULL, " ", &save);
		load(w, next ? "" : last_options);
		w = next;
	}
}

static void run(char *const argv[])
{
	pid_t pid = fork();
	if (!pid) {
		int f = open("/dev/null", O_RDWR);
		dup2(f, 0); dup2(f, 1); dup2(f, 2);
		execv(argv[0], argv);
		_exit(127);
	}
	int status;
	waitpid(pid, &status, 0);
	if (status) { errno = 0; fail("run", argv[0]); }
}

static void read_ahead(const char *disk, const char *kib)
{
	char path[128];
	snprintf(path, sizeof path, "/sys/block/%s/queue/read_ahead_kb", disk);
	set(path, kib);
}

static void ram_disk(unsigned long mib)
{
	char options[64];
	snprintf(options, sizeof options, "rd_nr=2 rd_size=%lu max_part=1", mib * 1024);
	load("brd", options);
}

static void make_fs(const char *disk, const char *ra)
{
	char device[64];
	snprintf(device, sizeof device, "/dev/%s", disk);
	load_all("crc16 crc32c_generic libcrc32c mbcache jbd2 ext4", "");
	read_ahead(disk, ra);
	run((char *[]){ "/mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-m", "0", "-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard", device, NULL });
	if (mount(device, "/data", "ext4", 0, "noinit_itable")) fail("mount", device);
}

/* A swap header, version 1: what mkswap writes. */
static void make_swap(const char *disk, unsigned long mib)
{
	char device[64], *page = aligned_alloc(PAGE, PAGE);
	snprintf(device, sizeof device, "/dev/%s", disk);
	int f = open(device, O_RDWR | O_DIRECT);
	if (f < 0) fail("open", device);
	memset(page, 0, PAGE);
	((uint32_t *)page)[256] = 1;
	((uint32_t *)page)[257] = mib * 256 - 1;
	memcpy(page + PAGE - 10, "SWAPSPACE2", 10);
	if (pwrite(f, page, PAGE, 0) != (ssize_t)PAGE) fail("write", device);
	close(f);
	free(page);
	if (swapon(device, 0)) fail("swapon", device);
}

/* Allocates all of a disk that keeps its data in memory, so that the memory is gone before the case begins. */
static void fill_disk(const char *disk, unsigned long mib)
{
	char device[64], *buffer = aligned_alloc(PAGE, 1 << 20);
	snprintf(device, sizeof device, "/dev/%s", disk);
	int f = open(device, O_RDWR | O_DIRECT);
	if (f < 0) fail("open", device);
	memset(buffer, 0x55, 1 << 20);
	for (unsigned long i = 0; i < mib; i++)
		if (pwrite(f, buffer, 1 << 20, i << 20) != 1 << 20) fail("fill", device);
	close(f);
	free(buffer);
}

static void null_disk(const struct step *s)
{
	const char *name = s->word[1], *mbps = option(s, "mbps", NULL);
	char dir[128], path[192], mib[32];
	unsigned long size = number(s, "mib", 0);
	load_all("configfs null_blk", "nr_devices=0");
	mount("configfs", "/sys/kernel/config", "configfs", 0, NULL);
	snprintf(dir, sizeof dir, "/sys/kernel/config/nullb/%s", name);
	if (mkdir(dir, 0755)) fail("nulldisk", dir);
	snprintf(mib, sizeof mib, "%lu", size);
	const char *lat = option(s, "lat", "0");
	struct { const char *file, *value; } all[] = { { "size", mib }, { "blocksize", "4096" }, { "irqmode", strcmp(lat, "0") ? "2" : "0" }, { "completion_nsec", lat },
		{ "memory_backed", option(s, "mem", "0") }, { "hw_queue_depth", option(s, "qd", "128") }, { "mbps", mbps ? mbps : "0" }, { "power", "1" } };
	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		snprintf(path, sizeof path, "%s/%s", dir, all[i].file);
		set(path, all[i].value);
	}
	int fs = number(s, "fs", 0), swap = number(s, "swap", 0);
	if (number(s, "mem", 0) && !fs) fill_disk(name, size);
	if (fs) make_fs(name, option(s, "ra", "0"));
	else read_ahead(name, option(s, "ra", "0"));
	if (swap) make_swap(name, size);
}

static void make_group(const struct step *s)
{
	static const char *keys[][2] = { { "max", "memory.max" }, { "high", "memory.high" }, { "low", "memory.low" }, { "min", "memory.min" }, { "swapmax", "memory.swap.max" } };
	char path[256], *slash;
	groups[group_count++] = s->word[1];
	snprintf(path, sizeof path, "/cg/%s", s->word[1]);
	if ((slash = strrchr(path + 4, '/'))) {
		*slash = 0;
		char up[300];
		snprintf(up, sizeof up, "%s/cgroup.subtree_control", path);
		set(up, "+memory");
		*slash = '/';
	}
	if (mkdir(path, 0755)) fail("cgroup", path);
	for (int i = 0; i < 5; i++) {
		const char *v = option(s, keys[i][0], NULL);
		snprintf(path, sizeof path, "/cg/%s/%s", s->word[1], keys[i][1]);
		if (v) set(path, v);
	}
}

static void make_file(struct region *r, const char *proc)
{
	if (strcmp(r->kind, "file") && strcmp(r->kind, "io")) return;
	if (!r->path) {
		r->path = malloc(128);
		snprintf(r->path, 128, "/data/%s.%s", proc, r->name);
	}
	if (!strncmp(r->path, "/dev/", 5)) return;
	int f = open(r->path, O_CREAT | O_RDWR, 0644);
	struct stat st;
	if (f < 0 || fstat(f, &st)) fail("file", r->path);
	if (st.st_size < (off_t)(r->pages * PAGE) && ftruncate(f, r->pages * PAGE)) fail("file", r->path);
	close(f);
}

static void split(char *line, struct step *s)
{
	char *save;
	memset(s, 0, sizeof *s);
	for (char *w = strtok_r(line, " \t\r", &save); w && s->words < MAX_WORDS; w = strtok_r(NULL, " \t\r", &save)) s->word[s->words++] = w;
}

static void add_region(struct process *p, const struct step *s)
{
	struct region *r = &p->region[p->regions++];
	r->name = s->word[1];
	r->kind = (char *)option(s, "kind", "anon");
	r->path = (char *)option(s, "path", NULL);
	r->policy = (char *)option(s, "policy", NULL);
	r->pages = number(s, "pages", 0);
}

static void machine_statement(struct step *s)
{
	const char *w = s->word[0];
	if (!strcmp(w, "sys")) {
		char value[256] = "";
		for (int i = 2; i < s->words; i++) {
			if (i > 2) strcat(value, " ");
			strncat(value, s->word[i], sizeof value - strlen(value) - 2);
		}
		set(s->word[1], value);
	} else if (!strcmp(w, "fs")) {
		ram_disk(strtoul(s->word[1], NULL, 10));
		make_fs("ram0", option(s, "ra", "0"));
	} else if (!strcmp(w, "swap")) {
		ram_disk(strtoul(s->word[1], NULL, 10));
		fill_disk("ram1", strtoul(s->word[1], NULL, 10));
		make_swap("ram1", strtoul(s->word[1], NULL, 10));
	} else if (!strcmp(w, "zram")) {
		char bytes[32];
		load_all("lz4_compress lz4hc_compress zram", "");
		snprintf(bytes, sizeof bytes, "%s", s->word[1]);
		strcat(bytes, "M");
		set("/sys/block/zram0/disksize", bytes);
		make_swap("zram0", strtoul(s->word[1], NULL, 10));
	} else if (!strcmp(w, "tmpfs")) {
		mkdir("/shm", 0755);
		if (mount("tmpfs", "/shm", "tmpfs", 0, "size=100%")) fail("mount", "/shm");
	} else if (!strcmp(w, "nulldisk")) null_disk(s);
	else if (!strcmp(w, "sample")) sample_ms = strtoul(s->word[1], NULL, 10);
	else if (!strcmp(w, "cgroup")) make_group(s);
	else { errno = EINVAL; fail("statement", w); }
}

/* Reads the case; what belongs to the machine is done at once, in the order of the lines. */
static void read_case(char *text)
{
	char *save;
	struct process *p = NULL;
	struct thread *t = NULL;
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		struct step s;
		if (strchr(line, '#') == line) continue;
		split(line, &s);
		if (!s.words) continue;
		const char *w = s.word[0];
		if (!strcmp(w, "end")) {
			if (t) t = NULL; else p = NULL;
		} else if (t) {
			t->steps = realloc(t->steps, (t->count + 1) * sizeof s);
			if (!t->steps) fail("case", w);
			t->steps[t->count++] = s;
		} else if (p && !strcmp(w, "thread")) {
			t = &p->thread[p->threads++];
			t->cpus = (char *)option(&s, "cpu", NULL);
		} else if (p && !strcmp(w, "region")) add_region(p, &s);
		else if (!strcmp(w, "proc")) {
			p = &procs[proc_count++];
			p->name = s.word[1];
			p->group = (char *)option(&s, "cgroup", NULL);
			p->after = (char *)option(&s, "after", NULL);
			p->huge = number(&s, "thp", 0);
			p->flush = number(&s, "tlbflush", 0);
		} else machine_statement(&s);
	}
	for (int i = 0; i < proc_count; i++)
		for (int r = 0; r < procs[i].regions; r++) make_file(&procs[i].region[r], procs[i].name);
}

/* ---- tracing: /trace has lines "FILE VALUE" below /sys/kernel/tracing, 
   "print PATH" (once, to the trace) or "snap PATH" (in every snapshot); the pipe goes to a port of its own ---- */

static void start_tracing(void)
{
	FILE *f = fopen("/trace", "r");
	char line[1024], path[1100];
	if (!f) return;
	mount("tracefs", "/sys/kernel/tracing", "tracefs", 0, NULL);
	while (fgets(line, sizeof line, f)) {
		char *value = strchr(line, ' ');
		if (line[0] == '#' || !value) continue;
		*value++ = 0;
		value[strcspn(value, "\n")] = 0;
		if (!strcmp(line, "print")) {
			int r = open(value, O_RDONLY);
			for (ssize_t n; (n = read(r, chunk, sizeof chunk)) > 0;) outsb(TRACE_PORT, chunk, n);
			close(r);
			continue;
		}
		if (!strcmp(line, "snap")) {
			if (extra_count < MAX_EXTRA) extra[extra_count++] = strdup(value);
			continue;
		}
		snprintf(path, sizeof path, "/sys/kernel/tracing/%s", line);
		int t = open(path, O_WRONLY | O_APPEND);
		if (t < 0 || write(t, value, strlen(value)) < 0) fail("trace", path);
		close(t);
	}
	fclose(f);
	tracing = 1;
	if (fork()) return;
	int p = open("/sys/kernel/tracing/trace_pipe", O_RDONLY);
	if (p < 0) fail("open", "trace_pipe");
	for (ssize_t n; (n = read(p, chunk, sizeof chunk)) > 0;) outsb(TRACE_PORT, chunk, n);
	_exit(0);
}

static void mount_all(void)
{
	mkdir("/proc", 0755); mkdir("/sys", 0755); mkdir("/cg", 0755); mkdir("/data", 0755); mkdir("/dev", 0755);
	mount("proc", "/proc", "proc", 0, NULL);
	mount("sysfs", "/sys", "sysfs", 0, NULL);
	mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
	mount("debugfs", "/sys/kernel/debug", "debugfs", 0, NULL);
	if (mount("cgroup2", "/cg", "cgroup2", 0, NULL)) fail("mount", "cgroup2");
	set("/cg/cgroup.subtree_control", "+memory");
}

static void print_knobs(void)
{
	static const char *paths[] = { "/proc/sys/vm/min_free_kbytes", "/sys/kernel/mm/transparent_hugepage/enabled", "/sys/kernel/debug/sched/base_slice_ns",
		"/sys/kernel/mm/lru_gen/enabled", "/proc/version", "/proc/cmdline", "/proc/sys/kernel/numa_balancing" };
	say("@snap knobs 0\n");
	for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) print_file(paths[i], paths[i]);
	say("@end\n");
}

int main(void)
{
	static char text[65536];
	pthread_mutexattr_t a;
	if (ioperm(OUT_PORT, 2, 1) || ioperm(EXIT_PORT, 1, 1)) return 1;
	mount_all();
	cpus = sysconf(_SC_NPROCESSORS_ONLN);
	while (snprintf(text, sizeof text, "/sys/devices/system/node/node%d", nodes), !access(text, F_OK)) nodes++;
	common = mmap(NULL, sizeof *common, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (common == MAP_FAILED) fail("mmap", "common");
	memset(common, 1, sizeof *common);
	memset(common, 0, offsetof(struct common, flushed));
	pthread_mutexattr_init(&a);
	pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
	pthread_mutex_init(&common->print, &a);
	write_file("/proc/sys/kernel/numa_balancing", "0");
	slurp("/delay", text, sizeof text);
	delay_us = strtoul(text, NULL, 10);
	slurp("/case", text, sizeof text);
	read_case(text);
	print_knobs();
	sleep_us(3000000 + delay_us);
	start_tracing();
	snapshot("start");
	run_processes();
	snapshot("end");
	if (tracing) sleep_us(500000); /* the pipe's reader drains what is left */
	finish("done");
	return 0;
}
