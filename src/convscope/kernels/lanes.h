/* Vectors of neighbouring images, and the names of the versions of a kernel.
 *
 * Every kernel is compiled once for each target (build.py), with its name ending in the target's:
 * a vector holds 16 numbers with AVX-512, 8 with AVX2, 4 elsewhere (SSE2, NEON). They are GCC's
 * and Clang's vector extensions, so the same source serves every processor.
 *
 * Memory between kernels is batch-last (cuda-convnet's order, maps × rows × columns × images):
 *
 *      one row of a map, N images, `pitch` floats from a pixel to the next
 *      pixel 0: [image 0 | image 1 | ... | image N-1 | 0 0 0]
 *      pixel 1: [image 0 | image 1 | ... | image N-1 | 0 0 0]
 *                <--- one vector --->
 *
 * so that what is done to one image is done to LANES of them by the same instruction, a weight is
 * one number for all, and no kernel ever shuffles a vector. `pitch` is an odd multiple of 16: a
 * multiple of 16 leaves room for whole vectors, and an odd one spreads the pixels over all sets
 * of the first-level cache, which a power of two would not.
 */
#ifndef CONVSCOPE_LANES_H
#define CONVSCOPE_LANES_H

#include <stdint.h>

#ifndef TARGET
#define TARGET portable
#endif
#define JOIN_(name, target) name##_##target
#define JOIN(name, target) JOIN_(name, target)
#define KERNEL(name) JOIN(name, TARGET)

#if defined(__AVX512F__)
#define LANES 16
#elif defined(__AVX2__)
#define LANES 8
#else
#define LANES 4
#endif

/* Aligned as their elements are: what a caller hands in may begin anywhere. */
typedef float floats __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int32_t ints __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef uint8_t bytes __attribute__((vector_size(LANES), aligned(1), may_alias));

#define INLINE static inline __attribute__((always_inline))

INLINE floats load(const float *from) { return *(const floats *)from; }
INLINE void store(float *to, floats values) { *(floats *)to = values; }
INLINE floats splat(float value) { return value - (floats){0}; }

/* `yes` where `mask` is -1, `no` where it is 0. */
INLINE floats choose(ints mask, floats yes, floats no) {
    return (floats)((mask & (ints)yes) | (~mask & (ints)no));
}

INLINE float sum_of_lanes(floats values) {
#ifdef __clang__ /* has no shuffle by a vector of numbers; it makes shuffles of this itself */
    for (int half = LANES / 2; half; half /= 2)
        for (int lane = 0; lane < half; lane++) values[lane] += values[lane + half];
    return values[0];
#else
#pragma GCC unroll 4
    for (int half = LANES / 2; half; half /= 2) {
        ints partner;
#pragma GCC unroll 16
        for (int lane = 0; lane < LANES; lane++) partner[lane] = lane ^ half;
        values += __builtin_shuffle(values, partner);
    }
    return values[0];
#endif
}

#endif
