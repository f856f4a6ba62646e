// The public functions: each goes through the table of the instruction set in use, chosen at the first call.
#include "internal/attention.h"
#include "internal/kernel_table.h"
#include "internal/q8_row.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { MAX_SETS = 4 };

// The sets that this CPU can run, from the plainest to the best.
static const wk_kernels *available[MAX_SETS];
static const char *available_names[MAX_SETS + 1];
static int available_count;
static pthread_once_t available_once = PTHREAD_ONCE_INIT;

static _Atomic(const wk_kernels *) active;

static void add_set(const wk_kernels *kernels) {
    available_names[available_count] = kernels->name;
    available[available_count++] = kernels;
}

static void find_available(void) {
    add_set(&wk_kernels_generic);
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c")) {
        add_set(&wk_kernels_avx2);
        if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
            __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
            add_set(&wk_kernels_avx512);
        }
    }
#endif
#if defined(__aarch64__)
    add_set(&wk_kernels_neon);
#endif
}

static const wk_kernels *find(const char *name) {
    pthread_once(&available_once, find_available);
    for (int i = 0; i < available_count; i++) {
        if (strcmp(available_names[i], name) == 0) return available[i];
    }
    return NULL;
}

static const wk_kernels *choose(void) {
    const char *wanted = getenv("WALET_ISA");
    const wk_kernels *chosen = find(wanted ? wanted : "");
    if (!chosen) chosen = available[available_count - 1];
    // Two threads may both come here; they choose the same, and a set that was forced meanwhile stays.
    const wk_kernels *none = NULL;
    return atomic_compare_exchange_strong(&active, &none, chosen) ? chosen : none;
}

static inline const wk_kernels *kernels(void) {
    const wk_kernels *k = atomic_load_explicit(&active, memory_order_acquire);
    return k ? k : choose();
}

const char *wk_isa(void) {
    return kernels()->name;
}

const char *const *wk_available_isas(void) {
    pthread_once(&available_once, find_available);
    return available_names;
}

bool wk_force_isa(const char *name) {
    const wk_kernels *k = find(name);
    if (!k) return false;
    atomic_store(&active, k);
    return true;
}

static const struct {
    uint16_t values, bytes;
} blocks[WK_PACKING_COUNT] = {
    [WK_F32] = {1, 4},       [WK_F16] = {1, 2},       [WK_BF16] = {1, 2},     [WK_Q4_0] = {32, 18},
    [WK_Q4_1] = {32, 20},    [WK_Q5_0] = {32, 22},    [WK_Q5_1] = {32, 24},   [WK_Q8_0] = {32, 34},
    [WK_Q2_K] = {256, 84},   [WK_Q3_K] = {256, 110},  [WK_Q4_K] = {256, 144}, [WK_Q5_K] = {256, 176},
    [WK_Q6_K] = {256, 210},  [WK_IQ4_NL] = {32, 18},  [WK_IQ4_XS] = {256, 136}, [WK_MXFP4] = {32, 17},
    [WK_INT4] = {8, 4},      [WK_INT8] = {4, 4},      [WK_FP8_E4M3] = {1, 1},
};

int64_t wk_block_values(int32_t packing) {
    return packing >= 0 && packing < WK_PACKING_COUNT ? blocks[packing].values : 0;
}

int64_t wk_block_bytes(int32_t packing) {
    return packing >= 0 && packing < WK_PACKING_COUNT ? blocks[packing].bytes : 0;
}

void wk_dequantize_row(const wk_matrix *matrix, int64_t row, float *out) {
    kernels()->dequantize[matrix->packing](matrix, row, 0, matrix->cols, out);
}

int64_t wk_matmul_scratch(int64_t cols) {
    return WK_SCRATCH_ROWS * ((cols + 63) / 64 * 64);
}

void wk_matmul(const wk_matrix *matrix, int64_t row_begin, int64_t row_end, const float *x, int64_t x_stride, int64_t n,
               float *y, int64_t y_stride, float *scratch) {
    kernels()->matmul(matrix, row_begin, row_end, x, x_stride, n, y, y_stride, scratch);
}

static bool cpu_multiplies_bf16(void) {
#if defined(__x86_64__)
    return find("avx512") && __builtin_cpu_supports("avx512bf16");
#else
    return false;
#endif
}

bool wk_bf16_products(void) {
    return cpu_multiplies_bf16() && strcmp(wk_isa(), "avx512") == 0;
}

int64_t wk_q8_row_bytes(int64_t cols) {
    return wk_q8_bf16(cols) + (cpu_multiplies_bf16() ? (2 * cols + 63) / 64 * 64 : 0);
}

void wk_q8_quantize(const float *x, int64_t x_stride, int64_t cols, int64_t n, void *q8) {
    kernels()->q8_quantize(x, x_stride, cols, n, q8);
#if defined(__x86_64__)
    if (!cpu_multiplies_bf16()) return;
    uint8_t *row = (uint8_t *)q8 + wk_q8_bf16(cols);
    for (int64_t t = 0; t < n; t++, row += wk_q8_row_bytes(cols)) wk_avx512_bf16_round(x + t * x_stride, cols, row);
#endif
}

bool wk_q8_supports(const wk_matrix *m) {
    if (m->cols <= 0 || m->cols % 32 != 0) return false;
    switch (m->packing) {
    case WK_Q4_0: case WK_Q4_1: case WK_Q5_0: case WK_Q5_1: case WK_Q8_0: case WK_IQ4_NL: case WK_MXFP4: return true;
    case WK_Q2_K: case WK_Q3_K: case WK_Q4_K: case WK_Q5_K: case WK_Q6_K: case WK_IQ4_XS: return m->cols % 256 == 0;
    case WK_INT4: case WK_INT8: return m->group_rows == 1 && (m->group_cols % 32 == 0 || m->group_cols >= m->cols);
    case WK_BF16: return wk_bf16_products();
    default: return false;
    }
}

int64_t wk_q8_matmul_scratch(int64_t cols) {
    return wk_q8_scratch(cols) + 16;
}

void wk_q8_matmul(const wk_matrix *matrix, int64_t row_begin, int64_t row_end, const void *q8, const int32_t *token_rows,
                  int64_t n, float *y, int64_t y_stride, float *scratch) {
#if defined(__x86_64__)
    if (matrix->packing == WK_BF16) {
        wk_avx512_bf16_matmul(matrix, row_begin, row_end, q8, token_rows, n, y, y_stride);
        return;
    }
#endif
    float *aligned = (float *)(((uintptr_t)scratch + 63) / 64 * 64);
    kernels()->q8_matmul(matrix, row_begin, row_end, q8, token_rows, n, y, y_stride, aligned);
}

_Atomic bool wk_q8_without_dot_products;

const wk_attention_kernels *wk_attention_in_use(void) {
    const wk_kernels *k = kernels();
#if defined(__x86_64__)
    if (k == &wk_kernels_avx512 && __builtin_cpu_supports("avx512bf16") && !wk_q8_without_dot_products) {
        return &wk_avx512_bf16_attention;
    }
#endif
    return k->attention;
}

void wk_q8_use_dot_products(bool use) {
    atomic_store(&wk_q8_without_dot_products, !use);
}

void wk_matmul_transposed(const wk_matrix *matrix, int64_t row_begin, int64_t row_end, const float *x, int64_t x_stride,
                          int64_t n, float *y, int64_t y_stride, float *scratch) {
    kernels()->matmul_transposed(matrix, row_begin, row_end, x, x_stride, n, y, y_stride, scratch);
}

float wk_dot(const float *a, const float *b, int64_t n) {
    return kernels()->dot(a, b, n);
}

void wk_axpy(float a, const float *x, float *y, int64_t n) {
    kernels()->axpy(a, x, y, n);
}

void wk_add(const float *x, float *y, int64_t n) {
    kernels()->add(x, y, n);
}

void wk_rms_norm(const float *x, const float *weight, float epsilon, float *y, int64_t n) {
    kernels()->rms_norm(x, weight, epsilon, y, n);
}

void wk_silu_mul(float *gate, const float *up, int64_t n) {
    kernels()->silu_mul(gate, up, n);
}

void wk_softmax(float *x, int64_t n) {
    kernels()->softmax(x, n);
}

void wk_rope_interleaved(float *x, const float *cos, const float *sin, int64_t n_pairs) {
    kernels()->rope_interleaved(x, cos, sin, n_pairs);
}

void wk_rope_half(float *x, const float *cos, const float *sin, int64_t n_pairs) {
    kernels()->rope_half(x, cos, sin, n_pairs);
}
