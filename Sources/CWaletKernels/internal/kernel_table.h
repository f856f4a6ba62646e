// One row of the table of instruction sets: what each set must provide.
#ifndef WALET_KERNEL_TABLE_H
#define WALET_KERNEL_TABLE_H

#include "../include/walet_kernels.h"
#include "numbers.h"

#if defined(__clang__)
#define WK_UNROLL _Pragma("clang loop unroll(full)")
#else
#define WK_UNROLL _Pragma("GCC unroll 17")
#endif

// Rows that are dequantized together; the scratch of wk_matmul holds as many.
#define WK_SCRATCH_ROWS 8
// Columns in a tile: a whole number of every packing's blocks. Tiles begin at multiples of it.
#define WK_TILE_COLS 512

// out[0..<col_end - col_begin] = row `row`, columns col_begin..<col_end, as floats. col_begin is a multiple of 256;
// col_end too, or it is the end of the row.
typedef void (*wk_dequantize_fn)(const wk_matrix *matrix, int64_t row, int64_t col_begin, int64_t col_end, float *out);

typedef struct wk_kernels {
    const char *name;
    wk_dequantize_fn dequantize[WK_PACKING_COUNT];
    void (*matmul)(const wk_matrix *matrix, int64_t row_begin, int64_t row_end, const float *x, int64_t x_stride,
                   int64_t n, float *y, int64_t y_stride, float *scratch);
    void (*matmul_transposed)(const wk_matrix *matrix, int64_t row_begin, int64_t row_end, const float *x,
                              int64_t x_stride, int64_t n, float *y, int64_t y_stride, float *scratch);
    void (*q8_quantize)(const float *x, int64_t x_stride, int64_t cols, int64_t n, uint8_t *q8);
    // The scratch is aligned to 64 bytes; the packing is one that wk_q8_supports.
    void (*q8_matmul)(const wk_matrix *matrix, int64_t row_begin, int64_t row_end, const uint8_t *q8,
                      const int32_t *token_rows, int64_t n, float *y, int64_t y_stride, float *scratch);
    const struct wk_attention_kernels *attention;
    float (*dot)(const float *a, const float *b, int64_t n);
    void (*axpy)(float a, const float *x, float *y, int64_t n);
    void (*add)(const float *x, float *y, int64_t n);
    void (*rms_norm)(const float *x, const float *weight, float epsilon, float *y, int64_t n);
    void (*silu_mul)(float *gate, const float *up, int64_t n);
    void (*softmax)(float *x, int64_t n);
    void (*rope_interleaved)(float *x, const float *cos, const float *sin, int64_t n_pairs);
    void (*rope_half)(float *x, const float *cos, const float *sin, int64_t n_pairs);
} wk_kernels;

extern const wk_kernels wk_kernels_generic;
#if defined(__x86_64__)
extern const wk_kernels wk_kernels_avx2;
extern const wk_kernels wk_kernels_avx512;
#endif
#if defined(__aarch64__)
extern const wk_kernels wk_kernels_neon;
#endif

// For sets that have no integer products of their own, and for matrices of few rows.
void wk_generic_q8_quantize(const float *, int64_t, int64_t, int64_t, uint8_t *);
void wk_generic_q8_matmul(const wk_matrix *, int64_t, int64_t, const uint8_t *, const int32_t *, int64_t, float *,
                          int64_t, float *);

// The generic dequantizers, which also serve other sets for what they have not vectorised.
void wk_generic_dequantize_f32(const wk_matrix *, int64_t, int64_t, int64_t, float *);
void wk_generic_dequantize_f16(const wk_matrix *, int64_t, int64_t, int64_t, float *);
void wk_generic_dequantize_bf16(const wk_matrix *, int64_t, int64_t, int64_t, float *);
void wk_generic_dequantize_q4_0(const wk_matrix *, int64_t, int64_t, int64_t, float *);
void wk_generic_dequantize_q4_1(const wk_matrix *, int64_t, int64_t, int64_t, float *);
void wk_generic_dequantize_q5_0(const wk_matrix *, int64_t, int64_t, int64_t, float *);
void wk_generic_dequantize_q5_1(const wk_matrix *, int64_t, int64_t, int64_t, float *);
void wk_generic_dequantize_q8_0(const wk_matrix *, int64_t, int64_t, int64_t, float *);
void wk_generic_dequantize_q2_k(const wk_matrix *, int64_t, int64_t, int64_t, float *);
void wk_generic_dequantize_q3_k(const wk_matrix *, int64_t, int64_t, int64_t, float *);
void wk_generic_dequantize_q4_k(const wk_matrix *, int64_t, int64_t, int64_t, float *);
void wk_generic_dequantize_q5_k(const wk_matrix *, int64_t, int64_t, int64_t, float *);
void wk_generic_dequantize_q6_k(const wk_matrix *, int64_t, int64_t, int64_t, float *);
void wk_generic_dequantize_iq4_nl(const wk_matrix *, int64_t, int64_t, int64_t, float *);
void wk_generic_dequantize_iq4_xs(const wk_matrix *, int64_t, int64_t, int64_t, float *);
void wk_generic_dequantize_mxfp4(const wk_matrix *, int64_t, int64_t, int64_t, float *);
void wk_generic_dequantize_int4(const wk_matrix *, int64_t, int64_t, int64_t, float *);
void wk_generic_dequantize_int8(const wk_matrix *, int64_t, int64_t, int64_t, float *);
void wk_generic_dequantize_f8_e4m3(const wk_matrix *, int64_t, int64_t, int64_t, float *);

// The bytes of the block that holds column `col` of row `row`, for blocks of `values` values in `bytes` bytes.
static inline const uint8_t *wk_block_at(const wk_matrix *m, int64_t row, int64_t col, int64_t values, int64_t bytes) {
    return m->data + row * m->row_bytes + col / values * bytes;
}

// Scale number `index` of a matrix whose scales are of type `packing`.
static inline float wk_scale(const uint8_t *scales, int64_t index, int32_t packing) {
    switch (packing) {
    case WK_BF16: return wk_float_from_bf16(wk_load_u16(scales + 2 * index));
    case WK_F16: return wk_float_from_f16(wk_load_u16(scales + 2 * index));
    default: return wk_load_f32(scales + 4 * index);
    }
}

// Where the scales of row `row` begin, as a number of scales.
static inline int64_t wk_scale_index(const wk_matrix *m, int64_t row) {
    return row / m->group_rows * m->scale_stride;
}

#endif
