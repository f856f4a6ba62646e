// A token's activations as int8, as wk_q8_quantize leaves them and the kernels read them. A row holds two planes, each
//   [cols] the values in their order,
//   [cols] the values again, in each block of 32 first the even ones and then the odd (for INT4, whose byte j holds
//          values 2j and 2j + 1),
//   [cols / 32] a wk_q8_meta for each block,
// and a bit for each block that has a part in the second plane: what rounding to the first left of it, in steps of its
// own. Elsewhere the second plane's metas are zeros and its values undefined. Where the CPU multiplies BF16 there follow
//   [cols] the values rounded to BF16,
// for weights of that type.
#ifndef WALET_Q8_ROW_H
#define WALET_Q8_ROW_H

#include "kernel_table.h"

#include <stddef.h>

typedef struct wk_q8_meta {
    float scale;
    float scaled_sum;             // scale * sum of the values, for packings with a minimum
    int32_t negative_8_sums;      // -8 * sum of the values: what a weight's offset of 8 adds too much
    int32_t negative_half_sums[2]; // -sum of values 0..<16 and 16..<32
    // Every second block of Q4_0 and Q8_0 begins two bytes off the words that kernels load; they join its first and its
    // last two values into one word. Here are the values that face it: 14, 15, 0, 1; 30, 31, 16, 17; 30, 31, 0, 1.
    uint8_t seams[12];
} wk_q8_meta;
_Static_assert(sizeof(wk_q8_meta) == 32, "a block's meta is as long as its values");

#define WK_Q8_SEAM(i) ((int64_t)offsetof(wk_q8_meta, seams) + 4 * (i))

// Blocks whose largest magnitude is below this are zeros: 127 / magnitude is finite above it.
#define WK_Q8_SMALLEST 0x1p-100f

// Where in a row the parts begin.
static inline int64_t wk_q8_deinterleaved(int64_t cols) { return (cols + 31) / 32 * 32; }
static inline int64_t wk_q8_metas(int64_t cols) { return 2 * wk_q8_deinterleaved(cols); }
static inline int64_t wk_q8_plane(int64_t cols) {
    return (wk_q8_metas(cols) + (cols + 31) / 32 * (int64_t)sizeof(wk_q8_meta) + 63) / 64 * 64;
}
static inline int64_t wk_q8_masks(int64_t cols) { return 2 * wk_q8_plane(cols); }
// Two bytes for every 16 blocks, or for what is left of them.
static inline int64_t wk_q8_mask_bytes(int64_t cols) { return (cols + 511) / 512 * 2; }
static inline int64_t wk_q8_bf16(int64_t cols) { return (wk_q8_masks(cols) + wk_q8_mask_bytes(cols) + 63) / 64 * 64; }

// A block is coarse where its largest magnitude is this many times the root mean square of its row.
#define WK_Q8_COARSE 4.0f

// Columns and tokens that the tiled products work on at a time, and the scratch they need: for 32 rows a tile of bytes
// with up to 6 floats a row and block, and the running sums of all tokens; then the tokens of a slab in an order of the
// set's own. The generic set needs 16 floats a block, which is less.
#define WK_Q8_CHUNK_BLOCKS 16
#define WK_Q8_SLAB_TOKENS 128
#define WK_Q8_TILE_VECTORS (WK_Q8_CHUNK_BLOCKS * (8 + 6)) // each as long as the tile has rows
#define WK_Q8_TILE_FLOATS (32 * (WK_Q8_TILE_VECTORS + WK_Q8_SLAB_TOKENS))
// So many tokens are a slab: its values and metas fill the L2 cache, but it has at least 32 and at most 128 tokens.
static inline int64_t wk_q8_slab(int64_t cols) {
    const int64_t slab = (512 << 10) / (2 * cols) / 8 * 8;
    return slab < 32 ? 32 : slab > WK_Q8_SLAB_TOKENS ? WK_Q8_SLAB_TOKENS : slab;
}
// For a block of a token 16 floats, its values and what belongs to them, for each of the two planes; and some for every
// block. Never less than for fewer columns.
static inline int64_t wk_q8_scratch(int64_t cols) {
    const int64_t blocks = (cols + 31) / 32, most = WK_Q8_SLAB_TOKENS * blocks, cached = (256 << 10) / 32,
                  least = 32 * blocks, values = most < cached ? most : least > cached ? least : cached;
    return WK_Q8_TILE_FLOATS + 32 * values + 64 * (blocks + WK_Q8_CHUNK_BLOCKS);
}
// So many tokens, as a batch of decoding sequences has, are few: reading the weights takes longer than multiplying. A set
// may know better.
#ifndef WK_Q8_MOST_FEW
#define WK_Q8_MOST_FEW 8
#endif

#if defined(__x86_64__)
void wk_avx512_bf16_round(const float *x, int64_t cols, uint8_t *row);
void wk_avx512_bf16_matmul(const wk_matrix *matrix, int64_t row_begin, int64_t row_end, const uint8_t *q8,
                           const int32_t *token_rows, int64_t n, float *y, int64_t y_stride);
#endif

extern _Atomic bool wk_q8_without_dot_products;

static inline const uint8_t *wk_q8_token(const uint8_t *q8, const int32_t *token_rows, int64_t t, int64_t row_bytes) {
    return q8 + (token_rows ? token_rows[t] : t) * row_bytes;
}

static inline int32_t wk_q8_sum_of_squares(const uint8_t *values) {
    int32_t sum = 0;
    for (int i = 0; i < 32; i++) sum += (int32_t)(int8_t)values[i] * (int8_t)values[i];
    return sum;
}

// What a block's meta repeats of its values.
static inline void wk_q8_add_seams(const uint8_t *values, wk_q8_meta *meta) {
    memcpy(meta->seams, values + 14, 2);
    memcpy(meta->seams + 2, values, 2);
    memcpy(meta->seams + 4, values + 30, 2);
    memcpy(meta->seams + 6, values + 16, 2);
    memcpy(meta->seams + 8, values + 30, 2);
    memcpy(meta->seams + 10, values, 2);
}

#endif
