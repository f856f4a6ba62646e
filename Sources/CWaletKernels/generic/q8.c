// Products of int8 activations with packed weights, the readable way: a row's blocks are unpacked to integers and
// scales once and multiplied with every token. The other sets do the same arithmetic in the same order and are bitwise
// equal.
#include "../internal/q8_row.h"
#include "generic.h"

#include <math.h>

#pragma STDC FP_CONTRACT OFF

#define WK_TARGET

static int32_t quantize_block(const float *x, uint8_t *row, int64_t cols, int64_t block) {
    uint32_t largest = 0; // as bits, where a NaN is larger than everything
    for (int i = 0; i < 32; i++) {
        uint32_t magnitude = wk_bits_from_float(x[i]) & 0x7fffffffu;
        largest = magnitude > largest ? magnitude : largest;
    }
    float maximum = wk_float_from_bits(largest), scale = 0;
    int8_t values[32] = {0};
    if (largest >= 0x7f800000u) {
        scale = NAN;
    } else if (maximum >= WK_Q8_SMALLEST) {
        scale = maximum / 127;
        float inverse = 127 / maximum;
        for (int i = 0; i < 32; i++) values[i] = (int8_t)rintf(x[i] * inverse);
    }
    uint8_t *deinterleaved = row + wk_q8_deinterleaved(cols) + 32 * block;
    memcpy(row + 32 * block, values, 32);
    for (int i = 0; i < 16; i++) {
        deinterleaved[i] = (uint8_t)values[2 * i];
        deinterleaved[16 + i] = (uint8_t)values[2 * i + 1];
    }
    int sums[2] = {0, 0};
    for (int i = 0; i < 32; i++) sums[i / 16] += values[i];
    wk_q8_meta meta = {.scale = scale,
                       .scaled_sum = scale * (float)(sums[0] + sums[1]),
                       .negative_8_sums = -8 * (sums[0] + sums[1]),
                       .negative_half_sums = {-sums[0], -sums[1]}};
    wk_q8_add_seams(row + 32 * block, &meta);
    memcpy(row + wk_q8_metas(cols) + 32 * block, &meta, sizeof meta);
    return wk_q8_sum_of_squares(row + 32 * block);
}

#include "../internal/q8_quantize.h"

void wk_generic_q8_quantize(const float *x, int64_t x_stride, int64_t cols, int64_t n, uint8_t *q8) {
    q8_quantize(x, x_stride, cols, n, q8);
}

// 32 weights as integers: value i is scale * half_scales[i / 16] * values[i], plus the minimum times the half's own.
typedef struct q8_block {
    int8_t values[32];
    float scale, minimum;
    int8_t half_scales[2], half_minima[2];
} q8_block;
_Static_assert(sizeof(q8_block) <= 16 * sizeof(float), "fits the scratch");

static void nibbles(const uint8_t *q, int offset, q8_block *out) {
    for (int i = 0; i < 16; i++) {
        out->values[i] = (int8_t)((q[i] & 15) - offset);
        out->values[i + 16] = (int8_t)((q[i] >> 4) - offset);
    }
}

static void looked_up(const uint8_t *q, const int8_t *table, q8_block *out) {
    for (int i = 0; i < 16; i++) {
        out->values[i] = table[q[i] & 15];
        out->values[i + 16] = table[q[i] >> 4];
    }
}

static void fifth_bits(uint32_t high, q8_block *out) {
    for (int i = 0; i < 32; i++) out->values[i] = (int8_t)(out->values[i] + ((high >> i & 1) << 4));
}

// Block `block` of a row, the integers and the scales of whatever packing.
static void unpack(const wk_matrix *m, int64_t row, int64_t block, q8_block *out) {
    const int64_t values = wk_block_values(m->packing), bytes = wk_block_bytes(m->packing);
    const uint8_t *b = wk_block_at(m, row, 32 * block, values, bytes);
    const int j = (int)(block % 8), half = j / 4, t = j % 4; // in a block of 256
    *out = (q8_block){.half_scales = {1, 1}};
    switch (m->packing) {
    case WK_Q4_0:
        out->scale = wk_float_from_f16(wk_load_u16(b));
        nibbles(b + 2, 8, out);
        break;
    case WK_Q4_1:
        out->scale = wk_float_from_f16(wk_load_u16(b));
        out->minimum = wk_float_from_f16(wk_load_u16(b + 2));
        nibbles(b + 4, 0, out);
        break;
    case WK_Q5_0:
        out->scale = wk_float_from_f16(wk_load_u16(b));
        nibbles(b + 6, 16, out);
        fifth_bits(wk_load_u32(b + 2), out);
        break;
    case WK_Q5_1:
        out->scale = wk_float_from_f16(wk_load_u16(b));
        out->minimum = wk_float_from_f16(wk_load_u16(b + 2));
        nibbles(b + 8, 0, out);
        fifth_bits(wk_load_u32(b + 4), out);
        break;
    case WK_Q8_0:
        out->scale = wk_float_from_f16(wk_load_u16(b));
        memcpy(out->values, b + 2, 32);
        break;
    case WK_IQ4_NL:
        out->scale = wk_float_from_f16(wk_load_u16(b));
        looked_up(b + 2, wk_iq4_values, out);
        break;
    case WK_MXFP4:
        out->scale = wk_float_from_e8m0_half(b[0]);
        looked_up(b + 1, wk_e2m1_values, out);
        break;
    case WK_Q2_K:
        out->scale = wk_float_from_f16(wk_load_u16(b + 80));
        out->minimum = -wk_float_from_f16(wk_load_u16(b + 82));
        for (int i = 0; i < 32; i++) out->values[i] = (int8_t)(b[16 + 32 * half + i] >> 2 * t & 3);
        for (int i = 0; i < 2; i++) {
            out->half_scales[i] = (int8_t)(b[2 * j + i] & 15);
            out->half_minima[i] = (int8_t)(b[2 * j + i] >> 4);
        }
        break;
    case WK_Q3_K:
        out->scale = wk_float_from_f16(wk_load_u16(b + 108));
        for (int i = 0; i < 32; i++) {
            out->values[i] = (int8_t)((b[32 + 32 * half + i] >> 2 * t & 3) - (b[i] >> j & 1 ? 0 : 4));
        }
        for (int i = 0; i < 2; i++) out->half_scales[i] = (int8_t)wk_q3_k_scale(b + 96, 2 * j + i);
        break;
    case WK_Q4_K:
    case WK_Q5_K: {
        int scale, minimum;
        wk_k_scale_min(b + 4, j, &scale, &minimum);
        out->scale = wk_float_from_f16(wk_load_u16(b)) * (float)scale;
        out->minimum = -(wk_float_from_f16(wk_load_u16(b + 2)) * (float)minimum);
        const uint8_t *q = b + (m->packing == WK_Q4_K ? 16 : 48) + 32 * (j / 2);
        for (int i = 0; i < 32; i++) out->values[i] = (int8_t)(q[i] >> 4 * (j % 2) & 15);
        for (int i = 0; i < 32 && m->packing == WK_Q5_K; i++) {
            out->values[i] = (int8_t)(out->values[i] | (b[16 + i] >> j & 1) << 4);
        }
        break;
    }
    case WK_Q6_K:
        out->scale = wk_float_from_f16(wk_load_u16(b + 208));
        for (int i = 0; i < 32; i++) {
            int lo = b[64 * half + 32 * (t % 2) + i] >> 4 * (t / 2) & 15, hi = b[128 + 32 * half + i] >> 2 * t & 3;
            out->values[i] = (int8_t)((lo | hi << 4) - 32);
        }
        for (int i = 0; i < 2; i++) out->half_scales[i] = (int8_t)b[192 + 2 * j + i];
        break;
    case WK_IQ4_XS:
        out->scale = wk_float_from_f16(wk_load_u16(b)) * (float)wk_iq4_xs_scale(wk_load_u16(b + 2), b + 4, j);
        looked_up(b + 8 + 16 * j, wk_iq4_values, out);
        break;
    case WK_INT4:
    case WK_INT8:
        out->scale = wk_scale(m->scales, wk_scale_index(m, row) + 32 * block / m->group_cols, m->scale_packing);
        for (int i = 0; i < 32; i++) {
            int64_t c = 32 * block + i;
            const uint8_t *q = m->data + row * m->row_bytes;
            out->values[i] = (int8_t)(m->packing == WK_INT4 ? (q[c / 2] >> 4 * (c % 2) & 15) - 8 : q[c] - 128);
        }
        break;
    default: break;
    }
}

static bool has_minimum(int32_t packing) {
    return packing == WK_Q4_1 || packing == WK_Q5_1 || packing == WK_Q4_K || packing == WK_Q5_K;
}

static float multiply_block(int32_t packing, const q8_block *w, const int8_t *a, const wk_q8_meta *meta, float acc) {
    int32_t halves[2] = {0, 0};
    for (int k = 0; k < 32; k++) halves[k / 16] += w->values[k] * a[k];
    int32_t sum = w->half_scales[0] * halves[0] + w->half_scales[1] * halves[1];
    acc = fmaf(w->scale * meta->scale, (float)sum, acc);
    if (has_minimum(packing)) acc = fmaf(w->minimum, meta->scaled_sum, acc);
    if (packing == WK_Q2_K) {
        int32_t minima = -(w->half_minima[0] * meta->negative_half_sums[0] +
                           w->half_minima[1] * meta->negative_half_sums[1]);
        acc = fmaf(w->minimum * meta->scale, (float)minima, acc);
    }
    return acc;
}

void wk_generic_q8_matmul(const wk_matrix *m, int64_t row_begin, int64_t row_end, const uint8_t *q8,
                          const int32_t *token_rows, int64_t n, float *y, int64_t y_stride, float *scratch) {
    q8_block *blocks = (q8_block *)scratch;
    const int64_t count = m->cols / 32, row_bytes = wk_q8_row_bytes(m->cols);
    for (int64_t r = row_begin; r < row_end; r++) {
        for (int64_t i = 0; i < count; i++) unpack(m, r, i, &blocks[i]);
        for (int64_t t = 0; t < n; t++) {
            const uint8_t *token = wk_q8_token(q8, token_rows, t, row_bytes);
            const wk_q8_meta *meta = (const wk_q8_meta *)(token + wk_q8_metas(m->cols));
            const uint8_t *fine = token + wk_q8_plane(m->cols), *masks = token + wk_q8_masks(m->cols);
            const wk_q8_meta *fine_meta = (const wk_q8_meta *)(fine + wk_q8_metas(m->cols));
            float acc = 0;
            for (int64_t i = 0; i < count; i++) {
                acc = multiply_block(m->packing, &blocks[i], (const int8_t *)token + 32 * i, &meta[i], acc);
                if (masks[i / 8] >> i % 8 & 1) {
                    acc = multiply_block(m->packing, &blocks[i], (const int8_t *)fine + 32 * i, &fine_meta[i], acc);
                }
            }
            y[t * y_stride + (r - row_begin)] = acc;
        }
    }
}
