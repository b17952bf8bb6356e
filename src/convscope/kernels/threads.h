/* Work that several threads share: see threads.c. */
#ifndef CONVSCOPE_THREADS_H
#define CONVSCOPE_THREADS_H

/* A piece of work: `work(task, memory)` for each task from 0 to tasks-1, in any order. */
typedef void (*work_function)(long task, void *memory);

/* Run all tasks on up to `threads` threads, the caller's among them; return when all are done. */
void run_tasks(work_function work, void *memory, long tasks, long threads);

#endif
