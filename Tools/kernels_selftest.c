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
        printf("%s: %d fixtures, %d failures so far\n", *set, count, failures);
    }
    return failures != 0;
}
