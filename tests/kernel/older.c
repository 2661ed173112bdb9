/* Makes this kernel look older to one program, by LD_PRELOAD: what OLDER_KERNEL names is refused with the error that
 * a kernel without it gives. OLDER_KERNEL=openat2,rto_max,info=104 and so on; unknown names end the program. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_openat2
#define SYS_openat2 437
#endif

static const char *const names[] = {"openat2", "cubic", "control", "thin", "rto_max", "rto_min", "user_timeout", "info="};
static int without[sizeof names / sizeof *names];
static socklen_t info_len;
enum { OPENAT2, CUBIC, CONTROL, THIN, RTO_MAX, RTO_MIN, USER_TIMEOUT, INFO };

__attribute__((constructor)) static void read_names(void) {
    const char *list = getenv("OLDER_KERNEL");
    while (list && *list) {
        size_t i, len = strcspn(list, ",");
        for (i = 0; i < sizeof names / sizeof *names; i++)
            if (strncmp(list, names[i], strlen(names[i])) == 0 && (i == INFO || len == strlen(names[i]))) break;
        if (i == sizeof names / sizeof *names) {
            fprintf(stderr, "OLDER_KERNEL: no help is called %.*s\n", (int)len, list);
            _exit(2);
        }
        without[i] = 1;
        if (i == INFO) info_len = (socklen_t)strtoul(list + 5, NULL, 10);
        list += len + (list[len] == ',');
    }
}

static int refuse(int why) {
    errno = why;
    return -1;
}

int setsockopt(int fd, int level, int name, const void *value, socklen_t len) {
    static int (*real)(int, int, int, const void *, socklen_t);
    if (!real) real = (int (*)(int, int, int, const void *, socklen_t))dlsym(RTLD_NEXT, "setsockopt");
    if (level == IPPROTO_TCP) {
        int is_cubic = len == 5 && memcmp(value, "cubic", 5) == 0;
        if (name == TCP_CONGESTION && (without[CONTROL] || (without[CUBIC] && is_cubic))) return refuse(ENOENT);
        if ((name == TCP_THIN_LINEAR_TIMEOUTS && without[THIN]) || (name == 44 && without[RTO_MAX]) ||
            (name == 45 && without[RTO_MIN]) || (name == TCP_USER_TIMEOUT && without[USER_TIMEOUT]))
            return refuse(ENOPROTOOPT);
    }
    return real(fd, level, name, value, len);
}

int getsockopt(int fd, int level, int name, void *restrict value, socklen_t *restrict len) {
    static int (*real)(int, int, int, void *, socklen_t *);
    if (!real) real = (int (*)(int, int, int, void *, socklen_t *))dlsym(RTLD_NEXT, "getsockopt");
    if (level == IPPROTO_TCP && name == TCP_INFO && without[INFO] && *len > info_len) *len = info_len;
    return real(fd, level, name, value, len);
}

long syscall(long number, ...) {
    static long (*real)(long, ...);
    long a[6];
    va_list list;
    if (!real) real = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
    if (number == SYS_openat2 && without[OPENAT2]) return refuse(ENOSYS);
    va_start(list, number);
    for (int i = 0; i < 6; i++) a[i] = va_arg(list, long);
    va_end(list);
    return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
