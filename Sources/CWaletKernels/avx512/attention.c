// Attention with AVX-512, for CPUs without its BF16 products.
#if defined(__x86_64__)
#include "avx512.h"

#include "../internal/vector_exp.h"

#include "../internal/attention_floats.h"

#define AT_QUERIES 4
#define AT_VECTORS 4
#define AT_POSITIONS 16

AVX512 at_pairs at_load(const uint8_t *p) {
    const __m512i bits = _mm512_loadu_si512(p);
    return (at_pairs){_mm512_castsi512_ps(_mm512_slli_epi32(bits, 16)),
                      _mm512_castsi512_ps(_mm512_and_si512(bits, _mm512_set1_epi32((int)0xffff0000u)))};
}
AVX512 wk_vec at_widen(const uint8_t *p) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p)), 16));
}
AVX512 at_pairs at_interleave(const uint8_t *a, const uint8_t *b) { return (at_pairs){at_widen(a), at_widen(b)}; }
// To nearest even; the numbers are weights, finite or NaN, and a NaN's sign is of no matter.
AVX512 __m512i at_round(wk_vec v) {
    const __m512i bits = _mm512_castps_si512(v);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const __m512i up = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    return _mm512_mask_set1_epi32(_mm512_srli_epi32(up, 16), _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q), 0x7fc0);
}
AVX512 void at_store(uint16_t *p, wk_vec v) {
    _mm256_storeu_si256((__m256i *)p, _mm512_cvtepi32_epi16(at_round(v)));
}
AVX512 void at_store_pairs(uint32_t *p, wk_vec a, wk_vec b) {
    _mm512_storeu_si512(p, _mm512_or_si512(at_round(a), _mm512_slli_epi32(at_round(b), 16)));
}

#include "../internal/attention_template.h"

const wk_attention_kernels wk_avx512_attention = WK_ATTENTION_KERNELS;

#endif
