/* Products of spectra: see spectra.h.
 *
 * An instruction multiplies two neighbouring bfloat16 by two others and adds both products to a
 * float32. What it multiplies b's pairs by, for a pair (r, i) of a:
 *
 *                            for the real part    for the imaginary part
 *      a b                   (r, -i)              (i, r)
 *      a times conjugate b   (r, i)               (i, -r)
 *      conjugate a times b   (r, i)               (-i, r)
 *
 * So for each frequency a is written down both ways, a panel of b's columns next to each other, and a
 * tile multiplies rows by vectors of columns:
 *
 *      3 rows × 4 vectors × 2 parts: 24 sums in registers, for each k 10 loads and 24 instructions
 *
 * Matrices come from far apart in memory, and the results go there: what comes next is asked for
 * while a panel is computed, and results go past the cache.
 */
#include "spectra.h"

#if defined(__AVX512F__) && COMPILES_PAIRS
#include <immintrin.h>

#define WITH_PAIRS __attribute__((target("avx512bf16")))
#define PAIRS 16
#define VECTORS 4
#define ROWS(vectors) ((vectors) < 3 ? 6 : (vectors) == 3 ? 4 : 3)

enum kind { PLAIN, CONJUGATE_B, CONJUGATE_A };

#define UPPER ((int)0x80000000)
#define LOWER 0x8000

/* What a's pairs are for the real part of a product, and for the imaginary one. */
INLINE WITH_PAIRS __m512i for_real(__m512i pair, const enum kind kind) {
    return kind == PLAIN ? _mm512_xor_si512(pair, _mm512_set1_epi32(UPPER)) : pair;
}

INLINE WITH_PAIRS __m512i for_imaginary(__m512i pair, const enum kind kind) {
    __m512i turned = _mm512_rol_epi32(pair, 16);
    if (kind == CONJUGATE_B) return _mm512_xor_si512(turned, _mm512_set1_epi32(UPPER));
    if (kind == CONJUGATE_A) return _mm512_xor_si512(turned, _mm512_set1_epi32(LOWER));
    return turned;
}

/* The matrix a of a frequency, both ways, as a tile reads it. */
struct factor {
    const uint32_t *real, *imaginary;
    long row, inner;
};

/* Lines that come next, for a tile to ask for, one for each k: at `from` and `count` - 1 others
 * `step` pairs apart, then those behind them. Asking for what is not there does no harm. */
struct ahead {
    const uint32_t *from;
    long step, count;
};

INLINE WITH_PAIRS __m512 add_products(__m512 sum, __m512i a, __m512i b) {
    return _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)b);
}

INLINE WITH_PAIRS __m512i rounded(__m512 real, __m512 imaginary) {
    __m512i r = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(real));
    __m512i i = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(imaginary));
    return _mm512_or_si512(r, _mm512_slli_epi32(i, 16));
}

INLINE WITH_PAIRS void tile(const struct product *p, const struct factor *a, long m,
                            const uint32_t *b, uint32_t *c, struct ahead ahead, const int rows,
                            const int vectors) {
    __m512 real[6][VECTORS], imaginary[6][VECTORS];
    const uint32_t *first = a->real + m * a->row, *second = a->imaginary + m * a->row;
    const uint32_t *next = ahead.from;
    long asked = 0;
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int j = 0; j < vectors; j++) real[i][j] = imaginary[i][j] = _mm512_setzero_ps();
    for (long k = 0; k < p->inner; k++, first += a->inner, second += a->inner) {
        __m512i columns[VECTORS];
#pragma GCC unroll 4
        for (int j = 0; j < vectors; j++, b += PAIRS) columns[j] = _mm512_load_si512(b);
#pragma GCC unroll 6
        for (int i = 0; i < rows; i++) {
            __m512i one = _mm512_set1_epi32((int)first[i * a->row]);
            __m512i other = _mm512_set1_epi32((int)second[i * a->row]);
#pragma GCC unroll 4
            for (int j = 0; j < vectors; j++) {
                real[i][j] = add_products(real[i][j], one, columns[j]);
                imaginary[i][j] = add_products(imaginary[i][j], other, columns[j]);
            }
        }
        __builtin_prefetch(next, 0, 2);
        next += ahead.step;
        if (++asked == ahead.count) asked = 0, next = ahead.from += PAIRS;
    }
    c += m * p->c_row;
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int j = 0; j < vectors; j++)
            store_past_cache(c + i * p->c_row + j * PAIRS,
                             (words)rounded(real[i][j], imaginary[i][j]));
}

/* 16 × 16 pairs, `from` and `to` with their own distance between rows. */
INLINE WITH_PAIRS void transpose_block(const uint32_t *from, long from_row, uint32_t *to,
                                       long to_row) {
    __m512i x[16], y[16];
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++) x[i] = _mm512_loadu_si512(from + i * from_row);
#pragma GCC unroll 8
    for (int i = 0; i < 16; i += 2) { /* pairs of rows, then of pairs */
        y[i] = _mm512_unpacklo_epi32(x[i], x[i + 1]);
        y[i + 1] = _mm512_unpackhi_epi32(x[i], x[i + 1]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 16; i += 4) {
        x[i] = _mm512_unpacklo_epi64(y[i], y[i + 2]);
        x[i + 1] = _mm512_unpackhi_epi64(y[i], y[i + 2]);
        x[i + 2] = _mm512_unpacklo_epi64(y[i + 1], y[i + 3]);
        x[i + 3] = _mm512_unpackhi_epi64(y[i + 1], y[i + 3]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) { /* then quarters of vectors */
        y[i] = _mm512_shuffle_i32x4(x[i], x[i + 4], 0x88);
        y[i + 4] = _mm512_shuffle_i32x4(x[i], x[i + 4], 0xdd);
        y[i + 8] = _mm512_shuffle_i32x4(x[i + 8], x[i + 12], 0x88);
        y[i + 12] = _mm512_shuffle_i32x4(x[i + 8], x[i + 12], 0xdd);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        x[i] = _mm512_shuffle_i32x4(y[i], y[i + 8], 0x88);
        x[i + 8] = _mm512_shuffle_i32x4(y[i], y[i + 8], 0xdd);
        x[i + 4] = _mm512_shuffle_i32x4(y[i + 4], y[i + 12], 0x88);
        x[i + 12] = _mm512_shuffle_i32x4(y[i + 4], y[i + 12], 0xdd);
    }
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++) _mm512_storeu_si512(to + i * to_row, x[i]);
}

/* The columns of b's matrix that begin at `n`, next to each other: `packed`[k][vectors]. */
INLINE WITH_PAIRS void pack(const struct product *p, const uint32_t *b, long n, uint32_t *packed,
                            const int vectors) {
    long row = vectors * PAIRS;
    if (p->kind != CONJUGATE_B) {
        for (long k = 0; k < p->inner; k++)
#pragma GCC unroll 4
            for (int j = 0; j < vectors; j++)
                _mm512_store_si512(packed + k * row + j * PAIRS,
                                   _mm512_loadu_si512(b + k * p->b_row + n + j * PAIRS));
        return;
    }
    for (long k = 0; k < p->inner; k += PAIRS)
        for (int j = 0; j < vectors; j++)
            transpose_block(b + (n + j * PAIRS) * p->b_row + k, p->b_row,
                            packed + k * row + j * PAIRS, row);
}

/* What the tile of that number asks for, of the panel of columns from `n` on.
 *
 * b by rows: a panel is 4 lines of each row, and the first 4 tiles ask for one of all rows each, later
 * ones for the same again. Transposed: a panel is 64 rows, of which each tile asks for the next few
 * lines, as many as it has steps for. */
INLINE struct ahead lines_ahead(const struct product *p, const uint32_t *b, long n, long number) {
    if (p->kind != CONJUGATE_B)
        return (struct ahead){b + n + number % VECTORS * PAIRS, p->b_row, p->inner};
    long columns = VECTORS * PAIRS, lines = p->inner / columns;
    return (struct ahead){b + n * p->b_row + number * lines * PAIRS, p->b_row, columns};
}

INLINE WITH_PAIRS void panel(const struct product *p, const struct factor *a, const uint32_t *b,
                             long n, uint32_t *c, uint32_t *packed, const int vectors) {
    pack(p, b, n, packed, vectors);
    long m = 0, next = n + vectors * PAIRS;
    const uint32_t *from = next < p->columns ? b : b + p->b_frequency;
    if (next >= p->columns) next = 0;
    const int rows = ROWS(vectors);
    for (c += n; m + rows <= p->rows; m += rows)
        tile(p, a, m, packed, c, lines_ahead(p, from, next, m / rows), rows, vectors);
    struct ahead nothing = {packed, 0, 1};
    for (; m + 3 <= p->rows; m += 3) tile(p, a, m, packed, c, nothing, 3, vectors);
    for (; m < p->rows; m++) tile(p, a, m, packed, c, nothing, 1, vectors);
}

struct product_call {
    const struct product *p;
    uint32_t *memory; /* for each thread `room` pairs: a panel of b, and a both ways */
    long room, panel, lines, length, pitch; /* of a as it lies in memory: [lines][length] */
};

/* The matrix a of a frequency, both ways, in `memory`. */
INLINE WITH_PAIRS struct factor turn(const struct product_call *call, const uint32_t *a,
                                     uint32_t *memory, const enum kind kind) {
    const struct product *p = call->p;
    int by_row = p->a_inner == 1;
    long step = by_row ? p->a_row : p->a_inner;
    uint32_t *imaginary = memory + call->lines * call->pitch;
    for (long line = 0; line < call->lines; line++)
        for (long i = 0; i < call->length; i += PAIRS) {
            __m512i pair = _mm512_loadu_si512(a + line * step + i);
            _mm512_store_si512(memory + line * call->pitch + i, for_real(pair, kind));
            _mm512_store_si512(imaginary + line * call->pitch + i, for_imaginary(pair, kind));
        }
    if (by_row) return (struct factor){memory, imaginary, call->pitch, 1};
    return (struct factor){memory, imaginary, 1, call->pitch};
}

static WITH_PAIRS void one_frequency(long frequency, long worker, void *memory) {
    const struct product_call *call = memory;
    const struct product *p = call->p;
    const uint32_t *a = p->a + frequency * p->a_frequency, *b = p->b + frequency * p->b_frequency;
    uint32_t *c = p->c + frequency * p->c_frequency, *packed = call->memory + worker * call->room;
    uint32_t *turned = packed + call->panel;
    struct factor factor = p->kind == CONJUGATE_B ? turn(call, a, turned, CONJUGATE_B)
                           : p->kind == CONJUGATE_A ? turn(call, a, turned, CONJUGATE_A)
                                                    : turn(call, a, turned, PLAIN);
    long n = 0;
    for (; n + VECTORS * PAIRS <= p->columns; n += VECTORS * PAIRS)
        panel(p, &factor, b, n, c, packed, VECTORS);
    long left = (p->columns - n) / PAIRS;
    if (left == 3) panel(p, &factor, b, n, c, packed, 3);
    if (left == 2) panel(p, &factor, b, n, c, packed, 2);
    if (left == 1) panel(p, &factor, b, n, c, packed, 1);
}

#define AT_ONCE 2 /* frequencies: the next one's matrix is on its way while one is computed */

static void some_frequencies(long task, long worker, void *memory) {
    const struct product_call *call = memory;
    for (long i = task * AT_ONCE; i < (task + 1) * AT_ONCE && i < call->p->frequencies; i++)
        one_frequency(i, worker, memory);
    stores_are_done();
}

/* 0, or 1 where there is no memory. */
int KERNEL(product_of_spectra)(const struct product *p, long threads) {
    struct product_call call = {.p = p, .panel = p->inner * VECTORS * PAIRS};
    int by_row = p->a_inner == 1;
    call.lines = by_row ? p->rows : p->inner;
    call.length = by_row ? p->inner : p->rows;
    call.pitch = call.length / PAIRS % 2 ? call.length : call.length + PAIRS;
    call.room = call.panel + 2 * call.lines * call.pitch;
    void *made;
    call.memory = room_for(call.room * threads, &made);
    if (!made) return 1;
    run_by_team(p->team, some_frequencies, &call, (p->frequencies + AT_ONCE - 1) / AT_ONCE, threads);
    free(made);
    return 0;
}

#else

/* Only processors with AVX512-BF16 multiply pairs; who calls this has looked. */
int KERNEL(product_of_spectra)(const struct product *p, long threads) {
    (void)p, (void)threads;
    return 1;
}

#endif
