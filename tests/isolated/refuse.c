/* SPDX-License-Identifier: MIT */
/* Preloaded, refuses memory: rl_refuse(count, width) grants the calling thread
   `count` more requests, refuses `width` after them, and grants all that follow. */
#define _GNU_SOURCE 1

#include <errno.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t count, size_t bytes);
void *__libc_realloc(void *block, size_t bytes);
void *__libc_memalign(size_t alignment, size_t bytes);
void rl_refuse(long count, long width);
long rl_grant(void);

static __thread long granted;  /* Requests until the first that is refused. */
static __thread long refusing; /* How many are then refused. */
static __thread long refusals; /* How many were. */

void rl_refuse(long count, long width) {
    refusals = 0;
    granted = count;
    refusing = width;
}

/* Ends it. Returns how many requests were refused. */
long rl_grant(void) {
    refusing = 0;
    return refusals;
}

/* Whether this request is to fail. */
static int refused(void) {
    if (refusing == 0)
        return 0;
    if (granted > 0) {
        granted--;
        return 0;
    }
    refusing--;
    refusals++;
    errno = ENOMEM;
    return 1;
}

void *malloc(size_t bytes) {
    return refused() ? NULL : __libc_malloc(bytes);
}

void *calloc(size_t count, size_t bytes) {
    return refused() ? NULL : __libc_calloc(count, bytes);
}

void *realloc(void *block, size_t bytes) {
    return refused() ? NULL : __libc_realloc(block, bytes);
}

void *aligned_alloc(size_t alignment, size_t bytes) {
    return refused() ? NULL : __libc_memalign(alignment, bytes);
}

void *mmap(void *at, size_t bytes, int protection, int flags, int file, off_t offset) {
    return refused() ? MAP_FAILED
                     : (void *)syscall(SYS_mmap, at, bytes, protection, flags, file, offset);
}

int mprotect(void *at, size_t bytes, int protection) {
    return refused() ? -1 : (int)syscall(SYS_mprotect, at, bytes, protection);
}
