/* A step of Muon for all parameters of a network in one call: matrices are turned, the rest goes by
 * momentum. See training/muon.py, which does the same by torch.
 *
 *      v = m v + g         s = g + m v (Nesterov), or v
 *
 *      a matrix:    X = s / |s|, the shorter side as rows
 *                   ROUNDS times:   S = X Xᵀ    T = a + b S + c S S    X = T X
 *                   W = W sqrt(rows) / |W| - lr X
 *      the rest:    W = W - lr s
 *
 *            columns, lanes            rows, lanes         rows, lanes
 *      X  r [             ]    Xᵀ  c [     ]       S, T  r [     ]     all products are product.h's
 *         o [             ]        o [     ]             o [     ]
 *         w [             ]        l [     ]             w [     ]
 *         s [             ]        ..[     ]             s [     ]
 *
 * S and S S are symmetric: the half below the diagonal is formed, and mirrored. Arithmetic for r × c:
 * ROUNDS × (3 r² c + r³), 57 MFLOP for LeNet-5's C5 (120 × 400), some 67 for all of it, where 160
 * images take 362. Everything lies in the second-level cache: 0.7 MB.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "product.h"
#include "threads.h"

#define ROUNDS 3

struct muon_part { /* a parameter */
    float *weight;
    const float *gradient;
    float *velocity;
    int64_t rows, columns; /* rows is 0: no matrix, `columns` numbers */
    double lr;
};

struct muon {
    struct muon_part *parts;
    int64_t count, nesterov;
    double momentum, decay; /* decay: of what is no matrix */
};

struct turning { /* a matrix on its way */
    const struct muon *muon;
    const struct muon_part *part;
    long r, c, r_step, c_step; /* the shorter side, the longer one; with room for whole vectors */
    float *x, *next, *turned, *square, *factor, *memory;
    long threads;
};

static void move(const struct muon *m, const struct muon_part *p) {
    float share = (float)m->momentum, decay = (float)m->decay, lr = (float)p->lr;
    for (long i = 0; i < p->columns; i++) {
        float g = p->gradient[i] + decay * p->weight[i], v = share * p->velocity[i] + g;
        p->velocity[i] = v;
        p->weight[i] -= lr * (m->nesterov ? g + share * v : v);
    }
}

static double norm(const float *values, long count) {
    floats sums[4] = {{0}, {0}, {0}, {0}};
    long i = 0;
    for (; i + 4 * LANES <= count; i += 4 * LANES)
        for (int j = 0; j < 4; j++) {
            floats value = load(values + i + j * LANES);
            sums[j] += value * value;
        }
    double all = sum_of_lanes((sums[0] + sums[1]) + (sums[2] + sums[3]));
    for (; i < count; i++) all += values[i] * values[i];
    return sqrt(all);
}

/* The step, contiguous as the weights are; the velocity goes on. */
static void momentum(const struct muon *m, const struct muon_part *p, float *restrict step) {
    float share = (float)m->momentum, *restrict velocity = p->velocity;
    const float *restrict gradient = p->gradient;
    long count = p->rows * p->columns;
    for (long i = 0; i < count; i++) velocity[i] = share * velocity[i] + gradient[i];
    if (m->nesterov)
        for (long i = 0; i < count; i++) step[i] = gradient[i] + share * velocity[i];
    else
        memcpy(step, velocity, sizeof(float) * (size_t)count);
}

/* X of the first round: the step, lying down, of norm 1. */
static void begin_turning(struct turning *t) {
    const struct muon_part *p = t->part;
    momentum(t->muon, p, t->next);
    for (long row = 0; row < p->rows; row++)
        if (t->r == p->rows)
            memcpy(t->x + row * t->c_step, t->next + row * p->columns,
                   sizeof(float) * (size_t)p->columns);
        else
            for (long column = 0; column < p->columns; column++)
                t->x[column * t->c_step + row] = t->next[row * p->columns + column];
    float scale = (float)(1 / (norm(t->x, t->r * t->c_step) + 1e-7));
    for (long i = 0; i < t->r * t->c_step; i++) t->x[i] *= scale;
}

static void turn_rows(long task, long worker, void *memory) { /* 16 rows of X become columns */
    (void)worker;
    struct turning *t = memory;
    for (long column = 0; column < t->c; column++)
        for (long row = 16 * task; row < 16 * task + 16 && row < t->r; row++)
            t->turned[column * t->r_step + row] = t->x[row * t->c_step + column];
}

static void whole_task(long task, long worker, void *memory) {
    some_results(memory, task, worker);
}

static void lower_task(long task, long worker, void *memory) { /* as far as the diagonal */
    struct product p = *(struct product *)memory;
    p.vectors = parts_of(begin_of(p.o, tasks_of(&p), task + 1), LANES);
    some_results(&p, task, worker);
}

/* to = fromᵀ × x, `length` numbers a sum; of a symmetric result `lower_task` forms half. */
static void multiply(const struct turning *t, work_function work, const float *from, const float *x,
                     long x_step, long length, float *to) {
    struct product p = {
        .from = from, .o_step = 1, .step = t->r_step, .o = t->r, .length = length,
        .x = x, .x_step = x_step, .vectors = x_step / LANES, .to = to, .to_step = x_step,
        .memory = t->memory, .room = t->c * MOST_O, .activation = IDENTITY,
    };
    run_tasks(work, &p, tasks_of(&p), t->threads);
}

/* S above the diagonal: the same numbers, since their sums have the same order. */
static void mirror(const struct turning *t, float *square) {
    for (long row = 0; row < t->r; row++)
        for (long column = row + 1; column < t->r; column++)
            square[row * t->r_step + column] = square[column * t->r_step + row];
}

static void one_round(struct turning *t) {
    run_tasks(turn_rows, t, parts_of(t->r, 16), t->threads);
    multiply(t, lower_task, t->turned, t->turned, t->r_step, t->c, t->square);
    mirror(t, t->square);
    multiply(t, lower_task, t->square, t->square, t->r_step, t->r, t->factor);
    mirror(t, t->factor);
    for (long i = 0; i < t->r * t->r_step; i++)
        t->factor[i] = -4.7750f * t->square[i] + 2.0315f * t->factor[i];
    for (long i = 0; i < t->r; i++) t->factor[i * t->r_step + i] += 3.4445f;
    multiply(t, whole_task, t->factor, t->x, t->c_step, t->r, t->next);
    float *old = t->x;
    t->x = t->next, t->next = old;
}

static void end_turning(const struct turning *t) {
    const struct muon_part *p = t->part;
    float kept = (float)(sqrt((double)p->rows) / (norm(p->weight, p->rows * p->columns) + 1e-7));
    float lr = (float)p->lr;
    for (long row = 0; row < p->rows; row++) {
        float *weight = p->weight + row * p->columns;
        if (t->r == p->rows) {
            const float *x = t->x + row * t->c_step;
            for (long i = 0; i < p->columns; i++) weight[i] = weight[i] * kept - lr * x[i];
        } else {
            for (long i = 0; i < p->columns; i++)
                weight[i] = weight[i] * kept - lr * t->x[i * t->c_step + row];
        }
    }
}

/* 0, or 1 where there is no memory. */
static int turn(const struct muon *m, const struct muon_part *p, long threads) {
    struct turning t = {.muon = m, .part = p, .threads = threads};
    t.r = p->rows < p->columns ? p->rows : p->columns;
    t.c = p->rows < p->columns ? p->columns : p->rows;
    t.r_step = parts_of(t.r, LANES) * LANES;
    t.c_step = parts_of(t.c, LANES) * LANES;
    long wide = t.r * t.c_step, square = t.r * t.r_step;
    long all = 2 * wide + t.c * t.r_step + 2 * square + t.c * MOST_O * threads;
    float *memory = calloc((size_t)all, sizeof(float)); /* what fills up vectors is 0 */
    if (!memory) return 1;
    t.x = memory, t.next = t.x + wide, t.turned = t.next + wide;
    t.square = t.turned + t.c * t.r_step, t.factor = t.square + square;
    t.memory = t.factor + square;
    begin_turning(&t);
    for (int round = 0; round < ROUNDS; round++) one_round(&t);
    end_turning(&t);
    free(memory);
    return 0;
}

int KERNEL(muon)(const struct muon *m, long threads) {
    int failed = 0;
    for (long i = 0; i < m->count && !failed; i++) {
        if (m->parts[i].rows) failed = turn(m, &m->parts[i], threads);
        else move(m, &m->parts[i]);
    }
    return failed;
}
