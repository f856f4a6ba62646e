// One token: four rows at a time, decoded straight into registers. The sums are those of matmul_template.h, lane by
// lane.
#ifndef WALET_AVX2_SINGLE_TOKEN_H
#define WALET_AVX2_SINGLE_TOKEN_H

#include "decode.h"

#pragma STDC FP_CONTRACT OFF

#define FOR_ROWS _Pragma("clang loop unroll(full)") for (int i = 0; i < 4; i++)

// The running sums of rows r..<r + 4. False where the numbers are out of this function's range.
typedef bool (*single_token_fn)(const wk_matrix *m, int64_t r, const float *x, wk_vec *sums);

#define DEFINE_SINGLE_32(name, bytes)                                                                                  \
    static WK_TARGET bool single_##name(const wk_matrix *m, int64_t r, const float *x, wk_vec *sums) {                 \
        const uint8_t *b = m->data + r * m->row_bytes;                                                                 \
        const int64_t stride = m->row_bytes;                                                                           \
        __m256 s[4];                                                                                      \
        FOR_ROWS s[i] = vec_zero();                                                                                    \
        for (int64_t c = 0; c < m->cols; c += 32, b += bytes) {                                                        \
            FOR_ROWS {                                                                                                 \
                __m256 values[4];                                                                                      \
                decode_##name(b + i * stride, values);                                                                 \
                for (int k = 0; k < 4; k++) s[i] = vec_fma(values[k], vec_load(x + c + 8 * k), s[i]);                  \
            }                                                                                                          \
        }                                                                                                              \
        FOR_ROWS sums[i] = s[i];                                                                                       \
        return true;                                                                                                   \
    }

DEFINE_SINGLE_32(q4_0, 18)
DEFINE_SINGLE_32(q4_1, 20)
DEFINE_SINGLE_32(q5_0, 22)
DEFINE_SINGLE_32(q5_1, 24)
DEFINE_SINGLE_32(q8_0, 34)
DEFINE_SINGLE_32(iq4_nl, 18)
DEFINE_SINGLE_32(mxfp4, 17)

#define ROW(i) (m->data + (r + (i)) * m->row_bytes)

// Numbers of 16 bits, a cache line of 32 a step. A row is often a page, where the hardware's prefetch stops: the four
// rows to come are asked for as these are multiplied.
#define DEFINE_SINGLE_16(name, decode)                                                                                 \
    static WK_TARGET bool single_##name(const wk_matrix *m, int64_t r, const float *x, wk_vec *sums) {                 \
        const int64_t stride = m->row_bytes, ahead = r + 8 <= m->rows ? 4 * stride : 0;                                \
        const uint8_t *b = ROW(0);                                                                                     \
        __m256 s[4];                                                                                                   \
        FOR_ROWS s[i] = vec_zero();                                                                                    \
        for (int64_t c = 0; c < m->cols; c += 32, b += 64) {                                                           \
            FOR_ROWS {                                                                                                 \
                const uint8_t *p = b + i * stride;                                                                     \
                __builtin_prefetch(p + ahead, 0, 3);                                                                   \
                for (int k = 0; k < 4; k++) s[i] = vec_fma(decode(p + 16 * k), vec_load(x + c + 8 * k), s[i]);         \
            }                                                                                                          \
        }                                                                                                              \
        FOR_ROWS sums[i] = s[i];                                                                                       \
        return true;                                                                                                   \
    }

AVX2 __m256 of_bf16(const uint8_t *p) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(load_16(p)), 16));
}
AVX2 __m256 of_f16(const uint8_t *p) { return _mm256_cvtph_ps(load_16(p)); }

DEFINE_SINGLE_16(bf16, of_bf16)
DEFINE_SINGLE_16(f16, of_f16)

static WK_TARGET bool single_q4_k(const wk_matrix *m, int64_t r, const float *x, wk_vec *sums) {
    __m256 s[4];
    FOR_ROWS s[i] = vec_zero();
    for (int64_t block = 0; block < m->cols / 256; block++, x += 256) {
        FOR_ROWS {
            const uint8_t *b = ROW(i) + 144 * block;
            float scales[8], minima[8];
            k_scales(b, scales, minima);
            _Pragma("clang loop unroll(full)") for (int j = 0; j < 8; j++) {
                __m256 v[4], scale = _mm256_set1_ps(scales[j]), minimum = _mm256_set1_ps(minima[j]);
                __m128i q0 = load_16(b + 16 + 32 * (j / 2)), q1 = load_16(b + 32 + 32 * (j / 2));
                scaled_i8_minus(scale, minimum, j % 2 ? high_nibbles(q0) : low_nibbles(q0), v);
                scaled_i8_minus(scale, minimum, j % 2 ? high_nibbles(q1) : low_nibbles(q1), v + 2);
                for (int k = 0; k < 4; k++) s[i] = vec_fma(v[k], vec_load(x + 32 * j + 8 * k), s[i]);
            }
        }
    }
    FOR_ROWS sums[i] = s[i];
    return true;
}

// Rows take turns every 32 columns: the 32 products of a block in one chain would take longer than the decoding.
static WK_TARGET bool single_q6_k(const wk_matrix *m, int64_t r, const float *x, wk_vec *sums) {
    __m256 s[4];
    FOR_ROWS s[i] = vec_zero();
    for (int64_t block = 0; block < m->cols / 256; block++, x += 256) {
        float scales[4][16];
        FOR_ROWS q6_k_scales(ROW(i) + 210 * block, scales[i]);
        _Pragma("clang loop unroll(full)") for (int j = 0; j < 8; j++) {
            FOR_ROWS {
                __m256i q = q6_k_values(ROW(i) + 210 * block, j);
                __m256 v[4];
                scaled_i8(_mm256_set1_ps(scales[i][2 * j]), _mm256_castsi256_si128(q), v);
                scaled_i8(_mm256_set1_ps(scales[i][2 * j + 1]), _mm256_extracti128_si256(q, 1), v + 2);
                for (int k = 0; k < 4; k++) s[i] = vec_fma(v[k], vec_load(x + 32 * j + 8 * k), s[i]);
            }
        }
    }
    FOR_ROWS sums[i] = s[i];
    return true;
}

// Groups of whole 32 columns, and nothing after the last.
AVX2 bool single_int4(const wk_matrix *m, int64_t r, const float *x, wk_vec *sums, const int32_t scale_packing) {
    __m256 s[4];
    float scale[4];
    FOR_ROWS s[i] = vec_zero();
    const uint8_t *q = ROW(0);
    const int64_t stride = m->row_bytes, scale_stride = m->scale_stride, group_cols = m->group_cols;
    if (scale_packing == WK_BF16) {
        const int64_t groups = (m->cols + group_cols - 1) / group_cols;
        for (int64_t i = r; i < r + 4; i++) {
            if (!wk_bf16_splits_fit(m->scales + 2 * i * scale_stride, groups)) return false;
        }
    }
    int64_t c = 0;
    for (int64_t index = r * scale_stride; c < m->cols; index++) {
        int64_t group_end = c + group_cols < m->cols ? c + group_cols : m->cols;
        FOR_ROWS scale[i] = wk_scale(m->scales, index + i * scale_stride, scale_packing);
        for (; c < group_end; c += 32) {
            FOR_ROWS {
                __m256 v[4];
                decode_int4(scale[i], scale_packing, q + i * stride + c / 2, v);
                decode_int4(scale[i], scale_packing, q + i * stride + c / 2 + 8, v + 2);
                for (int k = 0; k < 4; k++) s[i] = vec_fma(v[k], vec_load(x + c + 8 * k), s[i]);
            }
        }
    }
    FOR_ROWS sums[i] = s[i];
    return true;
}

static WK_TARGET bool single_int4_bf16(const wk_matrix *m, int64_t r, const float *x, wk_vec *sums) {
    return single_int4(m, r, x, sums, WK_BF16);
}
static WK_TARGET bool single_int4_f16(const wk_matrix *m, int64_t r, const float *x, wk_vec *sums) {
    return single_int4(m, r, x, sums, WK_F16);
}
static WK_TARGET bool single_int4_f32(const wk_matrix *m, int64_t r, const float *x, wk_vec *sums) {
    return single_int4(m, r, x, sums, WK_F32);
}

static WK_TARGET bool single_f8_e4m3(const wk_matrix *m, int64_t r, const float *x, wk_vec *sums) {
    __m256 s[4], factor[4];
    int64_t first_scale[4];
    FOR_ROWS {
        s[i] = vec_zero();
        first_scale[i] = wk_scale_index(m, r + i);
    }
    const uint8_t *q = ROW(0);
    const int64_t stride = m->row_bytes, group_cols = m->group_cols;
    int64_t c = 0;
    for (int64_t group = 0; c < m->cols; group++) {
        int64_t group_end = c + group_cols < m->cols ? c + group_cols : m->cols;
        FOR_ROWS {
            float scale = wk_scale(m->scales, first_scale[i] + group, m->scale_packing);
            if (!f8_scale_fits(scale)) return false;
            factor[i] = f8_scale(scale);
        }
        for (; c < group_end; c += 32) {
            FOR_ROWS {
                __m256 v[4];
                decode_f8(factor[i], q + i * stride + c, v);
                decode_f8(factor[i], q + i * stride + c + 16, v + 2);
                for (int k = 0; k < 4; k++) s[i] = vec_fma(v[k], vec_load(x + c + 8 * k), s[i]);
            }
        }
    }
    FOR_ROWS sums[i] = s[i];
    return true;
}

static inline bool has_whole_groups(const wk_matrix *m) {
    return m->cols % 32 == 0 && m->group_cols % 32 == 0;
}

static inline single_token_fn single_token(const wk_matrix *m) {
    switch (m->packing) {
    case WK_BF16: return m->cols % 32 == 0 ? single_bf16 : NULL;
    case WK_F16: return m->cols % 32 == 0 ? single_f16 : NULL;
    case WK_Q4_0: return single_q4_0;
    case WK_Q4_1: return single_q4_1;
    case WK_Q5_0: return single_q5_0;
    case WK_Q5_1: return single_q5_1;
    case WK_Q8_0: return single_q8_0;
    case WK_IQ4_NL: return single_iq4_nl;
    case WK_MXFP4: return single_mxfp4;
    case WK_Q4_K: return single_q4_k;
    case WK_Q6_K: return single_q6_k;
    case WK_FP8_E4M3: return has_whole_groups(m) ? single_f8_e4m3 : NULL;
    case WK_INT4:
        if (!has_whole_groups(m) || m->group_rows != 1) return NULL;
        return m->scale_packing == WK_BF16  ? single_int4_bf16
               : m->scale_packing == WK_F16 ? single_int4_f16
                                            : single_int4_f32;
    default: return NULL;
    }
}
static inline const float *prepare_token(const wk_matrix *m, const float *x, float *space) {
    (void)m;
    (void)space;
    return x;
}

#endif
