// Attention with AVX-512, for CPUs without its BF16 products.
#if defined(__x86_64__)
#include "avx512.h"

#include "../internal/vector_exp.h"

#include "../internal/attention_floats.h"

#define AT_QUERIES 4
#define AT_VECTORS 4
#define AT_FEW_VECTORS 4
#define AT_ONE_VECTORS 4
#define AT_SUMS 16
#define AT_POSITIONS 16
#define AT_HEADS 1
#define AT_MIX_HEADS 4
#define AT_MIX_VECTORS 4

AVX512 wk_vec at_load(const uint8_t *p, const int half) {
    const __m512i bits = _mm512_loadu_si512(p);
    return _mm512_castsi512_ps(half ? _mm512_and_si512(bits, _mm512_set1_epi32((int)0xffff0000u))
                                    : _mm512_slli_epi32(bits, 16));
}
AVX512 wk_vec at_widen(const uint8_t *p) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p)), 16));
}
// To nearest even; the numbers are weights, finite or NaN, and a NaN's sign is of no matter.
AVX512 void at_store(float *p, wk_vec v) {
    const __m512i bits = _mm512_castps_si512(v);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const __m512i up = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    const __m512i high = _mm512_and_si512(up, _mm512_set1_epi32((int)0xffff0000u));
    _mm512_storeu_si512(p, _mm512_mask_set1_epi32(high, _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q), 0x7fc00000));
}

#include "../internal/attention_template.h"

const wk_attention_kernels wk_avx512_attention = WK_ATTENTION_KERNELS;

#endif
