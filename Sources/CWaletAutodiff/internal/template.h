// All kernels, for the instruction set that the including file has chosen. WA(name) is the name's form for that set.
#include "lanes.h"
#include "walet_autodiff.h"

#include <math.h>

#define INLINE static inline __attribute__((always_inline, unused))

INLINE void load(const float *p, lanes *x) { memcpy(x, p, sizeof(lanes)); }
INLINE void store(const lanes *x, float *p) { memcpy(p, x, sizeof(lanes)); }
// The first n, and a filling behind them.
INLINE void load_tail(const float *p, int64_t n, float filling, lanes *x) {
    float values[LANES];
    for (int i = 0; i < LANES; i++) values[i] = i < n ? p[i] : filling;
    load(values, x);
}
INLINE void store_tail(const lanes *x, int64_t n, float *p) {
    float values[LANES];
    store(x, values);
    for (int i = 0; i < n; i++) p[i] = values[i];
}
INLINE float total(const lanes *x) {
    float v[LANES];
    store(x, v);
    for (int half = LANES / 2; half > 0; half /= 2) {
        for (int i = 0; i < half; i++) v[i] += v[i + half];
    }
    return v[0];
}
INLINE void larger(const lanes *x, lanes *y) { *y = *x > *y ? *x : *y; }
INLINE float largest(const lanes *x) {
    float v[LANES], m;
    store(x, v);
    m = v[0];
    for (int i = 1; i < LANES; i++) m = v[i] > m ? v[i] : m;
    return m;
}

// e^x as 2^k * e^r with |r| <= ln(2) / 2, by the Taylor polynomial to r^7 (remainder below 1e-8). Below -87.3 the result
// is that of -87.3, about 1e-38; above 88.3 that of 88.3. NaN stays NaN.
INLINE void exponential(lanes *x) {
    lanes v = *x;
    v = v < -87.3f ? (lanes)(-87.3f) : v;
    v = v > 88.3f ? (lanes)(88.3f) : v;
    // Its last place is 1: adding it rounds to an integer.
    lanes k = v * 0x1.715476p0f + 0x1.8p23f;
    k = k - 0x1.8p23f;
    lanes r = v - k * 0x1.62e4p-1f;
    r = r - k * 0x1.7f7d1cp-20f;
    lanes p = r * (1.0f / 5040) + (1.0f / 720);
    p = p * r + (1.0f / 120);
    p = p * r + (1.0f / 24);
    p = p * r + (1.0f / 6);
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    // k from its low bits: a NaN is no integer that could be converted.
    lanes shifted = k + 0x1.8p23f;
    lanes_int bits;
    memcpy(&bits, &shifted, sizeof bits);
    bits = (bits - 0x4B400000 + 127) << 23;
    lanes power;
    memcpy(&power, &bits, sizeof power);
    *x = p * power;
}

static void WA(rms_norm)(const float *x, int64_t x_stride, const float *weight, float epsilon, int64_t rows, int64_t n,
                         float *y, float *inverse) {
    for (int64_t row = 0; row < rows; row++, x += x_stride, y += n) {
        lanes sum = 0, v, w;
        int64_t i = 0;
        for (; i + LANES <= n; i += LANES) {
            load(x + i, &v);
            sum += v * v;
        }
        if (i < n) {
            load_tail(x + i, n - i, 0, &v);
            sum += v * v;
        }
        float scale = 1.0f / sqrtf(total(&sum) / (float)n + epsilon);
        inverse[row] = scale;
        for (i = 0; i + LANES <= n; i += LANES) {
            load(x + i, &v);
            load(weight + i, &w);
            v = v * scale * w;
            store(&v, y + i);
        }
        for (; i < n; i++) y[i] = x[i] * scale * weight[i];
    }
}

static void WA(rms_norm_backward)(const float *x, int64_t x_stride, const float *weight, const float *inverse,
                                  const float *dy, int64_t rows, int64_t n, int32_t accumulate, float *dx,
                                  int64_t dx_stride, float *d_weight) {
    for (int64_t row = 0; row < rows; row++, x += x_stride, dx += dx_stride, dy += n) {
        float scale = inverse[row];
        lanes sum = 0, v, w, d, g;
        int64_t i = 0;
        for (; i + LANES <= n; i += LANES) {
            load(x + i, &v);
            load(weight + i, &w);
            load(dy + i, &d);
            load(d_weight + i, &g);
            lanes product = d * v;
            sum += product * w;
            g += product * scale;
            store(&g, d_weight + i);
        }
        float mean = total(&sum);
        int64_t tail = i;
        for (; i < n; i++) {
            mean += dy[i] * x[i] * weight[i];
            d_weight[i] += dy[i] * x[i] * scale;
        }
        mean = mean / (float)n * scale * scale;
        for (i = 0; i + LANES <= n; i += LANES) {
            load(x + i, &v);
            load(weight + i, &w);
            load(dy + i, &d);
            d = scale * (w * d - v * mean);
            if (accumulate) {
                load(dx + i, &g);
                d += g;
            }
            store(&d, dx + i);
        }
        for (i = tail; i < n; i++) {
            float value = scale * (weight[i] * dy[i] - x[i] * mean);
            dx[i] = accumulate ? dx[i] + value : value;
        }
    }
}

INLINE void sigmoid(const lanes *x, lanes *y) {
    lanes e = -*x;
    exponential(&e);
    *y = 1.0f / (1.0f + e);
}

static void WA(swiglu)(const float *gate, const float *up, const float *scale, int64_t rows, int64_t n, float *out) {
    for (int64_t row = 0; row < rows; row++, gate += n, up += n, out += n) {
        float factor = scale ? scale[row] : 1;
        lanes g, u, s;
        for (int64_t i = 0; i < n; i += LANES) {
            if (i + LANES <= n) {
                load(gate + i, &g);
                load(up + i, &u);
                sigmoid(&g, &s);
                g = g * s * u * factor;
                store(&g, out + i);
            } else {
                load_tail(gate + i, n - i, 0, &g);
                load_tail(up + i, n - i, 0, &u);
                sigmoid(&g, &s);
                g = g * s * u * factor;
                store_tail(&g, n - i, out + i);
            }
        }
    }
}

static void WA(swiglu_backward)(float *gate, float *up, const float *scale, const float *d_out, int64_t rows, int64_t n,
                                float *d_scale) {
    for (int64_t row = 0; row < rows; row++, gate += n, up += n, d_out += n) {
        float factor = scale ? scale[row] : 1;
        lanes sum = 0, g, u, d, s;
        for (int64_t i = 0; i < n; i += LANES) {
            int64_t left = n - i;
            if (left >= LANES) {
                load(gate + i, &g);
                load(up + i, &u);
                load(d_out + i, &d);
            } else {
                load_tail(gate + i, left, 0, &g);
                load_tail(up + i, left, 0, &u);
                load_tail(d_out + i, left, 0, &d);
            }
            sigmoid(&g, &s);
            lanes silu = g * s;
            sum += d * silu * u;
            d *= factor;
            lanes dg = d * u * (s + silu * (1.0f - s)), du = d * silu;
            if (left >= LANES) {
                store(&dg, gate + i);
                store(&du, up + i);
            } else {
                store_tail(&dg, left, gate + i);
                store_tail(&du, left, up + i);
            }
        }
        if (scale) d_scale[row] = total(&sum);
    }
}

INLINE int64_t seen(int64_t columns, int64_t limit) { return limit < 0 ? 0 : limit < columns ? limit : columns; }

// x = exp(x * scale - shift) for `limit` of `columns`, 0 behind; the sum of all.
INLINE float exponentials_of_row(float *x, int64_t limit, int64_t columns, float scale, float shift) {
    lanes sum = 0, v;
    int64_t i = 0;
    for (; i + LANES <= limit; i += LANES) {
        load(x + i, &v);
        v = v * scale - shift;
        exponential(&v);
        sum += v;
        store(&v, x + i);
    }
    float result = total(&sum);
    if (i < limit) {
        load_tail(x + i, limit - i, 0, &v);
        v = v * scale - shift;
        exponential(&v);
        store_tail(&v, limit - i, x + i);
        for (int64_t j = i; j < limit; j++) result += x[j];
    }
    for (i = limit; i < columns; i++) x[i] = 0;
    return result;
}

INLINE float largest_of_row(const float *x, int64_t n) {
    lanes most = -INFINITY, v;
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        load(x + i, &v);
        larger(&v, &most);
    }
    float result = largest(&most);
    for (; i < n; i++) result = x[i] > result ? x[i] : result;
    return result;
}

static void WA(attention_softmax)(float *scores, int64_t stride, int64_t rows, int64_t columns, int64_t first_limit,
                                  float scale, float *maximum, float *sum, float *correction) {
    for (int64_t row = 0; row < rows; row++, scores += stride) {
        int64_t limit = seen(columns, first_limit + row);
        float before = maximum[row], now = largest_of_row(scores, limit) * scale;
        if (limit == 0 || now < before) now = before;
        float factor = before == -INFINITY ? 0 : expf(before - now);
        maximum[row] = now;
        correction[row] = factor;
        sum[row] = sum[row] * factor + exponentials_of_row(scores, limit, columns, scale, now);
    }
}

static void WA(attention_probabilities)(float *scores, int64_t stride, int64_t rows, int64_t columns,
                                        int64_t first_limit, float scale, const float *log_sum) {
    for (int64_t row = 0; row < rows; row++, scores += stride) {
        exponentials_of_row(scores, seen(columns, first_limit + row), columns, scale, log_sum[row]);
    }
}

static void WA(attention_backward)(const float *probabilities, float *d, int64_t stride, int64_t rows, int64_t columns,
                                   float scale, const float *delta) {
    for (int64_t row = 0; row < rows; row++, probabilities += stride, d += stride) {
        lanes p, v;
        int64_t i = 0;
        for (; i + LANES <= columns; i += LANES) {
            load(probabilities + i, &p);
            load(d + i, &v);
            v = scale * p * (v - delta[row]);
            store(&v, d + i);
        }
        for (; i < columns; i++) d[i] = scale * probabilities[i] * (d[i] - delta[row]);
    }
}

static float WA(log_sum_exp)(const float *x, int64_t n) {
    float most = largest_of_row(x, n);
    lanes sum = 0, v;
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        load(x + i, &v);
        v -= most;
        exponential(&v);
        sum += v;
    }
    float result = total(&sum);
    for (; i < n; i++) result += expf(x[i] - most);
    return most + logf(result);
}

static void WA(exponentials)(float *x, int64_t n, float shift, float factor) {
    lanes v;
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        load(x + i, &v);
        v -= shift;
        exponential(&v);
        v *= factor;
        store(&v, x + i);
    }
    if (i < n) {
        load_tail(x + i, n - i, 0, &v);
        v -= shift;
        exponential(&v);
        v *= factor;
        store_tail(&v, n - i, x + i);
    }
}

static void WA(scale)(float *x, float a, int64_t n) {
    for (int64_t i = 0; i < n; i++) x[i] *= a;
}

static void WA(blend)(float *x, float a, const float *y, float b, int64_t n) {
    for (int64_t i = 0; i < n; i++) x[i] = a * x[i] + b * y[i];
}

static double WA(square_sum)(const float *x, int64_t n) {
    double result = 0;
    for (int64_t begin = 0; begin < n; begin += 4096) {
        int64_t end = begin + 4096 < n ? begin + 4096 : n, i = begin;
        lanes sum = 0, v;
        for (; i + LANES <= end; i += LANES) {
            load(x + i, &v);
            sum += v * v;
        }
        float part = total(&sum);
        for (; i < end; i++) part += x[i] * x[i];
        result += (double)part;
    }
    return result;
}

static void WA(adamw)(float *value, const float *gradient, float *mean, float *square, int64_t n, float rate,
                      float beta1, float beta2, float epsilon, float decay, float correction1, float correction2) {
    float step = rate / correction1, root = sqrtf(correction2);
    for (int64_t i = 0; i < n; i++) {
        float g = gradient[i];
        float m = mean[i] + (g - mean[i]) * (1 - beta1);
        float s = square[i] * beta2 + g * g * (1 - beta2);
        mean[i] = m;
        square[i] = s;
        value[i] = value[i] * decay - step * m / (sqrtf(s) / root + epsilon);
    }
}

static void WA(to_bf16)(const float *x, uint16_t *y, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, x + i, sizeof bits);
        uint32_t rounded = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16;
        // Rounding could make an infinity of a NaN.
        y[i] = (uint16_t)((bits & 0x7FFFFFFF) > 0x7F800000 ? (bits >> 16 | 0x40) : rounded);
    }
}

static void WA(from_bf16)(const uint16_t *x, float *y, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits = (uint32_t)x[i] << 16;
        memcpy(y + i, &bits, sizeof bits);
    }
}

#include "product.h"

const wa_kernels WA(kernels) = {
    WA(rms_norm), WA(rms_norm_backward), WA(swiglu), WA(swiglu_backward), WA(attention_softmax),
    WA(attention_probabilities), WA(attention_backward), WA(log_sum_exp), WA(exponentials), WA(scale), WA(blend),
    WA(square_sum), WA(adamw), WA(to_bf16), WA(from_bf16), WA(product),
};
