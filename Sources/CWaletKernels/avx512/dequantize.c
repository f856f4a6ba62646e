// Rows of packed numbers to floats, 16 at a time.
#if defined(__x86_64__)
#include "decode.h"

#pragma STDC FP_CONTRACT OFF

#define ROW_OF_BLOCKS(values, bytes)                                                                                   \
    const uint8_t *b = wk_block_at(m, row, begin, values, bytes);                                                      \
    for (int64_t c = begin; c < end; c += values, b += bytes, out += values)

#define DEFINE_DEQUANTIZE_32(name, bytes)                                                                              \
    WK_TARGET void wk_avx512_dequantize_##name(const wk_matrix *m, int64_t row, int64_t begin, int64_t end,            \
                                               float *out) {                                                           \
        ROW_OF_BLOCKS(32, bytes) {                                                                                     \
            __m512 values[2];                                                                                          \
            decode_##name(b, values);                                                                                  \
            vec_store(out, values[0]);                                                                                 \
            vec_store(out + 16, values[1]);                                                                            \
        }                                                                                                              \
    }

DEFINE_DEQUANTIZE_32(q4_0, 18)
DEFINE_DEQUANTIZE_32(q4_1, 20)
DEFINE_DEQUANTIZE_32(q5_0, 22)
DEFINE_DEQUANTIZE_32(q5_1, 24)
DEFINE_DEQUANTIZE_32(q8_0, 34)
DEFINE_DEQUANTIZE_32(iq4_nl, 18)
DEFINE_DEQUANTIZE_32(mxfp4, 17)

WK_TARGET void wk_avx512_dequantize_f16(const wk_matrix *m, int64_t row, int64_t begin, int64_t end, float *out) {
    const uint8_t *q = wk_block_at(m, row, begin, 1, 2);
    int64_t n = end - begin, c = 0;
    for (; c + 16 <= n; c += 16) vec_store(out + c, _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(q + 2 * c))));
    if (c < n) {
        __mmask16 mask = tail_mask(n - c);
        vec_store_tail(out + c, _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(mask, q + 2 * c)), n - c);
    }
}

WK_TARGET void wk_avx512_dequantize_bf16(const wk_matrix *m, int64_t row, int64_t begin, int64_t end, float *out) {
    const uint8_t *q = wk_block_at(m, row, begin, 1, 2);
    int64_t n = end - begin, c = 0;
    for (; c + 16 <= n; c += 16) vec_store(out + c, decode_bf16(_mm256_loadu_si256((const __m256i *)(q + 2 * c))));
    if (c < n) {
        __mmask16 mask = tail_mask(n - c);
        vec_store_tail(out + c, decode_bf16(_mm256_maskz_loadu_epi16(mask, q + 2 * c)), n - c);
    }
}

// Values of 2 bits: a table that repeats every 4 entries needs no mask on its index.
WK_TARGET void wk_avx512_dequantize_q2_k(const wk_matrix *m, int64_t row, int64_t begin, int64_t end, float *out) {
    ROW_OF_BLOCKS(256, 84) {
        float scales[16], minima[16];
        __m128i packed = _mm_loadu_si128((const __m128i *)b);
        __m128i low = _mm_and_si128(packed, _mm_set1_epi8(15));
        __m128i high = _mm_and_si128(_mm_srli_epi16(packed, 4), _mm_set1_epi8(15));
        vec_store(scales, _mm512_mul_ps(broadcast_f16(b + 80), floats_of_i8(low)));
        vec_store(minima, _mm512_mul_ps(broadcast_f16(b + 82), floats_of_i8(high)));
        for (int j = 0; j < 16; j++) {
            __m512i index = widen_u8(b + 16 + 32 * (j / 8) + 16 * (j % 2));
            __m512 table = _mm512_sub_ps(_mm512_mul_ps(_mm512_set1_ps(scales[j]), ramp4()), _mm512_set1_ps(minima[j]));
            vec_store(out + 16 * j, look_up(table, _mm512_srl_epi32(index, _mm_cvtsi32_si128(2 * (j % 8 / 2)))));
        }
    }
}

WK_TARGET void wk_avx512_dequantize_q3_k(const wk_matrix *m, int64_t row, int64_t begin, int64_t end, float *out) {
    ROW_OF_BLOCKS(256, 110) {
        float d = scalar_f16(b + 108);
        __m256i high = _mm256_loadu_si256((const __m256i *)b);
        for (int j = 0; j < 16; j++) {
            __m512i index = widen_u8(b + 32 + 32 * (j / 8) + 16 * (j % 2));
            __m512 scale = _mm512_set1_ps(d * (float)wk_q3_k_scale(b + 96, j));
            __m512 clear_table = _mm512_mul_ps(scale, _mm512_sub_ps(ramp4(), _mm512_set1_ps(4)));
            __mmask32 bits = _mm256_test_epi8_mask(high, _mm256_set1_epi8((char)(1 << j / 2)));
            index = _mm512_srl_epi32(index, _mm_cvtsi32_si128(2 * (j % 8 / 2)));
            vec_store(out + 16 * j,
                      look_up_5(clear_table, _mm512_mul_ps(scale, ramp4()), (__mmask16)(bits >> 16 * (j % 2)), index));
        }
    }
}

WK_TARGET void wk_avx512_dequantize_q4_k(const wk_matrix *m, int64_t row, int64_t begin, int64_t end, float *out) {
    ROW_OF_BLOCKS(256, 144) {
        float scales[8], minima[8];
        k_scales(b, scales, minima);
        for (int j = 0; j < 8; j += 2) {
            __m512i q0 = widen_u8(b + 16 + 16 * j), q1 = widen_u8(b + 32 + 16 * j);
            for (int k = 0; k < 2; k++) {
                __m512 table = _mm512_sub_ps(_mm512_mul_ps(_mm512_set1_ps(scales[j + k]), ramp()),
                                             _mm512_set1_ps(minima[j + k]));
                vec_store(out + 32 * (j + k), look_up(table, q0));
                vec_store(out + 32 * (j + k) + 16, look_up(table, q1));
                q0 = _mm512_srli_epi32(q0, 4);
                q1 = _mm512_srli_epi32(q1, 4);
            }
        }
    }
}

WK_TARGET void wk_avx512_dequantize_q5_k(const wk_matrix *m, int64_t row, int64_t begin, int64_t end, float *out) {
    ROW_OF_BLOCKS(256, 176) {
        float scales[8], minima[8];
        k_scales(b, scales, minima);
        __m256i high = _mm256_loadu_si256((const __m256i *)(b + 16));
        const __m512 high_ramp = _mm512_add_ps(ramp(), _mm512_set1_ps(16));
        for (int j = 0; j < 8; j++) {
            __m512 scale = _mm512_set1_ps(scales[j]), minimum = _mm512_set1_ps(minima[j]);
            __m512 table = _mm512_sub_ps(_mm512_mul_ps(scale, ramp()), minimum);
            __m512 high_table = _mm512_sub_ps(_mm512_mul_ps(scale, high_ramp), minimum);
            __mmask32 bits = _mm256_test_epi8_mask(high, _mm256_set1_epi8((char)(1 << j)));
            __m128i shift = _mm_cvtsi32_si128(4 * (j % 2));
            __m512i q0 = _mm512_srl_epi32(widen_u8(b + 48 + 32 * (j / 2)), shift);
            __m512i q1 = _mm512_srl_epi32(widen_u8(b + 64 + 32 * (j / 2)), shift);
            vec_store(out + 32 * j, look_up_5(table, high_table, (__mmask16)bits, q0));
            vec_store(out + 32 * j + 16, look_up_5(table, high_table, (__mmask16)(bits >> 16), q1));
        }
    }
}

WK_TARGET void wk_avx512_dequantize_q6_k(const wk_matrix *m, int64_t row, int64_t begin, int64_t end, float *out) {
    ROW_OF_BLOCKS(256, 210) {
        float scales[16];
        vec_store(scales, _mm512_mul_ps(broadcast_f16(b + 208), floats_of_i8(_mm_loadu_si128((const __m128i *)(b + 192)))));
        const __m256i low4 = _mm256_set1_epi8(15), low2 = _mm256_set1_epi8(0x30), offset = _mm256_set1_epi8(32);
        for (int half = 0; half < 2; half++) {
            const __m256i *ql = (const __m256i *)(b + 64 * half);
            __m256i a = _mm256_loadu_si256(ql), e = _mm256_loadu_si256(ql + 1);
            __m256i h = _mm256_loadu_si256((const __m256i *)(b + 128 + 32 * half));
            __m256i q[4] = {
                _mm256_or_si256(_mm256_and_si256(a, low4), _mm256_and_si256(_mm256_slli_epi16(h, 4), low2)),
                _mm256_or_si256(_mm256_and_si256(e, low4), _mm256_and_si256(_mm256_slli_epi16(h, 2), low2)),
                _mm256_or_si256(_mm256_and_si256(_mm256_srli_epi16(a, 4), low4), _mm256_and_si256(h, low2)),
                _mm256_or_si256(_mm256_and_si256(_mm256_srli_epi16(e, 4), low4),
                                _mm256_and_si256(_mm256_srli_epi16(h, 2), low2)),
            };
            for (int t = 0; t < 4; t++) {
                __m256i v = _mm256_sub_epi8(q[t], offset);
                int j = 8 * half + 2 * t;
                vec_store(out + 16 * j, _mm512_mul_ps(_mm512_set1_ps(scales[j]), floats_of_i8(_mm256_castsi256_si128(v))));
                vec_store(out + 16 * j + 16,
                          _mm512_mul_ps(_mm512_set1_ps(scales[j + 1]), floats_of_i8(_mm256_extracti128_si256(v, 1))));
            }
        }
    }
}

WK_TARGET void wk_avx512_dequantize_iq4_xs(const wk_matrix *m, int64_t row, int64_t begin, int64_t end, float *out) {
    const __m512 values = table_of(wk_iq4_values);
    ROW_OF_BLOCKS(256, 136) {
        float d = scalar_f16(b);
        uint16_t high = wk_load_u16(b + 2);
        for (int j = 0; j < 8; j++) {
            __m512 v[2];
            __m512 scale = _mm512_set1_ps(d * (float)wk_iq4_xs_scale(high, b + 4, j));
            decode_nibbles(_mm512_mul_ps(scale, values), b + 8 + 16 * j, v);
            vec_store(out + 32 * j, v[0]);
            vec_store(out + 32 * j + 16, v[1]);
        }
    }
}

// For each run of columns that share a scale: `c` to `run_end`.
#define FOR_RUNS                                                                                                       \
    for (int64_t c = begin, group = begin / m->group_cols, run_end; c < end; c = run_end, group++)                     \
        if (run_end = (group + 1) * m->group_cols < end ? (group + 1) * m->group_cols : end, 1)

WK_TARGET void wk_avx512_dequantize_int4(const wk_matrix *m, int64_t row, int64_t begin, int64_t end, float *out) {
    if (m->group_cols % 2 != 0 && m->group_cols < m->cols) { // a run may begin in the middle of a byte
        wk_generic_dequantize_int4(m, row, begin, end, out);
        return;
    }
    const uint8_t *q = m->data + row * m->row_bytes;
    out -= begin;
    FOR_RUNS {
        __m512 table = int4_table(wk_scale_at(m, row, group), m->scale_packing);
        int64_t i = c;
        for (; i + 16 <= run_end; i += 16) vec_store(out + i, decode_int4(table, q + i / 2));
        if (i < run_end) {
            uint8_t last[8] = {0};
            memcpy(last, q + i / 2, (size_t)(run_end - i + 1) / 2);
            vec_store_tail(out + i, decode_int4(table, last), run_end - i);
        }
    }
}

WK_TARGET void wk_avx512_dequantize_int8(const wk_matrix *m, int64_t row, int64_t begin, int64_t end, float *out) {
    const uint8_t *q = m->data + row * m->row_bytes;
    out -= begin;
    FOR_RUNS {
        __m512 scale = _mm512_set1_ps(wk_scale_at(m, row, group));
        int64_t i = c;
        for (; i + 16 <= run_end; i += 16) vec_store(out + i, decode_int8(scale, m->scale_packing, q + i));
        if (i < run_end) {
            uint8_t last[16] = {0};
            memcpy(last, q + i, (size_t)(run_end - i));
            vec_store_tail(out + i, decode_int8(scale, m->scale_packing, last), run_end - i);
        }
    }
}

WK_TARGET void wk_avx512_dequantize_f8_e4m3(const wk_matrix *m, int64_t row, int64_t begin, int64_t end, float *out) {
    const uint8_t *q = m->data + row * m->row_bytes;
    out -= begin;
    FOR_RUNS {
        float scale = wk_scale_at(m, row, group);
        if (!f8_scale_fits(scale)) {
            wk_generic_dequantize_f8_e4m3(m, row, c, run_end, out + c);
            continue;
        }
        __m512 factor = f8_scale(scale);
        int64_t i = c;
        for (; i + 16 <= run_end; i += 16) vec_store(out + i, decode_f8(factor, q + i));
        if (i < run_end) {
            uint8_t last[16] = {0};
            memcpy(last, q + i, (size_t)(run_end - i));
            vec_store_tail(out + i, decode_f8(factor, last), run_end - i);
        }
    }
}

#endif
