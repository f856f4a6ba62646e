// The exponential function for any width of vector, of the operations that vector_template.h wants.
// e^x as 2^k * e^r with k = round(x / ln 2) and |r| <= ln(2) / 2; e^r by its Taylor polynomial to r^7, whose remainder
// is below 1e-8. ln 2 is in two parts, so that r keeps its low bits. Below -87.3 the result is cut at about 1e-38, and
// above 88.7 it is infinite. NaN stays NaN.
static inline __attribute__((always_inline, unused)) WK_TARGET wk_vec vec_exp(wk_vec x) {
    // The operand that min and max return for a NaN is their second.
    wk_vec clamped = vec_min(vec_set1(89.0f), vec_max(vec_set1(-104.0f), x));
    const wk_vec magic = vec_set1(0x1.8p23f); // its last place is 1: adding it rounds to an integer
    wk_vec k = vec_sub(vec_fma(clamped, vec_set1(0x1.715476p0f), magic), magic);
    wk_vec r = vec_fma(k, vec_set1(-0x1.62e4p-1f), clamped);
    r = vec_fma(k, vec_set1(-0x1.7f7d1cp-20f), r);
    wk_vec p = vec_set1(1.0f / 5040);
    p = vec_fma(p, r, vec_set1(1.0f / 720));
    p = vec_fma(p, r, vec_set1(1.0f / 120));
    p = vec_fma(p, r, vec_set1(1.0f / 24));
    p = vec_fma(p, r, vec_set1(1.0f / 6));
    p = vec_fma(p, r, vec_set1(0.5f));
    p = vec_fma(p, r, vec_set1(1.0f));
    p = vec_fma(p, r, vec_set1(1.0f));
    return vec_scale_by_power_of_two(p, k);
}
