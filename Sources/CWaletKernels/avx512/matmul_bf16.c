// Products of BF16 weights with activations rounded to BF16, by the CPU's dot products of BF16 pairs: weights go from
// memory into them as they are. (With many tokens they are no faster than fp32's, whose weights are unpacked once.)
//
// Every product y[t, r] is 16 running sums over the columns in their order, each of the pairs that fall to its lane,
// folded at the end, wherever row and token lie in a tile. So a result does not depend on the batch or on the row range.
#if defined(__x86_64__)
#include "avx512.h"

#include "../internal/q8_row.h"

#undef WK_TARGET
#define WK_TARGET __attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")))
#define BF16 static inline __attribute__((always_inline, unused)) WK_TARGET

// Tokens whose sums are kept while the columns are walked tile by tile.
#define CHUNK_TOKENS 32
#define TILE_ROWS 8

WK_TARGET void wk_avx512_bf16_round(const float *x, int64_t cols, uint8_t *row) {
    int64_t c = 0;
    for (; c + 16 <= cols; c += 16) {
        _mm256_storeu_si256((__m256i *)(row + 2 * c), (__m256i)_mm512_cvtneps_pbh(_mm512_loadu_ps(x + c)));
    }
    if (c < cols) {
        const __mmask16 tail = tail_mask(cols - c);
        const __m256i rounded = (__m256i)_mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(tail, x + c));
        _mm256_mask_storeu_epi16(row + 2 * c, tail, rounded);
    }
}

BF16 __m512bh load_pairs(const uint8_t *p) { return (__m512bh)_mm512_loadu_si512(p); }

// What is to come of the matrix is fetched ahead, with every step as much as it takes: the next tile of rows into the L1
// cache, the one after it into L2; in a stream for every four rows. A row is often a page, where the hardware's own
// prefetch stops.
typedef struct bf16_ahead {
    const uint8_t *next; // the next tile of rows; NULL for nothing
    int64_t further;     // from there to the tile after it
} bf16_ahead;

BF16 void fetch_ahead(const int rows, const bf16_ahead *ahead, int64_t w_stride, int64_t at) {
    WK_UNROLL for (int i = 0; i < rows; i++) {
        const uint8_t *p = ahead->next + i / 4 * 4 * w_stride + 4 * at + 64 * (i % 4);
        __builtin_prefetch(p, 0, 3);
        __builtin_prefetch(p + ahead->further, 0, 2);
    }
}

// sums[i * CHUNK_TOKENS + j] += row i * token j over columns c..<c + width, which are a multiple of 32.
BF16 void dot_tile(const int rows, const int tokens, const uint8_t *w, int64_t w_stride, const uint8_t *const *x,
                   int64_t c, int64_t width, const bf16_ahead *ahead, wk_vec *sums) {
    wk_vec a[TILE_ROWS][3];
    const uint8_t *xs[3];
    WK_UNROLL for (int j = 0; j < tokens; j++) xs[j] = x[j] + 2 * c;
    WK_UNROLL for (int i = 0; i < rows; i++) {
        WK_UNROLL for (int j = 0; j < tokens; j++) a[i][j] = sums[i * CHUNK_TOKENS + j];
    }
    for (int64_t k = 0; k < 2 * width; k += 64) {
        __m512bh xv[3];
        if (ahead->next) fetch_ahead(rows, ahead, w_stride, 2 * c + k);
        WK_UNROLL for (int j = 0; j < tokens; j++) xv[j] = load_pairs(xs[j] + k);
        WK_UNROLL for (int i = 0; i < rows; i++) {
            const __m512bh wv = load_pairs(w + i * w_stride + k);
            WK_UNROLL for (int j = 0; j < tokens; j++) a[i][j] = _mm512_dpbf16_ps(a[i][j], wv, xv[j]);
        }
    }
    WK_UNROLL for (int i = 0; i < rows; i++) {
        WK_UNROLL for (int j = 0; j < tokens; j++) sums[i * CHUNK_TOKENS + j] = a[i][j];
    }
}

BF16 void multiply_rows(const int rows, const wk_matrix *m, int64_t r, const uint8_t *const *x, int64_t n, float *y,
                        int64_t y_stride, int64_t row_end) {
    const uint8_t *w = m->data + r * m->row_bytes;
    for (int64_t t0 = 0; t0 < n; t0 += CHUNK_TOKENS) {
        const int64_t chunk = n - t0 < CHUNK_TOKENS ? n - t0 : CHUNK_TOKENS;
        wk_vec sums[TILE_ROWS * CHUNK_TOKENS];
        for (int i = 0; i < rows; i++) {
            for (int64_t t = 0; t < chunk; t++) sums[i * CHUNK_TOKENS + t] = vec_zero();
        }
        for (int64_t c = 0; c < m->cols; c += WK_TILE_COLS) {
            const int64_t width = m->cols - c < WK_TILE_COLS ? m->cols - c : WK_TILE_COLS;
            bf16_ahead ahead = {t0 == 0 && r + 2 * rows <= row_end ? w + rows * m->row_bytes : NULL,
                                r + 3 * rows <= row_end ? rows * m->row_bytes : 0};
            int64_t t = 0;
#define DOT(tokens) dot_tile(rows, tokens, w + 2 * c, m->row_bytes, x + t0 + t, c, width, &ahead, sums + t)
            for (; t + 3 <= chunk; t += 3) {
                DOT(3);
                ahead.next = NULL;
            }
            if (chunk - t == 2) DOT(2);
            if (chunk - t == 1) DOT(1);
#undef DOT
        }
        for (int i = 0; i < rows; i++) {
            for (int64_t t = 0; t < chunk; t++) y[(t0 + t) * y_stride + i] = vec_sum(sums[i * CHUNK_TOKENS + t]);
        }
    }
}

// Tokens are taken in slabs, so that their rows' addresses fit the stack.
WK_TARGET void wk_avx512_bf16_matmul(const wk_matrix *m, int64_t row_begin, int64_t row_end, const uint8_t *q8,
                                     const int32_t *token_rows, int64_t n, float *y, int64_t y_stride) {
    enum { SLAB = 8 * CHUNK_TOKENS };
    const int64_t row_bytes = wk_q8_row_bytes(m->cols), offset = wk_q8_bf16(m->cols);
    const uint8_t *x[SLAB];
    for (int64_t t = 0; t < n; t += SLAB, y += SLAB * y_stride) {
        const int64_t count = n - t < SLAB ? n - t : SLAB;
        for (int64_t j = 0; j < count; j++) x[j] = wk_q8_token(q8, token_rows, t + j, row_bytes) + offset;
        int64_t r = row_begin;
        for (; r + 8 <= row_end; r += 8) multiply_rows(8, m, r, x, count, y + (r - row_begin), y_stride, row_end);
        for (; r + 4 <= row_end; r += 4) multiply_rows(4, m, r, x, count, y + (r - row_begin), y_stride, row_end);
        for (; r < row_end; r++) multiply_rows(1, m, r, x, count, y + (r - row_begin), y_stride, row_end);
    }
}

#endif
