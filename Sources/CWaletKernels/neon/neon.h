// Vectors of 4 floats for the templates.
#ifndef WALET_NEON_H
#define WALET_NEON_H

#include "../internal/kernel_table.h"

#include <arm_neon.h>

#define WK_KERNELS wk_kernels_neon
#define WK_TARGET
#define WK_LANES 4
#define WK_TILE_ROWS 8
#define NEON static inline __attribute__((always_inline, unused))

typedef float32x4_t wk_vec;

NEON wk_vec vec_zero(void) { return vdupq_n_f32(0); }
NEON wk_vec vec_set1(float v) { return vdupq_n_f32(v); }
// Through bytes: a pointer to floats may be assumed to be aligned.
NEON wk_vec vec_load(const void *p) { return vreinterpretq_f32_u8(vld1q_u8(p)); }
NEON wk_vec vec_load_tail(const void *p, int64_t count) {
    float v[4] = {0};
    memcpy(v, p, (size_t)count * sizeof(float));
    return vld1q_f32(v);
}
NEON void vec_store(float *p, wk_vec v) { vst1q_u8((uint8_t *)p, vreinterpretq_u8_f32(v)); }
NEON void vec_store_tail(float *p, wk_vec v, int64_t count) {
    float values[4];
    vst1q_f32(values, v);
    memcpy(p, values, (size_t)count * sizeof(float));
}
NEON wk_vec vec_fma(wk_vec a, wk_vec b, wk_vec c) { return vfmaq_f32(c, a, b); }
NEON wk_vec vec_add(wk_vec a, wk_vec b) { return vaddq_f32(a, b); }
NEON wk_vec vec_sub(wk_vec a, wk_vec b) { return vsubq_f32(a, b); }
NEON wk_vec vec_mul(wk_vec a, wk_vec b) { return vmulq_f32(a, b); }
NEON wk_vec vec_div(wk_vec a, wk_vec b) { return vdivq_f32(a, b); }
NEON wk_vec vec_min(wk_vec a, wk_vec b) { return vminq_f32(a, b); }
NEON wk_vec vec_max(wk_vec a, wk_vec b) { return vmaxq_f32(a, b); }
NEON float vec_sum(wk_vec v) { return vaddvq_f32(v); }
NEON float vec_max_lanes(wk_vec v) { return vmaxvq_f32(v); }
// In two steps, since 2^exponent alone may be out of range where the product is not. exponent holds integers.
NEON wk_vec vec_scale_by_power_of_two(wk_vec v, wk_vec exponent) {
    int32x4_t k = vcvtq_s32_f32(exponent), half = vshrq_n_s32(k, 1), rest = vsubq_s32(k, half);
    const int32x4_t bias = vdupq_n_s32(127);
    float32x4_t a = vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(half, bias), 23));
    float32x4_t b = vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(rest, bias), 23));
    return vmulq_f32(vmulq_f32(v, a), b);
}
// (-b, a) for each pair (a, b).
NEON wk_vec vec_rotate_pairs(wk_vec v) {
    const uint32x4_t signs = {0x80000000u, 0, 0x80000000u, 0};
    return vreinterpretq_f32_u32(veorq_u32(vreinterpretq_u32_f32(vrev64q_f32(v)), signs));
}
// Each of 2 floats twice.
NEON wk_vec vec_load_twice(const float *p) {
    float32x2_t v = vld1_f32(p);
    return vcombine_f32(vdup_lane_f32(v, 0), vdup_lane_f32(v, 1));
}

void wk_neon_dequantize_f16(const wk_matrix *, int64_t, int64_t, int64_t, float *);
void wk_neon_dequantize_bf16(const wk_matrix *, int64_t, int64_t, int64_t, float *);
void wk_neon_dequantize_q4_0(const wk_matrix *, int64_t, int64_t, int64_t, float *);
void wk_neon_dequantize_q4_1(const wk_matrix *, int64_t, int64_t, int64_t, float *);
void wk_neon_dequantize_q8_0(const wk_matrix *, int64_t, int64_t, int64_t, float *);
void wk_neon_dequantize_q4_k(const wk_matrix *, int64_t, int64_t, int64_t, float *);
void wk_neon_dequantize_q6_k(const wk_matrix *, int64_t, int64_t, int64_t, float *);
void wk_neon_dequantize_int4(const wk_matrix *, int64_t, int64_t, int64_t, float *);
void wk_neon_dequantize_f8_e4m3(const wk_matrix *, int64_t, int64_t, int64_t, float *);

#endif
