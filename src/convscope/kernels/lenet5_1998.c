/* LeNet-5 of 1998, one image a step: forward, backward, and the update of SDLM, whole.

The network of LeCun, Bottou, Bengio & Haffner 1998 has fixed sizes, so every loop here has. A step
is w -= lr * rate * gradient with a rate of each weight's own; rates are 1 / (mu + curvature).

Layout. One vector holds 16 floats (one AVX-512 register, two of AVX2, four of NEON).

    input   32 rows x 32                          columns in lanes
    C1, S2  maps x rows x columns, 28 of 32 / 14 of 16 lanes used
    C3, S4  positions x 16 maps                   the 16 maps are the 16 lanes
    C5      120 units, 8 vectors (8 lanes idle)   weights: 400 inputs x 128
    F6      84 units, 6 vectors (12 lanes idle)   weights: 120 inputs x 96

C3's 60 links are kept as 6 x 25 vectors of 16, with zeros where Table I has no link: with the maps
in the lanes that costs as many instructions as 60 rows of ten columns would. Idle lanes and absent
links have rate 0, so they stay 0.

Arithmetic of a step, in multiply-adds of whole vectors:

                 forward        to the weights   to the inputs
    C1           8,400          8,400            -                 28 rows x 2 x 25 x 6
    C3          15,000         15,000            15,000            100 x 25 x 6; 60 x 25 x 10
    C5           3,200          3,200            3,200             400 x 8
    F6             720            720            720               120 x 6
    in all      27,320         27,320            18,920            = 73,560, 2.35 million flops

and 538 vectors of tanh. C5's weights and rates, 205 kB each, come from the second-level cache: they
are read once forward, and read and written once backward, where gradient and update are one pass.
*/
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lanes.h"

typedef float V __attribute__((vector_size(64), aligned(64)));
typedef float VU __attribute__((vector_size(64), aligned(4), may_alias));
typedef int32_t VI __attribute__((vector_size(64)));

#define UNROLL _Pragma("GCC unroll 32")
#ifdef __clang__
#define SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define SHUFFLE(a, b, ...) __builtin_shuffle(a, b, (VI){__VA_ARGS__})
#endif

enum { SIDE = 32, C1_MAPS = 6, C1_SIDE = 28, S2_SIDE = 14, C3_MAPS = 16, C3_SIDE = 10, S4_SIDE = 5 };
enum { TAPS = 25, C5_IN = 400, C5_OUT = 120, C5_V = 8, F6_OUT = 84, F6_V = 6, MOST_CLASSES = 10 };
enum { BORDER = 4, PADDED = 32 };

static const float AMPLITUDE = 1.7159f, SLOPE = 2.0f / 3.0f;

/* Weights, or their rates. */
typedef struct {
    V c3[C1_MAPS][TAPS], c3_bias;
    V s4, s4_bias;
    V c5[C5_IN][C5_V], c5_bias[C5_V];
    V f6[C5_OUT][F6_V], f6_bias[F6_V];
    float c1[C1_MAPS][TAPS], c1_bias[C1_MAPS];
    float s2[C1_MAPS], s2_bias[C1_MAPS];
} Weights;

/* What the forward pass leaves for the backward pass. Sums are those of S2's and S4's windows. */
typedef struct {
    float input[SIDE * SIDE + 16] __attribute__((aligned(64)));
    V c1[C1_MAPS][C1_SIDE][2];
    V s2_sum[C1_MAPS][S2_SIDE], s2[C1_MAPS][S2_SIDE];
    V c3[C3_SIDE * C3_SIDE];
    V s4_sum[S4_SIDE * S4_SIDE], s4[S4_SIDE * S4_SIDE];
    V c5[C5_V], f6[F6_V];
    V codes[MOST_CLASSES][F6_V];
} State;

INLINE V spread(float x) { return x - (V){0}; }
INLINE V read(const float *p) { return *(const VU *)p; }

INLINE V pick(VI where, V a, V b) { return (V)(((VI)a & where) | ((VI)b & ~where)); }

INLINE float total(V v) {
    v += SHUFFLE(v, v, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7);
    v += SHUFFLE(v, v, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11);
    v += SHUFFLE(v, v, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13);
    return v[0] + v[1];
}

/* 1.7159 tanh(2a/3) = 1.7159 (1 - 2 / (1 + e^(4a/3))); e^z = 2^n e^r with |r| <= ln 2 / 2. */
INLINE V squash(V a) {
    const float limit = 20.0f;
    V z = a * (2 * SLOPE);
    z = pick(z > limit, spread(limit), z);
    z = pick(z < -limit, spread(-limit), z);
    const float magic = 12582912.0f; /* 1.5 * 2^23: adding it rounds to a whole number */
    V shifted = z * 1.44269504f + magic;
    V n = shifted - magic;
    V r = z - n * 0.693359375f + n * 2.12194440e-4f;
    V p = r * (1.0f / 5040) + 1.0f / 720;
    p = p * r + 1.0f / 120;
    p = p * r + 1.0f / 24;
    p = p * r + 1.0f / 6;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    VI power = ((VI)shifted - 0x4B400000) << 23;
    V e = (V)((VI)p + power);
    return AMPLITUDE - 2 * AMPLITUDE / (1 + e);
}

/* The slope of squash where it gave x. */
INLINE V slope(V x) { return (AMPLITUDE - x) * (AMPLITUDE + x) * (SLOPE / AMPLITUDE); }

/* ------------------------------------------------------------------------------- forward */

static void forward_c1(const Weights *w, State *s) {
    for (int y = 0; y < C1_SIDE; y++) {
        V sum[C1_MAPS][2];
        UNROLL for (int m = 0; m < C1_MAPS; m++) sum[m][0] = sum[m][1] = spread(w->c1_bias[m]);
        for (int ky = 0; ky < 5; ky++) {
            const float *row = s->input + (y + ky) * SIDE;
            UNROLL for (int kx = 0; kx < 5; kx++) {
                V left = read(row + kx), right = read(row + kx + 16);
                UNROLL for (int m = 0; m < C1_MAPS; m++) {
                    V tap = spread(w->c1[m][ky * 5 + kx]);
                    sum[m][0] += tap * left;
                    sum[m][1] += tap * right;
                }
            }
        }
        UNROLL for (int m = 0; m < C1_MAPS; m++) {
            s->c1[m][y][0] = squash(sum[m][0]);
            s->c1[m][y][1] = squash(sum[m][1]);
        }
    }
}

static void forward_s2(const Weights *w, State *s) {
    for (int m = 0; m < C1_MAPS; m++)
        for (int y = 0; y < S2_SIDE; y++) {
            V left = s->c1[m][2 * y][0] + s->c1[m][2 * y + 1][0];
            V right = s->c1[m][2 * y][1] + s->c1[m][2 * y + 1][1];
            V even = SHUFFLE(left, right, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20,
                                             22, 24, 26, 28, 30);
            V odd = SHUFFLE(left, right, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23,
                                            25, 27, 29, 31);
            V sum = even + odd;
            s->s2_sum[m][y] = sum;
            s->s2[m][y] = squash(sum * w->s2[m] + w->s2_bias[m]);
        }
}

static void forward_c3(const Weights *w, State *s) {
    for (int y = 0; y < C3_SIDE; y++) {
        V sum[C3_SIDE];
        UNROLL for (int x = 0; x < C3_SIDE; x++) sum[x] = w->c3_bias;
        for (int i = 0; i < C1_MAPS; i++)
            for (int ky = 0; ky < 5; ky++) {
                const float *row = (const float *)&s->s2[i][y + ky];
                UNROLL for (int kx = 0; kx < 5; kx++) {
                    V tap = w->c3[i][ky * 5 + kx];
                    UNROLL for (int x = 0; x < C3_SIDE; x++) sum[x] += row[x + kx] * tap;
                }
            }
        UNROLL for (int x = 0; x < C3_SIDE; x++) s->c3[y * C3_SIDE + x] = squash(sum[x]);
    }
}

static void forward_s4(const Weights *w, State *s) {
    for (int y = 0; y < S4_SIDE; y++)
        for (int x = 0; x < S4_SIDE; x++) {
            const V *corner = &s->c3[2 * y * C3_SIDE + 2 * x];
            V sum = (corner[0] + corner[1]) + (corner[C3_SIDE] + corner[C3_SIDE + 1]);
            s->s4_sum[y * S4_SIDE + x] = sum;
            s->s4[y * S4_SIDE + x] = squash(sum * w->s4 + w->s4_bias);
        }
}

static void forward_full(const Weights *w, State *s) {
    V sum[C5_V];
    const float *in = (const float *)s->s4;
    UNROLL for (int v = 0; v < C5_V; v++) sum[v] = w->c5_bias[v];
    for (int j = 0; j < C5_IN; j++)
        UNROLL for (int v = 0; v < C5_V; v++) sum[v] += in[j] * w->c5[j][v];
    UNROLL for (int v = 0; v < C5_V; v++) s->c5[v] = squash(sum[v]);

    in = (const float *)s->c5;
    UNROLL for (int v = 0; v < F6_V; v++) sum[v] = w->f6_bias[v];
    for (int j = 0; j < C5_OUT; j++)
        UNROLL for (int v = 0; v < F6_V; v++) sum[v] += in[j] * w->f6[j][v];
    UNROLL for (int v = 0; v < F6_V; v++) s->f6[v] = squash(sum[v]);
}

/* ------------------------------------------------------------------------------- loss */

/* Penalties of the classes; the loss; its gradient with respect to F6's outputs. With `map` the
loss is Eq. 9 (e^-j beside the classes), else Eq. 8. */
static float loss_of(const State *s, int classes, int label, int map, float j, V gradient[F6_V],
                     int64_t *right) {
    float penalty[MOST_CLASSES] = {0}, share[MOST_CLASSES];
    int best = 0;
    for (int c = 0; c < classes; c++) {
        V sum = spread(0);
        UNROLL for (int v = 0; v < F6_V; v++) {
            V apart = s->f6[v] - s->codes[c][v];
            sum += apart * apart;
        }
        penalty[c] = total(sum);
        if (penalty[c] < penalty[best]) best = c;
    }
    *right = best == label;
    float loss = penalty[label];
    for (int c = 0; c < classes; c++) share[c] = 0;
    if (map) {
        float least = penalty[best] < j ? penalty[best] : j;
        float sum = expf(least - j);
        for (int c = 0; c < classes; c++) sum += share[c] = expf(least - penalty[c]);
        for (int c = 0; c < classes; c++) share[c] /= -sum;
        loss += logf(sum) - least;
    }
    share[label] += 1;
    UNROLL for (int v = 0; v < F6_V; v++) gradient[v] = spread(0);
    for (int c = 0; c < classes; c++)
        UNROLL for (int v = 0; v < F6_V; v++)
            gradient[v] += 2 * share[c] * (s->f6[v] - s->codes[c][v]);
    return loss;
}

/* ------------------------------------------------------------------------------- backward */

/* A layer of full connections: gradient to its `in` inputs, and the update, in one pass. */
#define BACKWARD_FULL(name, INPUTS, VECTORS)                                                      \
    INLINE void backward_##name(V (*w)[VECTORS], V *bias, const V (*rate)[VECTORS],               \
                                const V *bias_rate, const float *in, const V *delta, float lr,    \
                                float *to_input) {                                                \
        V d[VECTORS];                                                                             \
        UNROLL for (int v = 0; v < VECTORS; v++) d[v] = delta[v];                                 \
        for (int j = 0; j < INPUTS; j++) {                                                        \
            V sum = spread(0);                                                                    \
            float by = -lr * in[j];                                                               \
            UNROLL for (int v = 0; v < VECTORS; v++) {                                            \
                V old = w[j][v];                                                                  \
                sum += old * d[v];                                                                \
                w[j][v] = old + (by * d[v]) * rate[j][v];                                         \
            }                                                                                     \
            to_input[j] = total(sum);                                                             \
        }                                                                                         \
        UNROLL for (int v = 0; v < VECTORS; v++) bias[v] -= lr * d[v] * bias_rate[v];             \
    }
BACKWARD_FULL(c5, C5_IN, C5_V)
BACKWARD_FULL(f6, C5_OUT, F6_V)

/* S4: its update, and C3's deltas. */
static void backward_s4(Weights *w, const Weights *rate, const State *s, const V *to_s4, float lr,
                        V *delta3) {
    V coefficient = spread(0), bias = spread(0);
    for (int y = 0; y < S4_SIDE; y++)
        for (int x = 0; x < S4_SIDE; x++) {
            int at = y * S4_SIDE + x, corner = 2 * y * C3_SIDE + 2 * x;
            V delta = to_s4[at] * slope(s->s4[at]);
            coefficient += delta * s->s4_sum[at];
            bias += delta;
            V back = delta * w->s4;
            delta3[corner] = back * slope(s->c3[corner]);
            delta3[corner + 1] = back * slope(s->c3[corner + 1]);
            delta3[corner + C3_SIDE] = back * slope(s->c3[corner + C3_SIDE]);
            delta3[corner + C3_SIDE + 1] = back * slope(s->c3[corner + C3_SIDE + 1]);
        }
    w->s4 -= lr * coefficient * rate->s4;
    w->s4_bias -= lr * bias * rate->s4_bias;
}

/* The S2 maps that each C3 map sees, read the other way: the C3 maps that see each S2 map. */
static const int8_t SEEN_BY[C1_MAPS][10] = {
    {0, 4, 5, 6, 9, 10, 11, 12, 14, 15}, {0, 1, 5, 6, 7, 10, 11, 12, 13, 15},
    {0, 1, 2, 6, 7, 8, 11, 13, 14, 15},  {1, 2, 3, 6, 7, 8, 9, 12, 14, 15},
    {2, 3, 4, 7, 8, 9, 10, 12, 13, 15},  {3, 4, 5, 8, 9, 10, 11, 13, 14, 15},
};

/* C3's deltas once more, map by map with a border of zeros, to be read at any column. */
static void lay_out(const V *delta3, float padded[C3_MAPS][C3_SIDE][PADDED]) {
    for (int y = 0; y < C3_SIDE; y++)
        for (int x = 0; x < C3_SIDE; x++) {
            const float *maps = (const float *)&delta3[y * C3_SIDE + x];
            for (int m = 0; m < C3_MAPS; m++) padded[m][y][BORDER + x] = maps[m];
        }
}

static void backward_c3_input(const Weights *w, const float padded[C3_MAPS][C3_SIDE][PADDED],
                              V to_s2[C1_MAPS][S2_SIDE]) {
    for (int i = 0; i < C1_MAPS; i++) {
        V sum[S2_SIDE];
        UNROLL for (int y = 0; y < S2_SIDE; y++) sum[y] = spread(0);
        for (int link = 0; link < 10; link++) {
            int m = SEEN_BY[i][link];
            for (int kx = 0; kx < 5; kx++) {
                V taps[5];
                UNROLL for (int ky = 0; ky < 5; ky++)
                    taps[ky] = spread(((const float *)&w->c3[i][ky * 5 + kx])[m]);
                UNROLL for (int y = 0; y < C3_SIDE; y++) {
                    V row = read(&padded[m][y][BORDER - kx]);
                    UNROLL for (int ky = 0; ky < 5; ky++) sum[y + ky] += taps[ky] * row;
                }
            }
        }
        UNROLL for (int y = 0; y < S2_SIDE; y++) to_s2[i][y] = sum[y];
    }
}

static void backward_c3_weights(Weights *w, const Weights *rate, const State *s, const V *delta3,
                                float lr) {
    for (int i = 0; i < C1_MAPS; i++) {
        V sum[TAPS];
        UNROLL for (int k = 0; k < TAPS; k++) sum[k] = spread(0);
        for (int y = 0; y < C3_SIDE; y++)
            for (int x = 0; x < C3_SIDE; x++) {
                V delta = delta3[y * C3_SIDE + x];
                const float *corner = (const float *)&s->s2[i][y] + x;
                UNROLL for (int k = 0; k < TAPS; k++) sum[k] += corner[k / 5 * 16 + k % 5] * delta;
            }
        UNROLL for (int k = 0; k < TAPS; k++) w->c3[i][k] -= lr * sum[k] * rate->c3[i][k];
    }
    V bias = spread(0);
    for (int at = 0; at < C3_SIDE * C3_SIDE; at++) bias += delta3[at];
    w->c3_bias -= lr * bias * rate->c3_bias;
}

/* S2: its update, and C1's deltas. */
static void backward_s2(Weights *w, const Weights *rate, const State *s,
                        V to_s2[C1_MAPS][S2_SIDE], float lr, V delta1[C1_MAPS][C1_SIDE][2]) {
    for (int m = 0; m < C1_MAPS; m++) {
        V coefficient = spread(0), bias = spread(0);
        for (int y = 0; y < S2_SIDE; y++) {
            V delta = to_s2[m][y] * slope(s->s2[m][y]);
            coefficient += delta * s->s2_sum[m][y];
            bias += delta;
            V back = delta * w->s2[m];
            V left = SHUFFLE(back, back, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6,
                                             7, 7);
            V right = SHUFFLE(back, back, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13,
                                              13, 14, 14, 15, 15);
            for (int row = 2 * y; row < 2 * y + 2; row++) {
                delta1[m][row][0] = left * slope(s->c1[m][row][0]);
                delta1[m][row][1] = right * slope(s->c1[m][row][1]);
            }
        }
        w->s2[m] -= lr * total(coefficient) * rate->s2[m];
        w->s2_bias[m] -= lr * total(bias) * rate->s2_bias[m];
    }
}

static void backward_c1(Weights *w, const Weights *rate, const State *s,
                        V delta1[C1_MAPS][C1_SIDE][2], float lr) {
    for (int first = 0; first < C1_MAPS; first += 3)
        for (int ky = 0; ky < 5; ky++) {
            V sum[3][5];
            UNROLL for (int k = 0; k < 15; k++) sum[k / 5][k % 5] = spread(0);
            for (int y = 0; y < C1_SIDE; y++)
                UNROLL for (int half = 0; half < 2; half++) {
                    const float *row = s->input + (y + ky) * SIDE + 16 * half;
                    V a = delta1[first][y][half], b = delta1[first + 1][y][half],
                      c = delta1[first + 2][y][half];
                    UNROLL for (int kx = 0; kx < 5; kx++) {
                        V pixels = read(row + kx);
                        sum[0][kx] += a * pixels;
                        sum[1][kx] += b * pixels;
                        sum[2][kx] += c * pixels;
                    }
                }
            UNROLL for (int m = 0; m < 3; m++)
                UNROLL for (int kx = 0; kx < 5; kx++) {
                    int k = ky * 5 + kx;
                    w->c1[first + m][k] -= lr * total(sum[m][kx]) * rate->c1[first + m][k];
                }
        }
    for (int m = 0; m < C1_MAPS; m++) {
        V bias = spread(0);
        for (int y = 0; y < C1_SIDE; y++) bias += delta1[m][y][0] + delta1[m][y][1];
        w->c1_bias[m] -= lr * total(bias) * rate->c1_bias[m];
    }
}

static void backward(Weights *w, const Weights *rate, State *s, const V to_f6[F6_V], float lr,
                     float padded[C3_MAPS][C3_SIDE][PADDED]) {
    V delta6[F6_V], to_c5[C5_V], delta5[C5_V], to_s4[S4_SIDE * S4_SIDE];
    V delta3[C3_SIDE * C3_SIDE], to_s2[C1_MAPS][S2_SIDE], delta1[C1_MAPS][C1_SIDE][2];
    for (int v = 0; v < F6_V; v++) delta6[v] = to_f6[v] * slope(s->f6[v]);
    to_c5[C5_V - 1] = spread(0);
    backward_f6(w->f6, w->f6_bias, rate->f6, rate->f6_bias,
                (const float *)s->c5, delta6, lr, (float *)to_c5);
    for (int v = 0; v < C5_V; v++) delta5[v] = to_c5[v] * slope(s->c5[v]);
    backward_c5(w->c5, w->c5_bias, rate->c5, rate->c5_bias,
                (const float *)s->s4, delta5, lr, (float *)to_s4);
    backward_s4(w, rate, s, to_s4, lr, delta3);
    lay_out(delta3, padded);
    backward_c3_input(w, padded, to_s2);
    backward_c3_weights(w, rate, s, delta3, lr);
    backward_s2(w, rate, s, to_s2, lr, delta1);
    backward_c1(w, rate, s, delta1, lr);
}

/* ------------------------------------------------------------------------------- in and out */

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
            for (int k = 0; k < TAPS; k++) MOVE(((float *)&w->c3[SEES[m][link]][k])[m]);
    for (int m = 0; m < C3_MAPS; m++) MOVE(((float *)&w->c3_bias)[m]);
    for (int m = 0; m < C3_MAPS; m++) MOVE(((float *)&w->s4)[m]);
    for (int m = 0; m < C3_MAPS; m++) MOVE(((float *)&w->s4_bias)[m]);
    for (int u = 0; u < C5_OUT; u++)
        for (int m = 0; m < C3_MAPS; m++)
            for (int at = 0; at < S4_SIDE * S4_SIDE; at++)
                MOVE(((float *)w->c5[at * C3_MAPS + m])[u]);
    for (int u = 0; u < C5_OUT; u++) MOVE(((float *)w->c5_bias)[u]);
    for (int u = 0; u < F6_OUT; u++)
        for (int j = 0; j < C5_OUT; j++) MOVE(((float *)w->f6[j])[u]);
    for (int u = 0; u < F6_OUT; u++) MOVE(((float *)w->f6_bias)[u]);
#undef MOVE
}

struct lenet5_1998 {
    Weights weights, rates;
    State state;
    float padded[C3_MAPS][C3_SIDE][PADDED];
};

/* Steps through `n` images, one after the other. 0 if all went well, 1 without memory.

weights, rates: 60,000 floats in the order of the network's parameters; weights are changed.
images: n x 32 x 32. labels: n, below `classes`. lr: n, the rate of each step.
codes: classes x 84. map: 1 is Eq. 9 with its j, which may be infinite; 0 is Eq. 8.
losses, right: n, of every image before its own step. */
int64_t KERNEL(lenet5_1998_steps)(float *weights, const float *rates, const float *images,
                                  const int64_t *labels, const float *lr, int64_t n,
                                  const float *codes, int64_t classes, int64_t map, float j,
                                  float *losses, int64_t *right) {
    struct lenet5_1998 *net = aligned_alloc(64, (sizeof *net + 63) / 64 * 64);
    if (!net) return 1;
    memset(net, 0, sizeof *net);
    Weights *w = &net->weights;
    State *s = &net->state;
    copy(w, weights, 0);
    copy(&net->rates, (float *)rates, 0);
    for (int64_t c = 0; c < classes; c++)
        memcpy(s->codes[c], codes + c * F6_OUT, F6_OUT * sizeof(float));
    for (int64_t image = 0; image < n; image++) {
        V to_f6[F6_V];
        memcpy(s->input, images + image * SIDE * SIDE, SIDE * SIDE * sizeof(float));
        forward_c1(w, s);
        forward_s2(w, s);
        forward_c3(w, s);
        forward_s4(w, s);
        forward_full(w, s);
        losses[image] =
            loss_of(s, (int)classes, (int)labels[image], (int)map, j, to_f6, &right[image]);
        backward(w, &net->rates, s, to_f6, lr[image], net->padded);
    }
    copy(w, weights, 1);
    free(net);
    return 0;
}
