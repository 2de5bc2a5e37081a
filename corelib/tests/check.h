/* SPDX-License-Identifier: MIT */
/* What every C test of the core uses: check(), and a main that runs each test in
   a child process, so that one that crashes is one failure. */
#ifndef RL_TESTS_CHECK_H
#define RL_TESTS_CHECK_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATIENCE = 120 }; /* Seconds that a test may take, also under valgrind. */

struct test {
    const char *name;
    void (*run)(void);
};

/* Ends the test: `what` does not hold. */
static inline void check_failed(const char *file, int line, const char *what) {
    fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, what);
    _exit(1);
}

#define check(condition) ((condition) ? (void)0 : check_failed(__FILE__, __LINE__, #condition))

/* Runs `body` in a child process. Returns how that ended, as wait() has it. */
static inline int in_child(void (*body)(void)) {
    int status = -1;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        alarm(PATIENCE);
        body();
        _exit(0);
    }
    if (child < 0 || waitpid(child, &status, 0) < 0)
        return -1;
    return status;
}

/* Runs the tests. Returns the exit status; prints how many passed and failed. */
static inline int run_tests(const struct test *tests, size_t count) {
    unsigned failed = 0;
    for (size_t i = 0; i < count; i++) {
        int status = in_child(tests[i].run);
        if (status == 0)
            continue;
        failed++;
        if (WIFSIGNALED(status))
            fprintf(stderr, "FAILED %s: killed by signal %d\n", tests[i].name, WTERMSIG(status));
        else
            fprintf(stderr, "FAILED %s\n", tests[i].name);
    }
    printf("%zu passed, %u failed\n", count - failed, failed);
    return failed != 0;
}

#endif
