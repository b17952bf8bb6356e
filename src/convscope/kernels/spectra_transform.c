/* From images to spectra and back: see spectra.h.
 *
 * A transform of so few numbers is a product with a constant matrix, halved by symmetry: with places
 * counted from the centre, d and -d have the same cosine and opposite sines, and so have u and -u.
 *
 *      sums  e(d) = x(d) + x(-d)    X(u)  = Σ e(d) cos(2π u d / period) - i Σ o(d) sin(...)
 *      gaps  o(d) = x(d) - x(-d)    X(-u) = the same with +
 *
 * Of LANES maps of an image first all rows are transformed, two at a time, then all columns, real and
 * imaginary parts at a time; on the way back first the columns, then the rows.
 */
#include <math.h>
#include <string.h>

#include "spectra.h"

#define VECTOR(i) ((i) * LANES)

/* A direction: its constants, for frequencies u from 0 to `top` and distances d from 0 to `reach`. */
struct axis {
    long size, centre, top, reach;
    float *cosines, *sines;           /* [u][d]; of sines u from 1 to top - 1, d from 1 */
    float *cosines_back, *sines_back; /* [d][u], likewise */
};

struct transform_call {
    const struct transform *t;
    struct axis down, across;
    float *memory; /* for each thread `room` numbers */
    long room, most; /* most: the longer reach */
};

static int make_axis(struct axis *axis, long size, long centre, long period) {
    long reach = centre > size - 1 - centre ? centre : size - 1 - centre, top = period / 2;
    long most = (top + 1) * (reach + 1);
    *axis = (struct axis){.size = size, .centre = centre, .top = top, .reach = reach};
    float *made = axis->cosines = malloc(sizeof(float) * 4 * (size_t)most);
    if (!made) return 0;
    axis->sines = made + most;
    axis->cosines_back = made + 2 * most;
    axis->sines_back = made + 3 * most;
    for (long u = 0; u <= top; u++)
        for (long d = 0; d <= reach; d++) {
            double angle = 2 * M_PI * (double)(u * d % period) / (double)period;
            axis->cosines[u * (reach + 1) + d] = axis->cosines_back[d * (top + 1) + u] =
                (float)cos(angle);
            if (u == 0 || u == top || d == 0) continue;
            axis->sines[(u - 1) * reach + d - 1] = axis->sines_back[(d - 1) * (top - 1) + u - 1] =
                (float)sin(angle);
        }
    return 1;
}

#define MOST_MIXED 8 /* outputs at a time, two vectors of sums each: with AVX-512 they stay in registers */

INLINE void mix_some(float *out, long step, long part, const float *factors, const float *in,
                     long inputs, const int some) {
    floats sums[MOST_MIXED][2];
#pragma GCC unroll 8
    for (int i = 0; i < some; i++) sums[i][0] = sums[i][1] = splat(0);
    for (long d = 0; d < inputs; d++) {
        floats first = load(in + VECTOR(2 * d)), second = load(in + VECTOR(2 * d + 1));
#pragma GCC unroll 8
        for (int i = 0; i < some; i++) {
            floats factor = splat(factors[i * inputs + d]);
            sums[i][0] += factor * first;
            sums[i][1] += factor * second;
        }
    }
#pragma GCC unroll 8
    for (int i = 0; i < some; i++) {
        store(out + i * step, sums[i][0]);
        store(out + i * step + part, sums[i][1]);
    }
}

/* out[i] = Σ factors[i][d] in[d] for both parts of `in`: [d][2] vectors; out: `step` and `part`. */
static void mix(float *out, long step, long part, const float *factors, long outputs,
                const float *in, long inputs) {
    while (outputs > 0) {
        long pieces = (outputs + MOST_MIXED - 1) / MOST_MIXED, some = (outputs + pieces - 1) / pieces;
        switch (some) {
#define CASE(n) case n: mix_some(out, step, part, factors, in, inputs, n); break;
            CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6) CASE(7) CASE(8)
#undef CASE
        }
        outputs -= some;
        out += some * step;
        factors += some * inputs;
    }
}

/* The number of the first frequency down of the across-th column. */
INLINE long first_of(const struct transform *t, long across) {
    return across ? t->rows / 2 + 1 + (across - 1) * t->rows : 0;
}

INLINE uint32_t *place(const struct transform *t, long frequency, long image, long map) {
    return (uint32_t *)t->spectra + (image * t->frequencies + frequency) * t->pitch + map;
}

INLINE void store_pair(uint32_t *to, floats real, floats imaginary) {
    store_past_cache(to, half_bits(real) | half_bits(imaginary) << 16);
}

INLINE words load_pair(const uint32_t *from) {
    __builtin_prefetch(from + LANES);
    return *(const words *)from;
}

/* Sums and gaps, both [d][2], of a row or a column: of the vectors `step` numbers apart. */
INLINE void fold(const struct axis *axis, float *sums, float *gaps, long part, const void *numbers,
                 const int half, long begin, long step) {
    floats none = splat(0);
    store(sums + VECTOR(part), load_from(numbers, half, begin + axis->centre * step));
    for (long d = 1; d <= axis->reach; d++) {
        long later = axis->centre + d, sooner = axis->centre - d;
        floats after = later < axis->size ? load_from(numbers, half, begin + later * step) : none;
        floats before = sooner >= 0 ? load_from(numbers, half, begin + sooner * step) : none;
        store(sums + VECTOR(2 * d + part), after + before);
        store(gaps + VECTOR(2 * d - 2 + part), after - before);
    }
}

/* Rows of LANES maps of an image: `middle` becomes [row][across][cosine, sine]. */
INLINE void rows_forward(const struct transform_call *call, long at, float *middle, float *sums,
                         float *gaps) {
    const struct transform *t = call->t;
    const struct axis *across = &call->across;
    long row = VECTOR(2 * (across->top + 1)); /* from one to the next */
    for (long h = 0; h < t->height; h += 2) {
        for (long part = 0; part < 2; part++) {
            long there = h + part < t->height ? h + part : h; /* after the last row, it again */
            fold(across, sums, gaps, part, t->images, 1, at + there * t->width * t->maps, t->maps);
            float *ends = middle + (h + part) * row;
            store(ends + VECTOR(1), splat(0));
            store(ends + VECTOR(2 * across->top + 1), splat(0));
        }
        float *out = middle + h * row;
        mix(out, VECTOR(2), row, across->cosines, across->top + 1, sums, across->reach + 1);
        mix(out + VECTOR(3), VECTOR(2), row, across->sines, across->top - 1, gaps, across->reach);
    }
}

/* One column of them, to its frequencies. */
INLINE void column_forward(const struct transform_call *call, long image, long map, long across,
                           const float *middle, float *sums, float *gaps) {
    const struct transform *t = call->t;
    const struct axis *down = &call->down;
    long row = VECTOR(2 * (call->across.top + 1)), first = first_of(t, across);
    float *even = gaps + VECTOR(2 * (down->reach + 1)), *odd = even + VECTOR(2 * (down->top + 1));
    for (long part = 0; part < 2; part++)
        fold(down, sums, gaps, part, middle, 0, VECTOR(2 * across + part), row);
    mix(even, VECTOR(2), LANES, down->cosines, down->top + 1, sums, down->reach + 1);
    mix(odd, VECTOR(2), LANES, down->sines, down->top - 1, gaps, down->reach);
    int whole = across > 0 && across < call->across.top;
    for (long u = 0; u <= down->top; u++) {
        floats c = load(even + VECTOR(2 * u)), s = load(even + VECTOR(2 * u + 1));
        if (u == 0 || u == down->top) {
            store_pair(place(t, first + u, image, map), c, -s);
            continue;
        }
        floats qc = load(odd + VECTOR(2 * u - 2)), qs = load(odd + VECTOR(2 * u - 1));
        store_pair(place(t, first + u, image, map), c - qs, -s - qc);
        if (whole) store_pair(place(t, first + down->top + u, image, map), c + qs, qc - s);
    }
}

static void one_forward(long image, long worker, void *memory) {
    const struct transform_call *call = memory;
    const struct transform *t = call->t;
    float *sums = call->memory + worker * call->room, *gaps = sums + VECTOR(2 * (call->most + 1));
    float *middle = gaps + VECTOR(2 * (call->most + 1) + 4 * (call->down.top + 1));
    for (long map = 0; map < t->maps; map += LANES) {
        long at = image * t->height * t->width * t->maps + map;
        rows_forward(call, at, middle, sums, gaps);
        for (long across = 0; across <= call->across.top; across++)
            column_forward(call, image, map, across, middle, sums, gaps);
    }
    stores_are_done();
}

/* The frequencies of a column, to [row pair][part][across][2 rows] in `middle`. */
INLINE void column_back(const struct transform_call *call, long image, long map, long across,
                        float *middle, float *sums, float *gaps) {
    const struct transform *t = call->t;
    const struct axis *down = &call->down;
    long first = first_of(t, across), columns = call->across.top + 1;
    float *even = gaps + VECTOR(2 * (down->top + 1)), *odd = even + VECTOR(2 * (down->reach + 1));
    int whole = across > 0 && across < call->across.top;
    floats scale = splat((whole ? 2.0f : 1.0f) / (float)(t->rows * t->columns));
    for (long u = 0; u <= down->top; u++) {
        words pair = load_pair(place(t, first + u, image, map));
        floats real = (floats)(pair << 16) * scale, imaginary = (floats)(pair & 0xffff0000) * scale;
        floats other = real, other_imaginary = -imaginary; /* of -u */
        if (u == 0 || u == down->top) other = other_imaginary = splat(0);
        else if (whole) {
            pair = load_pair(place(t, first + down->top + u, image, map));
            other = (floats)(pair << 16) * scale;
            other_imaginary = (floats)(pair & 0xffff0000) * scale;
        }
        store(sums + VECTOR(2 * u), real + other);
        store(sums + VECTOR(2 * u + 1), imaginary + other_imaginary);
        if (u == 0 || u == down->top) continue;
        store(gaps + VECTOR(2 * u - 2), real - other);
        store(gaps + VECTOR(2 * u - 1), imaginary - other_imaginary);
    }
    mix(even, VECTOR(2), LANES, down->cosines_back, down->reach + 1, sums, down->top + 1);
    mix(odd, VECTOR(2), LANES, down->sines_back, down->reach, gaps, down->top - 1);
    for (long d = -down->reach; d <= down->reach; d++) {
        long h = down->centre + d, distance = d < 0 ? -d : d;
        if (h < 0 || h >= t->height) continue;
        floats real = load(even + VECTOR(2 * distance));
        floats imaginary = load(even + VECTOR(2 * distance + 1));
        if (d) {
            floats r = load(odd + VECTOR(2 * distance - 2));
            floats i = load(odd + VECTOR(2 * distance - 1));
            real += d > 0 ? -i : i;
            imaginary += d > 0 ? r : -r;
        }
        float *to = middle + VECTOR((h / 2 * 2 * columns + across) * 2 + h % 2);
        store(to, real);
        store(to + VECTOR(2 * columns), imaginary);
    }
}

INLINE void rows_back(const struct transform_call *call, long at, const float *middle, float *even,
                      float *odd) {
    const struct transform *t = call->t;
    const struct axis *across = &call->across;
    long columns = across->top + 1;
    for (long h = 0; h < t->height; h += 2, middle += VECTOR(4 * columns)) {
        mix(even, VECTOR(2), LANES, across->cosines_back, across->reach + 1, middle, columns);
        mix(odd, VECTOR(2), LANES, across->sines_back, across->reach,
            middle + VECTOR(2 * columns + 2), columns - 2);
        for (long part = 0; part < 2 && h + part < t->height; part++)
            for (long d = -across->reach; d <= across->reach; d++) {
                long w = across->centre + d, distance = d < 0 ? -d : d;
                if (w < 0 || w >= t->width) continue;
                floats value = load(even + VECTOR(2 * distance + part));
                if (d) {
                    floats s = load(odd + VECTOR(2 * distance - 2 + part));
                    value += d > 0 ? -s : s;
                }
                store_to(t->images, 1, at + ((h + part) * t->width + w) * t->maps, value);
            }
    }
}

static void one_back(long image, long worker, void *memory) {
    const struct transform_call *call = memory;
    const struct transform *t = call->t;
    float *sums = call->memory + worker * call->room, *gaps = sums + VECTOR(2 * (call->down.top + 1));
    float *middle = gaps + VECTOR(2 * (call->down.top + 1) + 4 * (call->most + 1));
    if (t->height % 2) /* the second row of the last pair is nothing */
        memset(middle + VECTOR((t->height / 2) * 4 * (call->across.top + 1)), 0,
               sizeof(float) * VECTOR(4 * (size_t)(call->across.top + 1)));
    for (long map = 0; map < t->maps; map += LANES) {
        long at = image * t->height * t->width * t->maps + map;
        for (long across = 0; across <= call->across.top; across++)
            column_back(call, image, map, across, middle, sums, gaps);
        rows_back(call, at, middle, sums, sums + VECTOR(2 * (call->most + 1)));
    }
}

/* Run `work` for each image. 0, or 1 where there is no memory. */
static int transform_all(const struct transform *t, work_function work, long threads) {
    struct transform_call call = {.t = t};
    void *made = NULL;
    int ready = make_axis(&call.down, t->height, t->centre_row, t->rows) &
                make_axis(&call.across, t->width, t->centre_column, t->columns);
    if (ready) {
        call.most = call.down.reach > call.across.reach ? call.down.reach : call.across.reach;
        call.room = VECTOR(4 * (call.most + call.down.top + 2) +
                           2 * (t->height + 1) * (call.across.top + 1));
        call.memory = room_for(call.room * threads, &made);
        ready = made != NULL;
    }
    if (ready) run_by_team(t->team, work, &call, t->count, threads);
    free(made);
    free(call.down.cosines);
    free(call.across.cosines);
    return !ready;
}

/* 0, or 1 where there is no memory. */
int KERNEL(spectra_of_images)(const struct transform *t, long threads) {
    return transform_all(t, one_forward, threads);
}

int KERNEL(images_of_spectra)(const struct transform *t, long threads) {
    return transform_all(t, one_back, threads);
}
