#include "world.h"

#include "check.h"
#include "peer.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CANARY_SIZE = 16, CANARY = 0xc5 };

/* --- Ids ----------------------------------------------------------------------------------- */

void world_remember(world *w, pool *p, uint64_t id) {
    if (id == FERRY_NONE) {
        return;
    }
    pthread_mutex_lock(&w->lock);
    p->ids[p->next] = id;
    p->next = (p->next + 1) % POOL_PLACES;
    p->count += p->count < POOL_PLACES ? 1 : 0;
    pthread_mutex_unlock(&w->lock);
}

uint64_t world_pick(world *w, const pool *p, source *s) {
    uint32_t choice = source_below(s, 256);
    pthread_mutex_lock(&w->lock);
    /* Preferably a young one: those are more often alive. */
    size_t back = p->count == 0 ? 0 : (choice < 128 ? choice % 4 : choice) % p->count;
    uint64_t id =
        p->count == 0 ? FERRY_NONE : p->ids[(p->next + POOL_PLACES - 1 - back) % POOL_PLACES];
    pthread_mutex_unlock(&w->lock);
    return id;
}

/* Closed ones are not made the youngest once more. */
static bool is_over(const ferry_completion *c) {
    return c->opcode == FERRY_OP_HANDLE_CLOSE || c->opcode == FERRY_OP_DESCRIPTOR_RELEASE ||
           c->status == FERRY_E_STALE || c->status == FERRY_E_CLOSED;
}

static void remember_port(world *w, uint16_t port) {
    pthread_mutex_lock(&w->lock);
    /* The first two are the plain sockets'. */
    w->ports[2 + w->port_next] = port;
    w->port_next = (w->port_next + 1) % (PORT_PLACES - 2);
    pthread_mutex_unlock(&w->lock);
}

void world_learn(world *w, const ferry_completion *c) {
    if (c->opcode != FERRY_OP_POST && !is_over(c)) {
        world_remember(w, &w->handles, c->handle);
    }
    if (c->opcode == FERRY_OP_TCP_LISTEN && c->status == FERRY_OK) {
        remember_port(w, (uint16_t)c->result);
    }
}

uint16_t world_pick_port(world *w, source *s) {
    uint32_t choice = source_below(s, PORT_PLACES);
    pthread_mutex_lock(&w->lock);
    uint16_t port = w->ports[choice];
    port = port == 0 && choice % 2 == 0 ? w->ports[0] : port;
    pthread_mutex_unlock(&w->lock);
    return port;
}

uint64_t world_forge(world *w, uint64_t id, source *s) {
    /* Where the fields of an id begin is no secret: kind, engine, shard, generation, slot. */
    static const unsigned fields[] = {59, 50, 44, 22, 0};
    static const unsigned widths[] = {5, 9, 6, 22, 22};
    uint32_t field = source_below(s, 8);
    switch (field) {
    case 5:
        return w->foreign_handles[source_below(s, 2)];
    case 6:
        return source_once_in(s, 2) ? w->foreign_op : w->foreign_buffer;
    case 7:
        return source_number(s);
    default:
        return id ^ (source_number(s) & ((UINT64_C(1) << widths[field]) - 1)) << fields[field];
    }
}

/* --- Memory -------------------------------------------------------------------------------- */

void *world_window(world *w, size_t size) {
    void *window = NULL;
    pthread_mutex_lock(&w->lock);
    size_t places = (size + CANARY_SIZE + 15) & ~(size_t)15;
    if (size <= w->writable_size && places <= w->writable_size - w->writable_used &&
        w->window_count < WINDOW_PLACES) {
        window = w->writable + w->writable_used;
        w->window_ends[w->window_count++] = w->writable_used + size;
        memset(w->writable + w->writable_used + size, CANARY, CANARY_SIZE);
        w->writable_used += places;
    }
    pthread_mutex_unlock(&w->lock);
    return window;
}

bool world_windows_intact(const world *w) {
    for (size_t i = 0; i < w->window_count; i++) {
        for (size_t j = 0; j < CANARY_SIZE; j++) {
            if (w->writable[w->window_ends[i] + j] != CANARY) {
                return false;
            }
        }
    }
    return true;
}

/* --- Files --------------------------------------------------------------------------------- */

static char *joined(const char *folder, const char *name) {
    size_t size = strlen(folder) + strlen(name) + 2;
    char *path = malloc(size);
    REQUIRE(path != NULL);
    snprintf(path, size, "%s/%s", folder, name);
    return path;
}

static void make_file(const char *folder, const char *name, size_t size) {
    char *path = joined(folder, name);
    FILE *file = fopen(path, "wb");
    REQUIRE(file != NULL);
    for (size_t i = 0; i < size; i++) {
        REQUIRE(fputc((int)(i % 251), file) != EOF);
    }
    REQUIRE(fclose(file) == 0);
    free(path);
}

/* Names are relative to the world's folder; those that begin with a slash are not. */
static const char *const readable_names[READABLE_PATHS - 2] = {
    "small",
    "large",
    "empty",
    "missing",
    "folder",
    "small/below",
    "folder/",
    "loop",
    "fifo",
    "",
    "/",
    "/dev/null",
    "/dev/zero",
    "small\n",
    "\xff\xfe",
    "dangling",
    "/proc/version",
    "/proc/self/nothing",
};

static void make_folder(world *w) {
    const char *base = getenv("TMPDIR");
    char *folder = joined(base != NULL ? base : "/tmp", "ferry-hostile-XXXXXX");
    REQUIRE(mkdtemp(folder) != NULL);
    w->folder = folder;
    make_file(folder, "small", 100);
    make_file(folder, "large", 200000);
    make_file(folder, "empty", 0);
    make_file(folder, "small\n", 1);
    make_file(folder, "\xff\xfe", 2);
    char *path = joined(folder, "folder");
    REQUIRE(mkdir(path, 0700) == 0);
    free(path);
    path = joined(folder, "loop");
    REQUIRE(symlink(path, path) == 0);
    free(path);
    path = joined(folder, "dangling");
    REQUIRE(symlink("nowhere", path) == 0);
    free(path);
    w->fifo = joined(folder, "fifo");
    REQUIRE(mkfifo(w->fifo, 0600) == 0);
    w->scratch = joined(folder, "scratch");
    REQUIRE(mkdir(w->scratch, 0700) == 0);
}

static void make_paths(world *w) {
    for (size_t i = 0; i < READABLE_PATHS - 2; i++) {
        const char *name = readable_names[i];
        bool absolute = name[0] == '/' || name[0] == '\0';
        w->readable_paths[i] = absolute ? strdup(name) : joined(w->folder, name);
    }
    char long_name[4200] = "";
    memset(long_name, 'x', sizeof long_name - 1);
    w->readable_paths[READABLE_PATHS - 2] = strdup(long_name);
    w->long_name = w->readable_paths[READABLE_PATHS - 2];
    long_name[256] = '\0';
    w->readable_paths[READABLE_PATHS - 1] = joined(w->folder, long_name);
    static const char *const names[SCRATCH_PATHS] = {"a", "b", "c", "a/d", "a/d/e", "."};
    for (size_t i = 0; i < SCRATCH_PATHS; i++) {
        w->scratch_paths[i] = joined(w->scratch, names[i]);
    }
}

const char *world_path(world *w, source *s) {
    return w->readable_paths[source_below(s, READABLE_PATHS)];
}

const char *world_scratch_path(world *w, source *s) {
    pthread_mutex_lock(&w->lock);
    w->scratch_used = true;
    pthread_mutex_unlock(&w->lock);
    return w->scratch_paths[source_below(s, SCRATCH_PATHS)];
}

static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *where) {
    (void)status;
    (void)kind;
    (void)where;
    return remove(path);
}

static void remove_folder(const char *path) {
    nftw(path, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

void world_open_fifo(world *w) {
    int fd = open(w->fifo, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd >= 0) {
        close(fd);
    }
}

static int spare_listener(void) {
    struct sockaddr_in address = {.sin_family = AF_INET};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 &&
        (bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, 4) != 0)) {
        close(fd);
        return -1;
    }
    return fd;
}

int world_spare_descriptor(source *s) {
    int ends[2];
    uint32_t choice = source_below(s, 6);
    if (choice == 4) {
        return spare_listener();
    }
    if (choice == 5) {
        return open("/dev/null", O_RDWR | O_CLOEXEC);
    }
    int made = choice < 2 ? pipe2(ends, O_CLOEXEC)
                          : socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends);
    if (made != 0) {
        return -1;
    }
    close(ends[1 - choice % 2]);
    return ends[choice % 2];
}

/* --- The second engine --------------------------------------------------------------------- */

static ferry_completion run_until(ferry_engine *engine, ferry_queue *queue) {
    ferry_completion completion;
    while (ferry_queue_reap(queue, &completion, 1) == 0) {
        REQUIRE(ferry_engine_run(engine, 1000000, 0, NULL) == FERRY_OK);
    }
    return completion;
}

static ferry_completion do_there(ferry_engine *engine, ferry_queue *queue, ferry_request request) {
    REQUIRE(ferry_queue_submit(queue, &request, 1, NULL, NULL) == FERRY_OK);
    return run_until(engine, queue);
}

static void make_foreign_engine(world *w) {
    ferry_engine_options options = {
        .struct_size = sizeof options, .ops_max = 8, .handles_max = 8, .buffer_bytes_max = 65536};
    ferry_queue *queue = NULL;
    ferry_request request;
    REQUIRE(ferry_engine_create(&options, &w->foreign_engine) == FERRY_OK);
    REQUIRE(ferry_queue_create(w->foreign_engine, NULL, &queue) == FERRY_OK);
    ferry_address address = loopback(0);
    ferry_prepare_tcp_listen(&request, &address, 0);
    w->foreign_handles[0] = do_there(w->foreign_engine, queue, request).handle;
    address.port = w->ports[0];
    ferry_prepare_tcp_connect(&request, &address);
    w->foreign_handles[1] = do_there(w->foreign_engine, queue, request).handle;
    close(peer_accept(w->listener));
    ferry_prepare_file_load(&request, w->readable_paths[0], 0);
    w->foreign_buffer = do_there(w->foreign_engine, queue, request).buffer;
    ferry_prepare_timer(&request, INT64_MAX, 0);
    REQUIRE(ferry_queue_submit(queue, &request, 1, &w->foreign_op, NULL) == FERRY_OK);
    REQUIRE(w->foreign_handles[0] != FERRY_NONE && w->foreign_handles[1] != FERRY_NONE);
    REQUIRE(w->foreign_buffer != FERRY_NONE && w->foreign_op != FERRY_NONE);
}

/* --- Its beginning and its end ------------------------------------------------------------- */

world *world_create(size_t writable_size) {
    world *w = calloc(1, sizeof *w);
    REQUIRE(w != NULL);
    pthread_mutex_init(&w->lock, NULL);
    w->readable = malloc(READABLE_SIZE);
    w->writable = malloc(writable_size);
    REQUIRE(w->readable != NULL && w->writable != NULL);
    w->writable_size = writable_size;
    pattern_fill(w->readable, READABLE_SIZE, 0);
    make_folder(w);
    make_paths(w);
    /* What is accepted here buffers little, so that sends to it soon wait. */
    w->listener = peer_listen_small(&w->ports[0]);
    REQUIRE(fcntl(w->listener, F_SETFL, O_NONBLOCK) == 0);
    w->refuser = peer_refuse(&w->ports[1]);
    make_foreign_engine(w);
    return w;
}

void world_destroy(world *w) {
    REQUIRE(ferry_engine_shutdown(w->foreign_engine, FERRY_FOREVER) == FERRY_OK);
    REQUIRE(ferry_engine_destroy(w->foreign_engine) == FERRY_OK);
    close(w->listener);
    close(w->refuser);
    remove_folder(w->folder);
    for (size_t i = 0; i < READABLE_PATHS; i++) {
        free(w->readable_paths[i]);
    }
    for (size_t i = 0; i < SCRATCH_PATHS; i++) {
        free(w->scratch_paths[i]);
    }
    free(w->folder);
    free(w->scratch);
    free(w->fifo);
    free(w->readable);
    free(w->writable);
    pthread_mutex_destroy(&w->lock);
    free(w);
}

void world_reset(world *w) {
    memset(&w->ops, 0, sizeof w->ops);
    memset(&w->handles, 0, sizeof w->handles);
    memset(&w->released, 0, sizeof w->released);
    memset(&w->ports[2], 0, sizeof w->ports - 2 * sizeof w->ports[0]);
    w->port_next = 0;
    w->writable_used = 0;
    w->window_count = 0;
    if (w->scratch_used) {
        remove_folder(w->scratch);
        REQUIRE(mkdir(w->scratch, 0700) == 0);
        w->scratch_used = false;
    }
}
