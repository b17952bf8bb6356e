/* Vectors of numbers that are kept as float32 or as bfloat16, the upper half of a float32. */
#ifndef CONVSCOPE_HALVES_H
#define CONVSCOPE_HALVES_H

#include "lanes.h"

typedef uint16_t shorts __attribute__((vector_size(2 * LANES), aligned(2), may_alias));
typedef uint32_t words __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

/* The LANES numbers from the i-th on. */
INLINE floats load_from(const void *numbers, const int half, long i) {
    if (!half) return load((const float *)numbers + i);
    words bits = __builtin_convertvector(*(const shorts *)((const uint16_t *)numbers + i), words);
    return (floats)(bits << 16);
}

/* Rounded to the nearest, of two as near to the even one; NaN stays NaN. */
INLINE void store_to(void *numbers, const int half, long i, floats values) {
    if (!half) {
        store((float *)numbers + i, values);
        return;
    }
    words bits = (words)values, rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    ints is_number = values == values;
    rounded = (words)(((ints)rounded & is_number) | (~is_number & 0x7fc0));
    *(shorts *)((uint16_t *)numbers + i) = __builtin_convertvector(rounded, shorts);
}

#endif
