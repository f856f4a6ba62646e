// Tiles of unpacked weights for q8_template.h without VNNI. vpmaddubsw multiplies 32 pairs of bytes, twice a cycle, but
// leaves sums of two in 16 bits. To come near that:
//
//   - two tiles, or the two halves of 8-bit weights, share every broadcast of activations;
//   - sums stay in 16 bits for as many products as fit there (see `step`), and only then are widened;
//   - 8-bit weights are two planes of nibbles, sum = 16 * sum of the high ones + sum of the low ones, so that they are
//     added as 4-bit weights are: 255 * 127 does not even fit once;
//   - integer scales of halves multiply as the sums are widened;
//   - the running sums are in memory: there is one fused product for 8 of bytes.
//
// The sums of integers are exact, so that in which order they come about does not matter.

// A block in a tile: its words, or the low and then the high nibbles of 8-bit words, and then
//   ONE_SCALE, WITH_MINIMUM   the scale, the minimum
//   HALVES                    in each 16 bits the first half's integer scale; the second's; both, times the offset; scale
//   HALVES_AND_MINIMA         the same, both minima, their scale
WK_INLINE int words_of_tile(const q8_kind kind) { return kind.bits == 8 ? 16 : 8; }
WK_INLINE int vectors_of_tile(const q8_kind kind) {
    const int form = kind.form;
    return words_of_tile(kind) + (form == ONE_SCALE ? 1 : form == WITH_MINIMUM ? 2 : form == HALVES ? 4 : 6);
}
// Weights of 8 bits take as many registers as two tiles.
WK_INLINE int tiles_of(const q8_kind kind) { return kind.bits == 8 ? 1 : WK_Q8_TILES; }
enum { TILE_STRIDE = WK_Q8_CHUNK_BLOCKS * 17 };

// Compilers regroup sums of integers into trees, whose branches do not fit the registers.
#define IN_A_REGISTER(v) __asm__("" : "+x"(v))

// Two integers of 16 bits, as floats, in each word.
WK_INLINE wk_words pair_of_16(wk_vec low, wk_vec high) {
    return _mm256_blend_epi16(_mm256_cvtps_epi32(low), w_shl(_mm256_cvtps_epi32(high), 16), 0xaa);
}

WK_INLINE void store_block(const q8_kind kind, wk_words *out, const wk_words *w, const wk_vec *scales) {
    WK_UNROLL for (int i = 0; i < 8; i++) {
        if (kind.bits == 8) {
            const wk_words biased = w_xor(w[i], w_set1(0x80808080));
            w_store(out + i, w_and(biased, w_set1(0x0f0f0f0f)));
            w_store(out + 8 + i, w_and(w_shr(biased, 4), w_set1(0x0f0f0f0f)));
        } else {
            w_store(out + i, w[i]);
        }
    }
    out += words_of_tile(kind);
    if (kind.form == ONE_SCALE || kind.form == WITH_MINIMUM) {
        f_store((float *)out, scales[0]);
        if (kind.form == WITH_MINIMUM) f_store((float *)(out + 1), scales[1]);
        return;
    }
    const wk_vec offset = f_set1((float)(kind.offset_shift < 0 ? 0 : 1 << kind.offset_shift));
    w_store(out, pair_of_16(scales[0], scales[0]));
    w_store(out + 1, pair_of_16(scales[1], scales[1]));
    w_store(out + 2, pair_of_16(f_mul(scales[0], offset), f_mul(scales[1], offset)));
    f_store((float *)(out + 3), scales[2]);
    if (kind.form == HALVES_AND_MINIMA) {
        w_store(out + 4, pair_of_16(scales[3], scales[4]));
        f_store((float *)(out + 5), scales[5]);
    }
}

// The tokens of a slab as they are multiplied, so that they stream by in one piece: chunk after chunk and block after
// block. A block's parts are those of all tokens in the first plane, then those in the second plane. So only tokens with
// a part there cost more, and the parts of any four tokens are multiplied together. How many parts there are stands
// first, as a word, and then groups of four.
typedef struct q8_tokens {
    uint8_t *panel;
    int64_t chunk_bytes, count;
} q8_tokens;

typedef struct q8_group {
    uint32_t at[4]; // where the tokens' sums are, in floats from the first token's
    float scales[4];
    // ONE_SCALE: what the weights' offset adds too much; WITH_MINIMUM: scaled_sum; HALVES and HALVES_AND_MINIMA:
    // negative_half_sums in 16 bits each
    uint32_t others[4];
    uint8_t values[4][32];
} q8_group;

WK_INLINE void store_part(const q8_kind kind, q8_group *groups, int64_t part, int64_t token, const uint8_t *values,
                          const uint8_t *meta) {
    q8_group *group = groups + part / 4;
    const int64_t i = part % 4;
    uint32_t other;
    if (kind.form == WITH_MINIMUM) {
        other = wk_load_u32(meta + offsetof(wk_q8_meta, scaled_sum));
    } else if (kind.form == ONE_SCALE) {
        other = wk_load_u32(meta + offsetof(wk_q8_meta, negative_8_sums)) << (kind.bits == 8 ? 4 : kind.offset_shift);
    } else {
        const uint8_t *sums = meta + offsetof(wk_q8_meta, negative_half_sums);
        other = wk_load_u16(sums) | (uint32_t)wk_load_u16(sums + 4) << 16;
    }
    group->at[i] = (uint32_t)token * (WK_Q8_TILES * WK_LANES);
    group->scales[i] = wk_load_f32(meta + offsetof(wk_q8_meta, scale));
    group->others[i] = other;
    _mm256_storeu_si256((__m256i *)group->values[i], _mm256_loadu_si256((const __m256i *)values));
}

WK_INLINE void prepare_tokens(const q8_kind kind, int64_t cols, const uint8_t *q8, const int32_t *token_rows,
                              int64_t first, int64_t count, float *scratch, q8_tokens *tokens) {
    const int64_t row_bytes = wk_q8_row_bytes(cols), blocks = cols / 32, plane = wk_q8_plane(cols);
    const int64_t values = kind.deinterleaved ? wk_q8_deinterleaved(cols) : 0, metas = wk_q8_metas(cols);
    tokens->panel = (uint8_t *)scratch;
    tokens->count = count;
    tokens->chunk_bytes = WK_Q8_CHUNK_BLOCKS * (4 + (count + 1) / 2 * (int64_t)sizeof(q8_group));
    for (int64_t b = 0; b < blocks; b += WK_Q8_CHUNK_BLOCKS) {
        const int64_t chunk = blocks - b < WK_Q8_CHUNK_BLOCKS ? blocks - b : WK_Q8_CHUNK_BLOCKS;
        int64_t parts[WK_Q8_CHUNK_BLOCKS];
        for (int64_t k = 0; k < chunk; k++) parts[k] = count;
        for (int64_t t = 0; t < count; t++) {
            const uint8_t *row = wk_q8_token(q8, token_rows, first + t, row_bytes);
            const uint32_t masks = wk_load_u16(row + wk_q8_masks(cols) + b / 8);
            for (int64_t k = 0; k < chunk; k++) parts[k] += masks >> k & 1;
        }
        q8_group *groups[WK_Q8_CHUNK_BLOCKS];
        uint8_t *p = tokens->panel + b / WK_Q8_CHUNK_BLOCKS * tokens->chunk_bytes;
        for (int64_t k = 0; k < chunk; k++) {
            const uint32_t these = (uint32_t)parts[k];
            memcpy(p, &these, sizeof these);
            groups[k] = (q8_group *)(p + sizeof these);
            p += sizeof these + (these + 3) / 4 * sizeof(q8_group);
            parts[k] = count;
        }
        for (int64_t t = 0; t < count; t++) {
            const uint8_t *row = wk_q8_token(q8, token_rows, first + t, row_bytes);
            const uint32_t masks = wk_load_u16(row + wk_q8_masks(cols) + b / 8);
            for (int64_t k = 0; k < chunk; k++) {
                const uint8_t *at = row + 32 * (b + k);
                store_part(kind, groups[k], t, t, at + values, at + metas);
                if (masks >> k & 1) store_part(kind, groups[k], parts[k]++, t, at + plane + values, at + plane + metas);
            }
        }
    }
}

// acc[group->at[t] + i * WK_LANES] += a block of tile i times part t of the group, for its first `tokens` parts.
WK_INLINE void multiply_group(const int tiles, const int tokens, const q8_kind kind, const wk_words *w,
                              const q8_group *group, float *acc) {
    // 2 * 127 * 15 * 8, 2 * 127 * 31 * 4 and 2 * 127 * 63 * 2 are below 2^15; halves are of 4 words.
    const bool halves = kind.form == HALVES || kind.form == HALVES_AND_MINIMA;
    const int step = kind.bits == 6 ? 2 : kind.bits == 5 || halves ? 4 : 8;
    const int planes = kind.bits == 8 ? 2 : 1, parts = tiles * planes, behind = words_of_tile(kind);
    wk_words sums[2 * WK_Q8_TOKENS];
    WK_UNROLL for (int k = 0; k < 8; k += step) {
        wk_words pairs[2 * WK_Q8_TOKENS];
        WK_UNROLL for (int i = k; i < k + step; i++) {
            wk_words weights[2];
            WK_UNROLL for (int j = 0; j < parts; j++) weights[j] = w[j / planes * TILE_STRIDE + j % planes * 8 + i];
            FOR_TOKENS {
                const wk_words values = w_set1_load(group->values[t] + 4 * i);
                WK_UNROLL for (int j = 0; j < parts; j++) {
                    const wk_words products = _mm256_maddubs_epi16(weights[j], values);
                    wk_words *pair = &pairs[j * tokens + t];
                    *pair = i == k ? products : _mm256_add_epi16(*pair, products);
                    IN_A_REGISTER(*pair);
                }
            }
        }
        FOR_TOKENS FOR_TILES {
            const int j = i * tokens + t;
            wk_words sum;
            if (kind.bits == 8) {
                sum = w_add(_mm256_madd_epi16(pairs[t], _mm256_set1_epi16(1)),
                            _mm256_madd_epi16(pairs[tokens + t], _mm256_set1_epi16(16)));
            } else {
                const wk_words scale = halves ? w[i * TILE_STRIDE + behind + k / 4] : _mm256_set1_epi16(1);
                sum = _mm256_madd_epi16(pairs[j], scale);
            }
            sums[j] = k == 0 ? sum : w_add(sums[j], sum);
        }
    }
    FOR_TOKENS {
        const wk_vec scale = f_set1(group->scales[t]);
        const uint32_t other = group->others[t];
        FOR_TILES {
            const wk_words *scales = w + i * TILE_STRIDE + behind;
            float *at = acc + group->at[t] + i * WK_LANES;
            wk_words sum = sums[i * tokens + t];
            if (kind.form == HALVES && kind.offset_shift >= 0) {
                sum = w_add(sum, _mm256_madd_epi16(scales[2], w_set1(other)));
            } else if (kind.form == ONE_SCALE) {
                sum = w_add(sum, w_set1(other));
            }
            wk_vec factor = f_mul(f_cast(scales[halves ? 3 : 0]), scale);
            wk_vec result = f_fma(factor, f_of_words(sum), f_load(at));
            if (kind.form == WITH_MINIMUM) {
                result = f_fma(f_cast(scales[1]), f_cast(w_set1(other)), result);
            } else if (kind.form == HALVES_AND_MINIMA) {
                const wk_vec minima = f_of_words(_mm256_madd_epi16(scales[4], w_set1(other)));
                result = f_fma(f_mul(f_cast(scales[5]), scale), minima, result); // +dmin, as the sums are negative
            }
            f_store(at, result);
        }
    }
}

// Blocks block..<block + blocks, a chunk, in `tiles` tiles times all tokens.
WK_INLINE void multiply_tokens(const int tiles, const q8_kind kind, const wk_words *w, const q8_tokens *tokens,
                               int64_t block, int64_t blocks, float *acc) {
    const uint8_t *p = tokens->panel + block / WK_Q8_CHUNK_BLOCKS * tokens->chunk_bytes;
    for (; blocks > 0; blocks--, w += vectors_of_tile(kind)) {
        uint32_t left = wk_load_u32(p);
        const q8_group *group = (const q8_group *)(p + sizeof left);
        for (; left >= 4; left -= 4, group++) multiply_group(tiles, 4, kind, w, group, acc);
        if (left == 3) multiply_group(tiles, 3, kind, w, group, acc);
        if (left == 2) multiply_group(tiles, 2, kind, w, group, acc);
        if (left == 1) multiply_group(tiles, 1, kind, w, group, acc);
        p = (const uint8_t *)(group + (left > 0));
    }
}
