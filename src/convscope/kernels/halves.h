/* Vectors of numbers that are kept as float32 or as bfloat16, the upper half of a float32. */
#ifndef CONVSCOPE_HALVES_H
#define CONVSCOPE_HALVES_H

#include "lanes.h"

#if defined(__AVX2__)
#include <immintrin.h>
#endif

typedef uint16_t shorts __attribute__((vector_size(2 * LANES), aligned(2), may_alias));
typedef uint32_t words __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

/* The LANES numbers from the i-th on. */
INLINE floats load_from(const void *numbers, const int half, long i) {
    if (!half) return load((const float *)numbers + i);
    words bits = __builtin_convertvector(*(const shorts *)((const uint16_t *)numbers + i), words);
    return (floats)(bits << 16);
}

/* As the lower half of each word, rounded to the nearest, of two as near to the even one; NaN stays
 * NaN. */
INLINE words half_bits(floats values) {
    words bits = (words)values, rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    ints is_number = values == values;
    return (words)(((ints)rounded & is_number) | (~is_number & 0x7fc0));
}

INLINE void store_to(void *numbers, const int half, long i, floats values) {
    if (half) *(shorts *)((uint16_t *)numbers + i) = __builtin_convertvector(half_bits(values), shorts);
    else store((float *)numbers + i, values);
}

/* A store of what is not read again soon: without the line being read first, and without another
 * being driven out of the cache. `to` is aligned as a vector is. Other threads see it after
 * `stores_are_done`. */
INLINE void store_past_cache(uint32_t *to, words values) {
#if defined(__SANITIZE_ADDRESS__) /* which does not see the instructions below */
    *(words *)to = values;
#elif defined(__AVX512F__)
    _mm512_stream_si512((__m512i *)to, (__m512i)values);
#elif defined(__AVX2__)
    _mm256_stream_si256((__m256i *)to, (__m256i)values);
#else
    *(words *)to = values;
#endif
}

INLINE void stores_are_done(void) {
#if defined(__AVX2__)
    _mm_sfence();
#endif
}

#endif
