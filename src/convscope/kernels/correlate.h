/* The inner loop of every product here: sums of weight × value in registers.
 *
 *      sums[o][p] += Σ over maps, tap rows, tap columns of  weight[...][o] × x[pixel p + tap]
 *
 *                    x: pixels of LANES images each          registers, for O = 6 and P = 4:
 *      row y    . [p0 p1 p2 p3] . . .                           p0   p1   p2   p3
 *      row y+1  .   .  taps  .  . . .                      o0 [sum][sum][sum][sum]
 *                                                           .. [sum][sum][sum][sum]
 *                                                          o5 [sum][sum][sum][sum]
 *
 * For one tap P pixels are loaded and O weights are spread over a vector each, for O × P products:
 * 10 loads for 24 products with AVX-512, so the multipliers, not the loads, are what is waited
 * for. O × P sums, P pixels and one weight must fit into the registers: 32 of them with AVX-512 and
 * NEON, 16 elsewhere.
 */
#ifndef CONVSCOPE_CORRELATE_H
#define CONVSCOPE_CORRELATE_H

#include "lanes.h"

#if LANES == 16 || defined(__aarch64__)
#define MOST_O 6
#define MOST_P 4
#elif LANES == 8
#define MOST_O 4
#define MOST_P 3
#else
#define MOST_O 4
#define MOST_P 2
#endif

struct taps { /* distances are in floats */
    long maps, rows, columns;
    long x_map, x_row, x_column;
    long w_map, w_row, w_column;
};

/* O and P are constants where this is inlined. Each sum begins with its o's number of `start`, or
 * 0 where that is NULL; they go to `to`, `to_o` floats from o to o, `to_pixel` from p to p. */
INLINE void tile(const int O, const int P, const struct taps *t, const float *x, const long pixel,
                 const float *w, const float *start, float *to, const long to_o,
                 const long to_pixel) {
    floats sums[MOST_O][MOST_P];
#pragma GCC unroll 8
    for (int o = 0; o < O; o++) {
        floats first = splat(start ? start[o] : 0);
#pragma GCC unroll 8
        for (int p = 0; p < P; p++) sums[o][p] = first;
    }
    for (long map = 0; map < t->maps; map++)
        for (long row = 0; row < t->rows; row++) {
            const float *x_at = x + map * t->x_map + row * t->x_row;
            const float *w_at = w + map * t->w_map + row * t->w_row;
            for (long column = 0; column < t->columns; column++) {
                floats values[MOST_P];
#pragma GCC unroll 8
                for (int p = 0; p < P; p++) values[p] = load(x_at + p * pixel);
#pragma GCC unroll 8
                for (int o = 0; o < O; o++) {
                    floats weight = splat(w_at[o]);
#pragma GCC unroll 8
                    for (int p = 0; p < P; p++) sums[o][p] += weight * values[p];
                }
                x_at += t->x_column;
                w_at += t->w_column;
            }
        }
#pragma GCC unroll 8
    for (int o = 0; o < O; o++)
#pragma GCC unroll 8
        for (int p = 0; p < P; p++) store(to + o * to_o + p * to_pixel, sums[o][p]);
}

/* `tile` for O and P that are known only now. */
static void any_tile(long O, long P, const struct taps *t, const float *x, long pixel,
                     const float *w, const float *start, float *to, long to_o, long to_pixel) {
#define CASE(o, p)                                                                                \
    case 8 * o + p:                                                                               \
        tile(o, p, t, x, pixel, w, start, to, to_o, to_pixel);                                    \
        return;
#define CASES(p) CASE(1, p) CASE(2, p) CASE(3, p) CASE(4, p)
    switch (8 * O + P) {
        CASES(1)
        CASES(2)
#if MOST_P >= 3
        CASES(3)
#endif
#if MOST_P >= 4
        CASES(4)
#endif
#if MOST_O >= 6
        CASE(5, 1) CASE(5, 2) CASE(5, 3) CASE(5, 4) CASE(6, 1) CASE(6, 2) CASE(6, 3) CASE(6, 4)
#endif
    }
#undef CASES
#undef CASE
}

/* The size of part `number` where `whole` is cut into the fewest nearly equal parts of at most
 * `most`, and where it begins. */
INLINE long parts_of(long whole, long most) { return (whole + most - 1) / most; }
INLINE long begin_of(long whole, long parts, long number) { return whole * number / parts; }

#endif
