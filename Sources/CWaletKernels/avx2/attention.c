// Attention with AVX2.
#if defined(__x86_64__)
#include "avx2.h"

#include "../internal/vector_exp.h"

#include "../internal/attention_floats.h"

#define AT_QUERIES 6
#define AT_VECTORS 2
#define AT_FEW_VECTORS 4
#define AT_ONE_VECTORS 8
#define AT_SUMS 12
#define AT_POSITIONS 6
#define AT_HEADS 2
#define AT_MIX_HEADS 4
#define AT_MIX_VECTORS 2

AVX2 wk_vec at_load(const uint8_t *p, const int half) {
    const __m256i bits = _mm256_loadu_si256((const __m256i *)p);
    return _mm256_castsi256_ps(half ? _mm256_and_si256(bits, _mm256_set1_epi32((int)0xffff0000u))
                                    : _mm256_slli_epi32(bits, 16));
}
AVX2 wk_vec at_widen(const uint8_t *p) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)p)), 16));
}
// To nearest even; the numbers are weights, finite or NaN, and a NaN's sign is of no matter.
AVX2 void at_store(float *p, wk_vec v) {
    const __m256i bits = _mm256_castps_si256(v);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    const __m256i up = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
    const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q));
    const __m256i high = _mm256_and_si256(up, _mm256_set1_epi32((int)0xffff0000u));
    _mm256_storeu_ps(p, _mm256_castsi256_ps(_mm256_blendv_epi8(high, _mm256_set1_epi32(0x7fc00000), nan)));
}

#include "../internal/attention_template.h"

const wk_attention_kernels wk_avx2_attention = WK_ATTENTION_KERNELS;

#endif
