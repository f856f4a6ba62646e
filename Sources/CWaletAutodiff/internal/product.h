// Products of fp32 matrices, c = alpha * a b + beta * c, for small and thin ones: only a panel of b's columns is put next to
// each other, a is read where it lies, and what comes next is fetched meanwhile, as matrices come from memory and the
// processor does not see by itself where the next rows lie. Needs template.h before it, and PRODUCT_ROWS, 4, 6 or 14, and
// PRODUCT_LANES: rows of a tile, and vectors in each, which are all in registers.
#define PRODUCT_COLUMNS (PRODUCT_LANES * LANES)

enum {
    WA(product_depth) = 256,  // of a panel, which then stays in the first cache
    WA(product_height) = 560, // rows of a that are multiplied with it, which stay in the second
    WA(product_chunk) = 16,   // steps of a tile, before which some lines are fetched
    WA(product_fetched) = 5,  // lines of 64 bytes of each part
};

// A part of a matrix, line by line of memory.
typedef struct {
    const float *start;
    int64_t count, length, step; // lengths in memory, their floats, and floats from one to the next
    int64_t done;                // floats of the first
} product_part;

// Rows and columns of a matrix, however it lies.
INLINE product_part product_part_of(const float *x, int64_t rows, int64_t columns, int64_t row, int64_t column) {
    product_part by_rows = {x, rows, columns, row, 0}, by_columns = {x, columns, rows, column, 0};
    return column == 1 ? by_rows : by_columns;
}

INLINE void product_fetch(product_part *part) {
    for (int i = 0; i < WA(product_fetched) && part->count > 0; i++) {
        __builtin_prefetch(part->start + part->done, 0, 3);
        part->done += 16;
        if (part->done < part->length) continue;
        part->done = 0;
        part->start += part->step;
        part->count--;
    }
}

// What is not in the caches yet and soon read.
typedef struct {
    const float *tile;             // the next rows of a, in the steps of this tile; NULL where they are near
    product_part panel;            // the next columns of b
    product_part block_a, block_b; // the next steps
} product_next;

// sums += a b for `depth` steps of some rows of a and a panel of b. The number of rows is constant where this is inlined.
INLINE void product_steps(int rows, int64_t depth, const float *a, int64_t a_row, int64_t a_column, const float *panel,
                          lanes (*sums)[PRODUCT_LANES]) {
    for (int64_t p = 0; p < depth; p++) {
        lanes b[PRODUCT_LANES];
        for (int v = 0; v < PRODUCT_LANES; v++) load(panel + p * PRODUCT_COLUMNS + v * LANES, &b[v]);
        const float *column = a + p * a_column;
#pragma clang loop unroll(full)
        for (int r = 0; r < rows; r++) {
            lanes x = (lanes)(column[r * a_row]);
            for (int v = 0; v < PRODUCT_LANES; v++) sums[r][v] = x * b[v] + sums[r][v];
        }
    }
}

// c[rows, columns] = alpha * a b + beta * c for `rows` of a and a panel of b. [depth, PRODUCT_COLUMNS]
// a[r, p] = a[r * a_row + p * a_column].
INLINE void product_tile(int rows, int64_t depth, const float *a, int64_t a_row, int64_t a_column, const float *panel,
                         float alpha, float beta, float *c, int64_t c_stride, int64_t columns, product_next *next) {
    enum { CHUNK = WA(product_chunk) };
    lanes sums[PRODUCT_ROWS][PRODUCT_LANES];
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; r++) {
        for (int v = 0; v < PRODUCT_LANES; v++) sums[r][v] = (lanes)(0.0f);
    }
    int64_t p = 0;
    for (int written = 0; depth - p >= CHUNK; p += CHUNK) {
        for (int r = 0; r < 6 && written < rows; r++, written++) {
            for (int v = 0; v < PRODUCT_COLUMNS; v += 16) __builtin_prefetch(c + written * c_stride + v, 1, 3);
        }
        if (next->tile) {
            for (int r = 0; r < (a_column == 1 ? rows : CHUNK); r++) {
                __builtin_prefetch(next->tile + (a_column == 1 ? r * a_row + p : (p + r) * a_column), 0, 3);
            }
        }
        product_fetch(&next->panel);
        product_fetch(&next->block_a);
        product_fetch(&next->block_b);
        product_steps(rows, CHUNK, a + p * a_column, a_row, a_column, panel + p * PRODUCT_COLUMNS, sums);
    }
    product_steps(rows, depth - p, a + p * a_column, a_row, a_column, panel + p * PRODUCT_COLUMNS, sums);
    if (columns == PRODUCT_COLUMNS && beta == 0) {
#pragma clang loop unroll(full)
        for (int r = 0; r < rows; r++) {
            for (int v = 0; v < PRODUCT_LANES; v++) {
                lanes y = alpha * sums[r][v];
                store(&y, c + r * c_stride + v * LANES);
            }
        }
        return;
    }
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; r++) {
        for (int v = 0; v < PRODUCT_LANES; v++) {
            float *place = c + r * c_stride + v * LANES;
            int64_t left = columns - v * LANES;
            if (left <= 0) break;
            lanes y = alpha * sums[r][v], before = (lanes)(0.0f);
            if (beta != 0) {
                if (left >= LANES) load(place, &before);
                else load_tail(place, left, 0, &before);
                y = beta * before + y;
            }
            if (left >= LANES) store(&y, place);
            else store_tail(&y, left, place);
        }
    }
}

typedef void (*WA(product_function))(int64_t, const float *, int64_t, int64_t, const float *, float, float, float *, int64_t,
                                     int64_t, product_next *);

// Rows that lie as they are, one way or the other.
#define PRODUCT_TILE(rows)                                                                                                 \
    static void WA(product_##rows)(int64_t depth, const float *a, int64_t a_row, int64_t a_column, const float *panel,     \
                                   float alpha, float beta, float *c, int64_t c_stride, int64_t columns,                   \
                                   product_next *next) {                                                                   \
        if (a_column == 1) {                                                                                               \
            product_tile(rows, depth, a, a_row, 1, panel, alpha, beta, c, c_stride, columns, next);                        \
        } else {                                                                                                           \
            product_tile(rows, depth, a, 1, a_column, panel, alpha, beta, c, c_stride, columns, next);                     \
        }                                                                                                                  \
    }
PRODUCT_TILE(1)
PRODUCT_TILE(2)
PRODUCT_TILE(3)
PRODUCT_TILE(4)
#if PRODUCT_ROWS > 4
PRODUCT_TILE(5)
PRODUCT_TILE(6)
#endif
#if PRODUCT_ROWS > 6
PRODUCT_TILE(7)
PRODUCT_TILE(8)
PRODUCT_TILE(9)
PRODUCT_TILE(10)
PRODUCT_TILE(11)
PRODUCT_TILE(12)
PRODUCT_TILE(13)
PRODUCT_TILE(14)
#endif
#undef PRODUCT_TILE

static const WA(product_function) WA(product_tiles)[] = {
    NULL, WA(product_1), WA(product_2), WA(product_3), WA(product_4),
#if PRODUCT_ROWS > 4
    WA(product_5), WA(product_6),
#endif
#if PRODUCT_ROWS > 6
    WA(product_7), WA(product_8), WA(product_9), WA(product_10), WA(product_11), WA(product_12), WA(product_13),
    WA(product_14),
#endif
};

// Rows 16 apart: y[j][i] = x[i][j], by four rounds that each interleave the halves.
INLINE void transpose(lanes *x) {
    lanes y[LANES];
    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < LANES / 2; i++) {
            y[2 * i] = __builtin_shufflevector(x[i], x[i + LANES / 2], 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
            y[2 * i + 1] = __builtin_shufflevector(x[i], x[i + LANES / 2], 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14,
                                                   30, 15, 31);
        }
        for (int i = 0; i < LANES; i++) x[i] = y[i];
    }
}

// A panel of b's columns, zeros behind the last. b[p, j] = b[p * b_row + j * b_column]
static void WA(product_panel)(const float *b, int64_t b_row, int64_t b_column, int64_t depth, int64_t columns, float *panel) {
    for (int v = 0; v < PRODUCT_LANES; v++) {
        int64_t width = columns - v * LANES;
        float *target = panel + v * LANES;
        const float *source = b + v * LANES * b_column;
        if (width <= 0) {
            for (int64_t p = 0; p < depth; p++) memset(target + p * PRODUCT_COLUMNS, 0, sizeof(lanes));
        } else if (b_column == 1) {
            for (int64_t p = 0; p < depth; p++) {
                lanes x;
                if (width >= LANES) load(source + p * b_row, &x);
                else load_tail(source + p * b_row, width, 0, &x);
                store(&x, target + p * PRODUCT_COLUMNS);
            }
        } else {
            int64_t p = 0;
            for (; p + LANES <= depth; p += LANES) {
                lanes x[LANES];
                for (int j = 0; j < LANES; j++) {
                    if (j < width) load(source + j * b_column + p, &x[j]);
                    else x[j] = (lanes)(0.0f);
                }
                transpose(x);
                for (int i = 0; i < LANES; i++) store(&x[i], target + (p + i) * PRODUCT_COLUMNS);
            }
            for (; p < depth; p++) {
                for (int j = 0; j < LANES; j++) target[p * PRODUCT_COLUMNS + j] = j < width ? source[j * b_column + p] : 0;
            }
        }
    }
}

// Rows of a tile, so that the last one of many is not of very few.
INLINE int64_t product_rows(int64_t left) {
    return left >= 2 * PRODUCT_ROWS || left == PRODUCT_ROWS ? PRODUCT_ROWS : left > PRODUCT_ROWS ? (left + 1) / 2 : left;
}

static void WA(product)(int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t a_row, int64_t a_column,
                        const float *b, int64_t b_row, int64_t b_column, float beta, float *c, int64_t c_stride) {
    enum { DEPTH = WA(product_depth), HEIGHT = WA(product_height) };
    _Alignas(64) float panel[DEPTH * PRODUCT_COLUMNS];
    for (int64_t p = 0; p < k; p += DEPTH) {
        const int64_t depth = k - p < DEPTH ? k - p : DEPTH, after = k - p - depth < DEPTH ? k - p - depth : DEPTH;
        for (int64_t i = 0; i < m; i += HEIGHT) {
            const int64_t end = m - i < HEIGHT ? m : i + HEIGHT;
            product_next next = {NULL, {0}, {0}, {0}};
            if (end == m && after > 0) {
                next.block_b = product_part_of(b + (p + depth) * b_row, after, n, b_row, b_column);
                // Rows of a that lie as they are multiplied are fetched tile by tile.
                if (a_column != 1) next.block_a = product_part_of(a + (p + depth) * a_column, m, after, a_row, a_column);
            }
            for (int64_t j = 0; j < n; j += PRODUCT_COLUMNS) {
                const int64_t columns = n - j < PRODUCT_COLUMNS ? n - j : PRODUCT_COLUMNS, beyond = n - j - columns;
                WA(product_panel)(b + p * b_row + j * b_column, b_row, b_column, depth, columns, panel);
                // Later blocks were fetched during the one before.
                if (p == 0 && i == 0 && beyond > 0) {
                    next.panel = product_part_of(b + (j + columns) * b_column, depth,
                                                 beyond < PRODUCT_COLUMNS ? beyond : PRODUCT_COLUMNS, b_row, b_column);
                }
                for (int64_t r = i; r < end;) {
                    const int64_t rows = product_rows(end - r);
                    const int cold = j == 0 && (a_column == 1 || p == 0);
                    next.tile = cold && r + rows < end ? a + (r + rows) * a_row + p * a_column : NULL;
                    WA(product_tiles)[rows](depth, a + r * a_row + p * a_column, a_row, a_column, panel, alpha,
                                            p == 0 ? beta : 1, c + r * c_stride + j, c_stride, columns, &next);
                    r += rows;
                }
            }
        }
    }
}
