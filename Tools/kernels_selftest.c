// Compares every instruction set that this CPU (or emulator) has with the golden fixtures and with the generic set.
// Tools/test-neon.sh runs it under qemu; on the machine itself `swift test` does the same and more.
#include "walet_kernels.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failures = 0;

static void check(int ok, const char *set, const char *what, long long detail) {
    if (ok) return;
    failures++;
    printf("FAILED %s: %s (%lld)\n", set, what, detail);
}

static float uniform(void) {
    static uint64_t state = 1;
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    return (float)(state >> 40) / (1 << 23) - 1;
}

static float *floats(int64_t n) {
    float *v = malloc((size_t)(n + 1) * sizeof(float));
    for (int64_t i = 0; i < n; i++) v[i] = uniform();
    return v;
}

static int close_to(const float *a, const float *b, int64_t n, float tolerance) {
    for (int64_t i = 0; i < n; i++) {
        if (!(fabsf(a[i] - b[i]) <= tolerance * (1 + fabsf(b[i])))) return 0;
    }
    return 1;
}

// Products with one matrix: near those of the generic set, and each token and row the same alone as in a batch.
static void check_products(const wk_matrix *m, const char *set, const char *name) {
    enum { TOKENS = 35 };
    int64_t rows = m->rows, cols = m->cols;
    float *x = floats(TOKENS * cols), *scratch = malloc((size_t)wk_matmul_scratch(cols) * sizeof(float));
    float *y = malloc(TOKENS * (size_t)rows * 4), *expected = malloc(TOKENS * (size_t)rows * 4);
    float *z = malloc(TOKENS * (size_t)cols * 4), *expected_z = malloc(TOKENS * (size_t)cols * 4);
    float *row = malloc((size_t)cols * 4);
    wk_force_isa("generic");
    double largest = 0;
    for (int64_t r = 0; r < rows; r++) {
        wk_dequantize_row(m, r, row);
        for (int64_t c = 0; c < cols; c++) largest = fabs(row[c]) > largest ? fabs(row[c]) : largest;
    }
    wk_matmul(m, 0, rows, x, cols, TOKENS, expected, rows, scratch);
    wk_matmul_transposed(m, 0, rows, x, cols, TOKENS, expected_z, cols, scratch);
    wk_force_isa(set);
    wk_matmul(m, 0, rows, x, cols, TOKENS, y, rows, scratch);
    wk_matmul_transposed(m, 0, rows, x, cols, TOKENS, z, cols, scratch);
    if (largest < 1e30) { // sums of the fixtures' largest numbers overflow
        for (int64_t i = 0; i < TOKENS * rows; i++) {
            check(fabs(y[i] - expected[i]) <= 2e-6 * largest * (double)cols, set, name, i);
        }
        for (int64_t i = 0; i < TOKENS * cols; i++) {
            check(fabs(z[i] - expected_z[i]) <= 2e-6 * largest * (double)rows, set, name, i);
        }
    }
    for (int64_t t = 0; t < TOKENS; t++) {
        wk_matmul(m, 0, rows, x + t * cols, cols, 1, expected, rows, scratch);
        check(memcmp(expected, y + t * rows, (size_t)rows * 4) == 0, set, name, t);
        wk_matmul_transposed(m, 0, rows, x + t * cols, cols, 1, expected_z, cols, scratch);
        check(memcmp(expected_z, z + t * cols, (size_t)cols * 4) == 0, set, name, t);
    }
    for (int64_t r = 0; r < rows; r++) {
        wk_matmul(m, r, r + 1, x, cols, 1, expected, 1, scratch);
        check(memcmp(expected, y + r, 4) == 0, set, name, r);
    }
    free(x), free(scratch), free(y), free(expected), free(z), free(expected_z), free(row);
}

static void check_fixture(const char *path, const char *name, const char *set) {
    FILE *file = fopen(path, "rb");
    uint32_t header[11] = {0};
    if (!file || fread(header, 4, 11, file) != 11 || memcmp(header, "WKFX", 4) != 0) {
        check(0, set, name, -1);
        if (file) fclose(file);
        return;
    }
    uint8_t *data = malloc(header[9]), *scales = malloc(header[10] + 1);
    int64_t rows = header[3], cols = header[4];
    float *expected = malloc((size_t)(rows * cols) * 4), *out = malloc((size_t)cols * 4);
    int complete = fread(data, 1, header[9], file) == header[9] && fread(scales, 1, header[10], file) == header[10] &&
                   fread(expected, 4, (size_t)(rows * cols), file) == (size_t)(rows * cols);
    fclose(file);
    check(complete, set, name, -2);
    wk_matrix m = {.packing = (int32_t)header[1], .scale_packing = (int32_t)header[2], .rows = rows, .cols = cols,
                   .data = data, .row_bytes = header[5], .scales = scales, .scale_stride = header[8],
                   .group_rows = (int32_t)header[6], .group_cols = (int32_t)header[7]};
    wk_force_isa(set);
    int has_nan = 0;
    for (int64_t r = 0; r < rows; r++) {
        wk_dequantize_row(&m, r, out);
        check(memcmp(out, expected + r * cols, (size_t)cols * 4) == 0, set, name, r);
        for (int64_t c = 0; c < cols; c++) has_nan |= isnan(out[c]) || isinf(out[c]);
    }
    if (!has_nan) check_products(&m, set, name);
    free(data), free(scales), free(expected), free(out);
}

static void check_vectors(const char *set) {
    for (int64_t n = 0; n < 70; n++) {
        float *a = floats(n), *b = floats(n), *c = floats(n), *copies[2], results[2];
        for (int k = 0; k < 2; k++) copies[k] = malloc((size_t)(n + 1) * 4);
        for (int operation = 0; operation < 8; operation++) {
            for (int k = 0; k < 2; k++) {
                wk_force_isa(k ? set : "generic");
                float *y = copies[k];
                memcpy(y, a, (size_t)n * 4);
                y[n] = 5;
                results[k] = 0;
                switch (operation) {
                case 0: results[k] = wk_dot(a, b, n); break;
                case 1: wk_axpy(0.5f, b, y, n); break;
                case 2: wk_add(b, y, n); break;
                case 3: wk_rms_norm(y, b, 1e-5f, y, n); break;
                case 4:
                    for (int64_t i = 0; i < n; i++) y[i] *= 30;
                    wk_silu_mul(y, b, n);
                    break;
                case 5:
                    for (int64_t i = 0; i < n; i++) y[i] *= 10;
                    wk_softmax(y, n);
                    break;
                case 6: wk_rope_interleaved(y, b, c, n / 2); break;
                case 7: wk_rope_half(y, b, c, n / 2); break;
                }
                check(y[n] == 5, set, "write behind the end", n);
            }
            check(close_to(&results[1], &results[0], 1, 4e-6f), set, "dot", n);
            check(close_to(copies[1], copies[0], n, 2e-6f), set, "vector operation", operation * 100 + n);
        }
        free(a), free(b), free(c), free(copies[0]), free(copies[1]);
    }
    // Extremes of the exponential.
    float y[11] = {-INFINITY, -1000, -104, -88, -1, 0, 1, 87, 88.5f, 1000, NAN}, ones[11], expected[11];
    for (int i = 0; i < 11; i++) ones[i] = 1;
    memcpy(expected, y, sizeof y);
    wk_force_isa("generic");
    wk_silu_mul(expected + 1, ones, 10);
    wk_force_isa(set);
    wk_silu_mul(y + 1, ones, 10);
    for (int i = 1; i < 10; i++) check(fabsf(y[i] - expected[i]) <= 1e-6f * fabsf(expected[i]) + 1e-30f, set, "silu", i);
    check(isnan(y[10]), set, "silu of NaN", 0);
}

// A matrix with random bytes and sane scales, at an odd address.
typedef struct {
    wk_matrix m;
    uint8_t *data, *scales;
} random_matrix;

static uint32_t random_bits(void) {
    static uint64_t state = 2;
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    return (uint32_t)(state >> 32);
}

static void put_u16(uint8_t *p, uint32_t v) {
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}

// F16: any sign, exponents around 2^-5; some are zero and some subnormal.
static uint32_t random_f16(void) {
    uint32_t bits = random_bits();
    if (bits % 16 == 0) return 0;
    if (bits % 16 == 1) return bits >> 8 & 0x83ff;
    return (bits >> 8 & 0x83ff) | 10 << 10;
}

static random_matrix make_random(int32_t packing, int64_t rows, int64_t cols, int32_t scale_packing, int32_t group) {
    int64_t values = wk_block_values(packing), bytes = wk_block_bytes(packing), row_bytes = cols / values * bytes;
    int64_t groups = (cols + group - 1) / group;
    random_matrix r = {.data = malloc((size_t)(rows * row_bytes + 1)),
                       .scales = malloc((size_t)(rows * groups * (scale_packing == WK_F32 ? 4 : 2) + 1))};
    uint8_t *data = r.data + 1, *scales = r.scales + 1;
    for (int64_t i = 0; i < rows * row_bytes; i++) data[i] = (uint8_t)random_bits();
    for (int64_t b = 0; b < rows * row_bytes / bytes; b++) {
        uint8_t *block = data + b * bytes;
        switch (packing) {
        case WK_Q4_1: case WK_Q5_1: case WK_Q4_K: case WK_Q5_K:
            put_u16(block, random_f16());
            put_u16(block + 2, random_f16());
            break;
        case WK_Q2_K:
            put_u16(block + 80, random_f16());
            put_u16(block + 82, random_f16());
            break;
        case WK_Q3_K: put_u16(block + 108, random_f16()); break;
        case WK_Q6_K: put_u16(block + 208, random_f16()); break;
        case WK_MXFP4: block[0] = (uint8_t)(random_bits() % 16 ? 118 + random_bits() % 8 : random_bits() % 3); break;
        case WK_INT4: case WK_INT8: break;
        default: put_u16(block, random_f16()); break;
        }
    }
    for (int64_t i = 0; i < rows * groups; i++) {
        float scale = random_bits() % 16 ? uniform() / 64 : random_bits() % 2 ? 0 : 0x1p-130f;
        uint32_t bits;
        memcpy(&bits, &scale, 4);
        if (scale_packing == WK_F32) memcpy(scales + 4 * i, &scale, 4);
        else put_u16(scales + 2 * i, scale_packing == WK_BF16 ? bits >> 16 : random_f16());
    }
    r.m = (wk_matrix){.packing = packing, .scale_packing = scale_packing, .rows = rows, .cols = cols, .data = data,
                      .row_bytes = row_bytes, .scales = scales, .scale_stride = groups, .group_rows = 1,
                      .group_cols = group};
    return r;
}

static const int32_t q8_packings[] = {WK_Q4_0, WK_Q4_1, WK_Q5_0, WK_Q5_1, WK_Q8_0,   WK_Q2_K,  WK_Q3_K, WK_Q4_K,
                                      WK_Q5_K, WK_Q6_K, WK_IQ4_NL, WK_IQ4_XS, WK_MXFP4, WK_INT4, WK_INT8};

// The products with int8 activations of one matrix: bitwise those of the generic set, whatever the batch and the rows.
static void check_q8(const wk_matrix *m, const char *set) {
    enum { TOKENS = 20 };
    static const int64_t counts[] = {1, 2, 3, 4, 5, 6, 7, 8, 13, TOKENS};
    const int64_t ranges[][2] = {{0, m->rows}, {0, 16}, {3, 17}, {7, 8}, {2, 13}, {m->rows - 5, m->rows}};
    int64_t row_bytes = wk_q8_row_bytes(m->cols);
    float *x = floats(TOKENS * m->cols), *scratch = malloc((size_t)wk_q8_matmul_scratch(m->cols) * sizeof(float));
    uint8_t *q8 = aligned_alloc(64, (size_t)(TOKENS * row_bytes));
    uint8_t *q8_of_set = aligned_alloc(64, (size_t)(TOKENS * row_bytes));
    float *y = malloc(TOKENS * (size_t)m->rows * 4), *expected = malloc(TOKENS * (size_t)m->rows * 4);
    memset(x, 0, 32 * sizeof(float));
    x[33] = 1e-41f;
    memset(q8, 0, (size_t)(TOKENS * row_bytes));
    memset(q8_of_set, 0, (size_t)(TOKENS * row_bytes));
    check(wk_q8_supports(m), set, "q8 support", m->packing);
    wk_force_isa("generic");
    wk_q8_quantize(x, m->cols, m->cols, TOKENS, q8);
    wk_q8_matmul(m, 0, m->rows, q8, NULL, TOKENS, expected, m->rows, scratch);
    wk_force_isa(set);
    wk_q8_quantize(x, m->cols, m->cols, TOKENS, q8_of_set);
    check(memcmp(q8, q8_of_set, (size_t)(TOKENS * row_bytes)) == 0, set, "q8 quantization", m->cols);
    for (size_t k = 0; k < 2 * sizeof counts / sizeof *counts; k++) {
        int64_t n = counts[k / 2];
        int32_t token_rows[TOKENS];
        for (int64_t t = 0; t < n; t++) token_rows[t] = (int32_t)(k % 2 ? (7 * t + 3) % TOKENS : t);
        for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
            int64_t begin = ranges[i][0] < 0 ? 0 : ranges[i][0], end = ranges[i][1] > m->rows ? m->rows : ranges[i][1];
            if (begin >= end) continue;
            wk_q8_matmul(m, begin, end, q8, k % 2 ? token_rows : NULL, n, y, end - begin, scratch);
            for (int64_t t = 0; t < n; t++) {
                const float *wanted = expected + token_rows[t] * m->rows + begin;
                check(memcmp(y + t * (end - begin), wanted, (size_t)(end - begin) * 4) == 0, set,
                      "q8 product of packing", m->packing * 10000 + m->cols);
            }
        }
    }
    free(x), free(scratch), free(q8), free(q8_of_set), free(y), free(expected);
}

static void check_all_q8(const char *set) {
    static const int64_t columns[] = {32, 64, 96, 128, 224, 256, 288, 1408, 7168};
    for (int without = 0; without < 2; without++) {
        wk_q8_use_dot_products(!without);
        for (size_t p = 0; p < sizeof q8_packings / sizeof *q8_packings; p++) {
            for (size_t c = 0; c < sizeof columns / sizeof *columns; c++) {
                int32_t packing = q8_packings[p];
                int64_t cols = columns[c];
                if (cols % wk_block_values(packing) != 0) continue;
                int is_integer = packing == WK_INT4 || packing == WK_INT8;
                for (int k = 0; k < (is_integer ? 12 : 1); k++) {
                    static const int32_t groups[] = {32, 64, 128, 0};
                    if (cols > 1408 && k != 2) continue;
                    int32_t group = groups[k / 3] ? groups[k / 3] : (int32_t)cols;
                    random_matrix r = make_random(packing, cols > 1408 ? 17 : 41, cols, k % 3, group);
                    check_q8(&r.m, set);
                    free(r.data), free(r.scales);
                }
            }
        }
    }
    wk_q8_use_dot_products(true);
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: kernels_selftest FOLDER-OF-FIXTURES\n");
        return 2;
    }
    for (const char *const *set = wk_available_isas(); *set; set++) {
        DIR *folder = opendir(argv[1]);
        int count = 0;
        for (struct dirent *entry; folder && (entry = readdir(folder));) {
            char path[4096];
            if (!strstr(entry->d_name, ".bin")) continue;
            snprintf(path, sizeof path, "%s/%s", argv[1], entry->d_name);
            check_fixture(path, entry->d_name, *set);
            count++;
        }
        if (folder) closedir(folder);
        check(count > 0, *set, "no fixtures", 0);
        check_vectors(*set);
        check_all_q8(*set);
        printf("%s: %d fixtures, %d failures so far\n", *set, count, failures);
    }
    return failures != 0;
}
