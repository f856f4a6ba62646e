// What the files of the generic set share with the table.
#ifndef WALET_GENERIC_H
#define WALET_GENERIC_H

#include "../internal/kernel_table.h"

void wk_generic_matmul(const wk_matrix *, int64_t, int64_t, const float *, int64_t, int64_t, float *, int64_t, float *);
void wk_generic_matmul_transposed(const wk_matrix *, int64_t, int64_t, const float *, int64_t, int64_t, float *,
                                  int64_t, float *);
float wk_generic_dot(const float *, const float *, int64_t);
void wk_generic_axpy(float, const float *, float *, int64_t);
void wk_generic_add(const float *, float *, int64_t);
void wk_generic_rms_norm(const float *, const float *, float, float *, int64_t);
void wk_generic_silu_mul(float *, const float *, int64_t);
void wk_generic_softmax(float *, int64_t);
void wk_generic_rope_interleaved(float *, const float *, const float *, int64_t);
void wk_generic_rope_half(float *, const float *, const float *, int64_t);

#endif
