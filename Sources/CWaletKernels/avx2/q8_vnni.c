// The same as q8.c with the dot products of AVX-VNNI.
#if defined(__x86_64__)
#define WK_TARGET __attribute__((target("avx2,fma,f16c,avxvnni")))
#define WK_Q8_TILES 2
#define WK_Q8_TOKENS 2
#define WK_Q8_BIASED 1

#include "q8_words.h"

OP wk_words w_bytes_prepare(wk_words q) { return w_xor(q, w_set1(0x80808080)); }

OP void q8_dot(const int tiles, const int tokens, const int bits, const int first, const int count, const wk_words *w,
               const uint8_t *const *a, const int64_t *offsets, wk_words *sums) {
    (void)bits;
    WK_UNROLL for (int k = first; k < first + count; k++) {
        WK_UNROLL for (int t = 0; t < tokens; t++) {
            const wk_words values = w_set1_load(a[t] + offsets[k]);
            WK_UNROLL for (int i = 0; i < tiles; i++) {
                wk_words *sum = &sums[i * tokens + t];
                *sum = _mm256_dpbusd_avx_epi32(*sum, w[i * WK_Q8_TILE_VECTORS + k], values);
            }
        }
    }
}

#include "../internal/q8_template.h"

void wk_avx2_vnni_q8_matmul(const wk_matrix *m, int64_t row_begin, int64_t row_end, const uint8_t *q8,
                            const int32_t *token_rows, int64_t n, float *y, int64_t y_stride, float *scratch) {
    q8_matmul(m, row_begin, row_end, q8, token_rows, n, y, y_stride, scratch);
}

#endif
