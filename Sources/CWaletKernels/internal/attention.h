// What the attention kernels of all sets share.
#ifndef WALET_ATTENTION_H
#define WALET_ATTENTION_H

#include "kernel_table.h"

// Floats before the results in a query's state: the largest score, and the sum of weights.
#define WK_ATTENTION_STATE 16

typedef struct wk_grouped_tile {
    const uint8_t *const *pages;
    int64_t key_offset, value_offset; // bytes from a page's begin to the head's keys and values in the layer
    int64_t head_size, value_size;
    int64_t queries;
    const void *packed;     // [queries][head_size], scaled: BF16, or floats rounded to it
    const int64_t *limits;  // positions that each query sees
} wk_grouped_tile;

typedef struct wk_latent_tile {
    const uint8_t *const *pages;
    int64_t offset; // bytes to the layer's rows
    int64_t width, latent, heads;
    const void *packed; // scaled: BF16, [width / 2][lanes][2], or floats rounded to it, [width][lanes]
    float *rows;        // room for a page's rows as floats
} wk_latent_tile;

// begin is a multiple of a page. A state of grouped attention is [queries][WK_ATTENTION_STATE + value_size]; of latent
// attention, largest scores and sums of weights, [lanes] each, and results, [lanes][latent].
typedef struct wk_attention_kernels {
    int lanes;   // heads of latent attention
    bool floats; // queries are packed as floats
    void (*grouped_split)(const wk_grouped_tile *tile, int64_t begin, int64_t end, float *state);
    void (*latent_split)(const wk_latent_tile *tile, int64_t begin, int64_t end, float *state);
} wk_attention_kernels;

extern const wk_attention_kernels wk_generic_attention;
#if defined(__x86_64__)
extern const wk_attention_kernels wk_avx2_attention, wk_avx512_attention, wk_avx512_bf16_attention;
#endif
#if defined(__aarch64__)
extern const wk_attention_kernels wk_neon_attention;
#endif

// Those of the set in use.
const wk_attention_kernels *wk_attention_in_use(void);

#endif
