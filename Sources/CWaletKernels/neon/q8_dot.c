// The same as q8.c with the dot products of ARMv8.2.
#if defined(__aarch64__)
#if defined(__clang__)
#define WK_TARGET __attribute__((target("dotprod")))
#else
#define WK_TARGET __attribute__((target("arch=armv8.2-a+dotprod")))
#endif

#include "q8_words.h"

OP int32x4_t dot(int32x4_t sum, int8x16_t w, int8x16_t a) { return vdotq_s32(sum, w, a); }

#include "../internal/q8_template.h"

void wk_neon_dot_q8_matmul(const wk_matrix *m, int64_t row_begin, int64_t row_end, const uint8_t *q8,
                           const int32_t *token_rows, int64_t n, float *y, int64_t y_stride, float *scratch) {
    q8_matmul(m, row_begin, row_end, q8, token_rows, n, y, y_stride, scratch);
}

#endif
