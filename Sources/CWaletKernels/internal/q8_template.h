// Products of int8 activations with packed weights for any width of vector: a lane is a row of the matrix, so that
// everything but the loads is written once, lane by lane. A file of an instruction set defines these and then includes
// this one:
//
//   WK_TARGET, WK_LANES   the function attribute that enables the set; rows that are worked on together
//   WK_Q8_TILES, WK_Q8_TOKENS   tiles of WK_LANES rows, and tokens, whose sums are kept in registers together
//   WK_Q8_BIASED          1 where 8-bit weights are multiplied as unsigned (the sums take off their offset of 128)
//   wk_vec, wk_words      vectors of WK_LANES floats and of as many 32-bit words
//   f_…                   on floats: zero, set1, load, store, mul, fma, cast (of the same bits), of_words (signed),
//                         set1_load (of a float in memory, at any address)
//   w_…                   on words: zero, set1, and, or, xor, shl, shr, sar, add, store, set1_load
//   w_join(low, high)     the low half of `low` and the high half of `high`
//   w_look_up(table, q)   each byte of q, below 16, as an index into the 16 bytes of the table
//   w_spread(bits)        in each word: 16 in byte 0, 1, 2, 3 where bit 0, 1, 2, 3 is set, else 0
//   f_of_f16(q)           the F16 numbers in the low halves
//   f_of_e8m0_half(e)     2^(e - 128)
//   w_load_rows(p, stride, out[4])     out[k], lane i: word k of the 16 bytes at p + i * stride
//   w_load_row_words(p, stride)        lane i: the word at p + i * stride
//   w_bytes_prepare(q)                 signed bytes as q8_dot wants 8-bit weights
//   q8_dot(tiles, tokens, bits, first, count, w, a, offsets, sums)
//       sums[i * tokens + t] += the products of the 4 bytes of w[i * WK_Q8_TILE_VECTORS + k] with those at
//       a[t] + offsets[k], k in first..<first + count. Weights are unsigned of 2 to 6 bits, or of 8 bits as prepared.
//       The sums are exact.
//   WK_Q8_PLANES_APART    optional: 1 to have code of its own for several tokens where no block of 8 has a second plane.
//                         Where registers are few, weights that a second plane may want again would leave them.
//   WK_Q8_TILE            optional: a file with tiles and tokens of its own, instead of those made of q8_dot
//
// The arithmetic, in the order of generic/q8.c, is in multiply_block alone. Few tokens are multiplied as the weights are
// unpacked; for many, chunks of the columns are unpacked into a tile that stays in the L1 cache.
#include "kernel_table.h"
#include "q8_row.h"

#ifdef __OPTIMIZE__

#ifndef WK_Q8_PLANES_APART
#define WK_Q8_PLANES_APART 0
#endif

#define WK_INLINE static inline __attribute__((always_inline, unused)) WK_TARGET

// Whether the packing's blocks are of 256 columns, so that rows have no rest.
WK_INLINE bool is_of_256(const int32_t packing) {
    return (packing >= WK_Q2_K && packing <= WK_Q6_K) || packing == WK_IQ4_XS;
}

// What a block of 32 columns has beside its bytes.
enum {
    ONE_SCALE,        // scale
    WITH_MINIMUM,     // scale, minimum
    HALVES,           // integer scales of 16 values each, as floats, and their scale
    HALVES_AND_MINIMA // the same, integer minima, and their (negative) scale
};

typedef struct q8_kind {
    int form;
    int bits;         // of a weight: 2 to 6, or 8 for signed bytes
    int offset_shift; // the weights' offset is 8 << offset_shift, or 1 << offset_shift for halves; -1 for none
    int deinterleaved; // the bytes face the second copy of the values
    int group_bytes;   // of 256 columns in a row
} q8_kind;

WK_INLINE q8_kind kind_of(const int32_t packing) {
    switch (packing) {
    case WK_Q4_0: return (q8_kind){ONE_SCALE, 4, 0, 0, 144};
    case WK_Q4_1: return (q8_kind){WITH_MINIMUM, 4, -1, 0, 160};
    case WK_Q5_0: return (q8_kind){ONE_SCALE, 5, 1, 0, 176};
    case WK_Q5_1: return (q8_kind){WITH_MINIMUM, 5, -1, 0, 192};
    case WK_Q2_K: return (q8_kind){HALVES_AND_MINIMA, 2, -1, 0, 84};
    case WK_Q3_K: return (q8_kind){HALVES, 3, 2, 0, 110};
    case WK_Q4_K: return (q8_kind){WITH_MINIMUM, 4, -1, 0, 144};
    case WK_Q5_K: return (q8_kind){WITH_MINIMUM, 5, -1, 0, 176};
    case WK_Q6_K: return (q8_kind){HALVES, 6, 5, 0, 210};
    case WK_INT4: return (q8_kind){ONE_SCALE, 4, 0, 1, 128};
    case WK_MXFP4: return (q8_kind){ONE_SCALE, 5, 1, 0, 136};
    default: break;
    }
    const int offset_shift = WK_Q8_BIASED ? 4 : -1, group_bytes = packing == WK_Q8_0     ? 272
                                                                  : packing == WK_INT8   ? 256
                                                                  : packing == WK_IQ4_NL ? 144
                                                                                         : 136;
    return (q8_kind){ONE_SCALE, 8, offset_shift, 0, group_bytes};
}

WK_INLINE int vectors_of(const q8_kind kind) {
    return 8 + (kind.form == ONE_SCALE ? 1 : kind.form == WITH_MINIMUM ? 2 : kind.form == HALVES ? 3 : 6);
}

// Running sums += block of tile i * block of token t, the sums at sums_at[t] + i * WK_LANES in memory. a[t] is at the
// block's values, its meta is meta_offset behind.
WK_INLINE void multiply_block(const int tiles, const int tokens, const q8_kind kind, const wk_words *w,
                              const wk_vec scales[][6], const uint8_t *const *a, const int64_t *offsets,
                              int64_t meta_offset, float *const *sums_at) {
#define META(t, field) (a[t] + meta_offset + offsetof(wk_q8_meta, field))
#define FOR_TOKENS WK_UNROLL for (int t = 0; t < tokens; t++)
#define FOR_TILES WK_UNROLL for (int i = 0; i < tiles; i++)
    wk_words sums[WK_Q8_TILES * WK_Q8_TOKENS];
    if (kind.form == ONE_SCALE || kind.form == WITH_MINIMUM) {
        FOR_TOKENS {
            wk_words start = w_zero();
            if (kind.offset_shift >= 0) start = w_shl(w_set1_load(META(t, negative_8_sums)), kind.offset_shift);
            FOR_TILES sums[i * tokens + t] = start;
        }
        q8_dot(tiles, tokens, kind.bits, 0, 8, w, a, offsets, sums);
        FOR_TOKENS FOR_TILES {
            float *at = sums_at[t] + i * WK_LANES;
            wk_vec scale = f_mul(scales[i][0], f_set1_load(META(t, scale)));
            wk_vec sum = f_fma(scale, f_of_words(sums[i * tokens + t]), f_load(at));
            if (kind.form == WITH_MINIMUM) sum = f_fma(scales[i][1], f_set1_load(META(t, scaled_sum)), sum);
            f_store(at, sum);
        }
        return;
    }
    // The products of integers below are integers that floats hold exactly: at most 128 * 16 * 32 * 127 a half.
    wk_vec halves[WK_Q8_TILES * WK_Q8_TOKENS];
    WK_UNROLL for (int half = 0; half < 2; half++) {
        FOR_TOKENS {
            wk_words start = w_zero();
            if (kind.offset_shift >= 0) {
                start = w_shl(w_set1_load(META(t, negative_half_sums) + 4 * half), kind.offset_shift);
            }
            FOR_TILES sums[i * tokens + t] = start;
        }
        q8_dot(tiles, tokens, kind.bits, 4 * half, 4, w, a, offsets, sums);
        FOR_TOKENS FOR_TILES {
            const int j = i * tokens + t;
            wk_vec sum = f_of_words(sums[j]);
            halves[j] = half == 0 ? f_mul(scales[i][0], sum) : f_fma(scales[i][1], sum, halves[j]);
        }
    }
    FOR_TOKENS {
        wk_vec scale = f_set1_load(META(t, scale));
        wk_vec low = f_of_words(w_set1_load(META(t, negative_half_sums)));
        wk_vec high = f_of_words(w_set1_load(META(t, negative_half_sums) + 4));
        FOR_TILES {
            float *at = sums_at[t] + i * WK_LANES;
            wk_vec sum = f_fma(f_mul(scales[i][2], scale), halves[i * tokens + t], f_load(at));
            if (kind.form == HALVES_AND_MINIMA) {
                wk_vec minima = f_fma(scales[i][4], high, f_mul(scales[i][3], low));
                sum = f_fma(f_mul(scales[i][5], scale), minima, sum); // +dmin, as the sums are negative
            }
            f_store(at, sum);
        }
    }
}

// Tiles: how a block lies in one; and q8_tokens: the tokens of a slab, as they are multiplied with a chunk of blocks in
// tiles. acc holds the running sums, WK_Q8_TILES tiles a token.
#ifdef WK_Q8_TILE
#include WK_Q8_TILE
#else
#include "q8_tile.h"
#endif

// Where the blocks of WK_LANES rows go: to the sums of a few tokens at once, or into a tile.
typedef struct q8_sink {
    const uint8_t *token[4]; // the values that the weights face, block 0; none for a tile
    int64_t meta;                    // from there to the meta
    const uint8_t *masks;            // the blocks in which a token has a part in the second plane,
    int64_t plane;                   // which is so far behind
    bool two_planes;                 // whether any of the blocks at hand may have one
    wk_vec acc[4];
    const uint8_t *ahead; // what to fetch as this group of blocks is multiplied,
    int64_t stream;       // the same for the next stream so many bytes on,
    int64_t further;      // the same for the tile after that so many bytes on,
    const uint8_t *scales_ahead; // and scales
    wk_words *tile; // of block first_block
    int64_t first_block;
} q8_sink;

// What is to come of the matrix is fetched ahead: the next tile of rows into the L1 cache, the one after it into L2; in a
// stream for every four rows rather than one in each row; and with every block a few lines, as misses in a burst would
// hold up the loads behind them. Measured with 16 rows of Q4_0, of the speed of reading: 58% without, 76% with one stream
// a tile ahead in bursts, 84% with one, 89% with four, 95% with four a tile and two tiles ahead.
enum { ROWS_OF_STREAM = 4, STREAMS = WK_LANES / ROWS_OF_STREAM };

WK_INLINE void fetch_ahead(const q8_kind kind, const q8_sink *sink, const int k) {
    const int lines = (ROWS_OF_STREAM * kind.group_bytes + 63) / 64;
    WK_UNROLL for (int i = 0; i < (lines + 7) / 8; i++) {
        const int line = k * lines / 8 + i;
        if (line >= (k + 1) * lines / 8) continue;
        WK_UNROLL for (int j = 0; j < STREAMS; j++) {
            const uint8_t *p = sink->ahead + j * sink->stream + 64 * line;
            __builtin_prefetch(p, 0, 3);
            __builtin_prefetch(p + sink->further, 0, 2);
        }
    }
}

// The orders in which the words of a block face the values.
enum { IN_ORDER, NIBBLE_SEAM, BYTE_SEAM };

WK_INLINE void emit(const int tokens, const q8_kind kind, q8_sink *sink, int64_t block, const int k, const int order,
                    const wk_words *w, const wk_vec *scales) {
    if (tokens) {
        const int64_t meta = sink->meta, seam0 = meta + WK_Q8_SEAM(0), seam1 = meta + WK_Q8_SEAM(1);
        const int64_t orders[3][8] = {{0, 4, 8, 12, 16, 20, 24, 28},
                                      {seam0, 2, 6, 10, seam1, 18, 22, 26},
                                      {meta + WK_Q8_SEAM(2), 2, 6, 10, 14, 18, 22, 26}};
        const uint8_t *a[4];
        float *sums_at[4];
        FOR_TOKENS {
            a[t] = sink->token[t] + 32 * (block + k);
            sums_at[t] = (float *)&sink->acc[t];
        }
        fetch_ahead(kind, sink, k);
        wk_vec copy[1][6];
        WK_UNROLL for (int i = 0; i < vectors_of(kind) - 8; i++) copy[0][i] = scales[i];
        const int fine = sink->two_planes ? sink->masks[(block + k) / 8] >> (block + k) % 8 & 1 : 0;
        for (int plane = 0; plane <= fine; plane++) {
            multiply_block(1, tokens, kind, w, (const wk_vec(*)[6])copy, a, orders[order], meta, sums_at);
            FOR_TOKENS a[t] += sink->plane;
        }
    } else {
        store_block(kind, sink->tile + (block + k - sink->first_block) * vectors_of_tile(kind), w, scales);
    }
}

// The functions below unpack `count` blocks, from number `block` on, of WK_LANES rows, the first row's at p and the
// other rows' at multiples of the stride behind. `room` blocks, 8 or 4, may be read there. Words are numbered from p.

// The word that begins at byte `at`, of words that begin at multiples of 4.
WK_INLINE wk_words word_at(const wk_words *q, const int at) {
    if (at % 4 == 0) return q[at / 4];
    return w_or(w_shr(q[at / 4], 8 * (at % 4)), w_shl(q[at / 4 + 1], 32 - 8 * (at % 4)));
}
WK_INLINE wk_words low_nibbles(wk_words q) { return w_and(q, w_set1(0x0f0f0f0f)); }
WK_INLINE wk_words high_nibbles(wk_words q) { return low_nibbles(w_shr(q, 4)); }
// One byte of each word.
WK_INLINE wk_words byte_of(wk_words q, const int i) { return w_and(w_shr(q, 8 * i), w_set1(0xff)); }

// The words that blocks first..<last of `bytes` bytes need and those before did not.
WK_INLINE void load_words(const uint8_t *p, int64_t stride, const int room, const int bytes, const int first,
                          const int last, wk_words *q) {
    const int begin = first == 0 ? 0 : (first * bytes - 1) / 16 + 1, end = (last * bytes - 1) / 16 + 1;
    WK_UNROLL for (int i = 0; i < 17; i++) {
        if (i < begin || i >= end) continue;
        // The last words may not fill 16 bytes.
        const int at = 16 * i + 16 > room * bytes ? room * bytes - 16 : 16 * i;
        w_load_rows(p + at, stride, q + at / 4);
    }
}

WK_INLINE void emit_nibbles(const int tokens, const int32_t packing, q8_sink *sink, int64_t block, const int k,
                            const int order, const wk_words q[4], const wk_vec *scales) {
    wk_words w[8];
    WK_UNROLL for (int i = 0; i < 4; i++) {
        w[i] = low_nibbles(q[i]);
        w[4 + i] = high_nibbles(q[i]);
    }
    if (packing == WK_IQ4_NL || packing == WK_IQ4_XS) {
        WK_UNROLL for (int i = 0; i < 8; i++) w[i] = w_bytes_prepare(w_look_up(wk_iq4_values, w[i]));
    } else if (packing == WK_MXFP4) {
        // 16 plus the values
        static const int8_t values[16] = {16, 17, 18, 19, 20, 22, 24, 28, 16, 15, 14, 13, 12, 10, 8, 4};
        WK_UNROLL for (int i = 0; i < 8; i++) w[i] = w_look_up(values, w[i]);
    }
    emit(tokens, kind_of(packing), sink, block, k, order, w, scales);
}

// Q4_0 and IQ4_NL: two blocks are 9 words, and the first block's bytes lie two off.
WK_INLINE void pair_q4_0(const int tokens, const int32_t packing, const int k, const uint8_t *p, int64_t stride,
                         const int room, int count, int64_t block, wk_words *q, q8_sink *sink) {
    if (k >= count) return;
    load_words(p, stride, room, 18, k, k + 2, q);
    const wk_words *b = q + 9 * k / 2;
    wk_words w[4];
    WK_UNROLL for (int i = 0; i < 4; i++) w[i] = tokens && i > 0 ? b[i] : word_at(b, 2 + 4 * i);
    if (tokens) w[0] = w_join(b[4], b[0]);
    wk_vec scale = f_of_f16(b[0]);
    emit_nibbles(tokens, packing, sink, block, k, tokens ? NIBBLE_SEAM : IN_ORDER, w, &scale);
    if (k + 1 >= count) return;
    scale = f_of_f16(w_shr(b[4], 16));
    emit_nibbles(tokens, packing, sink, block, k + 1, IN_ORDER, b + 5, &scale);
}

WK_INLINE void unpack_q4_0(const int tokens, const int32_t packing, const uint8_t *p, int64_t stride, const int room,
                           int count, int64_t block, q8_sink *sink) {
    wk_words q[36];
    pair_q4_0(tokens, packing, 0, p, stride, room, count, block, q, sink);
    pair_q4_0(tokens, packing, 2, p, stride, room, count, block, q, sink);
    pair_q4_0(tokens, packing, 4, p, stride, room, count, block, q, sink);
    pair_q4_0(tokens, packing, 6, p, stride, room, count, block, q, sink);
}

// Calls one_##name for blocks 0..<8, each with a constant.
#define EIGHT_BLOCKS(call)                                                                                             \
    do {                                                                                                               \
        { enum { k = 0 }; call; }                                                                                      \
        { enum { k = 1 }; call; }                                                                                      \
        { enum { k = 2 }; call; }                                                                                      \
        { enum { k = 3 }; call; }                                                                                      \
        { enum { k = 4 }; call; }                                                                                      \
        { enum { k = 5 }; call; }                                                                                      \
        { enum { k = 6 }; call; }                                                                                      \
        { enum { k = 7 }; call; }                                                                                      \
    } while (0)

WK_INLINE void block_q4_1(const int tokens, const int k, const uint8_t *p, int64_t stride, const int room, int count,
                          int64_t block, wk_words *q, q8_sink *sink) {
    if (k >= count) return;
    load_words(p, stride, room, 20, k, k + 1, q);
    const wk_words *b = q + 5 * k;
    wk_vec scales[2] = {f_of_f16(b[0]), f_of_f16(w_shr(b[0], 16))};
    emit_nibbles(tokens, WK_Q4_1, sink, block, k, IN_ORDER, b + 1, scales);
}

// Q5_0 and Q5_1: nibbles and a word of fifth bits.
WK_INLINE void block_q5(const int tokens, const int32_t packing, const int k, const uint8_t *p, int64_t stride,
                        const int room, int count, int64_t block, wk_words *q, q8_sink *sink) {
    if (k >= count) return;
    const int bytes = packing == WK_Q5_0 ? 22 : 24, at = bytes * k, bits = at + bytes - 20;
    load_words(p, stride, room, bytes, k, k + 1, q);
    wk_vec scales[2];
    scales[0] = f_of_f16(at % 4 == 0 ? q[at / 4] : w_shr(q[at / 4], 16));
    if (packing == WK_Q5_1) scales[1] = f_of_f16(w_shr(q[at / 4], 16));
    wk_words w[8], high = word_at(q, bits);
    WK_UNROLL for (int i = 0; i < 4; i++) {
        wk_words nibbles = word_at(q, bits + 4 + 4 * i);
        w[i] = w_or(low_nibbles(nibbles), w_spread(w_shr(high, 4 * i)));
        w[4 + i] = w_or(high_nibbles(nibbles), w_spread(w_shr(high, 16 + 4 * i)));
    }
    emit(tokens, kind_of(packing), sink, block, k, IN_ORDER, w, scales);
}

// Two blocks of Q8_0 are 17 words, and the first block's bytes lie two off.
WK_INLINE void pair_q8_0(const int tokens, const int k, const uint8_t *p, int64_t stride, const int room, int count,
                         int64_t block, wk_words *q, q8_sink *sink) {
    if (k >= count) return;
    load_words(p, stride, room, 34, k, k + 2, q);
    const wk_words *b = q + 17 * k / 2;
    const q8_kind kind = kind_of(WK_Q8_0);
    wk_words w[8];
    WK_UNROLL for (int i = 0; i < 8; i++) w[i] = w_bytes_prepare(tokens && i > 0 ? b[i] : word_at(b, 2 + 4 * i));
    if (tokens) w[0] = w_bytes_prepare(w_join(b[8], b[0]));
    wk_vec scale = f_of_f16(b[0]);
    emit(tokens, kind, sink, block, k, tokens ? BYTE_SEAM : IN_ORDER, w, &scale);
    if (k + 1 >= count) return;
    scale = f_of_f16(w_shr(b[8], 16));
    WK_UNROLL for (int i = 0; i < 8; i++) w[i] = w_bytes_prepare(b[9 + i]);
    emit(tokens, kind, sink, block, k + 1, IN_ORDER, w, &scale);
}

WK_INLINE void unpack_q8_0(const int tokens, const uint8_t *p, int64_t stride, const int room, int count, int64_t block,
                           q8_sink *sink) {
    wk_words q[68];
    pair_q8_0(tokens, 0, p, stride, room, count, block, q, sink);
    pair_q8_0(tokens, 2, p, stride, room, count, block, q, sink);
    pair_q8_0(tokens, 4, p, stride, room, count, block, q, sink);
    pair_q8_0(tokens, 6, p, stride, room, count, block, q, sink);
}

WK_INLINE void block_mxfp4(const int tokens, const int k, const uint8_t *p, int64_t stride, const int room, int count,
                           int64_t block, wk_words *q, q8_sink *sink) {
    if (k >= count) return;
    const int at = 17 * k;
    load_words(p, stride, room, 17, k, k + 1, q);
    // 2^(e - 128): an exponent of its own, but for the two smallest, which are subnormal.
    wk_words e = byte_of(q[at / 4], at % 4), w[4];
    wk_vec scale = f_of_e8m0_half(e);
    WK_UNROLL for (int i = 0; i < 4; i++) w[i] = word_at(q, at + 1 + 4 * i);
    emit_nibbles(tokens, WK_MXFP4, sink, block, k, IN_ORDER, w, &scale);
}

// The scales and minima of sub-blocks 2p and 2p + 1 of Q4_K and Q5_K from the block's first four words.
WK_INLINE void k_scales(const wk_words *header, wk_vec d, wk_vec dmin, const int j, wk_vec scales[2]) {
    const wk_words low6 = w_set1(63), low4 = w_set1(15);
    wk_words scale, minimum;
    if (j < 4) {
        scale = w_and(w_shr(header[1], 8 * j), low6);
        minimum = w_and(w_shr(header[2], 8 * j), low6);
    } else {
        const int i = j - 4;
        wk_words low = w_shr(header[3], 8 * i);
        scale = w_or(w_and(low, low4), w_and(w_shr(w_shr(header[1], 8 * i), 2), w_set1(0x30)));
        minimum = w_or(w_and(w_shr(low, 4), low4), w_and(w_shr(w_shr(header[2], 8 * i), 2), w_set1(0x30)));
    }
    scales[0] = f_mul(d, f_of_words(scale));
    scales[1] = f_mul(dmin, f_of_words(minimum));
}

WK_INLINE void unpack_q45_k(const int tokens, const int32_t packing, const uint8_t *p, int64_t stride, int64_t block,
                            q8_sink *sink) {
    wk_words header[4], high[8];
    w_load_rows(p, stride, header);
    wk_vec d = f_of_f16(header[0]), dmin = f_mul(f_of_f16(w_shr(header[0], 16)), f_set1(-1));
    if (packing == WK_Q5_K) {
        w_load_rows(p + 16, stride, high);
        w_load_rows(p + 32, stride, high + 4);
    }
    p += packing == WK_Q5_K ? 48 : 16;
    WK_UNROLL for (int pair = 0; pair < 4; pair++) {
        wk_words q[8];
        w_load_rows(p + 32 * pair, stride, q);
        w_load_rows(p + 32 * pair + 16, stride, q + 4);
        WK_UNROLL for (int i = 0; i < 2; i++) {
            const int j = 2 * pair + i;
            wk_vec scales[2];
            k_scales(header, d, dmin, j, scales);
            wk_words w[8];
            WK_UNROLL for (int k = 0; k < 8; k++) {
                w[k] = i == 0 ? low_nibbles(q[k]) : high_nibbles(q[k]);
                if (packing == WK_Q5_K) {
                    wk_words bit = j < 4 ? w_shl(high[k], 4 - j) : w_shr(high[k], j - 4);
                    w[k] = w_or(w[k], w_and(bit, w_set1(0x10101010)));
                }
            }
            emit(tokens, kind_of(packing), sink, block, j, IN_ORDER, w, scales);
        }
    }
}

// Signed byte i of each word, as floats.
WK_INLINE wk_vec floats_of_signed_bytes(wk_words q, const int i) {
    return f_of_words(w_sar(w_shl(q, 24 - 8 * i), 24));
}

WK_INLINE void unpack_q6_k(const int tokens, const uint8_t *p, int64_t stride, int64_t block, q8_sink *sink) {
    wk_words sc[4];
    w_load_rows(p + 192, stride, sc);
    wk_vec scales[3];
    scales[2] = f_of_f16(w_shr(w_load_row_words(p + 206, stride), 16));
    WK_UNROLL for (int half = 0; half < 2; half++) {
        wk_words low[16], high[8];
        WK_UNROLL for (int i = 0; i < 4; i++) w_load_rows(p + 64 * half + 16 * i, stride, low + 4 * i);
        WK_UNROLL for (int i = 0; i < 2; i++) w_load_rows(p + 128 + 32 * half + 16 * i, stride, high + 4 * i);
        WK_UNROLL for (int t = 0; t < 4; t++) {
            wk_words w[8];
            WK_UNROLL for (int k = 0; k < 8; k++) {
                const wk_words q = low[8 * (t % 2) + k];
                wk_words nibbles = t < 2 ? low_nibbles(q) : high_nibbles(q);
                wk_words bits = t < 2 ? w_shl(high[k], 4 - 2 * t) : w_shr(high[k], 2 * t - 4);
                w[k] = w_or(nibbles, w_and(bits, w_set1(0x30303030)));
            }
            const int j = 4 * half + t;
            scales[0] = floats_of_signed_bytes(sc[j / 2], 2 * (j % 2));
            scales[1] = floats_of_signed_bytes(sc[j / 2], 2 * (j % 2) + 1);
            emit(tokens, kind_of(WK_Q6_K), sink, block, j, IN_ORDER, w, scales);
        }
    }
}

WK_INLINE void unpack_q2_k(const int tokens, const uint8_t *p, int64_t stride, int64_t block, q8_sink *sink) {
    wk_words sc[4], d = w_load_row_words(p + 80, stride);
    w_load_rows(p, stride, sc);
    wk_vec scales[6];
    scales[2] = f_of_f16(d);
    scales[5] = f_of_f16(w_shr(d, 16));
    WK_UNROLL for (int half = 0; half < 2; half++) {
        wk_words q[8], w[8];
        w_load_rows(p + 16 + 32 * half, stride, q);
        w_load_rows(p + 32 + 32 * half, stride, q + 4);
        WK_UNROLL for (int t = 0; t < 4; t++) {
            WK_UNROLL for (int k = 0; k < 8; k++) w[k] = w_and(w_shr(q[k], 2 * t), w_set1(0x03030303));
            const int j = 4 * half + t;
            WK_UNROLL for (int i = 0; i < 2; i++) {
                wk_words both = byte_of(sc[j / 2], 2 * (j % 2) + i);
                scales[i] = f_of_words(w_and(both, w_set1(15)));
                scales[3 + i] = f_of_words(w_shr(both, 4));
            }
            emit(tokens, kind_of(WK_Q2_K), sink, block, j, IN_ORDER, w, scales);
        }
    }
}

WK_INLINE void unpack_q3_k(const int tokens, const uint8_t *p, int64_t stride, int64_t block, q8_sink *sink) {
    // Bytes 94..<110: the 12 bytes of scales begin at the second, d is the last half word.
    wk_words tail[4], sc[3], high[8];
    w_load_rows(p + 94, stride, tail);
    WK_UNROLL for (int i = 0; i < 3; i++) sc[i] = word_at(tail, 2 + 4 * i);
    w_load_rows(p, stride, high);
    w_load_rows(p + 16, stride, high + 4);
    wk_vec scales[3];
    scales[2] = f_of_f16(w_shr(tail[3], 16));
    WK_UNROLL for (int half = 0; half < 2; half++) {
        wk_words q[8], w[8];
        w_load_rows(p + 32 + 32 * half, stride, q);
        w_load_rows(p + 48 + 32 * half, stride, q + 4);
        WK_UNROLL for (int t = 0; t < 4; t++) {
            const int j = 4 * half + t;
            WK_UNROLL for (int k = 0; k < 8; k++) {
                wk_words bit = j < 2 ? w_shl(high[k], 2 - j) : w_shr(high[k], j - 2);
                w[k] = w_or(w_and(w_shr(q[k], 2 * t), w_set1(0x03030303)), w_and(bit, w_set1(0x04040404)));
            }
            WK_UNROLL for (int i = 0; i < 2; i++) {
                const int s = 2 * j + i; // low nibble: byte s % 8; high bits: byte 8 + s % 4
                wk_words low = byte_of(sc[s % 8 / 4], s % 4);
                low = s < 8 ? w_and(low, w_set1(15)) : w_shr(low, 4);
                wk_words bits = w_and(w_shr(byte_of(sc[2], s % 4), 2 * (s / 4)), w_set1(3));
                scales[i] = f_of_words(w_add(w_or(low, w_shl(bits, 4)), w_set1((uint32_t)-32)));
            }
            emit(tokens, kind_of(WK_Q3_K), sink, block, j, IN_ORDER, w, scales);
        }
    }
}

WK_INLINE void unpack_iq4_xs(const int tokens, const uint8_t *p, int64_t stride, int64_t block, q8_sink *sink) {
    wk_words q[34];
    w_load_rows(p, stride, q);
    wk_vec d = f_of_f16(q[0]);
    wk_words high = w_shr(q[0], 16), low = q[1];
    EIGHT_BLOCKS({
        if (k < 7) {
            w_load_rows(p + 16 + 16 * k, stride, q + 4 + 4 * k);
        } else {
            w_load_rows(p + 120, stride, q + 30);
        }
        wk_words scale = w_or(w_and(w_shr(low, 4 * k), w_set1(15)), w_shl(w_and(w_shr(high, 2 * k), w_set1(3)), 4));
        wk_vec scales = f_mul(d, f_of_words(w_add(scale, w_set1((uint32_t)-32))));
        emit_nibbles(tokens, WK_IQ4_XS, sink, block, k, IN_ORDER, q + 2 + 4 * k, &scales);
    });
}

// The scales of INT4 and INT8 for `count` blocks from number `block` on; scales_at is that of the first row's group 0.
WK_INLINE void group_scales(const wk_matrix *m, const uint8_t *scales_at, const int room, int count, int64_t block,
                            wk_vec *scales) {
    const int64_t width = m->scale_packing == WK_F32 ? 4 : 2, stride = m->scale_stride * width;
    if (count == room && block + room >= 8 && m->group_cols == 32) {
        // The last 8 up to these.
        const uint8_t *p = scales_at + (block + room - 8) * width;
        wk_words s[8];
        wk_vec out[8];
        w_load_rows(p, stride, s);
        if (m->scale_packing == WK_F32) {
            w_load_rows(p + 16, stride, s + 4);
            WK_UNROLL for (int k = 0; k < 8; k++) out[k] = f_cast(s[k]);
        } else if (m->scale_packing == WK_BF16) {
            WK_UNROLL for (int k = 0; k < 4; k++) {
                out[2 * k] = f_cast(w_shl(s[k], 16));
                out[2 * k + 1] = f_cast(w_and(s[k], w_set1(0xffff0000)));
            }
        } else {
            WK_UNROLL for (int k = 0; k < 4; k++) {
                out[2 * k] = f_of_f16(s[k]);
                out[2 * k + 1] = f_of_f16(w_shr(s[k], 16));
            }
        }
        WK_UNROLL for (int k = 0; k < room; k++) scales[k] = out[8 - room + k];
        return;
    }
    int64_t last = -1;
    for (int k = 0; k < count; k++) {
        const int64_t group = 32 * (block + k) / m->group_cols;
        if (group == last) {
            scales[k] = scales[k - 1];
            continue;
        }
        float values[WK_LANES];
        for (int i = 0; i < WK_LANES; i++) values[i] = wk_scale(scales_at + i * stride, group, m->scale_packing);
        scales[k] = f_load(values);
        last = group;
    }
}

WK_INLINE void block_int4(const int tokens, const int k, const uint8_t *p, int64_t stride, int count,
                          int64_t block, const wk_vec *scales, q8_sink *sink) {
    if (k >= count) return;
    wk_words q[4];
    w_load_rows(p + 16 * k, stride, q);
    emit_nibbles(tokens, WK_INT4, sink, block, k, IN_ORDER, q, scales + k);
}

WK_INLINE void block_int8(const int tokens, const int k, const uint8_t *p, int64_t stride, int count,
                          int64_t block, const wk_vec *scales, q8_sink *sink) {
    if (k >= count) return;
    wk_words w[8];
    w_load_rows(p + 32 * k, stride, w);
    w_load_rows(p + 32 * k + 16, stride, w + 4);
    WK_UNROLL for (int i = 0; i < 8; i++) w[i] = w_bytes_prepare(w_xor(w[i], w_set1(0x80808080)));
    emit(tokens, kind_of(WK_INT8), sink, block, k, IN_ORDER, w, scales + k);
}

WK_INLINE void unpack_group(const int tokens, const int32_t packing, const wk_matrix *m, const uint8_t *scales_at,
                            const uint8_t *p, int64_t stride, const int room, const int count, int64_t block,
                            q8_sink *sink) {
    wk_words q[68];
    wk_vec scales[8];
    switch (packing) {
    case WK_Q4_0:
    case WK_IQ4_NL: unpack_q4_0(tokens, packing, p, stride, room, count, block, sink); break;
    case WK_Q4_1: EIGHT_BLOCKS(block_q4_1(tokens, k, p, stride, room, count, block, q, sink)); break;
    case WK_Q5_0:
    case WK_Q5_1: EIGHT_BLOCKS(block_q5(tokens, packing, k, p, stride, room, count, block, q, sink)); break;
    case WK_Q8_0: unpack_q8_0(tokens, p, stride, room, count, block, sink); break;
    case WK_MXFP4: EIGHT_BLOCKS(block_mxfp4(tokens, k, p, stride, room, count, block, q, sink)); break;
    case WK_Q4_K:
    case WK_Q5_K: unpack_q45_k(tokens, packing, p, stride, block, sink); break;
    case WK_Q6_K: unpack_q6_k(tokens, p, stride, block, sink); break;
    case WK_Q2_K: unpack_q2_k(tokens, p, stride, block, sink); break;
    case WK_Q3_K: unpack_q3_k(tokens, p, stride, block, sink); break;
    case WK_IQ4_XS: unpack_iq4_xs(tokens, p, stride, block, sink); break;
    case WK_INT4:
        group_scales(m, scales_at, room, count, block, scales);
        EIGHT_BLOCKS(block_int4(tokens, k, p, stride, count, block, scales, sink));
        break;
    case WK_INT8:
        group_scales(m, scales_at, room, count, block, scales);
        EIGHT_BLOCKS(block_int8(tokens, k, p, stride, count, block, scales, sink));
        break;
    default: break;
    }
}

WK_INLINE void fetch_scales_ahead(q8_sink *sink, int64_t bytes) {
    for (int64_t i = 0; i < bytes; i += 64) __builtin_prefetch(sink->scales_ahead + i, 0, 3);
    sink->scales_ahead += bytes;
}

// Blocks block..<end of WK_LANES rows from row r on, 8 at a time, and for one token then 4. The rest is copied to where
// 8 may be read.
WK_INLINE void unpack_blocks(const int tokens, const int32_t packing, const wk_matrix *m, int64_t r, int64_t block,
                             int64_t end, q8_sink *sink) {
    const int64_t group_bytes = kind_of(packing).group_bytes;
    const uint8_t *p = m->data + r * m->row_bytes + block / 8 * group_bytes, *scales_at = NULL;
    int64_t scale_bytes = 0;
    if (packing == WK_INT4 || packing == WK_INT8) {
        const int64_t width = m->scale_packing == WK_F32 ? 4 : 2;
        scales_at = m->scales + wk_scale_index(m, r) * width;
        scale_bytes = WK_LANES * 256 * width / m->group_cols;
    }
    for (; block + 8 <= end; block += 8, p += group_bytes) {
        if (tokens) fetch_scales_ahead(sink, scale_bytes);
        if (WK_Q8_PLANES_APART && tokens > 1 && sink->masks[block / 8] == 0) {
            sink->two_planes = false;
            unpack_group(tokens, packing, m, scales_at, p, m->row_bytes, 8, 8, block, sink);
            sink->two_planes = true;
        } else {
            unpack_group(tokens, packing, m, scales_at, p, m->row_bytes, 8, 8, block, sink);
        }
        sink->ahead += ROWS_OF_STREAM * group_bytes;
    }
    if (is_of_256(packing)) return;
    if (tokens && block + 4 <= end) {
        fetch_scales_ahead(sink, scale_bytes / 2);
        unpack_group(tokens, packing, m, scales_at, p, m->row_bytes, 4, 4, block, sink);
        sink->ahead += ROWS_OF_STREAM * group_bytes / 2;
        block += 4;
        p += group_bytes / 2;
    }
    if (block < end) {
        // Where a whole group's bytes may be read, those of the rows behind, they are; elsewhere from a copy.
        uint8_t copy[WK_LANES * 288];
        int64_t stride = m->row_bytes;
        if (p + (WK_LANES - 1) * stride + group_bytes > m->data + m->rows * stride) {
            const size_t rest = (size_t)((end - block) * group_bytes / 8);
            for (int i = 0; i < WK_LANES; i++) {
                memcpy(copy + 288 * i, p + i * stride, rest);
                memset(copy + 288 * i + rest, 0, (size_t)group_bytes - rest);
            }
            p = copy;
            stride = 288;
        }
        unpack_group(tokens, packing, m, scales_at, p, stride, 8, (int)(end - block), block, sink);
    }
}

// Where the tile of row r begins. The last rows of a range are multiplied together with some before them, or after them
// where there are too few, even if those are outside of the range.
WK_INLINE int64_t first_of_tile(int64_t r, int64_t row_end) {
    if (r + WK_LANES <= row_end) return r;
    return row_end < WK_LANES ? 0 : row_end - WK_LANES;
}

// A few tokens, at most WK_Q8_MOST_FEW: the weights stream by once, and while WK_LANES rows of them are in the L1 cache
// they are multiplied with `tokens` tokens at a time. The results of tokens `count` and up are thrown away.
WK_INLINE void multiply_few(const int tokens, const int32_t packing, const wk_matrix *m, int64_t row_begin,
                            int64_t row_end, const uint8_t *const *rows, int64_t count, float *y, int64_t y_stride,
                            const uint8_t *masks) {
    const int64_t values = kind_of(packing).deinterleaved ? wk_q8_deinterleaved(m->cols) : 0;
    const int64_t mask_bytes = wk_q8_mask_bytes(m->cols);
    for (int64_t r = row_begin; r < row_end; r += WK_LANES) {
        const int64_t first = first_of_tile(r, row_end);
        const int64_t next = r + 2 * WK_LANES <= row_end ? r + WK_LANES : first;
        for (int64_t t0 = 0; t0 < count; t0 += tokens) {
            q8_sink sink;
            FOR_TOKENS {
                sink.token[t] = rows[t0 + t < count ? t0 + t : count - 1] + values;
                sink.acc[t] = f_zero();
            }
            sink.meta = wk_q8_metas(m->cols) - values;
            sink.masks = masks + t0 / tokens * mask_bytes;
            sink.plane = wk_q8_plane(m->cols);
            sink.two_planes = true;
            sink.ahead = m->data + next * m->row_bytes;
            if (packing == WK_INT4 || packing == WK_INT8) {
                sink.scales_ahead = m->scales + next * m->scale_stride * (m->scale_packing == WK_F32 ? 4 : 2);
            }
            sink.stream = ROWS_OF_STREAM * m->row_bytes;
            sink.further = r + 3 * WK_LANES <= row_end ? WK_LANES * m->row_bytes : 0;
            unpack_blocks(tokens, packing, m, first, 0, m->cols / 32, &sink);
            FOR_TOKENS {
                if (t0 + t >= count) continue;
                float *out = y + (t0 + t) * y_stride + (r - row_begin);
                if (r + WK_LANES <= row_end) {
                    f_store(out, sink.acc[t]);
                } else {
                    float sums[WK_LANES];
                    f_store(sums, sink.acc[t]);
                    memcpy(out, sums + (r - first), (size_t)(row_end - r) * sizeof(float));
                }
            }
        }
    }
}

// Blocks block..<end of WK_LANES rows from row r on into a tile.
typedef void (*q8_unpack_fn)(const wk_matrix *m, int64_t r, int64_t block, int64_t end, wk_words *tile);

// The tokens of a slab into the form that the tiles of a kind are multiplied with.
typedef void (*q8_prepare_fn)(int64_t cols, const uint8_t *q8, const int32_t *token_rows, int64_t first, int64_t count,
                              float *scratch, q8_tokens *tokens);

// Blocks block..<block + blocks, a chunk, in `tiles` tiles, 1 or tiles_of its kind, times all tokens of a slab.
typedef void (*q8_multiply_fn)(int tiles, const wk_words *w, const q8_tokens *tokens, int64_t block, int64_t blocks,
                               float *acc);

// As blocks block..<end of `rows` rows are multiplied, the same part of the rows behind them is fetched into the L2
// cache, from the first byte on: those rows lie one behind the other.
WK_INLINE void fetch_next_rows(const wk_matrix *m, int64_t r, int64_t rows, int64_t block, int64_t end) {
    const int64_t blocks = m->cols / 32, bytes = rows * m->row_bytes;
    const uint8_t *p = m->data + (r + rows) * m->row_bytes;
    for (int64_t at = bytes * block / blocks; at < bytes * end / blocks; at += 64) __builtin_prefetch(p + at, 0, 2);
    if (m->packing == WK_INT4 || m->packing == WK_INT8) {
        const int64_t row_scales = m->scale_stride * (m->scale_packing == WK_F32 ? 4 : 2), of_scales = rows * row_scales;
        p = m->scales + (r + rows) * row_scales;
        for (int64_t at = of_scales * block / blocks; at < of_scales * end / blocks; at += 64) {
            __builtin_prefetch(p + at, 0, 2);
        }
    }
}

// `tiles` tiles of rows from row r on times all tokens. The results of rows skip..<end, numbered from r, go to y.
static WK_TARGET void multiply_rows(int tiles, q8_unpack_fn unpack, q8_multiply_fn multiply, const wk_matrix *m,
                                    int64_t r, int64_t skip, int64_t end, const q8_tokens *tokens, float *y,
                                    int64_t y_stride, float *scratch) {
    const int64_t blocks = m->cols / 32;
    wk_words *w = (wk_words *)scratch;
    float *acc = scratch + WK_Q8_TILES * TILE_STRIDE * WK_LANES;
    memset(acc, 0, (size_t)(tokens->count * WK_Q8_TILES * WK_LANES) * sizeof(float));
    for (int64_t b = 0; b < blocks; b += WK_Q8_CHUNK_BLOCKS) {
        const int64_t chunk = blocks - b < WK_Q8_CHUNK_BLOCKS ? blocks - b : WK_Q8_CHUNK_BLOCKS;
        fetch_next_rows(m, r, tiles * WK_LANES, b, b + chunk);
        for (int i = 0; i < tiles; i++) unpack(m, r + i * WK_LANES, b, b + chunk, w + i * TILE_STRIDE);
        multiply(tiles, w, tokens, b, chunk, acc);
    }
    for (int64_t t = 0; t < tokens->count; t++) {
        const float *from = acc + t * WK_Q8_TILES * WK_LANES;
        float *to = y + t * y_stride;
        if (end - skip == tiles * WK_LANES) {
            for (int i = 0; i < tiles; i++) f_store(to + i * WK_LANES, f_load(from + i * WK_LANES));
        } else {
            memcpy(to, from + skip, (size_t)(end - skip) * sizeof(float));
        }
    }
}

// Many tokens: as many at a time as stay in the L2 cache while all rows of the range go by.
static WK_TARGET void multiply_many(int tiles, q8_prepare_fn prepare, q8_unpack_fn unpack, q8_multiply_fn multiply,
                                    const wk_matrix *m, int64_t row_begin, int64_t row_end, const uint8_t *q8,
                                    const int32_t *token_rows, int64_t n, float *y, int64_t y_stride, float *scratch) {
    const int64_t slab = wk_q8_slab(m->cols);
    for (int64_t t0 = 0; t0 < n; t0 += slab, y += slab * y_stride) {
        q8_tokens tokens;
        prepare(m->cols, q8, token_rows, t0, n - t0 < slab ? n - t0 : slab, scratch + WK_Q8_TILE_FLOATS, &tokens);
        int64_t r = row_begin;
        for (; r + tiles * WK_LANES <= row_end; r += tiles * WK_LANES) {
            multiply_rows(tiles, unpack, multiply, m, r, 0, tiles * WK_LANES, &tokens, y + (r - row_begin), y_stride,
                          scratch);
        }
        for (; r < row_end; r += WK_LANES) {
            const int64_t first = first_of_tile(r, row_end), last = r + WK_LANES < row_end ? r + WK_LANES : row_end;
            multiply_rows(1, unpack, multiply, m, first, r - first, last - first, &tokens, y + (r - row_begin),
                          y_stride, scratch);
        }
    }
}

// For the packings of one kind, by one of them.
#define DEFINE_KIND(kind, packing)                                                                                     \
    static WK_TARGET __attribute__((noinline)) void multiply_##kind(                                                   \
        int tiles, const wk_words *w, const q8_tokens *tokens, int64_t block, int64_t blocks, float *acc) {            \
        if (tiles == 1) {                                                                                              \
            multiply_tokens(1, kind_of(packing), w, tokens, block, blocks, acc);                                       \
        } else {                                                                                                       \
            multiply_tokens(WK_Q8_TILES, kind_of(packing), w, tokens, block, blocks, acc);                             \
        }                                                                                                              \
    }

#define ALL_KINDS(X)                                                                                                   \
    X(nibbles, WK_Q4_0) X(nibbles_and_minimum, WK_Q4_1) X(five_bits, WK_Q5_0) X(five_bits_and_minimum, WK_Q5_1)        \
    X(bytes, WK_Q8_0) X(q2_k, WK_Q2_K) X(q3_k, WK_Q3_K) X(q6_k, WK_Q6_K)

ALL_KINDS(DEFINE_KIND)

#define DEFINE_PACKING(name, packing, kind)                                                                            \
    static WK_TARGET __attribute__((noinline)) void one_##name(const wk_matrix *m, int64_t row_begin, int64_t row_end, \
                                                               const uint8_t *const *rows, float *y) {                 \
        multiply_few(1, packing, m, row_begin, row_end, rows, 1, y, 0, rows[0] + wk_q8_masks(m->cols));                \
    }                                                                                                                  \
    static WK_TARGET __attribute__((noinline)) void two_##name(                                                        \
        const wk_matrix *m, int64_t row_begin, int64_t row_end, const uint8_t *const *rows, float *y,                  \
        int64_t y_stride, const uint8_t *masks) {                                                                      \
        multiply_few(2, packing, m, row_begin, row_end, rows, 2, y, y_stride, masks);                                  \
    }                                                                                                                  \
    static WK_TARGET __attribute__((noinline)) void four_##name(                                                       \
        const wk_matrix *m, int64_t row_begin, int64_t row_end, const uint8_t *const *rows, int64_t count, float *y,   \
        int64_t y_stride, const uint8_t *masks) {                                                                      \
        multiply_few(4, packing, m, row_begin, row_end, rows, count, y, y_stride, masks);                              \
    }                                                                                                                  \
    static WK_TARGET __attribute__((noinline)) void unpack_tile_##name(const wk_matrix *m, int64_t r, int64_t block,   \
                                                                       int64_t end, wk_words *tile) {                  \
        q8_sink sink = {.ahead = m->data, .tile = tile, .first_block = block};                                         \
        unpack_blocks(0, packing, m, r, block, end, &sink);                                                            \
    }                                                                                                                  \
    static WK_TARGET __attribute__((noinline)) void prepare_##name(                                                    \
        int64_t cols, const uint8_t *q8, const int32_t *token_rows, int64_t first, int64_t count, float *scratch,      \
        q8_tokens *tokens) {                                                                                           \
        prepare_tokens(kind_of(packing), cols, q8, token_rows, first, count, scratch, tokens);                         \
    }                                                                                                                  \
    static WK_TARGET __attribute__((noinline)) void many_##name(                                                       \
        const wk_matrix *m, int64_t row_begin, int64_t row_end, const uint8_t *q8, const int32_t *token_rows,          \
        int64_t n, float *y, int64_t y_stride, float *scratch) {                                                       \
        multiply_many(tiles_of(kind_of(packing)), prepare_##name, unpack_tile_##name, multiply_##kind, m, row_begin,   \
                      row_end, q8, token_rows, n, y, y_stride, scratch);                                               \
    }

#define ALL_PACKINGS(X)                                                                                                \
    X(q4_0, WK_Q4_0, nibbles) X(q4_1, WK_Q4_1, nibbles_and_minimum) X(q5_0, WK_Q5_0, five_bits)                        \
    X(q5_1, WK_Q5_1, five_bits_and_minimum) X(q8_0, WK_Q8_0, bytes) X(q2_k, WK_Q2_K, q2_k) X(q3_k, WK_Q3_K, q3_k)      \
    X(q4_k, WK_Q4_K, nibbles_and_minimum) X(q5_k, WK_Q5_K, five_bits_and_minimum) X(q6_k, WK_Q6_K, q6_k)               \
    X(iq4_nl, WK_IQ4_NL, bytes) X(iq4_xs, WK_IQ4_XS, bytes) X(mxfp4, WK_MXFP4, five_bits)                              \
    X(int4, WK_INT4, nibbles) X(int8, WK_INT8, bytes)

ALL_PACKINGS(DEFINE_PACKING)

static void q8_matmul(const wk_matrix *m, int64_t row_begin, int64_t row_end, const uint8_t *q8,
                      const int32_t *token_rows, int64_t n, float *y, int64_t y_stride, float *scratch) {
    if (m->rows < WK_LANES) {
        wk_kernels_generic.q8_matmul(m, row_begin, row_end, q8, token_rows, n, y, y_stride, scratch);
        return;
    }
    if (row_begin >= row_end || n <= 0) return;
    const int64_t row_bytes = wk_q8_row_bytes(m->cols), mask_bytes = wk_q8_mask_bytes(m->cols);
    const uint8_t *rows[WK_Q8_MOST_FEW];
    for (int64_t t = 0; t < n && t < WK_Q8_MOST_FEW; t++) rows[t] = wk_q8_token(q8, token_rows, t, row_bytes);
    // The blocks that some of the tokens that are worked on together have a part of in the second plane.
    uint8_t *masks = (uint8_t *)(scratch + WK_Q8_TILE_FLOATS);
    if (n > 1 && n <= WK_Q8_MOST_FEW) {
        memset(masks, 0, (size_t)((n + 3) / 4 * mask_bytes));
        for (int64_t t = 0; t < n; t++) {
            for (int64_t i = 0; i < mask_bytes; i++) {
                masks[t / 4 * mask_bytes + i] |= rows[t][wk_q8_masks(m->cols) + i];
            }
        }
    }
    switch (m->packing) {
#define CASE(name, packing, kind)                                                                                         \
    case packing:                                                                                                      \
        if (n == 1) one_##name(m, row_begin, row_end, rows, y);                                                        \
        else if (n == 2) two_##name(m, row_begin, row_end, rows, y, y_stride, masks);                                  \
        else if (n <= WK_Q8_MOST_FEW) four_##name(m, row_begin, row_end, rows, n, y, y_stride, masks);                 \
        else many_##name(m, row_begin, row_end, q8, token_rows, n, y, y_stride, scratch);                              \
        break;
        ALL_PACKINGS(CASE)
#undef CASE
    default: break;
    }
}

#else

// Without optimization the code above would be of no use: every vector in memory, and megabytes of stack.
static void q8_matmul(const wk_matrix *m, int64_t row_begin, int64_t row_end, const uint8_t *q8,
                      const int32_t *token_rows, int64_t n, float *y, int64_t y_stride, float *scratch) {
    wk_kernels_generic.q8_matmul(m, row_begin, row_end, q8, token_rows, n, y, y_stride, scratch);
}

#endif
