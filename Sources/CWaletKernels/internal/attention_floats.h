// Pairs of BF16 as two vectors of floats, for sets without products of BF16; see attention_template.h.
typedef struct at_pairs {
    wk_vec first, second;
} at_pairs;
typedef at_pairs at_pair;

static inline __attribute__((always_inline, unused)) WK_TARGET at_pair at_spread(const uint32_t *p) {
    const uint32_t bits = wk_load_u32((const uint8_t *)p);
    return (at_pair){vec_set1(wk_float_from_bits(bits << 16)), vec_set1(wk_float_from_bits(bits & 0xffff0000u))};
}
static inline __attribute__((always_inline, unused)) WK_TARGET wk_vec at_dot(wk_vec sum, at_pairs a, at_pair b) {
    return vec_fma(a.second, b.second, vec_fma(a.first, b.first, sum));
}
