// How fast a disk gives blocks at random places of a file past the page cache: the limit of streamed decoding. Blocks go
// into large pages, and one after the other into 128 MB of them: into a few buffers that the processor's cache still holds a
// virtual disk is half as fast again, and into small pages it is slower by a third.
// direct_read FILE SECONDS [BLOCK THREADS]...: prints GB/s of each, as JSON.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { MEMORY = 128 << 20, LARGE = 2 << 20 };
static int file;
static int64_t block, size;
static char *memory;
static _Atomic int64_t turn;
static double deadline;
static _Atomic int64_t bytes;

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void *work(void *seed) {
    uint64_t state = (uint64_t)(uintptr_t)seed * 0x9E3779B97F4A7C15u + (uint64_t)time(NULL);
    while (now() < deadline) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        int64_t offset = (int64_t)((state >> 20) % (uint64_t)((size - block) / 4096)) * 4096;
        char *target = memory + atomic_fetch_add(&turn, 1) % (MEMORY / block) * block;
        ssize_t got = pread(file, target, (size_t)block, offset);
        if (got != block) {
            fprintf(stderr, "read of %ld bytes at %ld: %s\n", (long)block, (long)offset, got < 0 ? strerror(errno) : "short");
            exit(1);
        }
        atomic_fetch_add(&bytes, got);
    }
    return NULL;
}

int main(int count, char **arguments) {
    if (count < 5) return 2;
    file = open(arguments[1], O_RDONLY | O_DIRECT);
    if (file < 0) {
        perror(arguments[1]);
        return 1;
    }
    size = lseek(file, 0, SEEK_END);
    if (posix_memalign((void **)&memory, LARGE, MEMORY) != 0) return 1;
    madvise(memory, MEMORY, MADV_HUGEPAGE);
    memset(memory, 1, MEMORY);
    printf("[");
    for (int index = 3; index + 1 < count; index += 2) {
        block = atol(arguments[index]);
        int threads = atoi(arguments[index + 1]);
        pthread_t ids[64];
        atomic_store(&bytes, 0);
        double start = now();
        deadline = start + atof(arguments[2]);
        for (long id = 0; id < threads && id < 64; id++) pthread_create(&ids[id], NULL, work, (void *)(id + 1));
        for (int id = 0; id < threads && id < 64; id++) pthread_join(ids[id], NULL);
        printf("%s{\"block\": %ld, \"threads\": %d, \"gb_per_second\": %.4f}", index > 3 ? ", " : "", (long)block, threads,
               (double)atomic_load(&bytes) / 1e9 / (now() - start));
    }
    printf("]\n");
    return 0;
}
