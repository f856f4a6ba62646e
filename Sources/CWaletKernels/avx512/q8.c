// Products of int8 activations with packed weights, 16 rows at a time, with VNNI. CPUs without it take AVX2's.
#if defined(__x86_64__)
#include "../avx2/avx2_q8.h"

#include <immintrin.h>

#define WK_TARGET __attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")))
#define WK_LANES 16
#define WK_Q8_TILES 2
#define WK_Q8_TOKENS 8
#define WK_Q8_BIASED 1
#define OP static inline __attribute__((always_inline, unused)) WK_TARGET

typedef __m512 wk_vec;
typedef __m512i wk_words;

OP wk_vec f_zero(void) { return _mm512_setzero_ps(); }
OP wk_vec f_set1(float v) { return _mm512_set1_ps(v); }
OP wk_vec f_load(const float *p) { return _mm512_loadu_ps(p); }
OP void f_store(float *p, wk_vec v) { _mm512_storeu_ps(p, v); }
OP wk_vec f_mul(wk_vec a, wk_vec b) { return _mm512_mul_ps(a, b); }
OP wk_vec f_fma(wk_vec a, wk_vec b, wk_vec c) { return _mm512_fmadd_ps(a, b, c); }
OP wk_vec f_of_words(wk_words q) { return _mm512_cvtepi32_ps(q); }
OP wk_vec f_cast(wk_words q) { return _mm512_castsi512_ps(q); }

OP wk_words w_zero(void) { return _mm512_setzero_si512(); }
OP wk_words w_set1(uint32_t v) { return _mm512_set1_epi32((int)v); }
OP wk_words w_set1_load(const uint8_t *p) { return w_set1(wk_load_u32(p)); }
OP wk_vec f_set1_load(const uint8_t *p) { return _mm512_set1_ps(wk_load_f32(p)); }
OP wk_words w_and(wk_words a, wk_words b) { return _mm512_and_si512(a, b); }
OP wk_words w_or(wk_words a, wk_words b) { return _mm512_or_si512(a, b); }
OP wk_words w_xor(wk_words a, wk_words b) { return _mm512_xor_si512(a, b); }
OP wk_words w_add(wk_words a, wk_words b) { return _mm512_add_epi32(a, b); }
OP wk_words w_shl(wk_words q, int n) { return _mm512_slli_epi32(q, (unsigned)n); }
OP wk_words w_shr(wk_words q, int n) { return _mm512_srli_epi32(q, (unsigned)n); }
OP wk_words w_sar(wk_words q, int n) { return _mm512_srai_epi32(q, (unsigned)n); }
OP void w_store(wk_words *p, wk_words q) { _mm512_store_si512(p, q); }
OP wk_words w_join(wk_words low, wk_words high) { return _mm512_mask_blend_epi16(0xaaaaaaaa, low, high); }
OP wk_words w_look_up(const int8_t *table, wk_words q) {
    return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)table)), q);
}
OP wk_words w_spread(wk_words bits) {
    const wk_words one_bit = w_set1(0x08040201);
    const __m512i first_byte =
        _mm512_broadcast_i32x4(_mm_setr_epi8(0, 0, 0, 0, 4, 4, 4, 4, 8, 8, 8, 8, 12, 12, 12, 12));
    return _mm512_maskz_set1_epi8(_mm512_test_epi8_mask(_mm512_shuffle_epi8(bits, first_byte), one_bit), 16);
}
OP wk_vec f_of_f16(wk_words q) { return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(q)); }
OP wk_vec f_of_e8m0_half(wk_words e) {
    // For e below 2 the exponent would be negative: 2^-127 and 2^-128 are subnormal.
    __mmask16 subnormal = _mm512_cmplt_epu32_mask(e, w_set1(2));
    wk_words normal = w_shl(w_add(e, w_set1((uint32_t)-1)), 23);
    return f_cast(_mm512_mask_sllv_epi32(normal, subnormal, w_set1(0x00200000), e));
}

// Four rows to a vector, one in each quarter; then the words change places with the vectors, in each quarter.
OP void w_load_rows(const uint8_t *p, int64_t stride, wk_words *out) {
    __m512i v[4];
    for (int k = 0; k < 4; k++) {
        const uint8_t *row = p + k * stride;
        v[k] = _mm512_castsi128_si512(_mm_loadu_si128((const __m128i *)row));
        v[k] = _mm512_inserti32x4(v[k], _mm_loadu_si128((const __m128i *)(row + 4 * stride)), 1);
        v[k] = _mm512_inserti32x4(v[k], _mm_loadu_si128((const __m128i *)(row + 8 * stride)), 2);
        v[k] = _mm512_inserti32x4(v[k], _mm_loadu_si128((const __m128i *)(row + 12 * stride)), 3);
    }
    __m512i a = _mm512_unpacklo_epi32(v[0], v[1]), b = _mm512_unpackhi_epi32(v[0], v[1]);
    __m512i c = _mm512_unpacklo_epi32(v[2], v[3]), d = _mm512_unpackhi_epi32(v[2], v[3]);
    out[0] = _mm512_unpacklo_epi64(a, c);
    out[1] = _mm512_unpackhi_epi64(a, c);
    out[2] = _mm512_unpacklo_epi64(b, d);
    out[3] = _mm512_unpackhi_epi64(b, d);
}
OP wk_words w_load_row_words(const uint8_t *p, int64_t stride) {
    uint32_t words[16];
    for (int i = 0; i < 16; i++) words[i] = wk_load_u32(p + i * stride);
    return _mm512_loadu_si512(words);
}

OP wk_words w_bytes_prepare(wk_words q) { return w_xor(q, w_set1(0x80808080)); }

#define IN_A_REGISTER(v) __asm__ volatile("" : "+v"(v))

OP void q8_dot(const int tiles, const int tokens, const int bits, const int first, const int count, const wk_words *w,
               const uint8_t *const *a, const int64_t *offsets, wk_words *sums) {
    (void)bits;
    WK_UNROLL for (int k = first; k < first + count; k++) {
        WK_UNROLL for (int t = 0; t < tokens; t++) {
            const wk_words values = w_set1_load(a[t] + offsets[k]);
            WK_UNROLL for (int i = 0; i < tiles; i++) {
                sums[i * tokens + t] = _mm512_dpbusd_epi32(sums[i * tokens + t], w[i * WK_Q8_TILE_VECTORS + k], values);
            }
        }
        // Left alone, compilers finish one token after the other: sums that wait for themselves, and values that wait in
        // memory for their turn.
        if (tiles * tokens > 4) {
            WK_UNROLL for (int j = 0; j < tiles * tokens; j++) IN_A_REGISTER(sums[j]);
        }
    }
}

#include "../internal/q8_template.h"

void wk_avx512_q8_matmul(const wk_matrix *m, int64_t row_begin, int64_t row_end, const uint8_t *q8,
                         const int32_t *token_rows, int64_t n, float *y, int64_t y_stride, float *scratch) {
    if (__builtin_cpu_supports("avx512vnni") && !wk_q8_without_dot_products) {
        q8_matmul(m, row_begin, row_end, q8, token_rows, n, y, y_stride, scratch);
    } else {
        wk_avx2_q8_matmul(m, row_begin, row_end, q8, token_rows, n, y, y_stride, scratch);
    }
}

#endif
