// Numbers of queries, weights and the cache as floats, for sets without products of BF16; see attention_template.h.
// Queries and weights are kept as floats so that spreading one is a load, and nothing else.
#define AT_FLOATS 1
#define AT_HALVES 2

typedef float at_number;
typedef wk_vec at_pairs;

static inline __attribute__((always_inline, unused)) WK_TARGET wk_vec at_spread(const float *pair, const int half) {
    return vec_set1(pair[half]);
}
static inline __attribute__((always_inline, unused)) WK_TARGET wk_vec at_dot(wk_vec sum, wk_vec a, wk_vec b) {
    return vec_fma(a, b, sum);
}
