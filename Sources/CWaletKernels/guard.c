// Reading a mapped file past its end, after something has cut it, raises SIGBUS and would end a server with all its
// requests. Inside registered ranges the page is replaced by zeros and the range marked, so that the reader can fail
// only what it was doing.
#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE
#endif
#include "include/walet_kernels.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

#if !defined(MAP_ANONYMOUS)
#define MAP_ANONYMOUS MAP_ANON
#endif

enum { MAX_RANGES = 4096 };
enum { RANGE_FREE, RANGE_CHANGING, RANGE_ACTIVE };

typedef struct guarded_range {
    _Atomic int state;
    _Atomic uintptr_t base;
    _Atomic size_t length;
    _Atomic bool broken;
} guarded_range;

static guarded_range ranges[MAX_RANGES];
static _Atomic int32_t ranges_used; // slots at and above this were never taken
static uintptr_t page_size;
static struct sigaction previous;
static pthread_mutex_t install_lock = PTHREAD_MUTEX_INITIALIZER;

_Static_assert(ATOMIC_POINTER_LOCK_FREE == 2 && ATOMIC_INT_LOCK_FREE == 2 && ATOMIC_BOOL_LOCK_FREE == 2,
               "a signal handler may use lock-free atomics only");

static void pass_on(int signal_number, siginfo_t *info, void *context) {
    if (previous.sa_flags & SA_SIGINFO) {
        previous.sa_sigaction(signal_number, info, context);
        return;
    }
    bool sent = info->si_code <= 0; // by kill or raise, not by a fault
    if (previous.sa_handler == SIG_IGN && sent) return;
    if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) {
        previous.sa_handler(signal_number);
        return;
    }
    // The default action: the faulting instruction runs again after the return and ends the process; a signal that was
    // sent has to be sent again.
    struct sigaction fallback = {0};
    fallback.sa_handler = SIG_DFL;
    sigemptyset(&fallback.sa_mask);
    sigaction(signal_number, &fallback, NULL);
    if (sent) raise(signal_number);
}

static void handle_bus_error(int signal_number, siginfo_t *info, void *context) {
    int saved_errno = errno;
    uintptr_t address = (uintptr_t)info->si_addr;
    bool handled = false;
    if (info->si_code > 0) {
        int32_t used = atomic_load(&ranges_used);
        for (int32_t i = 0; i < used && !handled; i++) {
            guarded_range *range = &ranges[i];
            if (atomic_load(&range->state) != RANGE_ACTIVE) continue;
            if (address - atomic_load(&range->base) >= atomic_load(&range->length)) continue;
            // mmap is a bare system call. One page only: those behind it may still be good.
            void *page = (void *)(address & ~(page_size - 1));
            if (mmap(page, page_size, PROT_READ, MAP_FIXED | MAP_ANONYMOUS | MAP_PRIVATE, -1, 0) == MAP_FAILED) break;
            atomic_store(&range->broken, true);
            handled = true;
        }
    }
    if (!handled) pass_on(signal_number, info, context);
    errno = saved_errno;
}

void wk_guard_install(void) {
    pthread_mutex_lock(&install_lock);
    struct sigaction current;
    sigaction(SIGBUS, NULL, &current);
    // Somebody may have put a handler of their own in its place since: that one is passed on to then.
    if (!(current.sa_flags & SA_SIGINFO) || current.sa_sigaction != handle_bus_error) {
        page_size = (uintptr_t)sysconf(_SC_PAGESIZE);
        // Kept before the handler can run, as the handler uses it.
        previous = current;
        struct sigaction action = {0};
        action.sa_sigaction = handle_bus_error;
        action.sa_flags = SA_SIGINFO | SA_ONSTACK;
        sigemptyset(&action.sa_mask);
        sigaction(SIGBUS, &action, NULL);
    }
    pthread_mutex_unlock(&install_lock);
}

int32_t wk_guard_register(const void *base, size_t length) {
    for (int32_t i = 0; i < MAX_RANGES; i++) {
        guarded_range *range = &ranges[i];
        int expected = RANGE_FREE;
        if (!atomic_compare_exchange_strong(&range->state, &expected, RANGE_CHANGING)) continue;
        atomic_store(&range->base, (uintptr_t)base);
        atomic_store(&range->length, length);
        atomic_store(&range->broken, false);
        atomic_store(&range->state, RANGE_ACTIVE);
        int32_t used = atomic_load(&ranges_used);
        while (used < i + 1 && !atomic_compare_exchange_weak(&ranges_used, &used, i + 1)) {
        }
        return i;
    }
    return -1;
}

void wk_guard_unregister(int32_t slot) {
    if (slot >= 0 && slot < MAX_RANGES) atomic_store(&ranges[slot].state, RANGE_FREE);
}

bool wk_guard_is_broken(int32_t slot) {
    return slot >= 0 && slot < MAX_RANGES && atomic_load(&ranges[slot].broken);
}
