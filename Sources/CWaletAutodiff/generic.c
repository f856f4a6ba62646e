// The kernels for any CPU; on ARM the compiler makes NEON of them.
#include "internal/table.h"

#define WA(name) wa_generic_##name
#define PRODUCT_ROWS 4
#define PRODUCT_LANES 1
#include "internal/template.h"
