// Doors to Walet's SIMD kernels: plain functions on pointers and sizes. No function here allocates, but for the pool's
// creation; none reads past what its sizes say. All pointers to weights may be unaligned: they point into mapped files.
#ifndef WALET_KERNELS_H
#define WALET_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// How the numbers of a matrix are packed. GGUF block formats are those of ggml; INT4, INT8 and FP8 are those of
// compressed-tensors `pack-quantized` and of DeepSeek's block-scaled FP8.
typedef enum wk_packing {
    WK_F32 = 0,
    WK_F16 = 1,
    WK_BF16 = 2,
    WK_Q4_0 = 3,
    WK_Q4_1 = 4,
    WK_Q5_0 = 5,
    WK_Q5_1 = 6,
    WK_Q8_0 = 7,
    WK_Q2_K = 8,
    WK_Q3_K = 9,
    WK_Q4_K = 10,
    WK_Q5_K = 11,
    WK_Q6_K = 12,
    WK_IQ4_NL = 13,
    WK_IQ4_XS = 14,
    WK_MXFP4 = 15,
    WK_INT4 = 16,      // 8 values an I32 word, offset 8, scale per row and group of columns
    WK_INT8 = 17,      // 4 values an I32 word, offset 128, scale per row and group of columns
    WK_FP8_E4M3 = 18,  // one byte a value, F32 scale per block of rows and columns
    WK_PACKING_COUNT = 19
} wk_packing;

// A matrix [rows, cols] as it lies in its file, row-major. Row r begins at data + r * row_bytes.
typedef struct wk_matrix {
    int32_t packing;       // wk_packing
    int32_t scale_packing; // WK_F32, WK_F16 or WK_BF16; unused where the blocks carry their scales
    int64_t rows;
    int64_t cols;
    const uint8_t *data;
    int64_t row_bytes;
    const uint8_t *scales; // [ceil(rows / group_rows), ceil(cols / group_cols)], or NULL
    int64_t scale_stride;  // scales in a row of scales
    int32_t group_rows;    // rows that share a scale: 1 for INT4 and INT8, 128 for FP8
    int32_t group_cols;    // columns that share a scale: 32, 64, 128, or cols for one scale a row
} wk_matrix;

// Values in a block, and bytes in it, of the packings that carry their own scales; plain types are blocks of one. For
// INT4 and INT8 the block is one I32 word.
int64_t wk_block_values(int32_t packing);
int64_t wk_block_bytes(int32_t packing);

// The instruction set in use: "generic", "avx2", "avx512", "neon". Chosen once, from what the CPU has, or by the
// environment variable WALET_ISA; a set that this CPU lacks falls back to the best that it has.
const char *wk_isa(void);
// The sets that this CPU can run, "generic" first; NULL-terminated.
const char *const *wk_available_isas(void);
// For tests and benchmarks: use this set from now on. False where the CPU cannot run it.
bool wk_force_isa(const char *name);

// out[0..<cols] = row r as floats. Bit-equal to the reference implementation of its format: products are rounded one by
// one, and INT4 and INT8 values are rounded to the type of their scale.
void wk_dequantize_row(const wk_matrix *matrix, int64_t row, float *out);

// y[t * y_stride + (r - row_begin)] = sum over c of matrix[r, c] * x[t * x_stride + c], for rows row_begin..<row_end and
// t in 0..<n. A result does not depend on n, on the row range or on the other rows: same lanes, same order of sums.
// scratch: at least wk_matmul_scratch(cols) floats.
void wk_matmul(const wk_matrix *matrix, int64_t row_begin, int64_t row_end, const float *x, int64_t x_stride, int64_t n,
               float *y, int64_t y_stride, float *scratch);
int64_t wk_matmul_scratch(int64_t cols);

// The fast precision. Activations quantized to int8 in blocks of 32 with one fp32 scale each (scale = max|x| / 127, round
// to nearest even), in one opaque buffer, one row a token. A block whose largest magnitude is below 2^-100 is zeros; one
// with an infinity or a NaN makes every result NaN that it takes part in.
// Where the CPU multiplies BF16 (wk_bf16_products), a row holds the activations rounded to BF16 too, for weights of BF16.
int64_t wk_q8_row_bytes(int64_t cols); // a multiple of 64
// q8: n rows of wk_q8_row_bytes(cols) bytes, at a multiple of 4, best of 64.
void wk_q8_quantize(const float *x, int64_t x_stride, int64_t cols, int64_t n, void *q8);
// Whether wk_q8_matmul can multiply this matrix (packing and cols, cols % 32 == 0); else use wk_matmul.
bool wk_q8_supports(const wk_matrix *matrix);
// Whether the set in use is "avx512" and the CPU has AVX512_BF16.
bool wk_bf16_products(void);
// y[t * y_stride + (r - row_begin)] = matrix[r] . x[token_rows ? token_rows[t] : t] for t in 0..<n.
// Bitwise: a result does not depend on n, on row_begin/row_end, on the tile, on the other rows or on the instruction
// set. Ranges of whole 16 rows are the fastest. scratch: at least wk_q8_matmul_scratch(cols) floats.
//
// Block after block of 32 columns, with w the packed integers of the row and a those of the token:
//   sum = sum over i of w[i] * a[i], exact; acc = fma(weight scale * activation scale, sum, acc)
// and, where the packing has a minimum, acc = fma(minimum, activation scale * sum of a, acc). Where 16 values have an
// integer scale (Q2_K, Q3_K, Q6_K) it multiplies their part of the sum; Q2_K's minima are integers too, and then
// acc = fma(-dmin * activation scale, sum of minimum * a, acc). INT4 and INT8 products are not rounded to the type of
// the scale, as wk_dequantize_row does.
//
// BF16: 16 running sums, each of pairs of columns (2i and 2i + 1 of every 32) as VDPBF16PS adds them.
void wk_q8_matmul(const wk_matrix *matrix, int64_t row_begin, int64_t row_end, const void *q8, const int32_t *token_rows,
                  int64_t n, float *y, int64_t y_stride, float *scratch);
int64_t wk_q8_matmul_scratch(int64_t cols); // floats, for any n
// For tests: false makes wk_q8_matmul and attention do without the CPU's dot products of int8 (VNNI, SDOT) and BF16.
// True at start.
void wk_q8_use_dot_products(bool use);

// y[t * y_stride + c] = sum over r in row_begin..<row_end of x[t * x_stride + (r - row_begin)] * matrix[r, c], for all
// columns c. scratch as above.
void wk_matmul_transposed(const wk_matrix *matrix, int64_t row_begin, int64_t row_end, const float *x, int64_t x_stride,
                          int64_t n, float *y, int64_t y_stride, float *scratch);

// sum over i of a[i] * b[i]
float wk_dot(const float *a, const float *b, int64_t n);
// y[i] += a * x[i]
void wk_axpy(float a, const float *x, float *y, int64_t n);
// y[i] += x[i]
void wk_add(const float *x, float *y, int64_t n);
// y[i] = x[i] * rsqrt(mean(x^2) + epsilon) * weight[i]; weight may be NULL for ones. y may be x.
void wk_rms_norm(const float *x, const float *weight, float epsilon, float *y, int64_t n);
// gate[i] = silu(gate[i]) * up[i]
void wk_silu_mul(float *gate, const float *up, int64_t n);
// x[i] = exp(x[i] - max) / sum, in place
void wk_softmax(float *x, int64_t n);
// Rotary embedding in place on n_pairs pairs. Interleaved: pair i is (x[2i], x[2i+1]); half: (x[i], x[i + n_pairs]).
void wk_rope_interleaved(float *x, const float *cos, const float *sin, int64_t n_pairs);
void wk_rope_half(float *x, const float *cos, const float *sin, int64_t n_pairs);

// Attention over a cache of BF16 numbers in pages of WK_ATTENTION_PAGE positions. Positions go by splits, each with a
// softmax of its own, which are then combined in their order; so memory does not grow with the number of positions, and
// splits may be worked on by several threads. Grouped attention splits at each WK_ATTENTION_SPLIT positions, latent
// attention at wk_latent_split. A result depends on nothing but its own query and the positions that it sees.
#define WK_ATTENTION_PAGE 64
#define WK_ATTENTION_SPLIT 128

// Query heads that share one head of keys and values. In a page lie, somewhere, the head's keys as pairs of dimensions,
// [head_size / 2][64 positions][2], and its values as pairs of positions, [32][value_size][2]. head_size and value_size
// are multiples of 16. Query i is row i / group's head i % group; it sees first_limit + i / group positions.
typedef struct wk_grouped_attention {
    const uint8_t *const *pages;
    int64_t key_offset, value_offset; // bytes from a page's begin
    int64_t head_size, value_size;
    float scale;
    const float *query;
    int64_t query_stride; // floats from row to row; the heads of a row lie one behind the other
    float *result;
    int64_t result_stride;
    int64_t queries, group, first_limit;
} wk_grouped_attention;
// Writes one position's keys and values. `last` clears the position behind it, whose values are a factor of zero's.
void wk_grouped_store(const float *key, const float *value, int64_t head_size, int64_t value_size, uint8_t *keys,
                      uint8_t *values, int64_t slot, bool last);
int64_t wk_grouped_state(const wk_grouped_attention *attention);   // floats of a split's state
int64_t wk_grouped_scratch(const wk_grouped_attention *attention); // floats
void wk_grouped_attend(const wk_grouped_attention *attention, float *scratch);
// The same in parts: each split into a state of its own, then all states, one behind the other, into the result.
void wk_grouped_attend_split(const wk_grouped_attention *attention, int64_t split, float *state, float *scratch);
void wk_grouped_combine(const wk_grouped_attention *attention, int64_t splits, float *states);
// All splits of the first `positions` positions into one state.
void wk_grouped_attend_first(const wk_grouped_attention *attention, int64_t positions, float *state, float *scratch);
// state += part, of splits in their order. wk_grouped_combine of one split then makes the result.
void wk_grouped_add(const wk_grouped_attention *attention, float *state, const float *part);

// Query heads of one row that share one latent, and no more than wk_latent_heads() of them. In a page lie rows of
// `width` numbers; the first `latent` of them are values too. width is a multiple of 2, latent of 16.
typedef struct wk_latent_attention {
    const uint8_t *const *pages;
    int64_t offset; // bytes from a page's begin
    int64_t width, latent;
    float scale;
    const float *query; // [heads][width]
    float *result;      // [heads][latent]
    int64_t heads, limit;
} wk_latent_attention;
int64_t wk_latent_heads(void); // that are worked on together
// Positions of a split where a row sees `limit` of them, a multiple of a page.
int64_t wk_latent_split(int64_t limit);
void wk_latent_store(const float *row, int64_t width, uint8_t *rows, int64_t slot, bool last);
// One position's row as floats: its first `latent` numbers, and the rest.
void wk_latent_load(const uint8_t *rows, int64_t width, int64_t latent, int64_t slot, float *values, float *rest);
int64_t wk_latent_state(const wk_latent_attention *attention);
int64_t wk_latent_scratch(const wk_latent_attention *attention);
void wk_latent_attend(const wk_latent_attention *attention, float *scratch);
void wk_latent_attend_split(const wk_latent_attention *attention, int64_t split, float *state, float *scratch);
void wk_latent_combine(const wk_latent_attention *attention, int64_t splits, float *states);

// A pool of persistent workers. The calling thread is worker 0.
typedef struct wk_pool wk_pool;
// A task of a parallel region. worker is in 0..<threads.
typedef void (*wk_task)(void *context, int64_t task, int32_t worker);
// NULL where threads cannot be started. threads >= 1, the caller included.
wk_pool *wk_pool_create(int32_t threads);
int32_t wk_pool_threads(const wk_pool *pool);
// Runs tasks 0..<count, each once, on whichever worker is free, and returns when all are done. One caller at a time.
void wk_pool_run(wk_pool *pool, int64_t count, wk_task task, void *context);
void wk_pool_destroy(wk_pool *pool);

// Files that shrink while they are mapped. After wk_guard_install a SIGBUS inside a registered range maps zeros there
// and marks the range as broken; any other SIGBUS goes to the handler that was there before.
void wk_guard_install(void);
// A slot number, or -1 where the table is full (the range is then unguarded).
int32_t wk_guard_register(const void *base, size_t length);
void wk_guard_unregister(int32_t slot);
bool wk_guard_is_broken(int32_t slot);

#ifdef __cplusplus
}
#endif

#endif
