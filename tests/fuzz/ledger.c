#include "ledger.h"

#include "check.h"
#include "family.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static bool is_open(int fd) {
    return fcntl(fd, F_GETFD) >= 0;
}

void ledger_open(ledger *l) {
    atomic_init(&l->unseen, 0);
    for (int fd = 0; fd < LEDGER_PLACES; fd++) {
        l->open_before[fd] = is_open(fd);
    }
}

void ledger_accepted(ledger *l, const hostile_request *made) {
    atomic_fetch_add(&l->unseen, made->descriptor_count + made->releases);
}

static void settle(const ferry_completion *c, void *argument) {
    ledger *l = argument;
    if (c->opcode == FERRY_OP_DESCRIPTOR_ADOPT && c->tag < INT32_MAX) {
        atomic_fetch_sub(&l->unseen, 1);
        REQUIRE(c->status == FERRY_OK || close((int)c->tag) == 0);
    } else if (c->opcode == FERRY_OP_DESCRIPTOR_RELEASE) {
        atomic_fetch_sub(&l->unseen, 1);
        REQUIRE(c->status != FERRY_OK || close((int)c->result) == 0);
    }
}

void ledger_completed(ledger *l, const ferry_completion *completion, bool blind) {
    if (!blind) {
        family_visit(completion, settle, l);
    }
    settle(completion, l);
}

static void tell_of(int fd) {
    char link[64];
    char what[256] = "";
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    (void)!readlink(link, what, sizeof what - 1);
    fprintf(stderr, "descriptor %d is left: %s\n", fd, what);
}

bool ledger_close(ledger *l) {
    long long strays = 0;
    for (int fd = 0; fd < LEDGER_PLACES; fd++) {
        strays += !l->open_before[fd] && is_open(fd);
    }
    long long unseen = atomic_load(&l->unseen);
    for (int fd = 0; fd < LEDGER_PLACES; fd++) {
        if (!l->open_before[fd] && is_open(fd)) {
            if (strays > unseen) {
                tell_of(fd);
            }
            close(fd);
        }
    }
    if (strays > unseen) {
        fprintf(stderr, "%lld descriptors are left, %lld may be\n", strays, unseen);
    }
    return strays <= unseen;
}
