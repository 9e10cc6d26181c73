#include "resolver.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <dlfcn.h>
#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>

enum { NAMES_MAX = 32 };

typedef struct entry {
    char name[256];
    bool silent;
    int error;
    int system_error;
    size_t count;
    ferry_address addresses[RESOLVER_ADDRESSES_MAX];
} entry;

typedef struct answer {
    struct addrinfo info;
    struct sockaddr_storage address;
} answer;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t released_now = PTHREAD_COND_INITIALIZER;
static entry names[NAMES_MAX];
static size_t name_count;
static bool released;
static size_t hanging;
static size_t calls;
static struct addrinfo last_hints;
static char ours[] = "ours"; /* Tells our answers from the system's. */

/* --- Teaching ------------------------------------------------------------------------------ */

static entry *new_entry(const char *name) {
    REQUIRE(name_count < NAMES_MAX && strlen(name) < sizeof names[0].name);
    entry *made = &names[name_count++];
    memset(made, 0, sizeof *made);
    memcpy(made->name, name, strlen(name));
    return made;
}

void resolver_teach(const char *name, const ferry_address *addresses, size_t count) {
    pthread_mutex_lock(&lock);
    entry *made = new_entry(name);
    REQUIRE(count <= RESOLVER_ADDRESSES_MAX);
    memcpy(made->addresses, addresses, count * sizeof *addresses);
    made->count = count;
    pthread_mutex_unlock(&lock);
}

void resolver_teach_failure(const char *name, int error, int system_error) {
    pthread_mutex_lock(&lock);
    entry *made = new_entry(name);
    made->error = error;
    made->system_error = system_error;
    pthread_mutex_unlock(&lock);
}

void resolver_teach_silence(const char *name) {
    pthread_mutex_lock(&lock);
    entry *made = new_entry(name);
    made->silent = true;
    made->addresses[0] = loopback(0);
    made->count = 1;
    pthread_mutex_unlock(&lock);
}

void resolver_release(void) {
    pthread_mutex_lock(&lock);
    released = true;
    pthread_cond_broadcast(&released_now);
    pthread_mutex_unlock(&lock);
}

static size_t read_locked(const size_t *value) {
    pthread_mutex_lock(&lock);
    size_t read = *value;
    pthread_mutex_unlock(&lock);
    return read;
}

size_t resolver_hanging(void) {
    return read_locked(&hanging);
}

size_t resolver_calls(void) {
    return read_locked(&calls);
}

void resolver_last_hints(int *family, int *type, int *flags) {
    pthread_mutex_lock(&lock);
    *family = last_hints.ai_family;
    *type = last_hints.ai_socktype;
    *flags = last_hints.ai_flags;
    pthread_mutex_unlock(&lock);
}

int resolver_setup(void **state) {
    pthread_mutex_lock(&lock);
    name_count = 0;
    calls = 0;
    released = false;
    pthread_mutex_unlock(&lock);
    return fixture_setup(state);
}

int resolver_teardown(void **state) {
    resolver_release();
    return fixture_teardown(state);
}

/* --- Answering ----------------------------------------------------------------------------- */

static bool wanted(const ferry_address *address, int family) {
    return family == AF_UNSPEC || (family == AF_INET && address->family == FERRY_IPV4) ||
           (family == AF_INET6 && address->family == FERRY_IPV6);
}

static void fill(answer *made, const ferry_address *address, int type) {
    made->info.ai_canonname = ours;
    made->info.ai_socktype = type;
    made->info.ai_addr = (struct sockaddr *)&made->address;
    made->info.ai_addrlen = sizeof made->address;
    if (address->family == FERRY_IPV4) {
        struct sockaddr_in *in = (struct sockaddr_in *)&made->address;
        in->sin_family = AF_INET;
        memcpy(&in->sin_addr, address->bytes, 4);
    } else if (address->family == FERRY_IPV6) {
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&made->address;
        in6->sin6_family = AF_INET6;
        in6->sin6_scope_id = address->scope_id;
        memcpy(&in6->sin6_addr, address->bytes, 16);
    } else {
        made->address.ss_family = AF_UNIX;
    }
    made->info.ai_family = made->address.ss_family;
}

static int answer_from(const entry *known, const struct addrinfo *hints, struct addrinfo **out) {
    struct addrinfo **link = out;
    *out = NULL;
    for (size_t i = 0; i < known->count; i++) {
        if (!wanted(&known->addresses[i], hints->ai_family)) {
            continue;
        }
        answer *made = calloc(1, sizeof *made);
        REQUIRE(made != NULL);
        fill(made, &known->addresses[i], hints->ai_socktype);
        *link = &made->info;
        link = &made->info.ai_next;
    }
    return *out != NULL ? 0 : EAI_NODATA;
}

static const entry *find(const char *name) {
    for (size_t i = 0; name != NULL && i < name_count; i++) {
        if (strcmp(names[i].name, name) == 0) {
            return &names[i];
        }
    }
    return NULL;
}

static int ask_the_system(const char *name, const char *service, const struct addrinfo *hints,
                          struct addrinfo **out) {
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    *(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
    REQUIRE(real != NULL);
    return real(name, service, hints, out);
}

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                struct addrinfo **out) {
    pthread_mutex_lock(&lock);
    const entry *known = find(name);
    if (known == NULL) {
        pthread_mutex_unlock(&lock);
        return ask_the_system(name, service, hints, out);
    }
    calls++;
    last_hints = *hints;
    if (known->silent) {
        hanging++;
        while (!released) {
            pthread_cond_wait(&released_now, &lock);
        }
        hanging--;
    }
    int error = known->error;
    int system_error = known->system_error;
    if (error == 0) {
        error = answer_from(known, hints, out);
    }
    pthread_mutex_unlock(&lock);
    errno = system_error;
    return error;
}

void freeaddrinfo(struct addrinfo *answers) {
    if (answers == NULL || answers->ai_canonname != ours) {
        void (*real)(struct addrinfo *);
        *(void **)&real = dlsym(RTLD_NEXT, "freeaddrinfo");
        REQUIRE(real != NULL);
        real(answers);
        return;
    }
    while (answers != NULL) {
        struct addrinfo *next = answers->ai_next;
        free(answers);
        answers = next;
    }
}
