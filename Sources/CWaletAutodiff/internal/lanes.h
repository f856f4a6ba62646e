// Sixteen floats as one, of the compiler's own vectors: one register with AVX-512, two with AVX2, four elsewhere.
// Helpers take pointers, as how vectors are passed depends on the instruction set.
#ifndef WALET_AUTODIFF_LANES_H
#define WALET_AUTODIFF_LANES_H

#include <stdint.h>
#include <string.h>

#define LANES 16
typedef float lanes __attribute__((ext_vector_type(LANES)));
typedef int32_t lanes_int __attribute__((ext_vector_type(LANES)));

#endif
