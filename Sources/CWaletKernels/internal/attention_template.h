// Attention over a cache of 16-bit numbers, for any width of vector. A file of an instruction set includes
// vector_template.h's operations and then defines
//
//   AT_QUERIES, AT_VECTORS   the register tile of grouped attention: queries times vectors of positions or dimensions
//   AT_POSITIONS             positions whose scores for WK_LANES heads are summed together in latent attention
//   at_pairs        2 * WK_LANES numbers of the cache: WK_LANES pairs
//   at_pair         one pair, in every lane
//   at_load(p)      pairs that lie side by side
//   at_interleave(a, b)   pairs of number i of a and number i of b
//   at_spread(p)    one pair in every lane
//   at_dot(sum, pairs, pair)   sum + the products of the pairs' first and second numbers
//   at_store_pairs(p, a, b)    pairs of a and b, rounded to BF16
//   at_store(p, a)             a rounded to BF16
//
// The cache is BF16, in pages of 64 positions (see wk_attention in walet_kernels.h). A query's arithmetic does not
// depend on what else is in its tile: every score is one sum over the pairs of dimensions in their order, every result
// one sum over the pairs of positions in theirs, and each split of WK_ATTENTION_SPLIT positions begins anew.
#include "attention.h"

#include <math.h>

#define AT_INLINE static inline __attribute__((always_inline, unused)) WK_TARGET
enum { PAGE = WK_ATTENTION_PAGE, VECTORS_OF_PAGE = PAGE / WK_LANES };

// scores[q * PAGE + position] for `queries` queries and `vectors` vectors of positions.
AT_INLINE void grouped_scores(const int queries, const int vectors, const uint32_t *q, int64_t pairs,
                              const uint8_t *keys, float *scores) {
    wk_vec sums[AT_QUERIES * AT_VECTORS];
    WK_UNROLL for (int i = 0; i < queries * vectors; i++) sums[i] = vec_zero();
    for (int64_t p = 0; p < pairs; p++) {
        at_pairs k[AT_VECTORS];
        WK_UNROLL for (int v = 0; v < vectors; v++) k[v] = at_load(keys + 4 * (p * PAGE + v * WK_LANES));
        WK_UNROLL for (int i = 0; i < queries; i++) {
            const at_pair pair = at_spread(q + i * pairs + p);
            WK_UNROLL for (int v = 0; v < vectors; v++) {
                sums[i * vectors + v] = at_dot(sums[i * vectors + v], k[v], pair);
            }
        }
    }
    WK_UNROLL for (int i = 0; i < queries; i++) {
        WK_UNROLL for (int v = 0; v < vectors; v++) vec_store(scores + i * PAGE + v * WK_LANES, sums[i * vectors + v]);
    }
}

// result[q * stride + dimension] = result * factors[q] + sum over the pairs of positions.
AT_INLINE void grouped_mix(const int queries, const int vectors, const uint32_t *weights, int64_t pairs,
                           const uint8_t *values, int64_t head_size, const float *factors, float *result,
                           int64_t stride) {
    wk_vec sums[AT_QUERIES * AT_VECTORS];
    WK_UNROLL for (int i = 0; i < queries; i++) {
        WK_UNROLL for (int v = 0; v < vectors; v++) {
            sums[i * vectors + v] = vec_mul(vec_load(result + i * stride + v * WK_LANES), vec_set1(factors[i]));
        }
    }
    for (int64_t p = 0; p < pairs; p++) {
        at_pairs x[AT_VECTORS];
        WK_UNROLL for (int v = 0; v < vectors; v++) x[v] = at_load(values + 4 * (p * head_size + v * WK_LANES));
        WK_UNROLL for (int i = 0; i < queries; i++) {
            const at_pair pair = at_spread(weights + i * (PAGE / 2) + p);
            WK_UNROLL for (int v = 0; v < vectors; v++) {
                sums[i * vectors + v] = at_dot(sums[i * vectors + v], x[v], pair);
            }
        }
    }
    WK_UNROLL for (int i = 0; i < queries; i++) {
        WK_UNROLL for (int v = 0; v < vectors; v++) {
            vec_store(result + i * stride + v * WK_LANES, sums[i * vectors + v]);
        }
    }
}

// `queries` queries, a constant, over one page.
AT_INLINE void grouped_page(const int queries, const uint32_t *q, const uint8_t *keys, const uint8_t *values,
                            int64_t head_size, int64_t value_size, const int64_t *limits, int64_t position,
                            float *state, int64_t state_stride) {
    _Alignas(64) float scores[AT_QUERIES * PAGE];
    _Alignas(64) uint32_t weights[AT_QUERIES * PAGE / 2];
    float factors[AT_QUERIES];
    int64_t longest = 0;
    for (int i = 0; i < queries; i++) longest = limits[i] > longest ? limits[i] : longest;
    longest = longest - position < PAGE ? longest - position : PAGE;
    for (int v = 0; v * WK_LANES < longest; v += AT_VECTORS) {
        grouped_scores(queries, AT_VECTORS, q, head_size / 2, keys + 4 * v * WK_LANES, scores + v * WK_LANES);
    }
    for (int i = 0; i < queries; i++) {
        float *s = scores + i * PAGE, *of = state + i * state_stride;
        uint16_t *w = (uint16_t *)(weights + i * (PAGE / 2));
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
    for (; d + AT_VECTORS * WK_LANES <= value_size; d += AT_VECTORS * WK_LANES) {
        grouped_mix(queries, AT_VECTORS, weights, pairs, values + 4 * d, value_size, factors,
                    state + WK_ATTENTION_STATE + d, state_stride);
    }
    for (; d < value_size; d += WK_LANES) {
        grouped_mix(queries, 1, weights, pairs, values + 4 * d, value_size, factors, state + WK_ATTENTION_STATE + d,
                    state_stride);
    }
}

static WK_TARGET void grouped_split(const wk_grouped_tile *a, int64_t begin, int64_t end, float *state) {
    const int64_t stride = WK_ATTENTION_STATE + a->value_size, pairs = a->head_size / 2;
    for (int64_t i = 0; i < a->queries; i++) {
        memset(state + i * stride, 0, (size_t)stride * sizeof(float));
        state[i * stride] = -1e30f;
    }
    for (int64_t position = begin; position < end; position += PAGE) {
        const uint8_t *page = a->pages[position / PAGE];
        const uint8_t *keys = page + a->key_offset, *values = page + a->value_offset;
        int64_t i = 0;
#define TILE(n)                                                                                                        \
    (grouped_page(n, a->packed + i * pairs, keys, values, a->head_size, a->value_size, a->limits + i, position,        \
                  state + i * stride, stride),                                                                         \
     i += (n))
        while (a->queries - i >= AT_QUERIES) TILE(AT_QUERIES);
#if AT_QUERIES > 3
        while (a->queries - i >= 3) TILE(3);
#endif
        while (i < a->queries) TILE(1);
#undef TILE
    }
}

// WK_LANES heads over one page. q: [size / 2][WK_LANES] pairs. Scores and weights: a vector of heads a position.
AT_INLINE void latent_scores(const int positions, const uint32_t *q, int64_t pairs, const uint8_t *rows, int64_t stride,
                             float *scores) {
    wk_vec sums[AT_POSITIONS];
    WK_UNROLL for (int t = 0; t < positions; t++) sums[t] = vec_zero();
    for (int64_t p = 0; p < pairs; p++) {
        const at_pairs query = at_load((const uint8_t *)(q + p * WK_LANES));
        WK_UNROLL for (int t = 0; t < positions; t++) {
            sums[t] = at_dot(sums[t], query, at_spread((const uint32_t *)(rows + t * stride + 4 * p)));
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
                    sums[h] = at_dot(sums[h], pair, at_spread(weights + p * WK_LANES + h));
                }
            }
            WK_UNROLL for (int h = 0; h < WK_LANES; h++) vec_store(result + h * latent + d, sums[h]);
        }
    }
}

#define WK_ATTENTION_KERNELS {.lanes = WK_LANES, .grouped_split = grouped_split, .latent_split = latent_split}
