// Vectors of 16 floats for the templates, and what the files of this set share.
#ifndef WALET_AVX512_H
#define WALET_AVX512_H

#include "../internal/kernel_table.h"

#include <immintrin.h>

#define WK_KERNELS wk_kernels_avx512
#define WK_TARGET __attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl")))
#define WK_LANES 16
#define WK_TILE_ROWS 8
#define AVX512 static inline __attribute__((always_inline, unused)) WK_TARGET

typedef __m512 wk_vec;

AVX512 __mmask16 tail_mask(int64_t count) { return (__mmask16)((1u << count) - 1); }
AVX512 wk_vec vec_zero(void) { return _mm512_setzero_ps(); }
AVX512 wk_vec vec_set1(float v) { return _mm512_set1_ps(v); }
AVX512 wk_vec vec_load(const void *p) { return _mm512_loadu_ps(p); }
AVX512 wk_vec vec_load_tail(const void *p, int64_t count) { return _mm512_maskz_loadu_ps(tail_mask(count), p); }
AVX512 void vec_store(float *p, wk_vec v) { _mm512_storeu_ps(p, v); }
AVX512 void vec_store_tail(float *p, wk_vec v, int64_t count) { _mm512_mask_storeu_ps(p, tail_mask(count), v); }
AVX512 wk_vec vec_fma(wk_vec a, wk_vec b, wk_vec c) { return _mm512_fmadd_ps(a, b, c); }
AVX512 wk_vec vec_add(wk_vec a, wk_vec b) { return _mm512_add_ps(a, b); }
AVX512 wk_vec vec_sub(wk_vec a, wk_vec b) { return _mm512_sub_ps(a, b); }
AVX512 wk_vec vec_mul(wk_vec a, wk_vec b) { return _mm512_mul_ps(a, b); }
AVX512 wk_vec vec_div(wk_vec a, wk_vec b) { return _mm512_div_ps(a, b); }
AVX512 wk_vec vec_min(wk_vec a, wk_vec b) { return _mm512_min_ps(a, b); }
AVX512 wk_vec vec_max(wk_vec a, wk_vec b) { return _mm512_max_ps(a, b); }
AVX512 float vec_sum(wk_vec v) { return _mm512_reduce_add_ps(v); }
AVX512 float vec_max_lanes(wk_vec v) { return _mm512_reduce_max_ps(v); }
AVX512 wk_vec vec_scale_by_power_of_two(wk_vec v, wk_vec exponent) { return _mm512_scalef_ps(v, exponent); }
// (-b, a) for each pair (a, b).
AVX512 wk_vec vec_rotate_pairs(wk_vec v) {
    const __m512 signs = _mm512_castsi512_ps(_mm512_set1_epi64(0x80000000));
    return _mm512_xor_ps(_mm512_permute_ps(v, 0xb1), signs);
}
// Each of 8 floats twice.
AVX512 wk_vec vec_load_twice(const float *p) {
    const __m512i index = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
    return _mm512_permutexvar_ps(index, _mm512_castps256_ps512(_mm256_loadu_ps(p)));
}

void wk_avx512_dequantize_f16(const wk_matrix *, int64_t, int64_t, int64_t, float *);
void wk_avx512_dequantize_bf16(const wk_matrix *, int64_t, int64_t, int64_t, float *);
void wk_avx512_dequantize_q4_0(const wk_matrix *, int64_t, int64_t, int64_t, float *);
void wk_avx512_dequantize_q4_1(const wk_matrix *, int64_t, int64_t, int64_t, float *);
void wk_avx512_dequantize_q5_0(const wk_matrix *, int64_t, int64_t, int64_t, float *);
void wk_avx512_dequantize_q5_1(const wk_matrix *, int64_t, int64_t, int64_t, float *);
void wk_avx512_dequantize_q8_0(const wk_matrix *, int64_t, int64_t, int64_t, float *);
void wk_avx512_dequantize_q2_k(const wk_matrix *, int64_t, int64_t, int64_t, float *);
void wk_avx512_dequantize_q3_k(const wk_matrix *, int64_t, int64_t, int64_t, float *);
void wk_avx512_dequantize_q4_k(const wk_matrix *, int64_t, int64_t, int64_t, float *);
void wk_avx512_dequantize_q5_k(const wk_matrix *, int64_t, int64_t, int64_t, float *);
void wk_avx512_dequantize_q6_k(const wk_matrix *, int64_t, int64_t, int64_t, float *);
void wk_avx512_dequantize_iq4_nl(const wk_matrix *, int64_t, int64_t, int64_t, float *);
void wk_avx512_dequantize_iq4_xs(const wk_matrix *, int64_t, int64_t, int64_t, float *);
void wk_avx512_dequantize_mxfp4(const wk_matrix *, int64_t, int64_t, int64_t, float *);
void wk_avx512_dequantize_int4(const wk_matrix *, int64_t, int64_t, int64_t, float *);
void wk_avx512_dequantize_int8(const wk_matrix *, int64_t, int64_t, int64_t, float *);
void wk_avx512_dequantize_f8_e4m3(const wk_matrix *, int64_t, int64_t, int64_t, float *);

#endif
