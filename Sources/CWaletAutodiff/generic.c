// The kernels for any CPU; on ARM the compiler makes NEON of them.
#include "internal/table.h"

#define WA(name) wa_generic_##name
#include "internal/template.h"
