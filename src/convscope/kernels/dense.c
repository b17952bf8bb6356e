/* A dense layer: y = activation(W x + bias), and its gradients, with the batch in the lanes.
 *
 *      forward       y[o] [images]  = sum over k of  W[o][k]  x[k] [images]
 *      x gradient    x'[k][images]  = sum over o of  W[o][k]  g[o] [images]
 *      W gradient    W'[o][inputs k] = sum over n of  g[o][n]  x[.][n] [inputs k]
 *
 * All three are the sums of correlate.h with one row of taps: something spread over the lanes times
 * one number for all. In the last one the lanes are inputs, so x is turned first (N × K), and g is
 * packed as weights are. g is the y gradient times the slope of the activation.
 *
 * Tasks are blocks of O results × a few vectors. Arithmetic for each image: 2 × K × outputs, three
 * times. Bytes: W once for every MOST_P vectors of images, from the second-level cache: LeNet-5's C5
 * has 192 kB of weights for 96 kFLOP an image.
 */
#include <stdlib.h>
#include <string.h>

#include "activations.h"
#include "correlate.h"
#include "threads.h"

struct dense { /* x and y as lanes.h says: inputs × pitch and outputs × pitch */
    const float *x, *weight, *bias;
    float *y;
    const float *y_gradient;
    float *x_gradient, *weight_gradient, *bias_gradient;
    int64_t images, pitch, inputs, outputs, activation;
};

/* A product: to[o][vector] = sum over `length` of weights × x, in blocks of O × pieces of P. */
struct product {
    const float *weights; /* for each block: length × O */
    const float *x;       /* length × x_step */
    float *to;            /* of `o` results, to_step apart */
    const float *start;   /* what each sum begins with, or NULL */
    long length, x_step, o, vectors, to_step, blocks, pieces;
    int activation;
};

static struct product product(const float *weights, const float *x, float *to, long length,
                              long x_step, long o, long vectors, long to_step) {
    return (struct product){weights, x, to, NULL, length, x_step, o, vectors, to_step,
                            parts_of(o, MOST_O), parts_of(vectors, MOST_P), IDENTITY};
}

static void one_tile(const struct product *p, long task) {
    long block = task / p->pieces, piece = task % p->pieces;
    long o = begin_of(p->o, p->blocks, block), O = begin_of(p->o, p->blocks, block + 1) - o;
    long vector = begin_of(p->vectors, p->pieces, piece);
    long P = begin_of(p->vectors, p->pieces, piece + 1) - vector;
    struct taps taps = {1, 1, p->length, 0, 0, p->x_step, 0, 0, O};
    float *to = p->to + o * p->to_step + vector * LANES;
    for (long i = 0; i < O; i++)
        for (long j = 0; j < P; j++)
            store(to + i * p->to_step + j * LANES, splat(p->start ? p->start[o + i] : 0));
    any_tile(O, P, &taps, p->x + vector * LANES, LANES, p->weights + o * p->length, to, p->to_step,
             LANES);
    if (p->activation == IDENTITY) return;
    for (long i = 0; i < O; i++)
        for (long j = 0; j < P; j++) {
            float *at = to + i * p->to_step + j * LANES;
            store(at, activate(p->activation, load(at)));
        }
}

/* `from`, o × length with the given steps, as the weights of a product. */
static void pack(const float *from, long o_step, long step, long o, long length, float *to) {
    long blocks = parts_of(o, MOST_O);
    for (long block = 0; block < blocks; block++) {
        long begin = begin_of(o, blocks, block), end = begin_of(o, blocks, block + 1);
        for (long i = 0; i < length; i++)
            for (long j = begin; j < end; j++) *to++ = from[j * o_step + i * step];
    }
}

static void forward_tile(long task, long worker, void *memory) {
    (void)worker;
    one_tile(memory, task);
}

/* 0, or 1 where there is no memory. */
int KERNEL(dense_forward)(const struct dense *d, long threads) {
    float *weights = malloc(sizeof(float) * (size_t)(d->inputs * d->outputs));
    if (!weights) return 1;
    pack(d->weight, d->inputs, 1, d->outputs, d->inputs, weights);
    struct product p = product(weights, d->x, d->y, d->inputs, d->pitch, d->outputs,
                               parts_of(d->images, LANES), d->pitch);
    p.start = d->bias;
    p.activation = (int)d->activation;
    run_tasks(forward_tile, &p, p.blocks * p.pieces, threads);
    free(weights);
    return 0;
}

struct backward {
    const struct dense *dense;
    float *g;        /* outputs × pitch */
    float *turned;   /* images × x_step: x with inputs in the lanes */
    float *sums;     /* outputs × x_step: the weight gradient with room for whole vectors */
    float *by_image; /* g as weights of a product */
    float *weights;  /* W as weights of the product that gives the x gradient */
    long x_step;
    struct product to_weights, to_x;
};

/* First the tasks that make g, output by output, then those that turn x, 16 inputs at a time. */
static void prepare(long task, long worker, void *memory) {
    (void)worker;
    struct backward *job = memory;
    const struct dense *d = job->dense;
    if (task < d->outputs) {
        const float *y = d->y + task * d->pitch, *gradient = d->y_gradient + task * d->pitch;
        float *g = job->g + task * d->pitch;
        floats sum = {0};
        for (long n = 0; n < d->pitch; n += LANES) {
            ints lane;
            for (int i = 0; i < LANES; i++) lane[i] = i;
            floats value = load(gradient + n) * slope(d->activation, load(y + n));
            value = choose(lane < (int32_t)(d->images - n), value, splat(0));
            store(g + n, value);
            sum += value;
        }
        d->bias_gradient[task] = sum_of_lanes(sum);
        return;
    }
    long begin = (task - d->outputs) * 16, end = begin + 16;
    for (long first = 0; first < d->images; first += 16)
        for (long k = begin; k < end && k < job->x_step; k++)
            for (long n = first; n < first + 16 && n < d->images; n++)
                job->turned[n * job->x_step + k] = k < d->inputs ? d->x[k * d->pitch + n] : 0;
}

static void backward_tile(long task, long worker, void *memory) {
    (void)worker;
    const struct backward *job = memory;
    long of_weights = job->to_weights.blocks * job->to_weights.pieces;
    if (task < of_weights) one_tile(&job->to_weights, task);
    else one_tile(&job->to_x, task - of_weights);
}

static void gradients(struct backward *job, long threads) {
    const struct dense *d = job->dense;
    run_tasks(prepare, job, d->outputs + parts_of(job->x_step, 16), threads);
    pack(job->g, d->pitch, 1, d->outputs, d->images, job->by_image);
    job->to_weights = product(job->by_image, job->turned, job->sums, d->images, job->x_step,
                              d->outputs, job->x_step / LANES, job->x_step);
    long tiles = job->to_weights.blocks * job->to_weights.pieces;
    if (d->x_gradient) {
        pack(d->weight, 1, d->inputs, d->inputs, d->outputs, job->weights);
        job->to_x = product(job->weights, job->g, d->x_gradient, d->outputs, d->pitch, d->inputs,
                            parts_of(d->images, LANES), d->pitch);
        tiles += job->to_x.blocks * job->to_x.pieces;
    }
    run_tasks(backward_tile, job, tiles, threads);
    for (long o = 0; o < d->outputs; o++)
        memcpy(d->weight_gradient + o * d->inputs, job->sums + o * job->x_step,
               sizeof(float) * (size_t)d->inputs);
}

/* 0, or 1 where there is no memory. */
int KERNEL(dense_backward)(const struct dense *d, long threads) {
    long x_step = parts_of(d->inputs, LANES) * LANES;
    long sizes[] = {d->outputs * d->pitch, d->images * x_step, d->outputs * x_step,
                    d->outputs * d->images, d->outputs * d->inputs};
    long all = sizes[0] + sizes[1] + sizes[2] + sizes[3] + sizes[4];
    float *memory = malloc(sizeof(float) * (size_t)all);
    if (!memory) return 1;
    struct backward job = {.dense = d, .x_step = x_step, .g = memory};
    job.turned = job.g + sizes[0];
    job.sums = job.turned + sizes[1];
    job.by_image = job.sums + sizes[2];
    job.weights = job.by_image + sizes[3];
    gradients(&job, threads);
    free(memory);
    return 0;
}
