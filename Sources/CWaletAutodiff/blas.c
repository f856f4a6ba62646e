// OpenBLAS picks its kernels by the CPU's model number, and a release knows no model that is younger: it then falls back
// to SSE3, seven times slower than the CPU. This picks again by what the CPU has.
#include "walet_autodiff.h"

#include "walet_kernels.h"

#include <stdlib.h>
#include <string.h>

// Weak: a build of OpenBLAS for one CPU, and other libraries of the interface, lack them.
extern void gotoblas_dynamic_init(void) __attribute__((weak));
extern void gotoblas_dynamic_quit(void) __attribute__((weak));
extern char *openblas_get_corename(void) __attribute__((weak));
extern void openblas_set_num_threads(int) __attribute__((weak));

void wa_blas_prepare(void) {
#if defined(__x86_64__)
    // Who names a core knows better.
    if (gotoblas_dynamic_init && gotoblas_dynamic_quit && openblas_get_corename && !getenv("OPENBLAS_CORETYPE")) {
        const char *core = openblas_get_corename(), *better = NULL;
        int slow = strcmp(core, "Prescott") == 0 || strcmp(core, "Nehalem") == 0 || strcmp(core, "Core2") == 0;
        if (slow && strcmp(wk_isa(), "avx512") == 0) better = "SkylakeX";
        if (slow && strcmp(wk_isa(), "avx2") == 0) better = "Haswell";
        if (better) {
            setenv("OPENBLAS_CORETYPE", better, 1);
            gotoblas_dynamic_quit();
            gotoblas_dynamic_init();
            unsetenv("OPENBLAS_CORETYPE");
        }
    }
#endif
    // Walet's own pool deals the tiles out.
    if (openblas_set_num_threads) openblas_set_num_threads(1);
}
