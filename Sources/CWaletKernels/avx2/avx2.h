// Vectors of 8 floats for the templates, and what the files of this set share.
#ifndef WALET_AVX2_H
#define WALET_AVX2_H

#include "../internal/kernel_table.h"

#include <immintrin.h>

#define WK_KERNELS wk_kernels_avx2
#define WK_TARGET __attribute__((target("avx2,fma,f16c")))
#define WK_LANES 8
#define WK_TILE_ROWS 4
#define AVX2 static inline __attribute__((always_inline, unused)) WK_TARGET

typedef __m256 wk_vec;

AVX2 __m256i tail_mask(int64_t count) {
    const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)count), lanes);
}
AVX2 wk_vec vec_zero(void) { return _mm256_setzero_ps(); }
AVX2 wk_vec vec_set1(float v) { return _mm256_set1_ps(v); }
AVX2 wk_vec vec_load(const void *p) { return _mm256_loadu_ps(p); }
AVX2 wk_vec vec_load_tail(const void *p, int64_t count) { return _mm256_maskload_ps(p, tail_mask(count)); }
AVX2 void vec_store(float *p, wk_vec v) { _mm256_storeu_ps(p, v); }
AVX2 void vec_store_tail(float *p, wk_vec v, int64_t count) { _mm256_maskstore_ps(p, tail_mask(count), v); }
AVX2 wk_vec vec_fma(wk_vec a, wk_vec b, wk_vec c) { return _mm256_fmadd_ps(a, b, c); }
AVX2 wk_vec vec_add(wk_vec a, wk_vec b) { return _mm256_add_ps(a, b); }
AVX2 wk_vec vec_sub(wk_vec a, wk_vec b) { return _mm256_sub_ps(a, b); }
AVX2 wk_vec vec_mul(wk_vec a, wk_vec b) { return _mm256_mul_ps(a, b); }
AVX2 wk_vec vec_div(wk_vec a, wk_vec b) { return _mm256_div_ps(a, b); }
AVX2 wk_vec vec_min(wk_vec a, wk_vec b) { return _mm256_min_ps(a, b); }
AVX2 wk_vec vec_max(wk_vec a, wk_vec b) { return _mm256_max_ps(a, b); }
AVX2 float vec_sum(wk_vec v) {
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}
AVX2 float vec_max_lanes(wk_vec v) {
    __m128 s = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    s = _mm_max_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
}
// In two steps, since 2^exponent alone may be out of range where the product is not. exponent holds integers.
AVX2 wk_vec vec_scale_by_power_of_two(wk_vec v, wk_vec exponent) {
    __m256i k = _mm256_cvtps_epi32(exponent), half = _mm256_srai_epi32(k, 1), rest = _mm256_sub_epi32(k, half);
    const __m256i bias = _mm256_set1_epi32(127);
    __m256 a = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(half, bias), 23));
    __m256 b = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(rest, bias), 23));
    return _mm256_mul_ps(_mm256_mul_ps(v, a), b);
}
// (-b, a) for each pair (a, b).
AVX2 wk_vec vec_rotate_pairs(wk_vec v) {
    const __m256 signs = _mm256_castsi256_ps(_mm256_set1_epi64x(0x80000000));
    return _mm256_xor_ps(_mm256_permute_ps(v, 0xb1), signs);
}
// Each of 4 floats twice.
AVX2 wk_vec vec_load_twice(const float *p) {
    __m128 v = _mm_loadu_ps(p);
    return _mm256_set_m128(_mm_unpackhi_ps(v, v), _mm_unpacklo_ps(v, v));
}

void wk_avx2_dequantize_f16(const wk_matrix *, int64_t, int64_t, int64_t, float *);
void wk_avx2_dequantize_bf16(const wk_matrix *, int64_t, int64_t, int64_t, float *);
void wk_avx2_dequantize_q4_0(const wk_matrix *, int64_t, int64_t, int64_t, float *);
void wk_avx2_dequantize_q4_1(const wk_matrix *, int64_t, int64_t, int64_t, float *);
void wk_avx2_dequantize_q5_0(const wk_matrix *, int64_t, int64_t, int64_t, float *);
void wk_avx2_dequantize_q5_1(const wk_matrix *, int64_t, int64_t, int64_t, float *);
void wk_avx2_dequantize_q8_0(const wk_matrix *, int64_t, int64_t, int64_t, float *);
void wk_avx2_dequantize_q2_k(const wk_matrix *, int64_t, int64_t, int64_t, float *);
void wk_avx2_dequantize_q3_k(const wk_matrix *, int64_t, int64_t, int64_t, float *);
void wk_avx2_dequantize_q4_k(const wk_matrix *, int64_t, int64_t, int64_t, float *);
void wk_avx2_dequantize_q5_k(const wk_matrix *, int64_t, int64_t, int64_t, float *);
void wk_avx2_dequantize_q6_k(const wk_matrix *, int64_t, int64_t, int64_t, float *);
void wk_avx2_dequantize_iq4_nl(const wk_matrix *, int64_t, int64_t, int64_t, float *);
void wk_avx2_dequantize_iq4_xs(const wk_matrix *, int64_t, int64_t, int64_t, float *);
void wk_avx2_dequantize_mxfp4(const wk_matrix *, int64_t, int64_t, int64_t, float *);
void wk_avx2_dequantize_int4(const wk_matrix *, int64_t, int64_t, int64_t, float *);
void wk_avx2_dequantize_int8(const wk_matrix *, int64_t, int64_t, int64_t, float *);
void wk_avx2_dequantize_f8_e4m3(const wk_matrix *, int64_t, int64_t, int64_t, float *);

#endif
