// Rows of packed numbers to floats, 16 at a time, bit-equal to generic/dequantize.c. Packings that are not here use the
// generic code.
#if defined(__aarch64__)
#include "neon.h"

#pragma STDC FP_CONTRACT OFF

#define ROW_OF_BLOCKS(values, bytes)                                                                                   \
    const uint8_t *b = wk_block_at(m, row, begin, values, bytes);                                                      \
    for (int64_t c = begin; c < end; c += values, b += bytes, out += values)

NEON float scalar_f16(const uint8_t *p) { return wk_float_from_f16(wk_load_u16(p)); }
NEON int8x16_t low_nibbles(uint8x16_t q) { return vreinterpretq_s8_u8(vandq_u8(q, vdupq_n_u8(15))); }
NEON int8x16_t high_nibbles(uint8x16_t q) { return vreinterpretq_s8_u8(vshrq_n_u8(q, 4)); }

// 16 signed bytes as floats.
NEON void floats_of_i8(int8x16_t q, float32x4_t v[4]) {
    int16x8_t low = vmovl_s8(vget_low_s8(q)), high = vmovl_high_s8(q);
    v[0] = vcvtq_f32_s32(vmovl_s16(vget_low_s16(low)));
    v[1] = vcvtq_f32_s32(vmovl_high_s16(low));
    v[2] = vcvtq_f32_s32(vmovl_s16(vget_low_s16(high)));
    v[3] = vcvtq_f32_s32(vmovl_high_s16(high));
}
NEON void store_scaled(float *out, float scale, int8x16_t q) {
    float32x4_t v[4];
    floats_of_i8(q, v);
    for (int i = 0; i < 4; i++) vec_store(out + 4 * i, vmulq_f32(vdupq_n_f32(scale), v[i]));
}
// scale * q + minimum, both rounded: not a fused product. x - y is x + (-y), to the last bit.
NEON void store_scaled_plus(float *out, float scale, float minimum, int8x16_t q) {
    float32x4_t v[4];
    floats_of_i8(q, v);
    for (int i = 0; i < 4; i++) {
        vec_store(out + 4 * i, vaddq_f32(vmulq_f32(vdupq_n_f32(scale), v[i]), vdupq_n_f32(minimum)));
    }
}

void wk_neon_dequantize_f16(const wk_matrix *m, int64_t row, int64_t begin, int64_t end, float *out) {
    const uint8_t *q = wk_block_at(m, row, begin, 1, 2);
    int64_t n = end - begin, c = 0;
    for (; c + 4 <= n; c += 4) vec_store(out + c, vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(q + 2 * c))));
    for (; c < n; c++) out[c] = scalar_f16(q + 2 * c);
}

void wk_neon_dequantize_bf16(const wk_matrix *m, int64_t row, int64_t begin, int64_t end, float *out) {
    const uint8_t *q = wk_block_at(m, row, begin, 1, 2);
    int64_t n = end - begin, c = 0;
    for (; c + 4 <= n; c += 4) {
        vec_store(out + c, vreinterpretq_f32_u32(vshll_n_u16(vreinterpret_u16_u8(vld1_u8(q + 2 * c)), 16)));
    }
    for (; c < n; c++) out[c] = wk_float_from_bf16(wk_load_u16(q + 2 * c));
}

void wk_neon_dequantize_q4_0(const wk_matrix *m, int64_t row, int64_t begin, int64_t end, float *out) {
    ROW_OF_BLOCKS(32, 18) {
        float d = scalar_f16(b);
        uint8x16_t q = vld1q_u8(b + 2);
        store_scaled(out, d, vsubq_s8(low_nibbles(q), vdupq_n_s8(8)));
        store_scaled(out + 16, d, vsubq_s8(high_nibbles(q), vdupq_n_s8(8)));
    }
}

void wk_neon_dequantize_q4_1(const wk_matrix *m, int64_t row, int64_t begin, int64_t end, float *out) {
    ROW_OF_BLOCKS(32, 20) {
        float d = scalar_f16(b), minimum = scalar_f16(b + 2);
        uint8x16_t q = vld1q_u8(b + 4);
        store_scaled_plus(out, d, minimum, low_nibbles(q));
        store_scaled_plus(out + 16, d, minimum, high_nibbles(q));
    }
}

void wk_neon_dequantize_q8_0(const wk_matrix *m, int64_t row, int64_t begin, int64_t end, float *out) {
    ROW_OF_BLOCKS(32, 34) {
        float d = scalar_f16(b);
        store_scaled(out, d, vreinterpretq_s8_u8(vld1q_u8(b + 2)));
        store_scaled(out + 16, d, vreinterpretq_s8_u8(vld1q_u8(b + 18)));
    }
}

void wk_neon_dequantize_q4_k(const wk_matrix *m, int64_t row, int64_t begin, int64_t end, float *out) {
    ROW_OF_BLOCKS(256, 144) {
        float d = scalar_f16(b), dmin = scalar_f16(b + 2);
        for (int j = 0; j < 8; j++) {
            int scale, minimum;
            wk_k_scale_min(b + 4, j, &scale, &minimum);
            for (int k = 0; k < 2; k++) {
                uint8x16_t q = vld1q_u8(b + 16 + 32 * (j / 2) + 16 * k);
                store_scaled_plus(out + 32 * j + 16 * k, d * (float)scale, -(dmin * (float)minimum),
                                  j % 2 ? high_nibbles(q) : low_nibbles(q));
            }
        }
    }
}

void wk_neon_dequantize_q6_k(const wk_matrix *m, int64_t row, int64_t begin, int64_t end, float *out) {
    ROW_OF_BLOCKS(256, 210) {
        float d = scalar_f16(b + 208);
        for (int j = 0; j < 16; j++) {
            int half = j / 8, t = j % 8 / 2, k = j % 2;
            uint8x16_t q = vld1q_u8(b + 64 * half + 32 * (t % 2) + 16 * k);
            uint8x16_t high = vshlq_u8(vld1q_u8(b + 128 + 32 * half + 16 * k), vdupq_n_s8((int8_t)(-2 * t)));
            int8x16_t low = t < 2 ? low_nibbles(q) : high_nibbles(q);
            high = vshlq_n_u8(vandq_u8(high, vdupq_n_u8(3)), 4);
            int8x16_t value = vsubq_s8(vorrq_s8(low, vreinterpretq_s8_u8(high)), vdupq_n_s8(32));
            store_scaled(out + 16 * j, d * (float)(int8_t)b[192 + j], value);
        }
    }
}

void wk_neon_dequantize_int4(const wk_matrix *m, int64_t row, int64_t begin, int64_t end, float *out) {
    const int64_t group_cols = m->group_cols, first_scale = wk_scale_index(m, row);
    // Groups that are no whole number of vectors, and the rounding to F16, are left to the generic code.
    if ((group_cols % 16 != 0 && group_cols < m->cols) || m->scale_packing == WK_F16) {
        wk_generic_dequantize_int4(m, row, begin, end, out);
        return;
    }
    const uint8_t *q = m->data + row * m->row_bytes;
    out -= begin;
    int64_t c = begin;
    for (; c + 16 <= end; c += 16) {
        float scale = wk_scale(m->scales, first_scale + c / group_cols, m->scale_packing);
        bool split = m->scale_packing == WK_BF16;
        if (split && !wk_bf16_split_fits(scale)) {
            wk_generic_dequantize_int4(m, row, c, c + 16, out + c);
            continue;
        }
        uint8x8_t bytes = vld1_u8(q + c / 2);
        uint8x8_t low = vand_u8(bytes, vdup_n_u8(15)), high = vshr_n_u8(bytes, 4);
        int8x16_t nibbles = vreinterpretq_s8_u8(vcombine_u8(vzip1_u8(low, high), vzip2_u8(low, high)));
        float32x4_t v[4];
        floats_of_i8(vsubq_s8(nibbles, vdupq_n_s8(8)), v);
        for (int i = 0; i < 4; i++) {
            float32x4_t product = vmulq_f32(v[i], vdupq_n_f32(scale));
            if (split) {
                float32x4_t g = vmulq_f32(v[i], vdupq_n_f32(scale * 65537));
                product = vsubq_f32(g, vsubq_f32(g, product));
            }
            vec_store(out + c + 4 * i, product);
        }
    }
    if (c < end) wk_generic_dequantize_int4(m, row, c, end, out + c);
}

// E4M3 through F16; see avx2/decode.h.
void wk_neon_dequantize_f8_e4m3(const wk_matrix *m, int64_t row, int64_t begin, int64_t end, float *out) {
    const uint8_t *q = m->data + row * m->row_bytes;
    const int64_t group_cols = m->group_cols, first_scale = wk_scale_index(m, row);
    out -= begin;
    for (int64_t c = begin, run_end; c < end; c = run_end) {
        int64_t group = c / group_cols;
        run_end = (group + 1) * group_cols < end ? (group + 1) * group_cols : end;
        float scale = wk_scale(m->scales, first_scale + group, m->scale_packing);
        int64_t i = c;
        if (scale < 0x1p119f && scale > -0x1p119f) {
            const float32x4_t factor = vdupq_n_f32(scale * 256);
            for (; i + 8 <= run_end; i += 8) {
                int16x8_t wide = vmovl_s8(vreinterpret_s8_u8(vld1_u8(q + i)));
                uint16x8_t bits = vreinterpretq_u16_s16(vshlq_n_s16(wide, 7));
                bits = vandq_u16(bits, vdupq_n_u16(0xbfff));
                const int16x8_t ones = vdupq_n_s16(0x7f);
                uint16x8_t nan = vceqq_s16(vandq_s16(wide, ones), ones);
                float16x8_t half = vreinterpretq_f16_u16(vorrq_u16(bits, vandq_u16(nan, vdupq_n_u16(0x7e00))));
                vec_store(out + i, vmulq_f32(vcvt_f32_f16(vget_low_f16(half)), factor));
                vec_store(out + i + 4, vmulq_f32(vcvt_high_f32_f16(half), factor));
            }
        }
        if (i < run_end) wk_generic_dequantize_f8_e4m3(m, row, i, run_end, out + i);
    }
}

#endif
