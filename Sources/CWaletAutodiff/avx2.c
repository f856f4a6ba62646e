// The kernels for CPUs with AVX2 and FMA.
#include "internal/table.h"

#if defined(__x86_64__)
#include <math.h>
#include <string.h>

#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#define WA(name) wa_avx2_##name
#define PRODUCT_ROWS 6
#define PRODUCT_LANES 1
#include "internal/template.h"
#pragma clang attribute pop
#endif
