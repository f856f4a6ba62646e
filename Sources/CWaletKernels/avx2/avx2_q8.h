// The int8 products of the x86 sets.
#ifndef WALET_AVX2_Q8_H
#define WALET_AVX2_Q8_H

#include "../internal/q8_row.h"

void wk_avx2_q8_quantize(const float *, int64_t, int64_t, int64_t, uint8_t *);
void wk_avx2_q8_matmul(const wk_matrix *, int64_t, int64_t, const uint8_t *, const int32_t *, int64_t, float *,
                       int64_t, float *);
// With AVX-VNNI.
void wk_avx2_vnni_q8_matmul(const wk_matrix *, int64_t, int64_t, const uint8_t *, const int32_t *, int64_t, float *,
                            int64_t, float *);
void wk_avx512_q8_quantize(const float *, int64_t, int64_t, int64_t, uint8_t *);
void wk_avx512_q8_matmul(const wk_matrix *, int64_t, int64_t, const uint8_t *, const int32_t *, int64_t, float *,
                         int64_t, float *);

#endif
