/* A product of matrices: to[o][vector] = sum over i < length of  from[o, i] × x[i][vector].
 *
 *                        x    [i][ lanes | lanes | ... ]      length × vectors
 *      from [o][i]       to   [o][ lanes | lanes | ... ]      o × vectors
 *
 * The sums of correlate.h with one row of taps. A task is O results for all vectors.
 */
#ifndef CONVSCOPE_PRODUCT_H
#define CONVSCOPE_PRODUCT_H

#include "activations.h"
#include "correlate.h"

struct product {
    const float *from; /* the numbers, o_step and step apart */
    const float *x;    /* length × x_step */
    float *to;         /* o × to_step */
    float *memory;     /* `room`, at least length × MOST_O, for each worker */
    long room;
    const float *start; /* what each sum begins with, or NULL */
    float *slopes;      /* of the activation, as `to`; or NULL: not wanted */
    long o_step, step, o, length, x_step, vectors, to_step;
    enum activation activation;
};

static long tasks_of(const struct product *p) { return parts_of(p->o, MOST_O); }

/* A task: O results. Their numbers are put side by side, where all tiles find them in the cache. */
static void some_results(const struct product *p, long task, long worker) {
    long o = begin_of(p->o, tasks_of(p), task), O = begin_of(p->o, tasks_of(p), task + 1) - o;
    float *weights = p->memory + worker * p->room;
    for (long i = 0; i < p->length; i++)
        for (long j = 0; j < O; j++)
            weights[i * O + j] = p->from[(o + j) * p->o_step + i * p->step];
    struct taps taps = {1, 1, p->length, 0, 0, p->x_step, 0, 0, O};
    long pieces = parts_of(p->vectors, MOST_P);
    for (long piece = 0; piece < pieces; piece++) {
        long vector = begin_of(p->vectors, pieces, piece);
        long P = begin_of(p->vectors, pieces, piece + 1) - vector;
        float *to = p->to + o * p->to_step + vector * LANES;
        any_tile(O, P, &taps, p->x + vector * LANES, LANES, weights,
                 p->start ? p->start + o : NULL, to, p->to_step, LANES);
        if (p->activation == IDENTITY) continue;
        for (long i = 0; i < O; i++)
            for (long j = 0; j < P; j++) {
                long at = (o + i) * p->to_step + (vector + j) * LANES;
                floats slope, sum = load(p->to + at);
                store(p->to + at, activate_with_slope(p->activation, sum, &slope));
                if (p->slopes) store(p->slopes + at, slope);
            }
    }
}

#endif
