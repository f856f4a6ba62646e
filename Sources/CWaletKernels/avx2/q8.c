// Products of int8 activations with packed weights, 8 rows at a time, and the quantization of activations.
#if defined(__x86_64__)
#define WK_TARGET __attribute__((target("avx2,fma,f16c")))
#define WK_Q8_TILES 2
#define WK_Q8_TOKENS 4
#define WK_Q8_BIASED 0
#define WK_Q8_MOST_FEW 4
#define WK_Q8_PLANES_APART 1
#define WK_Q8_TILE "../avx2/q8_tile.h"

#include "q8_words.h"

// As they are.
OP wk_words w_bytes_prepare(wk_words q) { return q; }

// vpmaddubsw adds two products of an unsigned and a signed byte in 16 bits. Of b-bit weights 2^(8 - b) / 2 pairs fit
// there together: 2 * 127 * 15 * 8, 2 * 127 * 31 * 4 and 2 * 127 * 63 * 2 are below 2^15. Bytes lend their sign to the
// activations: 2 * 127 * 128 fits once.
OP void q8_dot(const int tiles, const int tokens, const int bits, const int first, const int count, const wk_words *w,
               const uint8_t *const *a, const int64_t *offsets, wk_words *sums) {
    (void)tiles; // one
    const __m256i ones = _mm256_set1_epi16(1);
    const int step = bits <= 4 ? 8 : bits == 5 ? 4 : bits == 6 ? 2 : 1;
    WK_UNROLL for (int k = first; k < first + count; k += step) {
        __m256i pairs[WK_Q8_TOKENS];
        WK_UNROLL for (int i = k; i < k + step && i < first + count; i++) {
            const __m256i weights = w[i], magnitudes = bits == 8 ? _mm256_abs_epi8(weights) : weights;
            WK_UNROLL for (int t = 0; t < tokens; t++) {
                __m256i values = w_set1_load(a[t] + offsets[i]);
                if (bits == 8) values = _mm256_sign_epi8(values, weights);
                __m256i products = _mm256_maddubs_epi16(magnitudes, values);
                pairs[t] = i == k ? products : _mm256_add_epi16(pairs[t], products);
            }
        }
        WK_UNROLL for (int t = 0; t < tokens; t++) {
            sums[t] = _mm256_add_epi32(sums[t], _mm256_madd_epi16(pairs[t], ones));
        }
    }
}

#include "../internal/q8_template.h"

void wk_avx2_q8_matmul(const wk_matrix *m, int64_t row_begin, int64_t row_end, const uint8_t *q8,
                       const int32_t *token_rows, int64_t n, float *y, int64_t y_stride, float *scratch) {
    if (__builtin_cpu_supports("avxvnni") && !wk_q8_without_dot_products) {
        wk_avx2_vnni_q8_matmul(m, row_begin, row_end, q8, token_rows, n, y, y_stride, scratch);
    } else {
        q8_matmul(m, row_begin, row_end, q8, token_rows, n, y, y_stride, scratch);
    }
}

// 8 values as integers.
OP __m256i rounded(const float *x, __m256 inverse) {
    return _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x), inverse));
}

static inline WK_TARGET int32_t quantize_block(const float *x, uint8_t *row, int64_t cols, int64_t block) {
    // Magnitudes as integers, where a NaN is larger than everything.
    const __m256i magnitude = _mm256_set1_epi32(0x7fffffff);
    __m256i m = _mm256_setzero_si256();
    for (int i = 0; i < 32; i += 8) {
        m = _mm256_max_epu32(m, _mm256_and_si256(_mm256_loadu_si256((const __m256i *)(x + i)), magnitude));
    }
    __m128i half = _mm_max_epu32(_mm256_castsi256_si128(m), _mm256_extracti128_si256(m, 1));
    half = _mm_max_epu32(half, _mm_shuffle_epi32(half, 0x4e));
    half = _mm_max_epu32(half, _mm_shuffle_epi32(half, 0xb1));
    const uint32_t largest = (uint32_t)_mm_cvtsi128_si32(half);
    const float maximum = wk_float_from_bits(largest);
    float scale = 0;
    __m256i values = _mm256_setzero_si256();
    if (largest >= 0x7f800000u) {
        scale = wk_float_from_bits(0x7fc00000);
    } else if (maximum >= WK_Q8_SMALLEST) {
        scale = maximum / 127;
        const __m256 inverse = _mm256_set1_ps(127 / maximum);
        __m256i low = _mm256_packs_epi32(rounded(x, inverse), rounded(x + 8, inverse));
        __m256i high = _mm256_packs_epi32(rounded(x + 16, inverse), rounded(x + 24, inverse));
        // Packing works in each half, so the words are in the order 0, 2, 4, 6, 1, 3, 5, 7.
        values = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(low, high), _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
    }
    const __m256i parity =
        _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15));
    __m256i parted = _mm256_permute4x64_epi64(_mm256_shuffle_epi8(values, parity), 0xd8);
    _mm256_storeu_si256((__m256i *)(row + 32 * block), values);
    _mm256_storeu_si256((__m256i *)(row + wk_q8_deinterleaved(cols) + 32 * block), parted);
    // vpsadbw sums 8 unsigned bytes: each value plus 128.
    __m256i sums = _mm256_sad_epu8(_mm256_xor_si256(values, _mm256_set1_epi8((char)0x80)), _mm256_setzero_si256());
    const int first = (int)(_mm256_extract_epi64(sums, 0) + _mm256_extract_epi64(sums, 1)) - 16 * 128;
    const int second = (int)(_mm256_extract_epi64(sums, 2) + _mm256_extract_epi64(sums, 3)) - 16 * 128;
    wk_q8_meta meta = {.scale = scale,
                       .scaled_sum = scale * (float)(first + second),
                       .negative_8_sums = -8 * (first + second),
                       .negative_half_sums = {-first, -second}};
    wk_q8_add_seams(row + 32 * block, &meta);
    memcpy(row + wk_q8_metas(cols) + 32 * block, &meta, sizeof meta);
    // 2 * 127 * 127 fits 16 bits.
    const __m256i magnitudes = _mm256_abs_epi8(values);
    const __m256i squares = _mm256_madd_epi16(_mm256_maddubs_epi16(magnitudes, magnitudes), _mm256_set1_epi16(1));
    half = _mm_add_epi32(_mm256_castsi256_si128(squares), _mm256_extracti128_si256(squares, 1));
    half = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0x4e));
    half = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0xb1));
    return _mm_cvtsi128_si32(half);
}

#include "../internal/q8_quantize.h"

WK_TARGET void wk_avx2_q8_quantize(const float *x, int64_t x_stride, int64_t cols, int64_t n, uint8_t *q8) {
    q8_quantize(x, x_stride, cols, n, q8);
}

#endif
