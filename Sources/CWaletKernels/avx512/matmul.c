// Matrix products with AVX-512, and its row of the table.
#if defined(__x86_64__)
#include "../avx2/avx2_q8.h"
#include "../internal/attention.h"
#include "decode.h"

#include "single_token.h"

#include "../internal/matmul_template.h"
#include "../internal/vector_template.h"

const wk_kernels wk_kernels_avx512 = {
    .name = "avx512",
    .dequantize =
        {
            [WK_F32] = wk_generic_dequantize_f32,
            [WK_F16] = wk_avx512_dequantize_f16,
            [WK_BF16] = wk_avx512_dequantize_bf16,
            [WK_Q4_0] = wk_avx512_dequantize_q4_0,
            [WK_Q4_1] = wk_avx512_dequantize_q4_1,
            [WK_Q5_0] = wk_avx512_dequantize_q5_0,
            [WK_Q5_1] = wk_avx512_dequantize_q5_1,
            [WK_Q8_0] = wk_avx512_dequantize_q8_0,
            [WK_Q2_K] = wk_avx512_dequantize_q2_k,
            [WK_Q3_K] = wk_avx512_dequantize_q3_k,
            [WK_Q4_K] = wk_avx512_dequantize_q4_k,
            [WK_Q5_K] = wk_avx512_dequantize_q5_k,
            [WK_Q6_K] = wk_avx512_dequantize_q6_k,
            [WK_IQ4_NL] = wk_avx512_dequantize_iq4_nl,
            [WK_IQ4_XS] = wk_avx512_dequantize_iq4_xs,
            [WK_MXFP4] = wk_avx512_dequantize_mxfp4,
            [WK_INT4] = wk_avx512_dequantize_int4,
            [WK_INT8] = wk_avx512_dequantize_int8,
            [WK_FP8_E4M3] = wk_avx512_dequantize_f8_e4m3,
        },
    .matmul = matmul,
    .matmul_transposed = matmul_transposed,
    .q8_quantize = wk_avx512_q8_quantize,
    .q8_matmul = wk_avx512_q8_matmul,
    .attention = &wk_avx512_attention,
    .dot = dot,
    .axpy = axpy,
    .add = add,
    .rms_norm = rms_norm,
    .silu_mul = silu_mul,
    .softmax = softmax,
    .rope_interleaved = rope_interleaved,
    .rope_half = rope_half,
};

#endif
