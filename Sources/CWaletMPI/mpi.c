// MPI's blocking calls wait for ever on a process that is gone, so everything here is started and then asked for.
#ifdef WALET_MPI
#define _GNU_SOURCE

#include "walet_mpi.h"

#if __has_include(<mpi.h>)
#include <mpi.h>
#else
#include <mpi/mpi.h>
#endif

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

// What is not MPI's own number: MPI's are not negative.
#define TIMEOUT (-1)
#define GONE (-2)

// What is larger goes in pieces: MPI counts in int.
#define PIECE ((int64_t)1 << 30)

typedef struct {
    int64_t rank, pid;
    // Containers of one machine may number their processes apart.
    int64_t space;
#ifdef __linux__
    cpu_set_t cpus;
#endif
} peer;

static int32_t ranks = 1, own = 0;
// Those on this machine, whose end the kernel tells at once.
static peer *peers;
static int peer_count;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int is_gone(peer p) { return kill((pid_t)p.pid, 0) != 0 && errno == ESRCH; }

static int shares_cores(peer a, peer b) {
#ifdef __linux__
    return CPU_EQUAL(&a.cpus, &b.cpus);
#else
    return a.rank >= 0 && b.rank >= 0;
#endif
}

static int32_t find_peers(int32_t *sharers) {
    MPI_Comm machine;
    int error = MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, own, MPI_INFO_NULL, &machine);
    int count = 0;
    if (error == MPI_SUCCESS) error = MPI_Comm_size(machine, &count);
    if (error != MPI_SUCCESS) return error;
    peers = calloc((size_t)count, sizeof *peers);
    if (!peers) return MPI_ERR_NO_MEM;
    peer self;
    memset(&self, 0, sizeof self);
    self.rank = own;
    self.pid = getpid();
    struct stat space;
    if (stat("/proc/self/ns/pid", &space) == 0) self.space = (int64_t)space.st_ino;
#ifdef __linux__
    sched_getaffinity(0, sizeof self.cpus, &self.cpus);
#endif
    error = MPI_Allgather(&self, sizeof self, MPI_BYTE, peers, sizeof self, MPI_BYTE, machine);
    if (error == MPI_SUCCESS) error = MPI_Comm_free(&machine);
    if (error != MPI_SUCCESS) return error;
    *sharers = 0;
    for (int i = 0; i < count; i++) {
        *sharers += shares_cores(peers[i], self);
        if (peers[i].space == self.space) peers[peer_count++] = peers[i];
    }
    return 0;
}

int32_t wm_start(int32_t *rank, int32_t *size, int32_t *sharers) {
    int given = 0, r = 0, s = 1;
    int error = MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &given);
    // Errors come back, rather than end the process without a word of ours.
    if (error == MPI_SUCCESS) error = MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    if (error == MPI_SUCCESS) error = MPI_Comm_rank(MPI_COMM_WORLD, &r);
    if (error == MPI_SUCCESS) error = MPI_Comm_size(MPI_COMM_WORLD, &s);
    if (error != MPI_SUCCESS) return error;
    own = r;
    ranks = s;
    *rank = r;
    *size = s;
    return find_peers(sharers);
}

// Waits for all requests.
static int32_t finish(int count, MPI_Request *requests, double seconds) {
    double last = now(), waited = 0, checked = 0;
    for (int64_t turn = 0;; turn++) {
        int done = 0;
        int error = MPI_Testall(count, requests, &done, MPI_STATUSES_IGNORE);
        if (error != MPI_SUCCESS) return error;
        if (done) return 0;
        if (turn < 1000) continue;
        // Others may need this CPU to get here.
        struct timespec pause = {0, 50000};
        nanosleep(&pause, NULL);
        double time = now(), passed = time - last;
        last = time;
        // Longer than any pause: this process was stopped, and the others perhaps with it.
        waited += passed < 0.1 ? passed : 0.1;
        if (waited > seconds) return TIMEOUT;
        if (waited < checked + 0.05) continue;
        checked = waited;
        for (int i = 0; i < peer_count; i++) {
            if (is_gone(peers[i])) return GONE - (int32_t)peers[i].rank;
        }
    }
}

static int64_t pieces(int64_t bytes) { return (bytes + PIECE - 1) / PIECE; }
static int piece(int64_t bytes, int64_t index) {
    int64_t left = bytes - index * PIECE;
    return (int)(left < PIECE ? left : PIECE);
}

int32_t wm_exchange(const void *const *sent, const int64_t *sent_bytes, void *const *received,
                    const int64_t *received_bytes, double seconds) {
    int64_t total = 0;
    for (int32_t r = 0; r < ranks; r++) total += pieces(sent_bytes[r]) + pieces(received_bytes[r]);
    MPI_Request *requests = malloc((size_t)(total + 1) * sizeof *requests);
    if (!requests) return MPI_ERR_NO_MEM;
    int count = 0, error = MPI_SUCCESS;
    for (int32_t r = 0; r < ranks; r++) {
        if (r == own) continue;
        for (int64_t i = 0; i < pieces(received_bytes[r]) && error == MPI_SUCCESS; i++) {
            error = MPI_Irecv((char *)received[r] + i * PIECE, piece(received_bytes[r], i), MPI_BYTE, r, 0,
                              MPI_COMM_WORLD, &requests[count++]);
        }
    }
    for (int32_t r = 0; r < ranks; r++) {
        if (r == own) continue;
        for (int64_t i = 0; i < pieces(sent_bytes[r]) && error == MPI_SUCCESS; i++) {
            error = MPI_Isend((const char *)sent[r] + i * PIECE, piece(sent_bytes[r], i), MPI_BYTE, r, 0,
                              MPI_COMM_WORLD, &requests[count++]);
        }
    }
    int32_t result = error == MPI_SUCCESS ? finish(count, requests, seconds) : error;
    free(requests);
    return result;
}

int32_t wm_end(void) {
    free(peers);
    peers = NULL;
    peer_count = 0;
    return MPI_Finalize();
}

void wm_abort(int32_t code) { MPI_Abort(MPI_COMM_WORLD, code); }

void wm_reason(int32_t error, char *text, int64_t size) {
    if (error == TIMEOUT) {
        snprintf(text, (size_t)size, "no answer in time");
    } else if (error <= GONE) {
        snprintf(text, (size_t)size, "process %d is gone", GONE - error);
    } else {
        char message[MPI_MAX_ERROR_STRING + 1] = "";
        int length = 0;
        MPI_Error_string(error, message, &length);
        snprintf(text, (size_t)size, "%s", message);
    }
}

#endif
