#include "crowd.h"

#include "check.h"
#include "peer.h"
#include "process.h"

#include <sys/resource.h>

#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

/* Beside its connections a process has a few descriptors of its own. */
enum { SPARE_DESCRIPTORS = 128, SECONDS_MAX = 300 };

typedef struct order {
    char what;
    uint16_t port;
    uint32_t count; /* Of connections, or of bytes. */
} order;

bool crowd_fits(size_t count) {
    struct rlimit limit;
    REQUIRE(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    rlim_t wanted = (rlim_t)(count + SPARE_DESCRIPTORS);
    if (limit.rlim_cur >= wanted) {
        return true;
    }
    if (limit.rlim_max < wanted) {
        struct rlimit raised = {.rlim_cur = wanted, .rlim_max = wanted};
        return setrlimit(RLIMIT_NOFILE, &raised) == 0;
    }
    limit.rlim_cur = wanted;
    return setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

/* --- In the child -------------------------------------------------------------------------- */

typedef struct members {
    int *fds;
    uint32_t count;
} members;

static void let_connect(members *m, const order *o) {
    m->fds = malloc(o->count * sizeof *m->fds);
    CHILD_CHECK(m->fds != NULL);
    for (m->count = 0; m->count < o->count; m->count++) {
        m->fds[m->count] = peer_connect(o->port);
    }
}

static void let_send(const members *m, uint32_t size) {
    for (crowd_message i = 0; i < m->count; i++) {
        peer_send(m->fds[i], &i, size);
    }
}

static void let_receive(const members *m) {
    for (crowd_message i = 0; i < m->count; i++) {
        crowd_message echo = 0;
        peer_receive(m->fds[i], &echo, sizeof echo);
        CHILD_CHECK(echo == i);
    }
}

static void let_go(members *m, char how) {
    for (uint32_t i = 0; i < m->count; i++) {
        if (how == 'R' || (how == 'x' && i % 2 == 1)) {
            peer_reset(m->fds[i]);
        } else {
            close(m->fds[i]);
        }
    }
    free(m->fds);
    *m = (members){0};
}

static void obey(members *m, const order *o) {
    switch (o->what) {
    case 'c':
        let_connect(m, o);
        break;
    case 's':
        let_send(m, o->count);
        break;
    case 'e':
        let_receive(m);
        break;
    default:
        let_go(m, o->what);
        break;
    }
}

_Noreturn static void be_the_child(int orders, int answers) {
    members m = {0};
    order o;
    while (read(orders, &o, sizeof o) == sizeof o) {
        alarm(SECONDS_MAX);
        obey(&m, &o);
        CHILD_CHECK(write(answers, "", 1) == 1);
    }
    child_exit(0);
}

/* --- In the parent ------------------------------------------------------------------------- */

void crowd_gather(crowd *c) {
    int orders[2];
    int answers[2];
    REQUIRE(pipe(orders) == 0 && pipe(answers) == 0);
    c->child = fork();
    REQUIRE(c->child >= 0);
    if (c->child == 0) {
        close(orders[1]);
        close(answers[0]);
        be_the_child(orders[0], answers[1]);
    }
    close(orders[0]);
    close(answers[1]);
    c->orders = orders[1];
    c->answers = answers[0];
}

static void tell(crowd *c, char what, uint16_t port, uint32_t count) {
    order o = {.what = what, .port = port, .count = count};
    REQUIRE(write(c->orders, &o, sizeof o) == sizeof o);
}

void crowd_connect(crowd *c, uint16_t port, uint32_t count) {
    tell(c, 'c', port, count);
}

void crowd_send(crowd *c, uint32_t size) {
    tell(c, 's', 0, size);
}

void crowd_expect_echo(crowd *c) {
    tell(c, 'e', 0, 0);
}

void crowd_close(crowd *c) {
    tell(c, 'F', 0, 0);
}

void crowd_reset(crowd *c) {
    tell(c, 'R', 0, 0);
}

void crowd_close_or_reset(crowd *c) {
    tell(c, 'x', 0, 0);
}

bool crowd_answered(crowd *c) {
    struct pollfd look = {.fd = c->answers, .events = POLLIN};
    if (poll(&look, 1, 0) == 0) {
        return false;
    }
    crowd_wait(c);
    return true;
}

void crowd_wait(crowd *c) {
    char answer;
    REQUIRE(read(c->answers, &answer, 1) == 1);
}

int crowd_disperse(crowd *c) {
    close(c->orders);
    close(c->answers);
    return child_status(c->child);
}
