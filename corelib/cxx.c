/* SPDX-License-Identifier: MIT */
/* For dl_iterate_phdr() and dlinfo(). */
#define _GNU_SOURCE 1

#include "cxx.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#if !defined(__APPLE__)
#include <link.h>
#endif

static const void *const nothing = NULL;
static const void *const found = &found;
const void *const *rl_cxx_news = &nothing;

/* __cxa_get_globals() of the runtime that was found, or NULL. */
static struct rl_cxx *(*get_globals)(void);

/* Asks one loaded library, or any for NULL, for its runtime. Returns whether it has one. */
static int ask(const char *name) {
    void *library = name ? dlopen(name, RTLD_LAZY | RTLD_NOLOAD) : NULL;
    if (name && !library)
        return 0;
    void *function = dlsym(name ? library : RTLD_DEFAULT, "__cxa_get_globals");
    if (function) {
        /* The library stays loaded: its code will be called. */
        memcpy(&get_globals, &function, sizeof get_globals);
        rl_cxx_news = &found;
    } else if (library) {
        dlclose(library);
    }
    return function != NULL;
}

#if defined(__APPLE__)
/* The runtime is part of the system there, and loaded before any program's code. */
static void search(void) {
    ask("/usr/lib/libc++abi.dylib");
}
#else

/* What there is to know of the loaded libraries: file names, from malloc or NULL. */
struct libraries {
    char *runtime; /* One that is called like a C++ runtime. */
    char *last;    /* The one loaded last. */
};

/* Notes one library; called for each in the order of their loading. */
static int note(struct dl_phdr_info *info, size_t bytes, void *argument) {
    struct libraries *libraries = argument;
    const char *path = info->dlpi_name, *slash = path ? strrchr(path, '/') : NULL;
    const char *name = slash ? slash + 1 : path;
    (void)bytes;
    if (!name || !*name)
        return 0;
    if (!libraries->runtime &&
        (strncmp(name, "libstdc++", 9) == 0 || strncmp(name, "libc++", 6) == 0 ||
         strncmp(name, "libcxxrt", 8) == 0))
        libraries->runtime = strdup(path);
    free(libraries->last);
    libraries->last = strdup(path);
    return 0;
}

/* Arranges for rl_cxx_news to tell of the next library that is loaded: the loader
   appends it to its list, so the link of the last one changes. That one is held
   until there is a newer one, or its link could go away with it. */
static void watch(const char *last) {
    static void *held;
    void *library = last ? dlopen(last, RTLD_LAZY | RTLD_NOLOAD) : NULL;
    struct link_map *map = NULL;
    if (library && dlinfo(library, RTLD_DI_LINKMAP, &map) != 0)
        map = NULL;
    rl_cxx_news = map ? (const void *const *)&map->l_next : &nothing;
    if (held)
        dlclose(held);
    held = library;
}

static void search(void) {
    struct libraries libraries = {NULL, NULL};
    if (ask(NULL))
        return;
    dl_iterate_phdr(note, &libraries);
    if (!libraries.runtime || !ask(libraries.runtime))
        watch(libraries.last);
    free(libraries.runtime);
    free(libraries.last);
}
#endif

void rl_cxx_look(struct rl_cxx_thread *self) {
    if (!get_globals)
        search();
    if (get_globals) {
        self->globals = get_globals();
        self->seen = *rl_cxx_news;
    }
}
