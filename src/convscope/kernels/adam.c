/* A step of Adam or AdamW for all parameters of a network in one call.
 *
 *      parameter 0:  weight  | 0 ... | 1 ... | 2 ... | ... | 7 ... |      a task takes its eighth of
 *                    gradient| 0 ... | 1 ... | 2 ... | ... | 7 ... |      every parameter
 *      parameter 1:  ...
 *
 *      m = b1 m + (1 - b1) g       v = b2 v + (1 - b2) g^2
 *      w = w - lr / (1 - b1^t) × m / (sqrt(v) / sqrt(1 - b2^t) + epsilon)
 *
 * (Kingma & Ba 2015, algorithm 1). Weight decay is added to g, or, decoupled (Loshchilov & Hutter
 * 2019, algorithm 2), shrinks w first.
 *
 * Arithmetic for each weight: 12 operations, a root and a division. Bytes: 16 read, 12 written:
 * 1.7 MB for LeNet-5, for 0.7 MFLOP.
 */
#include <math.h>

#include "lanes.h"
#include "threads.h"

#define TASKS 8

struct adam_part { /* a parameter: `count` numbers of each, and how many steps it has made */
    float *weight;
    const float *gradient;
    float *mean, *square, *steps;
    int64_t count;
};

struct adam {
    struct adam_part *parts;
    int64_t count, decoupled;
    double lr, beta1, beta2, epsilon, decay;
};

struct rates { /* of one step of one parameter */
    float beta1, beta2, step, root, epsilon, added, kept;
};

static struct rates rates_of(const struct adam *a, const struct adam_part *part) {
    double t = *part->steps + 1;
    return (struct rates){
        .beta1 = (float)a->beta1, .beta2 = (float)a->beta2, .epsilon = (float)a->epsilon,
        .step = (float)(a->lr / (1 - pow(a->beta1, t))),
        .root = (float)(1 / sqrt(1 - pow(a->beta2, t))),
        .added = a->decoupled ? 0 : (float)a->decay,
        .kept = a->decoupled ? (float)(1 - a->lr * a->decay) : 1,
    };
}

static void move(const struct rates r, long begin, long end, float *restrict weight,
                 const float *restrict gradient, float *restrict mean, float *restrict square) {
    for (long i = begin; i < end; i++) {
        float w = weight[i] * r.kept, g = gradient[i] + r.added * w;
        float m = mean[i] + (g - mean[i]) * (1 - r.beta1);
        float v = square[i] * r.beta2 + g * g * (1 - r.beta2);
        mean[i] = m;
        square[i] = v;
        weight[i] = w - r.step * m / (sqrtf(v) * r.root + r.epsilon);
    }
}

static void some_weights(long task, long worker, void *memory) {
    (void)worker;
    const struct adam *a = memory;
    for (long i = 0; i < a->count; i++) {
        const struct adam_part *p = &a->parts[i];
        long lines = (p->count + 15) / 16; /* of the cache: no two tasks write to the same */
        long begin = lines * task / TASKS * 16, end = lines * (task + 1) / TASKS * 16;
        if (end > p->count) end = p->count;
        move(rates_of(a, p), begin, end, p->weight, p->gradient, p->mean, p->square);
    }
}

int KERNEL(adam)(struct adam *a, long threads) {
    run_tasks(some_weights, a, TASKS, threads);
    for (long i = 0; i < a->count; i++) *a->parts[i].steps += 1;
    return 0;
}
