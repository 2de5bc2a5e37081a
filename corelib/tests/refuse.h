/* SPDX-License-Identifier: MIT */
/* Lets the system refuse memory: the linker sends every call of malloc, calloc,
   aligned_alloc, mmap and mprotect through these. Included by the one source of each program. */
#ifndef RL_TESTS_REFUSE_H
#define RL_TESTS_REFUSE_H

#include <stddef.h>
#include <sys/mman.h>
#include <sys/types.h>

/* How many more requests are granted; negative: all. */
static long granted = -1;

/* Whether the next request is refused. */
static int refused(void) {
    if (granted > 0)
        granted--;
    else if (granted == 0)
        return 1;
    return 0;
}

/* The linker gives these names. */
void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_aligned_alloc(size_t alignment, size_t bytes);
void *__real_mmap(void *at, size_t bytes, int protection, int flags, int file, off_t offset);
int __real_mprotect(void *at, size_t bytes, int protection);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_aligned_alloc(size_t alignment, size_t bytes);
void *__wrap_mmap(void *at, size_t bytes, int protection, int flags, int file, off_t offset);
int __wrap_mprotect(void *at, size_t bytes, int protection);

void *__wrap_malloc(size_t bytes) {
    return refused() ? NULL : __real_malloc(bytes);
}

void *__wrap_calloc(size_t count, size_t bytes) {
    return refused() ? NULL : __real_calloc(count, bytes);
}

void *__wrap_aligned_alloc(size_t alignment, size_t bytes) {
    return refused() ? NULL : __real_aligned_alloc(alignment, bytes);
}

void *__wrap_mmap(void *at, size_t bytes, int protection, int flags, int file, off_t offset) {
    return refused() ? MAP_FAILED : __real_mmap(at, bytes, protection, flags, file, offset);
}

int __wrap_mprotect(void *at, size_t bytes, int protection) {
    return refused() ? -1 : __real_mprotect(at, bytes, protection);
}

#endif
