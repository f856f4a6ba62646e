// Weights in 4 bits, as routed experts are stored.
#include "walet_autodiff.h"

#include <math.h>
#include <string.h>

enum { GROUP = 32 };

// The scale of a group, in the bits of BF16, and as a number.
static uint16_t scale_bits(const float *x, float *scale) {
    float largest = 0;
    for (int i = 0; i < GROUP; i++) largest = fmaxf(largest, fabsf(x[i]));
    float wanted = fmaxf(largest / 7.5f, 0x1p-14f);
    uint16_t bits;
    wa_to_bf16(&wanted, &bits, 1);
    wa_from_bf16(&bits, scale, 1);
    return bits;
}

static long quantized(float x, float scale) {
    // In the rounding mode that every process begins with: to nearest, ties to even.
    float q = rintf(x / scale);
    return q < -8 ? -8 : q > 7 ? 7 : (long)q;
}

void wa_int4_round(const float *x, float *y, int64_t groups) {
    for (int64_t g = 0; g < groups; g++) {
        const float *in = x + g * GROUP;
        float *out = y + g * GROUP;
        float scale;
        scale_bits(in, &scale);
        for (int i = 0; i < GROUP; i++) out[i] = fminf(fmaxf(rintf(in[i] / scale), -8.0f), 7.0f) * scale;
        // A product is of the scale's type for those who read it: compressed-tensors, and Walet's own engine.
        uint16_t half[GROUP];
        wa_to_bf16(out, half, GROUP);
        wa_from_bf16(half, out, GROUP);
    }
}

void wa_int4_pack(const float *x, int32_t *words, uint16_t *scales, int64_t groups) {
    for (int64_t g = 0; g < groups; g++) {
        const float *in = x + g * GROUP;
        float scale;
        scales[g] = scale_bits(in, &scale);
        for (int w = 0; w < GROUP / 8; w++) {
            uint32_t word = 0;
            for (int i = 0; i < 8; i++) word |= (uint32_t)(quantized(in[w * 8 + i], scale) + 8) << 4 * i;
            memcpy(&words[g * (GROUP / 8) + w], &word, sizeof word);
        }
    }
}
