/* A dense layer: y = activation(W x + bias), and its gradients, with the batch in the lanes.
 *
 *      forward       y[o] [images]  = sum over k of  W[o][k]  x[k] [images]
 *      x gradient    x'[k][images]  = sum over o of  W[o][k]  g[o] [images]
 *      W gradient    W'[o][inputs k] = sum over n of  g[o][n]  x[.][n] [inputs k]
 *
 * All three are products of product.h: something spread over the lanes times one number for all. In
 * the last one the lanes are inputs, so x is turned first (N × K), and g is packed as weights are, for
 * each task. g is the y gradient times the slope of the activation.
 *
 * A task is O results for all vectors. Arithmetic for each image: 2 × K × outputs, three times. Bytes:
 * W once a batch, and x once for every O results, from the second-level cache: LeNet-5's C5 has 192 kB
 * of weights and reads 205 kB of x twenty times for 128 images, for 12.3 MFLOP.
 */
#include <stdlib.h>
#include <string.h>

#include "dense.h"
#include "product.h"
#include "threads.h"

static void forward_task(long task, long worker, void *memory) {
    some_results(memory, task, worker);
}

/* 0, or 1 where there is no memory. */
int KERNEL(dense_forward)(const struct dense *d, long threads) {
    float *memory = malloc(sizeof(float) * (size_t)(d->inputs * MOST_O * threads));
    if (!memory) return 1;
    struct product p = {
        .from = d->weight, .o_step = d->inputs, .step = 1,
        .o = d->outputs, .length = d->inputs,
        .x = d->x, .x_step = d->pitch, .vectors = parts_of(d->images, LANES),
        .to = d->y, .to_step = d->pitch, .slopes = d->slopes,
        .start = d->bias, .activation = (enum activation)d->activation, .memory = memory, .room = d->inputs * MOST_O,
    };
    run_tasks(forward_task, &p, tasks_of(&p), threads);
    free(memory);
    return 0;
}

struct backward {
    const struct dense *dense;
    float *g;        /* outputs × pitch */
    float *turned;   /* images × x_step: x with inputs in the lanes */
    float *sums;     /* outputs × x_step: the weight gradient with room for whole vectors */
    float *memory;   /* the products', `room` for each worker, whichever it is at */
    long room, x_step;
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
            floats slopes = d->slopes ? load(d->slopes + task * d->pitch + n)
                                      : slope(d->activation, load(y + n));
            floats value = load(gradient + n) * slopes;
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

static void backward_task(long task, long worker, void *memory) {
    const struct backward *job = memory;
    const struct dense *d = job->dense;
    long first = tasks_of(&job->to_weights);
    if (task >= first) {
        some_results(&job->to_x, task - first, worker);
        return;
    }
    some_results(&job->to_weights, task, worker);
    long begin = begin_of(d->outputs, first, task), end = begin_of(d->outputs, first, task + 1);
    for (long o = begin; o < end; o++)
        memcpy(d->weight_gradient + o * d->inputs, job->sums + o * job->x_step,
               sizeof(float) * (size_t)d->inputs);
}

static void gradients(struct backward *job, long threads) {
    const struct dense *d = job->dense;
    run_tasks(prepare, job, d->outputs + parts_of(job->x_step, 16), threads);
    job->to_weights = (struct product){
        .from = job->g, .o_step = d->pitch, .step = 1,
        .o = d->outputs, .length = d->images,
        .x = job->turned, .x_step = job->x_step, .vectors = job->x_step / LANES,
        .to = job->sums, .to_step = job->x_step, .memory = job->memory, .room = job->room,
    };
    job->to_x = (struct product){
        .from = d->weight, .o_step = 1, .step = d->inputs,
        .o = d->inputs, .length = d->outputs,
        .x = job->g, .x_step = d->pitch, .vectors = parts_of(d->images, LANES),
        .to = d->x_gradient, .to_step = d->pitch, .memory = job->memory, .room = job->room,
    };
    long tasks = tasks_of(&job->to_weights) + (d->x_gradient ? tasks_of(&job->to_x) : 0);
    run_tasks(backward_task, job, tasks, threads);
}

/* 0, or 1 where there is no memory. */
int KERNEL(dense_backward)(const struct dense *d, long threads) {
    long x_step = parts_of(d->inputs, LANES) * LANES;
    long longest = d->images > d->outputs ? d->images : d->outputs;
    long sizes[] = {d->outputs * d->pitch, d->images * x_step, d->outputs * x_step,
                    longest * MOST_O * threads};
    long all = sizes[0] + sizes[1] + sizes[2] + sizes[3];
    float *memory = malloc(sizeof(float) * (size_t)all);
    if (!memory) return 1;
    struct backward job = {.dense = d, .x_step = x_step, .room = longest * MOST_O, .g = memory};
    job.turned = job.g + sizes[0];
    job.sums = job.turned + sizes[1];
    job.memory = job.sums + sizes[2];
    gradients(&job, threads);
    free(memory);
    return 0;
}
