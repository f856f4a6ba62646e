// Attention with the vectors of 64-bit ARM.
#if defined(__aarch64__)
#include "neon.h"

#include "../internal/vector_exp.h"

#include "../internal/attention_floats.h"

#define AT_QUERIES 4
#define AT_VECTORS 4
#define AT_FEW_VECTORS 4
#define AT_ONE_VECTORS 8
#define AT_SUMS 16
#define AT_POSITIONS 5
#define AT_HEADS 4
#define AT_MIX_HEADS 4
#define AT_MIX_VECTORS 4

NEON wk_vec at_load(const uint8_t *p, const int half) {
    const uint32x4_t bits = vreinterpretq_u32_u8(vld1q_u8(p));
    return vreinterpretq_f32_u32(half ? vandq_u32(bits, vdupq_n_u32(0xffff0000u)) : vshlq_n_u32(bits, 16));
}
NEON wk_vec at_widen(const uint8_t *p) {
    return vreinterpretq_f32_u32(vshll_n_u16(vreinterpret_u16_u8(vld1_u8(p)), 16));
}
// To nearest even; the numbers are weights, finite or NaN, and a NaN's sign is of no matter.
NEON void at_store(float *p, wk_vec v) {
    const uint32x4_t bits = vreinterpretq_u32_f32(v), odd = vandq_u32(vshrq_n_u32(bits, 16), vdupq_n_u32(1));
    const uint32x4_t up = vaddq_u32(bits, vaddq_u32(odd, vdupq_n_u32(0x7fff)));
    const uint32x4_t high = vandq_u32(up, vdupq_n_u32(0xffff0000u));
    vst1q_f32(p, vreinterpretq_f32_u32(vbslq_u32(vceqq_f32(v, v), high, vdupq_n_u32(0x7fc00000))));
}

#include "../internal/attention_template.h"

const wk_attention_kernels wk_neon_attention = WK_ATTENTION_KERNELS;

#endif
