// Doors to attention: packing of queries, splits, and how splits are combined.
#include "internal/attention.h"

#include <math.h>

#pragma STDC FP_CONTRACT OFF

// Numbers that are rounded at a time, so that a loop without anything else in it becomes vectors.
enum { STRETCH = 64 };

static int64_t stretch_at(int64_t i, int64_t n) {
    return n - i < STRETCH ? n - i : STRETCH;
}

static void store_rounded(const float *restrict x, int64_t n, uint8_t *restrict out) {
    for (int64_t i = 0; i < n; i++) {
        const uint16_t bits = wk_bf16_from_float(x[i]);
        memcpy(out + 2 * i, &bits, sizeof bits);
    }
}

// Numbers of a query, scaled and rounded to BF16, as floats.
static void scaled_stretch(const float *restrict q, float scale, int64_t n, float *restrict out) {
    for (int64_t i = 0; i < n; i++) out[i] = wk_round_to_bf16(q[i] * scale);
}

static int64_t rounded_up(int64_t n) {
    return (n + 15) / 16 * 16;
}

static int64_t splits_of(int64_t positions, int64_t size) {
    return (positions + size - 1) / size;
}

static int64_t end_of(int64_t split, int64_t positions, int64_t size) {
    const int64_t end = (split + 1) * size;
    return end < positions ? end : positions;
}

// total += part, of two softmaxes over different positions.
static void combine(float *top, float *sum, float *result, float part_top, float part_sum, const float *part,
                    int64_t count) {
    const float largest = part_top > *top ? part_top : *top;
    const float before = expf(*top - largest), now = expf(part_top - largest);
    *sum = *sum * before + part_sum * now;
    *top = largest;
    for (int64_t i = 0; i < count; i++) result[i] = result[i] * before + part[i] * now;
}

// Grouped attention

void wk_grouped_store(const float *key, const float *value, int64_t head_size, int64_t value_size, uint8_t *keys,
                      uint8_t *values, int64_t slot, bool last) {
    uint8_t bits[2 * STRETCH];
    for (int64_t i = 0; i < head_size; i += STRETCH) {
        const int64_t n = stretch_at(i, head_size);
        store_rounded(key + i, n, bits);
        uint8_t *out = keys + 2 * i * WK_ATTENTION_PAGE + 4 * slot;
        for (int64_t j = 0; j < n; j += 2) memcpy(out + 2 * j * WK_ATTENTION_PAGE, bits + 2 * j, 4);
    }
    uint8_t *out = values + 4 * (slot / 2 * value_size);
    const bool alone = last && slot % 2 == 0;
    if (alone) memset(out, 0, (size_t)(4 * value_size));
    for (int64_t i = 0; i < value_size; i += STRETCH) {
        const int64_t n = stretch_at(i, value_size);
        store_rounded(value + i, n, bits);
        uint8_t *to = out + 4 * i + 2 * (slot % 2);
        for (int64_t j = 0; j < n; j++) memcpy(to + 4 * j, bits + 2 * j, 2);
    }
}

static int64_t limit_of(const wk_grouped_attention *a) {
    return a->first_limit + (a->queries - 1) / a->group;
}

int64_t wk_grouped_state(const wk_grouped_attention *a) {
    return a->queries * (WK_ATTENTION_STATE + a->value_size);
}

int64_t wk_grouped_scratch(const wk_grouped_attention *a) {
    return rounded_up(a->queries * a->head_size) + rounded_up(2 * a->queries) + 2 * wk_grouped_state(a) + 16;
}

static wk_grouped_tile grouped_tile(const wk_grouped_attention *a, float *scratch) {
    // Room for floats, whichever they are.
    int64_t *limits = (int64_t *)(scratch + rounded_up(a->queries * a->head_size));
    const bool floats = wk_attention_in_use()->floats;
    for (int64_t i = 0; i < a->queries; i++) {
        const float *q = a->query + i / a->group * a->query_stride + i % a->group * a->head_size;
        if (floats) {
            scaled_stretch(q, a->scale, a->head_size, scratch + i * a->head_size);
        } else {
            uint8_t *out = (uint8_t *)scratch + 2 * i * a->head_size;
            float scaled[STRETCH];
            for (int64_t j = 0; j < a->head_size; j += STRETCH) {
                const int64_t n = stretch_at(j, a->head_size);
                scaled_stretch(q + j, a->scale, n, scaled);
                store_rounded(scaled, n, out + 2 * j);
            }
        }
        limits[i] = a->first_limit + i / a->group;
    }
    return (wk_grouped_tile){.pages = a->pages, .key_offset = a->key_offset, .value_offset = a->value_offset,
                             .head_size = a->head_size, .value_size = a->value_size, .queries = a->queries,
                             .packed = scratch, .limits = limits};
}

static float *aligned(float *scratch) {
    return (float *)(((uintptr_t)scratch + 63) / 64 * 64);
}

void wk_grouped_add(const wk_grouped_attention *a, float *state, const float *part) {
    const int64_t stride = WK_ATTENTION_STATE + a->value_size;
    for (int64_t i = 0; i < a->queries; i++, state += stride, part += stride) {
        combine(state, state + 1, state + WK_ATTENTION_STATE, part[0], part[1], part + WK_ATTENTION_STATE,
                a->value_size);
    }
}

static void grouped_finish(const wk_grouped_attention *a, const float *state) {
    const int64_t stride = WK_ATTENTION_STATE + a->value_size;
    for (int64_t i = 0; i < a->queries; i++, state += stride) {
        float *out = a->result + i / a->group * a->result_stride + i % a->group * a->value_size;
        const float factor = 1 / state[1];
        for (int64_t j = 0; j < a->value_size; j++) out[j] = state[WK_ATTENTION_STATE + j] * factor;
    }
}

// All splits of the first `limit` positions, one after the other, into `state`.
static void grouped_splits(const wk_grouped_attention *a, const wk_grouped_tile *tile, int64_t limit, float *state,
                           float *part) {
    const int64_t size = WK_ATTENTION_SPLIT;
    for (int64_t split = 0; split < splits_of(limit, size); split++) {
        float *out = split == 0 ? state : part;
        wk_attention_in_use()->grouped_split(tile, split * size, end_of(split, limit, size), out);
        if (split > 0) wk_grouped_add(a, state, part);
    }
}

void wk_grouped_attend(const wk_grouped_attention *a, float *scratch) {
    float *from = aligned(scratch);
    const wk_grouped_tile tile = grouped_tile(a, from);
    float *state = from + rounded_up(a->queries * a->head_size) + rounded_up(2 * a->queries);
    float *part = state + wk_grouped_state(a);
    grouped_splits(a, &tile, limit_of(a), state, part);
    grouped_finish(a, state);
}

void wk_grouped_attend_first(const wk_grouped_attention *a, int64_t positions, float *state, float *scratch) {
    float *from = aligned(scratch);
    const wk_grouped_tile tile = grouped_tile(a, from);
    const int64_t limit = limit_of(a);
    float *part = from + rounded_up(a->queries * a->head_size) + rounded_up(2 * a->queries);
    grouped_splits(a, &tile, positions < limit ? positions : limit, state, part);
}

void wk_grouped_attend_split(const wk_grouped_attention *a, int64_t split, float *state, float *scratch) {
    const int64_t size = WK_ATTENTION_SPLIT;
    const wk_grouped_tile tile = grouped_tile(a, aligned(scratch));
    wk_attention_in_use()->grouped_split(&tile, split * size, end_of(split, limit_of(a), size), state);
}

void wk_grouped_combine(const wk_grouped_attention *a, int64_t splits, float *states) {
    for (int64_t split = 1; split < splits; split++) wk_grouped_add(a, states, states + split * wk_grouped_state(a));
    grouped_finish(a, states);
}

// Latent attention

// Short contexts give several workers something to do, long ones pack their queries less often.
int64_t wk_latent_split(int64_t limit) {
    return limit <= 1024 ? 128 : limit <= 2048 ? 256 : 512;
}

int64_t wk_latent_heads(void) {
    return wk_attention_in_use()->lanes;
}

void wk_latent_store(const float *row, int64_t width, uint8_t *rows, int64_t slot, bool last) {
    uint8_t *out = rows + slot * 2 * width;
    store_rounded(row, width, out);
    if (last && slot % 2 == 0) memset(out + 2 * width, 0, (size_t)(2 * width));
}

void wk_latent_load(const uint8_t *rows, int64_t width, int64_t latent, int64_t slot, float *values, float *rest) {
    const uint8_t *row = rows + slot * 2 * width;
    for (int64_t i = 0; i < latent; i++) values[i] = wk_float_from_bf16(wk_load_u16(row + 2 * i));
    for (int64_t i = latent; i < width; i++) rest[i - latent] = wk_float_from_bf16(wk_load_u16(row + 2 * i));
}

int64_t wk_latent_state(const wk_latent_attention *a) {
    return wk_latent_heads() * (2 + a->latent);
}

// Room for the queries, and behind them for a page's rows, as floats, whichever they are.
static int64_t latent_packed(const wk_latent_attention *a) {
    return rounded_up(wk_latent_heads() * a->width);
}

static int64_t latent_room(const wk_latent_attention *a) {
    return latent_packed(a) + rounded_up(WK_ATTENTION_PAGE * a->width);
}

int64_t wk_latent_scratch(const wk_latent_attention *a) {
    return latent_room(a) + 2 * rounded_up(wk_latent_state(a)) + 16;
}

static wk_latent_tile latent_tile(const wk_latent_attention *a, float *scratch) {
    uint32_t *pairs = (uint32_t *)scratch;
    const int64_t lanes = wk_latent_heads();
    const bool floats = wk_attention_in_use()->floats;
    if (a->heads < lanes) memset(scratch, 0, (size_t)(lanes * a->width) * sizeof *scratch);
    for (int64_t h = 0; h < a->heads; h++) {
        for (int64_t i = 0; i < a->width; i += STRETCH) {
            const int64_t n = stretch_at(i, a->width);
            float scaled[STRETCH];
            scaled_stretch(a->query + h * a->width + i, a->scale, n, scaled);
            if (floats) {
                for (int64_t j = 0; j < n; j++) scratch[(i + j) * lanes + h] = scaled[j];
            } else {
                uint8_t bits[2 * STRETCH];
                store_rounded(scaled, n, bits);
                for (int64_t j = 0; j < n; j += 2) memcpy(pairs + (i + j) / 2 * lanes + h, bits + 2 * j, 4);
            }
        }
    }
    return (wk_latent_tile){.pages = a->pages, .offset = a->offset, .width = a->width, .latent = a->latent,
                            .heads = a->heads, .packed = scratch, .rows = scratch + latent_packed(a)};
}

static void latent_add(const wk_latent_attention *a, float *state, const float *part) {
    const int64_t lanes = wk_latent_heads();
    for (int64_t h = 0; h < a->heads; h++) {
        combine(state + h, state + lanes + h, state + 2 * lanes + h * a->latent, part[h], part[lanes + h],
                part + 2 * lanes + h * a->latent, a->latent);
    }
}

static void latent_finish(const wk_latent_attention *a, const float *state) {
    const int64_t lanes = wk_latent_heads();
    for (int64_t h = 0; h < a->heads; h++) {
        const float factor = 1 / state[lanes + h], *from = state + 2 * lanes + h * a->latent;
        for (int64_t i = 0; i < a->latent; i++) a->result[h * a->latent + i] = from[i] * factor;
    }
}

void wk_latent_attend(const wk_latent_attention *a, float *scratch) {
    float *from = aligned(scratch);
    const wk_latent_tile tile = latent_tile(a, from);
    float *state = from + latent_room(a), *part = state + rounded_up(wk_latent_state(a));
    const wk_attention_kernels *kernels = wk_attention_in_use();
    const int64_t size = wk_latent_split(a->limit);
    for (int64_t split = 0; split < splits_of(a->limit, size); split++) {
        kernels->latent_split(&tile, split * size, end_of(split, a->limit, size), split == 0 ? state : part);
        if (split > 0) latent_add(a, state, part);
    }
    latent_finish(a, state);
}

void wk_latent_attend_split(const wk_latent_attention *a, int64_t split, float *state, float *scratch) {
    const wk_latent_tile tile = latent_tile(a, aligned(scratch));
    const int64_t size = wk_latent_split(a->limit);
    wk_attention_in_use()->latent_split(&tile, split * size, end_of(split, a->limit, size), state);
}

void wk_latent_combine(const wk_latent_attention *a, int64_t splits, float *states) {
    for (int64_t split = 1; split < splits; split++) latent_add(a, states, states + split * wk_latent_state(a));
    latent_finish(a, states);
}
