/* Images as they are kept, to a network's input as the kernels read it.
 *
 *      N × C × H × W, uint8                      C × (top+H+bottom) × (left+W+right) × pitch, float
 *      image 0: [pixel 0 | pixel 1 | ...]   →    pixel 0: [image 0 | image 1 | ... | 0]
 *      image 1: [pixel 0 | pixel 1 | ...]        pixel 1: [image 0 | image 1 | ... | 0]
 *
 * Each value becomes value × scale + shift of its channel, rounded after the product and after the
 * sum, as data/preprocess.py does it: a table of the 256 results for each channel makes them. The
 * border gets `fill`'s. Of the N images those that `rows` names are taken, in its order.
 *
 * Arithmetic: none. Bytes for each pixel: 1 read, 4 written. A task is 16 images, a line of the cache
 * for each pixel: it reads each image once, all at the same time, and asks for the first lines of
 * all in advance, since they lie anywhere in the data set.
 */
#include "lanes.h"
#include "threads.h"

#define GROUP 16

struct normalise {
    const uint8_t *images;
    const int64_t *rows; /* n of them, or NULL: the first n */
    float *to;
    const float *table; /* C × 256 */
    int64_t all, n, channels, height, width, left, right, top, bottom, pitch, fill;
};

static void fill_pixels(float *to, long pixels, long pitch, float value) {
    for (long pixel = 0; pixel < pixels; pixel++)
        for (long n = 0; n < GROUP; n++) to[pixel * pitch + n] = value;
}

/* One row of a channel of all images of the group; `from` is where it begins in each. */
static void one_row(const struct normalise *job, const uint8_t **from, long images, long offset,
                    const float *table, float *to) {
    long pitch = job->pitch;
    fill_pixels(to, job->left, pitch, table[job->fill]);
    to += job->left * pitch;
    for (long column = 0; column < job->width; column++)
        for (long n = 0; n < images; n++)
            to[column * pitch + n] = table[from[n][offset + column]];
    fill_pixels(to + job->width * pitch, job->right, pitch, table[job->fill]);
}

static void clear_behind(float *to, long pixels, long pitch, long images) {
    for (long pixel = 0; pixel < pixels; pixel++)
        for (long n = images; n < GROUP; n++) to[pixel * pitch + n] = 0;
}

static void one_group(long task, long worker, void *memory) {
    (void)worker;
    const struct normalise *job = memory;
    long first = task * GROUP, images = job->n - first;
    long size = job->channels * job->height * job->width;
    long columns = job->left + job->width + job->right;
    const uint8_t *from[GROUP];
    images = images < 0 ? 0 : images > GROUP ? GROUP : images;
    for (long n = 0; n < images; n++) {
        from[n] = job->images + (job->rows ? job->rows[first + n] : first + n) * size;
        for (long byte = 0; byte < size && byte < 1024; byte += 64)
            __builtin_prefetch(from[n] + byte);
    }
    float *to = job->to + first;
    for (long channel = 0; channel < job->channels; channel++) {
        const float *table = job->table + channel * 256;
        fill_pixels(to, job->top * columns, job->pitch, table[job->fill]);
        to += job->top * columns * job->pitch;
        for (long row = 0; row < job->height; row++, to += columns * job->pitch)
            one_row(job, from, images, (channel * job->height + row) * job->width, table, to);
        fill_pixels(to, job->bottom * columns, job->pitch, table[job->fill]);
        to += job->bottom * columns * job->pitch;
    }
    long pixels = job->channels * (job->top + job->height + job->bottom) * columns;
    if (images < GROUP) clear_behind(job->to + first, pixels, job->pitch, images);
}

/* 0, or 3 where a row is no image. */
int KERNEL(normalise)(const struct normalise *job, long threads) {
    for (long n = 0; job->rows && n < job->n; n++)
        if (job->rows[n] < 0 || job->rows[n] >= job->all) return 3;
    run_tasks(one_group, (void *)job, job->pitch / GROUP, threads);
    return 0;
}
