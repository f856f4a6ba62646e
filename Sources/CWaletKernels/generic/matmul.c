// Matrix products, the readable way: a row is dequantized once and multiplied with every token.
#include "generic.h"

#pragma STDC FP_CONTRACT OFF

void wk_generic_matmul(const wk_matrix *m, int64_t row_begin, int64_t row_end, const float *x, int64_t x_stride,
                       int64_t n, float *y, int64_t y_stride, float *scratch) {
    wk_dequantize_fn dequantize = wk_kernels_generic.dequantize[m->packing];
    for (int64_t r = row_begin; r < row_end; r++) {
        dequantize(m, r, 0, m->cols, scratch);
        for (int64_t t = 0; t < n; t++) y[t * y_stride + (r - row_begin)] = wk_generic_dot(scratch, x + t * x_stride, m->cols);
    }
}

void wk_generic_matmul_transposed(const wk_matrix *m, int64_t row_begin, int64_t row_end, const float *x,
                                  int64_t x_stride, int64_t n, float *y, int64_t y_stride, float *scratch) {
    wk_dequantize_fn dequantize = wk_kernels_generic.dequantize[m->packing];
    for (int64_t t = 0; t < n; t++) memset(y + t * y_stride, 0, (size_t)m->cols * sizeof(float));
    for (int64_t r = row_begin; r < row_end; r++) {
        dequantize(m, r, 0, m->cols, scratch);
        for (int64_t t = 0; t < n; t++) wk_generic_axpy(x[t * x_stride + (r - row_begin)], scratch, y + t * y_stride, m->cols);
    }
}
