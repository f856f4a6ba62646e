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

// acc[(t * WK_Q8_TILES + i) * WK_LANES] += a block of tile i times one of token t.
WK_INLINE void multiply_block_of_tiles(const int tiles, const int tokens, const q8_kind kind, const wk_words *w,
                                       const uint8_t *const *a, int64_t meta_offset, float *acc) {
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
                const wk_words values = w_set1_load(a[t] + 4 * i);
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
        wk_words offset = w_zero(), half_sums = w_zero();
        if (halves) {
            long long both;
            memcpy(&both, META(t, negative_half_sums), sizeof both);
            half_sums = _mm256_set1_epi64x(both);
            half_sums = _mm256_packs_epi32(half_sums, half_sums);
        } else if (kind.bits == 8 || kind.offset_shift >= 0) {
            offset = w_shl(w_set1_load(META(t, negative_8_sums)), kind.bits == 8 ? 4 : kind.offset_shift);
        }
        const wk_vec scale = f_set1_load(META(t, scale));
        FOR_TILES {
            const wk_words *scales = w + i * TILE_STRIDE + behind;
            float *at = acc + (t * WK_Q8_TILES + i) * WK_LANES;
            wk_words sum = sums[i * tokens + t];
            if (halves && kind.offset_shift >= 0) {
                sum = w_add(sum, _mm256_madd_epi16(scales[2], half_sums));
            } else if (kind.bits == 8 || kind.offset_shift >= 0) {
                sum = w_add(sum, offset);
            }
            wk_vec factor = f_mul(f_cast(scales[halves ? 3 : 0]), scale);
            wk_vec result = f_fma(factor, f_of_words(sum), f_load(at));
            if (kind.form == WITH_MINIMUM) {
                result = f_fma(f_cast(scales[1]), f_set1_load(META(t, scaled_sum)), result);
            } else if (kind.form == HALVES_AND_MINIMA) {
                const wk_vec minima = f_of_words(_mm256_madd_epi16(scales[4], half_sums));
                result = f_fma(f_mul(f_cast(scales[5]), scale), minima, result); // +dmin, as the sums are negative
            }
            f_store(at, result);
        }
    }
}

WK_INLINE void multiply_tiles(const int tiles, const int tokens, const q8_kind kind, const wk_words *w, int64_t blocks,
                              const uint8_t *const *rows, int64_t offset, int64_t meta, int64_t plane, int64_t masks,
                              float *acc) {
    const uint8_t *a[WK_Q8_TOKENS];
    uint32_t fine = 0;
    FOR_TOKENS {
        a[t] = rows[t] + offset;
        fine |= wk_load_u16(rows[t] + masks);
    }
    for (int64_t block = 0; block < blocks; block++, w += vectors_of_tile(kind)) {
        const int64_t planes = 1 + (fine >> block & 1);
        for (int64_t i = 0; i < planes; i++) {
            multiply_block_of_tiles(tiles, tokens, kind, w, a, meta, acc);
            FOR_TOKENS a[t] += plane;
        }
        FOR_TOKENS a[t] += 32 - planes * plane;
    }
}
