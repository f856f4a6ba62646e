// Vectors of 4 floats and words for q8_template.h; WK_TARGET is defined before.
#ifndef WALET_NEON_Q8_WORDS_H
#define WALET_NEON_Q8_WORDS_H

#include "neon_q8.h"

#include <arm_neon.h>

#define WK_LANES 4
#define WK_Q8_TILES 2
#define WK_Q8_TOKENS 4
#define WK_Q8_BIASED 0
#define OP static inline __attribute__((always_inline, unused)) WK_TARGET

typedef float32x4_t wk_vec;
typedef uint32x4_t wk_words;

OP wk_vec f_zero(void) { return vdupq_n_f32(0); }
OP wk_vec f_set1(float v) { return vdupq_n_f32(v); }
OP wk_vec f_load(const float *p) { return vld1q_f32(p); }
OP void f_store(float *p, wk_vec v) { vst1q_f32(p, v); }
OP wk_vec f_mul(wk_vec a, wk_vec b) { return vmulq_f32(a, b); }
OP wk_vec f_fma(wk_vec a, wk_vec b, wk_vec c) { return vfmaq_f32(c, a, b); }
OP wk_vec f_of_words(wk_words q) { return vcvtq_f32_s32(vreinterpretq_s32_u32(q)); }
OP wk_vec f_cast(wk_words q) { return vreinterpretq_f32_u32(q); }

OP wk_words w_zero(void) { return vdupq_n_u32(0); }
OP wk_words w_set1(uint32_t v) { return vdupq_n_u32(v); }
OP wk_words w_set1_load(const uint8_t *p) { return w_set1(wk_load_u32(p)); }
OP wk_vec f_set1_load(const uint8_t *p) { return vdupq_n_f32(wk_load_f32(p)); }
OP wk_words w_and(wk_words a, wk_words b) { return vandq_u32(a, b); }
OP wk_words w_or(wk_words a, wk_words b) { return vorrq_u32(a, b); }
OP wk_words w_xor(wk_words a, wk_words b) { return veorq_u32(a, b); }
OP wk_words w_add(wk_words a, wk_words b) { return vaddq_u32(a, b); }
OP wk_words w_shl(wk_words q, int n) { return vshlq_u32(q, vdupq_n_s32(n)); }
OP wk_words w_shr(wk_words q, int n) { return vshlq_u32(q, vdupq_n_s32(-n)); }
OP wk_words w_sar(wk_words q, int n) {
    return vreinterpretq_u32_s32(vshlq_s32(vreinterpretq_s32_u32(q), vdupq_n_s32(-n)));
}
OP void w_store(wk_words *p, wk_words q) { *p = q; }
OP wk_words w_join(wk_words low, wk_words high) { return vbslq_u32(w_set1(0xffff), low, high); }
OP wk_words w_look_up(const int8_t *table, wk_words q) {
    return vreinterpretq_u32_s8(vqtbl1q_s8(vld1q_s8(table), vreinterpretq_u8_u32(q)));
}
OP wk_words w_spread(wk_words bits) {
    static const uint8_t first_byte[16] = {0, 0, 0, 0, 4, 4, 4, 4, 8, 8, 8, 8, 12, 12, 12, 12};
    uint8x16_t spread = vqtbl1q_u8(vreinterpretq_u8_u32(bits), vld1q_u8(first_byte));
    uint8x16_t set = vtstq_u8(spread, vreinterpretq_u8_u32(w_set1(0x08040201)));
    return vreinterpretq_u32_u8(vandq_u8(set, vdupq_n_u8(16)));
}
OP wk_vec f_of_f16(wk_words q) { return vcvt_f32_f16(vreinterpret_f16_u16(vmovn_u32(q))); }
OP wk_vec f_of_e8m0_half(wk_words e) {
    // For e below 2 the exponent would be negative: 2^-127 and 2^-128 are subnormal.
    wk_words normal = w_shl(w_add(e, w_set1((uint32_t)-1)), 23);
    wk_words subnormal = vshlq_u32(w_set1(0x00200000), vreinterpretq_s32_u32(e));
    return f_cast(vbslq_u32(vcltq_u32(e, w_set1(2)), subnormal, normal));
}

OP wk_words load_row(const uint8_t *p) { return vreinterpretq_u32_u8(vld1q_u8(p)); }
OP wk_words halves(wk_words a, wk_words b, int high) {
    uint64x2_t x = vreinterpretq_u64_u32(a), y = vreinterpretq_u64_u32(b);
    return vreinterpretq_u32_u64(high ? vtrn2q_u64(x, y) : vtrn1q_u64(x, y));
}
OP void w_load_rows(const uint8_t *p, int64_t stride, wk_words *out) {
    wk_words r0 = load_row(p), r1 = load_row(p + stride), r2 = load_row(p + 2 * stride), r3 = load_row(p + 3 * stride);
    wk_words a = vtrn1q_u32(r0, r1), b = vtrn2q_u32(r0, r1), c = vtrn1q_u32(r2, r3), d = vtrn2q_u32(r2, r3);
    out[0] = halves(a, c, 0);
    out[1] = halves(b, d, 0);
    out[2] = halves(a, c, 1);
    out[3] = halves(b, d, 1);
}
OP wk_words w_load_row_words(const uint8_t *p, int64_t stride) {
    uint32_t words[4];
    for (int i = 0; i < 4; i++) words[i] = wk_load_u32(p + i * stride);
    return vld1q_u32(words);
}

// As they are.
OP wk_words w_bytes_prepare(wk_words q) { return q; }

OP int32x4_t dot(int32x4_t sum, int8x16_t w, int8x16_t a); // of each file's own

// Weights of up to 6 bits are the same signed or unsigned.
OP void q8_dot(const int tiles, const int tokens, const int bits, const int first, const int count, const wk_words *w,
               const uint8_t *const *a, const int64_t *offsets, wk_words *sums) {
    (void)bits;
    WK_UNROLL for (int k = first; k < first + count; k++) {
        WK_UNROLL for (int t = 0; t < tokens; t++) {
            const int8x16_t values = vreinterpretq_s8_u32(w_set1_load(a[t] + offsets[k]));
            WK_UNROLL for (int i = 0; i < tiles; i++) {
                wk_words *sum = &sums[i * tokens + t];
                const int8x16_t weights = vreinterpretq_s8_u32(w[i * WK_Q8_TILE_VECTORS + k]);
                *sum = vreinterpretq_u32_s32(dot(vreinterpretq_s32_u32(*sum), weights, values));
            }
        }
    }
}

#endif
