/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Every type there and back; then every way in which a child could lie. */
#include "config.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/ipc.h"

#define PAYLOAD offsetof(struct ipc_message, report)

static int ends[2];

static void setup(void)
{
    ck_assert_int_eq(ipc_pair(ends), 0);
}

static void teardown(void)
{
    close(ends[0]);
    close(ends[1]);
}

static struct ipc_message *message_of(enum ipc_type type)
{
    static struct ipc_message message;
    memset(&message, 0, sizeof message);
    message.type = type;
    return &message;
}

static struct ipc_message *received(void)
{
    static struct ipc_message message;
    int passed = -2;
    ck_assert_int_eq(ipc_receive(ends[1], &message, &passed), 1);
    ck_assert_int_eq(passed, -1);
    return &message;
}

/* Bytes as they are, past every check of ipc_send(); n_fds descriptors go with them. */
static void send_raw(const void *bytes, size_t size, int n_fds)
{
    struct iovec iov = {.iov_base = (void *)bytes, .iov_len = size};
    struct msghdr header = {.msg_iov = &iov, .msg_iovlen = 1};
    union {
        char bytes[CMSG_SPACE(16 * sizeof(int))];
        struct cmsghdr align;
    } control = {{0}};

    if (n_fds > 0) {
        header.msg_control = &control;
        header.msg_controllen = CMSG_SPACE((size_t)n_fds * sizeof(int));
        control.align.cmsg_len = CMSG_LEN((size_t)n_fds * sizeof(int));
        control.align.cmsg_level = SOL_SOCKET;
        control.align.cmsg_type = SCM_RIGHTS;
        for (int i = 0; i < n_fds; i++)
            memcpy(CMSG_DATA(&control.align) + (size_t)i * sizeof(int), &ends[0], sizeof(int));
    }
    ck_assert_int_eq(sendmsg(ends[0], &header, MSG_NOSIGNAL), (ssize_t)size);
}

static int open_descriptors(void)
{
    int count = 0;
    for (int fd = 0; fd < 256; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static void assert_refused(void)
{
    static struct ipc_message message;
    int passed = -2, open_before = open_descriptors();
    ck_assert_int_eq(ipc_receive(ends[1], &message, &passed), -EBADMSG);
    ck_assert_int_eq(passed, -2);
    ck_assert_int_eq(open_descriptors(), open_before);
}

static void fill_addr(struct addr *addr, const char *text)
{
    ck_assert(addr_parse(text, 8081, addr));
}

/* ---- there and back ---- */

static void fill_server(struct server_report *server)
{
    strcpy(server->server, "gw.example");
    server->stages[STAGE_SECURE_TCP] = (struct test_stage){.outcome = TEST_PASSED, .us = 1200};
    server->stages[STAGE_MUTUAL_AUTH].outcome = TEST_FAILED;
    memset(server->stages[STAGE_MUTUAL_AUTH].detail, 'd', DETAIL_MAX - 1);
    server->stages[STAGE_PLAIN_TCP].outcome = TEST_RUNNING;
    fill_addr(&server->secure_address, "2001:db8::1");
    strcpy(server->tls.version, "TLSv1.3");
    strcpy(server->tls.cipher, "TLS_AES_128_GCM_SHA256");
    server->tls.client_expires = -1;
    server->no_route = true;
}

START_TEST(a_report_of_any_length_passes)
{
    struct ipc_message *sent = message_of(IPC_REPORT);
    size_t size = PAYLOAD + offsetof(struct test_report, servers) + (size_t)_i * sizeof(struct server_report);
    sent->report.test_id = 77;
    sent->report.complete = true;
    sent->report.n_servers = (uint32_t)_i;
    for (int i = 0; i < _i; i++)
        fill_server(&sent->report.servers[i]);
    ck_assert_int_eq(ipc_send(ends[0], sent, -1), 0);
    ck_assert_mem_eq(received(), sent, size);
}
END_TEST

START_TEST(the_small_messages_pass)
{
    static const enum ipc_type types[] = {IPC_TEST, IPC_SESSIONS, IPC_SESSIONS_END, IPC_PING, IPC_PONG, IPC_ALLOWED};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        struct ipc_message *sent = message_of(types[i]);

        sent->request.id = UINT64_MAX - i;
        ck_assert_int_eq(ipc_send(ends[0], sent, -1), 0);
        ck_assert_mem_eq(received(), sent, PAYLOAD + sizeof(struct ipc_request));
    }
}
END_TEST

START_TEST(the_larger_messages_pass)
{
    struct ipc_message *sent = message_of(IPC_ROUTE);
    sent->route = (struct route){.generation = 5, .mode = ROUTE_PLAIN, .server = "gw", .status = "Connected"};
    fill_addr(&sent->route.address, "192.0.2.7");
    ck_assert_int_eq(ipc_send(ends[0], sent, -1), 0);
    ck_assert_mem_eq(received(), sent, PAYLOAD + sizeof(struct route));

    sent = message_of(IPC_CONF_DONE);
    sent->conf_done = (struct ipc_conf_done){.serial = 2, .ok = true, .detail = ""};
    ck_assert_int_eq(ipc_send(ends[0], sent, -1), 0);
    ck_assert_mem_eq(received(), sent, PAYLOAD + sizeof(struct ipc_conf_done));

    sent = message_of(IPC_TROUBLE);
    sent->trouble =
        (struct ipc_trouble){.generation = 3, .reason = REASON_COUNT - 1, .cause = CAUSE_COUNT - 1, .detail = "why"};
    ck_assert_int_eq(ipc_send(ends[0], sent, -1), 0);
    ck_assert_mem_eq(received(), sent, PAYLOAD + sizeof(struct ipc_trouble));

    sent = message_of(IPC_ANSWERS);
    answers_add(&sent->answers, 80, 403, CAUSE_PROXY_REFUSED, "why");
    ck_assert_int_eq(ipc_send(ends[0], sent, -1), 0);
    ck_assert_mem_eq(received(), sent, PAYLOAD + sizeof(struct answers));

    sent = message_of(IPC_SESSION);
    sent->session = (struct ipc_session){.id = 9, .mode = ROUTE_SECURE, .name = "www.example", .state = "open"};
    fill_addr(&sent->session.client, "::1");
    fill_addr(&sent->session.destination, "198.51.100.7");
    ck_assert_int_eq(ipc_send(ends[0], sent, -1), 0);
    ck_assert_mem_eq(received(), sent, PAYLOAD + sizeof(struct ipc_session));
}
END_TEST

START_TEST(a_configuration_comes_with_its_descriptor)
{
    struct ipc_message *sent = message_of(IPC_CONF), got;
    int fd = memfd_create("conf", MFD_CLOEXEC), passed = -1;
    char buf[8];
    ck_assert_int_eq(write(fd, "[Proxy]", 7), 7);
    sent->conf = (struct ipc_conf){.serial = 4, .index = 2};
    ck_assert_int_eq(ipc_send(ends[0], sent, fd), 0);
    close(fd);
    ck_assert_int_eq(ipc_receive(ends[1], &got, &passed), 1);
    ck_assert_int_eq(got.conf.index, 2);
    ck_assert(fcntl(passed, F_GETFD) & FD_CLOEXEC);
    ck_assert_int_eq(pread(passed, buf, sizeof buf, 0), 7);
    close(passed);
}
END_TEST

/* A list of sessions and every PONG would else clear and copy a report's 22 KiB twice. */
START_TEST(what_does_not_count_is_not_touched)
{
    struct ipc_message *sent = message_of(IPC_PONG), got, before;
    int passed;
    memset(&got, 0x5a, sizeof got);
    before = got;
    sent->request.id = 6;
    ck_assert_uint_eq(ipc_size(sent), PAYLOAD + sizeof(struct ipc_request));
    ck_assert_int_eq(ipc_send(ends[0], sent, -1), 0);
    ck_assert_int_eq(ipc_receive(ends[1], &got, &passed), 1);
    ck_assert_mem_eq(&got, sent, ipc_size(sent));
    ck_assert_mem_eq((char *)&got + ipc_size(sent), (char *)&before + ipc_size(sent), sizeof got - ipc_size(sent));
    memset(&got, 0x5a, sizeof got);
    ipc_begin(&got, IPC_PONG);
    got.request.id = 6;
    ck_assert_mem_eq(&got, sent, ipc_size(sent));
    ck_assert_mem_eq((char *)&got + ipc_size(sent), (char *)&before + ipc_size(sent), sizeof got - ipc_size(sent));
    ipc_begin(&got, IPC_REPORT);
    ck_assert_mem_eq(&got, message_of(IPC_REPORT), sizeof got);
}
END_TEST

START_TEST(at_least_64_messages_wait)
{
    struct ipc_message *sent = message_of(IPC_SESSION);
    for (int i = 0; i < 64; i++)
        ck_assert_int_eq(ipc_send(ends[0], sent, -1), 0);
    sent = message_of(IPC_ROUTE);
    for (int i = 0; i < 64; i++)
        ck_assert_int_eq(ipc_send(ends[1], sent, -1), 0);
}
END_TEST

START_TEST(the_largest_report_passes_with_default_buffers)
{
    struct ipc_message *sent = message_of(IPC_REPORT);
    int plain[2], passed;
    sent->report.n_servers = CONF_SERVERS_MAX;
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, plain), 0);
    ck_assert_int_eq(ipc_send(plain[0], sent, -1), 0);
    ck_assert_int_eq(ipc_receive(plain[1], sent, &passed), 1);
    close(plain[0]);
    close(plain[1]);
}
END_TEST

START_TEST(a_peer_that_does_not_read_is_not_waited_for)
{
    struct ipc_message *sent = message_of(IPC_SESSION), got;
    int result, passed, n = 0;
    while ((result = ipc_send(ends[0], sent, -1)) == 0 && n < 1000000)
        n++;
    ck_assert_int_eq(result, -EAGAIN);
    while (ipc_receive(ends[1], &got, &passed) == 1)
        n--;
    ck_assert_int_eq(n, 0);
    ck_assert_int_eq(ipc_receive(ends[1], &got, &passed), 0);
    ck_assert_int_eq(ipc_send(ends[0], sent, -1), 0);
}
END_TEST

START_TEST(a_peer_that_left_is_noticed)
{
    struct ipc_message *sent = message_of(IPC_PING), got;
    int passed;
    ck_assert_int_eq(ipc_send(ends[0], sent, -1), 0);
    ck_assert_int_eq(ipc_send(ends[1], sent, -1), 0);
    /* It leaves with something unread, which the kernel reports ahead of what it had sent. */
    close(ends[1]);
    ends[1] = -1;
    ck_assert_int_eq(ipc_receive(ends[0], &got, &passed), 1);
    ck_assert_int_eq(ipc_receive(ends[0], &got, &passed), -EPIPE);
    ck_assert_int_eq(ipc_send(ends[0], sent, -1), -EPIPE);
}
END_TEST

/* ---- lies ---- */

START_TEST(every_wrong_size_is_refused)
{
    static const enum ipc_type types[] = {IPC_CONF,      IPC_ROUTE,  IPC_TEST,    IPC_SESSIONS, IPC_PING,
                                          IPC_CONF_DONE, IPC_REPORT, IPC_TROUBLE, IPC_SESSION,  IPC_SESSIONS_END,
                                          IPC_PONG,      IPC_NAMED,  IPC_ALLOWED, IPC_ANSWERS,  IPC_UNIT,
                                          IPC_CGROUP,    IPC_USER,   IPC_UID,     IPC_SUM};
    static const size_t sizes[] = {sizeof(struct ipc_conf),
                                   sizeof(struct route),
                                   sizeof(struct ipc_test),
                                   sizeof(struct ipc_request),
                                   sizeof(struct ipc_request),
                                   sizeof(struct ipc_conf_done),
                                   offsetof(struct test_report, servers),
                                   sizeof(struct ipc_trouble),
                                   sizeof(struct ipc_session),
                                   sizeof(struct ipc_request),
                                   sizeof(struct ipc_request),
                                   offsetof(struct ipc_named, addrs),
                                   sizeof(struct ipc_request),
                                   sizeof(struct answers),
                                   sizeof(struct ipc_unit),
                                   sizeof(struct ipc_request),
                                   sizeof(struct ipc_user),
                                   sizeof(struct ipc_request),
                                   sizeof(struct ipc_sum)};
    struct ipc_message *message = message_of(types[_i]);
    size_t right = PAYLOAD + sizes[_i];
    for (size_t size = 1; size <= right + 9; size++) {
        if (size == right)
            continue;
        send_raw(message, size, types[_i] == IPC_CONF);
        assert_refused();
    }
}
END_TEST

START_TEST(addresses_are_counted_and_each_is_one)
{
    struct ipc_message *message = message_of(IPC_NAMED);
    const size_t head = PAYLOAD + offsetof(struct ipc_named, addrs);
    message->named.id = 9;
    message->named.n = IPC_ADDRESSES_MAX;
    for (size_t i = 0; i < IPC_ADDRESSES_MAX; i++)
        fill_addr(&message->named.addrs[i], i % 2 == 0 ? "192.0.2.7" : "2001:db8::7");
    ck_assert_int_eq(ipc_send(ends[0], message, -1), 0);
    ck_assert_mem_eq(received(), message, head + IPC_ADDRESSES_MAX * sizeof(struct addr));
    message->named.n++; /* more than there is room for */
    send_raw(message, head + IPC_ADDRESSES_MAX * sizeof(struct addr), 0);
    assert_refused();
    message->named.n = 2;
    send_raw(message, head + sizeof(struct addr), 0);
    assert_refused();
    message->named.addrs[1].sa.sa_family = 0;
    send_raw(message, head + 2 * sizeof(struct addr), 0);
    assert_refused();
}
END_TEST

START_TEST(unknown_types_are_refused)
{
    struct ipc_message *message = message_of(IPC_PING);
    static const uint32_t types[] = {0, IPC_ALLOWED + 1, 255, UINT32_MAX};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        message->type = types[i];
        send_raw(message, PAYLOAD + sizeof(struct ipc_request), 0);
        assert_refused();
    }
    send_raw(message, sizeof *message, 0);
    assert_refused();
}
END_TEST

START_TEST(a_message_larger_than_all_is_refused)
{
    static char huge[sizeof(struct ipc_message) + 4096];
    memcpy(huge, message_of(IPC_REPORT), sizeof(struct ipc_message));
    send_raw(huge, sizeof huge, 0);
    assert_refused();
}
END_TEST

static void report_with(void (*spoil)(struct test_report *report))
{
    struct ipc_message *message = message_of(IPC_REPORT);
    message->report.n_servers = 2;
    fill_server(&message->report.servers[0]);
    fill_server(&message->report.servers[1]);
    spoil(&message->report);
    send_raw(message, PAYLOAD + offsetof(struct test_report, servers) + 2 * sizeof(struct server_report), 0);
}

static void spoil_count(struct test_report *report)
{
    report->n_servers = 3;
}
static void spoil_count_hugely(struct test_report *report)
{
    /* Such that the size computed in 64 bits would be far, in 32 bits near. */
    report->n_servers = UINT32_MAX;
}
static void spoil_complete(struct test_report *report)
{
    memset(&report->complete, 2, 1);
}
static void spoil_no_route(struct test_report *report)
{
    memset(&report->servers[1].no_route, 0xff, 1);
}
static void spoil_name(struct test_report *report)
{
    memset(report->servers[1].server, 'x', NAME_SIZE);
}
static void spoil_outcome(struct test_report *report)
{
    report->servers[1].stages[STAGE_PLAIN_TCP].outcome = TEST_FAILED + 1;
}
static void spoil_cause(struct test_report *report)
{
    report->servers[1].stages[STAGE_MUTUAL_AUTH].cause = CAUSE_COUNT;
}
static void spoil_detail(struct test_report *report)
{
    memset(report->servers[0].stages[STAGE_SECURE_TCP].detail, 'x', DETAIL_MAX);
}
static void spoil_mutual_detail(struct test_report *report)
{
    memset(report->servers[0].stages[STAGE_MUTUAL_AUTH].detail, 'x', DETAIL_MAX);
}
static void spoil_secure_address(struct test_report *report)
{
    report->servers[1].secure_address.sa.sa_family = AF_UNIX;
}
static void spoil_plain_address(struct test_report *report)
{
    report->servers[0].plain_address.sa.sa_family = AF_NETLINK;
}
static void spoil_version(struct test_report *report)
{
    memset(report->servers[1].tls.version, 'x', sizeof report->servers[1].tls.version);
}
static void spoil_cipher(struct test_report *report)
{
    memset(report->servers[1].tls.cipher, 'x', sizeof report->servers[1].tls.cipher);
}

static void (*const spoilers[])(struct test_report *) = {
    spoil_count,         spoil_count_hugely, spoil_complete, spoil_no_route,      spoil_name,
    spoil_outcome,       spoil_cause,        spoil_detail,   spoil_mutual_detail, spoil_secure_address,
    spoil_plain_address, spoil_version,      spoil_cipher};

START_TEST(a_spoilt_report_is_refused)
{
    report_with(spoilers[_i]);
    assert_refused();
}
END_TEST

START_TEST(other_spoilt_messages_are_refused)
{
    struct ipc_message *message = message_of(IPC_ROUTE);
    message->route.mode = ROUTE_PLAIN + 1;
    send_raw(message, PAYLOAD + sizeof(struct route), 0);
    assert_refused();
    message = message_of(IPC_ROUTE);
    memset(message->route.status, 'x', sizeof message->route.status);
    send_raw(message, PAYLOAD + sizeof(struct route), 0);
    assert_refused();
    message = message_of(IPC_ROUTE);
    memset(message->route.server, 'x', sizeof message->route.server);
    send_raw(message, PAYLOAD + sizeof(struct route), 0);
    assert_refused();
    message = message_of(IPC_CONF_DONE);
    memset(&message->conf_done.ok, 7, 1);
    send_raw(message, PAYLOAD + sizeof(struct ipc_conf_done), 0);
    assert_refused();
    message = message_of(IPC_CONF_DONE);
    memset(message->conf_done.detail, 'x', DETAIL_MAX);
    send_raw(message, PAYLOAD + sizeof(struct ipc_conf_done), 0);
    assert_refused();
    message = message_of(IPC_UNIT);
    memset(message->unit.unit, 'x', IPC_UNIT_MAX);
    send_raw(message, PAYLOAD + sizeof(struct ipc_unit), 0);
    assert_refused();
    message = message_of(IPC_UNIT);
    memset(message->unit.system_unit, 'x', IPC_UNIT_MAX);
    send_raw(message, PAYLOAD + sizeof(struct ipc_unit), 0);
    assert_refused();
    message = message_of(IPC_USER);
    memset(message->user.name, 'x', IPC_USER_MAX);
    send_raw(message, PAYLOAD + sizeof(struct ipc_user), 0);
    assert_refused();
    message = message_of(IPC_TROUBLE);
    message->trouble.reason = REASON_COUNT;
    send_raw(message, PAYLOAD + sizeof(struct ipc_trouble), 0);
    assert_refused();
    message = message_of(IPC_TROUBLE);
    message->trouble.cause = CAUSE_COUNT;
    send_raw(message, PAYLOAD + sizeof(struct ipc_trouble), 0);
    assert_refused();
    message = message_of(IPC_TROUBLE);
    memset(message->trouble.detail, 'x', DETAIL_MAX);
    send_raw(message, PAYLOAD + sizeof(struct ipc_trouble), 0);
    assert_refused();
}
END_TEST

START_TEST(spoilt_answers_are_refused)
{
    struct ipc_message *message = message_of(IPC_ANSWERS);
    message->answers.n = ANSWERS_MAX;
    if (_i == 0)
        message->answers.n++;
    else if (_i == 1)
        message->answers.counts[ANSWERS_MAX - 1].cause = CAUSE_COUNT;
    else
        memset(message->answers.counts[0].detail, 'x', DETAIL_MAX);
    send_raw(message, PAYLOAD + sizeof(struct answers), 0);
    assert_refused();
}
END_TEST

START_TEST(a_spoilt_sum_is_refused)
{
    struct ipc_message *message = message_of(IPC_SUM);
    switch (_i) {
    case 0:
        message->sum.sum.by = SUM_BY_COUNT;
        break;
    case 1:
        memset(message->sum.sum.key, 'x', NAME_SIZE);
        break;
    case 2:
        memset(&message->sum.sum.others, 2, 1);
        break;
    }
    send_raw(message, PAYLOAD + sizeof(struct ipc_sum), false);
    assert_refused();
}
END_TEST

START_TEST(a_spoilt_session_is_refused)
{
    struct ipc_message *message = message_of(IPC_SESSION);
    switch (_i) {
    case 0:
        message->session.mode = 3;
        break;
    case 1:
        memset(message->session.name, 'x', NAME_SIZE);
        break;
    case 2:
        memset(message->session.state, 'x', sizeof message->session.state);
        break;
    case 3:
        message->session.client.sa.sa_family = 0xffff;
        break;
    case 4:
        message->session.destination.sa.sa_family = 1;
        break;
    case 5:
        message->session.target = TARGET_COUNT;
        break;
    case 6:
        memset(&message->session.ech, 2, 1);
        break;
    default:
        message->session.proxy.sa.sa_family = 11;
    }
    send_raw(message, PAYLOAD + sizeof(struct ipc_session), 0);
    assert_refused();
}
END_TEST

START_TEST(unexpected_descriptors_are_closed)
{
    struct ipc_message *message = message_of(IPC_PONG);
    send_raw(message, PAYLOAD + sizeof(struct ipc_request), 1);
    assert_refused();
    send_raw(message, PAYLOAD + sizeof(struct ipc_request), 4);
    assert_refused();
    send_raw(message, PAYLOAD + sizeof(struct ipc_request), 16); /* more than are looked at */
    assert_refused();
    message = message_of(IPC_CONF);
    send_raw(message, PAYLOAD + sizeof(struct ipc_conf), 2);
    assert_refused();
    send_raw(message, PAYLOAD + sizeof(struct ipc_conf), 0);
    assert_refused();
}
END_TEST

START_TEST(descriptors_that_the_kernel_cut_off_are_no_message)
{
    struct ipc_message *message = message_of(IPC_CONF), got;
    struct rlimit limit, few;
    int next = dup(ends[0]), passed = -2, result;
    send_raw(message, PAYLOAD + sizeof(struct ipc_conf), 2);
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    few = limit;
    few.rlim_cur = (rlim_t)next + 1; /* room for one of the two, where next is now */
    close(next);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
    result = ipc_receive(ends[1], &got, &passed);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    ck_assert_int_eq(result, -EBADMSG);
    ck_assert_int_eq(passed, -2);
}
END_TEST

START_TEST(an_empty_message_is_an_end)
{
    struct ipc_message got;
    int passed, open_before = open_descriptors();
    send_raw("", 0, 2);
    ck_assert_int_eq(ipc_receive(ends[1], &got, &passed), -EPIPE);
    ck_assert_int_eq(open_descriptors(), open_before);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ipc");
    TCase *honest = tcase_create("honest"), *lies = tcase_create("lies");
    SRunner *runner;
    int failed;
    tcase_add_checked_fixture(honest, setup, teardown);
    tcase_add_loop_test(honest, a_report_of_any_length_passes, 0, CONF_SERVERS_MAX + 1);
    tcase_add_test(honest, the_small_messages_pass);
    tcase_add_test(honest, the_larger_messages_pass);
    tcase_add_test(honest, a_configuration_comes_with_its_descriptor);
    tcase_add_test(honest, what_does_not_count_is_not_touched);
    tcase_add_test(honest, at_least_64_messages_wait);
    tcase_add_test(honest, the_largest_report_passes_with_default_buffers);
    tcase_add_test(honest, a_peer_that_does_not_read_is_not_waited_for);
    tcase_add_test(honest, a_peer_that_left_is_noticed);
    suite_add_tcase(suite, honest);
    tcase_add_checked_fixture(lies, setup, teardown);
    tcase_add_loop_test(lies, a_spoilt_sum_is_refused, 0, 3);
    tcase_add_loop_test(lies, every_wrong_size_is_refused, 0, 19);
    tcase_add_test(lies, addresses_are_counted_and_each_is_one);
    tcase_add_test(lies, unknown_types_are_refused);
    tcase_add_test(lies, a_message_larger_than_all_is_refused);
    tcase_add_loop_test(lies, a_spoilt_report_is_refused, 0, sizeof spoilers / sizeof spoilers[0]);
    tcase_add_test(lies, other_spoilt_messages_are_refused);
    tcase_add_loop_test(lies, spoilt_answers_are_refused, 0, 3);
    tcase_add_loop_test(lies, a_spoilt_session_is_refused, 0, 8);
    tcase_add_test(lies, unexpected_descriptors_are_closed);
    tcase_add_test(lies, descriptors_that_the_kernel_cut_off_are_no_message);
    tcase_add_test(lies, an_empty_message_is_an_end);
    suite_add_tcase(suite, lies);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
