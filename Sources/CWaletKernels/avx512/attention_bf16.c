// Attention with AVX-512 and its BF16 products.
#if defined(__x86_64__)
#include "avx512.h"

#undef WK_TARGET
#define WK_TARGET __attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")))

#include "../internal/vector_exp.h"

#define AT_QUERIES 6
#define AT_VECTORS 4
#define AT_FEW_VECTORS 4
#define AT_ONE_VECTORS 4
#define AT_SUMS 24
#define AT_HALVES 1
#define AT_POSITIONS 16
#define BF16 static inline __attribute__((always_inline, unused)) WK_TARGET

typedef uint16_t at_number;
typedef __m512bh at_pairs;

BF16 at_pairs at_load(const uint8_t *p, const int half) {
    (void)half;
    return (__m512bh)_mm512_loadu_si512(p);
}
BF16 at_pairs at_interleave(const uint8_t *a, const uint8_t *b) {
    const __m512i first = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)a));
    const __m512i second = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)b));
    return (__m512bh)_mm512_or_si512(first, _mm512_slli_epi32(second, 16));
}
BF16 at_pairs at_spread(const uint16_t *p, const int half) {
    (void)half;
    return (__m512bh)_mm512_set1_epi32((int)wk_load_u32((const uint8_t *)p));
}
BF16 wk_vec at_dot(wk_vec sum, at_pairs a, at_pairs b) { return _mm512_dpbf16_ps(sum, a, b); }
BF16 void at_store(uint16_t *p, wk_vec v) { _mm256_storeu_si256((__m256i *)p, (__m256i)_mm512_cvtneps_pbh(v)); }
BF16 void at_store_pairs(uint32_t *p, wk_vec a, wk_vec b) {
    const __m512i first = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(a));
    const __m512i second = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(b));
    _mm512_storeu_si512(p, _mm512_or_si512(first, _mm512_slli_epi32(second, 16)));
}

#include "../internal/attention_template.h"

const wk_attention_kernels wk_avx512_bf16_attention = WK_ATTENTION_KERNELS;

#endif
