// Attention with the vectors of 64-bit ARM.
#if defined(__aarch64__)
#include "neon.h"

#include "../internal/vector_exp.h"

#include "../internal/attention_floats.h"

#define AT_QUERIES 4
#define AT_VECTORS 4
#define AT_POSITIONS 16

NEON at_pairs at_load(const uint8_t *p) {
    const uint32x4_t bits = vreinterpretq_u32_u8(vld1q_u8(p));
    return (at_pairs){vreinterpretq_f32_u32(vshlq_n_u32(bits, 16)),
                      vreinterpretq_f32_u32(vandq_u32(bits, vdupq_n_u32(0xffff0000u)))};
}
NEON wk_vec at_widen(const uint8_t *p) {
    return vreinterpretq_f32_u32(vshll_n_u16(vreinterpret_u16_u8(vld1_u8(p)), 16));
}
NEON at_pairs at_interleave(const uint8_t *a, const uint8_t *b) { return (at_pairs){at_widen(a), at_widen(b)}; }
// To nearest even; the numbers are weights, finite or NaN, and a NaN's sign is of no matter.
NEON uint32x4_t at_round(wk_vec v) {
    const uint32x4_t bits = vreinterpretq_u32_f32(v), odd = vandq_u32(vshrq_n_u32(bits, 16), vdupq_n_u32(1));
    const uint32x4_t up = vaddq_u32(bits, vaddq_u32(odd, vdupq_n_u32(0x7fff)));
    return vbslq_u32(vceqq_f32(v, v), vshrq_n_u32(up, 16), vdupq_n_u32(0x7fc0));
}
NEON void at_store(uint16_t *p, wk_vec v) { vst1_u8((uint8_t *)p, vreinterpret_u8_u16(vmovn_u32(at_round(v)))); }
NEON void at_store_pairs(uint32_t *p, wk_vec a, wk_vec b) {
    vst1q_u8((uint8_t *)p, vreinterpretq_u8_u32(vorrq_u32(at_round(a), vshlq_n_u32(at_round(b), 16))));
}

#include "../internal/attention_template.h"

const wk_attention_kernels wk_neon_attention = WK_ATTENTION_KERNELS;

#endif
