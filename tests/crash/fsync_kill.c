/* Preloaded into a process under test: SIGKILL at its N-th fsync or fdatasync, counted over all
   threads, before the call reaches the kernel. N comes from FSYNC_KILL_AT. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

static void count(void) {
    static atomic_int calls;
    const char *wanted = getenv("FSYNC_KILL_AT");
    if (wanted != NULL && atomic_fetch_add(&calls, 1) + 1 == atoi(wanted)) {
        kill(getpid(), SIGKILL);
    }
}

int fsync(int file) {
    count();
    return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(file);
}

int fdatasync(int file) {
    count();
    return ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(file);
}
