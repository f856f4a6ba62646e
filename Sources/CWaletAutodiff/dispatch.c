// Doors: each call goes to the instruction set that walet_kernels.h has chosen or was told to use.
#include "internal/table.h"
#include "walet_autodiff.h"

#include "walet_kernels.h"

#include <string.h>

static const wa_kernels *kernels(void) {
#if defined(__x86_64__)
    const char *isa = wk_isa();
    if (strcmp(isa, "avx512") == 0) return &wa_avx512_kernels;
    if (strcmp(isa, "avx2") == 0) return &wa_avx2_kernels;
#endif
    return &wa_generic_kernels;
}

void wa_rms_norm(const float *x, int64_t x_stride, const float *weight, float epsilon, int64_t rows, int64_t n, float *y,
                 float *inverse) {
    kernels()->rms_norm(x, x_stride, weight, epsilon, rows, n, y, inverse);
}

void wa_rms_norm_backward(const float *x, int64_t x_stride, const float *weight, const float *inverse, const float *dy,
                          int64_t rows, int64_t n, int32_t accumulate, float *dx, int64_t dx_stride, float *d_weight) {
    kernels()->rms_norm_backward(x, x_stride, weight, inverse, dy, rows, n, accumulate, dx, dx_stride, d_weight);
}

void wa_swiglu(const float *gate, const float *up, const float *scale, int64_t rows, int64_t n, float *out) {
    kernels()->swiglu(gate, up, scale, rows, n, out);
}

void wa_swiglu_backward(float *gate, float *up, const float *scale, const float *d_out, int64_t rows, int64_t n,
                        float *d_scale) {
    kernels()->swiglu_backward(gate, up, scale, d_out, rows, n, d_scale);
}

void wa_attention_softmax(float *scores, int64_t stride, int64_t rows, int64_t columns, int64_t first_limit, float scale,
                          float *maximum, float *sum, float *correction) {
    kernels()->attention_softmax(scores, stride, rows, columns, first_limit, scale, maximum, sum, correction);
}

void wa_attention_probabilities(float *scores, int64_t stride, int64_t rows, int64_t columns, int64_t first_limit,
                                float scale, const float *log_sum) {
    kernels()->attention_probabilities(scores, stride, rows, columns, first_limit, scale, log_sum);
}

void wa_attention_backward(const float *probabilities, float *d, int64_t stride, int64_t rows, int64_t columns,
                           float scale, const float *delta) {
    kernels()->attention_backward(probabilities, d, stride, rows, columns, scale, delta);
}

float wa_log_sum_exp(const float *x, int64_t n) { return kernels()->log_sum_exp(x, n); }
void wa_exponentials(float *x, int64_t n, float shift, float factor) { kernels()->exponentials(x, n, shift, factor); }
void wa_scale(float *x, float a, int64_t n) { kernels()->scale(x, a, n); }
void wa_blend(float *x, float a, const float *y, float b, int64_t n) { kernels()->blend(x, a, y, b, n); }
double wa_square_sum(const float *x, int64_t n) { return kernels()->square_sum(x, n); }

void wa_adamw(float *value, const float *gradient, float *mean, float *square, int64_t n, float rate, float beta1,
              float beta2, float epsilon, float decay, float correction1, float correction2) {
    kernels()->adamw(value, gradient, mean, square, n, rate, beta1, beta2, epsilon, decay, correction1, correction2);
}

void wa_to_bf16(const float *x, uint16_t *y, int64_t n) { kernels()->to_bf16(x, y, n); }
void wa_from_bf16(const uint16_t *x, float *y, int64_t n) { kernels()->from_bf16(x, y, n); }

int32_t wa_has_product(void) { return kernels() != &wa_generic_kernels; }

void wa_product(int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t a_row, int64_t a_column,
                const float *b, int64_t b_row, int64_t b_column, float beta, float *c, int64_t c_stride) {
    kernels()->product(m, n, k, alpha, a, a_row, a_column, b, b_row, b_column, beta, c, c_stride);
}
