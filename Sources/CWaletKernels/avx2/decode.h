// Packed numbers to vectors of 8 floats, bit-equal to generic/dequantize.c: bytes are put together 16 or 32 at a time,
// then widened, converted (exactly) and scaled in the reference's order of operations.
#ifndef WALET_AVX2_DECODE_H
#define WALET_AVX2_DECODE_H

#include "avx2.h"

#pragma STDC FP_CONTRACT OFF

AVX2 float scalar_f16(const uint8_t *p) { return _cvtsh_ss(wk_load_u16(p)); }
AVX2 __m256 broadcast_f16(const uint8_t *p) { return _mm256_set1_ps(scalar_f16(p)); }
AVX2 __m128i load_16(const uint8_t *p) { return _mm_loadu_si128((const __m128i *)p); }
AVX2 __m128i low_nibbles(__m128i q) { return _mm_and_si128(q, _mm_set1_epi8(15)); }
AVX2 __m128i high_nibbles(__m128i q) { return _mm_and_si128(_mm_srli_epi16(q, 4), _mm_set1_epi8(15)); }

// 16 signed bytes as floats.
AVX2 void floats_of_i8(__m128i q, __m256 out[2]) {
    out[0] = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(q));
    out[1] = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_unpackhi_epi64(q, q)));
}
AVX2 void scaled_i8(__m256 scale, __m128i q, __m256 out[2]) {
    floats_of_i8(q, out);
    for (int i = 0; i < 2; i++) out[i] = _mm256_mul_ps(scale, out[i]);
}
AVX2 void scaled_i8_plus(__m256 scale, __m256 minimum, __m128i q, __m256 out[2]) {
    floats_of_i8(q, out);
    for (int i = 0; i < 2; i++) out[i] = _mm256_add_ps(_mm256_mul_ps(scale, out[i]), minimum);
}
AVX2 void scaled_i8_minus(__m256 scale, __m256 minimum, __m128i q, __m256 out[2]) {
    floats_of_i8(q, out);
    for (int i = 0; i < 2; i++) out[i] = _mm256_sub_ps(_mm256_mul_ps(scale, out[i]), minimum);
}

AVX2 void decode_q4_0(const uint8_t *b, __m256 out[4]) {
    __m256 d = broadcast_f16(b);
    __m128i q = load_16(b + 2), offset = _mm_set1_epi8(8);
    scaled_i8(d, _mm_sub_epi8(low_nibbles(q), offset), out);
    scaled_i8(d, _mm_sub_epi8(high_nibbles(q), offset), out + 2);
}

AVX2 void decode_q4_1(const uint8_t *b, __m256 out[4]) {
    __m256 d = broadcast_f16(b), minimum = broadcast_f16(b + 2);
    __m128i q = load_16(b + 4);
    scaled_i8_plus(d, minimum, low_nibbles(q), out);
    scaled_i8_plus(d, minimum, high_nibbles(q), out + 2);
}

// 16 in each byte whose bit among the low 16 of `bits` is set.
AVX2 __m128i fifth_bits(uint32_t bits) {
    const __m128i spread = _mm_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1);
    const __m128i select = _mm_set1_epi64x((long long)0x8040201008040201ull);
    __m128i b = _mm_and_si128(_mm_shuffle_epi8(_mm_cvtsi32_si128((int)bits), spread), select);
    return _mm_and_si128(_mm_cmpeq_epi8(b, select), _mm_set1_epi8(16));
}

AVX2 void decode_q5_0(const uint8_t *b, __m256 out[4]) {
    __m256 d = broadcast_f16(b);
    uint32_t high = wk_load_u32(b + 2);
    __m128i q = load_16(b + 6), offset = _mm_set1_epi8(16);
    scaled_i8(d, _mm_sub_epi8(_mm_or_si128(low_nibbles(q), fifth_bits(high)), offset), out);
    scaled_i8(d, _mm_sub_epi8(_mm_or_si128(high_nibbles(q), fifth_bits(high >> 16)), offset), out + 2);
}

AVX2 void decode_q5_1(const uint8_t *b, __m256 out[4]) {
    __m256 d = broadcast_f16(b), minimum = broadcast_f16(b + 2);
    uint32_t high = wk_load_u32(b + 4);
    __m128i q = load_16(b + 8);
    scaled_i8_plus(d, minimum, _mm_or_si128(low_nibbles(q), fifth_bits(high)), out);
    scaled_i8_plus(d, minimum, _mm_or_si128(high_nibbles(q), fifth_bits(high >> 16)), out + 2);
}

AVX2 void decode_q8_0(const uint8_t *b, __m256 out[4]) {
    __m256 d = broadcast_f16(b);
    scaled_i8(d, load_16(b + 2), out);
    scaled_i8(d, load_16(b + 18), out + 2);
}

AVX2 void decode_table(__m256 d, const int8_t *values, const uint8_t *bytes, __m256 out[4]) {
    __m128i table = _mm_loadu_si128((const __m128i *)values), q = load_16(bytes);
    scaled_i8(d, _mm_shuffle_epi8(table, low_nibbles(q)), out);
    scaled_i8(d, _mm_shuffle_epi8(table, high_nibbles(q)), out + 2);
}

AVX2 void decode_iq4_nl(const uint8_t *b, __m256 out[4]) { decode_table(broadcast_f16(b), wk_iq4_values, b + 2, out); }

AVX2 void decode_mxfp4(const uint8_t *b, __m256 out[4]) {
    decode_table(_mm256_set1_ps(wk_float_from_e8m0_half(b[0])), wk_e2m1_values, b + 1, out);
}

// Scales and minima of the 8 sub-blocks of Q4_K and Q5_K, multiplied with d and dmin.
AVX2 void k_scales(const uint8_t *b, float scales[8], float minima[8]) {
    uint32_t s0 = wk_load_u32(b + 4), s1 = wk_load_u32(b + 8), s2 = wk_load_u32(b + 12);
    uint64_t scale = (s0 & 0x3f3f3f3f) | (uint64_t)((s2 & 0x0f0f0f0f) | (s0 >> 2 & 0x30303030)) << 32;
    uint64_t minimum = (s1 & 0x3f3f3f3f) | (uint64_t)((s2 >> 4 & 0x0f0f0f0f) | (s1 >> 2 & 0x30303030)) << 32;
    __m256 sc = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_cvtsi64_si128((long long)scale)));
    __m256 mn = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_cvtsi64_si128((long long)minimum)));
    vec_store(scales, _mm256_mul_ps(broadcast_f16(b), sc));
    vec_store(minima, _mm256_mul_ps(broadcast_f16(b + 2), mn));
}

// The rounding that compressed-tensors has: to the type of the scale.
AVX2 __m256 round_product(__m256 product, int32_t scale_packing) {
    if (scale_packing == WK_BF16) {
        __m256i bits = _mm256_castps_si256(product);
        __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
        bits = _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd);
        return _mm256_castsi256_ps(_mm256_and_si256(bits, _mm256_set1_epi32((int)0xffff0000)));
    }
    if (scale_packing == WK_F16) {
        return _mm256_cvtph_ps(_mm256_cvtps_ph(product, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
    }
    return product;
}

AVX2 void rounded_i8(__m256 scale, int32_t scale_packing, __m128i q, __m256 out[2]) {
    scaled_i8(scale, q, out);
    for (int i = 0; i < 2; i++) out[i] = round_product(out[i], scale_packing);
}

// Values 0..<16 of the nibbles that begin at q, in order. Reads 8 bytes.
AVX2 void decode_int4(__m256 scale, int32_t scale_packing, const uint8_t *q, __m256 out[2]) {
    __m128i bytes = _mm_loadl_epi64((const __m128i *)q);
    __m128i nibbles = low_nibbles(_mm_unpacklo_epi8(bytes, _mm_srli_epi16(bytes, 4)));
    rounded_i8(scale, scale_packing, _mm_sub_epi8(nibbles, _mm_set1_epi8(8)), out);
}

AVX2 void decode_int8(__m256 scale, int32_t scale_packing, const uint8_t *q, __m256 out[2]) {
    rounded_i8(scale, scale_packing, _mm_xor_si128(load_16(q), _mm_set1_epi8((char)0x80)), out);
}

// E4M3 as F16: with the exponent's bits in place the value is 2^-8 of what it should be, subnormals included, and F16
// converts exactly. The scale makes up for it, which is exact too, as long as 256 times the scale is finite.
AVX2 bool f8_scale_fits(float scale) { return scale < 0x1p119f && scale > -0x1p119f; }
AVX2 __m256 f8_scale(float scale) { return _mm256_set1_ps(scale * 256); }
AVX2 void decode_f8(__m256 scale, const uint8_t *q, __m256 out[2]) {
    __m256i wide = _mm256_cvtepi8_epi16(load_16(q));
    __m256i bits = _mm256_and_si256(_mm256_slli_epi16(wide, 7), _mm256_set1_epi16((short)0xbfff));
    const __m256i all_ones = _mm256_set1_epi16(0x7f);
    __m256i nan = _mm256_cmpeq_epi16(_mm256_and_si256(wide, all_ones), all_ones);
    bits = _mm256_or_si256(bits, _mm256_and_si256(nan, _mm256_set1_epi16(0x7e00)));
    out[0] = _mm256_mul_ps(_mm256_cvtph_ps(_mm256_castsi256_si128(bits)), scale);
    out[1] = _mm256_mul_ps(_mm256_cvtph_ps(_mm256_extracti128_si256(bits, 1)), scale);
}

AVX2 __m256 decode_f16(const uint8_t *q) { return _mm256_cvtph_ps(load_16(q)); }
AVX2 __m256 decode_bf16(const uint8_t *q) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(load_16(q)), 16));
}

#endif
