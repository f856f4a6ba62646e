#include "walet_kernels.h"
