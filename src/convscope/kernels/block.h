/* A convolution with its bias, pooling and activation: what its kernels are told. */
#ifndef CONVSCOPE_BLOCK_H
#define CONVSCOPE_BLOCK_H

#include <stdint.h>

#include "activations.h"

enum pooling { NO_POOLING, MAXIMUM, MINIMUM, AVERAGE };

/* Sizes are in maps, pixels and images; maps lie as lanes.h says, all with the same pitch. */
struct block {
    const float *x;       /* in_maps × height × width: with its padding already */
    const float *weight;  /* out_maps × in_maps × kernel_rows × kernel_columns */
    const float *bias;    /* out_maps, or NULL */
    float *y;             /* out_maps × pooled_rows × pooled_columns */
    uint8_t *winner;      /* maximum and minimum: for each y, which element of its window it was */
    float *slopes;        /* out_maps × rows × columns: where activation comes first, its slopes */
    const float *y_gradient;
    float *x_gradient;    /* or NULL: not wanted */
    float *weight_gradient, *bias_gradient;
    int64_t images, pitch, in_maps, out_maps, height, width;
    int64_t kernel_rows, kernel_columns, rows, columns; /* of the convolution's result */
    int64_t pooling, window_rows, window_columns, step_rows, step_columns;
    int64_t border_rows, border_columns; /* of the pooling: no window begins further outside */
    int64_t pooled_rows, pooled_columns, activation;
};

/* The elements of a window that lie inside, along one axis: from `begin` to `end`. */
struct inside {
    long begin, end;
};

INLINE struct inside inside_of(long start, long window, long size) {
    return (struct inside){start < 0 ? -start : 0, start + window > size ? size - start : window};
}

/* The winners of pixel `pixel` of y, counted over all maps, for the LANES images from `first`. Those
 * of a task, maps × rows × columns × LANES, lie together: else two cores would write to the same
 * line of the cache all the time. */
INLINE bytes *winners(const struct block *b, long pixel, long first) {
    long pixels = b->out_maps * b->pooled_rows * b->pooled_columns;
    return (bytes *)(b->winner + first * pixels + pixel * LANES);
}

/* Whether the activation comes before the pooling: only order and monotone ones commute. */
INLINE int activates_first(const struct block *b) {
    return b->pooling == AVERAGE || !is_monotone((enum activation)b->activation);
}

int KERNEL(block_forward)(const struct block *b, long threads);
int KERNEL(block_backward)(const struct block *b, long threads);

#endif
