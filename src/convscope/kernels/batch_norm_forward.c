/* Batch normalisation, activation and maximum pooling: see batch_norm.h.
 *
 * A task is an image. Of each, the activated rows that a row of windows sees are in a strip:
 *
 *      window 3 × 3, step 2     strip: rows 2, 3, 4 at 2, 0, 1;   then 4, 5, 6 at 1, 2, 0
 *                                                                 row 4 stays where it is
 *
 * The sums of squares are of differences from the mean of the first image, which is near the batch's,
 * so that they lose no digits where a map's mean is far from 0.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "batch_norm.h"

INLINE floats forward_activation(const enum activation kind, const int half, floats z) {
    return half && kind == GELU ? coarse_gelu(z) : activate(kind, z);
}

/* Of each map over the first image, into `mean`. */
INLINE void first_means(const struct norm_call *call, const int half) {
    const struct batch_norm *b = call->b;
    long maps = b->maps, pixels = b->height * b->width;
    memset(b->mean, 0, sizeof(float) * (size_t)maps);
    for (long pixel = 0; pixel < pixels; pixel++)
        for (long map = 0; map < maps; map += LANES)
            store(b->mean + map, load(b->mean + map) + load_from(b->x, half, pixel * maps + map));
    for (long map = 0; map < maps; map++) b->mean[map] /= (float)pixels;
}

INLINE void sum_image(const struct norm_call *call, long image, long worker, const int half) {
    const struct batch_norm *b = call->b;
    long maps = b->maps, row_size = b->width * maps;
    float *sums = call->sums + image * 2 * maps;
    float *row = call->strips + worker * call->strip;
    memset(sums, 0, sizeof(float) * 2 * (size_t)maps);
    memset(row, 0, sizeof(float) * 2 * (size_t)maps);
    for (long at = image * b->height * row_size, r = 0; r < b->height; r++, at += row_size) {
        for (long pixel = 0; pixel < row_size; pixel += maps)
            for (long map = 0; map < maps; map += LANES) {
                floats x = load_from(b->x, half, at + pixel + map) - load(b->mean + map);
                store(row + map, load(row + map) + x);
                store(row + maps + map, load(row + maps + map) + x * x);
            }
        add_row(sums, row, 2 * maps);
    }
}

static void one_image_sums(long task, long worker, void *memory) {
    const struct norm_call *call = memory;
    long image = call->b->images - 1 - task; /* the last ones written may still be in the cache */
    if (call->b->half) sum_image(call, image, worker, 1);
    else sum_image(call, image, worker, 0);
}

static void mean_and_variance(const struct norm_call *call) {
    const struct batch_norm *b = call->b;
    double pixels = (double)(b->images * b->height * b->width);
    for (long map = 0; map < b->maps; map++) {
        double sum = 0, squares = 0;
        for (long image = 0; image < b->images; image++) {
            sum += call->sums[image * 2 * b->maps + map];
            squares += call->sums[image * 2 * b->maps + b->maps + map];
        }
        double mean = sum / pixels, variance = squares / pixels - mean * mean;
        b->mean[map] = (float)(mean + b->mean[map]);
        b->variance[map] = (float)(variance < 0 ? 0 : variance);
    }
}

INLINE void activate_numbers(const struct norm_call *call, long at, void *to, long to_at,
                             const int to_half, const enum activation kind, const int half) {
    const struct batch_norm *b = call->b;
    for (long pixel = 0; pixel < b->width * b->maps; pixel += b->maps)
        for (long map = 0; map < b->maps; map += LANES) {
            floats x = load_from(b->x, half, at + pixel + map);
            floats z = x * load(call->scale + map) + load(call->shift + map);
            store_to(to, to_half, to_at + pixel + map, forward_activation(kind, half, z));
        }
}

/* Activate the row of x that begins at `at`: into y without pooling, else into the strip. */
static void activate_row(const struct norm_call *call, long at, float *strip) {
    const struct batch_norm *b = call->b;
#define ROW(kind)                                                                              \
    case kind:                                                                                 \
        if (strip && b->half) activate_numbers(call, at, strip, 0, 0, kind, 1);                \
        else if (strip) activate_numbers(call, at, strip, 0, 0, kind, 0);                      \
        else if (b->half) activate_numbers(call, at, b->y, at, 1, kind, 1);                    \
        else activate_numbers(call, at, b->y, at, 0, kind, 0);                                 \
        return;
    switch ((enum activation)b->activation) {
        ROW(IDENTITY) ROW(TANH) ROW(SCALED_TANH) ROW(SIGMOID) ROW(RELU) ROW(LEAKY_RELU)
        ROW(ELU) ROW(GELU) ROW(SILU)
    }
#undef ROW
}

INLINE void pool_row(const struct batch_norm *b, const float *strip, long image, long row,
                     const int half) {
    long to = (image * b->rows + row) * b->columns * b->maps;
    struct window_rows rows;
    find_rows(b, row, &rows);
    for (long column = 0; column < b->columns; column++, to += b->maps) {
        struct window window;
        find_window(b, &rows, column, &window);
        for (long map = 0; map < b->maps; map += LANES) {
            floats best = load(strip + window.offset[0] + map);
            ints winner = (ints){0} + (int32_t)window.number[0];
            for (long i = 1; i < window.count; i++) {
                floats value = load(strip + window.offset[i] + map);
                ints better = (value > best) | (value != value); /* NaN is the largest */
                best = choose(better, value, best);
                winner = (better & (int32_t)window.number[i]) | (~better & winner);
            }
            store_to(b->y, half, to + map, best);
            *(bytes *)(b->winner + to + map) = __builtin_convertvector(winner, bytes);
        }
    }
}

static void one_image(long image, long worker, void *memory) {
    const struct norm_call *call = memory;
    const struct batch_norm *b = call->b;
    float *strip = call->strips + worker * call->strip;
    long row_size = b->width * b->maps, at = image * b->height * row_size, done = 0;
    if (!b->winner) {
        for (long r = 0; r < b->height; r++, at += row_size) activate_row(call, at, NULL);
        return;
    }
    for (long row = 0; row < b->rows; row++) {
        long top = row * b->step_rows - b->border_rows, end = top + b->window_rows;
        for (done = done < top ? top : done; done < end && done < b->height; done++)
            activate_row(call, at + done * row_size, strip + done % b->window_rows * row_size);
        if (b->half) pool_row(b, strip, image, row, 1);
        else pool_row(b, strip, image, row, 0);
    }
}

/* 0, or 1 where there is no memory. */
int KERNEL(batch_norm_forward)(const struct batch_norm *b, long threads) {
    struct norm_call call;
    int ready = prepare(&call, b, threads);
    if (ready) {
        if (b->half) first_means(&call, 1);
        else first_means(&call, 0);
        run_by_team(b->team, one_image_sums, &call, b->images, threads);
        mean_and_variance(&call);
        scale_and_shift(&call);
        run_by_team(b->team, one_image, &call, b->images, threads);
    }
    finish(&call);
    return !ready;
}
