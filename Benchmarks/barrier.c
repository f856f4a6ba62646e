// Measures what a parallel region of the thread pool costs: nothing is done in it.
//
//     cc -O2 -ISources/CWaletKernels/include Benchmarks/barrier.c Sources/CWaletKernels/pool.c -lpthread -o barrier
//     ./barrier [THREADS]
//
// Prints the median and the 99th percentile of 100,000 regions of as many tasks as threads, in nanoseconds.
#include "walet_kernels.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { regions = 100000 };

static void nothing(void *context, int64_t task, int32_t worker) {
    (void)context;
    (void)task;
    (void)worker;
}

static int64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000 + t.tv_nsec;
}

static int ascending(const void *a, const void *b) {
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv) {
    const int threads = argc > 1 ? atoi(argv[1]) : 2;
    wk_pool *pool = wk_pool_create(threads);
    if (!pool) {
        fprintf(stderr, "barrier: cannot start %d threads\n", threads);
        return 1;
    }
    static int64_t took[regions];
    for (int i = 0; i < regions; i++) {
        const int64_t start = now();
        wk_pool_run(pool, threads, nothing, NULL);
        took[i] = now() - start;
    }
    wk_pool_destroy(pool);
    qsort(took, regions, sizeof *took, ascending);
    printf("%d threads: median %lld ns, 99%% %lld ns\n", threads, (long long)took[regions / 2],
           (long long)took[regions / 100 * 99]);
    return 0;
}
