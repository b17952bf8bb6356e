/* Convolution by spectra: what its kernels are told.
 *
 * Mathieu, Henaff & LeCun 2013, "Fast Training of Convolutional Networks through FFTs",
 * arXiv:1312.5851: a convolution is a product of spectra, for each frequency a product of two
 * matrices of complex numbers, images by maps and maps by maps.
 *
 * A complex number is a pair of bfloat16 in 32 bits, the real part in the lower half: that is what an
 * instruction of AVX512-BF16 takes, two products and their sum. Spectra are
 *
 *      count × frequencies × pitch        `count` is images, or the maps that a layer makes
 *
 * with the maps next to each other as in the images (torch's channels_last), so that a vector holds
 * a frequency of LANES maps, and a transform mixes vectors with constants.
 *
 * Of real numbers a frequency and its negative are conjugates: across there are the frequencies 0 to
 * columns/2; down, of the first and the last of these 0 to rows/2, of the others all.
 *
 *      across 0        : down 0 1 ... rows/2
 *      across 1        : down 0 1 ... rows/2  -1 -2 ... -(rows/2 - 1)
 *      ...
 *      across columns/2: down 0 1 ... rows/2
 */
#ifndef CONVSCOPE_SPECTRA_H
#define CONVSCOPE_SPECTRA_H

#include <stdlib.h>

#include "halves.h"
#include "threads.h"

/* Whether the compiler knows AVX512-BF16. */
#if (defined(__x86_64__) || defined(__i386__)) && (defined(__clang__) || __GNUC__ >= 10)
#define COMPILES_PAIRS 1
#else
#define COMPILES_PAIRS 0
#endif

/* Images and their spectra. Phases are those of distances from the centre. `maps` and `pitch` are
 * multiples of 16, and the spectra begin at a line of the cache: stores past the cache ask for it. */
struct transform {
    void *images;  /* count × height × width × maps, bfloat16 */
    void *spectra; /* count × frequencies × pitch pairs */
    int64_t count, maps, frequencies, pitch, height, width;
    int64_t rows, columns; /* periods, even */
    int64_t centre_row, centre_column;
    team_function team;
};

/* For each frequency c[m][n] = the sum over k of a[m][k] b[k][n], or of one factor's conjugate.
 *
 * Wherever an index counts maps, it goes to a multiple of 16: n always, k if a lies by rows or b as
 * [n][k], m if a lies by columns. What is written begins at lines of the cache: c, c_row and
 * c_frequency are multiples of 64 bytes. */
struct product {
    const uint32_t *a, *b;
    uint32_t *c;
    int64_t frequencies, rows, inner, columns; /* numbers of m, k, n */
    int64_t a_frequency, b_frequency, c_frequency; /* pairs from one to the next */
    int64_t a_row, a_inner;                        /* from one m, k to the next; one of them is 1 */
    int64_t b_row; /* from one k to the next; where b lies as [n][k], one n */
    int64_t c_row;
    int64_t kind; /* 0: a b, 1: a times b's conjugate, b lies as [n][k], 2: a's conjugate times b */
    team_function team;
};

/* Room for numbers of 4 bytes, from the beginning of a line of the cache; NULL where there is none.
 * `made` is what is freed. */
INLINE void *room_for(long numbers, void **made) {
    *made = malloc(4 * (size_t)numbers + 64);
    return *made ? (void *)(((uintptr_t)*made + 63) / 64 * 64) : NULL;
}

#endif
