/* A step of gradient descent with momentum for weights that have copies in bfloat16, in one pass.
 *
 *      g = gradient + decay w       v = momentum v + g       w = w - lr v,  or with Nesterov's
 *      momentum w - lr (g + momentum v)                      half = w, rounded
 *
 * as torch.optim.SGD has it. Arithmetic is next to nothing; bytes for each weight: 10 read (2 of them
 * the gradient's), 10 written. Converting the gradient to float32 and the weight to bfloat16 in
 * operations of their own would read and write another 12.
 */
#include "halves.h"
#include "threads.h"

#define TASKS 64

struct sgd_part { /* a parameter: `count` numbers of each, in the same order */
    float *weight, *velocity;
    const uint16_t *gradient;
    uint16_t *half;
    int64_t count;
};

struct sgd {
    const struct sgd_part *parts;
    int64_t count, nesterov;
    float lr, momentum, decay;
    team_function team;
};

INLINE floats moved(const struct sgd *s, floats weight, floats gradient, floats *velocity) {
    gradient += weight * s->decay;
    floats moving = *velocity * s->momentum + gradient;
    *velocity = moving;
    if (s->nesterov) moving = gradient + moving * s->momentum;
    return weight - moving * s->lr;
}

INLINE void move(const struct sgd *s, const struct sgd_part *p, long i) {
    floats velocity = load(p->velocity + i);
    floats weight = moved(s, load(p->weight + i), load_from(p->gradient, 1, i), &velocity);
    store(p->velocity + i, velocity);
    store(p->weight + i, weight);
    store_to(p->half, 1, i, weight);
}

/* The last ones of a parameter, fewer than a vector holds. */
static void move_few(const struct sgd *s, const struct sgd_part *p, long begin) {
    float weight[LANES] = {0}, velocity[LANES] = {0};
    uint16_t gradient[LANES] = {0}, half[LANES];
    long few = p->count - begin;
    for (long i = 0; i < few; i++) {
        weight[i] = p->weight[begin + i];
        velocity[i] = p->velocity[begin + i];
        gradient[i] = p->gradient[begin + i];
    }
    move(s, &(struct sgd_part){weight, velocity, gradient, half, LANES}, 0);
    for (long i = 0; i < few; i++) {
        p->weight[begin + i] = weight[i];
        p->velocity[begin + i] = velocity[i];
        p->half[begin + i] = half[i];
    }
}

static void some_weights(long task, long worker, void *memory) {
    (void)worker;
    const struct sgd *s = memory;
    for (long number = 0; number < s->count; number++) {
        const struct sgd_part *p = &s->parts[number];
        long lines = p->count / 32; /* of the cache, of bfloat16: no two tasks write to the same */
        long begin = lines * task / TASKS * 32, end = lines * (task + 1) / TASKS * 32;
        if (task == TASKS - 1) end = p->count / LANES * LANES;
        for (long i = begin; i < end; i += LANES) move(s, p, i);
        if (task == TASKS - 1 && end < p->count) move_few(s, p, end);
    }
}

int KERNEL(sgd)(struct sgd *s, long threads) {
    run_by_team(s->team, some_weights, s, TASKS, threads);
    return 0;
}
