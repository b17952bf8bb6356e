/* A training step of a network that is a chain of these kernels, in one call: forward, the loss and
 * its gradient, backward. What a program of separate operators spends between its calls, for such
 * small layers as much as on arithmetic, is left out.
 *
 *      x → [block] → [block] → [dense] → [dense] → [dense] → scores
 *                                                              ↓  softmax, cross-entropy, labels
 *      w' ← [block] ← [block] ← [dense] ← [dense] ← [dense] ← score gradient
 *
 * The loss of an image: log(sum of e^score) - (1 - s) × score of its label - s × mean of the scores,
 * s the label smoothing; its gradient: softmax - (1 - s) × (1 at the label) - s / classes, both over
 * the number of images. Arithmetic: some 30 operations for each score.
 */
#include <math.h>
#include <stdlib.h>

#include "block.h"
#include "dense.h"

struct operation {
    const struct block *block; /* or NULL: */
    const struct dense *dense;
};

struct step {
    const struct operation *operations;
    const int64_t *labels;
    const float *scores;
    float *score_gradient;
    int64_t count, images, pitch, classes;
    double smoothing;
    double loss;     /* written: the mean */
    int64_t correct; /* written: how many images' largest score is their label's */
};

static void some_losses(struct step *s, long first, double *loss) {
    floats most = load(s->scores + first), sum = {0}, all = {0};
    ints best = {0};
    for (long class = 0; class < s->classes; class++) {
        floats score = load(s->scores + class * s->pitch + first);
        ints larger = score > most;
        most = choose(larger, score, most);
        best = (larger & (int32_t)class) | (~larger & best);
        all += score;
    }
    for (long class = 0; class < s->classes; class++) {
        floats power = exponential(load(s->scores + class * s->pitch + first) - most);
        store(s->score_gradient + class * s->pitch + first, power);
        sum += power;
    }
    float smooth = (float)s->smoothing, n = (float)s->images;
    for (long class = 0; class < s->classes; class++) {
        float *at = s->score_gradient + class * s->pitch + first;
        store(at, (load(at) / sum - smooth / (float)s->classes) / n);
    }
    for (long lane = 0; lane < LANES && first + lane < s->images; lane++) {
        long image = first + lane, label = s->labels[image];
        double score = s->scores[label * s->pitch + image];
        *loss += log(sum[lane]) + most[lane] - (1 - s->smoothing) * score -
                 s->smoothing * all[lane] / (double)s->classes;
        s->score_gradient[label * s->pitch + image] -= (1 - smooth) / n;
        s->correct += best[lane] == label;
    }
}

/* 0, 1 where there is no memory, 2 where a label is no class. */
int KERNEL(training_step)(struct step *s, long threads) {
    for (long image = 0; image < s->images; image++)
        if (s->labels[image] < 0 || s->labels[image] >= s->classes) return 2;
    int failed = 0;
    for (long i = 0; i < s->count && !failed; i++) {
        struct operation one = s->operations[i];
        failed = one.block ? KERNEL(block_forward)(one.block, threads)
                           : KERNEL(dense_forward)(one.dense, threads);
    }
    double loss = 0;
    s->correct = 0;
    for (long first = 0; first < s->images && !failed; first += LANES) some_losses(s, first, &loss);
    s->loss = loss / (double)s->images;
    for (long i = s->count - 1; i >= 0 && !failed; i--) {
        struct operation one = s->operations[i];
        failed = one.block ? KERNEL(block_backward)(one.block, threads)
                           : KERNEL(dense_backward)(one.dense, threads);
    }
    return failed;
}
