/* Forward: convolution + bias + pooling + activation in one pass over the input.
 *
 *      x, LANES images         a strip in the first-level cache      y
 *      . . . . . . . . .       [conv row 2 | O maps]
 *      . [5 x 5 taps]  .   →   [conv row 3 | O maps]   → pool →  activate → one row of O maps
 *      . . . . . . . . .
 *
 * A task is LANES images. For each block of O maps the convolution fills as many rows as a pooling
 * window has; they are pooled while they are in the cache, and only pooled values are activated
 * (maximum and minimum give the same either way for a monotone activation; otherwise, and for the
 * average, a strip's row is activated first, and the slopes are kept for the gradient). Of a
 * maximum or minimum it leaves which element of its window won, one byte.
 *
 * Arithmetic for each image: 2 × out_maps × in_maps × kernel area × rows × columns. Bytes: 4 for each
 * input value (again for each block of O maps, from the second-level cache), 5 for each y. LeNet-5's
 * C1: 235 kFLOP for 4.1 kB in and 5.9 kB out; C3: 480 kFLOP for 4.7 kB in and 2.0 kB out.
 */
#include <stdlib.h>

#include "block.h"
#include "correlate.h"
#include "threads.h"

struct forward {
    const struct block *block;
    const float *weights; /* for each block of O maps: in_maps × kernel rows × columns × O */
    float *memory;        /* a strip for each worker */
    long strip;           /* floats */
};

/* Row `row` of the convolution for maps first … first+O-1, into the strip (map × row × column). */
static void convolve_row(const struct block *b, const float *x, const float *w, float *to,
                         long to_map, long first, long O, long row) {
    struct taps taps = {b->in_maps, b->kernel_rows, b->kernel_columns,
                        b->height * b->width * b->pitch, b->width * b->pitch, b->pitch,
                        b->kernel_rows * b->kernel_columns * O, b->kernel_columns * O, O};
    long tiles = parts_of(b->columns, MOST_P);
    for (long number = 0; number < tiles; number++) {
        long begin = begin_of(b->columns, tiles, number);
        long P = begin_of(b->columns, tiles, number + 1) - begin;
        any_tile(O, P, &taps, x + (row * b->width + begin) * b->pitch, b->pitch, w,
                 b->bias ? b->bias + first : NULL, to + begin * LANES, to_map, LANES);
    }
}

/* What lies inside of one window of the strip: the first largest (smallest) value, as torch takes it;
 * NaN wins. */
INLINE void best_of_window(const struct block *b, const int smallest, const float *window,
                           struct inside rows, struct inside columns, floats *value, ints *winner) {
    int first = (int)(rows.begin * b->window_columns + columns.begin);
    floats best = load(window + (rows.begin * b->columns + columns.begin) * LANES);
    ints which = (ints){0} + first;
    for (long row = rows.begin; row < rows.end; row++)
        for (long column = columns.begin; column < columns.end; column++) {
            int element = (int)(row * b->window_columns + column);
            if (element == first) continue;
            floats next = load(window + (row * b->columns + column) * LANES);
            ints better = (smallest ? next < best : next > best) | (next != next);
            best = choose(better, next, best);
            which = (better & element) | (~better & which);
        }
    *value = best;
    *winner = which;
}

static void pool_row(const struct block *b, const float *strip, long map, long row, long first) {
    long pixel = (map * b->pooled_rows + row) * b->pooled_columns;
    float area = (float)(b->window_rows * b->window_columns);
    struct inside rows =
        inside_of(row * b->step_rows - b->border_rows, b->window_rows, b->rows), columns;
    for (long column = 0; column < b->pooled_columns; column++, pixel++) {
        float *to = b->y + pixel * b->pitch + first;
        long start = column * b->step_columns - b->border_columns;
        const float *window = strip + start * LANES;
        floats value;
        ints winner;
        if (b->pooling == AVERAGE) {
            value = splat(0);
            for (long i = 0; i < b->window_rows; i++)
                for (long j = 0; j < b->window_columns; j++)
                    value += load(window + (i * b->columns + j) * LANES);
            store(to, value / area);
            continue;
        }
        if (b->pooling == NO_POOLING) {
            value = load(window);
        } else {
            columns = inside_of(start, b->window_columns, b->columns);
            if (b->pooling == MAXIMUM) best_of_window(b, 0, window, rows, columns, &value, &winner);
            else best_of_window(b, 1, window, rows, columns, &value, &winner);
            *winners(b, pixel, first) = __builtin_convertvector(winner, bytes);
        }
        store(to, activates_first(b) ? value : activate(b->activation, value));
    }
}

/* Activate a row of the strip, and keep its slopes for the gradient. */
static void activate_row(const struct block *b, float *strip, long map, long row, long first) {
    float *slopes = b->slopes + ((map * b->rows + row) * b->columns) * b->pitch + first;
    for (long column = 0; column < b->columns; column++) {
        floats slope, value = load(strip + column * LANES);
        store(strip + column * LANES, activate_with_slope(b->activation, value, &slope));
        store(slopes + column * b->pitch, slope);
    }
}

static void some_images(long task, long worker, void *memory) {
    const struct forward *job = memory;
    const struct block *b = job->block;
    long first = task * LANES, row_size = b->columns * LANES;
    long strip_map = b->window_rows * row_size, blocks = parts_of(b->out_maps, MOST_O);
    float *strip = job->memory + worker * job->strip;
    const float *w = job->weights;
    for (long block = 0; block < blocks; block++) {
        long map = begin_of(b->out_maps, blocks, block);
        long O = begin_of(b->out_maps, blocks, block + 1) - map;
        for (long pooled = 0, done = 0; pooled < b->pooled_rows; pooled++) {
            long top = pooled * b->step_rows - b->border_rows;
            long kept = pooled && done > top ? done - top : 0;
            for (long o = 0; o < O && kept; o++) /* rows that the window before saw, too */
                for (long n = 0; n < kept * row_size; n++)
                    strip[o * strip_map + n] = strip[o * strip_map + n + b->step_rows * row_size];
            for (long row = top + kept; row < top + b->window_rows; row++) {
                if (row < 0 || row >= b->rows) continue; /* outside */
                float *to = strip + (row - top) * row_size;
                convolve_row(b, b->x + first, w, to, strip_map, map, O, row);
                for (long o = 0; o < O && activates_first(b); o++)
                    activate_row(b, to + o * strip_map, map + o, row, first);
            }
            done = top + b->window_rows;
            for (long o = 0; o < O; o++)
                pool_row(b, strip + o * strip_map, map + o, pooled, first);
        }
        w += O * b->in_maps * b->kernel_rows * b->kernel_columns;
    }
}

/* Weights in the order in which the tiles read them; false where there is no memory for it. */
static float *packed(const struct block *b) {
    long area = b->in_maps * b->kernel_rows * b->kernel_columns;
    float *weights = malloc(sizeof(float) * (size_t)(area * b->out_maps)), *to = weights;
    long blocks = parts_of(b->out_maps, MOST_O);
    for (long block = 0; block < blocks && weights; block++) {
        long begin = begin_of(b->out_maps, blocks, block);
        long end = begin_of(b->out_maps, blocks, block + 1);
        for (long tap = 0; tap < area; tap++)
            for (long o = begin; o < end; o++) *to++ = b->weight[o * area + tap];
    }
    return weights;
}

/* 0, or 1 where there is no memory. */
int KERNEL(block_forward)(const struct block *b, long threads) {
    long tasks = parts_of(b->images, LANES);
    long strip = MOST_O * b->window_rows * b->columns * LANES;
    float *weights = packed(b), *memory = malloc(sizeof(float) * (size_t)(strip * threads));
    if (weights && memory) {
        struct forward job = {b, weights, memory, strip};
        run_tasks(some_images, &job, tasks, threads);
    }
    int failed = !weights || !memory;
    free(weights);
    free(memory);
    return failed;
}
