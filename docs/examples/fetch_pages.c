/*
 * Three web pages at once, on one thread.
 *
 * The engine has no thread of its own: this program runs it, and sleeps in it. Each page goes its
 * way step by step: connect by name, send the request, receive the head, receive the body, close.
 * Every completion leads to that page's next step, so the three are under way at the same time.
 *
 * The web is a small server at the end of this file, an engine with a thread. It answers nobody
 * before it has been asked for all pages, and then the last one first: a client that fetched one
 * page after the other would wait in vain.
 *
 *     fetch_pages
 */
#include <ferry.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define PATIENCE_NS UINT64_C(10000000000) /* for each step */

enum { PAGES = 3, HEAD_MAX = 4096, BODY_MAX = 1 << 20 };

static void check(ferry_status status, const char *what) {
    if (status < 0) {
        fprintf(stderr, "%s: %s\n", what, ferry_status_message(status));
        exit(1);
    }
}

/* --- The client ------------------------------------------------------------------------------ */

struct page {
    const char *path;
    char request[256]; /* pinned while it is sent, as head and body while they are received */
    char head[HEAD_MAX + 1];
    size_t body_size;
    char *body;
    bool fetched;
};

/* The value of Content-Length; BODY_MAX + 1 if there is none that will do. */
static size_t content_length(const char *head) {
    static const char name[] = "\r\nContent-Length:";
    for (const char *line = strstr(head, "\r\n"); line; line = strstr(line + 2, "\r\n")) {
        if (strncasecmp(line, name, sizeof name - 1) != 0)
            continue;
        const char *digits = line + sizeof name - 1;
        digits += strspn(digits, " \t");
        size_t count = strspn(digits, "0123456789");
        return count == 0 || count > 9 ? BODY_MAX + 1 : (size_t)atol(digits);
    }
    return BODY_MAX + 1;
}

/* [steps] What comes after the head: the body, or nothing more. */
static void after_head(struct page *page, ferry_handle stream, ferry_request *next) {
    printf("%s: the head has come\n%s", page->path, page->head);
    page->body_size = content_length(page->head);
    if (page->body_size == 0 || page->body_size > BODY_MAX) {
        page->fetched = page->body_size == 0;
        ferry_prepare_handle_close(next, stream);
        return;
    }
    page->body = malloc(page->body_size);
    check(page->body ? FERRY_OK : FERRY_E_NO_MEMORY, "malloc");
    ferry_prepare_stream_receive_exactly(next, stream, page->body, page->body_size);
}

/* One page's next step, by the one that has ended. False when there is none. */
static bool next_step(struct page *page, const ferry_completion *done, ferry_request *next) {
    if (done->opcode == FERRY_OP_HANDLE_CLOSE)
        return false;
    if (done->status != FERRY_OK) {
        printf("%s: %s: %s\n", page->path, ferry_opcode_name(done->opcode),
               ferry_status_message(done->status));
        ferry_prepare_handle_close(next, done->handle);
        return done->handle != FERRY_NONE; /* without a connection there is nothing to close */
    }
    switch (done->opcode) {
    case FERRY_OP_TCP_CONNECT_NAME:
        printf("%s: connected\n", page->path);
        ferry_prepare_stream_send(next, done->handle, page->request, strlen(page->request));
        return true;
    case FERRY_OP_STREAM_SEND:
        ferry_prepare_stream_receive_until(next, done->handle, page->head, HEAD_MAX, "\r\n\r\n", 4);
        return true;
    case FERRY_OP_STREAM_RECEIVE_UNTIL:
        page->head[done->result] = '\0';
        after_head(page, done->handle, next);
        return true;
    default: /* the body */
        printf("%s: %" PRId64 " bytes of body\n", page->path, done->result);
        page->fetched = true;
        ferry_prepare_handle_close(next, done->handle);
        return true;
    }
}
/* [steps] */

static void submit(ferry_queue *queue, ferry_request *request, uint64_t tag) {
    request->tag = tag; /* which page */
    request->deadline_ns = PATIENCE_NS;
    check(ferry_queue_submit(queue, request, 1, NULL, NULL), "submit");
}

/* [fetch] */
static void fetch(ferry_engine *engine, ferry_queue *queue, struct page *pages, uint16_t port) {
    ferry_request request;
    for (uint64_t i = 0; i < PAGES; i++) {
        ferry_prepare_tcp_connect_name(&request, "localhost", port);
        submit(queue, &request, i);
    }
    for (size_t under_way = PAGES; under_way > 0;) {
        ferry_completion done[PAGES];
        check(ferry_engine_run(engine, FERRY_FOREVER, 0, NULL), "run"); /* sleeps */
        int32_t count = ferry_queue_reap(queue, done, PAGES);
        check(count, "reap");
        for (int32_t i = 0; i < count; i++) {
            if (next_step(&pages[done[i].tag], &done[i], &request))
                submit(queue, &request, done[i].tag);
            else
                under_way--;
        }
    }
}
/* [fetch] */

static void fetch_all(struct page *pages, uint16_t port) {
    ferry_engine *engine;
    ferry_queue *queue;
    check(ferry_engine_create(NULL, &engine), "create an engine"); /* we run it ourselves */
    check(ferry_queue_create(engine, NULL, &queue), "create a queue");
    for (int i = 0; i < PAGES; i++)
        snprintf(pages[i].request, sizeof pages[i].request,
                 "GET %s HTTP/1.1\r\nHost: localhost:%u\r\nConnection: close\r\n\r\n",
                 pages[i].path, (unsigned)port);
    fetch(engine, queue, pages, port);
    check(ferry_engine_shutdown(engine, FERRY_FOREVER), "shut down");
    check(ferry_engine_destroy(engine), "destroy");
}

/* --- The server, in place of the web ---------------------------------------------------------- */

struct visitor {
    struct server *server;
    ferry_handle stream;
    char request[HEAD_MAX + 1];
    char answer[HEAD_MAX];
};

struct server {
    ferry_engine *engine;
    ferry_queue *queue; /* inline: what follows runs on the server's thread only */
    struct visitor visitors[PAGES];
    struct visitor *asked[PAGES]; /* in the order in which they asked */
    int accepted_count;
    int asked_count;
};

/* The whole answer and the end of the connection, as one request that nobody has to follow. */
static void answer(struct visitor *visitor) {
    char path[64] = "", body[128];
    sscanf(visitor->request, "GET %63s", path);
    int size = snprintf(body, sizeof body, "This is the page %s.\n", path);
    size = snprintf(visitor->answer, sizeof visitor->answer,
                    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s",
                    size, body);
    ferry_request steps[2], whole;
    ferry_prepare_stream_send(&steps[0], visitor->stream, visitor->answer, (size_t)size);
    ferry_prepare_handle_close(&steps[1], visitor->stream);
    ferry_prepare_chain(&whole, steps, 2);
    check(ferry_queue_submit(visitor->server->queue, &whole, 1, NULL, NULL), "submit");
}

static void on_asked(const ferry_completion *done, void *user_data) {
    struct visitor *visitor = user_data;
    struct server *server = visitor->server;
    if (done->status != FERRY_OK)
        return; /* the client has given up; shutdown closes the connection */
    visitor->request[done->result] = '\0';
    server->asked[server->asked_count++] = visitor;
    if (server->asked_count == PAGES)
        for (int i = PAGES; i-- > 0;)
            answer(server->asked[i]);
}

static void on_accepted(const ferry_completion *done, void *user_data) {
    struct server *server = user_data;
    if (done->status != FERRY_OK || server->accepted_count == PAGES)
        return;
    struct visitor *visitor = &server->visitors[server->accepted_count++];
    *visitor = (struct visitor){.server = server, .stream = done->handle};
    ferry_request request;
    ferry_prepare_stream_receive_until(&request, visitor->stream, visitor->request, HEAD_MAX,
                                       "\r\n\r\n", 4);
    request.callback = on_asked;
    request.user_data = visitor;
    check(ferry_queue_submit(server->queue, &request, 1, NULL, NULL), "submit");
}

/* Returns the port that it listens on. */
static uint16_t start_server(struct server *server) {
    ferry_engine_options options = {.struct_size = sizeof options, .shards = 1};
    ferry_queue_options in_place = {.struct_size = sizeof in_place, .mode = FERRY_QUEUE_INLINE};
    ferry_queue *queue;
    check(ferry_engine_create(&options, &server->engine), "create an engine");
    check(ferry_queue_create(server->engine, NULL, &queue), "create a queue");
    check(ferry_queue_create(server->engine, &in_place, &server->queue), "create a queue");

    ferry_address address;
    ferry_request request;
    ferry_completion listening;
    check(ferry_address_parse("127.0.0.1", 0, &address), "parse an address");
    ferry_prepare_tcp_listen(&request, &address, 0);
    check(ferry_queue_submit(queue, &request, 1, NULL, NULL), "submit");
    check(ferry_queue_wait(queue, &listening, 1, FERRY_FOREVER), "wait");
    check(listening.status, "listen");

    ferry_prepare_tcp_accept(&request, listening.handle);
    request.callback = on_accepted;
    request.user_data = server;
    check(ferry_queue_submit(server->queue, &request, 1, NULL, NULL), "submit");
    return (uint16_t)listening.result;
}

/* --- Both ------------------------------------------------------------------------------------- */

/* Whether a page is what the server made of its path. */
static bool is_right(const struct page *page) {
    char wanted[128];
    int size = snprintf(wanted, sizeof wanted, "This is the page %s.\n", page->path);
    return page->fetched && page->body_size == (size_t)size &&
           memcmp(page->body, wanted, (size_t)size) == 0;
}

int main(void) {
    static struct server server;
    static struct page pages[PAGES] = {{.path = "/one"}, {.path = "/two"}, {.path = "/three"}};
    uint16_t port = start_server(&server);
    fetch_all(pages, port);
    check(ferry_engine_shutdown(server.engine, FERRY_FOREVER), "shut down");
    check(ferry_engine_destroy(server.engine), "destroy");

    bool all = true;
    for (int i = 0; i < PAGES; i++) {
        all = all && is_right(&pages[i]);
        free(pages[i].body);
    }
    puts(all ? "all pages are here" : "a page is missing");
    return all ? 0 : 1;
}
