// Attention the readable way: vectors of one float.
#include "generic.h"

#include <math.h>

#define WK_TARGET
#define WK_LANES 1
#define ONE static inline __attribute__((always_inline, unused))

typedef float wk_vec;

ONE wk_vec vec_zero(void) { return 0; }
ONE wk_vec vec_set1(float v) { return v; }
ONE wk_vec vec_load(const float *p) { return *p; }
ONE void vec_store(float *p, wk_vec v) { *p = v; }
ONE wk_vec vec_fma(wk_vec a, wk_vec b, wk_vec c) { return a * b + c; }
ONE wk_vec vec_add(wk_vec a, wk_vec b) { return a + b; }
ONE wk_vec vec_sub(wk_vec a, wk_vec b) { return a - b; }
ONE wk_vec vec_mul(wk_vec a, wk_vec b) { return a * b; }
ONE wk_vec vec_max(wk_vec a, wk_vec b) { return a > b ? a : b; }
ONE float vec_max_lanes(wk_vec v) { return v; }
ONE float vec_sum(wk_vec v) { return v; }
ONE wk_vec vec_exp(wk_vec v) { return expf(v); }

#include "../internal/attention_floats.h"

#define AT_QUERIES 1
#define AT_VECTORS 1
#define AT_FEW_VECTORS 1
#define AT_ONE_VECTORS 1
#define AT_SUMS 1
#define AT_POSITIONS 1
#define AT_HEADS 1
#define AT_MIX_HEADS 1
#define AT_MIX_VECTORS 1

ONE wk_vec at_widen(const uint8_t *p) { return wk_float_from_bf16(wk_load_u16(p)); }
ONE wk_vec at_load(const uint8_t *p, const int half) { return at_widen(p + 2 * half); }
ONE void at_store(float *p, wk_vec v) { *p = wk_round_to_bf16(v); }

#include "../internal/attention_template.h"

const wk_attention_kernels wk_generic_attention = WK_ATTENTION_KERNELS;
