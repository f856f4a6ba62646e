// Attention with AVX2.
#if defined(__x86_64__)
#include "avx2.h"

#include "../internal/vector_exp.h"

#include "../internal/attention_floats.h"

#define AT_QUERIES 4
#define AT_VECTORS 2
#define AT_POSITIONS 8

AVX2 at_pairs at_load(const uint8_t *p) {
    const __m256i bits = _mm256_loadu_si256((const __m256i *)p);
    return (at_pairs){_mm256_castsi256_ps(_mm256_slli_epi32(bits, 16)),
                      _mm256_castsi256_ps(_mm256_and_si256(bits, _mm256_set1_epi32((int)0xffff0000u)))};
}
AVX2 wk_vec at_widen(const uint8_t *p) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)p)), 16));
}
AVX2 at_pairs at_interleave(const uint8_t *a, const uint8_t *b) { return (at_pairs){at_widen(a), at_widen(b)}; }
// To nearest even; the numbers are weights, finite or NaN, and a NaN's sign is of no matter.
AVX2 __m256i at_round(wk_vec v) {
    const __m256i bits = _mm256_castps_si256(v);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    const __m256i up = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
    const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q));
    return _mm256_blendv_epi8(_mm256_srli_epi32(up, 16), _mm256_set1_epi32(0x7fc0), nan);
}
AVX2 void at_store(uint16_t *p, wk_vec v) {
    const __m256i q = at_round(v);
    _mm_storeu_si128((__m128i *)p, _mm_packus_epi32(_mm256_castsi256_si128(q), _mm256_extracti128_si256(q, 1)));
}
AVX2 void at_store_pairs(uint32_t *p, wk_vec a, wk_vec b) {
    _mm256_storeu_si256((__m256i *)p, _mm256_or_si256(at_round(a), _mm256_slli_epi32(at_round(b), 16)));
}

#include "../internal/attention_template.h"

const wk_attention_kernels wk_avx2_attention = WK_ATTENTION_KERNELS;

#endif
