/* A small pool of threads that share numbered tasks.
 *
 *     caller   | task 0 | task 1 | task 2 | task 7 | goes on
 *     helper 0 |   | task 4 |  task 5  | task 6 | task 3 | listens
 *
 * Each begins with a range of its own, then helps the others with theirs: neighbouring tasks write
 * to neighbouring memory, often to the same line of the cache, for which two cores would wait in
 * turns. A task writes to places of its own and sums what it sums in an order of its own, so the
 * result has the same bytes whoever does it: how many threads there are decides the time alone. A training step has a dozen such pieces of work of a tenth of a
 * millisecond each, so a helper listens for the next one for a while before it sleeps: waking a
 * sleeping thread takes as long as many a piece.
 *
 * One call at a time has the helpers. A second one, from another thread of the program, does its
 * tasks alone. After a fork the child has no helpers and makes new ones.
 */
#define _GNU_SOURCE
#include "threads.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stddef.h>

#define MOST_HELPERS 255
#define LISTENING 30000 /* looks for work, about a millisecond, before sleep */

struct call { /* what the helpers are asked to do; it changes only while none is at work */
    work_function work;
    void *memory;
    long workers;
};

struct range { /* of tasks; each in a line of the cache of its own */
    _Alignas(64) atomic_long next;
    long end;
};

static pthread_mutex_t in_use = PTHREAD_MUTEX_INITIALIZER; /* held by the call with the helpers */
static pthread_mutex_t sleeping = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wake = PTHREAD_COND_INITIALIZER;
static long helpers, sleepers;
static unsigned long begins[MOST_HELPERS]; /* `summons` when each helper was made */

static struct call current;
static struct range ranges[MOST_HELPERS + 1];
static atomic_long at_work;
static atomic_ulong summons; /* 256 × number of the call + helpers wanted, the first ones */

static void pause_briefly(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void take_tasks(long worker) {
    for (long i = 0; i < current.workers; i++) {
        struct range *range = &ranges[(worker + i) % current.workers];
        for (;;) {
            long task = atomic_fetch_add(&range->next, 1);
            if (task >= range->end) break;
            current.work(task, worker, current.memory);
        }
    }
}

static unsigned long next_summons(unsigned long seen) {
    for (int look = 0; look < LISTENING; look++) {
        unsigned long now = atomic_load(&summons);
        if (now != seen) return now;
        pause_briefly();
    }
    pthread_mutex_lock(&sleeping);
    sleepers++;
    while (atomic_load(&summons) == seen) pthread_cond_wait(&wake, &sleeping);
    sleepers--;
    pthread_mutex_unlock(&sleeping);
    return atomic_load(&summons);
}

static void *help(void *argument) {
    unsigned long number = (size_t)argument, seen = begins[number];
    for (;;) {
        seen = next_summons(seen);
        if (number >= seen % 256) continue; /* not for this one, whatever is going on now */
        take_tasks((long)number + 1);
        atomic_fetch_sub(&at_work, 1);
    }
    return NULL;
}

static void forget_helpers(void) { /* in the child of a fork, which has one thread */
    pthread_mutex_t fresh = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t nobody = PTHREAD_COND_INITIALIZER;
    in_use = sleeping = fresh;
    wake = nobody;
    helpers = sleepers = 0;
}

static long make_helpers(long wanted) {
    static int prepared;
    if (!prepared) prepared = !pthread_atfork(NULL, NULL, forget_helpers);
    while (helpers < wanted) {
        pthread_t thread;
        pthread_attr_t attributes;
        begins[helpers] = atomic_load(&summons);
        pthread_attr_init(&attributes);
        pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
        int failed = pthread_create(&thread, &attributes, help, (void *)(size_t)helpers);
        pthread_attr_destroy(&attributes);
        if (failed) break; /* then fewer share the work */
        helpers++;
    }
    return helpers < wanted ? helpers : wanted;
}

void run_tasks(work_function work, void *memory, long tasks, long threads) {
    long wanted = (threads < tasks ? threads : tasks) - 1;
    if (wanted > MOST_HELPERS) wanted = MOST_HELPERS;
    if (wanted < 1 || pthread_mutex_trylock(&in_use)) {
        for (long task = 0; task < tasks; task++) work(task, 0, memory);
        return;
    }
    wanted = make_helpers(wanted);
    current = (struct call){work, memory, wanted + 1};
    for (long i = 0; i <= wanted; i++) {
        atomic_store(&ranges[i].next, tasks * i / (wanted + 1));
        ranges[i].end = tasks * (i + 1) / (wanted + 1);
    }
    atomic_store(&at_work, wanted);
    atomic_store(&summons, (atomic_load(&summons) / 256 + 1) * 256 + (unsigned long)wanted);
    pthread_mutex_lock(&sleeping);
    if (sleepers) pthread_cond_broadcast(&wake);
    pthread_mutex_unlock(&sleeping);
    take_tasks(0);
    for (int look = 0; atomic_load(&at_work); look++) {
        if (look < LISTENING) pause_briefly();
        else sched_yield(); /* a helper has lost its core to another program */
    }
    pthread_mutex_unlock(&in_use);
}

struct shared { /* what a team works on */
    work_function work;
    void *memory;
    long tasks;
    atomic_long next, workers;
};

static void join_team(void *memory) {
    struct shared *job = memory;
    long worker = atomic_fetch_add(&job->workers, 1), task;
    while ((task = atomic_fetch_add(&job->next, 1)) < job->tasks)
        job->work(task, worker, job->memory);
}

void run_by_team(team_function team, work_function work, void *memory, long tasks, long threads) {
    if (!team || threads < 2) {
        run_tasks(work, memory, tasks, threads);
        return;
    }
    struct shared job = {work, memory, tasks, 0, 0};
    team(join_team, &job, (unsigned)threads, 0);
}
