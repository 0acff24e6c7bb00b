/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * npage: a QEMU user-mode (TCG) plugin that records the memory accesses of every
 * thread of an x86-64 Linux program, one file per thread.
 *
 * It is built on demand and loaded into QEMU; it is never linked into numalab.
 * The record format, the options and the limits are in README.md beside this file.
 *
 * QEMU does not ship its plugin header in Debian's package, and the dozen functions
 * needed are exported by the binary itself, so they are declared here.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* ---- QEMU's plugin interface (what is used of it) ---- */

#ifndef NPAGE_API
#define NPAGE_API 1 /* QEMU 7.2 accepts 0 and 1; build with -DNPAGE_API=2 for 8.2 and later */
#endif
#define EXPORT __attribute__((visibility("default")))

typedef uint64_t plugin_id;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
typedef struct {
    const char *target_name;
    struct {
        int min, cur;
    } version;
} plugin_info;

typedef void (*tb_trans_fn)(plugin_id, struct qemu_plugin_tb *);
typedef void (*exec_fn)(unsigned, void *);
typedef void (*mem_fn)(unsigned, uint32_t, uint64_t, void *);
typedef void (*vcpu_fn)(plugin_id, unsigned);
typedef void (*syscall_fn)(plugin_id, unsigned, int64_t, uint64_t, uint64_t, uint64_t, uint64_t,
                           uint64_t, uint64_t, uint64_t, uint64_t);
typedef void (*syscall_ret_fn)(plugin_id, unsigned, int64_t, int64_t);

void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, tb_trans_fn);
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *, exec_fn, int flags, void *);
void qemu_plugin_register_vcpu_mem_cb(struct qemu_plugin_insn *, mem_fn, int flags, int rw, void *);
void qemu_plugin_register_vcpu_exit_cb(plugin_id, vcpu_fn);
void qemu_plugin_register_vcpu_syscall_cb(plugin_id, syscall_fn);
void qemu_plugin_register_vcpu_syscall_ret_cb(plugin_id, syscall_ret_fn);
void qemu_plugin_register_atexit_cb(plugin_id, void (*)(plugin_id, void *), void *);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *);
bool qemu_plugin_mem_is_store(uint32_t);
unsigned qemu_plugin_mem_size_shift(uint32_t);

EXPORT int qemu_plugin_version = NPAGE_API;

enum { NO_REGS = 0, MEM_RW = 3 };

/* ---- the format ---- */

enum kind {
    K_LOAD = 0,
    K_STORE = 1,
    K_IFETCH = 2,
    K_BOTH = 3,
    K_CLOCK = 8,
    K_SYSCALL = 9,
    K_ARG = 10,
    K_RESULT = 11,
    K_BLOCKED = 12,
};

struct record {
    uint64_t key; /* unit number << 4 | kind */
    uint32_t count;
    uint32_t think;
};
_Static_assert(sizeof(struct record) == 16, "records are 16 bytes");

enum { BUFFER_RECORDS = 65536, MAX_ENTRIES = 65536, BLOCKED_NS = 100000 };

/* One entry of the filter: a unit (page or line), data and code kept apart. */
struct entry {
    uint64_t tag; /* unit << 1 | is code */
    uint32_t count; /* 0: free */
    uint32_t ops; /* 1 loads, 2 stores */
};

struct thread {
    struct thread *next;
    pid_t pid, tid;
    /* Taken at syscalls and at exit only: QEMU stops all threads that run guest code
     * before it calls at_exit, but not those inside a syscall. */
    pthread_mutex_t lock;
    struct entry *filter;
    uint32_t *used; /* slots in order of first use in this window */
    uint32_t nr_used;
    struct entry run; /* exact mode: the run that is still open */
    struct record *buffer;
    uint32_t nr_buffered;
    uint32_t touches; /* since the last window or clock */
    uint64_t pending; /* instructions since the last record */
    uint64_t syscall_start; /* 0: not in a syscall */
    int64_t syscall_number;
    uint64_t vector_args[3]; /* of a readv-like call that has not returned */
    uint64_t loads, stores, splits, fetches, instructions, records, lost;
};

static struct {
    char prefix[4000];
    int unit_shift;
    uint32_t window, entries;
    bool ifetch, io;
} opt = {.unit_shift = 12, .window = 65536, .entries = 1024, .ifetch = true, .io = true};

static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER;
static struct thread *threads;
static bool maps_saved;
static __thread struct thread *self;

/* ---- output ---- */

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static bool append(const char *path, const void *data, size_t size)
{
    /* Opened anew each time: a daemon that closes all its descriptors cannot hurt. */
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    bool ok = fd >= 0;
    while (ok && size > 0) {
        ssize_t n = write(fd, data, size);
        if (n < 0 && errno == EINTR)
            continue;
        ok = n > 0;
        if (ok) {
            data = (const char *)data + n;
            size -= (size_t)n;
        }
    }
    if (fd >= 0)
        close(fd);
    return ok;
}

static void meta_line(const char *text)
{
    char path[4200];
    snprintf(path, sizeof path, "%s.meta", opt.prefix);
    append(path, text, strlen(text));
}

static void write_buffer(struct thread *t)
{
    char path[4200];
    snprintf(path, sizeof path, "%s.%d.%d.bin", opt.prefix, (int)t->pid, (int)t->tid);
    if (t->nr_buffered && !append(path, t->buffer, t->nr_buffered * sizeof(struct record))) {
        if (t->lost == 0)
            fprintf(stderr, "npage: cannot write %s: %s\n", path, strerror(errno));
        t->lost += t->nr_buffered;
    }
    t->nr_buffered = 0;
}

static void emit(struct thread *t, uint64_t value, enum kind kind, uint32_t count)
{
    struct record *r = &t->buffer[t->nr_buffered++];
    r->key = value << 4 | kind;
    r->count = count;
    r->think = t->pending > UINT32_MAX ? UINT32_MAX : (uint32_t)t->pending;
    t->pending = 0;
    t->records++;
    if (t->nr_buffered == BUFFER_RECORDS)
        write_buffer(t);
}

/* Values of 64 bits: the key holds 60 of them, the top four go to `count`. */
static void emit_value(struct thread *t, uint64_t value, enum kind kind)
{
    emit(t, value, kind, (uint32_t)(value >> 60));
}

static void emit_clock(struct thread *t)
{
    emit(t, now_ns(), K_CLOCK, 0);
}

static void emit_entry(struct thread *t, const struct entry *e)
{
    static const enum kind data_kind[4] = {K_LOAD, K_LOAD, K_STORE, K_BOTH};
    emit(t, e->tag >> 1, e->tag & 1 ? K_IFETCH : data_kind[e->ops & 3], e->count);
}

/* Writes everything that is still merged, so that what follows is in program order. */
static void flush_window(struct thread *t)
{
    if (t->run.count) {
        emit_entry(t, &t->run);
        t->run.count = 0;
    }
    for (uint32_t i = 0; i < t->nr_used; i++) {
        struct entry *e = &t->filter[t->used[i]];
        emit_entry(t, e);
        e->count = 0;
    }
    t->nr_used = 0;
    t->touches = 0;
}

/* Time since the thread entered its syscall, if it was long. */
static void emit_blocked(struct thread *t, uint64_t now)
{
    if (!t->syscall_start || now - t->syscall_start < BLOCKED_NS)
        return;
    flush_window(t);
    emit(t, now - t->syscall_start, K_BLOCKED, (uint32_t)t->syscall_number);
    emit(t, now, K_CLOCK, 0);
}

static void finish(struct thread *t)
{
    char comm[32] = "", path[64], line[512];
    flush_window(t);
    emit_blocked(t, now_ns());
    emit_clock(t);
    write_buffer(t);
    snprintf(path, sizeof path, "/proc/self/task/%d/comm", (int)t->tid);
    FILE *f = fopen(path, "re");
    if (f) {
        if (!fgets(comm, sizeof comm, f))
            comm[0] = 0;
        fclose(f);
    }
    comm[strcspn(comm, "\n")] = 0;
    snprintf(line, sizeof line,
             "thread=%d.%d loads=%" PRIu64 " stores=%" PRIu64 " splits=%" PRIu64
             " fetches=%" PRIu64 " instructions=%" PRIu64 " records=%" PRIu64 " lost=%" PRIu64
             " name=%s\n",
             (int)t->pid, (int)t->tid, t->loads, t->stores, t->splits, t->fetches, t->instructions,
             t->records, t->lost, comm);
    meta_line(line);
}

/* ---- threads ---- */

static struct thread *new_thread(void)
{
    struct thread *t = calloc(1, sizeof *t);
    if (t) {
        t->filter = calloc(opt.entries, sizeof *t->filter);
        t->used = calloc(opt.entries, sizeof *t->used);
        t->buffer = calloc(BUFFER_RECORDS, sizeof *t->buffer);
    }
    if (!t || !t->filter || !t->used || !t->buffer) {
        fprintf(stderr, "npage: out of memory\n");
        _exit(125);
    }
    pthread_mutex_init(&t->lock, NULL);
    t->pid = getpid();
    t->tid = (pid_t)syscall(SYS_gettid);
    pthread_mutex_lock(&list_lock);
    t->next = threads;
    threads = t;
    pthread_mutex_unlock(&list_lock);
    self = t;
    emit_clock(t);
    return t;
}

static inline struct thread *me(void)
{
    return __builtin_expect(self != NULL, 1) ? self : new_thread();
}

static void retire(struct thread *t)
{
    pthread_mutex_lock(&list_lock);
    struct thread **p = &threads;
    while (*p && *p != t)
        p = &(*p)->next;
    bool listed = *p != NULL;
    if (listed)
        *p = t->next;
    pthread_mutex_unlock(&list_lock);
    if (!listed)
        return;
    pthread_mutex_lock(&t->lock);
    finish(t);
    pthread_mutex_unlock(&t->lock);
    self = NULL;
    free(t->filter);
    free(t->used);
    free(t->buffer);
    free(t);
}

static void describe_process(void)
{
    char command[3000], line[3200];
    size_t n = 0;
    FILE *f = fopen("/proc/self/cmdline", "re");
    if (f) {
        n = fread(command, 1, sizeof command - 1, f);
        fclose(f);
    }
    for (size_t i = 0; i < n; i++)
        if (command[i] == 0 || command[i] == '\n')
            command[i] = ' ';
    while (n > 0 && command[n - 1] == ' ')
        n--;
    command[n] = 0;
    snprintf(line, sizeof line, "process=%d parent=%d clock_ns=%" PRIu64 " command=%s\n",
             (int)getpid(), (int)getppid(), now_ns(), command);
    meta_line(line);
}

/* What the parent had buffered is written by the parent; the child starts empty. */
static void after_fork_in_child(void)
{
    self = NULL;
    threads = NULL;
    pthread_mutex_init(&list_lock, NULL);
    describe_process();
}

/* The program and its loader are mapped by QEMU, not by a syscall of the guest. */
static void save_maps(void)
{
    char buf[16384], path[4200];
    int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    ssize_t n;
    snprintf(path, sizeof path, "%s.%d.maps", opt.prefix, (int)getpid());
    while (fd >= 0 && (n = read(fd, buf, sizeof buf)) > 0)
        append(path, buf, (size_t)n);
    if (fd >= 0)
        close(fd);
}

/* ---- the hot path ---- */

static inline void touch(struct thread *t, uint64_t tag, uint32_t ops)
{
    if (opt.window == 0) {
        struct entry *r = &t->run;
        if (r->count && r->tag == tag && (r->ops == ops) && r->count != UINT32_MAX) {
            r->count++;
        } else {
            if (r->count)
                emit_entry(t, r);
            *r = (struct entry){tag, 1, ops};
        }
        if (++t->touches >= 65536) {
            t->touches = 0;
            emit_clock(t);
        }
        return;
    }
    uint64_t unit = tag >> 1;
    uint32_t slot = (uint32_t)(unit ^ unit >> 11 ^ (tag & 1) * 0x155) & (opt.entries - 1);
    struct entry *e = &t->filter[slot];
    if (e->count && e->tag == tag) {
        e->count++;
        e->ops |= ops;
    } else {
        if (e->count)
            emit_entry(t, e);
        else
            t->used[t->nr_used++] = slot;
        *e = (struct entry){tag, 1, ops};
    }
    if (++t->touches >= opt.window) {
        flush_window(t);
        emit_clock(t);
    }
}

static void on_mem(unsigned vcpu, uint32_t info, uint64_t vaddr, void *user)
{
    (void)vcpu, (void)user;
    struct thread *t = me();
    bool store = qemu_plugin_mem_is_store(info);
    uint64_t size = UINT64_C(1) << qemu_plugin_mem_size_shift(info);
    uint64_t first = vaddr >> opt.unit_shift, last = (vaddr + size - 1) >> opt.unit_shift;
    uint32_t ops = store ? 2 : 1;
    *(store ? &t->stores : &t->loads) += 1;
    touch(t, first << 1, ops);
    if (__builtin_expect(last != first, 0)) {
        t->splits++;
        touch(t, last << 1, ops);
    }
}

/* A block's user data: first unit << 16 | units - 1 << 10 | instructions. */
enum { INSN_BITS = 10, UNIT_BITS = 6 };

static void on_block(unsigned vcpu, void *user)
{
    (void)vcpu;
    struct thread *t = me();
    uint64_t packed = (uint64_t)(uintptr_t)user;
    uint32_t insns = packed & ((1u << INSN_BITS) - 1);
    t->pending += insns;
    t->instructions += insns;
    if (!opt.ifetch)
        return;
    uint64_t unit = packed >> (INSN_BITS + UNIT_BITS);
    uint32_t more = packed >> INSN_BITS & ((1u << UNIT_BITS) - 1);
    for (uint32_t i = 0; i <= more; i++) {
        t->fetches++;
        touch(t, (unit + i) << 1 | 1, 1);
    }
}

static void on_translate(plugin_id id, struct qemu_plugin_tb *tb)
{
    (void)id;
    size_t n = qemu_plugin_tb_n_insns(tb);
    if (n == 0)
        return;
    if (!__atomic_exchange_n(&maps_saved, true, __ATOMIC_RELAXED))
        save_maps();
    struct qemu_plugin_insn *last = qemu_plugin_tb_get_insn(tb, n - 1);
    uint64_t end = qemu_plugin_insn_vaddr(last) + qemu_plugin_insn_size(last) - 1;
    uint64_t unit = qemu_plugin_tb_vaddr(tb) >> opt.unit_shift;
    uint64_t more = (end >> opt.unit_shift) - unit;
    if (more >= 1u << UNIT_BITS)
        more = (1u << UNIT_BITS) - 1;
    uint64_t insns = n < 1u << INSN_BITS ? n : (1u << INSN_BITS) - 1;
    uint64_t packed = unit << (INSN_BITS + UNIT_BITS) | more << INSN_BITS | insns;
    qemu_plugin_register_vcpu_tb_exec_cb(tb, on_block, NO_REGS, (void *)(uintptr_t)packed);
    for (size_t i = 0; i < n; i++)
        qemu_plugin_register_vcpu_mem_cb(qemu_plugin_tb_get_insn(tb, i), on_mem, NO_REGS, MEM_RW,
                                         NULL);
}

/* ---- syscalls ---- */

/* x86-64 numbers, not the host's, although they agree on the only host supported. */
enum {
    N_READ = 0, N_WRITE = 1, N_MMAP = 9, N_MPROTECT = 10, N_MUNMAP = 11, N_BRK = 12, N_PREAD = 17,
    N_PWRITE = 18, N_READV = 19, N_WRITEV = 20, N_SENDMSG = 46, N_RECVMSG = 47, N_MREMAP = 25, N_MADVISE = 28, N_SENDTO = 44, N_RECVFROM = 45, N_CLONE = 56,
    N_FORK = 57, N_VFORK = 58, N_EXECVE = 59, N_EXIT = 60, N_SETAFFINITY = 203, N_EXIT_GROUP = 231,
    N_MBIND = 237, N_SET_MEMPOLICY = 238, N_MIGRATE_PAGES = 256, N_MOVE_PAGES = 279,
    N_EXECVEAT = 322, N_CLONE3 = 435,
};

static bool wanted(int64_t number)
{
    switch (number) {
    case N_READ: case N_WRITE: case N_PREAD: case N_PWRITE: case N_SENDTO: case N_RECVFROM:
        return opt.io;
    case N_MMAP: case N_MPROTECT: case N_MUNMAP: case N_BRK: case N_MREMAP: case N_MADVISE:
    case N_CLONE: case N_CLONE3: case N_FORK: case N_VFORK: case N_EXECVE: case N_EXECVEAT:
    case N_EXIT: case N_EXIT_GROUP: case N_SETAFFINITY: case N_MBIND: case N_SET_MEMPOLICY:
    case N_MIGRATE_PAGES: case N_MOVE_PAGES:
        return true;
    default:
        return false;
    }
}

static bool is_vector(int64_t number)
{
    return number == N_READV || number == N_WRITEV || number == N_SENDMSG || number == N_RECVMSG;
}

static void emit_syscall(struct thread *t, int64_t number, const uint64_t args[6])
{
    emit(t, (uint64_t)number, K_SYSCALL, 0);
    for (int i = 0; i < 6; i++)
        emit_value(t, args[i], K_ARG);
}

/* Reads guest memory, which user mode maps at the guest's own addresses; never faults. */
static bool guest_read(uint64_t address, void *to, size_t size)
{
    struct iovec here = {to, size}, there = {(void *)(uintptr_t)address, size};
    return process_vm_readv(getpid(), &here, 1, &there, 1, 0) == (ssize_t)size;
}

/* A vector call is written when it has returned, one group of records per buffer. */
static void emit_vector(struct thread *t, int64_t number, int64_t result)
{
    uint64_t list = t->vector_args[1], length = t->vector_args[2];
    struct msghdr message;
    if (number == N_SENDMSG || number == N_RECVMSG) {
        if (!guest_read(list, &message, sizeof message))
            return;
        list = (uint64_t)(uintptr_t)message.msg_iov;
        length = message.msg_iovlen;
    }
    flush_window(t);
    for (uint64_t i = 0; i < length && result > 0; i++) {
        struct iovec v;
        if (!guest_read(list + i * sizeof v, &v, sizeof v))
            return;
        int64_t part = (uint64_t)result < v.iov_len ? result : (int64_t)v.iov_len;
        const uint64_t args[6] = {t->vector_args[0], (uint64_t)(uintptr_t)v.iov_base, v.iov_len};
        emit_syscall(t, number, args);
        emit_value(t, (uint64_t)part, K_RESULT);
        result -= part;
    }
}

static void name_mapping(const struct thread *t, uint64_t length, uint64_t fd, uint64_t offset)
{
    char link[64], path[3000], line[3300];
    snprintf(link, sizeof link, "/proc/self/fd/%d", (int)fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n <= 0)
        return;
    path[n] = 0;
    snprintf(line, sizeof line, "file=%d.%d length=%" PRIu64 " offset=%" PRIu64 " path=%s\n",
             (int)t->pid, (int)t->tid, length, offset, path);
    meta_line(line);
}

static void on_syscall(plugin_id id, unsigned vcpu, int64_t number, uint64_t a1, uint64_t a2,
                       uint64_t a3, uint64_t a4, uint64_t a5, uint64_t a6, uint64_t a7, uint64_t a8)
{
    (void)id, (void)vcpu, (void)a7, (void)a8;
    const uint64_t args[6] = {a1, a2, a3, a4, a5, a6};
    struct thread *t = me();
    pthread_mutex_lock(&t->lock);
    t->syscall_start = now_ns();
    t->syscall_number = number;
    if (wanted(number)) {
        flush_window(t);
        emit(t, t->syscall_start, K_CLOCK, 0);
        emit_syscall(t, number, args);
        if (number == N_MMAP && (int32_t)a5 >= 0)
            name_mapping(t, a2, a5, a6);
    }
    memcpy(t->vector_args, args, sizeof t->vector_args);
    bool leaves = number == N_EXECVE || number == N_EXECVEAT;
    if (leaves)
        finish(t);
    pthread_mutex_unlock(&t->lock);
    if (number == N_EXIT)
        retire(t);
}

static void on_syscall_return(plugin_id id, unsigned vcpu, int64_t number, int64_t result)
{
    (void)id, (void)vcpu;
    struct thread *t = me();
    pthread_mutex_lock(&t->lock);
    uint64_t now = now_ns();
    if (wanted(number))
        emit_value(t, (uint64_t)result, K_RESULT);
    if (opt.io && is_vector(number))
        emit_vector(t, number, result);
    emit_blocked(t, now);
    t->syscall_start = 0;
    pthread_mutex_unlock(&t->lock);
}

static void on_vcpu_exit(plugin_id id, unsigned vcpu)
{
    (void)id, (void)vcpu;
    if (self)
        retire(self);
}

static void on_exit_process(plugin_id id, void *user)
{
    (void)id, (void)user;
    pthread_mutex_lock(&list_lock);
    for (struct thread *t = threads; t; t = t->next) {
        pthread_mutex_lock(&t->lock);
        finish(t);
        pthread_mutex_unlock(&t->lock);
    }
    threads = NULL;
    pthread_mutex_unlock(&list_lock);
}

/* ---- options ---- */

static bool parse_option(const char *arg)
{
    const char *eq = strchr(arg, '=');
    if (!eq)
        return false;
    size_t len = (size_t)(eq - arg);
    const char *value = eq + 1;
    char *end;
    unsigned long n = strtoul(value, &end, 10);
    bool number = *value && !*end && n <= UINT32_MAX;
#define IS(name) (len == sizeof name - 1 && !strncmp(arg, name, len))
    if (IS("out")) {
        char dir[2000] = "";
        if (value[0] != '/' && !getcwd(dir, sizeof dir))
            return false;
        int used = snprintf(opt.prefix, sizeof opt.prefix, "%s%s%s", dir, *dir ? "/" : "", value);
        return *value && used < (int)sizeof opt.prefix;
    }
    if (IS("unit")) {
        opt.unit_shift = !strcmp(value, "line") ? 6 : !strcmp(value, "page") ? 12 : 0;
        return opt.unit_shift != 0;
    }
    if (IS("filter") && number && n == 0) {
        opt.window = 0;
        return true;
    }
    if (IS("window"))
        return opt.window = (uint32_t)n, number;
    if (IS("entries"))
        return opt.entries = (uint32_t)n, number && n > 0 && n <= MAX_ENTRIES && !(n & (n - 1));
    if (IS("ifetch"))
        return opt.ifetch = n != 0, number && n <= 1;
    if (IS("io"))
        return opt.io = n != 0, number && n <= 1;
    return false;
#undef IS
}

static void write_header(const plugin_info *info)
{
    char line[1000], date[40] = "";
    time_t seconds = time(NULL);
    struct tm utc;
    if (gmtime_r(&seconds, &utc))
        strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", &utc);
    snprintf(line, sizeof line,
             "npage=2\narch=%s\nunit_shift=%d\nwindow=%u\nentries=%u\nifetch=%d\nio=%d\n"
             "clock=monotonic_ns\nblocked_ns=%d\nplugin_api=%d\ncores=%ld\ndate=%s\n",
             info->target_name, opt.unit_shift, opt.window, opt.window ? opt.entries : 0, opt.ifetch,
             opt.io, BLOCKED_NS, info->version.cur, sysconf(_SC_NPROCESSORS_ONLN), date);
    meta_line(line);
}

EXPORT int qemu_plugin_install(plugin_id id, const plugin_info *info, int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        if (!parse_option(argv[i])) {
            fprintf(stderr, "npage: bad option '%s'; known: out=PREFIX unit=line|page window=N "
                            "entries=POWER_OF_TWO filter=0 ifetch=0|1 io=0|1\n", argv[i]);
            return -1;
        }
    }
    if (!opt.prefix[0]) {
        fprintf(stderr, "npage: out=PREFIX is required\n");
        return -1;
    }
    if (strcmp(info->target_name, "x86_64")) {
        fprintf(stderr, "npage: only x86_64 guests are supported, not %s\n", info->target_name);
        return -1;
    }
    char path[4200];
    snprintf(path, sizeof path, "%s.meta", opt.prefix);
    if (access(path, F_OK) != 0) /* a wrapped child adds to its parent's recording */
        write_header(info);
    describe_process();
    pthread_atfork(NULL, NULL, after_fork_in_child);
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translate);
    qemu_plugin_register_vcpu_exit_cb(id, on_vcpu_exit);
    qemu_plugin_register_vcpu_syscall_cb(id, on_syscall);
    qemu_plugin_register_vcpu_syscall_ret_cb(id, on_syscall_return);
    qemu_plugin_register_atexit_cb(id, on_exit_process, NULL);
    return 0;
}
