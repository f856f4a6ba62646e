// Packed numbers to vectors of 16 floats, bit-equal to generic/dequantize.c.
//
// A 4-bit value has 16 possible results in its group, so a group's results are computed once, in the reference's order
// of operations, and looked up: vpermps picks by the low 4 bits of an index and ignores the rest.
#ifndef WALET_AVX512_DECODE_H
#define WALET_AVX512_DECODE_H

#include "avx512.h"

#pragma STDC FP_CONTRACT OFF

// 0, 1, … 15
AVX512 __m512 ramp(void) { return _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15); }
// 0, 1, 2, 3, and again
AVX512 __m512 ramp4(void) { return _mm512_setr_ps(0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3); }
AVX512 __m512 table_of(const int8_t *values) {
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)values)));
}
AVX512 float scalar_f16(const uint8_t *p) { return _cvtsh_ss(wk_load_u16(p)); }
AVX512 __m512 broadcast_f16(const uint8_t *p) { return _mm512_set1_ps(scalar_f16(p)); }
AVX512 __m512i widen_u8(const uint8_t *p) { return _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)p)); }
AVX512 __m512 look_up(__m512 table, __m512i index) { return _mm512_permutexvar_ps(index, table); }
// table[index], or high_table[index] where the bit of the mask is set
AVX512 __m512 look_up_5(__m512 table, __m512 high_table, __mmask16 high, __m512i index) {
    return _mm512_mask_permutexvar_ps(look_up(table, index), high, index, high_table);
}

AVX512 void decode_nibbles(__m512 table, const uint8_t *q, __m512 out[2]) {
    __m512i index = widen_u8(q);
    out[0] = look_up(table, index);
    out[1] = look_up(table, _mm512_srli_epi32(index, 4));
}

AVX512 void decode_q4_0(const uint8_t *b, __m512 out[2]) {
    __m512 values = _mm512_sub_ps(ramp(), _mm512_set1_ps(8));
    decode_nibbles(_mm512_mul_ps(broadcast_f16(b), values), b + 2, out);
}

AVX512 void decode_q4_1(const uint8_t *b, __m512 out[2]) {
    __m512 table = _mm512_add_ps(_mm512_mul_ps(broadcast_f16(b), ramp()), broadcast_f16(b + 2));
    decode_nibbles(table, b + 4, out);
}

AVX512 void decode_q5(__m512 table, __m512 high_table, uint32_t high, const uint8_t *q, __m512 out[2]) {
    __m512i index = widen_u8(q);
    out[0] = look_up_5(table, high_table, (__mmask16)high, index);
    out[1] = look_up_5(table, high_table, (__mmask16)(high >> 16), _mm512_srli_epi32(index, 4));
}

AVX512 void decode_q5_0(const uint8_t *b, __m512 out[2]) {
    __m512 d = broadcast_f16(b);
    __m512 table = _mm512_mul_ps(d, _mm512_sub_ps(ramp(), _mm512_set1_ps(16))), high_table = _mm512_mul_ps(d, ramp());
    decode_q5(table, high_table, wk_load_u32(b + 2), b + 6, out);
}

AVX512 void decode_q5_1(const uint8_t *b, __m512 out[2]) {
    __m512 d = broadcast_f16(b), minimum = broadcast_f16(b + 2);
    __m512 table = _mm512_add_ps(_mm512_mul_ps(d, ramp()), minimum);
    __m512 high_table = _mm512_add_ps(_mm512_mul_ps(d, _mm512_add_ps(ramp(), _mm512_set1_ps(16))), minimum);
    decode_q5(table, high_table, wk_load_u32(b + 4), b + 8, out);
}

AVX512 __m512 floats_of_i8(__m128i q) { return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(q)); }

AVX512 void decode_q8_0(const uint8_t *b, __m512 out[2]) {
    __m512 d = broadcast_f16(b);
    out[0] = _mm512_mul_ps(d, floats_of_i8(_mm_loadu_si128((const __m128i *)(b + 2))));
    out[1] = _mm512_mul_ps(d, floats_of_i8(_mm_loadu_si128((const __m128i *)(b + 18))));
}

AVX512 void decode_iq4_nl(const uint8_t *b, __m512 out[2]) {
    decode_nibbles(_mm512_mul_ps(broadcast_f16(b), table_of(wk_iq4_values)), b + 2, out);
}

AVX512 void decode_mxfp4(const uint8_t *b, __m512 out[2]) {
    __m512 d = _mm512_set1_ps(wk_float_from_e8m0_half(b[0]));
    decode_nibbles(_mm512_mul_ps(d, table_of(wk_e2m1_values)), b + 1, out);
}

// Scales and minima of the 8 sub-blocks of Q4_K and Q5_K, multiplied with d and dmin.
AVX512 void k_scales(const uint8_t *b, float scales[8], float minima[8]) {
    uint32_t s0 = wk_load_u32(b + 4), s1 = wk_load_u32(b + 8), s2 = wk_load_u32(b + 12);
    uint64_t scale = (s0 & 0x3f3f3f3f) | (uint64_t)((s2 & 0x0f0f0f0f) | (s0 >> 2 & 0x30303030)) << 32;
    uint64_t minimum = (s1 & 0x3f3f3f3f) | (uint64_t)((s2 >> 4 & 0x0f0f0f0f) | (s1 >> 2 & 0x30303030)) << 32;
    __m256 sc = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_cvtsi64_si128((long long)scale)));
    __m256 mn = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_cvtsi64_si128((long long)minimum)));
    _mm256_storeu_ps(scales, _mm256_mul_ps(_mm256_set1_ps(scalar_f16(b)), sc));
    _mm256_storeu_ps(minima, _mm256_mul_ps(_mm256_set1_ps(scalar_f16(b + 2)), mn));
}

// The rounding that compressed-tensors has: to the type of the scale.
AVX512 __m512 round_product(__m512 product, int32_t scale_packing) {
    if (scale_packing == WK_BF16) {
        __m512i bits = _mm512_castps_si512(product);
        __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
        bits = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd);
        return _mm512_castsi512_ps(_mm512_and_si512(bits, _mm512_set1_epi32((int)0xffff0000)));
    }
    if (scale_packing == WK_F16) {
        return _mm512_cvtph_ps(_mm512_cvtps_ph(product, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
    }
    return product;
}

AVX512 __m512 int4_table(float scale, int32_t scale_packing) {
    __m512 values = _mm512_sub_ps(ramp(), _mm512_set1_ps(8));
    return round_product(_mm512_mul_ps(values, _mm512_set1_ps(scale)), scale_packing);
}

// Values 0..<16 of the nibbles that begin at q, in order. Reads 8 bytes.
AVX512 __m512 decode_int4(__m512 table, const uint8_t *q) {
    const __m512i shifts = _mm512_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28, 0, 4, 8, 12, 16, 20, 24, 28);
    __m512i words = _mm512_mask_set1_epi32(_mm512_set1_epi32((int)wk_load_u32(q)), 0xff00, (int)wk_load_u32(q + 4));
    return look_up(table, _mm512_srlv_epi32(words, shifts));
}

AVX512 __m512 decode_int8(__m512 scale, int32_t scale_packing, const uint8_t *q) {
    __m128i bytes = _mm_xor_si128(_mm_loadu_si128((const __m128i *)q), _mm_set1_epi8((char)0x80));
    return round_product(_mm512_mul_ps(floats_of_i8(bytes), scale), scale_packing);
}

// E4M3 as F16: with the exponent's bits in place the value is 2^-8 of what it should be, subnormals included, and F16
// converts exactly. The scale makes up for it, which is exact too, as long as 256 times the scale is finite.
AVX512 bool f8_scale_fits(float scale) { return scale < 0x1p119f && scale > -0x1p119f; }
AVX512 __m512 f8_scale(float scale) { return _mm512_set1_ps(scale * 256); }
AVX512 __m256i f16_of_f8(const uint8_t *q) {
    __m256i wide = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)q));
    __m256i bits = _mm256_and_si256(_mm256_slli_epi16(wide, 7), _mm256_set1_epi16((short)0xbfff));
    __mmask16 nan = _mm256_cmpeq_epi16_mask(_mm256_and_si256(wide, _mm256_set1_epi16(0x7f)), _mm256_set1_epi16(0x7f));
    return _mm256_or_si256(bits, _mm256_maskz_set1_epi16(nan, 0x7e00));
}
AVX512 __m512 decode_f8(__m512 scale, const uint8_t *q) { return _mm512_mul_ps(_mm512_cvtph_ps(f16_of_f8(q)), scale); }

AVX512 __m512 decode_bf16(__m256i q) { return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(q), 16)); }

#endif
