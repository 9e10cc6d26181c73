/*
 * Ferry in a game on SDL, in two ways.
 *
 *   - By the frame: an engine without a thread works for two milliseconds of each frame, beside
 *     drawing and events.
 *   - By event: an engine with a thread of its own pushes an SDL event when completions wait, and
 *     the program sleeps in SDL_WaitEvent.
 *
 * Without a screen: SDL's dummy driver, and its renderer in software.
 */
#include "work.h"

#include <SDL.h>

enum { BUDGET_NS = 2000000, WIDTH = 64, HEIGHT = 48 };

static SDL_Window *window;
static SDL_Renderer *renderer;

static void sdl_open(void) {
    SDL_SetHint(SDL_HINT_VIDEODRIVER, "dummy");
    REQUIRE(SDL_Init(SDL_INIT_VIDEO | SDL_INIT_EVENTS) == 0);
    window = SDL_CreateWindow("Ferry", 0, 0, WIDTH, HEIGHT, 0);
    REQUIRE(window != NULL);
    renderer = SDL_CreateRenderer(window, -1, SDL_RENDERER_SOFTWARE);
    REQUIRE(renderer != NULL);
}

static void sdl_close(void) {
    SDL_DestroyRenderer(renderer);
    SDL_DestroyWindow(window);
    SDL_Quit();
}

static void draw(uint32_t frame) {
    SDL_Rect box = {.x = (int)(frame % WIDTH), .y = 10, .w = 8, .h = 8};
    SDL_SetRenderDrawColor(renderer, 0, 0, 0, 255);
    SDL_RenderClear(renderer);
    SDL_SetRenderDrawColor(renderer, 255, (Uint8)frame, 0, 255);
    SDL_RenderFillRect(renderer, &box);
    SDL_RenderPresent(renderer);
}

/* SDL looks for events each millisecond, so the senders' messages take their time. */
static work_plan plan_of_a_game(void) {
    work_plan plan = work_usual_plan();
    plan.messages /= 8;
    return plan;
}

/* --- By the frame --------------------------------------------------------------------------- */

typedef struct game {
    ferry_engine *engine;
    ferry_queue *queue;
    work *work;
    uint32_t frames;
    uint32_t left_over; /* Frames whose budget ended the run. */
    uint32_t overrun;   /* Of these, those in which the last step took longer. */
    bool behind;        /* The frame before left something over. */
    bool running;
} game;

static void frame_report(game *g, uint64_t budget_ns, uint64_t took_ns,
                         const ferry_run_report *report) {
    if (report->left > 0 && g->behind)
        assert_true(report->oldest_age_ns > 0);
    if (report->overrun_ns > 0)
        assert_true(took_ns >= budget_ns + report->overrun_ns);
    g->behind = report->left > 0;
    g->left_over += g->behind;
    g->overrun += report->overrun_ns > 0;
}

/* [frame] Ferry's part of a frame. What the budget leaves over is done in the next. */
static void let_ferry_work(game *g, uint64_t budget_ns) {
    ferry_run_report report = {.struct_size = sizeof report};
    uint64_t start = now_ns();
    assert_status(ferry_engine_run(g->engine, 0, budget_ns, &report), FERRY_OK);
    frame_report(g, budget_ns, now_ns() - start, &report);
    work_reap(g->work);
}
/* [frame] */

static void handle_events(game *g) {
    SDL_Event event;
    while (SDL_PollEvent(&event) != 0) {
        if (event.type == SDL_QUIT)
            g->running = false;
    }
}

/* The player quits when all has been done and seen. */
static void maybe_quit(game *g) {
    SDL_Event event = {.type = SDL_QUIT};
    if (work_done(g->work) && g->frames >= 100)
        REQUIRE(SDL_PushEvent(&event) == 1);
}

static void a_frame_has_a_budget(void **state) {
    (void)state;
    game g = {.running = true};
    work_plan plan = plan_of_a_game();
    sdl_open();
    g.engine = work_engine(0, &g.queue);
    g.work = work_start(g.engine, g.queue, &plan);
    for (; g.running; g.frames++) {
        handle_events(&g);
        /* Every fourth frame has hardly any time left. */
        let_ferry_work(&g, g.frames % 4 == 3 ? 10000 : BUDGET_NS);
        draw(g.frames);
        SDL_Delay(1);
        maybe_quit(&g);
    }
    print_message("SDL: %u frames, %u had something left over, %u took longer\n", g.frames,
                  g.left_over, g.overrun);
    assert_true(g.left_over > 0);
    work_end(g.work);
    sdl_close();
}

/* --- By event ------------------------------------------------------------------------------- */

/* [wake] Comes from a thread of the engine's, and once until the queue has been seen empty. */
static void push_event(void *user_data) {
    SDL_Event event = {.type = *(const Uint32 *)user_data};
    SDL_PushEvent(&event);
}
/* [wake] */

static void wait_for_events(work *w, Uint32 ferry_event, uint32_t *wakes) {
    SDL_Event event;
    REQUIRE(SDL_WaitEvent(&event) == 1);
    do {
        if (event.type == ferry_event) {
            ++*wakes;
            work_reap(w);
        }
    } while (SDL_PollEvent(&event) != 0);
}

static void a_wake_up_is_an_event(void **state) {
    (void)state;
    uint32_t wakes = 0;
    work_plan plan = plan_of_a_game();
    ferry_engine *engine;
    ferry_queue *queue;
    sdl_open();
    Uint32 ferry_event = SDL_RegisterEvents(1);
    REQUIRE(ferry_event != (Uint32)-1);
    ferry_engine_options options = {.struct_size = sizeof options, .shards = 1};
    ferry_queue_options wanted = {
        .struct_size = sizeof wanted, .wake = push_event, .user_data = &ferry_event};
    assert_status(ferry_engine_create(&options, &engine), FERRY_OK);
    assert_status(ferry_queue_create(engine, &wanted, &queue), FERRY_OK);
    work *w = work_start(engine, queue, &plan);
    work_reap(w); /* Armed from here on. */
    for (uint32_t frame = 0; !work_done(w); frame++) {
        wait_for_events(w, ferry_event, &wakes);
        draw(frame);
    }
    print_message("SDL: woken %u times\n", wakes);
    assert_true(wakes > 20); /* Or it has shown nothing. */
    work_end(w);
    sdl_close(); /* After the engine: until then it may push. */
}

int main(int argc, char **argv) {
    (void)argc;
    (void)argv;
    const struct CMUnitTest tests[] = {
        PLAIN(a_frame_has_a_budget),
        PLAIN(a_wake_up_is_an_event),
    };
    return RUN_SUITE(tests);
}
