// The quantization of activations with AVX-512.
#if defined(__x86_64__)
#include "../avx2/avx2_q8.h"

#include <immintrin.h>

#define WK_TARGET __attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl")))

static inline __attribute__((always_inline)) WK_TARGET int32_t sum_of_words(__m256i v) {
    __m128i half = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    half = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(half, _mm_shuffle_epi32(half, 0xb1)));
}

static inline __attribute__((always_inline)) WK_TARGET int32_t quantize_block(const float *x, uint8_t *row, int64_t cols,
                                                                              int64_t block) {
    // Magnitudes as integers, where a NaN is larger than everything.
    const __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
    const __m512 x0 = _mm512_loadu_ps(x), x1 = _mm512_loadu_ps(x + 16);
    const __m512i m = _mm512_max_epu32(_mm512_and_si512(_mm512_castps_si512(x0), magnitude),
                                       _mm512_and_si512(_mm512_castps_si512(x1), magnitude));
    const __m256i quarter = _mm256_max_epu32(_mm512_castsi512_si256(m), _mm512_extracti64x4_epi64(m, 1));
    __m128i top = _mm_max_epu32(_mm256_castsi256_si128(quarter), _mm256_extracti128_si256(quarter, 1));
    top = _mm_max_epu32(top, _mm_shuffle_epi32(top, 0x4e));
    top = _mm_max_epu32(top, _mm_shuffle_epi32(top, 0xb1));
    const uint32_t largest = (uint32_t)_mm_cvtsi128_si32(top);
    const float maximum = wk_float_from_bits(largest);
    float scale = 0;
    __m256i values = _mm256_setzero_si256();
    if (largest >= 0x7f800000u) {
        scale = wk_float_from_bits(0x7fc00000);
    } else if (maximum >= WK_Q8_SMALLEST) {
        scale = maximum / 127;
        const __m512 inverse = _mm512_set1_ps(127 / maximum);
        const __m128i low = _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(_mm512_mul_ps(x0, inverse)));
        const __m128i high = _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(_mm512_mul_ps(x1, inverse)));
        values = _mm256_inserti128_si256(_mm256_castsi128_si256(low), high, 1);
    }
    const __m256i parity =
        _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15));
    const __m256i parted = _mm256_permute4x64_epi64(_mm256_shuffle_epi8(values, parity), 0xd8);
    _mm256_storeu_si256((__m256i *)(row + 32 * block), values);
    _mm256_storeu_si256((__m256i *)(row + wk_q8_deinterleaved(cols) + 32 * block), parted);
    // vpsadbw sums 8 unsigned bytes: each value plus 128.
    const __m256i sums = _mm256_sad_epu8(_mm256_xor_si256(values, _mm256_set1_epi8((char)0x80)), _mm256_setzero_si256());
    const __m256i halves = _mm256_add_epi32(sums, _mm256_shuffle_epi32(sums, 0x4e));
    const int first = _mm256_extract_epi32(halves, 0) - 16 * 128, second = _mm256_extract_epi32(halves, 4) - 16 * 128;
    uint8_t *meta = row + wk_q8_metas(cols) + 32 * block;
    const wk_q8_meta numbers = {.scale = scale,
                                .scaled_sum = scale * (float)(first + second),
                                .negative_8_sums = -8 * (first + second),
                                .negative_half_sums = {-first, -second}};
    memcpy(meta, &numbers, offsetof(wk_q8_meta, seams));
    // As wk_q8_add_seams does it.
    const __m128i of_first = _mm_setr_epi8(14, 15, 0, 1, -1, -1, -1, -1, -1, -1, 0, 1, -1, -1, -1, -1);
    const __m128i of_second = _mm_setr_epi8(-1, -1, -1, -1, 14, 15, 0, 1, 14, 15, -1, -1, -1, -1, -1, -1);
    const __m128i seams = _mm_or_si128(_mm_shuffle_epi8(_mm256_castsi256_si128(values), of_first),
                                       _mm_shuffle_epi8(_mm256_extracti128_si256(values, 1), of_second));
    _mm_mask_storeu_epi32(meta + offsetof(wk_q8_meta, seams), 7, seams);
    // 2 * 127 * 127 fits 16 bits.
    const __m256i magnitudes = _mm256_abs_epi8(values);
    return sum_of_words(_mm256_madd_epi16(_mm256_maddubs_epi16(magnitudes, magnitudes), _mm256_set1_epi16(1)));
}

#include "../internal/q8_quantize.h"

WK_TARGET void wk_avx512_q8_quantize(const float *x, int64_t x_stride, int64_t cols, int64_t n, uint8_t *q8) {
    q8_quantize(x, x_stride, cols, n, q8);
}

#endif
