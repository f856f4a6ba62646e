// Operations on vectors of floats, the readable way, and the table's generic row.
#include "generic.h"

#include "../internal/attention.h"
#include <math.h>

#pragma STDC FP_CONTRACT OFF

// Eight lanes, so that the error of the sum stays small on long vectors and any compiler can vectorise.
float wk_generic_dot(const float *a, const float *b, int64_t n) {
    float lanes[8] = {0};
    int64_t i = 0;
    for (; i + 8 <= n; i += 8) {
        for (int l = 0; l < 8; l++) lanes[l] += a[i + l] * b[i + l];
    }
    for (int l = 0; i < n; i++, l++) lanes[l] += a[i] * b[i];
    return ((lanes[0] + lanes[4]) + (lanes[1] + lanes[5])) + ((lanes[2] + lanes[6]) + (lanes[3] + lanes[7]));
}

void wk_generic_axpy(float a, const float *x, float *y, int64_t n) {
    for (int64_t i = 0; i < n; i++) y[i] += a * x[i];
}

void wk_generic_add(const float *x, float *y, int64_t n) {
    for (int64_t i = 0; i < n; i++) y[i] += x[i];
}

void wk_generic_rms_norm(const float *x, const float *weight, float epsilon, float *y, int64_t n) {
    if (n <= 0) return;
    float scale = 1.0f / sqrtf(wk_generic_dot(x, x, n) / (float)n + epsilon);
    for (int64_t i = 0; i < n; i++) y[i] = weight ? x[i] * scale * weight[i] : x[i] * scale;
}

void wk_generic_silu_mul(float *gate, const float *up, int64_t n) {
    for (int64_t i = 0; i < n; i++) gate[i] = gate[i] / (1.0f + expf(-gate[i])) * up[i];
}

void wk_generic_softmax(float *x, int64_t n) {
    if (n <= 0) return;
    float max = x[0];
    for (int64_t i = 1; i < n; i++) max = x[i] > max ? x[i] : max;
    float lanes[8] = {0};
    for (int64_t i = 0; i < n; i++) {
        x[i] = expf(x[i] - max);
        lanes[i % 8] += x[i];
    }
    float sum = ((lanes[0] + lanes[4]) + (lanes[1] + lanes[5])) + ((lanes[2] + lanes[6]) + (lanes[3] + lanes[7]));
    float scale = 1.0f / sum;
    for (int64_t i = 0; i < n; i++) x[i] *= scale;
}

void wk_generic_rope_interleaved(float *x, const float *cos, const float *sin, int64_t n_pairs) {
    for (int64_t i = 0; i < n_pairs; i++) {
        float a = x[2 * i], b = x[2 * i + 1];
        x[2 * i] = a * cos[i] - b * sin[i];
        x[2 * i + 1] = b * cos[i] + a * sin[i];
    }
}

void wk_generic_rope_half(float *x, const float *cos, const float *sin, int64_t n_pairs) {
    for (int64_t i = 0; i < n_pairs; i++) {
        float a = x[i], b = x[i + n_pairs];
        x[i] = a * cos[i] - b * sin[i];
        x[i + n_pairs] = b * cos[i] + a * sin[i];
    }
}

const wk_kernels wk_kernels_generic = {
    .name = "generic",
    .dequantize =
        {
            [WK_F32] = wk_generic_dequantize_f32,
            [WK_F16] = wk_generic_dequantize_f16,
            [WK_BF16] = wk_generic_dequantize_bf16,
            [WK_Q4_0] = wk_generic_dequantize_q4_0,
            [WK_Q4_1] = wk_generic_dequantize_q4_1,
            [WK_Q5_0] = wk_generic_dequantize_q5_0,
            [WK_Q5_1] = wk_generic_dequantize_q5_1,
            [WK_Q8_0] = wk_generic_dequantize_q8_0,
            [WK_Q2_K] = wk_generic_dequantize_q2_k,
            [WK_Q3_K] = wk_generic_dequantize_q3_k,
            [WK_Q4_K] = wk_generic_dequantize_q4_k,
            [WK_Q5_K] = wk_generic_dequantize_q5_k,
            [WK_Q6_K] = wk_generic_dequantize_q6_k,
            [WK_IQ4_NL] = wk_generic_dequantize_iq4_nl,
            [WK_IQ4_XS] = wk_generic_dequantize_iq4_xs,
            [WK_MXFP4] = wk_generic_dequantize_mxfp4,
            [WK_INT4] = wk_generic_dequantize_int4,
            [WK_INT8] = wk_generic_dequantize_int8,
            [WK_FP8_E4M3] = wk_generic_dequantize_f8_e4m3,
        },
    .matmul = wk_generic_matmul,
    .matmul_transposed = wk_generic_matmul_transposed,
    .q8_quantize = wk_generic_q8_quantize,
    .q8_matmul = wk_generic_q8_matmul,
    .attention = &wk_generic_attention,
    .dot = wk_generic_dot,
    .axpy = wk_generic_axpy,
    .add = wk_generic_add,
    .rms_norm = wk_generic_rms_norm,
    .silu_mul = wk_generic_silu_mul,
    .softmax = wk_generic_softmax,
    .rope_interleaved = wk_generic_rope_interleaved,
    .rope_half = wk_generic_rope_half,
};
