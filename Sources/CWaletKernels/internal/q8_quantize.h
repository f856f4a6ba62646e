// Rows of activations to int8, around an instruction set's `quantize_block(x, row, cols, block)`, which packs 32 floats
// into one plane of a row and returns the sum of the squares of what it packed. A file of an instruction set defines that
// and WK_TARGET, and then includes this one.
#include "q8_row.h"

// What quantize_block left of 32 floats.
static inline WK_TARGET void q8_residual(const float *x, const uint8_t *row, int64_t block, float scale, float *rest) {
    const int8_t *values = (const int8_t *)row + 32 * block;
    for (int i = 0; i < 32; i++) rest[i] = __builtin_fmaf(-scale, (float)values[i], x[i]);
}

// One row. A block whose largest value stands far above the row's root mean square has steps that are coarse for all
// its other values: what it left is packed into the second plane. Which blocks these are depends on this row alone.
static inline WK_TARGET void q8_quantize_row(const float *x, int64_t cols, uint8_t *row) {
#pragma STDC FP_CONTRACT OFF
    const int64_t blocks = (cols + 31) / 32, whole = cols / 32;
    uint8_t *fine = row + wk_q8_plane(cols), *masks = row + wk_q8_masks(cols);
    const wk_q8_meta *metas = (const wk_q8_meta *)(row + wk_q8_metas(cols));
    float last[32] = {0};
    if (whole < blocks) memcpy(last, x + 32 * whole, (size_t)(cols % 32) * sizeof(float));
    float energy = 0;
    for (int64_t block = 0; block < blocks; block++) {
        const int32_t squares = quantize_block(block < whole ? x + 32 * block : last, row, cols, block);
        energy += metas[block].scale * metas[block].scale * (float)squares;
    }
    // (127 * scale)^2 against that of the row; false for a row with a NaN.
    const float limit = energy * (WK_Q8_COARSE * WK_Q8_COARSE / (127.0f * 127.0f)) / (float)cols;
    memset(masks, 0, (size_t)wk_q8_mask_bytes(cols));
    for (int64_t block = 0; block < blocks; block++) {
        const float scale = metas[block].scale;
        if (scale * scale > limit) {
            float rest[32];
            q8_residual(block < whole ? x + 32 * block : last, row, block, scale, rest);
            quantize_block(rest, fine, cols, block);
            masks[block / 8] = (uint8_t)(masks[block / 8] | 1 << block % 8);
        } else {
            memset(fine + wk_q8_metas(cols) + 32 * block, 0, sizeof(wk_q8_meta));
        }
    }
}

static WK_TARGET void q8_quantize(const float *x, int64_t x_stride, int64_t cols, int64_t n, uint8_t *q8) {
    const int64_t row_bytes = wk_q8_row_bytes(cols);
    for (int64_t t = 0; t < n; t++) q8_quantize_row(x + t * x_stride, cols, q8 + t * row_bytes);
}
