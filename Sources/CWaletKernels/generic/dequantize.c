// The reference for every packing: one value at a time, products rounded one by one, in the order of the reference
// implementation of the format.
#include "../internal/kernel_table.h"

// Clang fuses a * b + c by default; a fused product is not rounded, and the result would differ in its last bit.
#pragma STDC FP_CONTRACT OFF

#define ROW_OF_BLOCKS(values, bytes)                                                                                   \
    const uint8_t *b = wk_block_at(m, row, begin, values, bytes);                                                      \
    for (int64_t c = begin; c < end; c += values, b += bytes, out += values)

void wk_generic_dequantize_f32(const wk_matrix *m, int64_t row, int64_t begin, int64_t end, float *out) {
    memcpy(out, wk_block_at(m, row, begin, 1, 4), (size_t)(end - begin) * sizeof(float));
}

void wk_generic_dequantize_f16(const wk_matrix *m, int64_t row, int64_t begin, int64_t end, float *out) {
    ROW_OF_BLOCKS(1, 2) *out = wk_float_from_f16(wk_load_u16(b));
}

void wk_generic_dequantize_bf16(const wk_matrix *m, int64_t row, int64_t begin, int64_t end, float *out) {
    ROW_OF_BLOCKS(1, 2) *out = wk_float_from_bf16(wk_load_u16(b));
}

// In blocks of 32, values i and i + 16 share byte i: low nibble, high nibble.
void wk_generic_dequantize_q4_0(const wk_matrix *m, int64_t row, int64_t begin, int64_t end, float *out) {
    ROW_OF_BLOCKS(32, 18) {
        float d = wk_float_from_f16(wk_load_u16(b));
        const uint8_t *q = b + 2;
        for (int i = 0; i < 16; i++) {
            out[i] = d * (float)((q[i] & 15) - 8);
            out[i + 16] = d * (float)((q[i] >> 4) - 8);
        }
    }
}

void wk_generic_dequantize_q4_1(const wk_matrix *m, int64_t row, int64_t begin, int64_t end, float *out) {
    ROW_OF_BLOCKS(32, 20) {
        float d = wk_float_from_f16(wk_load_u16(b)), minimum = wk_float_from_f16(wk_load_u16(b + 2));
        const uint8_t *q = b + 4;
        for (int i = 0; i < 16; i++) {
            out[i] = d * (float)(q[i] & 15) + minimum;
            out[i + 16] = d * (float)(q[i] >> 4) + minimum;
        }
    }
}

void wk_generic_dequantize_q5_0(const wk_matrix *m, int64_t row, int64_t begin, int64_t end, float *out) {
    ROW_OF_BLOCKS(32, 22) {
        float d = wk_float_from_f16(wk_load_u16(b));
        uint32_t high = wk_load_u32(b + 2);
        const uint8_t *q = b + 6;
        for (int i = 0; i < 16; i++) {
            out[i] = d * (float)((int)((q[i] & 15) | (high >> i & 1) << 4) - 16);
            out[i + 16] = d * (float)((int)((q[i] >> 4) | (high >> (i + 16) & 1) << 4) - 16);
        }
    }
}

void wk_generic_dequantize_q5_1(const wk_matrix *m, int64_t row, int64_t begin, int64_t end, float *out) {
    ROW_OF_BLOCKS(32, 24) {
        float d = wk_float_from_f16(wk_load_u16(b)), minimum = wk_float_from_f16(wk_load_u16(b + 2));
        uint32_t high = wk_load_u32(b + 4);
        const uint8_t *q = b + 8;
        for (int i = 0; i < 16; i++) {
            out[i] = d * (float)((q[i] & 15) | (high >> i & 1) << 4) + minimum;
            out[i + 16] = d * (float)((q[i] >> 4) | (high >> (i + 16) & 1) << 4) + minimum;
        }
    }
}

void wk_generic_dequantize_q8_0(const wk_matrix *m, int64_t row, int64_t begin, int64_t end, float *out) {
    ROW_OF_BLOCKS(32, 34) {
        float d = wk_float_from_f16(wk_load_u16(b));
        for (int i = 0; i < 32; i++) out[i] = d * (float)(int8_t)b[2 + i];
    }
}

void wk_generic_dequantize_q2_k(const wk_matrix *m, int64_t row, int64_t begin, int64_t end, float *out) {
    ROW_OF_BLOCKS(256, 84) {
        const uint8_t *scales = b, *q = b + 16;
        float d = wk_float_from_f16(wk_load_u16(b + 80)), dmin = wk_float_from_f16(wk_load_u16(b + 82));
        for (int i = 0; i < 256; i++) {
            int s = scales[i / 16], v = q[32 * (i / 128) + i % 32] >> 2 * (i % 128 / 32) & 3;
            out[i] = d * (float)(s & 15) * (float)v - dmin * (float)(s >> 4);
        }
    }
}

void wk_generic_dequantize_q3_k(const wk_matrix *m, int64_t row, int64_t begin, int64_t end, float *out) {
    ROW_OF_BLOCKS(256, 110) {
        const uint8_t *high = b, *q = b + 32, *scales = b + 96;
        float d = wk_float_from_f16(wk_load_u16(b + 108));
        for (int i = 0; i < 256; i++) {
            int v = q[32 * (i / 128) + i % 32] >> 2 * (i % 128 / 32) & 3;
            if (!(high[i % 32] >> (i / 32) & 1)) v -= 4;
            out[i] = d * (float)wk_q3_k_scale(scales, i / 16) * (float)v;
        }
    }
}

void wk_generic_dequantize_q4_k(const wk_matrix *m, int64_t row, int64_t begin, int64_t end, float *out) {
    ROW_OF_BLOCKS(256, 144) {
        float d = wk_float_from_f16(wk_load_u16(b)), dmin = wk_float_from_f16(wk_load_u16(b + 2));
        const uint8_t *scales = b + 4, *q = b + 16;
        for (int j = 0; j < 8; j++) {
            int scale, minimum;
            wk_k_scale_min(scales, j, &scale, &minimum);
            float ds = d * (float)scale, dm = dmin * (float)minimum;
            for (int i = 0; i < 32; i++) {
                out[32 * j + i] = ds * (float)(q[32 * (j / 2) + i] >> 4 * (j % 2) & 15) - dm;
            }
        }
    }
}

void wk_generic_dequantize_q5_k(const wk_matrix *m, int64_t row, int64_t begin, int64_t end, float *out) {
    ROW_OF_BLOCKS(256, 176) {
        float d = wk_float_from_f16(wk_load_u16(b)), dmin = wk_float_from_f16(wk_load_u16(b + 2));
        const uint8_t *scales = b + 4, *high = b + 16, *q = b + 48;
        for (int j = 0; j < 8; j++) {
            int scale, minimum;
            wk_k_scale_min(scales, j, &scale, &minimum);
            float ds = d * (float)scale, dm = dmin * (float)minimum;
            for (int i = 0; i < 32; i++) {
                int v = (q[32 * (j / 2) + i] >> 4 * (j % 2) & 15) | (high[i] >> j & 1) << 4;
                out[32 * j + i] = ds * (float)v - dm;
            }
        }
    }
}

void wk_generic_dequantize_q6_k(const wk_matrix *m, int64_t row, int64_t begin, int64_t end, float *out) {
    ROW_OF_BLOCKS(256, 210) {
        const uint8_t *low = b, *high = b + 128, *scales = b + 192;
        float d = wk_float_from_f16(wk_load_u16(b + 208));
        for (int i = 0; i < 256; i++) {
            int half = i / 128, t = i % 128 / 32, c = i % 32;
            int lo = low[64 * half + 32 * (t % 2) + c] >> 4 * (t / 2) & 15;
            int hi = high[32 * half + c] >> 2 * t & 3;
            out[i] = d * (float)(int8_t)scales[i / 16] * (float)((lo | hi << 4) - 32);
        }
    }
}

void wk_generic_dequantize_iq4_nl(const wk_matrix *m, int64_t row, int64_t begin, int64_t end, float *out) {
    ROW_OF_BLOCKS(32, 18) {
        float d = wk_float_from_f16(wk_load_u16(b));
        const uint8_t *q = b + 2;
        for (int i = 0; i < 16; i++) {
            out[i] = d * (float)wk_iq4_values[q[i] & 15];
            out[i + 16] = d * (float)wk_iq4_values[q[i] >> 4];
        }
    }
}

void wk_generic_dequantize_iq4_xs(const wk_matrix *m, int64_t row, int64_t begin, int64_t end, float *out) {
    ROW_OF_BLOCKS(256, 136) {
        float d = wk_float_from_f16(wk_load_u16(b));
        uint16_t high = wk_load_u16(b + 2);
        const uint8_t *low = b + 4, *q = b + 8;
        for (int j = 0; j < 8; j++) {
            float ds = d * (float)wk_iq4_xs_scale(high, low, j);
            for (int i = 0; i < 16; i++) {
                out[32 * j + i] = ds * (float)wk_iq4_values[q[16 * j + i] & 15];
                out[32 * j + i + 16] = ds * (float)wk_iq4_values[q[16 * j + i] >> 4];
            }
        }
    }
}

void wk_generic_dequantize_mxfp4(const wk_matrix *m, int64_t row, int64_t begin, int64_t end, float *out) {
    ROW_OF_BLOCKS(32, 17) {
        float d = wk_float_from_e8m0_half(b[0]);
        const uint8_t *q = b + 1;
        for (int i = 0; i < 16; i++) {
            out[i] = d * (float)wk_e2m1_values[q[i] & 15];
            out[i + 16] = d * (float)wk_e2m1_values[q[i] >> 4];
        }
    }
}

// compressed-tensors multiplies in the type of the scale: the product of a BF16 scale is a BF16 number.
static inline float scaled_integer(const wk_matrix *m, int value, float scale) {
    float product = (float)value * scale;
    if (m->scale_packing == WK_BF16) return wk_round_to_bf16(product);
    if (m->scale_packing == WK_F16) return wk_round_to_f16(product);
    return product;
}

// Words are little-endian, so byte j of a row holds values 2j (low nibble) and 2j + 1.
void wk_generic_dequantize_int4(const wk_matrix *m, int64_t row, int64_t begin, int64_t end, float *out) {
    const uint8_t *q = m->data + row * m->row_bytes;
    for (int64_t c = begin; c < end;) {
        int64_t group = c / m->group_cols, group_end = (group + 1) * m->group_cols;
        float scale = wk_scale_at(m, row, group);
        for (; c < end && c < group_end; c++) *out++ = scaled_integer(m, (q[c / 2] >> 4 * (c % 2) & 15) - 8, scale);
    }
}

void wk_generic_dequantize_int8(const wk_matrix *m, int64_t row, int64_t begin, int64_t end, float *out) {
    const uint8_t *q = m->data + row * m->row_bytes;
    for (int64_t c = begin; c < end;) {
        int64_t group = c / m->group_cols, group_end = (group + 1) * m->group_cols;
        float scale = wk_scale_at(m, row, group);
        for (; c < end && c < group_end; c++) *out++ = scaled_integer(m, q[c] - 128, scale);
    }
}

void wk_generic_dequantize_f8_e4m3(const wk_matrix *m, int64_t row, int64_t begin, int64_t end, float *out) {
    const uint8_t *q = m->data + row * m->row_bytes;
    for (int64_t c = begin; c < end;) {
        int64_t group = c / m->group_cols, group_end = (group + 1) * m->group_cols;
        float scale = wk_scale_at(m, row, group);
        for (; c < end && c < group_end; c++) *out++ = wk_float_from_f8_e4m3(q[c]) * scale;
    }
}
