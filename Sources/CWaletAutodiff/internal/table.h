// The kernels of one instruction set, in the order of walet_autodiff.h.
#ifndef WALET_AUTODIFF_TABLE_H
#define WALET_AUTODIFF_TABLE_H

#include <stdint.h>

typedef struct wa_kernels {
    void (*rms_norm)(const float *, int64_t, const float *, float, int64_t, int64_t, float *, float *);
    void (*rms_norm_backward)(const float *, int64_t, const float *, const float *, const float *, int64_t, int64_t,
                              int32_t, float *, int64_t, float *);
    void (*swiglu)(const float *, const float *, const float *, int64_t, int64_t, float *);
    void (*swiglu_backward)(float *, float *, const float *, const float *, int64_t, int64_t, float *);
    void (*attention_softmax)(float *, int64_t, int64_t, int64_t, int64_t, float, float *, float *, float *);
    void (*attention_probabilities)(float *, int64_t, int64_t, int64_t, int64_t, float, const float *);
    void (*attention_backward)(const float *, float *, int64_t, int64_t, int64_t, float, const float *);
    float (*log_sum_exp)(const float *, int64_t);
    void (*exponentials)(float *, int64_t, float, float);
    void (*scale)(float *, float, int64_t);
    void (*blend)(float *, float, const float *, float, int64_t);
    double (*square_sum)(const float *, int64_t);
    void (*adamw)(float *, const float *, float *, float *, int64_t, float, float, float, float, float, float, float);
    void (*to_bf16)(const float *, uint16_t *, int64_t);
    void (*from_bf16)(const uint16_t *, float *, int64_t);
    void (*product)(int64_t, int64_t, int64_t, float, const float *, int64_t, int64_t, const float *, int64_t, int64_t, float,
                    float *, int64_t);
} wa_kernels;

extern const wa_kernels wa_generic_kernels;
#if defined(__x86_64__)
extern const wa_kernels wa_avx2_kernels;
extern const wa_kernels wa_avx512_kernels;
#endif

#endif
