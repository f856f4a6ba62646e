// One token: four rows at a time, decoded straight into registers. The sums are those of matmul_template.h, lane by lane.
#ifndef WALET_AVX2_SINGLE_TOKEN_H
#define WALET_AVX2_SINGLE_TOKEN_H

#include "decode.h"

#pragma STDC FP_CONTRACT OFF

#define WK_SINGLE_ROWS 4
#define FOR_ROWS _Pragma("clang loop unroll(full)") for (int i = 0; i < WK_SINGLE_ROWS; i++)

// The running sums of rows r..<r + 4.
typedef void (*wk_single_token_fn)(const wk_matrix *m, int64_t r, const float *x, wk_vec *sums);

#define DEFINE_SINGLE_32(name, bytes)                                                                                  \
    static WK_TARGET void single_##name(const wk_matrix *m, int64_t r, const float *x, wk_vec *sums) {                 \
        const uint8_t *b = m->data + r * m->row_bytes;                                                                 \
        const int64_t stride = m->row_bytes;                                                                           \
        __m256 s[WK_SINGLE_ROWS];                                                                                      \
        FOR_ROWS s[i] = vec_zero();                                                                                    \
        for (int64_t c = 0; c < m->cols; c += 32, b += bytes) {                                                        \
            FOR_ROWS {                                                                                                 \
                __m256 values[4];                                                                                      \
                decode_##name(b + i * stride, values);                                                                 \
                for (int k = 0; k < 4; k++) s[i] = vec_fma(values[k], vec_load(x + c + 8 * k), s[i]);                  \
            }                                                                                                          \
        }                                                                                                              \
        FOR_ROWS sums[i] = s[i];                                                                                       \
    }

DEFINE_SINGLE_32(q4_0, 18)
DEFINE_SINGLE_32(q4_1, 20)
DEFINE_SINGLE_32(q5_0, 22)
DEFINE_SINGLE_32(q5_1, 24)
DEFINE_SINGLE_32(q8_0, 34)
DEFINE_SINGLE_32(iq4_nl, 18)
DEFINE_SINGLE_32(mxfp4, 17)

static inline wk_single_token_fn single_token(const wk_matrix *m) {
    switch (m->packing) {
    case WK_Q4_0: return single_q4_0;
    case WK_Q4_1: return single_q4_1;
    case WK_Q5_0: return single_q5_0;
    case WK_Q5_1: return single_q5_1;
    case WK_Q8_0: return single_q8_0;
    case WK_IQ4_NL: return single_iq4_nl;
    case WK_MXFP4: return single_mxfp4;
    default: return NULL;
    }
}
#define WK_SINGLE_TOKEN(m) single_token(m)

#endif
