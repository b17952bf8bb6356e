/* A dense layer with its activation: what its kernels are told. */
#ifndef CONVSCOPE_DENSE_H
#define CONVSCOPE_DENSE_H

#include <stdint.h>

#include "activations.h"

struct dense { /* x and y as lanes.h says: inputs × pitch and outputs × pitch */
    const float *x, *weight, *bias;
    float *y, *slopes; /* slopes of the activation, or NULL: the activation is monotone */
    const float *y_gradient;
    float *x_gradient, *weight_gradient, *bias_gradient;
    int64_t images, pitch, inputs, outputs, activation;
};

int KERNEL(dense_forward)(const struct dense *d, long threads);
int KERNEL(dense_backward)(const struct dense *d, long threads);

#endif
