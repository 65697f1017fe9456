/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One direction alone, between two streams that do what is written down for them, step by step: what it waits for, what
 * it holds meanwhile, how it ends. */
#include "config.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "relay/pump/flow.h"
#include "under_filter.h"

#define STEPS_MAX 8
#define BYTES_MAX (4 * 1024 * 1024)
#define SHARE     (1024 * 1024)

/* ---- streams that follow a script ---- */

struct step {
    enum stream_status status;
    size_t count; /* of STREAM_OK: at most so many bytes */
};

struct script {
    struct step steps[STEPS_MAX];
    int at; /* the last step is repeated */
};

struct scripted {
    struct stream stream;
    struct script reads, writes, shutdowns;
    bool pending;
    size_t given, taken; /* bytes read from it, written to it; each is the low byte of its place */
    size_t last_room;    /* that the last read was offered */
    int n_reads, n_shutdowns;
};

static struct step next(struct script *script)
{
    struct step step = script->steps[script->at];
    if (script->at + 1 < STEPS_MAX && (script->steps[script->at + 1].status || script->steps[script->at + 1].count))
        script->at++;
    return step;
}

static enum stream_status scripted_read(struct stream *stream, void *buf, size_t size, size_t *ret_count)
{
    struct scripted *scripted = (struct scripted *)stream;
    struct step step = next(&scripted->reads);
    unsigned char *bytes = buf;
    scripted->n_reads++;
    scripted->last_room = size;
    if (step.status != STREAM_OK)
        return step.status;
    *ret_count = step.count < size ? step.count : size;
    for (size_t i = 0; i < *ret_count; i++)
        bytes[i] = (unsigned char)(scripted->given + i);
    scripted->given += *ret_count;
    return STREAM_OK;
}

static enum stream_status scripted_write(struct stream *stream, const void *buf, size_t size, size_t *ret_count)
{
    struct scripted *scripted = (struct scripted *)stream;
    struct step step = next(&scripted->writes);
    const unsigned char *bytes = buf;
    bool wrong = false;
    ck_assert_int_eq(scripted->n_shutdowns, 0);
    if (step.status != STREAM_OK)
        return step.status;
    *ret_count = step.count < size ? step.count : size;
    for (size_t i = 0; i < *ret_count; i++)
        wrong |= bytes[i] != (unsigned char)(scripted->taken + i);
    ck_assert(!wrong);
    scripted->taken += *ret_count;
    return STREAM_OK;
}

static enum stream_status scripted_shutdown(struct stream *stream)
{
    struct scripted *scripted = (struct scripted *)stream;
    enum stream_status status = next(&scripted->shutdowns).status;
    scripted->n_shutdowns += status == STREAM_OK;
    return status;
}

static bool scripted_pending(const struct stream *stream)
{
    return ((const struct scripted *)stream)->pending;
}

static bool scripted_low_water(struct stream *stream, size_t bytes)
{
    return false;
}

static const struct stream_transport scripted_transport = {.set_low_water = scripted_low_water};
static const struct stream_ops scripted_ops = {.read = scripted_read,
                                               .write = scripted_write,
                                               .shutdown_write = scripted_shutdown,
                                               .pending = scripted_pending,
                                               .transport = &scripted_transport};

/* ---- the flow between them ---- */

static struct scripted source, sink;
static struct buffers *buffers;
static struct flow flow;
static bool no_memory;

void *__real_buffers_get(struct buffers *pool, bool large, size_t *ret_size);
void *__wrap_buffers_get(struct buffers *pool, bool large, size_t *ret_size);

void *__wrap_buffers_get(struct buffers *pool, bool large, size_t *ret_size)
{
    return no_memory ? NULL : __real_buffers_get(pool, large, ret_size);
}

static void set_up(void)
{
    source = sink = (struct scripted){.stream = {.ops = &scripted_ops}};
    source.reads.steps[0].status = STREAM_AGAIN_READ;
    sink.writes.steps[0].count = BYTES_MAX;
    no_memory = false;
    buffers = buffers_new(4);
    ck_assert_ptr_nonnull(buffers);
    flow_init(&flow);
}

static void tear_down(void)
{
    flow_fini(&flow, buffers);
    ck_assert_uint_eq(buffers_out(buffers), 0);
    buffers_free(buffers);
}

/* The source gives so many bytes, then says status. */
static void give(size_t count, enum stream_status status)
{
    source.reads = (struct script){.steps = {{STREAM_OK, count}, {status, 0}}};
    if (count == 0)
        source.reads = (struct script){.steps = {{status, 0}}};
    source.pending = true;
}

static void run(void)
{
    flow_run(&flow, buffers, &source.stream, &sink.stream, SHARE);
}

static void assert_state(enum flow_state state, enum flow_wait wait)
{
    ck_assert_int_eq(flow.state, state);
    ck_assert_int_eq(flow.wait, wait);
}

/* A fault of a side, nothing held, no end in order. */
static void assert_failed(enum flow_fault fault, enum stream_status status)
{
    assert_state(FLOW_DONE, FLOW_WAIT_NOTHING);
    ck_assert_int_eq(flow.fault, fault);
    if (fault != FLOW_FAULT_NONE)
        ck_assert_int_eq(flow.fault_status, status);
    ck_assert_int_eq(sink.n_shutdowns, 0);
    ck_assert_uint_eq(buffers_out(buffers), 0);
}

/* ---- tests ---- */

START_TEST(what_the_source_waits_for_is_waited_for_and_nothing_is_held)
{
    give(_i * 100, STREAM_AGAIN_READ);
    run();
    assert_state(FLOW_OPEN, FLOW_WAIT_SOURCE_READ);
    give(_i * 100, STREAM_AGAIN_WRITE);
    run();
    assert_state(FLOW_OPEN, FLOW_WAIT_SOURCE_WRITE);
    ck_assert_uint_eq(buffers_out(buffers), 0);
    ck_assert_uint_eq(flow.delivered, 200 * _i);
    ck_assert_uint_eq(sink.taken, 200 * _i);
}
END_TEST

START_TEST(what_the_sink_waits_for_is_waited_for_with_the_bytes_in_hand)
{
    give(1000, STREAM_AGAIN_READ);
    sink.writes = (struct script){.steps = {{STREAM_OK, 300},
                                            {STREAM_AGAIN_WRITE, 0},
                                            {STREAM_AGAIN_READ, 0},
                                            {STREAM_OK, 300},
                                            {STREAM_AGAIN_WRITE, 0},
                                            {STREAM_OK, BYTES_MAX}}};
    run();
    assert_state(FLOW_OPEN, FLOW_WAIT_SINK_WRITE);
    ck_assert_uint_eq(flow.delivered, 300);
    ck_assert_uint_eq(buffers_out(buffers), 1);
    int n_reads = source.n_reads;
    run();
    assert_state(FLOW_OPEN, FLOW_WAIT_SINK_READ);
    run();
    assert_state(FLOW_OPEN, FLOW_WAIT_SINK_WRITE);
    ck_assert_uint_eq(flow.delivered, 600);
    ck_assert_int_eq(source.n_reads, n_reads); /* nothing more is read while something waits */
    run();
    ck_assert_uint_eq(flow.delivered, 1000);
    ck_assert_uint_eq(buffers_out(buffers), 0);
    assert_state(FLOW_OPEN, FLOW_WAIT_SOURCE_READ);
}
END_TEST

START_TEST(an_end_is_passed_on_once_behind_the_bytes)
{
    enum stream_status end = _i ? STREAM_TRUNCATED : STREAM_EOF;
    give(500, end);
    run();
    assert_state(FLOW_DONE, FLOW_WAIT_NOTHING);
    ck_assert_uint_eq(sink.taken, 500);
    ck_assert_int_eq(sink.n_shutdowns, 1);
    ck_assert_int_eq(flow.fault, FLOW_FAULT_NONE);
    ck_assert_int_eq(flow.truncated, _i);
}
END_TEST

START_TEST(an_end_waits_for_the_bytes_before_it)
{
    give(500, STREAM_EOF);
    sink.writes = (struct script){.steps = {{STREAM_OK, 100}, {STREAM_AGAIN_WRITE, 0}, {STREAM_OK, BYTES_MAX}}};
    run();
    assert_state(FLOW_ENDED, FLOW_WAIT_SINK_WRITE);
    ck_assert_int_eq(sink.n_shutdowns, 0);
    run();
    assert_state(FLOW_DONE, FLOW_WAIT_NOTHING);
    ck_assert_uint_eq(sink.taken, 500);
    ck_assert_int_eq(sink.n_shutdowns, 1);
}
END_TEST

START_TEST(an_end_that_cannot_be_passed_on_yet_is_tried_again)
{
    give(10, STREAM_EOF);
    sink.shutdowns = (struct script){.steps = {{STREAM_AGAIN_WRITE, 0}, {STREAM_AGAIN_READ, 0}, {STREAM_OK, 1}}};
    run();
    assert_state(FLOW_ENDED, FLOW_WAIT_SINK_WRITE);
    run();
    assert_state(FLOW_ENDED, FLOW_WAIT_SINK_READ);
    run();
    assert_state(FLOW_DONE, FLOW_WAIT_NOTHING);
    ck_assert_int_eq(sink.n_shutdowns, 1);
}
END_TEST

START_TEST(an_end_that_the_sink_does_not_take_is_its_fault)
{
    give(10, STREAM_EOF);
    sink.shutdowns.steps[0].status = STREAM_FAILED;
    run();
    assert_failed(FLOW_FAULT_SINK, STREAM_FAILED);
}
END_TEST

START_TEST(the_owner_is_asked_once_before_the_end_is_passed_on)
{
    flow.ask_at_end = true;
    give(10, STREAM_EOF);
    run();
    assert_state(FLOW_ENDED, FLOW_WAIT_LEAVE);
    ck_assert_uint_eq(sink.taken, 10);
    ck_assert_int_eq(sink.n_shutdowns, 0);
    run();
    assert_state(FLOW_DONE, FLOW_WAIT_NOTHING);
    ck_assert_int_eq(sink.n_shutdowns, 1);
}
END_TEST

/* _i: 0 the other direction goes on, 1 it is done. A FIN behind which a reset may come at once is worse than close().
 */
START_TEST(the_last_end_of_a_plain_socket_is_left_to_its_close)
{
    int ends[2];
    char byte;
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    struct stream *plain = stream_new_plain(ends[0]);
    give(1, STREAM_EOF);
    flow.last = _i;
    flow_run(&flow, buffers, &source.stream, plain, SHARE);
    assert_state(FLOW_DONE, FLOW_WAIT_NOTHING);
    ck_assert_int_eq(recv(ends[1], &byte, 1, 0), 1);
    ck_assert_int_eq(recv(ends[1], &byte, 1, 0), _i ? -1 : 0);
    stream_free(plain, false);
    close(ends[1]);
}
END_TEST

START_TEST(the_last_end_over_tls_is_said)
{
    give(1, STREAM_EOF);
    flow.last = true;
    run();
    assert_state(FLOW_DONE, FLOW_WAIT_NOTHING);
    ck_assert_int_eq(sink.n_shutdowns, 1);
}
END_TEST

static const enum stream_status faults[] = {STREAM_RESET, STREAM_FAILED};

START_TEST(a_source_that_fails_is_at_fault_behind_its_bytes)
{
    give(700, faults[_i]);
    sink.writes = (struct script){.steps = {{STREAM_AGAIN_WRITE, 0}, {STREAM_OK, BYTES_MAX}}};
    run();
    assert_state(FLOW_BROKEN, FLOW_WAIT_SINK_WRITE);
    run();
    ck_assert_uint_eq(sink.taken, 700);
    assert_failed(FLOW_FAULT_SOURCE, faults[_i]);
}
END_TEST

START_TEST(a_sink_that_fails_is_at_fault_and_the_rest_is_dropped)
{
    static const struct step steps[] = {{STREAM_RESET, STREAM_RESET},
                                        {STREAM_FAILED, STREAM_FAILED},
                                        {STREAM_EOF, STREAM_RESET},
                                        {STREAM_TRUNCATED, STREAM_RESET}};
    give(700, STREAM_AGAIN_READ);
    sink.writes = (struct script){.steps = {{STREAM_OK, 100}, {steps[_i].status, 0}}};
    run();
    ck_assert_uint_eq(flow.delivered, 100);
    assert_failed(FLOW_FAULT_SINK, (enum stream_status)steps[_i].count);
}
END_TEST

/* _i: 0 an end in order, 1 an end without notice, 2, 3 a failure. The session has failed elsewhere already. */
START_TEST(a_doomed_flow_delivers_and_ends_without_a_word)
{
    static const enum stream_status ends[] = {STREAM_EOF, STREAM_TRUNCATED, STREAM_RESET, STREAM_FAILED};
    give(300, STREAM_AGAIN_READ);
    run();
    flow_doom(&flow);
    assert_state(FLOW_OPEN, FLOW_WAIT_SOURCE_READ);
    give(300, ends[_i]);
    run();
    ck_assert_uint_eq(sink.taken, 600);
    assert_failed(FLOW_FAULT_NONE, STREAM_OK);
}
END_TEST

START_TEST(an_end_that_has_not_been_passed_on_is_none_for_the_doomed)
{
    give(300, STREAM_EOF);
    sink.writes = (struct script){.steps = {{STREAM_AGAIN_WRITE, 0}, {STREAM_OK, BYTES_MAX}}};
    run();
    assert_state(FLOW_ENDED, FLOW_WAIT_SINK_WRITE);
    flow_doom(&flow);
    run();
    ck_assert_uint_eq(sink.taken, 300);
    assert_failed(FLOW_FAULT_NONE, STREAM_OK);
}
END_TEST

START_TEST(an_abandoned_flow_drops_what_it_holds)
{
    give(300, STREAM_AGAIN_READ);
    sink.writes.steps[0] = (struct step){STREAM_AGAIN_WRITE, 0};
    run();
    ck_assert_uint_eq(buffers_out(buffers), 1);
    flow_abandon(&flow, buffers);
    ck_assert_uint_eq(flow.delivered, 0);
    assert_failed(FLOW_FAULT_NONE, STREAM_OK);
}
END_TEST

START_TEST(no_memory_is_a_fault_of_its_own)
{
    no_memory = true;
    run();
    ck_assert_int_eq(source.n_reads, 0);
    assert_failed(FLOW_FAULT_MEMORY, STREAM_OK);
}
END_TEST

/* One that never says "again" must not keep the others waiting. */
START_TEST(a_source_without_end_gets_its_share_and_no_more)
{
    source.reads.steps[0] = (struct step){STREAM_OK, BYTES_MAX};
    source.pending = true;
    for (uint64_t turn = 1; turn <= 3; turn++) {
        uint64_t before = flow.delivered;
        run();
        assert_state(FLOW_OPEN, FLOW_WAIT_TURN);
        ck_assert_uint_ge(flow.delivered, before + SHARE);
        ck_assert_uint_lt(flow.delivered, before + SHARE + BUFFERS_LARGE);
        ck_assert_uint_eq(buffers_out(buffers), 0);
    }
    ck_assert_uint_eq(sink.taken, flow.delivered);
}
END_TEST

/* TLS gives a record at a time: behind a small one nothing is expected, unless it says so. */
START_TEST(behind_a_small_record_nothing_is_read_in_vain)
{
    static const struct {
        size_t count;
        bool pending;
        int reads;
    } cases[] = {{4095, false, 1}, {4096, false, 2}, {4095, true, 2}, {1, true, 2}, {1, false, 1}};
    give(cases[_i].count, STREAM_AGAIN_READ);
    source.pending = cases[_i].pending;
    run();
    assert_state(FLOW_OPEN, FLOW_WAIT_SOURCE_READ);
    ck_assert_int_eq(source.n_reads, cases[_i].reads);
    ck_assert_uint_eq(sink.taken, cases[_i].count);
}
END_TEST

/* The room that a source is offered: little for who says little, much for who has just given 16 KiB at a time. */
START_TEST(a_source_that_gives_much_is_offered_much)
{
    give(16383, STREAM_AGAIN_READ);
    run();
    give(1, STREAM_AGAIN_READ);
    source.reads.steps[0].count = 1;
    run();
    ck_assert_uint_eq(source.last_room, BUFFERS_SMALL - 1);
    give(16384, STREAM_AGAIN_READ);
    run();
    give(1, STREAM_AGAIN_READ);
    run();
    ck_assert_uint_eq(source.last_room, BUFFERS_LARGE - 1);
    run(); /* said little: an AGAIN_READ alone */
    run();
    ck_assert_uint_eq(source.last_room, BUFFERS_SMALL);
    ck_assert_uint_eq(sink.taken, 16383 + 1 + 16384 + 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("flow");
    TCase *tcase = tcase_create("flow");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_loop_test(tcase, what_the_source_waits_for_is_waited_for_and_nothing_is_held, 0, 2);
    tcase_add_test(tcase, what_the_sink_waits_for_is_waited_for_with_the_bytes_in_hand);
    tcase_add_loop_test(tcase, an_end_is_passed_on_once_behind_the_bytes, 0, 2);
    tcase_add_test(tcase, an_end_waits_for_the_bytes_before_it);
    tcase_add_test(tcase, an_end_that_cannot_be_passed_on_yet_is_tried_again);
    tcase_add_test(tcase, an_end_that_the_sink_does_not_take_is_its_fault);
    tcase_add_test(tcase, the_owner_is_asked_once_before_the_end_is_passed_on);
    tcase_add_loop_test(tcase, the_last_end_of_a_plain_socket_is_left_to_its_close, 0, 2);
    tcase_add_test(tcase, the_last_end_over_tls_is_said);
    tcase_add_loop_test(tcase, a_source_that_fails_is_at_fault_behind_its_bytes, 0, 2);
    tcase_add_loop_test(tcase, a_sink_that_fails_is_at_fault_and_the_rest_is_dropped, 0, 4);
    tcase_add_loop_test(tcase, a_doomed_flow_delivers_and_ends_without_a_word, 0, 4);
    tcase_add_test(tcase, an_end_that_has_not_been_passed_on_is_none_for_the_doomed);
    tcase_add_test(tcase, an_abandoned_flow_drops_what_it_holds);
    tcase_add_test(tcase, no_memory_is_a_fault_of_its_own);
    tcase_add_test(tcase, a_source_without_end_gets_its_share_and_no_more);
    tcase_add_loop_test(tcase, behind_a_small_record_nothing_is_read_in_vain, 0, 5);
    tcase_add_test(tcase, a_source_that_gives_much_is_offered_much);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    under_filter(FILTER_RELAY);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
