#include "inject.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#ifdef BUILT_WITH_URING
#include <liburing.h>

#include <dlfcn.h>
#endif

#define ERRORS(...)                                                                                \
    (const int[]) {                                                                                \
        __VA_ARGS__, 0                                                                             \
    }
#define CALL(name, ...)                                                                            \
    { #name, SYS_##name, false, false, false, ERRORS(__VA_ARGS__), 0 }
#define LASTING(name, lasting, ...)                                                                \
    { #name, SYS_##name, false, false, false, ERRORS(lasting, __VA_ARGS__), lasting }
#define MEMORY(name, lasting, ...)                                                                 \
    { #name, SYS_##name, false, true, false, ERRORS(__VA_ARGS__), lasting }
#define ENTRY(name, ...)                                                                           \
    { "ring " #name, IORING_OP_##name, true, false, false, ERRORS(__VA_ARGS__), 0 }

/* Futexes and signal masks are left out: the C library ends the process when they fail. */
const call inject_calls[] = {
    CALL(read, EINTR, EAGAIN, EIO, ECONNRESET),
    CALL(write, EINTR, EAGAIN, EIO, ENOSPC, EPIPE),
    /* A write to an eventfd is refused only when it is full, and so readable; nothing else is known of
       either, and libuv ends the process on it. */
    {"read eventfd", SYS_read, false, false, true, ERRORS(EINTR, EAGAIN), 0},
    {"write eventfd", SYS_write, false, false, true, ERRORS(EINTR), 0},
    CALL(readv, EINTR, EAGAIN, EIO),
    CALL(writev, EINTR, EAGAIN, ENOSPC, EPIPE),
    CALL(pread64, EINTR, EIO),
    CALL(pwrite64, EINTR, EIO, ENOSPC),
    CALL(preadv, EINTR, EIO),
    CALL(pwritev, EINTR, EIO, ENOSPC),
    CALL(recvfrom, EINTR, EAGAIN, ECONNRESET, ENOMEM),
    CALL(recvmsg, EINTR, EAGAIN, ECONNRESET, ENOMEM),
    CALL(sendto, EINTR, EAGAIN, ECONNRESET, EPIPE, ENOBUFS),
    CALL(sendmsg, EINTR, EAGAIN, ECONNRESET, EPIPE, ENOBUFS),
    CALL(sendfile, EINTR, EAGAIN, EIO, ECONNRESET, ENOMEM),
    CALL(copy_file_range, EINTR, EIO, ENOSPC, ENOMEM),
    CALL(splice, EINTR, EAGAIN, EIO, ENOMEM),
    LASTING(accept4, EMFILE, EINTR, EAGAIN, ECONNABORTED, ENOMEM),
    CALL(connect, EINTR, ECONNREFUSED, ENETUNREACH, EADDRNOTAVAIL),
    LASTING(socket, EMFILE, ENFILE, ENOBUFS),
    CALL(bind, EADDRINUSE, EACCES),
    CALL(listen, EADDRINUSE),
    CALL(getsockname, ENOBUFS),
    CALL(getpeername, ENOTCONN),
    CALL(getsockopt, ENOMEM),
    CALL(setsockopt, ENOMEM, EINVAL),
    CALL(shutdown, ENOTCONN),
    LASTING(epoll_create1, EMFILE, ENOMEM),
    LASTING(epoll_ctl, ENOMEM, ENOSPC),
    CALL(epoll_wait, EINTR),
    CALL(epoll_pwait, EINTR),
    LASTING(eventfd2, EMFILE, ENOMEM),
    LASTING(pipe2, EMFILE, ENFILE),
    LASTING(timerfd_create, EMFILE, ENOMEM),
    CALL(poll, EINTR, ENOMEM),
    CALL(ppoll, EINTR, ENOMEM),
    LASTING(openat, EMFILE, EINTR, EACCES, ENOMEM, EIO),
    CALL(close, EINTR, EIO),
    CALL(fstat, EIO, ENOMEM),
    CALL(newfstatat, EIO, ENOMEM),
    CALL(statx, EIO, ENOMEM),
    CALL(fsync, EINTR, EIO, ENOSPC),
    CALL(fdatasync, EINTR, EIO, ENOSPC),
    CALL(ftruncate, EINTR, EIO),
    CALL(fchmod, EIO),
    CALL(rename, EIO, ENOSPC),
    CALL(renameat, EIO, ENOSPC),
    CALL(renameat2, EIO, ENOSPC),
    CALL(unlink, EIO),
    CALL(unlinkat, EIO),
    CALL(fcntl, ENOMEM),
    CALL(ioctl, ENOMEM),
    MEMORY(clone3, EAGAIN, EAGAIN),
    MEMORY(mmap, 0, ENOMEM),
    MEMORY(mprotect, 0, ENOMEM),
    MEMORY(madvise, ENOMEM, ENOMEM, EINVAL),
    LASTING(io_uring_setup, EPERM, ENOSYS, ENOMEM, EMFILE),
    CALL(io_uring_enter, EINTR, EAGAIN, EBUSY, ENOMEM),
    LASTING(io_uring_register, EPERM, EINVAL, ENOMEM),
#ifdef BUILT_WITH_URING
    ENTRY(ACCEPT, EMFILE, ECONNABORTED, ENOMEM, EINTR),
    ENTRY(CONNECT, ECONNREFUSED, ENETUNREACH, EINTR),
    ENTRY(RECV, ECONNRESET, ENOMEM, EINTR, EAGAIN, ENOBUFS),
    ENTRY(SEND, ECONNRESET, EPIPE, ENOBUFS, EINTR, EAGAIN),
    ENTRY(SENDMSG, ECONNRESET, EPIPE, ENOBUFS, EINTR, EAGAIN),
    ENTRY(OPENAT, EMFILE, EACCES, EIO, EINTR),
    ENTRY(READ, EIO, EINTR, EAGAIN),
    ENTRY(READV, EIO, EINTR, EAGAIN),
    ENTRY(WRITE, EIO, ENOSPC, EINTR, EAGAIN),
    ENTRY(WRITEV, EIO, ENOSPC, EINTR, EAGAIN),
    ENTRY(CLOSE, EIO, EINTR),
    ENTRY(POLL_ADD, ENOMEM),
#endif
};
const size_t inject_call_count = sizeof inject_calls / sizeof inject_calls[0];

static injection wanted;
static uint32_t *counted;
static atomic_bool is_armed;
static atomic_int listener = -1;

void inject_arm(bool armed) {
    atomic_store(&is_armed, armed);
}

/* Counts one call; its error, or 0. */
static int verdict(int number, bool entry, bool event) {
    if (!atomic_load(&is_armed)) {
        return 0;
    }
    for (size_t i = 0; i < inject_call_count; i++) {
        if (inject_calls[i].number == number && inject_calls[i].entry == entry &&
            inject_calls[i].event == event) {
            uint32_t k = __atomic_add_fetch(&counted[i], 1, __ATOMIC_RELAXED);
            return i == wanted.call && k >= wanted.from && k <= wanted.to ? wanted.error : 0;
        }
    }
    return 0;
}

/* A read or write of an eventfd or a timerfd. */
static bool is_of_event(const struct seccomp_data *made) {
    char name[64];
    char target[64] = "";
    if (made->nr != SYS_read && made->nr != SYS_write) {
        return false;
    }
    snprintf(name, sizeof name, "/proc/self/fd/%d", (int)made->args[0]);
    ssize_t size = readlink(name, target, sizeof target - 1);
    return size > 0 && (strcmp(target, "anon_inode:[eventfd]") == 0 ||
                        strcmp(target, "anon_inode:[timerfd]") == 0);
}

static void *supervise(void *argument) {
    (void)argument;
    while (atomic_load(&listener) < 0) {
        sched_yield();
    }
    for (;;) {
        struct seccomp_notif asked = {0};
        if (ioctl(atomic_load(&listener), SECCOMP_IOCTL_NOTIF_RECV, &asked) != 0) {
            continue; /* Who asked was interrupted meanwhile. */
        }
        int error = verdict(asked.data.nr, false, is_of_event(&asked.data));
        /* A close that fails has closed nevertheless. The descriptors are this thread's, too. */
        if (error != 0 && asked.data.nr == SYS_close) {
            close((int)asked.data.args[0]);
        }
        /* One that was interrupted goes on. */
        if (error == EINTR && asked.data.nr == SYS_connect) {
            connect((int)asked.data.args[0], (const struct sockaddr *)(uintptr_t)asked.data.args[1],
                    (socklen_t)asked.data.args[2]);
        }
        struct seccomp_notif_resp answer = {.id = asked.id, .error = -error};
        answer.flags = error == 0 ? SECCOMP_USER_NOTIF_FLAG_CONTINUE : 0;
        ioctl(atomic_load(&listener), SECCOMP_IOCTL_NOTIF_SEND, &answer);
    }
    return NULL;
}

/* One comparison for each call, then allow; the last statement asks. */
static int install_filter(void) {
    enum { MOST = 100 };
    struct sock_filter filter[MOST + 3];
    unsigned short size = 0;
    unsigned calls = 0;
    for (size_t i = 0; i < inject_call_count; i++) {
        calls += !inject_calls[i].entry;
    }
    filter[size++] =
        (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (size_t i = 0; i < inject_call_count && size < MOST; i++) {
        if (!inject_calls[i].entry) {
            filter[size++] = (struct sock_filter)BPF_JUMP(
                BPF_JMP | BPF_JEQ | BPF_K, (unsigned)inject_calls[i].number, (uint8_t)calls, 0);
            calls--;
        }
    }
    filter[size++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    filter[size++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF);
    struct sock_fprog program = {size, filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        return -1;
    }
    return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER,
                        &program);
}

bool inject_install(const injection *what, uint32_t *counts) {
    pthread_t thread;
    wanted = *what;
    counted = counts;
    if (pthread_create(&thread, NULL, supervise, NULL) != 0) {
        return false;
    }
    int fd = install_filter();
    atomic_store(&listener, fd);
    return fd >= 0;
}

#ifdef BUILT_WITH_URING

#define NOP_ANSWERS 1u /* IORING_NOP_INJECT_RESULT, Linux 6.10; before, the answer is EINVAL. */

static void replace(struct io_uring_sqe *entry, int error) {
    uint64_t data = entry->user_data;
    /* As with the call: the descriptor is gone, whatever the answer. */
    if (entry->opcode == IORING_OP_CLOSE) {
        close(entry->fd);
    }
    io_uring_prep_nop(entry);
    entry->user_data = data;
    entry->rw_flags = (int)NOP_ANSWERS;
    entry->len = (unsigned)-error;
    entry->flags = 0;
    entry->buf_group = 0;
}

static void look_through(struct io_uring *ring) {
    unsigned mask = *ring->sq.kring_mask;
    for (unsigned i = ring->sq.sqe_head; i != ring->sq.sqe_tail; i++) {
        struct io_uring_sqe *entry = &ring->sq.sqes[i & mask];
        int error = verdict(entry->opcode, true, false);
        if (error != 0) {
            replace(entry, error);
        }
    }
}

/* In liburing's place. */
int io_uring_submit(struct io_uring *ring) {
    int (*next)(struct io_uring *) = NULL;
    *(void **)&next = dlsym(RTLD_NEXT, "io_uring_submit");
    look_through(ring);
    return next(ring);
}

int io_uring_submit_and_get_events(struct io_uring *ring) {
    int (*next)(struct io_uring *) = NULL;
    *(void **)&next = dlsym(RTLD_NEXT, "io_uring_submit_and_get_events");
    look_through(ring);
    return next(ring);
}

int io_uring_submit_and_wait_timeout(struct io_uring *ring, struct io_uring_cqe **answer,
                                     unsigned count, struct __kernel_timespec *timeout,
                                     sigset_t *mask) {
    int (*next)(struct io_uring *, struct io_uring_cqe **, unsigned, struct __kernel_timespec *,
                sigset_t *) = NULL;
    *(void **)&next = dlsym(RTLD_NEXT, "io_uring_submit_and_wait_timeout");
    look_through(ring);
    return next(ring, answer, count, timeout, mask);
}

#endif
