// Operations on vectors of floats for any width of vector; see matmul_template.h for what must be defined before, and
// here also vec_add, vec_sub, vec_mul, vec_div, vec_max, vec_max_lanes, vec_min and vec_power_of_two.
#include "kernel_table.h"
#include "vector_exp.h"

#include <math.h>

static WK_TARGET float dot(const float *a, const float *b, int64_t n) {
    wk_vec s0 = vec_zero(), s1 = vec_zero(), s2 = vec_zero(), s3 = vec_zero();
    int64_t i = 0;
    for (; i + 4 * WK_LANES <= n; i += 4 * WK_LANES) {
        s0 = vec_fma(vec_load(a + i), vec_load(b + i), s0);
        s1 = vec_fma(vec_load(a + i + WK_LANES), vec_load(b + i + WK_LANES), s1);
        s2 = vec_fma(vec_load(a + i + 2 * WK_LANES), vec_load(b + i + 2 * WK_LANES), s2);
        s3 = vec_fma(vec_load(a + i + 3 * WK_LANES), vec_load(b + i + 3 * WK_LANES), s3);
    }
    for (; i + WK_LANES <= n; i += WK_LANES) s0 = vec_fma(vec_load(a + i), vec_load(b + i), s0);
    if (i < n) s1 = vec_fma(vec_load_tail(a + i, n - i), vec_load_tail(b + i, n - i), s1);
    return vec_sum(vec_add(vec_add(s0, s1), vec_add(s2, s3)));
}

static WK_TARGET void axpy(float a, const float *x, float *y, int64_t n) {
    wk_vec av = vec_set1(a);
    int64_t i = 0;
    for (; i + WK_LANES <= n; i += WK_LANES) vec_store(y + i, vec_fma(av, vec_load(x + i), vec_load(y + i)));
    if (i < n) {
        vec_store_tail(y + i, vec_fma(av, vec_load_tail(x + i, n - i), vec_load_tail(y + i, n - i)), n - i);
    }
}

static WK_TARGET void add(const float *x, float *y, int64_t n) {
    int64_t i = 0;
    for (; i + WK_LANES <= n; i += WK_LANES) vec_store(y + i, vec_add(vec_load(x + i), vec_load(y + i)));
    if (i < n) vec_store_tail(y + i, vec_add(vec_load_tail(x + i, n - i), vec_load_tail(y + i, n - i)), n - i);
}

static WK_TARGET void rms_norm(const float *x, const float *weight, float epsilon, float *y, int64_t n) {
    if (n <= 0) return;
    wk_vec scale = vec_set1(1.0f / sqrtf(dot(x, x, n) / (float)n + epsilon));
    int64_t i = 0;
    for (; i + WK_LANES <= n; i += WK_LANES) {
        wk_vec v = vec_mul(vec_load(x + i), scale);
        vec_store(y + i, weight ? vec_mul(v, vec_load(weight + i)) : v);
    }
    if (i < n) {
        wk_vec v = vec_mul(vec_load_tail(x + i, n - i), scale);
        vec_store_tail(y + i, weight ? vec_mul(v, vec_load_tail(weight + i, n - i)) : v, n - i);
    }
}

static WK_TARGET void silu_mul(float *gate, const float *up, int64_t n) {
    const wk_vec one = vec_set1(1.0f), zero = vec_zero();
    int64_t i = 0;
    for (; i + WK_LANES <= n; i += WK_LANES) {
        wk_vec g = vec_load(gate + i);
        wk_vec s = vec_div(g, vec_add(one, vec_exp(vec_sub(zero, g))));
        vec_store(gate + i, vec_mul(s, vec_load(up + i)));
    }
    if (i < n) {
        wk_vec g = vec_load_tail(gate + i, n - i);
        wk_vec s = vec_div(g, vec_add(one, vec_exp(vec_sub(zero, g))));
        vec_store_tail(gate + i, vec_mul(s, vec_load_tail(up + i, n - i)), n - i);
    }
}

static WK_TARGET void softmax(float *x, int64_t n) {
    if (n <= 0) return;
    wk_vec max = vec_set1(x[0]);
    int64_t i = 0;
    for (; i + WK_LANES <= n; i += WK_LANES) max = vec_max(max, vec_load(x + i));
    float largest = vec_max_lanes(max);
    for (; i < n; i++) largest = x[i] > largest ? x[i] : largest;

    wk_vec shift = vec_set1(largest), sum = vec_zero();
    float tail_sum = 0;
    for (i = 0; i + WK_LANES <= n; i += WK_LANES) {
        wk_vec e = vec_exp(vec_sub(vec_load(x + i), shift));
        vec_store(x + i, e);
        sum = vec_add(sum, e);
    }
    if (i < n) {
        vec_store_tail(x + i, vec_exp(vec_sub(vec_load_tail(x + i, n - i), shift)), n - i);
        for (int64_t j = i; j < n; j++) tail_sum += x[j];
    }
    wk_vec scale = vec_set1(1.0f / (vec_sum(sum) + tail_sum));
    for (i = 0; i + WK_LANES <= n; i += WK_LANES) vec_store(x + i, vec_mul(vec_load(x + i), scale));
    if (i < n) vec_store_tail(x + i, vec_mul(vec_load_tail(x + i, n - i), scale), n - i);
}

// x is (a, b) pairs side by side: x * cos + (-b, a) * sin.
static WK_TARGET void rope_interleaved(float *x, const float *cos, const float *sin, int64_t n_pairs) {
    int64_t i = 0;
    for (; i + WK_LANES / 2 <= n_pairs; i += WK_LANES / 2) {
        wk_vec v = vec_load(x + 2 * i);
        wk_vec rotated = vec_rotate_pairs(v);
        vec_store(x + 2 * i, vec_fma(v, vec_load_twice(cos + i), vec_mul(rotated, vec_load_twice(sin + i))));
    }
    for (; i < n_pairs; i++) {
        float a = x[2 * i], b = x[2 * i + 1];
        x[2 * i] = a * cos[i] - b * sin[i];
        x[2 * i + 1] = b * cos[i] + a * sin[i];
    }
}

static WK_TARGET void rope_half(float *x, const float *cos, const float *sin, int64_t n_pairs) {
    float *second = x + n_pairs;
    int64_t i = 0;
    for (; i + WK_LANES <= n_pairs; i += WK_LANES) {
        wk_vec a = vec_load(x + i), b = vec_load(second + i), c = vec_load(cos + i), s = vec_load(sin + i);
        vec_store(x + i, vec_fma(a, c, vec_sub(vec_zero(), vec_mul(b, s))));
        vec_store(second + i, vec_fma(b, c, vec_mul(a, s)));
    }
    for (; i < n_pairs; i++) {
        float a = x[i], b = second[i];
        x[i] = a * cos[i] - b * sin[i];
        second[i] = b * cos[i] + a * sin[i];
    }
}
