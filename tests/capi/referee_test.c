/*
 * The referee itself: it must complain about every broken game, or the other suites prove nothing.
 *
 * No engine takes part here. Each test tells the referee of submissions and completions that break
 * one law, and one of them tells it of a game without a fault.
 */
#include "check.h"
#include "referee.h"

#include <string.h>

enum { OP = 0x1234, TAG = 77, STREAM = 0x55, LISTENER = 0x66 };

static int setup(void **state) {
    *state = referee_create();
    return plain_setup(NULL);
}

static int teardown(void **state) {
    referee_destroy(*state);
    return 0;
}

static void accept_request(referee *judge, const ferry_request *request, ferry_op op) {
    referee_note_submitting(judge);
    referee_note_submitted(judge, request, 1, &op, 1, FERRY_OK);
}

static ferry_request nop_request(void) {
    ferry_request request = {.opcode = FERRY_OP_NOP, .tag = TAG};
    return request;
}

static ferry_request receive_request(uint32_t flags) {
    ferry_request request = {
        .opcode = FERRY_OP_STREAM_RECEIVE, .tag = TAG, .target = STREAM, .flags = flags};
    return request;
}

static ferry_request accept_multishot(void) {
    ferry_request request = {
        .opcode = FERRY_OP_TCP_ACCEPT, .tag = TAG, .target = LISTENER, .flags = FERRY_MULTISHOT};
    return request;
}

static ferry_completion answer(const ferry_request *request, ferry_op op) {
    ferry_completion completion = {
        .tag = request->tag, .op = op, .opcode = request->opcode, .handle = request->target};
    return completion;
}

static ferry_completion lent(const ferry_request *request, const char *data, ferry_buffer buffer) {
    ferry_completion completion = answer(request, OP);
    completion.flags = FERRY_MORE | FERRY_BUFFER;
    completion.data = data;
    completion.result = (int64_t)strlen(data);
    completion.buffer = buffer;
    return completion;
}

static void assert_complaint(referee *judge, const char *text) {
    assert_int_not_equal(referee_complaints(judge), 0);
    if (strstr(referee_first_complaint(judge), text) == NULL) {
        fail_msg("\"%s\" is not about \"%s\"", referee_first_complaint(judge), text);
    }
}

static void a_fair_game_passes(void **state) {
    referee *judge = *state;
    ferry_request request = receive_request(FERRY_MULTISHOT | FERRY_LEND);
    accept_request(judge, &request, OP);
    assert_int_equal(referee_outstanding(judge), 1);
    ferry_completion some = lent(&request, "some", 9);
    referee_note_completion(judge, &some);
    referee_note_release(judge, 9);
    referee_note_completion(judge, &some);
    referee_note_release(judge, 9);
    ferry_completion end = answer(&request, OP);
    referee_note_completion(judge, &end);
    assert_int_equal(referee_outstanding(judge), 0);
    assert_int_equal(referee_seen(judge), 3);
    assert_true(referee_finish(judge));
}

static void a_completion_may_overtake_its_submit(void **state) {
    referee *judge = *state;
    ferry_request request = nop_request();
    ferry_completion final = answer(&request, OP);
    ferry_op op = OP;
    referee_note_submitting(judge);
    referee_note_completion(judge, &final);
    referee_note_submitted(judge, &request, 1, &op, 1, FERRY_OK);
    assert_int_equal(referee_outstanding(judge), 0);
    assert_true(referee_finish(judge));
}

static void sees_an_early_completion_that_is_wrong(void **state) {
    referee *judge = *state;
    ferry_request request = nop_request();
    ferry_completion final = answer(&request, OP);
    ferry_op op = OP;
    final.tag = TAG + 1;
    referee_note_submitting(judge);
    referee_note_completion(judge, &final);
    referee_note_submitted(judge, &request, 1, &op, 1, FERRY_OK);
    assert_complaint(judge, "submitted as");
}

static void sees_a_missing_final(void **state) {
    referee *judge = *state;
    ferry_request request = nop_request();
    accept_request(judge, &request, OP);
    assert_false(referee_finish(judge));
    assert_complaint(judge, "never completed");
}

static void sees_a_second_final(void **state) {
    referee *judge = *state;
    ferry_request request = nop_request();
    ferry_completion final = answer(&request, OP);
    accept_request(judge, &request, OP);
    referee_note_completion(judge, &final);
    referee_note_completion(judge, &final);
    assert_complaint(judge, "after its final one");
}

static void sees_more_after_the_final(void **state) {
    referee *judge = *state;
    ferry_request request = receive_request(FERRY_MULTISHOT | FERRY_LEND);
    ferry_completion final = answer(&request, OP);
    ferry_completion more = lent(&request, "late", 3);
    accept_request(judge, &request, OP);
    referee_note_completion(judge, &final);
    referee_note_completion(judge, &more);
    assert_complaint(judge, "after its final one");
}

static void sees_more_of_a_one_shot(void **state) {
    referee *judge = *state;
    ferry_request request = receive_request(FERRY_LEND);
    ferry_completion more = lent(&request, "more", 3);
    accept_request(judge, &request, OP);
    referee_note_completion(judge, &more);
    assert_complaint(judge, "no multishot");
}

static void sees_a_completion_of_nothing(void **state) {
    referee *judge = *state;
    ferry_request request = nop_request();
    ferry_completion final = answer(&request, OP);
    referee_note_completion(judge, &final);
    assert_complaint(judge, "never accepted");
}

static void sees_a_completion_of_a_refused_request(void **state) {
    referee *judge = *state;
    ferry_request request = nop_request();
    ferry_completion final = answer(&request, OP);
    ferry_op op = OP;
    referee_note_submitting(judge);
    referee_note_completion(judge, &final);
    referee_note_submitted(judge, &request, 1, &op, 0, FERRY_E_FULL);
    assert_complaint(judge, "no submit has accepted");
}

static void sees_another_tag_opcode_or_handle(void **state) {
    referee *judge = *state;
    ferry_request request = receive_request(FERRY_MULTISHOT | FERRY_LEND);
    ferry_completion wrong = lent(&request, "data", 3);
    accept_request(judge, &request, OP);
    wrong.tag = TAG + 1;
    referee_note_completion(judge, &wrong);
    assert_int_equal(referee_complaints(judge), 1);
    wrong = lent(&request, "data", 4);
    wrong.opcode = FERRY_OP_NOP;
    referee_note_completion(judge, &wrong);
    assert_true(referee_complaints(judge) >= 2);
    size_t before = referee_complaints(judge);
    wrong = lent(&request, "other", 5);
    wrong.handle = STREAM + 1;
    referee_note_completion(judge, &wrong);
    assert_true(referee_complaints(judge) > before);
}

static void sees_an_op_id_given_twice(void **state) {
    referee *judge = *state;
    ferry_request request = nop_request();
    ferry_completion final = answer(&request, OP);
    accept_request(judge, &request, OP);
    referee_note_completion(judge, &final);
    accept_request(judge, &request, OP);
    assert_complaint(judge, "given out twice");
}

static void sees_a_miscounted_submit(void **state) {
    referee *judge = *state;
    ferry_request requests[2] = {nop_request(), nop_request()};
    ferry_op ops[2] = {OP, OP + 1};
    referee_note_submitting(judge);
    referee_note_submitted(judge, requests, 2, ops, 1, FERRY_OK);
    assert_complaint(judge, "submit took 1 of 2");
}

static void sees_a_buffer_lent_twice(void **state) {
    referee *judge = *state;
    ferry_request request = receive_request(FERRY_MULTISHOT | FERRY_LEND);
    ferry_completion first = lent(&request, "first", 3);
    ferry_completion second = lent(&request, "second", 3);
    accept_request(judge, &request, OP);
    referee_note_completion(judge, &first);
    referee_note_completion(judge, &second);
    assert_complaint(judge, "lent twice");
}

static void sees_overlapping_buffers(void **state) {
    referee *judge = *state;
    static const char memory[] = "overlapping";
    ferry_request request = receive_request(FERRY_MULTISHOT | FERRY_LEND);
    ferry_completion first = lent(&request, memory, 3);
    ferry_completion second = lent(&request, memory + 4, 4);
    accept_request(judge, &request, OP);
    referee_note_completion(judge, &first);
    referee_note_completion(judge, &second);
    assert_complaint(judge, "overlaps");
}

static void sees_a_buffer_that_changes_while_lent(void **state) {
    referee *judge = *state;
    char memory[] = "unchanged";
    ferry_request request = receive_request(FERRY_MULTISHOT | FERRY_LEND);
    ferry_completion some = lent(&request, memory, 3);
    accept_request(judge, &request, OP);
    referee_note_completion(judge, &some);
    memory[0] = 'x';
    referee_note_release(judge, 3);
    assert_complaint(judge, "changed while it was lent");
}

static void sees_a_buffer_without_data(void **state) {
    referee *judge = *state;
    ferry_request request = receive_request(FERRY_MULTISHOT | FERRY_LEND);
    ferry_completion empty = lent(&request, "", 3);
    accept_request(judge, &request, OP);
    referee_note_completion(judge, &empty);
    assert_complaint(judge, "FERRY_BUFFER with");
}

static void sees_data_without_a_buffer(void **state) {
    referee *judge = *state;
    ferry_request request = receive_request(FERRY_LEND);
    ferry_completion final = lent(&request, "data", 3);
    final.flags = 0;
    accept_request(judge, &request, OP);
    referee_note_completion(judge, &final);
    assert_complaint(judge, "without FERRY_BUFFER");
}

static void sees_a_buffer_that_is_kept(void **state) {
    referee *judge = *state;
    ferry_request request = receive_request(FERRY_LEND);
    ferry_completion final = lent(&request, "data", 3);
    final.flags = FERRY_BUFFER;
    accept_request(judge, &request, OP);
    referee_note_completion(judge, &final);
    assert_int_equal(referee_complaints(judge), 0);
    assert_false(referee_finish(judge));
    assert_complaint(judge, "not released");
}

static void sees_a_release_of_what_is_not_lent(void **state) {
    referee *judge = *state;
    referee_note_release(judge, 3);
    assert_complaint(judge, "is not lent");
}

static void sees_a_handle_that_is_open_already(void **state) {
    referee *judge = *state;
    ferry_request request = accept_multishot();
    ferry_completion connection = answer(&request, OP);
    connection.flags = FERRY_MORE;
    connection.handle = STREAM;
    accept_request(judge, &request, OP);
    referee_note_completion(judge, &connection);
    assert_int_equal(referee_complaints(judge), 0);
    referee_note_completion(judge, &connection);
    assert_complaint(judge, "is open already");
}

static void allows_a_handle_again_after_its_close(void **state) {
    referee *judge = *state;
    ferry_request request = accept_multishot();
    ferry_request close = {.opcode = FERRY_OP_HANDLE_CLOSE, .target = STREAM};
    ferry_completion connection = answer(&request, OP);
    ferry_completion closed = answer(&close, OP + 1);
    connection.flags = FERRY_MORE;
    connection.handle = STREAM;
    accept_request(judge, &request, OP);
    referee_note_completion(judge, &connection);
    accept_request(judge, &close, OP + 1);
    referee_note_completion(judge, &closed);
    referee_note_completion(judge, &connection);
    assert_int_equal(referee_complaints(judge), 0);
}

static void sees_an_accept_without_a_handle(void **state) {
    referee *judge = *state;
    ferry_request request = accept_multishot();
    ferry_completion connection = answer(&request, OP);
    connection.flags = FERRY_MORE;
    connection.handle = FERRY_NONE;
    accept_request(judge, &request, OP);
    referee_note_completion(judge, &connection);
    assert_complaint(judge, "opened no handle");
}

static void sees_results_that_do_not_fit(void **state) {
    referee *judge = *state;
    ferry_request send = {.opcode = FERRY_OP_STREAM_SEND, .target = STREAM};
    send.params.send.size = 10;
    ferry_completion short_send = answer(&send, OP);
    short_send.result = 9;
    accept_request(judge, &send, OP);
    referee_note_completion(judge, &short_send);
    assert_int_equal(referee_complaints(judge), 1);

    ferry_request receive = receive_request(0);
    receive.params.receive.size = 10;
    ferry_completion long_receive = answer(&receive, OP + 1);
    long_receive.result = 11;
    accept_request(judge, &receive, OP + 1);
    referee_note_completion(judge, &long_receive);
    assert_int_equal(referee_complaints(judge), 2);

    ferry_request timer = {.opcode = FERRY_OP_TIMER};
    ferry_completion no_expiry = answer(&timer, OP + 2);
    accept_request(judge, &timer, OP + 2);
    referee_note_completion(judge, &no_expiry);
    assert_int_equal(referee_complaints(judge), 3);
    assert_complaint(judge, "do not fit");
}

static void sees_unknown_flags_and_odd_statuses(void **state) {
    referee *judge = *state;
    ferry_request request = nop_request();
    ferry_completion final = answer(&request, OP);
    final.flags = FERRY_REUSABLE;
    accept_request(judge, &request, OP);
    referee_note_completion(judge, &final);
    assert_complaint(judge, "FERRY_REUSABLE");
    size_t before = referee_complaints(judge);
    final = answer(&request, OP + 1);
    final.os_error = 5;
    accept_request(judge, &request, OP + 1);
    referee_note_completion(judge, &final);
    assert_true(referee_complaints(judge) > before);
}

static void sees_a_lying_cancel(void **state) {
    referee *judge = *state;
    ferry_request request = nop_request();
    accept_request(judge, &request, OP);
    referee_note_cancel(judge, OP, false, FERRY_OK);
    assert_int_equal(referee_complaints(judge), 0);
    referee_note_cancel(judge, OP, true, FERRY_OK);
    assert_int_equal(referee_complaints(judge), 1);
    referee_note_cancel(judge, OP, false, FERRY_E_UNKNOWN);
    assert_int_equal(referee_complaints(judge), 2);
}

static void sees_messages_invented_or_lost(void **state) {
    referee *judge = *state;
    ferry_completion message = {.opcode = FERRY_OP_POST, .tag = TAG};
    referee_note_post(judge);
    referee_note_completion(judge, &message);
    assert_int_equal(referee_complaints(judge), 0);
    referee_note_completion(judge, &message);
    assert_complaint(judge, "nobody posted");
    referee_note_post(judge);
    referee_note_post(judge);
    size_t before = referee_complaints(judge);
    assert_false(referee_finish(judge));
    assert_true(referee_complaints(judge) > before);
}

#define REFEREE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        REFEREE(a_fair_game_passes),
        REFEREE(a_completion_may_overtake_its_submit),
        REFEREE(sees_an_early_completion_that_is_wrong),
        REFEREE(sees_a_missing_final),
        REFEREE(sees_a_second_final),
        REFEREE(sees_more_after_the_final),
        REFEREE(sees_more_of_a_one_shot),
        REFEREE(sees_a_completion_of_nothing),
        REFEREE(sees_a_completion_of_a_refused_request),
        REFEREE(sees_another_tag_opcode_or_handle),
        REFEREE(sees_an_op_id_given_twice),
        REFEREE(sees_a_miscounted_submit),
        REFEREE(sees_a_buffer_lent_twice),
        REFEREE(sees_overlapping_buffers),
        REFEREE(sees_a_buffer_that_changes_while_lent),
        REFEREE(sees_a_buffer_without_data),
        REFEREE(sees_data_without_a_buffer),
        REFEREE(sees_a_buffer_that_is_kept),
        REFEREE(sees_a_release_of_what_is_not_lent),
        REFEREE(sees_a_handle_that_is_open_already),
        REFEREE(allows_a_handle_again_after_its_close),
        REFEREE(sees_an_accept_without_a_handle),
        REFEREE(sees_results_that_do_not_fit),
        REFEREE(sees_unknown_flags_and_odd_statuses),
        REFEREE(sees_a_lying_cancel),
        REFEREE(sees_messages_invented_or_lost),
    };
    return RUN_SUITE(tests);
}
