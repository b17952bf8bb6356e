/* Batch normalisation, activation and maximum pooling in one: what its kernels are told.
 *
 * Maps lie next to each other, for each pixel all of them (torch's channels_last):
 *
 *      N × H × W × C     image 0, row 0:  [pixel 0: map 0, map 1 ... | pixel 1: map 0 ... | ...]
 *
 * so that a vector holds LANES maps of a pixel, each with a mean and a deviation of its own.
 *
 *      z = x scale + shift      scale = weight / deviation, shift = bias - mean scale
 *      y = the maximum of activation(z) in each window
 *
 * Everything between x and y is float32 in the cache, computed anew for the gradient. Sums are of
 * rows, then of images, then of the batch in double precision: their order, and so every bit of the
 * result, is the same for any number of threads.
 *
 * What the passes read and write of x's size: forward 2 (the sums; z) and y; backward 5 (x, then the
 * gradient of z into that of x; x and that again, then the gradient of x) and y's.
 */
#ifndef CONVSCOPE_BATCH_NORM_H
#define CONVSCOPE_BATCH_NORM_H

#include "activations.h"
#include "halves.h"
#include "threads.h"

struct batch_norm {
    const void *x;    /* images × height × width × maps */
    void *y;          /* images × rows × columns × maps */
    uint8_t *winner;  /* for each y, which element of its window it was; NULL without pooling */
    const float *weight, *bias; /* maps */
    float *mean, *variance;     /* maps: the batch's; the squares' sum divided by their number */
    const void *y_gradient;
    void *x_gradient;
    float *weight_gradient, *bias_gradient;
    int64_t images, maps, height, width, rows, columns;
    int64_t window_rows, window_columns, step_rows, step_columns;
    int64_t border_rows, border_columns; /* no window begins further outside */
    int64_t activation, half;            /* half: x, y and their gradients are bfloat16 */
    double eps;
    team_function team; /* who runs the tasks: see threads.h */
};

/* A call of a kernel, with what it works out. */
struct norm_call {
    const struct batch_norm *b;
    float *scale, *shift; /* maps */
    float *sums;          /* for each image two sums of each map */
    float *strips;        /* for each thread the rows of a window, then two sums of a row */
    long strip;           /* numbers of one */
};

#define MOST_ELEMENTS 256

/* The elements of a window that lie inside the image: where, and the number of each. */
struct window {
    long count, offset[MOST_ELEMENTS], number[MOST_ELEMENTS];
};

/* The rows of a row of windows that lie inside the image: their numbers in the window, and where they
 * are in the strip, in which row r of x lies at row r modulo window_rows. */
struct window_rows {
    long begin, end, offset[MOST_ELEMENTS];
};

INLINE void find_rows(const struct batch_norm *b, long row, struct window_rows *found) {
    long top = row * b->step_rows - b->border_rows;
    found->begin = top < 0 ? -top : 0;
    found->end = top + b->window_rows > b->height ? b->height - top : b->window_rows;
    for (long i = found->begin; i < found->end; i++)
        found->offset[i] = (top + i) % b->window_rows * b->width * b->maps;
}

/* The window of y's pixel at `column` in them. */
INLINE void find_window(const struct batch_norm *b, const struct window_rows *rows, long column,
                        struct window *found) {
    long left = column * b->step_columns - b->border_columns;
    long begin = left < 0 ? -left : 0;
    long end = left + b->window_columns > b->width ? b->width - left : b->window_columns;
    found->count = 0;
    for (long i = rows->begin; i < rows->end; i++)
        for (long j = begin; j < end; j++) {
            found->offset[found->count] = rows->offset[i] + (left + j) * b->maps;
            found->number[found->count++] = i * b->window_columns + j;
        }
}

/* GELU for results that are kept as bfloat16: by polynomials, fitted by least squares with Lawson's
 * weights to |x| <= 4. There the value is within 2e-5 of x times the normal distribution's share
 * below x, and the derivative within 1e-4. Beyond, it is 0 or x, within 1.3e-4, and the derivative 0
 * or 1, within 6e-4. The roundings of values around 1 are 4e-3. */
INLINE floats polynomial(floats x, const float *factors, long count) {
    floats square = x * x, sum = splat(factors[count - 1]);
#pragma GCC unroll 16
    for (long i = count - 2; i >= 0; i--) sum = sum * square + factors[i];
    return sum * x + 0.5f;
}

INLINE floats coarse_gelu(floats x) {
    static const float share[] = {0.398881018f,    -0.0663236305f,  0.0098158f,
                                  -0.00111285585f, 9.49402165e-05f, -5.86059605e-06f,
                                  2.4408422e-07f,  -6.06689587e-09f, 6.74037839e-11f};
    floats inside = x * polynomial(within(x, -4, 4), share, 9);
    return choose(x < -4, splat(0), choose(x > 4, x, inside));
}

INLINE floats coarse_gelu_slope(floats x) {
    static const float slope[] = {0.797609568f,    -0.264826566f,   0.0584561191f,
                                  -0.00871632714f, 0.00090732798f,  -6.49577341e-05f,
                                  3.0283577e-06f,  -8.21883575e-08f, 9.79610171e-10f};
    floats inside = polynomial(within(x, -4, 4), slope, 9);
    return choose(x < -4, splat(0), choose(x > 4, splat(1), inside));
}

/* Whether there is memory for a call; what of it there is must be freed. */
INLINE int prepare(struct norm_call *call, const struct batch_norm *b, long threads) {
    size_t size = sizeof(float), maps = (size_t)b->maps;
    long rows = b->window_rows * b->width + 2;
    *call = (struct norm_call){.b = b, .strip = rows * b->maps};
    call->scale = malloc(size * 2 * maps);
    call->shift = call->scale + maps;
    call->sums = malloc(size * 2 * maps * (size_t)b->images);
    call->strips = malloc(size * (size_t)(call->strip * threads));
    return call->scale && call->sums && call->strips;
}

INLINE void finish(struct norm_call *call) {
    free(call->scale);
    free(call->sums);
    free(call->strips);
}

/* The scale and shift of each map from its mean and variance. */
INLINE void scale_and_shift(struct norm_call *call) {
    const struct batch_norm *b = call->b;
    for (long map = 0; map < b->maps; map++) {
        call->scale[map] = (float)(b->weight[map] / sqrt(b->variance[map] + b->eps));
        call->shift[map] = b->bias[map] - b->mean[map] * call->scale[map];
    }
}

/* Add a row's two sums of each map to an image's, and begin again. */
INLINE void add_row(float *image, float *row, long count) {
    for (long i = 0; i < count; i += LANES) {
        store(image + i, load(image + i) + load(row + i));
        store(row + i, splat(0));
    }
}

#endif
