// Elementwise parts of training, forward and backward, for the instruction set that walet_kernels.h names. Everything is
// fp32 and row-major; a stride is floats from row to row. Sums go over 16 lanes, which are then added in one fixed order,
// so that a result depends on nothing but its own row. No function allocates.
#ifndef WALET_AUTODIFF_H
#define WALET_AUTODIFF_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// Makes OpenBLAS use this CPU's instructions, and one thread a call. Once, before its first product.
void wa_blas_prepare(void);

// y = x * inverse * weight with inverse = 1 / sqrt(mean(x^2) + epsilon), which is kept; rows of n.
void wa_rms_norm(const float *x, int64_t x_stride, const float *weight, float epsilon, int64_t rows, int64_t n, float *y,
                 float *inverse);
// dx (+)= inverse * (weight * dy - x * inverse^2 * mean(weight * dy * x)); d_weight += dy * x * inverse, summed over rows.
void wa_rms_norm_backward(const float *x, int64_t x_stride, const float *weight, const float *inverse, const float *dy,
                          int64_t rows, int64_t n, int32_t accumulate, float *dx, int64_t dx_stride, float *d_weight);

// out = scale[row] * silu(gate) * up; scale may be NULL for ones.
void wa_swiglu(const float *gate, const float *up, const float *scale, int64_t rows, int64_t n, float *out);
// Replaces gate and up by their gradients; d_scale[row] = sum of d_out * silu(gate) * up, unless scale is NULL.
void wa_swiglu_backward(float *gate, float *up, const float *scale, const float *d_out, int64_t rows, int64_t n,
                        float *d_scale);

// A block of attention scores [rows, columns], row r of which sees min(columns, first_limit + r) columns. Takes running
// maxima and sums of rows further: scores = exp(scale * score - maximum), 0 where unseen, and correction[row] = what the
// results so far have to be multiplied by.
void wa_attention_softmax(float *scores, int64_t stride, int64_t rows, int64_t columns, int64_t first_limit, float scale,
                          float *maximum, float *sum, float *correction);
// scores = exp(scale * score - log_sum[row]), 0 where unseen.
void wa_attention_probabilities(float *scores, int64_t stride, int64_t rows, int64_t columns, int64_t first_limit,
                                float scale, const float *log_sum);
// d = scale * probability * (d - delta[row]), in place in d.
void wa_attention_backward(const float *probabilities, float *d, int64_t stride, int64_t rows, int64_t columns,
                           float scale, const float *delta);

// The largest of x and ln of the sum of exp(x), in one.
float wa_log_sum_exp(const float *x, int64_t n);
// x = exp(x - shift) * factor
void wa_exponentials(float *x, int64_t n, float shift, float factor);

// x *= a
void wa_scale(float *x, float a, int64_t n);
// x = a * x + b * y
void wa_blend(float *x, float a, const float *y, float b, int64_t n);
// Sum of squares, each block of 4,096 in fp32, the blocks in fp64.
double wa_square_sum(const float *x, int64_t n);

// One step of AdamW. rate is the learning rate, decay = 1 - rate * weight decay, correction1 and correction2 are
// 1 - beta^step. The operations are torch.optim.AdamW's.
void wa_adamw(float *value, const float *gradient, float *mean, float *square, int64_t n, float rate, float beta1,
              float beta2, float epsilon, float decay, float correction1, float correction2);

// c = alpha * a b + beta * c on the calling thread, with a [m, k], b [k, n] and c [m, n]; what is not read for a beta of 0
// may be anything. An element of a factor lies at row * its row's stride + column * its column's, one of which is 1. Sums go
// over k in order, 256 at a time, so that an element depends on nothing but its row of a and its column of b. For n and a
// column's stride in a of at most some hundred, and k > 0; OpenBLAS is as fast beyond, and where wa_has_product is 0.
int32_t wa_has_product(void);
void wa_product(int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t a_row, int64_t a_column,
                const float *b, int64_t b_row, int64_t b_column, float beta, float *c, int64_t c_stride);

// To and from BF16, rounded to nearest even.
void wa_to_bf16(const float *x, uint16_t *y, int64_t n);
void wa_from_bf16(const uint16_t *x, float *y, int64_t n);

// Weights as compressed-tensors stores them in 4 bits, symmetric, in groups of 32: scale = BF16 of the largest |x| / 7.5,
// at least 2^-14, which FP16 holds too; q = x / scale, rounded to nearest even, from -8 to 7.
// y = q * scale, in BF16 as it will be read
void wa_int4_round(const float *x, float *y, int64_t groups);
// Four words of a group hold q + 8, the first value lowest; a scale a group.
void wa_int4_pack(const float *x, int32_t *words, uint16_t *scales, int64_t groups);

#ifdef __cplusplus
}
#endif

#endif
