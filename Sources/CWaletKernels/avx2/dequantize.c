// Rows of packed numbers to floats, 8 at a time.
#if defined(__x86_64__)
#include "decode.h"

#pragma STDC FP_CONTRACT OFF

#define ROW_OF_BLOCKS(values, bytes)                                                                                   \
    const uint8_t *b = wk_block_at(m, row, begin, values, bytes);                                                      \
    for (int64_t c = begin; c < end; c += values, b += bytes, out += values)

AVX2 void store_2(float *out, const __m256 v[2]) {
    vec_store(out, v[0]);
    vec_store(out + 8, v[1]);
}

#define DEFINE_DEQUANTIZE_32(name, bytes)                                                                              \
    WK_TARGET void wk_avx2_dequantize_##name(const wk_matrix *m, int64_t row, int64_t begin, int64_t end,              \
                                             float *out) {                                                             \
        ROW_OF_BLOCKS(32, bytes) {                                                                                     \
            __m256 values[4];                                                                                          \
            decode_##name(b, values);                                                                                  \
            store_2(out, values);                                                                                      \
            store_2(out + 16, values + 2);                                                                             \
        }                                                                                                              \
    }

DEFINE_DEQUANTIZE_32(q4_0, 18)
DEFINE_DEQUANTIZE_32(q4_1, 20)
DEFINE_DEQUANTIZE_32(q5_0, 22)
DEFINE_DEQUANTIZE_32(q5_1, 24)
DEFINE_DEQUANTIZE_32(q8_0, 34)
DEFINE_DEQUANTIZE_32(iq4_nl, 18)
DEFINE_DEQUANTIZE_32(mxfp4, 17)

#define DEFINE_DEQUANTIZE_HALVES(name)                                                                                 \
    WK_TARGET void wk_avx2_dequantize_##name(const wk_matrix *m, int64_t row, int64_t begin, int64_t end,              \
                                             float *out) {                                                             \
        const uint8_t *q = wk_block_at(m, row, begin, 1, 2);                                                           \
        int64_t n = end - begin, c = 0;                                                                                \
        for (; c + 8 <= n; c += 8) vec_store(out + c, decode_##name(q + 2 * c));                                       \
        if (c < n) {                                                                                                   \
            uint8_t last[16] = {0};                                                                                    \
            memcpy(last, q + 2 * c, (size_t)(n - c) * 2);                                                              \
            vec_store_tail(out + c, decode_##name(last), n - c);                                                       \
        }                                                                                                              \
    }

DEFINE_DEQUANTIZE_HALVES(f16)
DEFINE_DEQUANTIZE_HALVES(bf16)

WK_TARGET void wk_avx2_dequantize_q2_k(const wk_matrix *m, int64_t row, int64_t begin, int64_t end, float *out) {
    ROW_OF_BLOCKS(256, 84) {
        float d = scalar_f16(b + 80), dmin = scalar_f16(b + 82);
        for (int j = 0; j < 16; j++) {
            __m128i q = load_16(b + 16 + 32 * (j / 8) + 16 * (j % 2));
            q = _mm_and_si128(_mm_srl_epi16(q, _mm_cvtsi32_si128(2 * (j % 8 / 2))), _mm_set1_epi8(3));
            __m256 v[2];
            scaled_i8_minus(_mm256_set1_ps(d * (float)(b[j] & 15)), _mm256_set1_ps(dmin * (float)(b[j] >> 4)), q, v);
            store_2(out + 16 * j, v);
        }
    }
}

WK_TARGET void wk_avx2_dequantize_q3_k(const wk_matrix *m, int64_t row, int64_t begin, int64_t end, float *out) {
    ROW_OF_BLOCKS(256, 110) {
        float d = scalar_f16(b + 108);
        for (int j = 0; j < 16; j++) {
            __m128i q = load_16(b + 32 + 32 * (j / 8) + 16 * (j % 2)), high = load_16(b + 16 * (j % 2));
            q = _mm_and_si128(_mm_srl_epi16(q, _mm_cvtsi32_si128(2 * (j % 8 / 2))), _mm_set1_epi8(3));
            __m128i clear = _mm_cmpeq_epi8(_mm_and_si128(high, _mm_set1_epi8((char)(1 << j / 2))), _mm_setzero_si128());
            q = _mm_sub_epi8(q, _mm_and_si128(clear, _mm_set1_epi8(4)));
            __m256 v[2];
            scaled_i8(_mm256_set1_ps(d * (float)wk_q3_k_scale(b + 96, j)), q, v);
            store_2(out + 16 * j, v);
        }
    }
}

WK_TARGET void wk_avx2_dequantize_q4_k(const wk_matrix *m, int64_t row, int64_t begin, int64_t end, float *out) {
    ROW_OF_BLOCKS(256, 144) {
        float scales[8], minima[8];
        k_scales(b, scales, minima);
        for (int j = 0; j < 8; j += 2) {
            __m256 s0 = _mm256_set1_ps(scales[j]), m0 = _mm256_set1_ps(minima[j]);
            __m256 s1 = _mm256_set1_ps(scales[j + 1]), m1 = _mm256_set1_ps(minima[j + 1]);
            for (int k = 0; k < 2; k++) {
                __m128i q = load_16(b + 16 + 16 * (j + k));
                __m256 v[2];
                scaled_i8_minus(s0, m0, low_nibbles(q), v);
                store_2(out + 32 * j + 16 * k, v);
                scaled_i8_minus(s1, m1, high_nibbles(q), v);
                store_2(out + 32 * j + 32 + 16 * k, v);
            }
        }
    }
}

WK_TARGET void wk_avx2_dequantize_q5_k(const wk_matrix *m, int64_t row, int64_t begin, int64_t end, float *out) {
    ROW_OF_BLOCKS(256, 176) {
        float scales[8], minima[8];
        k_scales(b, scales, minima);
        for (int i = 0; i < 16; i++) {
            int j = i / 2; // sub-block; i is the half of it
            __m128i q = load_16(b + 48 + 32 * (j / 2) + 16 * (i % 2)), high = load_16(b + 16 + 16 * (i % 2));
            __m128i bit = _mm_set1_epi8((char)(1 << j));
            __m128i fifth = _mm_and_si128(_mm_cmpeq_epi8(_mm_and_si128(high, bit), bit), _mm_set1_epi8(16));
            __m256 v[2];
            scaled_i8_minus(_mm256_set1_ps(scales[j]), _mm256_set1_ps(minima[j]),
                            _mm_or_si128(j % 2 ? high_nibbles(q) : low_nibbles(q), fifth), v);
            store_2(out + 16 * i, v);
        }
    }
}

WK_TARGET void wk_avx2_dequantize_q6_k(const wk_matrix *m, int64_t row, int64_t begin, int64_t end, float *out) {
    ROW_OF_BLOCKS(256, 210) {
        float d = scalar_f16(b + 208);
        for (int j = 0; j < 16; j++) {
            int half = j / 8, t = j % 8 / 2, k = j % 2;
            __m128i low = load_16(b + 64 * half + 32 * (t % 2) + 16 * k), high = load_16(b + 128 + 32 * half + 16 * k);
            low = t < 2 ? low_nibbles(low) : high_nibbles(low);
            high = _mm_and_si128(_mm_srl_epi16(high, _mm_cvtsi32_si128(2 * t)), _mm_set1_epi8(3));
            __m128i q = _mm_sub_epi8(_mm_or_si128(low, _mm_slli_epi16(high, 4)), _mm_set1_epi8(32));
            __m256 v[2];
            scaled_i8(_mm256_set1_ps(d * (float)(int8_t)b[192 + j]), q, v);
            store_2(out + 16 * j, v);
        }
    }
}

WK_TARGET void wk_avx2_dequantize_iq4_xs(const wk_matrix *m, int64_t row, int64_t begin, int64_t end, float *out) {
    ROW_OF_BLOCKS(256, 136) {
        float d = scalar_f16(b);
        uint16_t high = wk_load_u16(b + 2);
        for (int j = 0; j < 8; j++) {
            __m256 v[4], scale = _mm256_set1_ps(d * (float)wk_iq4_xs_scale(high, b + 4, j));
            decode_table(scale, wk_iq4_values, b + 8 + 16 * j, v);
            store_2(out + 32 * j, v);
            store_2(out + 32 * j + 16, v + 2);
        }
    }
}

// For each run of columns that share a scale: `c` to `run_end`.
#define FOR_RUNS                                                                                                       \
    for (int64_t c = begin, group = begin / m->group_cols, run_end; c < end; c = run_end, group++)                     \
        if (run_end = (group + 1) * m->group_cols < end ? (group + 1) * m->group_cols : end, 1)

// decode(bytes, values) for 16 values at a time; the last few of a run from a copy that is filled up with zeros.
#define DECODE_RUN(values_a_byte, decode)                                                                              \
    int64_t i = c;                                                                                                     \
    __m256 v[2];                                                                                                       \
    for (; i + 16 <= run_end; i += 16) {                                                                               \
        decode(q + i / values_a_byte, v);                                                                              \
        store_2(out + i, v);                                                                                           \
    }                                                                                                                  \
    if (i < run_end) {                                                                                                 \
        uint8_t last[16] = {0};                                                                                        \
        float values[16];                                                                                              \
        memcpy(last, q + i / values_a_byte, (size_t)(run_end - i + values_a_byte - 1) / values_a_byte);                \
        decode(last, v);                                                                                               \
        store_2(values, v);                                                                                            \
        memcpy(out + i, values, (size_t)(run_end - i) * sizeof(float));                                                \
    }

WK_TARGET void wk_avx2_dequantize_int4(const wk_matrix *m, int64_t row, int64_t begin, int64_t end, float *out) {
    if (m->group_cols % 2 != 0 && m->group_cols < m->cols) { // a run may begin in the middle of a byte
        wk_generic_dequantize_int4(m, row, begin, end, out);
        return;
    }
    const uint8_t *q = m->data + row * m->row_bytes;
    out -= begin;
    FOR_RUNS {
        __m256 scale = _mm256_set1_ps(wk_scale_at(m, row, group));
#define DECODE(bytes, v) decode_int4(scale, m->scale_packing, bytes, v)
        DECODE_RUN(2, DECODE)
#undef DECODE
    }
}

WK_TARGET void wk_avx2_dequantize_int8(const wk_matrix *m, int64_t row, int64_t begin, int64_t end, float *out) {
    const uint8_t *q = m->data + row * m->row_bytes;
    out -= begin;
    FOR_RUNS {
        __m256 scale = _mm256_set1_ps(wk_scale_at(m, row, group));
#define DECODE(bytes, v) decode_int8(scale, m->scale_packing, bytes, v)
        DECODE_RUN(1, DECODE)
#undef DECODE
    }
}

WK_TARGET void wk_avx2_dequantize_f8_e4m3(const wk_matrix *m, int64_t row, int64_t begin, int64_t end, float *out) {
    const uint8_t *q = m->data + row * m->row_bytes;
    out -= begin;
    FOR_RUNS {
        float scale = wk_scale_at(m, row, group);
        if (!f8_scale_fits(scale)) {
            wk_generic_dequantize_f8_e4m3(m, row, c, run_end, out + c);
            continue;
        }
        __m256 factor = f8_scale(scale);
#define DECODE(bytes, v) decode_f8(factor, bytes, v)
        DECODE_RUN(1, DECODE)
#undef DECODE
    }
}

#endif
