// What training needs of MPI, with an end to all waiting for another process. Compiled with the package trait MPI only.
// Calls come from one thread. All of them give 0, or a number that wm_reason puts into words.
#ifndef WALET_MPI_H
#define WALET_MPI_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// Joins the processes that mpirun started. `sharers`: how many of them may run on the same cores as this one, itself
// included.
int32_t wm_start(int32_t *rank, int32_t *size, int32_t *sharers);

// `sent` bytes for each rank, and room for as many as each sends here; those for itself are not copied. Waits until all
// have arrived, a peer on this machine is gone, or `seconds` are over, in which time that this process was stopped does
// not count. After an error the buffers may still be written to until wm_abort.
int32_t wm_exchange(const void *const *sent, const int64_t *sent_bytes, void *const *received,
                    const int64_t *received_bytes, double seconds);

// Leaves the others, once all of them do.
int32_t wm_end(void);

// Ends all processes of the run with this exit code.
void wm_abort(int32_t code);

// What a number means, in `text` of `size` bytes.
void wm_reason(int32_t error, char *text, int64_t size);

#ifdef __cplusplus
}
#endif

#endif
