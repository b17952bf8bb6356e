/* The gradient of batch normalisation, activation and maximum pooling: see batch_norm.h.
 *
 *      the activation's:  what the windows give to the element that won, added up
 *      z's:               that times the activation's slope at z
 *      bias:  sum of z's        weight:  sum of z's × (x - mean), / deviation
 *      x's:   scale × (z's - its mean - (x - mean) × mean of z's × (x - mean), / variance)
 *
 * x's needs the sums over the batch: so a first pass leaves z's where x's shall be, and a second one,
 * from the image that was done last, makes the one of the other.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "batch_norm.h"

INLINE floats slope_at(const enum activation kind, const int half, floats z) {
    if (half && kind == GELU) return coarse_gelu_slope(z);
    floats derivative;
    activate_with_slope(kind, z, &derivative);
    return derivative;
}

/* The gradient of z for the row of x that begins at `at`, from that of the activation; its sums. */
INLINE void finish_numbers(const struct norm_call *call, long at, const void *given, long given_at,
                           const int given_half, float *sums, const enum activation kind,
                           const int half) {
    const struct batch_norm *b = call->b;
    for (long pixel = 0; pixel < b->width * b->maps; pixel += b->maps)
        for (long map = 0; map < b->maps; map += LANES) {
            floats x = load_from(b->x, half, at + pixel + map);
            floats z = x * load(call->scale + map) + load(call->shift + map);
            floats gradient = load_from(given, given_half, given_at + pixel + map);
            gradient *= slope_at(kind, half, z);
            store_to(b->x_gradient, half, at + pixel + map, gradient);
            float *sum = sums + map, *product = sums + b->maps + map;
            store(sum, load(sum) + gradient);
            store(product, load(product) + gradient * (x - load(b->mean + map)));
        }
}

/* Without pooling the activation's gradient is y's, else it is in the strip. */
static void finish_row(const struct norm_call *call, long at, const float *strip, float *sums) {
    const struct batch_norm *b = call->b;
    const void *y = b->y_gradient;
#define ROW(kind)                                                                              \
    case kind:                                                                                 \
        if (strip && b->half) finish_numbers(call, at, strip, 0, 0, sums, kind, 1);            \
        else if (strip) finish_numbers(call, at, strip, 0, 0, sums, kind, 0);                  \
        else if (b->half) finish_numbers(call, at, y, at, 1, sums, kind, 1);                   \
        else finish_numbers(call, at, y, at, 0, sums, kind, 0);                                \
        return;
    switch ((enum activation)b->activation) {
        ROW(IDENTITY) ROW(TANH) ROW(SCALED_TANH) ROW(SIGMOID) ROW(RELU) ROW(LEAKY_RELU)
        ROW(ELU) ROW(GELU) ROW(SILU)
    }
#undef ROW
}

/* Add what a row of windows gives to the elements that won. */
INLINE void spread_row(const struct batch_norm *b, float *strip, long image, long row,
                       const int half) {
    long from = (image * b->rows + row) * b->columns * b->maps;
    struct window_rows rows;
    find_rows(b, row, &rows);
    for (long column = 0; column < b->columns; column++, from += b->maps) {
        struct window window;
        find_window(b, &rows, column, &window);
        for (long map = 0; map < b->maps; map += LANES) {
            floats gradient = load_from(b->y_gradient, half, from + map);
            ints winner = __builtin_convertvector(*(bytes *)(b->winner + from + map), ints);
            for (long i = 0; i < window.count; i++) {
                ints won = winner == (int32_t)window.number[i];
                float *to = strip + window.offset[i] + map;
                store(to, load(to) + (floats)((ints)gradient & won));
            }
        }
    }
}

static void one_image(long task, long worker, void *memory) {
    const struct norm_call *call = memory;
    const struct batch_norm *b = call->b;
    long image = b->images - 1 - task, maps = b->maps, done = 0, row_size = b->width * maps;
    long at = image * b->height * row_size;
    float *strip = call->strips + worker * call->strip;
    float *row_sums = strip + b->window_rows * row_size, *sums = call->sums + image * 2 * maps;
    memset(strip, 0, sizeof(float) * (size_t)call->strip);
    memset(sums, 0, sizeof(float) * 2 * (size_t)maps);
    for (long row = 0; row < b->rows; row++) {
        if (b->winner && b->half) spread_row(b, strip, image, row, 1);
        else if (b->winner) spread_row(b, strip, image, row, 0);
        /* Rows of x above the next windows: nothing is added to them any more. */
        long end = (row + 1) * b->step_rows - b->border_rows;
        for (end = row + 1 == b->rows || end > b->height ? b->height : end; done < end; done++) {
            float *kept = strip + done % b->window_rows * row_size;
            finish_row(call, at + done * row_size, b->winner ? kept : NULL, row_sums);
            if (b->winner) memset(kept, 0, sizeof(float) * (size_t)row_size);
            add_row(sums, row_sums, 2 * maps);
        }
    }
}

/* The gradients of weight and bias; and in the place of the shift and of the first image's sums what
 * the second pass takes off: a constant, and a factor of x - mean. */
static void finish_sums(struct norm_call *call) {
    const struct batch_norm *b = call->b;
    double pixels = (double)(b->images * b->height * b->width);
    for (long map = 0; map < b->maps; map++) {
        double sum = 0, products = 0;
        for (long image = 0; image < b->images; image++) {
            sum += call->sums[image * 2 * b->maps + map];
            products += call->sums[image * 2 * b->maps + b->maps + map];
        }
        double variance = b->variance[map] + b->eps;
        b->bias_gradient[map] = (float)sum;
        b->weight_gradient[map] = (float)(products / sqrt(variance));
        call->shift[map] = (float)(call->scale[map] * sum / pixels);
        call->sums[map] = (float)(call->scale[map] * products / pixels / variance);
    }
}

INLINE void center_image(const struct norm_call *call, long image, const int half) {
    const struct batch_norm *b = call->b;
    long size = b->height * b->width * b->maps;
    for (long pixel = image * size; pixel < (image + 1) * size; pixel += b->maps)
        for (long map = 0; map < b->maps; map += LANES) {
            floats from_mean = load_from(b->x, half, pixel + map) - load(b->mean + map);
            floats gradient = load_from(b->x_gradient, half, pixel + map);
            gradient = gradient * load(call->scale + map) - load(call->shift + map);
            gradient -= from_mean * load(call->sums + map);
            store_to(b->x_gradient, half, pixel + map, gradient);
        }
}

static void one_image_centered(long image, long worker, void *memory) {
    (void)worker;
    const struct norm_call *call = memory;
    if (call->b->half) center_image(call, image, 1);
    else center_image(call, image, 0);
}

/* 0, or 1 where there is no memory. */
int KERNEL(batch_norm_backward)(const struct batch_norm *b, long threads) {
    struct norm_call call;
    int ready = prepare(&call, b, threads);
    if (ready) {
        scale_and_shift(&call);
        run_by_team(b->team, one_image, &call, b->images, threads);
        finish_sums(&call);
        run_by_team(b->team, one_image_centered, &call, b->images, threads);
    }
    finish(&call);
    return !ready;
}
