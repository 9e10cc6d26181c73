/*
 * Ferry in a program of GLib's: one main loop on one thread runs GLib's own sources and Ferry's.
 *
 *   - An engine with a thread of its own: its queue's descriptor is a GSource.
 *   - An engine without one: its descriptor is a GSource, too, whose dispatch runs the engine for a
 *     millisecond at most. What is left over keeps the descriptor readable.
 *
 * GLib's timeouts, idle functions and its own TCP server go on beside them. A lost wake-up shows as
 * a loop that never ends: GLib looks at the descriptors again and again, but Ferry is only called
 * when they are readable.
 */
#include "work.h"

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <gio/gio.h>
#include <glib-unix.h>

typedef struct host {
    GMainLoop *loop;
    work *work;
    ferry_engine *engine;
    ferry_queue *queue;
    GSource *source;
    guint timeout;
    uint32_t timeouts;
    uint32_t idles;
    bool idle_waits;
    uint32_t echoed; /* Pieces that GLib's own server sent back. */
} host;

static uint32_t sleeps; /* How often GLib had nothing to do. */

static gint counting_poll(GPollFD *fds, guint count, gint timeout_ms) {
    sleeps += timeout_ms != 0;
    return g_poll(fds, count, timeout_ms);
}

static void look_for_the_end(host *h) {
    if (h->work != NULL && work_done(h->work) && h->timeouts >= 10)
        g_main_loop_quit(h->loop);
}

/* --- A queue as a source -------------------------------------------------------------------- */

/* [queue] A GSource of one descriptor. GLib polls it with all others; nothing is to be prepared. */
typedef struct queue_source {
    GSource base;
    gpointer watched;
} queue_source;

static gboolean queue_check(GSource *base) {
    queue_source *source = (queue_source *)base;
    return (g_source_query_unix_fd(base, source->watched) & G_IO_IN) != 0;
}

static gboolean queue_dispatch(GSource *base, GSourceFunc callback, gpointer user_data) {
    (void)base;
    return callback(user_data); /* reaps */
}

static GSourceFuncs queue_functions = {.check = queue_check, .dispatch = queue_dispatch};

static GSource *queue_source_new(ferry_queue *queue) {
    int32_t fd;
    assert_status(ferry_queue_fd(queue, &fd), FERRY_OK);
    GSource *base = g_source_new(&queue_functions, sizeof(queue_source));
    ((queue_source *)base)->watched = g_source_add_unix_fd(base, fd, G_IO_IN);
    return base;
}
/* [queue] */

static gboolean reap(gpointer user_data) {
    host *h = user_data;
    work_reap(h->work);
    look_for_the_end(h);
    return G_SOURCE_CONTINUE;
}

static void watch_queue(host *h) {
    h->source = queue_source_new(h->queue);
    g_source_set_callback(h->source, reap, h, NULL);
    g_source_attach(h->source, NULL);
}

/* --- An engine as a source ------------------------------------------------------------------ */

/*
 * The engine has no thread: it works here, for a millisecond at most. While it has work
 * the source is always ready, and GLib runs nothing that comes after a source that is: so it takes
 * its turn with the idle functions, after GLib's own descriptors and timeouts.
 */
/* [engine] */
static gboolean run(gint fd, GIOCondition condition, gpointer user_data) {
    host *h = user_data;
    (void)fd;
    (void)condition;
    assert_status(ferry_engine_run(h->engine, 0, MS, NULL), FERRY_OK);
    return reap(h);
}

static void watch_engine(host *h) {
    int32_t fd;
    assert_status(ferry_engine_fd(h->engine, &fd), FERRY_OK);
    h->source = g_unix_fd_source_new(fd, G_IO_IN);
    g_source_set_priority(h->source, G_PRIORITY_DEFAULT_IDLE);
    g_source_set_callback(h->source, G_SOURCE_FUNC(run), h, NULL);
    g_source_attach(h->source, NULL);
}
/* [engine] */

/* --- GLib's own ----------------------------------------------------------------------------- */

static gboolean idle(gpointer user_data) {
    host *h = user_data;
    h->idles++;
    h->idle_waits = false;
    return G_SOURCE_REMOVE;
}

/* An idle function comes after everything else, and once only: else the loop would never sleep. */
static gboolean timeout(gpointer user_data) {
    host *h = user_data;
    h->timeouts++;
    if (!h->idle_waits)
        g_idle_add(idle, h);
    h->idle_waits = true;
    look_for_the_end(h);
    return G_SOURCE_CONTINUE;
}

typedef struct connection {
    host *host;
    GSocketConnection *socket;
    char bytes[4096];
} connection;

static void read_some(connection *c);

static void connection_free(connection *c) {
    g_object_unref(c->socket);
    g_free(c);
}

static void written(GObject *stream, GAsyncResult *result, gpointer user_data) {
    connection *c = user_data;
    if (!g_output_stream_write_all_finish(G_OUTPUT_STREAM(stream), result, NULL, NULL)) {
        connection_free(c);
        return;
    }
    c->host->echoed++;
    read_some(c);
}

static void has_read(GObject *stream, GAsyncResult *result, gpointer user_data) {
    connection *c = user_data;
    gssize size = g_input_stream_read_finish(G_INPUT_STREAM(stream), result, NULL);
    if (size <= 0) {
        connection_free(c);
        return;
    }
    g_output_stream_write_all_async(g_io_stream_get_output_stream(G_IO_STREAM(c->socket)), c->bytes,
                                    (gsize)size, G_PRIORITY_DEFAULT, NULL, written, c);
}

static void read_some(connection *c) {
    g_input_stream_read_async(g_io_stream_get_input_stream(G_IO_STREAM(c->socket)), c->bytes,
                              sizeof c->bytes, G_PRIORITY_DEFAULT, NULL, has_read, c);
}

static gboolean incoming(GSocketService *service, GSocketConnection *socket, GObject *source,
                         gpointer user_data) {
    (void)service;
    (void)source;
    connection *c = g_new(connection, 1);
    c->host = user_data;
    c->socket = g_object_ref(socket);
    g_socket_set_option(g_socket_connection_get_socket(socket), IPPROTO_TCP, TCP_NODELAY, 1, NULL);
    read_some(c);
    return TRUE;
}

static GSocketService *glib_server(host *h, uint16_t *port_out) {
    GSocketService *service = g_socket_service_new();
    GInetAddress *loopback = g_inet_address_new_loopback(G_SOCKET_FAMILY_IPV4);
    GSocketAddress *wanted = g_inet_socket_address_new(loopback, 0);
    GSocketAddress *given = NULL;
    REQUIRE(g_socket_listener_add_address(G_SOCKET_LISTENER(service), wanted, G_SOCKET_TYPE_STREAM,
                                          G_SOCKET_PROTOCOL_TCP, NULL, &given, NULL));
    *port_out = g_inet_socket_address_get_port(G_INET_SOCKET_ADDRESS(given));
    g_signal_connect(service, "incoming", G_CALLBACK(incoming), h);
    g_object_unref(loopback);
    g_object_unref(wanted);
    g_object_unref(given);
    return service;
}

/* --- The tests ------------------------------------------------------------------------------ */

static void host_open(host *h, uint32_t shards) {
    *h = (host){.loop = g_main_loop_new(NULL, FALSE)};
    g_main_context_set_poll_func(NULL, counting_poll);
    sleeps = 0;
    h->timeout = g_timeout_add(2, timeout, h);
    h->engine = work_engine(shards, &h->queue);
}

static void host_run(host *h, const work_plan *plan) {
    h->work = work_start(h->engine, h->queue, plan);
    g_main_loop_run(h->loop);
    print_message("GLib: slept %u times, %u timeouts, %u idle functions\n", sleeps, h->timeouts,
                  h->idles);
    assert_true(sleeps > 20); /* Or it has shown nothing. */
}

/* The source goes first: its descriptor is the engine's. */
static void host_close(host *h) {
    g_source_destroy(h->source);
    g_source_unref(h->source);
    work_end(h->work);
    g_source_remove(h->timeout);
    while (g_main_context_iteration(NULL, FALSE))
        continue;
    g_main_loop_unref(h->loop);
}

static void a_queue_is_a_source(void **state) {
    (void)state;
    host h;
    work_plan plan = work_usual_plan();
    host_open(&h, 1);
    watch_queue(&h);
    host_run(&h, &plan);
    host_close(&h);
}

static void an_engine_is_a_source(void **state) {
    (void)state;
    host h;
    work_plan plan = work_usual_plan();
    host_open(&h, 0);
    watch_engine(&h);
    host_run(&h, &plan);
    assert_true(h.idles > h.timeouts / 10); /* The least of all sources does not starve. */
    host_close(&h);
}

static void a_client_of_glibs_own_server(void **state) {
    (void)state;
    host h;
    work_plan plan = work_usual_plan();
    host_open(&h, 1);
    GSocketService *service = glib_server(&h, &plan.port);
    watch_queue(&h);
    host_run(&h, &plan);
    assert_true(h.echoed >= plan.clients * plan.trips);
    g_socket_service_stop(service);
    g_socket_listener_close(G_SOCKET_LISTENER(service));
    host_close(&h);
    g_object_unref(service);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        PLAIN(a_queue_is_a_source),
        PLAIN(an_engine_is_a_source),
        PLAIN(a_client_of_glibs_own_server),
    };
    return RUN_SUITE(tests);
}
