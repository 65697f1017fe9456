/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "relay/pump/pump.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/stream_fd.h"
#include "seed.h"
#include "under_filter.h"

#define PATTERN  65521 /* a prime: no block size divides it */
#define MEGABYTE (1024 * 1024)

static unsigned char pattern[PATTERN];

/* ---- sockets ---- */

/* A connected TCP pair over loopback; AF_UNIX has no RST and no half-written segments. */
static void tcp_pair(int ret_fds[static 2])
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(listener, (struct sockaddr *)&address, length), 0);
    ck_assert_int_eq(listen(listener, 1), 0);
    ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&address, &length), 0);
    ret_fds[0] = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(connect(ret_fds[0], (struct sockaddr *)&address, length), 0);
    ret_fds[1] = accept(listener, NULL, NULL);
    ck_assert_int_ge(ret_fds[1], 0);
    close(listener);
}

static void close_with_reset(int fd)
{
    const struct linger linger = {.l_onoff = 1};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    close(fd);
}

/* Until the peer's kernel has acknowledged everything. */
static void wait_delivered(int fd)
{
    int left = 1;
    for (int i = 0; i < 5000 && left > 0; i++) {
        ck_assert_int_eq(ioctl(fd, SIOCOUTQ, &left), 0);
        if (left > 0)
            poll(NULL, 0, 1);
    }
    ck_assert_int_eq(left, 0);
}

/* ---- a stream that is as difficult as TLS may be ---- */

struct fake {
    struct stream stream;
    unsigned char in[16384]; /* a record that was read, and is given out in parts */
    size_t at, end;
    size_t promised; /* what the caller must offer again */
    unsigned char first;
    int shut; /* how often shutdown was called */
    unsigned state;
};

static unsigned fake_random(struct fake *fake, unsigned n)
{
    fake->state = fake->state * 1103515245u + 12345u;
    return (fake->state >> 16) % n;
}

static enum stream_status fake_error(enum stream_status again)
{
    if (errno == EAGAIN)
        return again;
    return errno == ECONNRESET || errno == EPIPE ? STREAM_RESET : STREAM_FAILED;
}

static enum stream_status fake_read(struct stream *stream, void *buf, size_t size, size_t *ret_count)
{
    struct fake *fake = (struct fake *)stream;
    if (fake->at == fake->end) {
        if (fake_random(fake, 8) == 0)
            return fake_random(fake, 4) ? STREAM_AGAIN_READ : STREAM_AGAIN_WRITE;
        ssize_t n = recv(stream_fd(stream), fake->in, 1 + fake_random(fake, sizeof fake->in), 0);
        if (n <= 0)
            return n == 0 ? STREAM_EOF : fake_error(STREAM_AGAIN_READ);
        fake->at = 0;
        fake->end = (size_t)n;
    }
    size_t n = fake->end - fake->at;
    if (fake_random(fake, 2))
        n = 1 + fake_random(fake, (unsigned)n);
    n = n < size ? n : size;
    memcpy(buf, fake->in + fake->at, n);
    fake->at += n;
    *ret_count = n;
    return STREAM_OK;
}

static enum stream_status fake_write(struct stream *stream, const void *buf, size_t size, size_t *ret_count)
{
    struct fake *fake = (struct fake *)stream;
    char byte;
    ck_assert_int_eq(fake->shut, 0);
    if (fake->promised > 0) {
        ck_assert_uint_ge(size, fake->promised);
        ck_assert_uint_eq(*(const unsigned char *)buf, fake->first);
    }
    fake->promised = size;
    fake->first = *(const unsigned char *)buf;
    if (fake_random(fake, 8) == 0)
        return STREAM_AGAIN_WRITE;
    /* As in a key update: something must be read first, and it is there. */
    if (fake_random(fake, 8) == 0 && recv(stream_fd(stream), &byte, 1, MSG_PEEK) > 0)
        return STREAM_AGAIN_READ;
    ssize_t n = send(stream_fd(stream), buf, 1 + fake_random(fake, (unsigned)size), MSG_NOSIGNAL);
    if (n < 0)
        return fake_error(STREAM_AGAIN_WRITE);
    fake->promised = 0;
    *ret_count = (size_t)n;
    return STREAM_OK;
}

static enum stream_status fake_shutdown(struct stream *stream)
{
    struct fake *fake = (struct fake *)stream;
    if (fake_random(fake, 2))
        return STREAM_AGAIN_WRITE;
    ck_assert_int_eq(fake->shut++, 0);
    return shutdown(stream_fd(stream), SHUT_WR) == 0 ? STREAM_OK : STREAM_RESET;
}

static bool fake_pending(const struct stream *stream)
{
    const struct fake *fake = (const struct fake *)stream;
    return fake->at < fake->end;
}

static const char *fake_text(const struct stream *stream)
{
    return "fake";
}

static void fake_free(struct stream *stream, bool reset)
{
    stream_free(stream->below, reset);
    free(stream);
}

static const struct stream_ops fake_ops = {.read = fake_read,
                                           .write = fake_write,
                                           .shutdown_write = fake_shutdown,
                                           .pending = fake_pending,
                                           .error = fake_text,
                                           .free = fake_free};

static struct stream *make_stream(int fd, bool fake, unsigned seed)
{
    ck_assert_int_eq(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    if (!fake)
        return stream_new_plain(fd);
    struct fake *stream = calloc(1, sizeof *stream);
    stream->stream.ops = &fake_ops;
    stream->stream.below = stream_new_plain(fd);
    stream->state = seed;
    return &stream->stream;
}

/* ---- a stream without a descriptor ---- */

/* As one of many on a connection may be: it gives so many bytes of the pattern, takes all that is written, and says
 * "again" every third time. */
struct queue {
    struct stream stream;
    struct ev_loop *loop;
    ev_timer ready; /* runs while somebody watches */
    int events;
    stream_ready_cb *cb;
    void *data;
    size_t total, given, taken;
    unsigned calls;
    bool shut, wrong;
    bool dead; /* and tells of no event */
};

static enum stream_status queue_read(struct stream *stream, void *buf, size_t size, size_t *ret_count)
{
    struct queue *queue = (struct queue *)stream;
    size_t at = queue->given % PATTERN, n = PATTERN - at;
    if (queue->dead)
        return STREAM_RESET;
    if (queue->calls++ % 3 == 0)
        return STREAM_AGAIN_READ;
    n = n < size ? n : size;
    n = n < queue->total - queue->given ? n : queue->total - queue->given;
    if (n == 0)
        return STREAM_EOF;
    memcpy(buf, pattern + at, n);
    queue->given += n;
    *ret_count = n;
    return STREAM_OK;
}

static enum stream_status queue_write(struct stream *stream, const void *buf, size_t size, size_t *ret_count)
{
    struct queue *queue = (struct queue *)stream;
    size_t at = queue->taken % PATTERN, n = size < PATTERN - at ? size : PATTERN - at;
    ck_assert(!queue->shut);
    if (queue->dead)
        return STREAM_RESET;
    if (queue->calls++ % 3 == 0)
        return STREAM_AGAIN_WRITE;
    queue->wrong |= memcmp(buf, pattern + at, n) != 0;
    queue->taken += n;
    *ret_count = n;
    return STREAM_OK;
}

static enum stream_status queue_shutdown(struct stream *stream)
{
    struct queue *queue = (struct queue *)stream;
    ck_assert(!queue->shut);
    queue->shut = true;
    return STREAM_OK;
}

static bool queue_pending(const struct stream *stream)
{
    return false;
}

static void queue_free(struct stream *stream, bool reset)
{
    struct queue *queue = (struct queue *)stream;
    ev_timer_stop(queue->loop, &queue->ready);
    free(queue);
}

static void queue_ready_cb(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct queue *queue = timer->data;
    queue->cb(queue->events, queue->data);
}

static void queue_watch(struct stream *stream, struct ev_loop *loop, int events, stream_ready_cb *cb, void *data)
{
    struct queue *queue = (struct queue *)stream;
    ev_timer_stop(loop, &queue->ready);
    queue->events = events;
    queue->cb = cb;
    queue->data = data;
    if (events && !queue->dead)
        ev_timer_start(loop, &queue->ready);
}

static void queue_forget_ready(struct stream *stream)
{
    struct queue *queue = (struct queue *)stream;
    ev_clear_pending(queue->loop, &queue->ready);
}

static bool queue_set_low_water(struct stream *stream, size_t bytes)
{
    return false;
}

static const struct stream_transport queue_transport = {
    .watch = queue_watch, .forget_ready = queue_forget_ready, .set_low_water = queue_set_low_water};
static const struct stream_ops queue_ops = {.read = queue_read,
                                            .write = queue_write,
                                            .shutdown_write = queue_shutdown,
                                            .pending = queue_pending,
                                            .error = fake_text,
                                            .free = queue_free,
                                            .transport = &queue_transport};

static struct queue *queue_new(struct ev_loop *loop, size_t total)
{
    struct queue *queue = calloc(1, sizeof *queue);
    ck_assert_ptr_nonnull(queue);
    queue->stream.ops = &queue_ops;
    queue->loop = loop;
    queue->total = total;
    ev_timer_init(&queue->ready, queue_ready_cb, 0., 0.);
    queue->ready.data = queue;
    return queue;
}

/* ---- the ends ---- */

enum end_how { END_SHUTDOWN, END_RESET, END_NOTHING };

/* One direction of an application: a thread that writes, another that reads. */
struct writer {
    pthread_t thread;
    int fd;
    size_t total;
    enum end_how end;
    bool after_eof; /* begins only when the other direction has ended */
    pthread_t *wait_for;
    unsigned seed;
};

struct reader {
    pthread_t thread;
    int fd;
    size_t total;
    unsigned pause_ms; /* before the first read */
    unsigned seed;
    int error; /* errno at the end, 0: EOF */
    bool wrong;
};

static void *writer_main(void *data)
{
    struct writer *writer = data;
    size_t sent = 0;
    if (writer->after_eof)
        pthread_join(*writer->wait_for, NULL);
    while (sent < writer->total) {
        size_t at = sent % PATTERN, n = 1 + (size_t)rand_r(&writer->seed) % PATTERN;
        n = rand_r(&writer->seed) % 4 ? n : 1 + n % 100;
        n = n < PATTERN - at ? n : PATTERN - at;
        n = n < writer->total - sent ? n : writer->total - sent;
        ssize_t done = send(writer->fd, pattern + at, n, MSG_NOSIGNAL);
        if (done < 0)
            return NULL;
        sent += (size_t)done;
    }
    if (writer->end == END_SHUTDOWN)
        shutdown(writer->fd, SHUT_WR);
    else if (writer->end == END_RESET) {
        wait_delivered(writer->fd);
        close_with_reset(writer->fd);
    }
    return NULL;
}

static void *reader_main(void *data)
{
    struct reader *reader = data;
    static _Thread_local unsigned char buf[PATTERN];
    if (reader->pause_ms > 0)
        poll(NULL, 0, (int)reader->pause_ms);
    for (;;) {
        size_t at = reader->total % PATTERN, n = 1 + (size_t)rand_r(&reader->seed) % PATTERN;
        ssize_t done = recv(reader->fd, buf, n < PATTERN - at ? n : PATTERN - at, 0);
        if (done <= 0) {
            reader->error = done < 0 ? errno : 0;
            return NULL;
        }
        reader->wrong |= memcmp(buf, pattern + at, (size_t)done) != 0;
        reader->total += (size_t)done;
    }
}

/* ---- what runs out: the linker sends the pump's calls here ---- */

static bool no_memory;
static int pipe_size_error; /* errno of F_SETPIPE_SZ; 0: it works */

void *__real_buffers_get(struct buffers *buffers, bool large, size_t *ret_size);
void *__wrap_buffers_get(struct buffers *buffers, bool large, size_t *ret_size);
int __real_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, long argument);

void *__wrap_buffers_get(struct buffers *buffers, bool large, size_t *ret_size)
{
    return no_memory ? NULL : __real_buffers_get(buffers, large, ret_size);
}

int __wrap_fcntl(int fd, int command, long argument)
{
    if (command == F_SETPIPE_SZ && pipe_size_error) {
        errno = pipe_size_error;
        return -1;
    }
    return __real_fcntl(fd, command, argument);
}

/* ---- the pump between two pairs ---- */

struct rig {
    struct ev_loop *loop;
    struct buffers *buffers;
    struct stats stats;
    struct pump_means means;
    struct pump pump;
    struct stream *client, *proxy;
    int client_end, proxy_end; /* the applications' */
    ev_timer deadline, watch;
    enum pump_event event;
    bool finished, half_closed, client_ended, abandons;
    size_t wait_delivered; /* ends the loop when both directions have delivered so much together */
    unsigned seed;
};

static void rig_pump_cb(struct pump *pump, enum pump_event event, void *data)
{
    struct rig *rig = data;
    ck_assert_ptr_eq(pump, &rig->pump);
    if (event == PUMP_HALF_CLOSED) {
        ck_assert(!rig->half_closed);
        rig->half_closed = true;
        return;
    }
    ck_assert(!rig->finished);
    if (event == PUMP_CLIENT_ENDS) {
        ck_assert(!rig->client_ended);
        rig->client_ended = true;
        ck_assert_int_eq(pump->down.state, FLOW_OPEN);
        if (rig->abandons)
            pump_abandon(pump);
        return;
    }
    rig->finished = true;
    rig->event = event;
    ev_break(rig->loop, EVBREAK_ALL);
}

static void deadline_cb(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct rig *rig = timer->data;
    ck_abort_msg("deadline; up state %d wait %d, down state %d wait %d", rig->pump.up.state, rig->pump.up.wait,
                 rig->pump.down.state, rig->pump.down.wait);
}

static void watch_cb(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct rig *rig = timer->data;
    if (rig->wait_delivered > 0 && rig->pump.up.delivered + rig->pump.down.delivered == rig->wait_delivered)
        ev_break(loop, EVBREAK_ALL);
}

static void rig_init(struct rig *rig, bool fake_client, bool fake_proxy, size_t max_pipes)
{
    int client[2], proxy[2];
    memset(rig, 0, sizeof *rig);
    rig->seed = seed_of_run();
    for (size_t i = 0; i < PATTERN; i++)
        pattern[i] = (unsigned char)(i * 2654435761u >> 15);
    signal(SIGPIPE, SIG_IGN);
    tcp_pair(client);
    tcp_pair(proxy);
    rig->client_end = client[0];
    rig->proxy_end = proxy[1];
    rig->client = make_stream(client[1], fake_client, rig->seed + 1);
    rig->proxy = make_stream(proxy[0], fake_proxy, rig->seed + 2);
    rig->loop = ev_loop_new(EVFLAG_AUTO);
    rig->buffers = buffers_new(max_pipes);
    ev_timer_init(&rig->deadline, deadline_cb, 120., 0.);
    ev_timer_init(&rig->watch, watch_cb, 0.002, 0.002);
    rig->deadline.data = rig->watch.data = rig;
    ev_timer_start(rig->loop, &rig->deadline);
    ev_timer_start(rig->loop, &rig->watch);
    rig->means = (struct pump_means){.loop = rig->loop, .buffers = rig->buffers, .stats = &rig->stats};
    pump_init(&rig->pump, &rig->means, rig->client, rig->proxy, rig_pump_cb, rig);
}

static void rig_fini(struct rig *rig, bool reset)
{
    ck_assert_uint_eq(rig->stats.bytes_up, rig->pump.up.delivered);
    ck_assert_uint_eq(rig->stats.bytes_down, rig->pump.down.delivered);
    pump_fini(&rig->pump);
    ck_assert_uint_eq(buffers_out(rig->buffers), 0);
    ck_assert_uint_eq(buffers_pipes_out(rig->buffers), 0);
    stream_free(rig->client, reset);
    stream_free(rig->proxy, reset);
    buffers_free(rig->buffers);
    ev_loop_destroy(rig->loop);
}

static void rig_run(struct rig *rig)
{
    pump_start(&rig->pump);
    ck_assert_uint_eq(rig->pump.up.delivered, 0);
    ev_run(rig->loop, 0);
}

struct transfer {
    struct writer up_writer, down_writer;
    struct reader up_reader, down_reader;
};

static void transfer_init(struct transfer *transfer, struct rig *rig, size_t up, size_t down)
{
    unsigned seed = rig->seed;
    *transfer = (struct transfer){
        .up_writer = {.fd = rig->client_end, .total = up, .seed = seed + 3},
        .down_writer = {.fd = rig->proxy_end, .total = down, .seed = seed + 4},
        .up_reader = {.fd = rig->proxy_end, .seed = seed + 5},
        .down_reader = {.fd = rig->client_end, .seed = seed + 6},
    };
}

static void transfer_start(struct transfer *transfer)
{
    pthread_create(&transfer->up_reader.thread, NULL, reader_main, &transfer->up_reader);
    pthread_create(&transfer->down_reader.thread, NULL, reader_main, &transfer->down_reader);
    pthread_create(&transfer->up_writer.thread, NULL, writer_main, &transfer->up_writer);
    pthread_create(&transfer->down_writer.thread, NULL, writer_main, &transfer->down_writer);
}

static void transfer_join(struct transfer *transfer)
{
    pthread_join(transfer->up_writer.thread, NULL);
    pthread_join(transfer->down_writer.thread, NULL);
    if (!transfer->down_writer.after_eof)
        pthread_join(transfer->up_reader.thread, NULL);
    if (!transfer->up_writer.after_eof)
        pthread_join(transfer->down_reader.thread, NULL);
}

static void assert_whole(const struct reader *reader, size_t total)
{
    ck_assert(!reader->wrong);
    ck_assert_int_eq(reader->error, 0);
    ck_assert_uint_eq(reader->total, total);
}

/* ---- tests ---- */

/* _i: bit 0 fake client, bit 1 fake proxy, bit 2 no pipes. */
START_TEST(both_directions_arrive_whole)
{
    struct rig rig;
    struct transfer transfer;
    rig_init(&rig, _i & 1, _i & 2, _i & 4 ? 0 : 64);
    transfer_init(&transfer, &rig, 5 * MEGABYTE + 17, 9 * MEGABYTE + 3);
    transfer_start(&transfer);
    rig_run(&rig);
    ck_assert_int_eq(rig.event, PUMP_DONE);
    ck_assert_uint_eq(rig.pump.up.delivered, 5 * MEGABYTE + 17);
    ck_assert_uint_eq(rig.pump.down.delivered, 9 * MEGABYTE + 3);
    rig_fini(&rig, false);
    transfer_join(&transfer);
    assert_whole(&transfer.up_reader, 5 * MEGABYTE + 17);
    assert_whole(&transfer.down_reader, 9 * MEGABYTE + 3);
}
END_TEST

START_TEST(a_stream_without_a_descriptor_is_pumped_as_any_other)
{
    struct rig rig;
    struct transfer transfer;
    rig_init(&rig, _i & 1, false, 64);
    pump_fini(&rig.pump);
    stream_free(rig.proxy, true);
    struct queue *queue = queue_new(rig.loop, 5 * MEGABYTE + 17);
    rig.proxy = &queue->stream;
    pump_init(&rig.pump, &rig.means, rig.client, rig.proxy, rig_pump_cb, &rig);
    transfer_init(&transfer, &rig, 3 * MEGABYTE + 5, 0);
    pthread_create(&transfer.up_writer.thread, NULL, writer_main, &transfer.up_writer);
    pthread_create(&transfer.down_reader.thread, NULL, reader_main, &transfer.down_reader);
    rig_run(&rig);
    ck_assert_int_eq(rig.event, PUMP_DONE);
    ck_assert_uint_eq(queue->taken, 3 * MEGABYTE + 5);
    ck_assert(queue->shut && !queue->wrong);
    rig_fini(&rig, false);
    pthread_join(transfer.up_writer.thread, NULL);
    pthread_join(transfer.down_reader.thread, NULL);
    assert_whole(&transfer.down_reader, 5 * MEGABYTE + 17);
    close(rig.proxy_end);
}
END_TEST

/* A write finds out; nothing else will ever be heard of it. */
START_TEST(a_dead_proxy_is_read_to_its_end_unasked)
{
    struct rig rig;
    rig_init(&rig, false, false, 64);
    pump_fini(&rig.pump);
    stream_free(rig.proxy, true);
    struct queue *queue = queue_new(rig.loop, 100);
    queue->dead = true;
    rig.proxy = &queue->stream;
    pump_init(&rig.pump, &rig.means, rig.client, rig.proxy, rig_pump_cb, &rig);
    pump_start(&rig.pump);
    while (rig.pump.down.wait != FLOW_WAIT_SOURCE_READ || rig.pump.up.wait != FLOW_WAIT_SOURCE_READ)
        ev_run(rig.loop, EVRUN_NOWAIT);
    ck_assert_int_eq(send(rig.client_end, pattern, 100, 0), 100);
    ev_run(rig.loop, 0);
    ck_assert_int_eq(rig.event, PUMP_FAILED);
    ck_assert_int_eq(rig.pump.fault, FLOW_FAULT_SINK);
    ck_assert_int_eq(rig.pump.fault_side, PUMP_PROXY);
    rig_fini(&rig, true);
    close(rig.client_end);
    close(rig.proxy_end);
}
END_TEST

/* The answer begins only after the question has ended, whichever side asks. _i: bit 0, 1 as above, bit 2 proxy asks. */
START_TEST(half_close_passes_and_the_other_direction_goes_on)
{
    struct rig rig;
    struct transfer transfer;
    rig_init(&rig, _i & 1, _i & 2, 64);
    transfer_init(&transfer, &rig, 300000, 400000);
    if (_i & 4) {
        transfer.up_writer.after_eof = true;
        transfer.up_writer.wait_for = &transfer.down_reader.thread;
    } else {
        transfer.down_writer.after_eof = true;
        transfer.down_writer.wait_for = &transfer.up_reader.thread;
    }
    transfer_start(&transfer);
    rig_run(&rig);
    ck_assert_int_eq(rig.event, PUMP_DONE);
    ck_assert(rig.half_closed);
    rig_fini(&rig, false);
    transfer_join(&transfer);
    assert_whole(&transfer.up_reader, 300000);
    assert_whole(&transfer.down_reader, 400000);
}
END_TEST

START_TEST(a_slow_reader_gets_everything)
{
    struct rig rig;
    struct transfer transfer;
    size_t total = (size_t)(_i & 1 ? 20 : 100) * MEGABYTE;
    rig_init(&rig, false, _i & 1, 64);
    transfer_init(&transfer, &rig, 0, total);
    transfer.down_reader.pause_ms = 300;
    transfer_start(&transfer);
    rig_run(&rig);
    ck_assert_int_eq(rig.event, PUMP_DONE);
    rig_fini(&rig, false);
    transfer_join(&transfer);
    assert_whole(&transfer.down_reader, total);
}
END_TEST

/* The client has said all and is gone: the proxy's direction is not waited for. _i: bit 0, 1 as above. */
START_TEST(a_client_that_is_gone_ends_the_session)
{
    struct rig rig;
    struct transfer transfer;
    rig_init(&rig, _i & 1, _i & 2, 64);
    rig.abandons = true;
    transfer_init(&transfer, &rig, 300000, 0);
    pthread_create(&transfer.up_writer.thread, NULL, writer_main, &transfer.up_writer);
    pthread_create(&transfer.up_reader.thread, NULL, reader_main, &transfer.up_reader);
    rig_run(&rig);
    ck_assert_int_eq(rig.event, PUMP_DONE);
    ck_assert(rig.client_ended && rig.pump.abandoned);
    ck_assert_uint_eq(rig.pump.up.delivered, 300000);
    rig_fini(&rig, false);
    pthread_join(transfer.up_writer.thread, NULL);
    pthread_join(transfer.up_reader.thread, NULL);
    assert_whole(&transfer.up_reader, 300000);
}
END_TEST

START_TEST(nothing_at_all_is_an_end_in_order)
{
    struct rig rig;
    struct transfer transfer;
    rig_init(&rig, _i & 1, _i & 2, 64);
    transfer_init(&transfer, &rig, 0, 0);
    transfer_start(&transfer);
    rig_run(&rig);
    ck_assert_int_eq(rig.event, PUMP_DONE);
    rig_fini(&rig, false);
    transfer_join(&transfer);
    assert_whole(&transfer.up_reader, 0);
    assert_whole(&transfer.down_reader, 0);
}
END_TEST

START_TEST(bytes_given_back_come_first)
{
    struct rig rig;
    struct transfer transfer;
    rig_init(&rig, _i & 1, _i & 2, 64);
    ck_assert_int_eq(stream_unread(rig.client, pattern, 5000), 0);
    ck_assert_int_eq(stream_unread(rig.proxy, pattern, 7000), 0);
    transfer_init(&transfer, &rig, 0, 0);
    transfer_start(&transfer);
    rig_run(&rig);
    ck_assert_int_eq(rig.event, PUMP_DONE);
    rig_fini(&rig, false);
    transfer_join(&transfer);
    assert_whole(&transfer.up_reader, 5000);
    assert_whole(&transfer.down_reader, 7000);
}
END_TEST

START_TEST(an_idle_pump_holds_no_buffer_and_no_pipe)
{
    struct rig rig;
    struct transfer transfer;
    rig_init(&rig, _i & 1, _i & 2, 64);
    transfer_init(&transfer, &rig, 3 * MEGABYTE, 2 * MEGABYTE);
    transfer.up_writer.end = transfer.down_writer.end = END_NOTHING;
    transfer_start(&transfer);
    rig.wait_delivered = 5 * MEGABYTE;
    rig_run(&rig);
    ck_assert(!rig.finished && !rig.half_closed);
    ck_assert_uint_eq(buffers_out(rig.buffers), 0);
    ck_assert_uint_eq(buffers_pipes_out(rig.buffers), 0);
    pthread_join(transfer.up_writer.thread, NULL);
    pthread_join(transfer.down_writer.thread, NULL);
    rig_fini(&rig, false);
    pthread_join(transfer.up_reader.thread, NULL);
    pthread_join(transfer.down_reader.thread, NULL);
    assert_whole(&transfer.up_reader, 3 * MEGABYTE);
}
END_TEST

/* Long transfers wait for more bytes at a time; their last ones, and what comes later, must not wait for company. */
START_TEST(what_follows_a_long_transfer_is_not_held_back)
{
    enum { LENGTH = 20 * MEGABYTE };
    struct rig rig;
    struct transfer transfer;
    struct writer *writer = _i & 4 ? &transfer.up_writer : &transfer.down_writer;
    struct reader *reader = _i & 4 ? &transfer.up_reader : &transfer.down_reader;
    const struct flow *flow = _i & 4 ? &rig.pump.up : &rig.pump.down;
    rig_init(&rig, _i & 1, _i & 2, 64);
    transfer_init(&transfer, &rig, LENGTH, LENGTH);
    writer->end = END_NOTHING;
    pthread_create(&reader->thread, NULL, reader_main, reader);
    pthread_create(&writer->thread, NULL, writer_main, writer);
    rig.wait_delivered = LENGTH;
    rig_run(&rig);
    ck_assert_uint_eq(flow->delivered, LENGTH);
    pthread_join(writer->thread, NULL);
    for (size_t i = 0; i < 20; i++) { /* the reader knows the pattern */
        ck_assert_int_eq(send(writer->fd, pattern + rig.wait_delivered % PATTERN, 1, 0), 1);
        rig.wait_delivered++;
        ev_run(rig.loop, 0);
    }
    ck_assert(!rig.finished);
    ck_assert(!flow->coalescing);
    rig_fini(&rig, false);
    pthread_join(reader->thread, NULL);
    assert_whole(reader, LENGTH + 20);
}
END_TEST

/* _i: bit 0, 1 as above, bit 2: the client resets. What it had sent before arrives, and then no end in order. */
START_TEST(a_reset_is_a_failure_of_its_side_behind_the_bytes_before_it)
{
    struct rig rig;
    struct transfer transfer;
    struct reader *reader;
    rig_init(&rig, _i & 1, _i & 2, 64);
    transfer_init(&transfer, &rig, 200000, 200000);
    struct writer *writer = _i & 4 ? &transfer.up_writer : &transfer.down_writer;
    reader = _i & 4 ? &transfer.up_reader : &transfer.down_reader;
    writer->end = END_RESET;
    pthread_create(&writer->thread, NULL, writer_main, writer);
    pthread_create(&reader->thread, NULL, reader_main, reader);
    rig_run(&rig);
    ck_assert_int_eq(rig.event, PUMP_FAILED);
    ck_assert_int_eq(rig.pump.fault, FLOW_FAULT_SOURCE);
    ck_assert_int_eq(rig.pump.fault_side, _i & 4 ? PUMP_CLIENT : PUMP_PROXY);
    ck_assert_int_eq(rig.pump.fault_status, STREAM_RESET);
    ck_assert_uint_eq(rig.pump.up.delivered + rig.pump.down.delivered, 200000);
    wait_delivered(stream_fd(_i & 4 ? rig.proxy : rig.client));
    rig_fini(&rig, true);
    pthread_join(writer->thread, NULL);
    pthread_join(reader->thread, NULL);
    ck_assert(!reader->wrong);
    ck_assert_uint_eq(reader->total, 200000);
    ck_assert_int_eq(reader->error, ECONNRESET);
}
END_TEST

/* The proxy answers and goes away while the client is still sending: the answer must not be lost with the request. */
START_TEST(a_write_that_fails_leaves_the_answer_alive)
{
    struct rig rig;
    struct reader reader = {.seed = 1};
    rig_init(&rig, false, _i & 1, 64);
    reader.fd = rig.client_end;
    ck_assert_int_eq(send(rig.proxy_end, pattern, 30000, 0), 30000);
    wait_delivered(rig.proxy_end);
    close_with_reset(rig.proxy_end);
    ck_assert_int_eq(send(rig.client_end, pattern, 1000, 0), 1000);
    pthread_create(&reader.thread, NULL, reader_main, &reader);
    rig_run(&rig);
    ck_assert_int_eq(rig.event, PUMP_FAILED);
    ck_assert_int_eq(rig.pump.fault_side, PUMP_PROXY);
    wait_delivered(stream_fd(rig.client));
    rig_fini(&rig, true);
    pthread_join(reader.thread, NULL);
    ck_assert(!reader.wrong);
    ck_assert_uint_eq(reader.total, 30000);
    ck_assert_int_eq(reader.error, ECONNRESET);
}
END_TEST

/* _i: which side's bytes find no buffer. The other direction stops too: half a session is none. */
START_TEST(no_memory_ends_the_session)
{
    struct rig rig;
    rig_init(&rig, true, true, 64);
    no_memory = true;
    ck_assert_int_eq(send(_i == PUMP_CLIENT ? rig.client_end : rig.proxy_end, pattern, 100, 0), 100);
    rig_run(&rig);
    no_memory = false;
    ck_assert_int_eq(rig.event, PUMP_FAILED);
    ck_assert_int_eq(rig.pump.fault, FLOW_FAULT_MEMORY);
    ck_assert_int_eq(rig.pump.up.state, FLOW_DONE);
    ck_assert_int_eq(rig.pump.down.state, FLOW_DONE);
    rig_fini(&rig, true);
    close(rig.client_end);
    close(rig.proxy_end);
}
END_TEST

START_TEST(a_pump_that_ends_early_gives_everything_back)
{
    struct rig rig;
    struct transfer transfer;
    rig_init(&rig, false, _i & 1, 64);
    transfer_init(&transfer, &rig, 0, 50 * MEGABYTE);
    pthread_create(&transfer.down_writer.thread, NULL, writer_main, &transfer.down_writer);
    pump_start(&rig.pump);
    while (rig.pump.down.wait != FLOW_WAIT_SINK_WRITE) /* nobody reads: it fills up */
        ev_run(rig.loop, EVRUN_ONCE);
    ck_assert_uint_eq(buffers_out(rig.buffers) + buffers_pipes_out(rig.buffers), 1);
    rig_fini(&rig, true);
    pthread_join(transfer.down_writer.thread, NULL);
}
END_TEST

/* A reader that takes nothing, while there is more to read: the loop sleeps meanwhile. (The rig's own timer wakes it
 * every 2 ms.) */
START_TEST(a_flow_that_waits_for_its_sink_costs_nothing)
{
    struct rig rig;
    struct transfer transfer;
    unsigned rounds = 0;
    rig_init(&rig, _i & 1, _i & 2, 64);
    transfer_init(&transfer, &rig, 0, 50 * MEGABYTE);
    pthread_create(&transfer.down_writer.thread, NULL, writer_main, &transfer.down_writer);
    pump_start(&rig.pump);
    while (rig.pump.down.wait != FLOW_WAIT_SINK_WRITE)
        ev_run(rig.loop, EVRUN_ONCE);
    for (ev_tstamp end = ev_time() + 0.3; ev_time() < end;) {
        uint64_t before = rig.pump.down.delivered;
        ev_run(rig.loop, EVRUN_ONCE);
        rounds += rig.pump.down.delivered == before;
    }
    ck_assert_uint_lt(rounds, 400);
    rig_fini(&rig, true);
    pthread_join(transfer.down_writer.thread, NULL);
}
END_TEST

/* ---- the pool ---- */

START_TEST(buffers_get_smaller_when_very_many_are_in_use)
{
    static struct {
        void *buffer;
        size_t size;
    } out[10000];
    struct buffers *buffers = buffers_new(0);
    size_t total = 0, n = 0, size;
    bool large = _i;
    do {
        ck_assert_uint_lt(n, 10000);
        out[n].buffer = buffers_get(buffers, large, &out[n].size);
        ck_assert_ptr_nonnull(out[n].buffer);
        total += out[n].size;
    } while (out[n++].size != BUFFERS_POOR);
    ck_assert_uint_eq(out[0].size, large ? BUFFERS_LARGE : BUFFERS_SMALL);
    ck_assert_uint_le(total, 129 * MEGABYTE);
    ck_assert_uint_eq(buffers_out(buffers), n);
    while (n > 0) {
        n--;
        buffers_put(buffers, out[n].buffer, out[n].size);
    }
    void *buffer = buffers_get(buffers, large, &size);
    ck_assert_uint_eq(size, large ? BUFFERS_LARGE : BUFFERS_SMALL);
    buffers_put(buffers, buffer, size);
    buffers_free(buffers);
}
END_TEST

static ino_t inode_of(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 ? st.st_ino : 0;
}

START_TEST(some_pipes_are_kept_and_the_rest_closed)
{
    enum { MANY = 40, KEPT = 32 };
    struct buffers *buffers = buffers_new(MANY);
    struct buffers_pipe pipes[MANY];
    int fds[MANY], open = 0;
    ino_t last;
    for (int i = 0; i < MANY; i++) {
        ck_assert(buffers_get_pipe(buffers, &pipes[i]));
        fds[i] = pipes[i].read_fd;
    }
    for (int i = 0; i < MANY; i++)
        buffers_put_pipe(buffers, &pipes[i]);
    for (int i = 0; i < MANY; i++)
        open += inode_of(fds[i]) != 0;
    ck_assert_int_eq(open, KEPT);
    last = inode_of(fds[KEPT - 1]);
    ck_assert(buffers_get_pipe(buffers, &pipes[0])); /* not another one with the same number */
    ck_assert_uint_eq(inode_of(pipes[0].read_fd), last);
    buffers_put_pipe(buffers, &pipes[0]);
    buffers_free(buffers);
    for (int i = 0; i < MANY; i++)
        ck_assert_uint_eq(inode_of(fds[i]), 0);
}
END_TEST

START_TEST(pipes_are_limited_and_used_again)
{
    struct buffers *buffers = buffers_new(2);
    struct buffers_pipe pipes[3];
    ck_assert(buffers_get_pipe(buffers, &pipes[0]));
    ck_assert(buffers_get_pipe(buffers, &pipes[1]));
    ck_assert(!buffers_get_pipe(buffers, &pipes[2]));
    ck_assert_uint_ge(pipes[0].size, BUFFERS_PIPE_LEAST);
    int fd = pipes[0].read_fd;
    buffers_put_pipe(buffers, &pipes[0]);
    ck_assert_int_eq(pipes[0].read_fd, -1);
    ck_assert(buffers_get_pipe(buffers, &pipes[2]));
    ck_assert_int_eq(pipes[2].read_fd, fd);
    buffers_drop_pipe(buffers, &pipes[1]);
    buffers_drop_pipe(buffers, &pipes[2]);
    ck_assert_int_eq(fcntl(fd, F_GETFD), -1);
    buffers_free(buffers);
}
END_TEST

/* Beyond the user's share of pipe pages a pipe stays as it was made: 64 KiB are still worth it. */
START_TEST(a_pipe_that_may_not_grow_is_used_as_it_is)
{
    struct buffers *buffers = buffers_new(2);
    struct buffers_pipe pipe;
    pipe_size_error = EPERM;
    ck_assert(buffers_get_pipe(buffers, &pipe));
    ck_assert_uint_eq(pipe.size, 65536);
    buffers_put_pipe(buffers, &pipe);
    buffers_free(buffers);
    buffers = buffers_new(2);
    pipe_size_error = 0;
    ck_assert(buffers_get_pipe(buffers, &pipe));
    ck_assert_uint_eq(pipe.size, BUFFERS_PIPE_WANTED);
    buffers_drop_pipe(buffers, &pipe);
    buffers_free(buffers);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pump");
    TCase *tcase = tcase_create("pump");
    tcase_set_timeout(tcase, 200);
    tcase_add_loop_test(tcase, both_directions_arrive_whole, 0, 8);
    tcase_add_loop_test(tcase, a_stream_without_a_descriptor_is_pumped_as_any_other, 0, 2);
    tcase_add_test(tcase, a_dead_proxy_is_read_to_its_end_unasked);
    tcase_add_loop_test(tcase, half_close_passes_and_the_other_direction_goes_on, 0, 8);
    tcase_add_loop_test(tcase, a_slow_reader_gets_everything, 0, 2);
    tcase_add_loop_test(tcase, a_client_that_is_gone_ends_the_session, 0, 4);
    tcase_add_loop_test(tcase, nothing_at_all_is_an_end_in_order, 0, 4);
    tcase_add_loop_test(tcase, bytes_given_back_come_first, 0, 4);
    tcase_add_loop_test(tcase, an_idle_pump_holds_no_buffer_and_no_pipe, 0, 4);
    tcase_add_loop_test(tcase, what_follows_a_long_transfer_is_not_held_back, 0, 8);
    tcase_add_loop_test(tcase, a_reset_is_a_failure_of_its_side_behind_the_bytes_before_it, 0, 8);
    tcase_add_loop_test(tcase, a_write_that_fails_leaves_the_answer_alive, 0, 2);
    tcase_add_loop_test(tcase, no_memory_ends_the_session, 0, 2);
    tcase_add_loop_test(tcase, a_pump_that_ends_early_gives_everything_back, 0, 2);
    tcase_add_loop_test(tcase, a_flow_that_waits_for_its_sink_costs_nothing, 0, 1);
    tcase_add_loop_test(tcase, buffers_get_smaller_when_very_many_are_in_use, 0, 2);
    tcase_add_test(tcase, some_pipes_are_kept_and_the_rest_closed);
    tcase_add_test(tcase, pipes_are_limited_and_used_again);
    tcase_add_test(tcase, a_pipe_that_may_not_grow_is_used_as_it_is);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    under_filter(FILTER_RELAY);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
