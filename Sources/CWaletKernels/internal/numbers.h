// Conversions between number formats that every kernel file shares, exact to the last bit.
#ifndef WALET_NUMBERS_H
#define WALET_NUMBERS_H

#include <stdint.h>
#include <string.h>

static inline uint16_t wk_load_u16(const uint8_t *p) {
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline uint32_t wk_load_u32(const uint8_t *p) {
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline float wk_load_f32(const uint8_t *p) {
    float v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline float wk_float_from_bits(uint32_t bits) {
    float v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

static inline uint32_t wk_bits_from_float(float v) {
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    return bits;
}

static inline float wk_float_from_bf16(uint16_t h) {
    return wk_float_from_bits((uint32_t)h << 16);
}

static inline float wk_float_from_f16(uint16_t h) {
    uint32_t sign = (uint32_t)(h & 0x8000) << 16;
    uint32_t exponent = (h >> 10) & 31, mantissa = h & 0x3ff;
    if (exponent == 0) {
        // Zero or subnormal: mantissa * 2^-24, which fp32 holds exactly.
        return wk_float_from_bits(wk_bits_from_float((float)mantissa * 0x1p-24f) | sign);
    }
    if (exponent == 31) {
        // The quiet bit is set, as the conversion instructions of CPUs do.
        return wk_float_from_bits(sign | 0x7f800000u | (mantissa << 13) | (mantissa ? 0x00400000u : 0));
    }
    return wk_float_from_bits(sign | ((exponent + 112) << 23) | (mantissa << 13));
}

// Rounds to the nearest BF16 number, ties to even, and returns it as fp32.
static inline float wk_round_to_bf16(float v) {
    uint32_t bits = wk_bits_from_float(v);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return wk_float_from_bits((bits | 0x00400000u) & 0xffff0000u);
    return wk_float_from_bits((bits + 0x7fff + ((bits >> 16) & 1)) & 0xffff0000u);
}

// The nearest BF16 number, ties to even.
static inline uint16_t wk_bf16_from_float(float v) {
    return (uint16_t)(wk_bits_from_float(wk_round_to_bf16(v)) >> 16);
}

// Rounds to the nearest F16 number, ties to even, and returns it as fp32.
static inline float wk_round_to_f16(float v) {
    uint32_t bits = wk_bits_from_float(v);
    uint32_t sign = bits & 0x80000000u, magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u) return wk_float_from_bits((bits | 0x00400000u) & 0xffffe000u);
    if (magnitude >= 0x477ff000u) return wk_float_from_bits(sign | 0x7f800000u); // 65520 and up overflow
    if (magnitude < 0x38800000u) {
        // Subnormal in F16, a multiple of 2^-24. Adding 0.5, whose last place is 2^-24, makes the FPU round there.
        float shifted = wk_float_from_bits(magnitude) + 0.5f;
        return wk_float_from_bits(wk_bits_from_float(shifted - 0.5f) | sign);
    }
    magnitude = (magnitude + 0xfff + ((magnitude >> 13) & 1)) & 0xffffe000u;
    return wk_float_from_bits(sign | magnitude);
}

// Whether q * scale, for a BF16 scale and an integer q of 8 bits, may be rounded to BF16 by Veltkamp's splitting:
// with g = q * (scale * 65537), the result is g - (g - q * scale). scale * 65537 and q * scale are exact; that the rest
// rounds ties to even for all 128 mantissas and 256 integers was checked one by one (and is in the tests). Outside these
// bounds 65537 * q * scale might overflow, or the product be subnormal.
static inline int wk_bf16_split_fits(float scale) {
    uint32_t magnitude = wk_bits_from_float(scale) & 0x7fffffffu;
    return magnitude == 0 || magnitude - 0x0d800000u <= 0x71800000u - 0x0d800000u; // 2^-100 to 2^100
}

// The same for `count` BF16 scales at once, without branches, so that compilers vectorise it.
static inline int wk_bf16_splits_fit(const uint8_t *scales, int64_t count) {
    uint16_t misfits = 0;
    for (int64_t i = 0; i < count; i++) {
        uint16_t magnitude = wk_load_u16(scales + 2 * i) & 0x7fff;
        misfits |= (uint16_t)((magnitude != 0) & ((uint16_t)(magnitude - 0x0d80) > 0x7180 - 0x0d80));
    }
    return !misfits;
}

// F8_E4M3FN: no infinities; 0x7f and 0xff are NaN, with the bits that torch gives them.
static inline float wk_float_from_f8_e4m3(uint8_t b) {
    uint32_t sign = (uint32_t)(b & 0x80) << 24;
    uint32_t exponent = (b >> 3) & 15, mantissa = b & 7;
    if (exponent == 15 && mantissa == 7) return wk_float_from_bits(sign | 0x7ff00000u);
    if (exponent == 0) return wk_float_from_bits(wk_bits_from_float((float)mantissa * 0x1p-9f) | sign);
    return wk_float_from_bits(sign | ((exponent + 120) << 23) | (mantissa << 20));
}

// MXFP4's E8M0 exponent halved, 2^(e - 128): the E2M1 table holds doubled values.
static inline float wk_float_from_e8m0_half(uint8_t e) {
    return wk_float_from_bits(e < 2 ? 0x00200000u << e : (uint32_t)(e - 1) << 23);
}

// The values of IQ4_NL and IQ4_XS, and those of E2M1 doubled.
static const int8_t wk_iq4_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
static const int8_t wk_e2m1_values[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

// Scale and minimum, 6 bits each, of sub-block j in 0..<8 of Q4_K and Q5_K.
static inline void wk_k_scale_min(const uint8_t *s, int j, int *scale, int *minimum) {
    if (j < 4) {
        *scale = s[j] & 63;
        *minimum = s[j + 4] & 63;
    } else {
        *scale = (s[j + 4] & 15) | (s[j - 4] >> 6) << 4;
        *minimum = (s[j + 4] >> 4) | (s[j] >> 6) << 4;
    }
}

// The 6-bit scale, offset 32, of sub-block j in 0..<16 of Q3_K.
static inline int wk_q3_k_scale(const uint8_t *s, int j) {
    int low = j < 8 ? s[j] & 15 : s[j - 8] >> 4;
    int high = s[8 + j % 4] >> 2 * (j / 4) & 3;
    return (low | high << 4) - 32;
}

// The 6-bit scale, offset 32, of sub-block j in 0..<8 of IQ4_XS.
static inline int wk_iq4_xs_scale(uint16_t high, const uint8_t *low, int j) {
    return ((low[j / 2] >> 4 * (j % 2) & 15) | (high >> 2 * j & 3) << 4) - 32;
}

#endif
