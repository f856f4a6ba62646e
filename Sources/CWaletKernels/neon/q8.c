// Products of int8 activations with packed weights, 4 rows at a time, for any 64-bit ARM.
#if defined(__aarch64__)
#define WK_TARGET

#include "q8_words.h"

#include "../generic/generic.h"

#if defined(__linux__)
#include <sys/auxv.h>
#endif

// Two products of bytes fit 16 bits, as activations are at least -127.
OP int32x4_t dot(int32x4_t sum, int8x16_t w, int8x16_t a) {
    return vpadalq_s16(sum, vpaddq_s16(vmull_s8(vget_low_s8(w), vget_low_s8(a)), vmull_high_s8(w, a)));
}

#include "../internal/q8_template.h"

static bool has_dot_products(void) {
#if defined(__APPLE__)
    return true;
#elif defined(__linux__)
    return getauxval(AT_HWCAP) >> 20 & 1; // HWCAP_ASIMDDP
#else
    return false;
#endif
}

void wk_neon_q8_matmul(const wk_matrix *m, int64_t row_begin, int64_t row_end, const uint8_t *q8,
                       const int32_t *token_rows, int64_t n, float *y, int64_t y_stride, float *scratch) {
    if (has_dot_products() && !wk_q8_without_dot_products) {
        wk_neon_dot_q8_matmul(m, row_begin, row_end, q8, token_rows, n, y, y_stride, scratch);
    } else {
        q8_matmul(m, row_begin, row_end, q8, token_rows, n, y, y_stride, scratch);
    }
}

static inline int32_t quantize_block(const float *x, uint8_t *row, int64_t cols, int64_t block) {
    // Magnitudes as integers, where a NaN is larger than everything.
    float32x4_t v[8];
    uint32x4_t magnitudes = vdupq_n_u32(0);
    for (int i = 0; i < 8; i++) {
        v[i] = vreinterpretq_f32_u8(vld1q_u8((const uint8_t *)(x + 4 * i)));
        magnitudes = vmaxq_u32(magnitudes, vandq_u32(vreinterpretq_u32_f32(v[i]), vdupq_n_u32(0x7fffffff)));
    }
    const uint32_t largest = vmaxvq_u32(magnitudes);
    const float maximum = wk_float_from_bits(largest);
    float scale = 0;
    int8x16_t values[2] = {vdupq_n_s8(0), vdupq_n_s8(0)};
    if (largest >= 0x7f800000u) {
        scale = wk_float_from_bits(0x7fc00000);
    } else if (maximum >= WK_Q8_SMALLEST) {
        scale = maximum / 127;
        const float inverse = 127 / maximum;
        int16x4_t q[8];
        for (int i = 0; i < 8; i++) q[i] = vmovn_s32(vcvtnq_s32_f32(vmulq_n_f32(v[i], inverse)));
        for (int i = 0; i < 2; i++) {
            values[i] = vcombine_s8(vmovn_s16(vcombine_s16(q[4 * i], q[4 * i + 1])),
                                    vmovn_s16(vcombine_s16(q[4 * i + 2], q[4 * i + 3])));
        }
    }
    int8_t *in_order = (int8_t *)row + 32 * block, *parted = in_order + wk_q8_deinterleaved(cols);
    for (int i = 0; i < 2; i++) vst1q_s8(in_order + 16 * i, values[i]);
    vst1q_s8(parted, vuzp1q_s8(values[0], values[1]));
    vst1q_s8(parted + 16, vuzp2q_s8(values[0], values[1]));
    const int first = vaddlvq_s8(values[0]), second = vaddlvq_s8(values[1]);
    wk_q8_meta meta = {.scale = scale,
                       .scaled_sum = scale * (float)(first + second),
                       .negative_8_sums = -8 * (first + second),
                       .negative_half_sums = {-first, -second}};
    wk_q8_add_seams(row + 32 * block, &meta);
    memcpy(row + wk_q8_metas(cols) + 32 * block, &meta, sizeof meta);
    return wk_q8_sum_of_squares(row + 32 * block);
}

#include "../internal/q8_quantize.h"

void wk_neon_q8_quantize(const float *x, int64_t x_stride, int64_t cols, int64_t n, uint8_t *q8) {
    q8_quantize(x, x_stride, cols, n, q8);
}

#endif
