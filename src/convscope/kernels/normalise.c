/* Images as they are kept, to a network's input as the kernels read it.
 *
 *      N × C × H × W, uint8                      C × (top+H+bottom) × (left+W+right) × pitch, float
 *      image 0: [pixel 0 | pixel 1 | ...]   →    pixel 0: [image 0 | image 1 | ... | 0]
 *      image 1: [pixel 0 | pixel 1 | ...]        pixel 1: [image 0 | image 1 | ... | 0]
 *
 * Each value becomes value × scale + shift of its channel, rounded after the product and after the
 * sum, as data/preprocess.py does it: a table of the 256 results for each channel makes them. The
 * border gets `fill`'s.
 *
 * Arithmetic: none. Bytes for each pixel: 1 read, 4 written; each task writes whole rows, and reads
 * the 64 bytes of a cache line of an image while they are in the first-level cache.
 */
#include "lanes.h"
#include "threads.h"

struct normalise {
    const uint8_t *images;
    float *to;
    const float *table; /* C × 256 */
    int64_t n, channels, height, width, left, right, top, bottom, pitch, fill;
};

static void one_row(long task, long worker, void *memory) {
    (void)worker;
    const struct normalise *job = memory;
    long rows = job->top + job->height + job->bottom, pitch = job->pitch;
    long columns = job->left + job->width + job->right;
    long channel = task / rows, row = task % rows - job->top;
    const float *table = job->table + channel * 256;
    float *to = job->to + task * columns * pitch;
    int outside = row < 0 || row >= job->height;
    for (long column = 0; column < columns; column++) {
        int border = outside || column < job->left || column >= job->left + job->width;
        for (long n = 0; border && n < pitch; n++) to[column * pitch + n] = table[job->fill];
        for (long n = job->n; n < pitch; n++) to[column * pitch + n] = 0;
    }
    if (outside) return;
    to += job->left * pitch;
    long image = job->channels * job->height * job->width;
    long offset = (channel * job->height + row) * job->width;
    for (long n = 0; n < job->n; n++) {
        const uint8_t *from = job->images + n * image + offset;
        for (long column = 0; column < job->width; column++)
            to[column * pitch + n] = table[from[column]];
    }
}

int KERNEL(normalise)(const struct normalise *job, long threads) {
    long rows = job->top + job->height + job->bottom;
    run_tasks(one_row, (void *)job, job->channels * rows, threads);
    return 0;
}
