// What the C library's headers cannot be asked for from Swift: the system-call filter behind `--sovereign`.

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

#ifdef __cplusplus
}
#endif

#endif
