/*
 * A server of several processes that share one address, in both ways.
 *
 * The parent forks before there is any engine. Each child makes an engine of its own and has a
 * listener there
 *
 *   - of its own, on the same address: with FERRY_REUSE_PORT the system spreads connections over
 *     the listeners, and those that wait at one die with its process;
 *   - or, with --inherit, the one that the parent opened: each child adopts the descriptor that it
 *     inherited. Whoever is awake first takes a connection; those that wait outlive a child.
 *
 * A child answers each connection with its number. The parent starts a child again when it dies,
 * and ends all at the end or on SIGTERM. To show all that, the parent is the client as well: it
 * connects many times, kills one child in between, and counts who served.
 *
 *     prefork [--inherit] [processes [connections]]     4 and 400 by default
 */
#define _GNU_SOURCE 1 /* ppoll */

#include <ferry.h>

#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { PROCESSES_MAX = 16, RESTARTS_MAX = 8, BATCH = 16 };

static volatile sig_atomic_t told_to_end;

static void on_sigterm(int signal_number) {
    (void)signal_number;
    told_to_end = 1;
}

static void check(ferry_status status, const char *what) {
    if (status < 0) {
        fprintf(stderr, "%d: %s: %s\n", (int)getpid(), what, ferry_status_message(status));
        exit(1);
    }
}

static void must(bool fine, const char *what) {
    if (!fine) {
        perror(what);
        exit(1);
    }
}

struct parent {
    uint32_t count;
    uint16_t port;
    bool inherit;
    int socket; /* holds the port; listens only if it is to be inherited */
    uint32_t restarts;
    pid_t children[PROCESSES_MAX];
    uint32_t served[PROCESSES_MAX];
};

/* --- A child -------------------------------------------------------------------------------- */

struct child {
    ferry_engine *engine;
    ferry_queue *queue;
    char answer; /* its number as a letter */
    int ready;   /* told when the listener is open */
};

/* What follows from a completion: at most one request. */
static size_t serve(struct child *child, const ferry_completion *done, ferry_request *next) {
    switch (done->opcode) {
    case FERRY_OP_TCP_LISTEN:
    case FERRY_OP_DESCRIPTOR_ADOPT:
        check(done->status, "open a listener");
        must(write(child->ready, "", 1) == 1, "write");
        ferry_prepare_tcp_accept(next, done->handle);
        return 1;
    case FERRY_OP_TCP_ACCEPT:
        if (done->status != FERRY_OK)
            return 0; /* out of descriptors: accepting goes on by itself */
        ferry_prepare_stream_send(next, done->handle, &child->answer, 1);
        return 1;
    case FERRY_OP_STREAM_SEND:
        ferry_prepare_handle_close(next, done->handle);
        return 1;
    default:
        return 0;
    }
}

/* The signal comes to this thread while it sleeps: engine threads have all signals blocked, and
 * ppoll opens them for just as long as it waits. */
static void serve_until_told(struct child *child) {
    int32_t fd;
    sigset_t open;
    check(ferry_queue_fd(child->queue, &fd), "queue_fd");
    struct pollfd watched = {.fd = fd, .events = POLLIN};
    sigemptyset(&open);
    while (!told_to_end) {
        if (ppoll(&watched, 1, NULL, &open) < 0 && errno != EINTR)
            exit(1);
        ferry_completion done[BATCH];
        int32_t count;
        do {
            ferry_request next[BATCH];
            size_t follow = 0;
            count = ferry_queue_reap(child->queue, done, BATCH);
            check(count, "reap");
            for (int32_t i = 0; i < count; i++)
                follow += serve(child, &done[i], &next[follow]);
            check(ferry_queue_submit(child->queue, next, follow, NULL, NULL), "submit");
        } while (count == BATCH);
    }
}

/* [child] */
static void describe_listener(ferry_request *request, const struct parent *parent) {
    ferry_address address;
    if (parent->inherit) {
        ferry_prepare_descriptor_adopt(request, parent->socket, FERRY_DESCRIPTOR_LISTENER);
        return;
    }
    close(parent->socket); /* it has done its part: to know the port */
    check(ferry_address_parse("127.0.0.1", parent->port, &address), "parse the address");
    ferry_prepare_tcp_listen(request, &address, 0);
    request->flags = FERRY_REUSE_PORT;
}

static void run_child(const struct parent *parent, uint32_t number, int ready) {
    struct child child = {.answer = (char)('a' + number), .ready = ready};
    ferry_engine_options options = {.struct_size = sizeof options, .shards = 1};
    ferry_request request;
    check(ferry_engine_create(&options, &child.engine), "create an engine");
    check(ferry_queue_create(child.engine, NULL, &child.queue), "create a queue");
    describe_listener(&request, parent);
    check(ferry_queue_submit(child.queue, &request, 1, NULL, NULL), "submit");
    serve_until_told(&child);
    check(ferry_engine_shutdown(child.engine, FERRY_FOREVER), "shut down");
    check(ferry_engine_destroy(child.engine), "destroy");
}
/* [child] */

/* --- The parent ----------------------------------------------------------------------------- */

/* A port of the system's choice. */
static void open_socket(struct parent *parent) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof address;
    int on = 1;
    parent->socket = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must(parent->socket >= 0, "socket");
    must(setsockopt(parent->socket, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0, "setsockopt");
    if (!parent->inherit)
        must(setsockopt(parent->socket, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == 0,
             "setsockopt");
    must(bind(parent->socket, (struct sockaddr *)&address, size) == 0, "bind");
    must(getsockname(parent->socket, (struct sockaddr *)&address, &size) == 0, "getsockname");
    if (parent->inherit)
        must(listen(parent->socket, SOMAXCONN) == 0, "listen");
    parent->port = ntohs(address.sin_port);
}

/* SIGTERM stays blocked in the child, which opens it while it sleeps: never does it come just
 * before. */
static pid_t fork_child(void) {
    sigset_t term, before;
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    fflush(stdout); /* or both print what is in there */
    sigprocmask(SIG_BLOCK, &term, &before);
    pid_t pid = fork();
    must(pid >= 0, "fork");
    if (pid != 0)
        sigprocmask(SIG_SETMASK, &before, NULL);
    return pid;
}

/* Start a child; returns when it listens. */
static void start_child(struct parent *parent, uint32_t number) {
    int ready[2];
    char byte;
    must(pipe(ready) == 0, "pipe");
    pid_t pid = fork_child();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* not to be left behind */
        close(ready[0]);
        run_child(parent, number, ready[1]);
        exit(0);
    }
    close(ready[1]);
    if (read(ready[0], &byte, 1) != 1) {
        fprintf(stderr, "child %u did not start\n", number);
        exit(1);
    }
    close(ready[0]);
    parent->children[number] = pid;
}

/* Who has died although nobody told it to is started again. */
static void restart_the_dead(struct parent *parent) {
    for (uint32_t i = 0; i < parent->count; i++) {
        int status;
        if (waitpid(parent->children[i], &status, WNOHANG) != parent->children[i])
            continue;
        must(parent->restarts++ < RESTARTS_MAX, "children die too often");
        printf("process %c has died and is started again\n", 'a' + (int)i);
        start_child(parent, i);
    }
}

static void end_children(const struct parent *parent) {
    for (uint32_t i = 0; i < parent->count; i++)
        kill(parent->children[i], SIGTERM);
    for (uint32_t i = 0; i < parent->count; i++) {
        int status;
        must(waitpid(parent->children[i], &status, 0) == parent->children[i], "waitpid");
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
            fprintf(stderr, "process %c did not end well\n", 'a' + (int)i);
            exit(1);
        }
    }
}

/* --- The client ----------------------------------------------------------------------------- */

/* Connect and read who answers; false if that process died meanwhile. */
static bool ask_once(struct parent *parent) {
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(parent->port),
                                  .sin_addr = {htonl(INADDR_LOOPBACK)}};
    char answer = 0;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must(fd >= 0, "socket");
    bool fine = connect(fd, (struct sockaddr *)&address, sizeof address) == 0 &&
                recv(fd, &answer, 1, 0) == 1;
    close(fd);
    uint32_t number = (uint32_t)(answer - 'a');
    if (!fine || number >= parent->count)
        return false;
    parent->served[number]++;
    return true;
}

static void ask(struct parent *parent, uint32_t connections) {
    uint32_t answered = 0, lost = 0;
    while (answered < connections && !told_to_end) {
        if (ask_once(parent))
            answered++;
        else
            must(lost++ < connections, "too many connections were lost");
        restart_the_dead(parent);
    }
    printf("%u connections answered, %u lost with a process that died\n", answered, lost);
}

/* Kill one, see that it is started again. */
static void show_a_restart(struct parent *parent) {
    uint32_t restarts = parent->restarts;
    kill(parent->children[0], SIGKILL);
    while (parent->restarts == restarts) {
        struct timespec moment = {.tv_nsec = 1000000};
        nanosleep(&moment, NULL);
        restart_the_dead(parent);
    }
}

/* True if every process has served, where the system sees to that: an inherited listener is taken
 * turns at by chance. */
static bool print_served(const struct parent *parent) {
    bool all = true;
    for (uint32_t i = 0; i < parent->count; i++) {
        printf("process %c served %u\n", 'a' + (int)i, parent->served[i]);
        all = all && parent->served[i] > 0;
    }
    return all || parent->inherit;
}

int main(int argc, char **argv) {
    static struct parent parent = {.count = 4};
    if (argc > 1 && strcmp(argv[1], "--inherit") == 0) {
        parent.inherit = true;
        argc--;
        argv++;
    }
    uint32_t connections = argc > 2 ? (uint32_t)atoi(argv[2]) : 400;
    if (argc > 1)
        parent.count = (uint32_t)atoi(argv[1]);
    if (parent.count == 0 || parent.count > PROCESSES_MAX)
        return 2;
    struct sigaction action = {.sa_handler = on_sigterm, .sa_flags = SA_RESTART};
    sigaction(SIGTERM, &action, NULL);
    open_socket(&parent);
    for (uint32_t i = 0; i < parent.count; i++)
        start_child(&parent, i);

    ask(&parent, connections / 2);
    if (!told_to_end)
        show_a_restart(&parent);
    ask(&parent, connections - connections / 2);
    bool fine = print_served(&parent);
    end_children(&parent);
    close(parent.socket);
    return fine || told_to_end ? 0 : 1;
}
