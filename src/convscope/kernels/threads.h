/* Work that several threads share: see threads.c. */
#ifndef CONVSCOPE_THREADS_H
#define CONVSCOPE_THREADS_H

/* A piece of work: `work(task, worker, memory)` for each task from 0 to tasks-1, in any order.
 * `worker`, from 0 to threads-1, is whose: no two tasks of one worker run at a time. */
typedef void (*work_function)(long task, long worker, void *memory);

/* Run all tasks on up to `threads` threads, the caller's among them; return when all are done. */
void run_tasks(work_function work, void *memory, long tasks, long threads);

/* OpenMP's GOMP_parallel: calls `work` with `memory` once in each of `threads` threads. */
typedef void (*team_function)(void (*work)(void *memory), void *memory, unsigned threads,
                              unsigned flags);

/* The same by OpenMP's threads, where there is a `team`: between operations of torch, whose threads
 * those are, they still listen for work, on the cores that other threads would want. As with torch's
 * own operators, not in a fork of a process whose OpenMP has threads. */
void run_by_team(team_function team, work_function work, void *memory, long tasks, long threads);

#endif
