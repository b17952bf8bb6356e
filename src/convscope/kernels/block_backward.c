/* Backward: the gradients of a block by its input, weights and biases, in one pass over the images.
 *
 *      y gradient          g, LANES images, in the second-level cache
 *      [ a | b ]           [ 0 0 | 0 a | b 0 | 0 0 ]      a, b at the winners of their windows,
 *                          [ 0 0 | 0 0 | 0 0 | 0 0 ]      times the slope of the activation
 *                            border        border
 *
 *      x gradient[i](r, c)       = sum over o, taps of  w[o][i](tap) g[o]((r, c) - tap)
 *      weight gradient[o][i](tap) = sum over r, c of    g[o](r, c) x[i]((r, c) + tap)
 *
 * A task is LANES images: it unpools into g, then forms both sums from it. The x gradient is again
 * a correlation, of g with the weights turned by 180 degrees; taps that lie beyond g for all pixels
 * of a tile are left out, the rest see the border of zeros. The weight gradient keeps O maps × K taps
 * of sums in registers over all pixels of the LANES images; then lanes are added up, and at the end
 * the tasks' sums, in their order.
 *
 * Arithmetic for each image: each of the two sums as much as forward (LeNet-5: C1 235 kFLOP, weights
 * alone; C3 2 × 480 kFLOP). Bytes: 4 for each y, y gradient, x and x gradient, and g, which stays in
 * the second-level cache: 4 × out_maps × rows × (columns + border), 19 kB for C1, 12 kB for C3.
 */
#include <stdlib.h>
#include <string.h>

#include "block.h"
#include "correlate.h"
#include "threads.h"

#if MOST_O == 6 /* sums of the weight gradient that the registers hold, with O gradients and K x */
#define MOST_MAPS 4
#define MOST_K 5
#else
#define MOST_MAPS 4
#define MOST_K (LANES == 8 ? 3 : 2)
#endif

struct backward {
    const struct block *block;
    const float *turned; /* for each block of O input maps: out_maps × taps, turned × O */
    float *memory;       /* g of each worker */
    float *sums;         /* weight and bias gradient of each task */
    long border, g_row, g_map, weights;
};

/* ---- g: through pooling and activation ---- */

INLINE floats in_batch(const struct block *b, long first, floats values) {
    ints lane;
    for (int i = 0; i < LANES; i++) lane[i] = i;
    return choose(lane < (int32_t)(b->images - first), values, splat(0));
}

/* Gradient of one y into its window of g. Returns what it adds to the bias gradient. */
INLINE floats unpool(const struct block *b, long pixel, long first, struct inside rows,
                     struct inside columns, float *window, long g_row) {
    long at = pixel * b->pitch + first;
    floats gradient = in_batch(b, first, load(b->y_gradient + at));
    if (b->pooling == AVERAGE) gradient /= (float)(b->window_rows * b->window_columns);
    if (!activates_first(b)) gradient *= slope(b->activation, load(b->y + at));
    if (b->pooling == NO_POOLING) {
        store(window, gradient);
        return gradient;
    }
    ints winner = {0};
    if (b->pooling != AVERAGE) winner = __builtin_convertvector(*winners(b, pixel, first), ints);
    for (long row = rows.begin; row < rows.end; row++)
        for (long column = columns.begin; column < columns.end; column++) {
            int element = (int)(row * b->window_columns + column);
            float *to = window + row * g_row + column * LANES;
            floats share = gradient;
            if (b->pooling != AVERAGE) share = choose(winner == element, gradient, splat(0));
            store(to, load(to) + share);
        }
    return gradient;
}

/* Activated before pooling: times the slope of each value; those that no window sees have none. */
static floats times_slope(const struct block *b, float *g, long map, long first, long g_row) {
    const float *slopes = b->slopes + map * b->rows * b->columns * b->pitch + first;
    floats sum = {0};
    for (long row = 0; row < b->rows; row++)
        for (long column = 0; column < b->columns; column++, slopes += b->pitch) {
            float *at = g + row * g_row + column * LANES;
            floats gradient = load(at);
            gradient = choose(gradient == 0, splat(0), gradient * load(slopes));
            store(at, gradient);
            sum += gradient;
        }
    return sum;
}

static void fill_g(const struct backward *job, float *g, float *bias_sums, long first) {
    const struct block *b = job->block;
    memset(g, 0, sizeof(float) * (size_t)(b->out_maps * job->g_map));
    for (long map = 0; map < b->out_maps; map++) {
        float *inside = g + map * job->g_map + job->border * LANES;
        long pixel = map * b->pooled_rows * b->pooled_columns;
        floats sum = {0};
        for (long row = 0; row < b->pooled_rows; row++) {
            long top = row * b->step_rows - b->border_rows;
            struct inside rows = inside_of(top, b->window_rows, b->rows);
            for (long column = 0; column < b->pooled_columns; column++, pixel++) {
                long left = column * b->step_columns - b->border_columns;
                sum += unpool(b, pixel, first, rows, inside_of(left, b->window_columns, b->columns),
                              inside + top * job->g_row + left * LANES, job->g_row);
            }
        }
        if (activates_first(b)) sum = times_slope(b, inside, map, first, job->g_row);
        bias_sums[map] = sum_of_lanes(sum);
    }
}

/* ---- the gradient by x ---- */

static long at_least(long value, long least) { return value < least ? least : value; }
static long at_most(long value, long most) { return value > most ? most : value; }

static void x_gradient_row(const struct backward *job, const float *g, const float *w, long O,
                           float *to, long row) {
    const struct block *b = job->block;
    long R = b->kernel_rows, C = b->kernel_columns, plane = b->height * b->width * b->pitch;
    long first_row = at_least(R - 1 - row, 0), rows = at_most(R, b->rows + R - 1 - row) - first_row;
    long tiles = parts_of(b->width, MOST_P);
    for (long number = 0; number < tiles; number++) {
        long begin = begin_of(b->width, tiles, number);
        long end = begin_of(b->width, tiles, number + 1);
        long first = at_least(C - end, 0), columns = at_most(C, b->columns + C - 1 - begin) - first;
        struct taps taps = {b->out_maps, rows, columns, job->g_map, job->g_row, LANES,
                            R * C * O, C * O, O};
        any_tile(O, end - begin, &taps,
                 g + (row - R + 1 + first_row) * job->g_row + (begin + first) * LANES, LANES,
                 w + (first_row * C + first) * O, NULL, to + begin * b->pitch, plane, b->pitch);
    }
}

static void x_gradient(const struct backward *job, const float *g, long first) {
    const struct block *b = job->block;
    const float *w = job->turned;
    long blocks = parts_of(b->in_maps, MOST_O);
    for (long block = 0; block < blocks; block++) {
        long map = begin_of(b->in_maps, blocks, block);
        long O = begin_of(b->in_maps, blocks, block + 1) - map;
        float *to = b->x_gradient + map * b->height * b->width * b->pitch + first;
        for (long row = 0; row < b->height; row++)
            x_gradient_row(job, g, w, O, to + row * b->width * b->pitch, row);
        w += O * b->out_maps * b->kernel_rows * b->kernel_columns;
    }
}

/* ---- the gradient by the weights ---- */

/* Sums for O maps and K neighbouring taps over all pixels; `to_map` floats from map to map. */
INLINE void weight_tile(const int O, const int K, const struct backward *job, const float *g,
                        const float *x, float *to, long to_map) {
    const struct block *b = job->block;
    floats sums[MOST_MAPS][MOST_K];
#pragma GCC unroll 8
    for (int o = 0; o < O; o++)
#pragma GCC unroll 8
        for (int k = 0; k < K; k++) sums[o][k] = splat(0);
    for (long row = 0; row < b->rows; row++) {
        const float *g_at = g + row * job->g_row, *x_at = x + row * b->width * b->pitch;
        for (long column = 0; column < b->columns; column++) {
            floats values[MOST_K];
#pragma GCC unroll 8
            for (int k = 0; k < K; k++) values[k] = load(x_at + k * b->pitch);
#pragma GCC unroll 8
            for (int o = 0; o < O; o++) {
                floats gradient = load(g_at + o * job->g_map);
#pragma GCC unroll 8
                for (int k = 0; k < K; k++) sums[o][k] += gradient * values[k];
            }
            g_at += LANES;
            x_at += b->pitch;
        }
    }
#pragma GCC unroll 8
    for (int o = 0; o < O; o++)
#pragma GCC unroll 8
        for (int k = 0; k < K; k++) to[o * to_map + k] = sum_of_lanes(sums[o][k]);
}

static void any_weight_tile(long O, long K, const struct backward *job, const float *g,
                            const float *x, float *to, long to_map) {
#define CASE(o, k)                                                                                \
    case 8 * o + k:                                                                               \
        weight_tile(o, k, job, g, x, to, to_map);                                                 \
        return;
#define CASES(k) CASE(1, k) CASE(2, k) CASE(3, k) CASE(4, k)
    switch (8 * O + K) {
        CASES(1)
        CASES(2)
#if MOST_O == 6 || LANES == 8
        CASES(3)
#endif
#if MOST_O == 6
        CASES(4)
        CASES(5)
#endif
    }
#undef CASES
#undef CASE
}

static void weight_gradient(const struct backward *job, const float *g, float *to, long first) {
    const struct block *b = job->block;
    long area = b->kernel_rows * b->kernel_columns, to_map = b->in_maps * area;
    long blocks = parts_of(b->out_maps, MOST_MAPS), pieces = parts_of(b->kernel_columns, MOST_K);
    for (long block = 0; block < blocks; block++) {
        long map = begin_of(b->out_maps, blocks, block);
        long O = begin_of(b->out_maps, blocks, block + 1) - map;
        const float *g_at = g + map * job->g_map + job->border * LANES;
        for (long in = 0; in < b->in_maps; in++)
            for (long row = 0; row < b->kernel_rows; row++)
                for (long piece = 0; piece < pieces; piece++) {
                    long column = begin_of(b->kernel_columns, pieces, piece);
                    long K = begin_of(b->kernel_columns, pieces, piece + 1) - column;
                    long pixel = (in * b->height + row) * b->width + column;
                    any_weight_tile(O, K, job, g_at, b->x + pixel * b->pitch + first,
                                    to + map * to_map + in * area + row * b->kernel_columns + column,
                                    to_map);
                }
    }
}

/* ---- all together ---- */

static void some_images(long task, long worker, void *memory) {
    const struct backward *job = memory;
    const struct block *b = job->block;
    float *g = job->memory + worker * b->out_maps * job->g_map;
    float *sums = job->sums + task * (job->weights + b->out_maps);
    fill_g(job, g, sums + job->weights, task * LANES);
    if (b->x_gradient) x_gradient(job, g, task * LANES);
    weight_gradient(job, g, sums, task * LANES);
}

static void turn(const struct block *b, float *to) {
    long area = b->kernel_rows * b->kernel_columns, blocks = parts_of(b->in_maps, MOST_O);
    for (long block = 0; block < blocks; block++) {
        long begin = begin_of(b->in_maps, blocks, block);
        long end = begin_of(b->in_maps, blocks, block + 1);
        for (long out = 0; out < b->out_maps; out++)
            for (long tap = area - 1; tap >= 0; tap--)
                for (long in = begin; in < end; in++)
                    *to++ = b->weight[(out * b->in_maps + in) * area + tap];
    }
}

static void add_up(const struct block *b, const float *sums, long weights, long tasks) {
    memcpy(b->weight_gradient, sums, sizeof(float) * (size_t)weights);
    memcpy(b->bias_gradient, sums + weights, sizeof(float) * (size_t)b->out_maps);
    for (long task = 1; task < tasks; task++) {
        sums += weights + b->out_maps;
        for (long i = 0; i < weights; i++) b->weight_gradient[i] += sums[i];
        for (long i = 0; i < b->out_maps; i++) b->bias_gradient[i] += sums[weights + i];
    }
}

/* 0, or 1 where there is no memory. */
int KERNEL(block_backward)(const struct block *b, long threads) {
    long tasks = parts_of(b->images, LANES), border = b->x_gradient ? b->kernel_columns - 1 : 0;
    long g_row = (b->columns + 2 * border) * LANES, g_map = b->rows * g_row;
    long weights = b->out_maps * b->in_maps * b->kernel_rows * b->kernel_columns;
    float *turned = malloc(sizeof(float) * (size_t)weights);
    float *memory = malloc(sizeof(float) * (size_t)(threads * b->out_maps * g_map));
    float *sums = malloc(sizeof(float) * (size_t)(tasks * (weights + b->out_maps)));
    int failed = !turned || !memory || !sums;
    if (!failed) {
        struct backward job = {b, turned, memory, sums, border, g_row, g_map, weights};
        turn(b, turned);
        run_tasks(some_images, &job, tasks, threads);
        add_up(b, sums, weights, tasks);
    }
    free(turned);
    free(memory);
    free(sums);
    return failed;
}
