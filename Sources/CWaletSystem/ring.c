// io_uring by its system calls (Linux 5.6), for reads alone: what the store of experts needs of it is less than a library
// that would have to be installed.
#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE
#endif
#include "include/walet_system.h"

#include <errno.h>
#include <stdlib.h>

#if defined(__linux__)

#include <fcntl.h>
#include <linux/io_uring.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_io_uring_setup
#define SYS_io_uring_setup 425
#define SYS_io_uring_enter 426
#endif

int walet_open_direct(int descriptor) {
    // By the descriptor and not by its name, which may be another file's by now.
    char path[40];
    snprintf(path, sizeof path, "/proc/self/fd/%d", descriptor);
    int direct = open(path, O_RDONLY | O_CLOEXEC | O_DIRECT);
    return direct >= 0 ? direct : -errno;
}

struct walet_ring {
    int descriptor;
    unsigned entries;
    unsigned queued; // noted down, not handed over
    void *rings, *requests;
    size_t rings_bytes, requests_bytes;
    _Atomic unsigned *submit_tail, *complete_head, *complete_tail;
    unsigned submit_mask, complete_mask;
    unsigned *submit_array;
    struct io_uring_sqe *sqes;
    struct io_uring_cqe *cqes;
    unsigned tail, under_way;
};

walet_ring *walet_ring_create(unsigned entries, int *error) {
    struct io_uring_params parameters;
    memset(&parameters, 0, sizeof parameters);
    int descriptor = (int)syscall(SYS_io_uring_setup, entries, &parameters);
    if (descriptor < 0) {
        *error = errno;
        return NULL;
    }
    walet_ring *ring = calloc(1, sizeof *ring);
    // One mapping for both rings: Linux 5.4.
    if (ring == NULL || !(parameters.features & IORING_FEAT_SINGLE_MMAP)) {
        *error = ring == NULL ? ENOMEM : ENOSYS;
        free(ring);
        close(descriptor);
        return NULL;
    }
    ring->descriptor = descriptor;
    ring->entries = parameters.sq_entries;
    size_t submit_bytes = parameters.sq_off.array + parameters.sq_entries * sizeof(unsigned);
    size_t complete_bytes = parameters.cq_off.cqes + parameters.cq_entries * sizeof(struct io_uring_cqe);
    ring->rings_bytes = submit_bytes > complete_bytes ? submit_bytes : complete_bytes;
    ring->requests_bytes = parameters.sq_entries * sizeof(struct io_uring_sqe);
    ring->rings = mmap(NULL, ring->rings_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, descriptor,
                       IORING_OFF_SQ_RING);
    ring->requests = mmap(NULL, ring->requests_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, descriptor,
                          IORING_OFF_SQES);
    if (ring->rings == MAP_FAILED || ring->requests == MAP_FAILED) {
        *error = errno;
        walet_ring_destroy(ring);
        return NULL;
    }
    char *base = ring->rings;
    ring->submit_tail = (_Atomic unsigned *)(base + parameters.sq_off.tail);
    ring->submit_mask = *(unsigned *)(base + parameters.sq_off.ring_mask);
    ring->submit_array = (unsigned *)(base + parameters.sq_off.array);
    ring->complete_head = (_Atomic unsigned *)(base + parameters.cq_off.head);
    ring->complete_tail = (_Atomic unsigned *)(base + parameters.cq_off.tail);
    ring->complete_mask = *(unsigned *)(base + parameters.cq_off.ring_mask);
    ring->cqes = (struct io_uring_cqe *)(base + parameters.cq_off.cqes);
    ring->sqes = ring->requests;
    ring->tail = atomic_load_explicit(ring->submit_tail, memory_order_relaxed);
    return ring;
}

void walet_ring_destroy(walet_ring *ring) {
    if (ring->rings != NULL && ring->rings != MAP_FAILED) munmap(ring->rings, ring->rings_bytes);
    if (ring->requests != NULL && ring->requests != MAP_FAILED) munmap(ring->requests, ring->requests_bytes);
    close(ring->descriptor);
    free(ring);
}

int walet_ring_read(walet_ring *ring, int descriptor, void *target, uint32_t count, uint64_t offset, uint64_t tag) {
    if (ring->under_way + ring->queued >= ring->entries) return EBUSY;
    unsigned index = ring->tail & ring->submit_mask;
    struct io_uring_sqe *sqe = &ring->sqes[index];
    memset(sqe, 0, sizeof *sqe);
    sqe->opcode = IORING_OP_READ;
    sqe->fd = descriptor;
    sqe->addr = (uint64_t)(uintptr_t)target;
    sqe->len = count;
    sqe->off = offset;
    sqe->user_data = tag;
    ring->submit_array[index] = index;
    ring->tail++;
    ring->queued++;
    atomic_store_explicit(ring->submit_tail, ring->tail, memory_order_release);
    return 0;
}

int walet_ring_submit(walet_ring *ring, int waits) {
    while (ring->queued > 0 || waits) {
        int taken = (int)syscall(SYS_io_uring_enter, ring->descriptor, ring->queued, waits ? 1 : 0,
                                 waits ? IORING_ENTER_GETEVENTS : 0, NULL, 0);
        if (taken < 0) {
            if (errno == EINTR) continue;
            return errno;
        }
        ring->queued -= (unsigned)taken;
        ring->under_way += (unsigned)taken;
        waits = 0;
        // The kernel is short of memory for more: what is under way goes first.
        if (taken == 0 && ring->queued > 0) return ring->under_way > 0 ? 0 : EAGAIN;
    }
    return 0;
}

uint32_t walet_ring_drop(walet_ring *ring) {
    // The kernel looks at the tail when it is asked to, and not before.
    unsigned count = ring->queued;
    ring->tail -= count;
    ring->queued = 0;
    atomic_store_explicit(ring->submit_tail, ring->tail, memory_order_release);
    return count;
}

int walet_ring_take(walet_ring *ring, uint64_t *tag, int32_t *result) {
    unsigned head = atomic_load_explicit(ring->complete_head, memory_order_relaxed);
    if (head == atomic_load_explicit(ring->complete_tail, memory_order_acquire)) return 0;
    struct io_uring_cqe *cqe = &ring->cqes[head & ring->complete_mask];
    *tag = cqe->user_data;
    *result = cqe->res;
    atomic_store_explicit(ring->complete_head, head + 1, memory_order_release);
    ring->under_way--;
    return 1;
}

#else

#include <fcntl.h>
#include <sys/param.h>
#include <unistd.h>

int walet_open_direct(int descriptor) {
#if defined(__APPLE__)
    char path[MAXPATHLEN];
    if (fcntl(descriptor, F_GETPATH, path) < 0) return -errno;
    int direct = open(path, O_RDONLY | O_CLOEXEC);
    if (direct < 0) return -errno;
    if (fcntl(direct, F_NOCACHE, 1) == 0) return direct;
    int error = errno;
    close(direct);
    return -error;
#else
    (void)descriptor;
    return -EINVAL;
#endif
}

walet_ring *walet_ring_create(unsigned entries, int *error) {
    (void)entries;
    *error = ENOSYS;
    return NULL;
}
void walet_ring_destroy(walet_ring *ring) { (void)ring; }
int walet_ring_read(walet_ring *ring, int descriptor, void *target, uint32_t count, uint64_t offset, uint64_t tag) {
    (void)ring, (void)descriptor, (void)target, (void)count, (void)offset, (void)tag;
    return ENOSYS;
}
int walet_ring_submit(walet_ring *ring, int waits) {
    (void)ring, (void)waits;
    return ENOSYS;
}
int walet_ring_take(walet_ring *ring, uint64_t *tag, int32_t *result) {
    (void)ring, (void)tag, (void)result;
    return 0;
}
uint32_t walet_ring_drop(walet_ring *ring) {
    (void)ring;
    return 0;
}

#endif
