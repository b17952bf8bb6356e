/* LeNet-5 of 1998, one image a step: forward, backward, and the update of SDLM, whole.
 *
 * The network of LeCun, Bottou, Bengio & Haffner 1998 has fixed sizes, so every loop here has. A
 * step is w -= lr x rate x gradient, with a rate of each weight's own, 1 / (mu + curvature).
 *
 * One image fills no vector (lanes.h) by itself, so here the lanes are what a layer has many of:
 *
 *     input   32 rows x 32                          columns are the lanes
 *     C1, S2  maps x rows x columns                 columns; 28 of 32, 14 of 16 are used
 *     C3, S4  places x 16 maps                      maps: the 16 of them are 1, 2 or 4 vectors
 *     C5      128 places for 120 units              units; weights: 400 inputs x 128
 *     F6      96 places for 84 units                units; weights: 120 inputs x 96
 *
 * C3's 60 links are kept as 6 x 25 x 16 weights, with zeros where Table I has no link: with maps as
 * lanes that takes as many operations as 60 x 25 rows of 10 columns would. Unused places and absent
 * links have rate 0, so they stay 0.
 *
 * Arithmetic of a step, in multiply-adds of 16 lanes:
 *
 *                  forward    to the weights    to the inputs
 *     C1             8,400             8,400                -    28 rows x 2 x 25 x 6 maps
 *     C3            15,000            15,000           15,000    100 places x 25 x 6; 60 x 25 x 10
 *     C5             3,200             3,200            3,200    400 x 8
 *     F6               720               720              720    120 x 6
 *     in all        27,320            27,320           18,920    = 73,560 or 2.35 million flops
 *
 * and 540 times 16 tanh. C5's weights and rates, 205 kB each, are in the second-level cache: the
 * weights are read once forward, and both once backward, where the gradient to the inputs and the
 * update are one pass.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "activations.h"
#include "lanes.h"

#define UNROLL _Pragma("GCC unroll 32")

enum { SIDE = 32, C1_MAPS = 6, C1_SIDE = 28, S2_SIDE = 14, C3_MAPS = 16, C3_SIDE = 10 };
enum { S4_SIDE = 5, TAPS = 25, C5_IN = 400, C5_OUT = 120, F6_OUT = 84, MOST_CLASSES = 10 };
enum { C5_ROOM = 128, F6_ROOM = 96, C5_BLOCK = 8, F6_BLOCK = 6 }; /* blocks: of vectors */
enum { C3_PLACES = C3_SIDE * C3_SIDE, S4_PLACES = S4_SIDE * S4_SIDE, BORDER = 4, PADDED = 32 };
enum { TOGETHER = LANES == 16 ? 1 : 2, ROWS = LANES == 16 ? 5 : 1 }; /* as registers allow */

static const float AMPLITUDE = 1.7159f, SLOPE = 2.0f / 3.0f;

typedef struct { /* the weights, or their rates */
    float c1[C1_MAPS][TAPS], c1_bias[C1_MAPS];
    float s2[C1_MAPS], s2_bias[C1_MAPS];
    float c3[C1_MAPS][TAPS][C3_MAPS], c3_bias[C3_MAPS];
    float s4[C3_MAPS], s4_bias[C3_MAPS];
    float c5[C5_IN][C5_ROOM], c5_bias[C5_ROOM];
    float f6[C5_OUT][F6_ROOM], f6_bias[F6_ROOM];
} Weights;

typedef struct { /* the states of the units; sums are those of the windows of S2 and S4 */
    float input[SIDE * SIDE + 16]; /* a vector may read beyond the last row */
    float c1[C1_MAPS][C1_SIDE][32];
    float s2_sum[C1_MAPS][S2_SIDE][16], s2[C1_MAPS][S2_SIDE][16];
    float c3[C3_PLACES][C3_MAPS];
    float s4_sum[S4_PLACES][C3_MAPS], s4[S4_PLACES][C3_MAPS];
    float c5[C5_ROOM], f6[F6_ROOM];
} State;

typedef struct { /* derivatives of the loss by the weighted sums, or by states where it says so */
    float c1[C1_MAPS][C1_SIDE][32];
    float s2_state[C1_MAPS][S2_SIDE][16];
    float c3[C3_PLACES][C3_MAPS], c3_padded[C3_MAPS][C3_SIDE][PADDED];
    float s4_state[S4_PLACES][C3_MAPS];
    float c5_state[C5_ROOM], c5[C5_ROOM], f6[F6_ROOM];
} Deltas;

typedef struct {
    Weights weights, rates;
    State state;
    Deltas delta;
    float codes[MOST_CLASSES][F6_ROOM];
} Net;

/* The sum of all lanes, by halves: a step takes 680 of them. */
INLINE float total(floats values) {
#ifdef __clang__
    return sum_of_lanes(values);
#else
    ints lanes;
    for (int lane = 0; lane < LANES; lane++) lanes[lane] = lane;
    UNROLL for (int half = LANES / 2; half; half /= 2)
        values += __builtin_shuffle(values, lanes ^ half);
    return values[0];
#endif
}

/* 1.7159 tanh(2a/3), without the second polynomial that hyperbolic_tangent takes near 0. */
INLINE floats squash(floats a) {
    return AMPLITUDE - 2 * AMPLITUDE / (1 + exponential(a * (2 * SLOPE)));
}

/* The slope of squash where it gave x. */
INLINE floats squash_slope(floats x) {
    return (AMPLITUDE - x) * (AMPLITUDE + x) * (SLOPE / AMPLITUDE);
}

/* to -= lr x gradient x rate */
INLINE void move(float *to, const float *rate, floats gradient, float lr) {
    store(to, load(to) - lr * gradient * load(rate));
}

/* ---------------------------------------------------------------------------- forward */

static void forward_c1(const Weights *w, State *s) {
    for (int y = 0; y < C1_SIDE; y++)
        for (int x = 0; x < 32; x += 2 * LANES) {
            floats sum[C1_MAPS][2];
            UNROLL for (int m = 0; m < C1_MAPS; m++) sum[m][0] = sum[m][1] = splat(w->c1_bias[m]);
            for (int ky = 0; ky < 5; ky++) {
                const float *row = s->input + (y + ky) * SIDE + x;
                UNROLL for (int kx = 0; kx < 5; kx++) {
                    floats left = load(row + kx), right = load(row + kx + LANES);
                    UNROLL for (int m = 0; m < C1_MAPS; m++) {
                        floats tap = splat(w->c1[m][ky * 5 + kx]);
                        sum[m][0] += tap * left;
                        sum[m][1] += tap * right;
                    }
                }
            }
            UNROLL for (int m = 0; m < C1_MAPS; m++) {
                store(&s->c1[m][y][x], squash(sum[m][0]));
                store(&s->c1[m][y][x + LANES], squash(sum[m][1]));
            }
        }
}

static void forward_s2(const Weights *w, State *s) {
    for (int m = 0; m < C1_MAPS; m++)
        for (int y = 0; y < S2_SIDE; y++) {
            float *sum = s->s2_sum[m][y], both[32];
            for (int x = 0; x < 32; x++) both[x] = s->c1[m][2 * y][x] + s->c1[m][2 * y + 1][x];
            for (int x = 0; x < 16; x++) sum[x] = both[2 * x] + both[2 * x + 1];
            for (int x = 0; x < 16; x += LANES)
                store(&s->s2[m][y][x], squash(load(sum + x) * w->s2[m] + w->s2_bias[m]));
        }
}

static void forward_c3(const Weights *w, State *s) {
    for (int m = 0; m < C3_MAPS; m += LANES)
        for (int y = 0; y < C3_SIDE; y++) {
            floats sum[C3_SIDE];
            UNROLL for (int x = 0; x < C3_SIDE; x++) sum[x] = load(w->c3_bias + m);
            for (int i = 0; i < C1_MAPS; i++)
                for (int ky = 0; ky < 5; ky++) {
                    const float *row = s->s2[i][y + ky];
                    UNROLL for (int kx = 0; kx < 5; kx++) {
                        floats tap = load(&w->c3[i][ky * 5 + kx][m]);
                        UNROLL for (int x = 0; x < C3_SIDE; x++) sum[x] += row[x + kx] * tap;
                    }
                }
            UNROLL for (int x = 0; x < C3_SIDE; x++)
                store(&s->c3[y * C3_SIDE + x][m], squash(sum[x]));
        }
}

/* The four places of C3 that place (y, x) of S4 sees begin here. */
INLINE int corner(int y, int x) { return 2 * y * C3_SIDE + 2 * x; }

static void forward_s4(const Weights *w, State *s) {
    for (int y = 0; y < S4_SIDE; y++)
        for (int x = 0; x < S4_SIDE; x++)
            for (int m = 0; m < C3_MAPS; m += LANES) {
                const float *from = &s->c3[corner(y, x)][m], *below = from + C3_SIDE * C3_MAPS;
                floats sum = (load(from) + load(from + C3_MAPS)) +
                             (load(below) + load(below + C3_MAPS));
                int at = y * S4_SIDE + x;
                store(&s->s4_sum[at][m], sum);
                store(&s->s4[at][m], squash(sum * load(w->s4 + m) + load(w->s4_bias + m)));
            }
}

/* Every unit sees every input; `block` vectors of units at a time. */
INLINE void forward_full(const float *w, const float *bias, const float *in, float *out,
                         int inputs, int room, int block) {
    for (int first = 0; first < room; first += block * LANES) {
        floats sum[8];
        UNROLL for (int v = 0; v < block; v++) sum[v] = load(bias + first + v * LANES);
        for (int j = 0; j < inputs; j++) {
            const float *row = w + j * room + first;
            UNROLL for (int v = 0; v < block; v++) sum[v] += in[j] * load(row + v * LANES);
        }
        UNROLL for (int v = 0; v < block; v++) store(out + first + v * LANES, squash(sum[v]));
    }
}

/* ---------------------------------------------------------------------------- loss */

/* The loss and its derivatives by F6's states: Eq. 9 with e^-j beside the classes, or Eq. 8. */
static float loss_of(const State *s, float (*codes)[F6_ROOM], int classes, int label, int map,
                     float j, float *by_state, int64_t *right) {
    float penalty[MOST_CLASSES] = {0}, share[MOST_CLASSES] = {0};
    int best = 0;
    for (int c = 0; c < classes; c++) {
        floats sum = splat(0);
        for (int u = 0; u < F6_ROOM; u += LANES) {
            floats apart = load(s->f6 + u) - load(codes[c] + u);
            sum += apart * apart;
        }
        penalty[c] = total(sum);
        if (penalty[c] < penalty[best]) best = c;
    }
    *right = best == label;
    float loss = penalty[label];
    if (map) { /* the least is taken out of the logarithm, so that nothing overflows */
        float least = penalty[best] < j ? penalty[best] : j, sum = expf(least - j);
        for (int c = 0; c < classes; c++) sum += share[c] = expf(least - penalty[c]);
        for (int c = 0; c < classes; c++) share[c] /= -sum;
        loss += logf(sum) - least;
    }
    share[label] += 1;
    for (int u = 0; u < F6_ROOM; u += LANES) {
        floats sum = splat(0);
        for (int c = 0; c < classes; c++)
            sum += 2 * share[c] * (load(s->f6 + u) - load(codes[c] + u));
        store(by_state + u, sum);
    }
    return loss;
}

/* ---------------------------------------------------------------------------- backward */

/* Derivatives by the inputs, and the update, in one pass over the weights. */
INLINE void backward_full(float *w, const float *rate, float *bias, const float *bias_rate,
                          const float *in, const float *delta, float lr, float *by_input,
                          int inputs, int room) {
    for (int j = 0; j < inputs; j++) {
        floats sum = splat(0);
        float step = -lr * in[j];
        UNROLL for (int u = 0; u < room; u += LANES) {
            float *at = w + j * room + u;
            floats old = load(at), d = load(delta + u);
            sum += old * d;
            store(at, old + step * d * load(rate + j * room + u));
        }
        by_input[j] = total(sum);
    }
    for (int u = 0; u < room; u += LANES) move(bias + u, bias_rate + u, load(delta + u), lr);
}

/* From derivatives by states to those by weighted sums. */
INLINE void through_squash(const float *by_state, const float *state, float *delta, int n) {
    for (int u = 0; u < n; u += LANES)
        store(delta + u, load(by_state + u) * squash_slope(load(state + u)));
}

/* S4's update, and C3's deltas. */
static void backward_s4(Weights *w, const Weights *rate, const State *s, Deltas *d, float lr) {
    for (int m = 0; m < C3_MAPS; m += LANES) {
        floats coefficient = splat(0), bias = splat(0);
        for (int y = 0; y < S4_SIDE; y++)
            for (int x = 0; x < S4_SIDE; x++) {
                int at = y * S4_SIDE + x;
                floats delta = load(&d->s4_state[at][m]) * squash_slope(load(&s->s4[at][m]));
                coefficient += delta * load(&s->s4_sum[at][m]);
                bias += delta;
                floats back = delta * load(w->s4 + m);
                for (int k = 0; k < 4; k++) {
                    int place = corner(y, x) + k / 2 * C3_SIDE + k % 2;
                    store(&d->c3[place][m], back * squash_slope(load(&s->c3[place][m])));
                }
            }
        move(w->s4 + m, rate->s4 + m, coefficient, lr);
        move(w->s4_bias + m, rate->s4_bias + m, bias, lr);
    }
}

/* The S2 maps that each C3 map sees, read the other way: the C3 maps that see each S2 map. */
static const int8_t SEEN_BY[C1_MAPS][10] = {
    {0, 4, 5, 6, 9, 10, 11, 12, 14, 15}, {0, 1, 5, 6, 7, 10, 11, 12, 13, 15},
    {0, 1, 2, 6, 7, 8, 11, 13, 14, 15},  {1, 2, 3, 6, 7, 8, 9, 12, 14, 15},
    {2, 3, 4, 7, 8, 9, 10, 12, 13, 15},  {3, 4, 5, 8, 9, 10, 11, 13, 14, 15},
};

/* C3's deltas once more, map by map in a border of zeros, to be read at any column. */
static void lay_out(Deltas *d) {
    for (int y = 0; y < C3_SIDE; y++)
        for (int x = 0; x < C3_SIDE; x++)
            for (int m = 0; m < C3_MAPS; m++)
                d->c3_padded[m][y][BORDER + x] = d->c3[y * C3_SIDE + x][m];
}

static void backward_c3_inputs(const Weights *w, Deltas *d) {
    for (int i = 0; i < C1_MAPS; i++)
        for (int x = 0; x < 16; x += LANES) {
            floats sum[S2_SIDE];
            UNROLL for (int y = 0; y < S2_SIDE; y++) sum[y] = splat(0);
            for (int link = 0; link < 10; link++) {
                int m = SEEN_BY[i][link];
                for (int kx = 0; kx < 5; kx++) {
                    float taps[5];
                    UNROLL for (int ky = 0; ky < 5; ky++) taps[ky] = w->c3[i][ky * 5 + kx][m];
                    UNROLL for (int y = 0; y < C3_SIDE; y++) {
                        floats row = load(&d->c3_padded[m][y][BORDER + x - kx]);
                        UNROLL for (int ky = 0; ky < 5; ky++) sum[y + ky] += taps[ky] * row;
                    }
                }
            }
            UNROLL for (int y = 0; y < S2_SIDE; y++) store(&d->s2_state[i][y][x], sum[y]);
        }
}

static void backward_c3_weights(Weights *w, const Weights *rate, const State *s, const Deltas *d,
                                float lr) {
    for (int m = 0; m < C3_MAPS; m += TOGETHER * LANES) {
        for (int i = 0; i < C1_MAPS; i++)
            for (int ky = 0; ky < 5; ky += ROWS) {
                floats sum[ROWS * 5][TOGETHER];
                UNROLL for (int k = 0; k < ROWS * 5 * TOGETHER; k++)
                    sum[k / TOGETHER][k % TOGETHER] = splat(0);
                for (int y = 0; y < C3_SIDE; y++)
                    for (int x = 0; x < C3_SIDE; x++) {
                        const float *from = &s->s2[i][y + ky][x], *delta = d->c3[y * C3_SIDE + x];
                        UNROLL for (int k = 0; k < ROWS * 5; k++)
                            UNROLL for (int v = 0; v < TOGETHER; v++)
                                sum[k][v] += from[k / 5 * 16 + k % 5] * load(delta + m + v * LANES);
                    }
                UNROLL for (int k = 0; k < ROWS * 5; k++)
                    UNROLL for (int v = 0; v < TOGETHER; v++) {
                        int tap = ky * 5 + k, at = m + v * LANES;
                        move(&w->c3[i][tap][at], &rate->c3[i][tap][at], sum[k][v], lr);
                    }
            }
    }
    for (int m = 0; m < C3_MAPS; m += LANES) {
        floats bias = splat(0);
        for (int place = 0; place < C3_PLACES; place++) bias += load(&d->c3[place][m]);
        move(w->c3_bias + m, rate->c3_bias + m, bias, lr);
    }
}

/* S2's update, and C1's deltas. */
static void backward_s2(Weights *w, const Weights *rate, const State *s, Deltas *d, float lr) {
    for (int m = 0; m < C1_MAPS; m++) {
        floats coefficient = splat(0), bias = splat(0);
        for (int y = 0; y < S2_SIDE; y++) {
            float back[16], twice[32];
            for (int x = 0; x < 16; x += LANES) {
                floats delta = load(&d->s2_state[m][y][x]) * squash_slope(load(&s->s2[m][y][x]));
                coefficient += delta * load(&s->s2_sum[m][y][x]);
                bias += delta;
                store(back + x, delta * w->s2[m]);
            }
            for (int x = 0; x < 32; x++) twice[x] = back[x / 2];
            for (int row = 2 * y; row < 2 * y + 2; row++)
                through_squash(twice, s->c1[m][row], d->c1[m][row], 32);
        }
        w->s2[m] -= lr * total(coefficient) * rate->s2[m];
        w->s2_bias[m] -= lr * total(bias) * rate->s2_bias[m];
    }
}

static void backward_c1(Weights *w, const Weights *rate, const State *s, const Deltas *d,
                        float lr) {
    for (int m = 0; m < C1_MAPS; m += 3)
        for (int ky = 0; ky < 5; ky++) {
            floats sum[3][5];
            UNROLL for (int k = 0; k < 15; k++) sum[k / 5][k % 5] = splat(0);
            for (int y = 0; y < C1_SIDE; y++)
                for (int x = 0; x < 32; x += LANES) {
                    const float *row = s->input + (y + ky) * SIDE + x;
                    floats a = load(&d->c1[m][y][x]), b = load(&d->c1[m + 1][y][x]),
                           c = load(&d->c1[m + 2][y][x]);
                    UNROLL for (int kx = 0; kx < 5; kx++) {
                        floats pixels = load(row + kx);
                        sum[0][kx] += a * pixels;
                        sum[1][kx] += b * pixels;
                        sum[2][kx] += c * pixels;
                    }
                }
            UNROLL for (int k = 0; k < 15; k++) {
                int map = m + k / 5, tap = ky * 5 + k % 5;
                w->c1[map][tap] -= lr * total(sum[k / 5][k % 5]) * rate->c1[map][tap];
            }
        }
    for (int m = 0; m < C1_MAPS; m++) {
        floats bias = splat(0);
        for (int y = 0; y < C1_SIDE; y++)
            for (int x = 0; x < 32; x += LANES) bias += load(&d->c1[m][y][x]);
        w->c1_bias[m] -= lr * total(bias) * rate->c1_bias[m];
    }
}

/* ---------------------------------------------------------------------------- a step */

static void forward(Net *net) {
    const Weights *w = &net->weights;
    State *s = &net->state;
    forward_c1(w, s);
    forward_s2(w, s);
    forward_c3(w, s);
    forward_s4(w, s);
    forward_full(w->c5[0], w->c5_bias, s->s4[0], s->c5, C5_IN, C5_ROOM, C5_BLOCK);
    forward_full(w->f6[0], w->f6_bias, s->c5, s->f6, C5_OUT, F6_ROOM, F6_BLOCK);
}

/* From the derivatives by F6's states, in delta.f6, down to the update of C1. Every layer passes
 * them on before its own weights move. */
static void backward(Net *net, float lr) {
    Weights *w = &net->weights;
    const Weights *rate = &net->rates;
    State *s = &net->state;
    Deltas *d = &net->delta;
    through_squash(d->f6, s->f6, d->f6, F6_ROOM);
    backward_full(w->f6[0], rate->f6[0], w->f6_bias, rate->f6_bias, s->c5, d->f6, lr, d->c5_state,
                  C5_OUT, F6_ROOM);
    through_squash(d->c5_state, s->c5, d->c5, C5_ROOM);
    backward_full(w->c5[0], rate->c5[0], w->c5_bias, rate->c5_bias, s->s4[0], d->c5, lr,
                  d->s4_state[0], C5_IN, C5_ROOM);
    backward_s4(w, rate, s, d, lr);
    lay_out(d);
    backward_c3_inputs(w, d);
    backward_c3_weights(w, rate, s, d, lr);
    backward_s2(w, rate, s, d, lr);
    backward_c1(w, rate, s, d, lr);
}

/* ---------------------------------------------------------------------------- in and out */

static const int8_t SEES[C3_MAPS][7] = {
    /* how many S2 maps, and which: Table I */
    {3, 0, 1, 2},       {3, 1, 2, 3},       {3, 2, 3, 4},       {3, 3, 4, 5},
    {3, 0, 4, 5},       {3, 0, 1, 5},       {4, 0, 1, 2, 3},    {4, 1, 2, 3, 4},
    {4, 2, 3, 4, 5},    {4, 0, 3, 4, 5},    {4, 0, 1, 4, 5},    {4, 0, 1, 2, 5},
    {4, 0, 1, 3, 4},    {4, 1, 2, 4, 5},    {4, 0, 2, 3, 5},    {6, 0, 1, 2, 3, 4, 5},
};

/* Copies all 60,000 numbers between the order of torch's parameters and the one above. */
static void copy(Weights *w, float *flat, int out) {
#define MOVE(place)                                                                               \
    do {                                                                                          \
        if (out)                                                                                  \
            *flat++ = place;                                                                      \
        else                                                                                      \
            place = *flat++;                                                                      \
    } while (0)
    for (int m = 0; m < C1_MAPS; m++)
        for (int k = 0; k < TAPS; k++) MOVE(w->c1[m][k]);
    for (int m = 0; m < C1_MAPS; m++) MOVE(w->c1_bias[m]);
    for (int m = 0; m < C1_MAPS; m++) MOVE(w->s2[m]);
    for (int m = 0; m < C1_MAPS; m++) MOVE(w->s2_bias[m]);
    for (int m = 0; m < C3_MAPS; m++)
        for (int link = 1; link <= SEES[m][0]; link++)
            for (int k = 0; k < TAPS; k++) MOVE(w->c3[SEES[m][link]][k][m]);
    for (int m = 0; m < C3_MAPS; m++) MOVE(w->c3_bias[m]);
    for (int m = 0; m < C3_MAPS; m++) MOVE(w->s4[m]);
    for (int m = 0; m < C3_MAPS; m++) MOVE(w->s4_bias[m]);
    for (int u = 0; u < C5_OUT; u++)
        for (int m = 0; m < C3_MAPS; m++)
            for (int at = 0; at < S4_SIDE * S4_SIDE; at++)
                MOVE(w->c5[at * C3_MAPS + m][u]);
    for (int u = 0; u < C5_OUT; u++) MOVE(w->c5_bias[u]);
    for (int u = 0; u < F6_OUT; u++)
        for (int j = 0; j < C5_OUT; j++) MOVE(w->f6[j][u]);
    for (int u = 0; u < F6_OUT; u++) MOVE(w->f6_bias[u]);
#undef MOVE
}

/* Steps through `n` images, one after the other. 0 if all went well, 1 without memory.
 *
 * weights, rates: 60,000 floats in the order of the network's parameters; weights are changed.
 * images: n x 32 x 32. labels: n, below `classes`. lr: n, the rate of each step.
 * codes: classes x 84. map: 1 is Eq. 9 with its j, which may be infinite; 0 is Eq. 8.
 * losses, right: n, of every image before its own step.
 */
int64_t KERNEL(lenet5_1998_steps)(float *weights, const float *rates, const float *images,
                                  const int64_t *labels, const float *lr, int64_t n,
                                  const float *codes, int64_t classes, int64_t map, float j,
                                  float *losses, int64_t *right) {
    Net *net = aligned_alloc(64, (sizeof *net + 63) / 64 * 64);
    if (!net) return 1;
    memset(net, 0, sizeof *net);
    copy(&net->weights, weights, 0);
    copy(&net->rates, (float *)rates, 0);
    for (int64_t c = 0; c < classes; c++)
        memcpy(net->codes[c], codes + c * F6_OUT, F6_OUT * sizeof(float));
    for (int64_t at = 0; at < n; at++) {
        memcpy(net->state.input, images + at * SIDE * SIDE, SIDE * SIDE * sizeof(float));
        forward(net);
        losses[at] = loss_of(&net->state, net->codes, (int)classes, (int)labels[at], (int)map, j,
                             net->delta.f6, &right[at]);
        backward(net, lr[at]);
    }
    copy(&net->weights, weights, 1);
    free(net);
    return 0;
}
