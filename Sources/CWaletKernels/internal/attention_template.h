// Attention over a cache of 16-bit numbers, for any width of vector. A file of an instruction set includes
// vector_template.h's operations and then defines
//
//   AT_QUERIES, AT_VECTORS   the register tile of grouped attention: queries times vectors of positions or dimensions
//   AT_FEW_VECTORS, AT_ONE_VECTORS   vectors of a tile of 2 queries, and of one. All of them divide a page's.
//   AT_SUMS         the most queries times vectors of these
//   AT_POSITIONS    positions whose scores are summed together in latent attention
//   at_number       a query's number or a weight, as they are kept
//   at_pairs        a half of 2 * WK_LANES numbers of the cache, in AT_HALVES halves: 0 the first numbers of WK_LANES
//                   pairs, 1 the second. Where AT_HALVES is 1 the half is the whole.
//   at_load(p, half)     of pairs that lie side by side
//   at_spread(p, half)   of one pair of at_number, in every lane
//   at_dot(sum, a, b)    sum + the products of a's and b's numbers
//   at_store(p, a)       a rounded to BF16
//
// and, where AT_FLOATS is defined (see attention_floats.h),
//
//   AT_HEADS        vectors of heads that latent attention works on together
//   AT_MIX_HEADS, AT_MIX_VECTORS   its tile of heads and vectors of dimensions
//   at_widen(p)     WK_LANES numbers of the cache, side by side
//
// or else
//
//   at_interleave(a, b)   pairs of number i of a and number i of b
//   at_store_pairs(p, a, b)    pairs of a and b, rounded to BF16
//
// The cache is BF16, in pages of 64 positions (see wk_attention in walet_kernels.h). A query's arithmetic does not
// depend on what else is in its tile: every score is one sum over the pairs of dimensions in their order, every result
// one sum over the pairs of positions in theirs, and each split of WK_ATTENTION_SPLIT positions begins anew.
#include "attention.h"

#include <math.h>

#define AT_INLINE static inline __attribute__((always_inline, unused)) WK_TARGET
enum { PAGE = WK_ATTENTION_PAGE, VECTORS_OF_PAGE = PAGE / WK_LANES };

// scores[q * PAGE + position] for `queries` queries and `vectors` vectors of positions.
AT_INLINE void grouped_scores(const int queries, const int vectors, const at_number *q, int64_t head_size,
                              const uint8_t *keys, float *scores) {
    wk_vec sums[AT_SUMS];
    WK_UNROLL for (int i = 0; i < queries * vectors; i++) sums[i] = vec_zero();
    for (int64_t d = 0; d < head_size; d += 2) {
        WK_UNROLL for (int half = 0; half < AT_HALVES; half++) {
            at_pairs k[AT_SUMS];
            WK_UNROLL for (int v = 0; v < vectors; v++) k[v] = at_load(keys + 2 * d * PAGE + 4 * v * WK_LANES, half);
            WK_UNROLL for (int i = 0; i < queries; i++) {
                const at_pairs pair = at_spread(q + i * head_size + d, half);
                WK_UNROLL for (int v = 0; v < vectors; v++) {
                    sums[i * vectors + v] = at_dot(sums[i * vectors + v], k[v], pair);
                }
            }
        }
    }
    WK_UNROLL for (int i = 0; i < queries; i++) {
        WK_UNROLL for (int v = 0; v < vectors; v++) vec_store(scores + i * PAGE + v * WK_LANES, sums[i * vectors + v]);
    }
}

// result[q * stride + dimension] = result * factors[q] + sum over the pairs of positions.
AT_INLINE void grouped_mix(const int queries, const int vectors, const at_number *weights, int64_t pairs,
                           const uint8_t *values, int64_t value_size, const float *factors, float *result,
                           int64_t stride) {
    wk_vec sums[AT_SUMS];
    WK_UNROLL for (int i = 0; i < queries; i++) {
        WK_UNROLL for (int v = 0; v < vectors; v++) {
            sums[i * vectors + v] = vec_mul(vec_load(result + i * stride + v * WK_LANES), vec_set1(factors[i]));
        }
    }
    for (int64_t p = 0; p < pairs; p++) {
        WK_UNROLL for (int half = 0; half < AT_HALVES; half++) {
            at_pairs x[AT_SUMS];
            WK_UNROLL for (int v = 0; v < vectors; v++) {
                x[v] = at_load(values + 4 * (p * value_size + v * WK_LANES), half);
            }
            WK_UNROLL for (int i = 0; i < queries; i++) {
                const at_pairs pair = at_spread(weights + i * PAGE + 2 * p, half);
                WK_UNROLL for (int v = 0; v < vectors; v++) {
                    sums[i * vectors + v] = at_dot(sums[i * vectors + v], x[v], pair);
                }
            }
        }
    }
    WK_UNROLL for (int i = 0; i < queries; i++) {
        WK_UNROLL for (int v = 0; v < vectors; v++) {
            vec_store(result + i * stride + v * WK_LANES, sums[i * vectors + v]);
        }
    }
}

// `queries` queries, a constant, over one page, in tiles of `vectors` vectors.
AT_INLINE void grouped_page(const int queries, const int vectors, const at_number *q, const uint8_t *keys,
                            const uint8_t *values, int64_t head_size, int64_t value_size, const int64_t *limits,
                            int64_t position, float *state, int64_t state_stride) {
    _Alignas(64) float scores[AT_QUERIES * PAGE];
    _Alignas(64) at_number weights[AT_QUERIES * PAGE];
    float factors[AT_QUERIES];
    int64_t longest = 0;
    for (int i = 0; i < queries; i++) longest = limits[i] > longest ? limits[i] : longest;
    longest = longest - position < PAGE ? longest - position : PAGE;
    for (int v = 0; v * WK_LANES < longest; v += vectors) {
        grouped_scores(queries, vectors, q, head_size, keys + 4 * v * WK_LANES, scores + v * WK_LANES);
    }
    for (int i = 0; i < queries; i++) {
        float *s = scores + i * PAGE, *of = state + i * state_stride;
        at_number *w = weights + i * PAGE;
        int64_t valid = limits[i] - position;
        valid = valid < 0 ? 0 : valid > PAGE ? PAGE : valid;
        for (int64_t j = valid; j < PAGE; j++) s[j] = -INFINITY;
        wk_vec top = vec_load(s);
        WK_UNROLL for (int v = 1; v < VECTORS_OF_PAGE; v++) top = vec_max(top, vec_load(s + v * WK_LANES));
        float largest = vec_max_lanes(top);
        largest = largest > of[0] ? largest : of[0];
        const wk_vec shift = vec_set1(largest);
        // In the order of the lanes of 16, whatever the width of a vector: each is a sum of its own.
        WK_UNROLL for (int v = 0; v < VECTORS_OF_PAGE; v++) {
            vec_store(s + v * WK_LANES, vec_exp(vec_sub(vec_load(s + v * WK_LANES), shift)));
        }
        for (int64_t j = valid; j < PAGE; j++) s[j] = 0;
        wk_vec sum = vec_load(s);
        WK_UNROLL for (int v = 1; v < VECTORS_OF_PAGE; v++) sum = vec_add(sum, vec_load(s + v * WK_LANES));
        WK_UNROLL for (int v = 0; v < VECTORS_OF_PAGE; v++) at_store(w + v * WK_LANES, vec_load(s + v * WK_LANES));
        factors[i] = largest == of[0] ? 1 : expf(of[0] - largest);
        of[1] = of[1] * factors[i] + vec_sum(sum);
        of[0] = largest;
    }
    const int64_t pairs = (longest + 1) / 2;
    int64_t d = 0;
    for (; d + vectors * WK_LANES <= value_size; d += vectors * WK_LANES) {
        grouped_mix(queries, vectors, weights, pairs, values + 4 * d, value_size, factors,
                    state + WK_ATTENTION_STATE + d, state_stride);
    }
    for (; d < value_size; d += WK_LANES) {
        grouped_mix(queries, 1, weights, pairs, values + 4 * d, value_size, factors, state + WK_ATTENTION_STATE + d,
                    state_stride);
    }
}

static WK_TARGET void grouped_split(const wk_grouped_tile *a, int64_t begin, int64_t end, float *state) {
    const int64_t stride = WK_ATTENTION_STATE + a->value_size;
    const at_number *q = a->packed;
    for (int64_t i = 0; i < a->queries; i++) {
        memset(state + i * stride, 0, (size_t)stride * sizeof(float));
        state[i * stride] = -1e30f;
    }
    for (int64_t position = begin; position < end; position += PAGE) {
        const uint8_t *page = a->pages[position / PAGE];
        const uint8_t *keys = page + a->key_offset, *values = page + a->value_offset;
        int64_t i = 0;
#define TILE(n, vectors)                                                                                               \
    (grouped_page(n, vectors, q + i * a->head_size, keys, values, a->head_size, a->value_size, a->limits + i,          \
                  position, state + i * stride, stride),                                                               \
     i += (n))
        while (a->queries - i >= AT_QUERIES) TILE(AT_QUERIES, AT_VECTORS);
#if AT_QUERIES > 4
        while (a->queries - i >= 4) TILE(4, AT_VECTORS);
#endif
#if AT_QUERIES > 3
        while (a->queries - i >= 3) TILE(3, AT_VECTORS);
        while (a->queries - i >= 2) TILE(2, AT_FEW_VECTORS);
#endif
        while (i < a->queries) TILE(1, AT_ONE_VECTORS);
#undef TILE
    }
}

#ifdef AT_FLOATS

enum { HEADS = AT_HEADS * WK_LANES };

AT_INLINE void latent_widen(const uint8_t *numbers, int64_t count, float *out) {
    int64_t i = 0;
    for (; i + WK_LANES <= count; i += WK_LANES) vec_store(out + i, at_widen(numbers + 2 * i));
    for (; i < count; i++) out[i] = wk_float_from_bf16(wk_load_u16(numbers + 2 * i));
}

// HEADS heads over one page, whose rows are floats. q: [width][HEADS]. Scores and weights: [positions][HEADS].
AT_INLINE void latent_scores(const int positions, const float *q, int64_t width, const float *rows, float *scores) {
    wk_vec sums[AT_POSITIONS * AT_HEADS];
    WK_UNROLL for (int i = 0; i < positions * AT_HEADS; i++) sums[i] = vec_zero();
    for (int64_t d = 0; d < width; d++) {
        wk_vec query[AT_HEADS];
        WK_UNROLL for (int v = 0; v < AT_HEADS; v++) query[v] = vec_load(q + d * HEADS + v * WK_LANES);
        WK_UNROLL for (int t = 0; t < positions; t++) {
            const wk_vec key = vec_set1(rows[t * width + d]);
            WK_UNROLL for (int v = 0; v < AT_HEADS; v++) {
                sums[t * AT_HEADS + v] = vec_fma(query[v], key, sums[t * AT_HEADS + v]);
            }
        }
    }
    WK_UNROLL for (int i = 0; i < positions * AT_HEADS; i++) vec_store(scores + i * WK_LANES, sums[i]);
}

// result[head * latent + dimension] = result * factors[head] + sum over the positions.
AT_INLINE void latent_mix(const int heads, const int vectors, const float *weights, int64_t count, const float *rows,
                          int64_t width, const float *factors, float *result, int64_t latent) {
    wk_vec sums[AT_MIX_HEADS * AT_MIX_VECTORS];
    WK_UNROLL for (int h = 0; h < heads; h++) {
        WK_UNROLL for (int v = 0; v < vectors; v++) {
            sums[h * vectors + v] = vec_mul(vec_load(result + h * latent + v * WK_LANES), vec_set1(factors[h]));
        }
    }
    for (int64_t t = 0; t < count; t++) {
        wk_vec x[AT_MIX_VECTORS];
        WK_UNROLL for (int v = 0; v < vectors; v++) x[v] = vec_load(rows + t * width + v * WK_LANES);
        WK_UNROLL for (int h = 0; h < heads; h++) {
            const wk_vec weight = vec_set1(weights[t * HEADS + h]);
            WK_UNROLL for (int v = 0; v < vectors; v++) {
                sums[h * vectors + v] = vec_fma(x[v], weight, sums[h * vectors + v]);
            }
        }
    }
    WK_UNROLL for (int h = 0; h < heads; h++) {
        WK_UNROLL for (int v = 0; v < vectors; v++) {
            vec_store(result + h * latent + v * WK_LANES, sums[h * vectors + v]);
        }
    }
}

static WK_TARGET void latent_split(const wk_latent_tile *a, int64_t begin, int64_t end, float *state) {
    const int64_t width = a->width, latent = a->latent;
    const float *q = a->packed;
    float *top = state, *total = state + HEADS, *result = state + 2 * HEADS, *rows = a->rows;
    _Alignas(64) float scores[PAGE * HEADS];
    _Alignas(64) float factors[HEADS];
    for (int h = 0; h < HEADS; h++) top[h] = -1e30f;
    memset(total, 0, (size_t)(HEADS + HEADS * latent) * sizeof(float));
    for (int64_t position = begin; position < end; position += PAGE) {
        const uint8_t *page = a->pages[position / PAGE] + a->offset;
        const int64_t count = end - position < PAGE ? end - position : PAGE;
        int64_t t = 0;
        // Rows become floats just before their scores, while they are near, once for all heads and for the results.
#define SCORES(n)                                                                                                      \
    (latent_widen(page + 2 * t * width, (n) * width, rows + t * width),                                                \
     latent_scores(n, q, width, rows + t * width, scores + t * HEADS), t += (n))
        while (t + AT_POSITIONS <= count) SCORES(AT_POSITIONS);
#if AT_POSITIONS > 4
        while (t + 4 <= count) SCORES(4);
#endif
        while (t < count) SCORES(1);
#undef SCORES
        // Scores become weights in their place.
        for (int v = 0; v < AT_HEADS; v++) {
            float *s = scores + v * WK_LANES;
            const wk_vec before = vec_load(top + v * WK_LANES);
            wk_vec largest = before;
            for (t = 0; t < count; t++) largest = vec_max(largest, vec_load(s + t * HEADS));
            const wk_vec factor = vec_exp(vec_sub(before, largest));
            wk_vec sum = vec_mul(vec_load(total + v * WK_LANES), factor);
            for (t = 0; t < count; t++) {
                const wk_vec weight = vec_exp(vec_sub(vec_load(s + t * HEADS), largest));
                sum = vec_add(sum, weight);
                at_store(s + t * HEADS, weight);
            }
            vec_store(top + v * WK_LANES, largest);
            vec_store(total + v * WK_LANES, sum);
            vec_store(factors + v * WK_LANES, factor);
        }
        int64_t d = 0;
#define MIX(vectors)                                                                                                   \
    for (int64_t h = 0; h < a->heads; h += AT_MIX_HEADS) {                                                             \
        latent_mix(AT_MIX_HEADS, vectors, scores + h, count, rows + d, width, factors + h, result + h * latent + d,    \
                   latent);                                                                                            \
    }                                                                                                                  \
    d += (vectors) * WK_LANES
        while (d + AT_MIX_VECTORS * WK_LANES <= latent) {
            MIX(AT_MIX_VECTORS);
        }
        while (d < latent) {
            MIX(1);
        }
#undef MIX
    }
}

#else

// WK_LANES heads over one page. q: [size / 2][WK_LANES] pairs. Scores and weights: a vector of heads a position.
AT_INLINE void latent_scores(const int positions, const uint32_t *q, int64_t pairs, const uint8_t *rows, int64_t stride,
                             float *scores) {
    wk_vec sums[AT_POSITIONS];
    WK_UNROLL for (int t = 0; t < positions; t++) sums[t] = vec_zero();
    for (int64_t p = 0; p < pairs; p++) {
        const at_pairs query = at_load((const uint8_t *)(q + p * WK_LANES), 0);
        WK_UNROLL for (int t = 0; t < positions; t++) {
            sums[t] = at_dot(sums[t], query, at_spread((const at_number *)(rows + t * stride + 4 * p), 0));
        }
    }
    WK_UNROLL for (int t = 0; t < positions; t++) vec_store(scores + t * WK_LANES, sums[t]);
}

static WK_TARGET void latent_split(const wk_latent_tile *a, int64_t begin, int64_t end, float *state) {
    const int64_t width = a->width, latent = a->latent, stride = 2 * width; // bytes of a row
    float *top = state, *total = state + WK_LANES, *result = state + 2 * WK_LANES;
    _Alignas(64) float scores[PAGE * WK_LANES];
    _Alignas(64) uint32_t weights[PAGE / 2 * WK_LANES];
    _Alignas(64) float factors[WK_LANES];
    vec_store(top, vec_set1(-1e30f));
    memset(total, 0, (size_t)(WK_LANES + WK_LANES * latent) * sizeof(float));
    for (int64_t position = begin; position < end; position += PAGE) {
        const uint8_t *rows = a->pages[position / PAGE] + a->offset;
        const int64_t count = end - position < PAGE ? end - position : PAGE;
        int64_t t = 0;
        for (; t + AT_POSITIONS <= count; t += AT_POSITIONS) {
            latent_scores(AT_POSITIONS, a->packed, width / 2, rows + t * stride, stride, scores + t * WK_LANES);
        }
#if AT_POSITIONS > 4
        for (; t + 4 <= count; t += 4) {
            latent_scores(4, a->packed, width / 2, rows + t * stride, stride, scores + t * WK_LANES);
        }
#endif
        for (; t < count; t++) {
            latent_scores(1, a->packed, width / 2, rows + t * stride, stride, scores + t * WK_LANES);
        }
        wk_vec before = vec_load(top), largest = before;
        for (t = 0; t < count; t++) largest = vec_max(largest, vec_load(scores + t * WK_LANES));
        wk_vec factor = vec_exp(vec_sub(before, largest)), sum = vec_mul(vec_load(total), factor);
        for (t = 0; t < count; t += 2) {
            wk_vec first = vec_exp(vec_sub(vec_load(scores + t * WK_LANES), largest)), second = vec_zero();
            if (t + 1 < count) second = vec_exp(vec_sub(vec_load(scores + (t + 1) * WK_LANES), largest));
            sum = vec_add(vec_add(sum, first), second);
            at_store_pairs(weights + t / 2 * WK_LANES, first, second);
        }
        vec_store(top, largest);
        vec_store(total, sum);
        vec_store(factors, factor);
        const int64_t pairs = (count + 1) / 2;
        for (int64_t d = 0; d < latent; d += WK_LANES) {
            wk_vec sums[WK_LANES];
            WK_UNROLL for (int h = 0; h < WK_LANES; h++) {
                sums[h] = vec_mul(vec_load(result + h * latent + d), vec_set1(factors[h]));
            }
            const uint8_t *x = rows + 2 * d;
            for (int64_t p = 0; p < pairs; p++, x += 2 * stride) {
                const at_pairs pair = at_interleave(x, x + stride);
                WK_UNROLL for (int h = 0; h < WK_LANES; h++) {
                    sums[h] = at_dot(sums[h], pair, at_spread((const at_number *)(weights + p * WK_LANES + h), 0));
                }
            }
            WK_UNROLL for (int h = 0; h < WK_LANES; h++) vec_store(result + h * latent + d, sums[h]);
        }
    }
}

#endif

#ifdef AT_FLOATS
#define WK_ATTENTION_KERNELS                                                                                           \
    {.lanes = HEADS, .floats = true, .grouped_split = grouped_split, .latent_split = latent_split}
#else
#define WK_ATTENTION_KERNELS {.lanes = WK_LANES, .grouped_split = grouped_split, .latent_split = latent_split}
#endif
