// Vectors of 8 floats and words for q8_template.h; WK_TARGET is defined before.
#ifndef WALET_AVX2_Q8_WORDS_H
#define WALET_AVX2_Q8_WORDS_H

#include "avx2_q8.h"

#include <immintrin.h>

#define WK_LANES 8
#define OP static inline __attribute__((always_inline, unused)) WK_TARGET

typedef __m256 wk_vec;
typedef __m256i wk_words;

OP wk_vec f_zero(void) { return _mm256_setzero_ps(); }
OP wk_vec f_set1(float v) { return _mm256_set1_ps(v); }
OP wk_vec f_load(const float *p) { return _mm256_loadu_ps(p); }
OP void f_store(float *p, wk_vec v) { _mm256_storeu_ps(p, v); }
OP wk_vec f_mul(wk_vec a, wk_vec b) { return _mm256_mul_ps(a, b); }
OP wk_vec f_fma(wk_vec a, wk_vec b, wk_vec c) { return _mm256_fmadd_ps(a, b, c); }
OP wk_vec f_of_words(wk_words q) { return _mm256_cvtepi32_ps(q); }
OP wk_vec f_cast(wk_words q) { return _mm256_castsi256_ps(q); }

OP wk_words w_zero(void) { return _mm256_setzero_si256(); }
OP wk_words w_set1(uint32_t v) { return _mm256_set1_epi32((int)v); }
OP wk_words w_set1_load(const uint8_t *p) { return w_set1(wk_load_u32(p)); }
OP wk_vec f_set1_load(const uint8_t *p) { return _mm256_set1_ps(wk_load_f32(p)); }
OP wk_words w_and(wk_words a, wk_words b) { return _mm256_and_si256(a, b); }
OP wk_words w_or(wk_words a, wk_words b) { return _mm256_or_si256(a, b); }
OP wk_words w_xor(wk_words a, wk_words b) { return _mm256_xor_si256(a, b); }
OP wk_words w_add(wk_words a, wk_words b) { return _mm256_add_epi32(a, b); }
OP wk_words w_shl(wk_words q, int n) { return _mm256_slli_epi32(q, n); }
OP wk_words w_shr(wk_words q, int n) { return _mm256_srli_epi32(q, n); }
OP wk_words w_sar(wk_words q, int n) { return _mm256_srai_epi32(q, n); }
OP void w_store(wk_words *p, wk_words q) { _mm256_store_si256(p, q); }
OP wk_words w_join(wk_words low, wk_words high) { return _mm256_blend_epi16(low, high, 0xaa); }
OP wk_words w_look_up(const int8_t *table, wk_words q) {
    return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)table)), q);
}
OP wk_words w_spread(wk_words bits) {
    const wk_words one_bit = w_set1(0x08040201);
    const __m256i first_byte =
        _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 0, 0, 0, 4, 4, 4, 4, 8, 8, 8, 8, 12, 12, 12, 12));
    wk_words set = _mm256_and_si256(_mm256_shuffle_epi8(bits, first_byte), one_bit);
    return _mm256_and_si256(_mm256_cmpeq_epi8(set, one_bit), _mm256_set1_epi8(16));
}
OP wk_vec f_of_f16(wk_words q) {
    __m256i low = _mm256_and_si256(q, _mm256_set1_epi32(0xffff));
    __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(low, low), 0x08);
    return _mm256_cvtph_ps(_mm256_castsi256_si128(packed));
}
OP wk_vec f_of_e8m0_half(wk_words e) {
    // For e below 2 the exponent would be negative: 2^-127 and 2^-128 are subnormal.
    __m256i subnormal = _mm256_cmpgt_epi32(w_set1(2), e);
    __m256i normal = w_shl(w_add(e, w_set1((uint32_t)-1)), 23);
    return f_cast(_mm256_blendv_epi8(normal, _mm256_sllv_epi32(w_set1(0x00200000), e), subnormal));
}

// Two rows to a vector, one in each half; then the words change places with the vectors, in each half.
OP void w_load_rows(const uint8_t *p, int64_t stride, wk_words *out) {
    __m256i v[4];
    for (int k = 0; k < 4; k++) {
        const uint8_t *row = p + k * stride;
        v[k] = _mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)row));
        v[k] = _mm256_inserti128_si256(v[k], _mm_loadu_si128((const __m128i *)(row + 4 * stride)), 1);
    }
    __m256i a = _mm256_unpacklo_epi32(v[0], v[1]), b = _mm256_unpackhi_epi32(v[0], v[1]);
    __m256i c = _mm256_unpacklo_epi32(v[2], v[3]), d = _mm256_unpackhi_epi32(v[2], v[3]);
    out[0] = _mm256_unpacklo_epi64(a, c);
    out[1] = _mm256_unpackhi_epi64(a, c);
    out[2] = _mm256_unpacklo_epi64(b, d);
    out[3] = _mm256_unpackhi_epi64(b, d);
}
OP wk_words w_load_row_words(const uint8_t *p, int64_t stride) {
    uint32_t words[8];
    for (int i = 0; i < 8; i++) words[i] = wk_load_u32(p + i * stride);
    return _mm256_loadu_si256((const __m256i *)words);
}

#endif
