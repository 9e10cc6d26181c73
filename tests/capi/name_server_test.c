/*
 * Names by the system's own resolver, with a name server of the test's own and one that never answers.
 *
 * The program moves into a network of its own, in which there is nothing but the loopback, and lays its
 * own files over resolv.conf and its like. That takes root; without it every test is left out.
 */
#include "fixture.h"

#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>

#include <net/if.h>
#include <netdb.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PORT = 4711, QUERY_MAX = 512, HELD_MAX = 64, DNS_PORT = 53, TYPE_A = 1, TYPE_AAAA = 28 };
enum { NO_ERROR = 0, SERVER_FAILED = 2, NAME_MISSING = 3 };

static const char *why_not;

/* --- The name server ------------------------------------------------------------------------ */

typedef struct query {
    unsigned char bytes[QUERY_MAX];
    size_t size;
    size_t question_end;
    char name[256];
    unsigned type;
    struct sockaddr_in from;
} query;

static int server_fd = -1;
static pthread_mutex_t held_lock = PTHREAD_MUTEX_INITIALIZER;
static query held[HELD_MAX];
static size_t held_count;
static bool silent_no_more;

/* The question's name in the usual notation. False: not a question that we know how to read. */
static bool read_question(query *q) {
    size_t at = 12;
    size_t length = 0;
    if (q->size < 12 || q->bytes[4] != 0 || q->bytes[5] != 1) {
        return false;
    }
    while (at < q->size && q->bytes[at] != 0) {
        size_t label = q->bytes[at];
        if (label > 63 || at + 1 + label >= q->size || length + label + 1 >= sizeof q->name) {
            return false;
        }
        memcpy(q->name + length, q->bytes + at + 1, label);
        length += label;
        q->name[length++] = '.';
        at += 1 + label;
    }
    if (at + 5 > q->size || length == 0) {
        return false;
    }
    q->name[length - 1] = '\0';
    q->type = (unsigned)q->bytes[at + 1] << 8 | q->bytes[at + 2];
    q->question_end = at + 5;
    return true;
}

static size_t add_record(unsigned char *reply, size_t at, unsigned type, const void *data,
                         size_t size) {
    const unsigned char head[] = {0xc0, 12, 0, (unsigned char)type, 0, 1, 0, 0,
                                  0,    0,  0, (unsigned char)size};
    memcpy(reply + at, head, sizeof head);
    memcpy(reply + at + sizeof head, data, size);
    reply[7]++;
    return at + sizeof head + size;
}

static void send_reply(const query *q, unsigned code, bool with_addresses) {
    unsigned char reply[QUERY_MAX + 128];
    size_t size = q->question_end;
    memcpy(reply, q->bytes, size);
    reply[2] = (unsigned char)(0x84 | (q->bytes[2] & 1)); /* An answer, with authority. */
    reply[3] = (unsigned char)(0x80 | code);
    memset(reply + 6, 0, 6);
    if (with_addresses && q->type == TYPE_A) {
        size = add_record(reply, size, TYPE_A, "\x7f\0\0\x05", 4);
        size = add_record(reply, size, TYPE_A, "\x7f\0\0\x06", 4);
    }
    if (with_addresses && q->type == TYPE_AAAA) {
        size = add_record(reply, size, TYPE_AAAA, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01", 16);
    }
    sendto(server_fd, reply, size, 0, (const struct sockaddr *)&q->from, sizeof q->from);
}

static void hold(const query *q) {
    pthread_mutex_lock(&held_lock);
    if (silent_no_more) {
        send_reply(q, NAME_MISSING, false);
    } else if (held_count < HELD_MAX) {
        held[held_count++] = *q;
    }
    pthread_mutex_unlock(&held_lock);
}

/* Answer what was held back, and from now on at once. */
static void end_the_silence(void) {
    pthread_mutex_lock(&held_lock);
    silent_no_more = true;
    while (held_count > 0) {
        send_reply(&held[--held_count], NAME_MISSING, false);
    }
    pthread_mutex_unlock(&held_lock);
}

static void answer(const query *q) {
    if (strncmp(q->name, "silent", 6) == 0) {
        hold(q);
    } else if (strcmp(q->name, "both.test") == 0) {
        send_reply(q, NO_ERROR, true);
    } else if (strcmp(q->name, "v4.test") == 0) {
        send_reply(q, NO_ERROR, q->type == TYPE_A);
    } else if (strcmp(q->name, "empty.test") == 0) {
        send_reply(q, NO_ERROR, false);
    } else if (strcmp(q->name, "broken.test") == 0) {
        send_reply(q, SERVER_FAILED, false);
    } else {
        send_reply(q, NAME_MISSING, false);
    }
}

static void *serve(void *unused) {
    (void)unused;
    for (;;) {
        query q;
        socklen_t from_size = sizeof q.from;
        memset(&q, 0, sizeof q);
        ssize_t got =
            recvfrom(server_fd, q.bytes, sizeof q.bytes, 0, (struct sockaddr *)&q.from, &from_size);
        if (got <= 0) {
            return NULL;
        }
        q.size = (size_t)got;
        if (read_question(&q)) {
            answer(&q);
        }
    }
}

/* --- A world of its own --------------------------------------------------------------------- */

static void write_file(const char *path, const char *text) {
    FILE *file = fopen(path, "w");
    REQUIRE(file != NULL);
    REQUIRE(fputs(text, file) >= 0);
    REQUIRE(fclose(file) == 0);
}

static bool lay_over(const char *folder, const char *name, const char *target, const char *text) {
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    write_file(path, text);
    return mount(path, target, NULL, MS_BIND, NULL) == 0;
}

static bool bring_up_the_loopback(void) {
    struct ifreq request;
    memset(&request, 0, sizeof request);
    memcpy(request.ifr_name, "lo", 3);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    REQUIRE(fd >= 0);
    bool up = ioctl(fd, SIOCGIFFLAGS, &request) == 0;
    request.ifr_flags = (short)(request.ifr_flags | IFF_UP | IFF_RUNNING);
    up = up && ioctl(fd, SIOCSIFFLAGS, &request) == 0;
    close(fd);
    return up;
}

static int bind_server(const char *text) {
    ferry_address address;
    REQUIRE(ferry_address_parse(text, DNS_PORT, &address) == FERRY_OK);
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(DNS_PORT)};
    memcpy(&in.sin_addr, address.bytes, 4);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    REQUIRE(fd >= 0);
    if (bind(fd, (struct sockaddr *)&in, sizeof in) == 0) {
        return fd;
    }
    close(fd);
    return -1;
}

/* Null, or why it cannot be had. While there is but one thread: all later ones inherit it. */
static const char *move_into_a_world_of_ones_own(const char *folder) {
    if (geteuid() != 0) {
        return "only root may make namespaces and lay files over resolv.conf";
    }
    if (unshare(CLONE_NEWNS | CLONE_NEWNET) != 0) {
        return "namespaces cannot be made here";
    }
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 || !bring_up_the_loopback()) {
        return "the namespaces cannot be set up here";
    }
    /* 127.0.0.53 answers, but not for every name. */
    if (!lay_over(folder, "resolv.conf", "/etc/resolv.conf",
                  "nameserver 127.0.0.53\noptions timeout:30 attempts:3\n") ||
        !lay_over(folder, "nsswitch.conf", "/etc/nsswitch.conf", "hosts: files dns\n") ||
        !lay_over(folder, "hosts", "/etc/hosts", "127.0.0.1 localhost\n::1 localhost\n")) {
        return "this system has no resolv.conf, nsswitch.conf or hosts to lay a file over";
    }
    server_fd = bind_server("127.0.0.53");
    return server_fd < 0 ? "nobody can be a name server on 127.0.0.53 here" : NULL;
}

static void remove_folder(const char *folder) {
    static const char *const names[] = {"resolv.conf", "nsswitch.conf", "hosts"};
    for (size_t i = 0; i < 3; i++) {
        char path[128];
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        unlink(path);
    }
    rmdir(folder);
}

static fixture *open_here(void **state, const ferry_engine_options *options) {
    fixture *f = fixture_open_with(state, options, NULL);
    pthread_mutex_lock(&held_lock);
    silent_no_more = false;
    held_count = 0;
    pthread_mutex_unlock(&held_lock);
    return f;
}

static int leave(void **state) {
    end_the_silence();
    return fixture_teardown(state);
}

/* --- Tests ---------------------------------------------------------------------------------- */

static ferry_op start(fixture *f, const char *name, uint32_t family) {
    ferry_request request;
    ferry_prepare_name_resolve(&request, name, PORT, family);
    return fixture_submit(f, &request);
}

static ferry_completion resolve(fixture *f, const char *name, uint32_t family) {
    return fixture_final(f, start(f, name, family));
}

/* These addresses, in whatever order the system's rules give them. */
static void expect(fixture *f, const ferry_completion *resolved, const char *const *texts,
                   size_t count) {
    assert_status(resolved->status, FERRY_OK);
    assert_int_equal(resolved->result, count * sizeof(ferry_address));
    for (size_t i = 0; i < count; i++) {
        ferry_address wanted;
        assert_status(ferry_address_parse(texts[i], PORT, &wanted), FERRY_OK);
        bool found = false;
        for (size_t k = 0; k < count; k++) {
            const ferry_address *address = (const ferry_address *)resolved->data + k;
            found = found || memcmp(address, &wanted, sizeof wanted) == 0;
        }
        assert_true(found);
    }
    fixture_release(f, resolved);
}

static void the_loopback_is_enough(void **state) {
    if (why_not != NULL) {
        SKIP_BECAUSE(why_not);
    }
    fixture *f = open_here(state, NULL);
    static const char *const v4[] = {"127.0.0.1"};
    static const char *const v6[] = {"::1"};
    static const char *const both[] = {"127.0.0.1", "::1"};
    static const char *const names[] = {"localhost", "127.0.0.1", "127.1", "::1"};
    for (size_t i = 0; i < 3; i++) {
        ferry_completion resolved = resolve(f, names[i], FERRY_IPV4);
        expect(f, &resolved, v4, 1);
    }
    for (size_t i = 0; i < 4; i += 3) {
        ferry_completion resolved = resolve(f, names[i], FERRY_IPV6);
        expect(f, &resolved, v6, 1);
    }
    ferry_completion resolved = resolve(f, "localhost", 0);
    expect(f, &resolved, both, 2);
}

static void a_server_is_asked(void **state) {
    if (why_not != NULL) {
        SKIP_BECAUSE(why_not);
    }
    fixture *f = open_here(state, NULL);
    static const char *const all[] = {"127.0.0.5", "127.0.0.6", "::1"};
    ferry_completion resolved = resolve(f, "both.test", 0);
    expect(f, &resolved, all, 3);
    resolved = resolve(f, "both.test", FERRY_IPV4);
    expect(f, &resolved, all, 2);
    resolved = resolve(f, "both.test", FERRY_IPV6);
    expect(f, &resolved, all + 2, 1);
    resolved = resolve(f, "v4.test", 0);
    expect(f, &resolved, all, 2);
}

static void a_servers_refusals_have_their_names(void **state) {
    if (why_not != NULL) {
        SKIP_BECAUSE(why_not);
    }
    fixture *f = open_here(state, NULL);
    static const struct {
        const char *name;
        uint32_t family;
        ferry_status status;
        int error;
    } refusals[] = {{"missing.invalid", 0, FERRY_E_NAME_NOT_FOUND, EAI_NONAME},
                    {"empty.test", 0, FERRY_E_NAME_NOT_FOUND, EAI_NODATA},
                    {"v4.test", FERRY_IPV6, FERRY_E_NAME_NOT_FOUND, EAI_NODATA},
                    {"broken.test", 0, FERRY_E_NAME_TRY_AGAIN, EAI_AGAIN}};
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        ferry_completion resolved = resolve(f, refusals[i].name, refusals[i].family);
        assert_status(resolved.status, refusals[i].status);
        assert_int_equal(resolved.os_error, refusals[i].error);
    }
}

static void a_server_that_is_silent_starves_nobody(void **state) {
    if (why_not != NULL) {
        SKIP_BECAUSE(why_not);
    }
    ferry_engine_options two = {.name_workers_max = 2};
    fixture *f = open_here(state, &two);
    ferry_op ops[4];
    for (size_t i = 0; i < 4; i++) {
        char name[16];
        snprintf(name, sizeof name, "silent%zu.test", i);
        ops[i] = start(f, name, FERRY_IPV4);
    }
    for (bool asked = false; !asked;) {
        fixture_turn(f, MS);
        pthread_mutex_lock(&held_lock);
        asked = held_count >= 2;
        pthread_mutex_unlock(&held_lock);
    }
    ferry_request request;
    ferry_prepare_file_load(&request, fixture_file(f, "file", 100), 0);
    ferry_completion loaded = fixture_do(f, &request);
    assert_status(loaded.status, FERRY_OK);
    fixture_release(f, &loaded);
    ferry_prepare_name_resolve(&request, "both.test", PORT, 0);
    request.deadline_ns = 20 * MS;
    assert_status(fixture_do(f, &request).status, FERRY_E_TIMED_OUT);

    fixture_cancel(f, ops[0]);
    assert_status(fixture_final(f, ops[0]).status, FERRY_E_CANCELED);
    assert_status(ferry_engine_shutdown(f->engine, 50 * MS), FERRY_E_TIMED_OUT);
    for (size_t i = 1; i < 4; i++) {
        assert_status(fixture_final(f, ops[i]).status, FERRY_E_SHUTDOWN);
    }
    assert_int_equal(fixture_info(f).workers_detached, 2);
    assert_status(ferry_engine_destroy(f->engine), FERRY_E_BUSY);
    end_the_silence();
    assert_status(ferry_engine_shutdown(f->engine, FERRY_FOREVER), FERRY_OK);
    assert_int_equal(fixture_info(f).workers_detached, 0);
}

#define HERE_ON(test, how)                                                                         \
    { #test " [" #how "]", test, fixture_setup, leave, &drive_##how }
#define HERE_ON_EACH_SHARDS(test) HERE_ON(test, host), HERE_ON(test, one), HERE_ON(test, two)

int main(void) {
    char folder[] = "/tmp/ferry-names-XXXXXX";
    REQUIRE(mkdtemp(folder) != NULL);
    why_not = move_into_a_world_of_ones_own(folder);
    pthread_t server;
    if (why_not == NULL) {
        REQUIRE(pthread_create(&server, NULL, serve, NULL) == 0);
        REQUIRE(pthread_detach(server) == 0);
    }
    const struct CMUnitTest tests[] = {
        HERE_ON_EACH_SHARDS(the_loopback_is_enough),
        HERE_ON_EACH_SHARDS(a_server_is_asked),
        HERE_ON_EACH_SHARDS(a_servers_refusals_have_their_names),
        HERE_ON_EACH_SHARDS(a_server_that_is_silent_starves_nobody),
    };
    int result = RUN_SUITE(tests);
    remove_folder(folder);
    return result;
}
