// The int8 products of 64-bit ARM.
#ifndef WALET_NEON_Q8_H
#define WALET_NEON_Q8_H

#include "../internal/q8_row.h"

void wk_neon_q8_quantize(const float *, int64_t, int64_t, int64_t, uint8_t *);
void wk_neon_q8_matmul(const wk_matrix *, int64_t, int64_t, const uint8_t *, const int32_t *, int64_t, float *,
                       int64_t, float *);
// With SDOT.
void wk_neon_dot_q8_matmul(const wk_matrix *, int64_t, int64_t, const uint8_t *, const int32_t *, int64_t, float *,
                           int64_t, float *);

#endif
