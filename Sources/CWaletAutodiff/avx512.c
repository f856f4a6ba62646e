// The kernels for CPUs with AVX-512.
#include "internal/table.h"

#if defined(__x86_64__)
#include <math.h>
#include <string.h>

#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma"))), apply_to = function)
#define WA(name) wa_avx512_##name
#define PRODUCT_ROWS 14
#define PRODUCT_LANES 2
#include "internal/template.h"
#pragma clang attribute pop
#endif
