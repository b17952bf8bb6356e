/* Activations of a vector, and their slopes: of a monotone one from what it gave; those of GELU and
 * SiLU, which are not, beside their values.
 *
 * All by exponentials: e^x = 2^n e^r with n a whole number and |r| <= ln 2 / 2, e^r - 1 by its Taylor
 * polynomial of degree 7 (error below 1e-8 there). What e^r is more than 1 is kept apart from the
 * 1, so that tanh and ELU lose no digits near 0.
 */
#ifndef CONVSCOPE_ACTIVATIONS_H
#define CONVSCOPE_ACTIVATIONS_H

#include "lanes.h"

enum activation { IDENTITY, TANH, SCALED_TANH, SIGMOID, RELU, LEAKY_RELU, ELU, GELU, SILU };

/* The parts of e^x = power × (1 + rest), power a whole power of two. */
struct parts {
    floats power, rest;
};

INLINE struct parts powers(floats x) {
    floats n = x * 1.44269504f + 12582912.0f; /* 1.5 × 2^23: the sum has no digits below 1 */
    ints power = ((ints)n << 23) + (ints)splat(1);
    n -= 12582912.0f;
    floats r = x - n * 0.693359375f + n * 2.12194440e-4f; /* ln 2 in two parts */
    floats sum = r * (1 / 5040.0f) + 1 / 720.0f;
    sum = sum * r + 1 / 120.0f;
    sum = sum * r + 1 / 24.0f;
    sum = sum * r + 1 / 6.0f;
    sum = sum * r + 0.5f;
    return (struct parts){(floats)power, sum * r * r + r};
}

INLINE floats within(floats x, float least, float most) {
    x = choose(x > most, splat(most), x);
    return choose(x < least, splat(least), x);
}

INLINE floats exponential(floats x) {
    struct parts of = powers(within(x, -87, 88));
    return of.power * of.rest + of.power;
}

/* (e^2x - 1) / (e^2x + 1); where power is 1 its difference to 1 takes no digit from the rest. */
INLINE floats hyperbolic_tangent(floats x) {
    struct parts of = powers(within(x + x, -20, 20));
    floats more = of.power * of.rest;
    floats result = (of.power - 1 + more) / (of.power + 1 + more);
    return choose(x == x, result, x); /* NaN stays NaN */
}

/* The share of a normal distribution below x, by its density there, e^(-x^2/2) / sqrt(2 pi); within
 * 8e-8 (Abramowitz & Stegun 1964, 26.2.17). */
INLINE floats normal_share(floats x, floats density) {
    floats size = (floats)((ints)x & 0x7fffffff), t = 1 / (1 + size * 0.2316419f);
    floats sum = t * 1.330274429f - 1.821255978f;
    sum = sum * t + 1.781477937f;
    sum = sum * t - 0.356563782f;
    sum = sum * t + 0.319381530f;
    floats above = density * sum * t; /* of the size */
    return choose(x < 0, above, 1 - above);
}

INLINE floats exponential_minus_1(floats x) {
    struct parts of = powers(within(x, -87, 88));
    return of.power - 1 + of.power * of.rest;
}

/* x times its sigmoid; far below 0 that is nothing, however far. */
INLINE floats silu(floats x, floats *derivative) {
    x = choose(x < -88, splat(-88), x);
    floats share = 1 / (1 + exponential(-x));
    *derivative = share * (1 + x - x * share);
    return x * share;
}

INLINE floats gelu(floats x, floats *derivative) {
    floats density = exponential(x * x * -0.5f) * 0.3989422804f, share = normal_share(x, density);
    *derivative = share + x * density;
    return x * share;
}

INLINE int is_monotone(enum activation kind) { return kind != GELU && kind != SILU; }

INLINE floats activate(const enum activation kind, floats x) {
    floats unused;
    switch (kind) {
    case IDENTITY: return x;
    case TANH: return hyperbolic_tangent(x);
    case SCALED_TANH: return 1.7159f * hyperbolic_tangent(x * (2 / 3.0f));
    case SIGMOID: return choose(x == x, 1 / (1 + exponential(-x)), x);
    case RELU: return choose(x <= 0, splat(0), x);
    case LEAKY_RELU: return choose(x <= 0, x * 0.01f, x);
    case ELU: return choose(x <= 0, exponential_minus_1(x), x);
    case GELU: return gelu(x, &unused);
    case SILU: return silu(x, &unused);
    }
    return x;
}

/* The derivative of a monotone activation where it gave `y`. */
INLINE floats slope(const enum activation kind, floats y) {
    switch (kind) {
    case IDENTITY: return splat(1);
    case TANH: return 1 - y * y;
    case SCALED_TANH: return 1.7159f * (2 / 3.0f) - y * y * (2 / 3.0f / 1.7159f);
    case SIGMOID: return y * (1 - y);
    case RELU: return choose(y > 0, splat(1), splat(0));
    case LEAKY_RELU: return choose(y > 0, splat(1), splat(0.01f));
    case ELU: return choose(y > 0, splat(1), y + 1);
    case GELU: case SILU: break;
    }
    return y;
}

/* `activate`, and the derivative there, of any activation. */
INLINE floats activate_with_slope(const enum activation kind, floats x, floats *derivative) {
    if (kind == GELU) return gelu(x, derivative);
    if (kind == SILU) return silu(x, derivative);
    floats y = activate(kind, x);
    *derivative = slope(kind, y);
    return y;
}

#endif
