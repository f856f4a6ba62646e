// Tiles of unpacked weights for q8_template.h: a block is its words and then its scales, as q8_dot and multiply_block take
// them.
//
// The tokens of a slab are copied into the order in which they are multiplied, so that they stream by in one piece: block
// after block, in each the parts of all tokens in the first plane, then those in the second plane. So only tokens with a
// part there cost more. A part is a line of the cache: a block's values and its meta.
enum { TILE_STRIDE = WK_Q8_TILE_VECTORS };
WK_INLINE int vectors_of_tile(const q8_kind kind) { return vectors_of(kind); }
WK_INLINE int tiles_of(const q8_kind kind) {
    (void)kind;
    return WK_Q8_TILES;
}

WK_INLINE void store_block(const q8_kind kind, wk_words *out, const wk_words *w, const wk_vec *scales) {
    WK_UNROLL for (int i = 0; i < 8; i++) w_store(out + i, w[i]);
    WK_UNROLL for (int i = 0; i < vectors_of(kind) - 8; i++) f_store((float *)(out + 8 + i), scales[i]);
}

typedef struct q8_part {
    uint8_t values[32];
    wk_q8_meta meta; // instead of seams, which tiles have no use for: where the token's sums are, in floats
} q8_part;
_Static_assert(sizeof(q8_part) == 64, "a line of the cache");
enum { WHERE_SUMS_ARE = offsetof(q8_part, meta) + offsetof(wk_q8_meta, seams) };

typedef struct q8_tokens {
    q8_part *parts;
    int64_t room;    // parts from a block's first to the next block's
    int32_t *counts; // of each block's parts
    int64_t count;
} q8_tokens;

WK_INLINE void store_part(q8_part *part, const uint8_t *values, const uint8_t *meta, uint32_t sums_at) {
    __builtin_memcpy_inline(part->values, values, sizeof part->values);
    __builtin_memcpy_inline(&part->meta, meta, sizeof part->meta);
    memcpy((uint8_t *)part + WHERE_SUMS_ARE, &sums_at, sizeof sums_at);
}

WK_INLINE void prepare_tokens(const q8_kind kind, int64_t cols, const uint8_t *q8, const int32_t *token_rows,
                              int64_t first, int64_t count, float *scratch, q8_tokens *tokens) {
    const int64_t row_bytes = wk_q8_row_bytes(cols), blocks = cols / 32, plane = wk_q8_plane(cols);
    const int64_t values = kind.deinterleaved ? wk_q8_deinterleaved(cols) : 0, metas = wk_q8_metas(cols);
    const int64_t room = 2 * count + 1; // no power of two, whose lines would share a place in the cache
    q8_part *const parts = (q8_part *)scratch;
    int32_t *const counts = (int32_t *)(parts + blocks * room);
    *tokens = (q8_tokens){.parts = parts, .room = room, .counts = counts, .count = count};
    for (int64_t b = 0; b < blocks; b++) counts[b] = (int32_t)count;
    for (int64_t t = 0; t < count; t++) {
        const uint8_t *row = wk_q8_token(q8, token_rows, first + t, row_bytes), *fine = row + plane;
        const uint32_t sums_at = (uint32_t)t * (WK_Q8_TILES * WK_LANES);
        for (int64_t b = 0; b < blocks; b++) {
            store_part(parts + b * room + t, row + values + 32 * b, row + metas + 32 * b, sums_at);
        }
        for (int64_t b = 0; b < blocks; b += 8) {
            for (uint32_t mask = row[wk_q8_masks(cols) + b / 8]; mask; mask &= mask - 1) {
                const int64_t k = b + __builtin_ctz(mask);
                store_part(parts + k * room + counts[k]++, fine + values + 32 * k, fine + metas + 32 * k, sums_at);
            }
        }
    }
}

WK_INLINE void multiply_parts(const int tiles, const int count, const q8_kind kind, const wk_words *w,
                              const wk_vec scales[][6], const q8_part *parts, float *acc) {
    static const int64_t in_order[8] = {0, 4, 8, 12, 16, 20, 24, 28};
    const uint8_t *a[WK_Q8_TOKENS];
    float *sums_at[WK_Q8_TOKENS];
    WK_UNROLL for (int t = 0; t < count; t++) {
        a[t] = parts[t].values;
        sums_at[t] = acc + wk_load_u32(a[t] + WHERE_SUMS_ARE);
    }
    multiply_block(tiles, count, kind, w, scales, a, in_order, offsetof(q8_part, meta), sums_at);
}

// Blocks block..<block + blocks, a chunk, in `tiles` tiles times all tokens.
WK_INLINE void multiply_tokens(const int tiles, const q8_kind kind, const wk_words *w, const q8_tokens *tokens,
                               int64_t block, int64_t blocks, float *acc) {
    // Sums of halves take twice the registers.
    const bool halves = kind.form == HALVES || kind.form == HALVES_AND_MINIMA;
    const int together = halves && WK_Q8_TOKENS > 4 ? WK_Q8_TOKENS / 2 : WK_Q8_TOKENS;
    for (int64_t b = block; b < block + blocks; b++, w += vectors_of(kind)) {
        wk_vec scales[WK_Q8_TILES][6];
        FOR_TILES {
            WK_UNROLL for (int k = 0; k < vectors_of(kind) - 8; k++) {
                scales[i][k] = f_load((const float *)(w + i * WK_Q8_TILE_VECTORS + 8 + k));
            }
        }
        const q8_part *part = tokens->parts + b * tokens->room;
        int64_t left = tokens->counts[b];
#define MULTIPLY(n) (multiply_parts(tiles, n, kind, w, (const wk_vec(*)[6])scales, part, acc), part += (n), left -= (n))
        while (left >= together) MULTIPLY(together);
        if (together > 4 && left >= 4) MULTIPLY(4);
        if (together > 2 && left >= 2) MULTIPLY(2);
        if (left >= 1) MULTIPLY(1);
#undef MULTIPLY
    }
}
