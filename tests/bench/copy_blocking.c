/**
 * @file
 * A file to a socket by sendfile, in a thread that blocks: the peer of copy_ferry.
 */
#include "copy.h"
#include "support.h"

#include <sys/sendfile.h>
#include <sys/socket.h>

#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

static void *send_all(void *argument) {
    const struct copy *copy = argument;
    int file = open(copy->path, O_RDONLY | O_CLOEXEC);
    for (uint64_t pass = 0; pass < copy->passes; pass++) {
        for (off_t offset = 0; (uint64_t)offset < copy->size;) {
            if (sendfile(copy->fd, file, &offset, copy->size - (uint64_t)offset) <= 0) {
                bench_die("sendfile has failed");
            }
        }
    }
    close(file);
    return NULL;
}

int main(int argc, char **argv) {
    struct copy copy;
    pthread_t thread;
    char all_received;
    bench_start(120);
    copy_open(&copy, argc, argv);
    copy_begin(&copy);
    if (pthread_create(&thread, NULL, send_all, &copy) != 0 || pthread_join(thread, NULL) != 0) {
        bench_die("no thread");
    }
    if (recv(copy.fd, &all_received, 1, 0) != 1) {
        bench_die("the receiver is gone");
    }
    copy_report(&copy);
    return 0;
}
