// What the C library's headers cannot be asked for from Swift: the system-call filter behind `--sovereign`, and reads that
// go past the page cache, many at a time.

#ifndef WALET_SYSTEM_H
#define WALET_SYSTEM_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// Installs the filter for every thread of this process and for all its children, for good.
///
/// - forbid_programs: nonzero to refuse starting other programs, too.
/// - failed_thread: the thread that has a filter of its own, where that is what is wrong; else 0.
///
/// Returns 0, or the errno of what failed; ENOSYS where this system or processor has no such filter.
int walet_sovereign_install(int forbid_programs, long *failed_thread);

/// Sends one byte on a TCP socket that is opened by that (TCP fast open), to a port of 127.0.0.1. Returns 0 or the errno.
int walet_try_fast_open(uint16_t port);

/// Makes an io_uring and closes it again. Returns 0 or the errno.
int walet_try_io_uring(void);

/// Opens the file of a descriptor once more, for reads that go past the page cache: their offsets, sizes and targets are
/// multiples of 4096. Returns the new descriptor, or the negated errno; -EINVAL where the file system has no such reads.
int walet_open_direct(int descriptor);

/// Reads that are under way in an io_uring. One thread at a time.
typedef struct walet_ring walet_ring;

/// Room for `entries` reads at a time. Returns NULL and sets `error` to the errno; ENOSYS where the system has no such
/// thing.
walet_ring *walet_ring_create(unsigned entries, int *error);

/// No read may be under way.
void walet_ring_destroy(walet_ring *ring);

/// Notes a read down. Returns 0, or EBUSY while the ring is full.
int walet_ring_read(walet_ring *ring, int descriptor, void *target, uint32_t count, uint64_t offset, uint64_t tag);

/// Hands what was noted down to the system, and with `waits` returns only when a read has ended. Returns 0 or the errno.
int walet_ring_submit(walet_ring *ring, int waits);

/// Takes a read that has ended: the bytes, or the negated errno. Returns 0 where none has.
int walet_ring_take(walet_ring *ring, uint64_t *tag, int32_t *result);

/// Takes back the reads that were noted down last and not handed over. Returns how many.
uint32_t walet_ring_drop(walet_ring *ring);

#ifdef __cplusplus
}
#endif

#endif
