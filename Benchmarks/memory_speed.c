// Measures how fast this machine reads memory: the physical limit of decoding, which reads each active weight once.
//
//     memory_speed [--threads N] [--gigabytes G] [--passes P] [--prefetch BYTES] [FILE]
//
// Each thread reads its own contiguous part with the widest vector loads that the compiler was told of, several streams of
// accumulators so that the adds do not limit. Without FILE the memory is anonymous and asks for huge pages; with FILE it is
// the file's mapping, read from the page cache as an engine reads its weights. One pass first is not timed. With --prefetch
// each load asks for the line that many bytes ahead, which beats the hardware's own prefetch on some machines. Prints one
// JSON object; GB are 1e9 bytes.
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#if defined(__AVX512F__)
#define WIDTH 64
#elif defined(__AVX__)
#define WIDTH 32
#else
#define WIDTH 16
#endif
typedef uint64_t vector __attribute__((vector_size(WIDTH)));

enum { maxThreads = 256, maxPasses = 100, streams = 8 };

static pthread_barrier_t barrier;
static volatile uint64_t sink[maxThreads];

struct part {
    const uint8_t *start;
    size_t bytes, prefetch;
    int passes, index;
};

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static uint64_t sumOf(const uint8_t *start, size_t bytes, size_t prefetch) {
    vector sums[streams] = {0};
    const size_t step = streams * sizeof(vector);
    for (size_t i = 0; i + step <= bytes; i += step) {
        const vector *p = (const vector *)(start + i);
        if (prefetch)
            for (size_t line = 0; line < step; line += 64) __builtin_prefetch(start + i + prefetch + line);
        for (int s = 0; s < streams; s++) sums[s] += p[s];
    }
    uint64_t sum = 0;
    for (int s = 0; s < streams; s++)
        for (size_t lane = 0; lane < sizeof(vector) / 8; lane++) sum += sums[s][lane];
    return sum;
}

static void *work(void *argument) {
    const struct part *part = argument;
    for (int pass = 0; pass <= part->passes; pass++) { // the first pass is not timed
        pthread_barrier_wait(&barrier);
        sink[part->index] += sumOf(part->start, part->bytes, part->prefetch);
        pthread_barrier_wait(&barrier);
    }
    return NULL;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv) {
    int threads = 1, passes = 5, prefetch = 0;
    double gigabytes = 4;
    const char *file = NULL;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--threads") && i + 1 < argc) threads = atoi(argv[++i]);
        else if (!strcmp(argv[i], "--gigabytes") && i + 1 < argc) gigabytes = atof(argv[++i]);
        else if (!strcmp(argv[i], "--passes") && i + 1 < argc) passes = atoi(argv[++i]);
        else if (!strcmp(argv[i], "--prefetch") && i + 1 < argc) prefetch = atoi(argv[++i]);
        else if (argv[i][0] != '-' && !file) file = argv[i];
        else {
            fprintf(stderr, "usage: memory_speed [--threads N] [--gigabytes G] [--passes P] [--prefetch BYTES] [FILE]\n");
            return 2;
        }
    }
    if (threads < 1 || threads > maxThreads || passes < 1 || passes > maxPasses || prefetch < 0 || gigabytes <= 0) {
        fprintf(stderr, "memory_speed: 1-%d threads, 1-%d passes, more than 0 gigabytes\n", maxThreads, maxPasses);
        return 2;
    }
    size_t bytes = (size_t)(gigabytes * 1e9);
    uint8_t *memory;
    if (file) {
        int descriptor = open(file, O_RDONLY);
        struct stat status;
        if (descriptor < 0 || fstat(descriptor, &status)) {
            perror(file);
            return 1;
        }
        if ((size_t)status.st_size < bytes) bytes = (size_t)status.st_size;
        memory = mmap(NULL, bytes, PROT_READ, MAP_SHARED, descriptor, 0);
    } else {
        memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    }
    if (memory == MAP_FAILED) {
        perror("memory_speed: mmap");
        return 1;
    }
    if (!file) {
        madvise(memory, bytes, MADV_HUGEPAGE);
        memset(memory, 1, bytes); // pages that were never written all map to one page of zeros
    }
    const size_t share = bytes / threads / 4096 * 4096;
    if (!share) {
        fprintf(stderr, "memory_speed: less than a page for each thread\n");
        return 1;
    }
    pthread_barrier_init(&barrier, NULL, threads + 1);
    pthread_t workers[maxThreads];
    struct part parts[maxThreads];
    for (int t = 0; t < threads; t++) {
        parts[t] = (struct part){memory + t * share, share, prefetch, passes, t};
        if (pthread_create(&workers[t], NULL, work, &parts[t])) {
            fprintf(stderr, "memory_speed: cannot start thread %d\n", t);
            return 1;
        }
    }
    double speeds[maxPasses];
    for (int pass = 0; pass <= passes; pass++) {
        pthread_barrier_wait(&barrier);
        const double start = now();
        pthread_barrier_wait(&barrier);
        if (pass) speeds[pass - 1] = (double)share * threads / (now() - start) / 1e9;
    }
    for (int t = 0; t < threads; t++) pthread_join(workers[t], NULL);
    qsort(speeds, passes, sizeof *speeds, ascending);
    printf("{\"threads\": %d, \"bytes\": %zu, \"vector_bytes\": %d, \"memory\": \"%s\", \"prefetch\": %d, \"min\": %.2f, \"median\": %.2f, "
           "\"max\": %.2f}\n", threads, share * threads, WIDTH, file ? "file" : "anonymous", prefetch,
           speeds[0], speeds[passes / 2], speeds[passes - 1]);
    return 0;
}
