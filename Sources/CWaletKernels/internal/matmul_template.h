// Matrix products for any width of vector. A file of an instruction set defines these and then includes this one:
//
//   WK_KERNELS      the set's row of the table
//   WK_TARGET       the function attribute that enables the set
//   WK_LANES        floats in a vector
//   WK_TILE_ROWS    rows of the register tile, 4 or 8: 3 * rows sums and 4 operands must fit the registers
//   wk_vec          a vector, with vec_zero, vec_set1, vec_load, vec_load_tail, vec_store, vec_store_tail, vec_fma and
//                   vec_sum; loads take any address
//   single_token    (matrix) -> a function that multiplies four rows by one token straight from their packing, or NULL;
//                   the function returns false where it cannot
//   prepare_token   (matrix, x, space) -> x as that function wants it, in `space` if it differs
//
// Every product y[t, r] is one vector of WK_LANES running sums over the columns in their order, folded at the end,
// wherever row and token lie in a tile. That makes a result independent of the batch and of the row range.
#include "kernel_table.h"

#define WK_INLINE static inline __attribute__((always_inline)) WK_TARGET

// Tokens whose running sums are kept while the columns are walked tile by tile, so that a tile of weights stays in L1.
#define WK_CHUNK_TOKENS 32

// sums[i * WK_CHUNK_TOKENS + j] += w row i * x[j], lane by lane. rows and tokens are constants where this is inlined:
// the loops unroll and the sums stay in registers. Row i of the weights is at w + i * w_stride bytes.
WK_INLINE void accumulate(const int rows, const int tokens, const char *w, int64_t w_stride, const float *x,
                          int64_t x_stride, int64_t width, wk_vec *sums) {
    wk_vec a[WK_TILE_ROWS][3], xv[3];
    WK_UNROLL for (int i = 0; i < rows; i++) {
        WK_UNROLL for (int j = 0; j < tokens; j++) a[i][j] = sums[i * WK_CHUNK_TOKENS + j];
    }
    int64_t c = 0;
    for (; c + WK_LANES <= width; c += WK_LANES) {
        WK_UNROLL for (int j = 0; j < tokens; j++) xv[j] = vec_load(x + j * x_stride + c);
        WK_UNROLL for (int i = 0; i < rows; i++) {
            wk_vec wv = vec_load(w + i * w_stride + c * 4);
            WK_UNROLL for (int j = 0; j < tokens; j++) a[i][j] = vec_fma(wv, xv[j], a[i][j]);
        }
    }
    if (c < width) {
        WK_UNROLL for (int j = 0; j < tokens; j++) xv[j] = vec_load_tail(x + j * x_stride + c, width - c);
        WK_UNROLL for (int i = 0; i < rows; i++) {
            wk_vec wv = vec_load_tail(w + i * w_stride + c * 4, width - c);
            WK_UNROLL for (int j = 0; j < tokens; j++) a[i][j] = vec_fma(wv, xv[j], a[i][j]);
        }
    }
    WK_UNROLL for (int i = 0; i < rows; i++) {
        WK_UNROLL for (int j = 0; j < tokens; j++) sums[i * WK_CHUNK_TOKENS + j] = a[i][j];
    }
}

// All tokens of a chunk against one tile of weights.
WK_INLINE void accumulate_tokens(const int rows, const char *w, int64_t w_stride, const float *x, int64_t x_stride,
                                 int64_t n, int64_t width, wk_vec *sums) {
    int64_t t = 0;
    for (; t + 3 <= n; t += 3) accumulate(rows, 3, w, w_stride, x + t * x_stride, x_stride, width, sums + t);
    if (n - t == 2) accumulate(rows, 2, w, w_stride, x + t * x_stride, x_stride, width, sums + t);
    if (n - t == 1) accumulate(rows, 1, w, w_stride, x + t * x_stride, x_stride, width, sums + t);
}

// `rows` rows from row r on. The scratch is tile by tile, and in a tile row by row: rows as far apart as whole rows are
// would often fall on the same sets of the L1 cache.
WK_INLINE void matmul_rows(const int rows, const wk_matrix *m, int64_t r, const float *x, int64_t x_stride, int64_t n,
                           float *y, int64_t y_stride, float *scratch) {
    const wk_dequantize_fn dequantize = WK_KERNELS.dequantize[m->packing];
    wk_vec sums[WK_TILE_ROWS * WK_CHUNK_TOKENS];
    for (int64_t t0 = 0; t0 < n; t0 += WK_CHUNK_TOKENS) {
        int64_t chunk = n - t0 < WK_CHUNK_TOKENS ? n - t0 : WK_CHUNK_TOKENS;
        for (int i = 0; i < rows; i++) {
            for (int64_t t = 0; t < chunk; t++) sums[i * WK_CHUNK_TOKENS + t] = vec_zero();
        }
        for (int64_t c = 0; c < m->cols; c += WK_TILE_COLS) {
            int64_t width = m->cols - c < WK_TILE_COLS ? m->cols - c : WK_TILE_COLS;
            const char *w;
            int64_t w_stride;
            if (m->packing == WK_F32) {
                w = (const char *)m->data + r * m->row_bytes + c * 4;
                w_stride = m->row_bytes;
            } else {
                // With one chunk a tile is used once, and one tile's worth of scratch stays in L1.
                float *tile = n > WK_CHUNK_TOKENS ? scratch + c * rows : scratch;
                if (t0 == 0) {
                    for (int i = 0; i < rows; i++) dequantize(m, r + i, c, c + width, tile + i * width);
                }
                w = (const char *)tile;
                w_stride = width * 4;
            }
            accumulate_tokens(rows, w, w_stride, x + t0 * x_stride + c, x_stride, chunk, width, sums);
        }
        for (int i = 0; i < rows; i++) {
            for (int64_t t = 0; t < chunk; t++) y[(t0 + t) * y_stride + i] = vec_sum(sums[i * WK_CHUNK_TOKENS + t]);
        }
    }
}

static WK_TARGET void matmul(const wk_matrix *m, int64_t row_begin, int64_t row_end, const float *x, int64_t x_stride,
                             int64_t n, float *y, int64_t y_stride, float *scratch) {
    int64_t r = row_begin;
    const single_token_fn multiply = n == 1 ? single_token(m) : NULL;
    // A tile of four rows, should a function return false, takes the front half of the scratch.
    const float *prepared = multiply ? prepare_token(m, x, scratch + wk_matmul_scratch(m->cols) / 2) : NULL;
    for (; multiply && r + 4 <= row_end; r += 4) {
        wk_vec sums[4];
        if (multiply(m, r, prepared, sums)) {
            for (int i = 0; i < 4; i++) y[r - row_begin + i] = vec_sum(sums[i]);
        } else {
            matmul_rows(4, m, r, x, x_stride, n, y + (r - row_begin), y_stride, scratch);
        }
    }
#if WK_TILE_ROWS >= 8
    for (; r + 8 <= row_end; r += 8) matmul_rows(8, m, r, x, x_stride, n, y + (r - row_begin), y_stride, scratch);
#endif
    for (; r + 4 <= row_end; r += 4) matmul_rows(4, m, r, x, x_stride, n, y + (r - row_begin), y_stride, scratch);
    for (; r < row_end; r++) matmul_rows(1, m, r, x, x_stride, n, y + (r - row_begin), y_stride, scratch);
}

// y[j] += sum over i of x[j][i] * w row i, one row after the other for each column.
WK_INLINE void accumulate_transposed(const int rows, const int tokens, const char *w, int64_t w_stride, const float *x,
                                     int64_t x_stride, int64_t width, float *y, int64_t y_stride) {
    wk_vec xv[WK_TILE_ROWS][2], yv[2];
    WK_UNROLL for (int i = 0; i < rows; i++) {
        WK_UNROLL for (int j = 0; j < tokens; j++) xv[i][j] = vec_set1(x[j * x_stride + i]);
    }
    int64_t c = 0;
    for (; c + WK_LANES <= width; c += WK_LANES) {
        WK_UNROLL for (int j = 0; j < tokens; j++) yv[j] = vec_load(y + j * y_stride + c);
        WK_UNROLL for (int i = 0; i < rows; i++) {
            wk_vec wv = vec_load(w + i * w_stride + c * 4);
            WK_UNROLL for (int j = 0; j < tokens; j++) yv[j] = vec_fma(wv, xv[i][j], yv[j]);
        }
        WK_UNROLL for (int j = 0; j < tokens; j++) vec_store(y + j * y_stride + c, yv[j]);
    }
    if (c < width) {
        WK_UNROLL for (int j = 0; j < tokens; j++) yv[j] = vec_load_tail(y + j * y_stride + c, width - c);
        WK_UNROLL for (int i = 0; i < rows; i++) {
            wk_vec wv = vec_load_tail(w + i * w_stride + c * 4, width - c);
            WK_UNROLL for (int j = 0; j < tokens; j++) yv[j] = vec_fma(wv, xv[i][j], yv[j]);
        }
        WK_UNROLL for (int j = 0; j < tokens; j++) vec_store_tail(y + j * y_stride + c, yv[j], width - c);
    }
}

WK_INLINE void matmul_transposed_rows(const int rows, const wk_matrix *m, int64_t r, const float *x, int64_t x_stride,
                                      int64_t n, float *y, int64_t y_stride, float *scratch) {
    const wk_dequantize_fn dequantize = WK_KERNELS.dequantize[m->packing];
    for (int64_t c = 0; c < m->cols; c += WK_TILE_COLS) {
        int64_t width = m->cols - c < WK_TILE_COLS ? m->cols - c : WK_TILE_COLS, w_stride = width * 4;
        const char *w = (const char *)scratch;
        if (m->packing == WK_F32) {
            w = (const char *)m->data + r * m->row_bytes + c * 4;
            w_stride = m->row_bytes;
        } else {
            for (int i = 0; i < rows; i++) dequantize(m, r + i, c, c + width, scratch + i * width);
        }
        int64_t t = 0;
        float *yt = y + c;
        for (; t + 2 <= n; t += 2, yt += 2 * y_stride) {
            accumulate_transposed(rows, 2, w, w_stride, x + t * x_stride, x_stride, width, yt, y_stride);
        }
        if (t < n) accumulate_transposed(rows, 1, w, w_stride, x + t * x_stride, x_stride, width, yt, y_stride);
    }
}

static WK_TARGET void matmul_transposed(const wk_matrix *m, int64_t row_begin, int64_t row_end, const float *x,
                                        int64_t x_stride, int64_t n, float *y, int64_t y_stride, float *scratch) {
    for (int64_t t = 0; t < n; t++) memset(y + t * y_stride, 0, (size_t)m->cols * sizeof(float));
    int64_t r = row_begin;
#if WK_TILE_ROWS >= 8
    for (; r + 8 <= row_end; r += 8) {
        matmul_transposed_rows(8, m, r, x + (r - row_begin), x_stride, n, y, y_stride, scratch);
    }
#endif
    for (; r + 4 <= row_end; r += 4) {
        matmul_transposed_rows(4, m, r, x + (r - row_begin), x_stride, n, y, y_stride, scratch);
    }
    for (; r < row_end; r++) {
        matmul_transposed_rows(1, m, r, x + (r - row_begin), x_stride, n, y, y_stride, scratch);
    }
}
