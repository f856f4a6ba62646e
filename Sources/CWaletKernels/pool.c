// A pool of persistent workers whose barrier costs about a microsecond while it is hot: a decode step has hundreds of
// parallel regions. Workers spin for a short while after a region and only then sleep.
#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE
#endif
#include "include/walet_kernels.h"

#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#if defined(__linux__)
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

enum { SPIN_NANOSECONDS = 50000, CACHE_LINE = 64 };

// The ticket holds the region's number in its high bits and, below, how many of its tasks nobody has taken yet. A worker
// takes a task by decrementing the ticket with compare-and-swap. That succeeds only while the ticket is what the worker
// read, so the region was alive all the while, and what the worker read about it in between is not torn: the caller
// writes a new region's facts only while the ticket shows no task, and after all tasks have been reported as done.
#define TICKET_TASKS ((UINT64_C(1) << 40) - 1)

typedef struct worker {
    wk_pool *pool;
    pthread_t thread;
    int32_t index;
} worker;

struct wk_pool {
    _Alignas(CACHE_LINE) _Atomic uint64_t ticket;
    // The region's facts.
    _Atomic(wk_task) task;
    _Atomic(void *) context;
    _Atomic int64_t count;

    _Alignas(CACHE_LINE) _Atomic int64_t done; // tasks of this region that are finished
    _Atomic bool caller_sleeps;
    _Atomic uint32_t finish_word; // the caller sleeps on this

    _Alignas(CACHE_LINE) _Atomic uint32_t wake_word; // workers sleep on this
    _Atomic int32_t sleepers;
    _Atomic bool stop;

    _Alignas(CACHE_LINE) int32_t threads;
    worker *workers; // threads - 1 of them
#if !defined(__linux__)
    pthread_mutex_t mutex;
    pthread_cond_t condition;
#endif
};

// Sleeps while *word == expected; may return early.
static void sleep_on(wk_pool *pool, _Atomic uint32_t *word, uint32_t expected) {
#if defined(__linux__)
    (void)pool;
    syscall(SYS_futex, (uint32_t *)word, FUTEX_WAIT_PRIVATE, expected, NULL, NULL, 0);
#else
    pthread_mutex_lock(&pool->mutex);
    if (atomic_load(word) == expected) pthread_cond_wait(&pool->condition, &pool->mutex);
    pthread_mutex_unlock(&pool->mutex);
#endif
}

static void wake(wk_pool *pool, _Atomic uint32_t *word, int limit) {
#if defined(__linux__)
    (void)pool;
    atomic_fetch_add(word, 1);
    syscall(SYS_futex, (uint32_t *)word, FUTEX_WAKE_PRIVATE, limit, NULL, NULL, 0);
#else
    // One condition serves both words, so everybody is woken and looks.
    (void)limit;
    pthread_mutex_lock(&pool->mutex);
    atomic_fetch_add(word, 1);
    pthread_cond_broadcast(&pool->condition);
    pthread_mutex_unlock(&pool->mutex);
#endif
}

static inline void relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("isb" ::: "memory"); // waits about as long as x86's pause; `yield` is a no-op on most cores
#endif
}

static int64_t nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

// Takes and runs tasks until none is left.
static void run_tasks(wk_pool *pool, int32_t index) {
    int64_t finished = 0, count = 0;
    uint64_t ticket = atomic_load(&pool->ticket);
    while ((ticket & TICKET_TASKS) != 0) {
        wk_task task = atomic_load_explicit(&pool->task, memory_order_relaxed);
        void *context = atomic_load_explicit(&pool->context, memory_order_relaxed);
        count = atomic_load_explicit(&pool->count, memory_order_relaxed);
        if (!atomic_compare_exchange_weak(&pool->ticket, &ticket, ticket - 1)) continue;
        task(context, count - (int64_t)(ticket & TICKET_TASKS), index);
        finished++;
        ticket = atomic_load(&pool->ticket);
    }
    if (finished == 0) return;
    // The region cannot end before this line, so `count` is its own. The caller may sleep by now.
    if (atomic_fetch_add(&pool->done, finished) + finished == count && index != 0 && atomic_load(&pool->caller_sleeps)) {
        wake(pool, &pool->finish_word, 1);
    }
}

static bool has_work(wk_pool *pool) {
    return (atomic_load(&pool->ticket) & TICKET_TASKS) != 0 || atomic_load(&pool->stop);
}

static void wait_for_work(wk_pool *pool) {
    int64_t deadline = nanoseconds() + SPIN_NANOSECONDS;
    do {
        for (int i = 0; i < 16; i++) {
            if (has_work(pool)) return;
            relax();
        }
    } while (nanoseconds() < deadline);
    // The caller publishes work and then looks for sleepers; here a sleeper is counted and then looks for work. One of
    // the two sees the other, as all four accesses are sequentially consistent.
    atomic_fetch_add(&pool->sleepers, 1);
    for (;;) {
        uint32_t word = atomic_load(&pool->wake_word);
        if (has_work(pool)) break;
        sleep_on(pool, &pool->wake_word, word);
    }
    atomic_fetch_sub(&pool->sleepers, 1);
}

static void *worker_main(void *argument) {
    worker *self = argument;
    wk_pool *pool = self->pool;
    for (;;) {
        wait_for_work(pool);
        if (atomic_load(&pool->stop)) return NULL;
        run_tasks(pool, self->index);
    }
}

wk_pool *wk_pool_create(int32_t threads) {
    if (threads < 1) return NULL;
    wk_pool *pool = NULL;
    if (posix_memalign((void **)&pool, CACHE_LINE, sizeof *pool) != 0) return NULL;
    atomic_init(&pool->ticket, 0);
    atomic_init(&pool->task, NULL);
    atomic_init(&pool->context, NULL);
    atomic_init(&pool->count, 0);
    atomic_init(&pool->done, 0);
    atomic_init(&pool->caller_sleeps, false);
    atomic_init(&pool->finish_word, 0);
    atomic_init(&pool->wake_word, 0);
    atomic_init(&pool->sleepers, 0);
    atomic_init(&pool->stop, false);
    pool->threads = 1;
    pool->workers = NULL;
#if !defined(__linux__)
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->condition, NULL);
#endif
    if (threads > 1) {
        pool->workers = calloc((size_t)threads - 1, sizeof(worker));
        if (!pool->workers) {
            wk_pool_destroy(pool);
            return NULL;
        }
    }
    // Signals meant for the process go to threads that expect them. Faults stay: the guard's SIGBUS is raised here.
    sigset_t blocked, before;
    sigfillset(&blocked);
    const int faults[] = {SIGBUS, SIGSEGV, SIGILL, SIGFPE, SIGTRAP, SIGABRT, SIGPROF};
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) sigdelset(&blocked, faults[i]);
    pthread_sigmask(SIG_SETMASK, &blocked, &before);
    bool ok = true;
    for (int32_t i = 0; ok && i < threads - 1; i++) {
        worker *w = &pool->workers[i];
        w->pool = pool;
        w->index = i + 1;
        ok = pthread_create(&w->thread, NULL, worker_main, w) == 0;
        if (ok) pool->threads++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!ok) {
        wk_pool_destroy(pool);
        return NULL;
    }
    return pool;
}

int32_t wk_pool_threads(const wk_pool *pool) {
    return pool->threads;
}

void wk_pool_run(wk_pool *pool, int64_t count, wk_task task, void *context) {
    if (pool->threads == 1 || count <= 1) {
        for (int64_t i = 0; i < count; i++) task(context, i, 0);
        return;
    }
    atomic_store_explicit(&pool->task, task, memory_order_relaxed);
    atomic_store_explicit(&pool->context, context, memory_order_relaxed);
    atomic_store_explicit(&pool->count, count, memory_order_relaxed);
    atomic_store_explicit(&pool->done, 0, memory_order_relaxed);
    uint64_t region = (atomic_load(&pool->ticket) & ~TICKET_TASKS) + TICKET_TASKS + 1;
    atomic_store(&pool->ticket, region | (uint64_t)count);
    if (atomic_load(&pool->sleepers) > 0) wake(pool, &pool->wake_word, count > INT_MAX ? INT_MAX : (int)count - 1);

    run_tasks(pool, 0);

    int64_t deadline = nanoseconds() + SPIN_NANOSECONDS;
    do {
        for (int i = 0; i < 16; i++) {
            if (atomic_load(&pool->done) == count) return;
            relax();
        }
    } while (nanoseconds() < deadline);
    atomic_store(&pool->caller_sleeps, true);
    for (;;) {
        uint32_t word = atomic_load(&pool->finish_word);
        if (atomic_load(&pool->done) == count) break;
        sleep_on(pool, &pool->finish_word, word);
    }
    atomic_store(&pool->caller_sleeps, false);
}

void wk_pool_destroy(wk_pool *pool) {
    if (!pool) return;
    atomic_store(&pool->stop, true);
    wake(pool, &pool->wake_word, INT_MAX);
    for (int32_t i = 0; i < pool->threads - 1; i++) pthread_join(pool->workers[i].thread, NULL);
#if !defined(__linux__)
    pthread_cond_destroy(&pool->condition);
    pthread_mutex_destroy(&pool->mutex);
#endif
    free(pool->workers);
    free(pool);
}
