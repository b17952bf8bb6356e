#include "spectra.h"

/* Which versions of the kernels this processor can run, as a bit mask: 1 AVX-512, 2 AVX2, 4 AVX-512
 * with products of bfloat16.
 *
 * The compiler's own check asks the operating system, too, whether it saves the wide registers.
 */
int kernels_supported(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_cpu_init();
    int avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                 __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    int avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    int pairs = 0;
#if COMPILES_PAIRS
    pairs = __builtin_cpu_supports("avx512bf16") ? 4 : 0;
#endif
    return (avx512 && avx2 ? 1 | pairs : 0) | (avx2 ? 2 : 0);
#else
    return 0;
#endif
}

/* Of the sources this was compiled from, so that a library of other sources is not called. */
const char *kernels_fingerprint(void) { return FINGERPRINT; }
