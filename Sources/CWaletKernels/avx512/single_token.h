// One token: four rows at a time, decoded straight into registers. The sums are those of matmul_template.h, lane by
// lane.
#ifndef WALET_AVX512_SINGLE_TOKEN_H
#define WALET_AVX512_SINGLE_TOKEN_H

#include "decode.h"

#pragma STDC FP_CONTRACT OFF

#define FOR_ROWS _Pragma("clang loop unroll(full)") for (int i = 0; i < 4; i++)

// The running sums of rows r..<r + 4. False where the numbers are out of this function's range.
typedef bool (*single_token_fn)(const wk_matrix *m, int64_t r, const float *x, wk_vec *sums);

#define DEFINE_SINGLE_32(name, bytes)                                                                                  \
    static WK_TARGET bool single_##name(const wk_matrix *m, int64_t r, const float *x, wk_vec *sums) {                 \
        const uint8_t *b = m->data + r * m->row_bytes;                                                                 \
        const int64_t stride = m->row_bytes;                                                                           \
        __m512 s[4];                                                                                      \
        FOR_ROWS s[i] = vec_zero();                                                                                    \
        for (int64_t c = 0; c < m->cols; c += 32, b += bytes) {                                                        \
            __m512 x0 = vec_load(x + c), x1 = vec_load(x + c + 16);                                                    \
            FOR_ROWS {                                                                                                 \
                __m512 values[2];                                                                                      \
                decode_##name(b + i * stride, values);                                                                 \
                s[i] = vec_fma(values[1], x1, vec_fma(values[0], x0, s[i]));                                           \
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

static WK_TARGET bool single_q4_k(const wk_matrix *m, int64_t r, const float *x, wk_vec *sums) {
    __m512 s[4];
    FOR_ROWS s[i] = vec_zero();
    for (int64_t block = 0; block < m->cols / 256; block++, x += 256) {
        FOR_ROWS {
            const uint8_t *b = ROW(i) + 144 * block;
            float scales[8], minima[8];
            k_scales(b, scales, minima);
            _Pragma("clang loop unroll(full)") for (int j = 0; j < 8; j += 2) {
                __m512i q0 = widen_u8(b + 16 + 16 * j), q1 = widen_u8(b + 32 + 16 * j);
                for (int k = 0; k < 2; k++) {
                    __m512 table = _mm512_sub_ps(_mm512_mul_ps(_mm512_set1_ps(scales[j + k]), ramp()),
                                                 _mm512_set1_ps(minima[j + k]));
                    s[i] = vec_fma(look_up(table, q0), vec_load(x + 32 * (j + k)), s[i]);
                    s[i] = vec_fma(look_up(table, q1), vec_load(x + 32 * (j + k) + 16), s[i]);
                    q0 = _mm512_srli_epi32(q0, 4);
                    q1 = _mm512_srli_epi32(q1, 4);
                }
            }
        }
    }
    FOR_ROWS sums[i] = s[i];
    return true;
}

static WK_TARGET bool single_q5_k(const wk_matrix *m, int64_t r, const float *x, wk_vec *sums) {
    const __m512 high_ramp = _mm512_add_ps(ramp(), _mm512_set1_ps(16));
    __m512 s[4];
    FOR_ROWS s[i] = vec_zero();
    for (int64_t block = 0; block < m->cols / 256; block++, x += 256) {
        FOR_ROWS {
            const uint8_t *b = ROW(i) + 176 * block;
            float scales[8], minima[8];
            k_scales(b, scales, minima);
            __m256i high = _mm256_loadu_si256((const __m256i *)(b + 16));
            _Pragma("clang loop unroll(full)") for (int j = 0; j < 8; j++) {
                __m512 scale = _mm512_set1_ps(scales[j]), minimum = _mm512_set1_ps(minima[j]);
                __m512 table = _mm512_sub_ps(_mm512_mul_ps(scale, ramp()), minimum);
                __m512 high_table = _mm512_sub_ps(_mm512_mul_ps(scale, high_ramp), minimum);
                __mmask32 bits = _mm256_test_epi8_mask(high, _mm256_set1_epi8((char)(1 << j)));
                __m512i q0 = widen_u8(b + 48 + 32 * (j / 2)), q1 = widen_u8(b + 64 + 32 * (j / 2));
                if (j % 2) {
                    q0 = _mm512_srli_epi32(q0, 4);
                    q1 = _mm512_srli_epi32(q1, 4);
                }
                __m512 v0 = look_up_5(table, high_table, (__mmask16)bits, q0);
                __m512 v1 = look_up_5(table, high_table, (__mmask16)(bits >> 16), q1);
                s[i] = vec_fma(v0, vec_load(x + 32 * j), s[i]);
                s[i] = vec_fma(v1, vec_load(x + 32 * j + 16), s[i]);
            }
        }
    }
    FOR_ROWS sums[i] = s[i];
    return true;
}

static WK_TARGET bool single_q6_k(const wk_matrix *m, int64_t r, const float *x, wk_vec *sums) {
    __m512 s[4];
    FOR_ROWS s[i] = vec_zero();
    for (int64_t block = 0; block < m->cols / 256; block++, x += 256) {
        FOR_ROWS {
            const uint8_t *b = ROW(i) + 210 * block;
            float scales[16];
            q6_k_scales(b, scales);
            for (int half = 0; half < 2; half++) {
                __m256i q[4];
                q6_k_values(b, half, q);
                _Pragma("clang loop unroll(full)") for (int t = 0; t < 4; t++) {
                    int j = 8 * half + 2 * t;
                    __m512 v0 = floats_of_i8(_mm256_castsi256_si128(q[t]));
                    __m512 v1 = floats_of_i8(_mm256_extracti128_si256(q[t], 1));
                    v0 = _mm512_mul_ps(_mm512_set1_ps(scales[j]), v0);
                    v1 = _mm512_mul_ps(_mm512_set1_ps(scales[j + 1]), v1);
                    s[i] = vec_fma(v1, vec_load(x + 16 * j + 16), vec_fma(v0, vec_load(x + 16 * j), s[i]));
                }
            }
        }
    }
    FOR_ROWS sums[i] = s[i];
    return true;
}

// The values 0, 8, 1, 9, … 7, 15 of the 16 nibbles at q. To have them in this order costs no shuffle: both words go to
// all pairs of lanes by the load itself. The token is brought into the same order once, and the sums back at the end;
// what each lane has summed, and in which order, is the same.
AVX512 __m512 decode_int4_interleaved(__m512 table, const uint8_t *q) {
    const __m512i shifts = _mm512_setr_epi32(0, 0, 4, 4, 8, 8, 12, 12, 16, 16, 20, 20, 24, 24, 28, 28);
    uint64_t words;
    memcpy(&words, q, sizeof words);
    return look_up(table, _mm512_srlv_epi32(_mm512_set1_epi64((long long)words), shifts));
}

static inline bool has_whole_groups(const wk_matrix *m) {
    return m->cols % 32 == 0 && m->group_cols % 32 == 0;
}

static WK_TARGET const float *prepare_token(const wk_matrix *m, const float *x, float *space) {
    if (m->packing != WK_INT4) return x;
    const __m512i interleave = _mm512_setr_epi32(0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15);
    for (int64_t c = 0; c + 16 <= m->cols; c += 16) {
        vec_store(space + c, _mm512_permutexvar_ps(interleave, vec_load(x + c)));
    }
    return space;
}

// Groups of whole 32 columns, and nothing after the last. x is interleaved.
AVX512 bool single_int4(const wk_matrix *m, int64_t r, const float *x, wk_vec *sums, const int32_t scale_packing) {
    __m512 s[4], table[4];
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
        FOR_ROWS table[i] = int4_table(wk_scale(m->scales, index + i * scale_stride, scale_packing), scale_packing);
        for (; c < group_end; c += 32) {
            __m512 x0 = vec_load(x + c), x1 = vec_load(x + c + 16);
            FOR_ROWS {
                const uint8_t *p = q + i * stride + c / 2;
                s[i] = vec_fma(decode_int4_interleaved(table[i], p), x0, s[i]);
                s[i] = vec_fma(decode_int4_interleaved(table[i], p + 8), x1, s[i]);
            }
        }
    }
    const __m512i in_order = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15);
    FOR_ROWS sums[i] = _mm512_permutexvar_ps(in_order, s[i]);
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
    __m512 s[4], factor[4];
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
            __m512 x0 = vec_load(x + c), x1 = vec_load(x + c + 16);
            FOR_ROWS {
                __m512 v[2];
                decode_f8(factor[i], q + i * stride + c, v);
                s[i] = vec_fma(v[1], x1, vec_fma(v[0], x0, s[i]));
            }
        }
    }
    FOR_ROWS sums[i] = s[i];
    return true;
}

static inline single_token_fn single_token(const wk_matrix *m) {
    switch (m->packing) {
    case WK_Q4_0: return single_q4_0;
    case WK_Q4_1: return single_q4_1;
    case WK_Q5_0: return single_q5_0;
    case WK_Q5_1: return single_q5_1;
    case WK_Q8_0: return single_q8_0;
    case WK_IQ4_NL: return single_iq4_nl;
    case WK_MXFP4: return single_mxfp4;
    case WK_Q4_K: return single_q4_k;
    case WK_Q5_K: return single_q5_k;
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
#endif
