/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Real connections over loopback, asked for by their addresses. */
#include "config.h"

#include <check.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cgroup.h"
#include "base/filter.h"
#include "base/sockdiag.h"

struct pair {
    int listener, client, server;
    struct addr local, peer; /* of the client */
};

static void address_of(int fd, bool peer, struct addr *ret_addr)
{
    struct sockaddr_storage storage;
    socklen_t length = sizeof storage;
    int r = peer ? getpeername(fd, (struct sockaddr *)&storage, &length)
                 : getsockname(fd, (struct sockaddr *)&storage, &length);
    ck_assert_int_eq(r, 0);
    ck_assert(addr_from_sockaddr((struct sockaddr *)&storage, length, ret_addr));
}

static int connect_to(const struct addr *to, bool mapped)
{
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = to->in4.sin_port};
    int fd = socket(mapped ? AF_INET6 : to->sa.sa_family, SOCK_STREAM, 0);
    in6.sin6_addr.s6_addr[10] = in6.sin6_addr.s6_addr[11] = 0xff;
    memcpy(&in6.sin6_addr.s6_addr[12], &to->in4.sin_addr, sizeof to->in4.sin_addr);
    if (mapped)
        ck_assert_int_eq(connect(fd, (struct sockaddr *)&in6, sizeof in6), 0);
    else
        ck_assert_int_eq(connect(fd, &to->sa, addr_length(to)), 0);
    return fd;
}

/* False: this host has no such loopback address. */
static bool connect_pair(struct pair *pair, const char *host, bool mapped)
{
    struct addr addr;
    ck_assert(addr_parse(host, 0, &addr));
    pair->listener = socket(addr.sa.sa_family, SOCK_STREAM, 0);
    if (pair->listener < 0 || bind(pair->listener, &addr.sa, addr_length(&addr)) < 0)
        return false;
    ck_assert_int_eq(listen(pair->listener, 1), 0);
    address_of(pair->listener, false, &pair->peer);
    pair->client = connect_to(&pair->peer, mapped);
    pair->server = accept(pair->listener, NULL, NULL);
    ck_assert_int_ge(pair->server, 0);
    address_of(pair->client, false, &pair->local);
    return true;
}

static unsigned inode_of(int fd)
{
    struct stat st;
    ck_assert_int_eq(fstat(fd, &st), 0);
    return (unsigned)st.st_ino;
}

static const struct {
    const char *host;
    bool mapped;
} kinds[] = {{"127.0.0.1", false}, {"::1", false}, {"127.0.0.1", true}};

START_TEST(a_socket_tells_its_state_inode_and_uid)
{
    struct pair pair;
    struct sockdiag_socket socket = {0};
    int fd = sockdiag_open();
    ck_assert_int_ge(fd, 0);
    if (!connect_pair(&pair, kinds[_i].host, kinds[_i].mapped)) {
        fprintf(stderr, "no %s here\n", kinds[_i].host);
        return;
    }
    ck_assert(sockdiag_ask(fd, &pair.local, &pair.peer, &socket));
    ck_assert_int_eq(socket.state, TCP_ESTABLISHED);
    ck_assert_uint_eq(socket.inode, inode_of(pair.client));
    ck_assert_uint_eq(socket.uid, geteuid());
    /* The other end is another socket. */
    ck_assert(sockdiag_ask(fd, &pair.peer, &pair.local, &socket));
    ck_assert_uint_eq(socket.inode, inode_of(pair.server));
}
END_TEST

START_TEST(the_uid_is_of_who_made_it)
{
    struct pair pair;
    struct sockdiag_socket socket = {0};
    int fd = sockdiag_open();
    if (geteuid() != 0) {
        fprintf(stderr, "not root: not tried\n");
        return;
    }
    ck_assert_int_eq(seteuid(4242), 0);
    ck_assert(connect_pair(&pair, "127.0.0.1", false));
    ck_assert_int_eq(seteuid(0), 0);
    ck_assert(sockdiag_ask(fd, &pair.local, &pair.peer, &socket));
    ck_assert_uint_eq(socket.uid, 4242);
}
END_TEST

static bool enter_group(const char *group)
{
    char path[256];
    FILE *stream;
    bool good;
    snprintf(path, sizeof path, "%s/cgroup.procs", group);
    stream = fopen(path, "we");
    good = stream && fputs("0", stream) >= 0 && fflush(stream) == 0;
    if (stream)
        fclose(stream);
    return good;
}

START_TEST(a_socket_tells_its_control_group_and_so_its_unit)
{
    const char *root = cgroup_root();
    struct sockdiag_socket socket = {0};
    struct cgroup_map *map;
    struct pair pair;
    char group[128], name[64];
    int fd = sockdiag_open();
    snprintf(name, sizeof name, "test-sockdiag-%d.service", (int)getpid());
    snprintf(group, sizeof group, "%s/%s", root ? root : "", name);
    if (!root || mkdir(group, 0755) < 0 || !enter_group(group)) {
        fprintf(stderr, "no control groups (version 2) to make: not tried\n");
        (void)rmdir(group);
        return;
    }
    bool connected = connect_pair(&pair, "127.0.0.1", false);
    map = cgroup_map_read(root);
    ck_assert(enter_group(root)); /* the socket stays in the group where it was made */
    ck_assert_int_eq(rmdir(group), 0);
    ck_assert(connected);
    ck_assert_ptr_nonnull(map);
    ck_assert(sockdiag_ask(fd, &pair.local, &pair.peer, &socket));
    ck_assert_pstr_eq(cgroup_map_unit(map, socket.cgroup), name);
    cgroup_map_free(map);
}
END_TEST

/* The kernel would name the listener, which has the same local address. */
START_TEST(what_is_not_there_is_not_found)
{
    struct sockdiag_socket socket = {.uid = 77};
    struct addr other, none = {0};
    struct pair pair;
    int fd = sockdiag_open();
    ck_assert(connect_pair(&pair, "127.0.0.1", false));
    other = pair.local;
    addr_set_port(&other, (uint16_t)(addr_port(&pair.local) ^ 1));
    ck_assert(!sockdiag_ask(fd, &pair.peer, &other, &socket));
    ck_assert(!sockdiag_ask(fd, &other, &pair.peer, &socket));
    ck_assert(addr_parse("::1", addr_port(&pair.peer), &other));
    ck_assert(!sockdiag_ask(fd, &pair.local, &other, &socket));
    ck_assert(!sockdiag_ask(fd, &none, &none, &socket));
    ck_assert(!sockdiag_ask(-1, &pair.local, &pair.peer, &socket));
    ck_assert(!sockdiag_ask(STDIN_FILENO, &pair.local, &pair.peer, &socket));
    ck_assert_uint_eq(socket.uid, 77);
    /* None of these answers is taken for the next one's. */
    ck_assert(sockdiag_ask(fd, &pair.local, &pair.peer, &socket));
    ck_assert_uint_eq(socket.inode, inode_of(pair.client));
}
END_TEST

START_TEST(an_end_of_one_direction_is_not_a_close)
{
    struct sockdiag_socket socket;
    struct pair pair;
    int fd = sockdiag_open();
    char byte;
    ck_assert(connect_pair(&pair, "127.0.0.1", false));
    ck_assert(!sockdiag_is_closed(fd, &pair.local, &pair.peer));
    ck_assert_int_eq(shutdown(pair.client, SHUT_WR), 0);
    ck_assert_int_eq(recv(pair.server, &byte, 1, 0), 0);
    ck_assert(!sockdiag_is_closed(fd, &pair.local, &pair.peer));
    ck_assert_int_eq(close(pair.client), 0);
    ck_assert(sockdiag_is_closed(fd, &pair.local, &pair.peer));
    ck_assert(sockdiag_ask(fd, &pair.local, &pair.peer, &socket));
    ck_assert_int_ne(socket.state, TCP_ESTABLISHED);
    ck_assert_uint_eq(socket.inode, 0);
}
END_TEST

/* As a relay asks: without privilege and under its filter, which kills in a strict build. */
START_TEST(it_may_be_asked_under_the_filter)
{
    struct sockdiag_socket socket;
    struct pair pair;
    int fd = sockdiag_open(), status;
    pid_t child;
    ck_assert(connect_pair(&pair, "127.0.0.1", false));
    child = fork();
    if (child == 0) {
        bool good = (geteuid() != 0 || seteuid(4242) == 0) && filter_system_calls(FILTER_RELAY) == 0 &&
                    sockdiag_ask(fd, &pair.local, &pair.peer, &socket) && socket.inode != 0;
        _exit(good ? 0 : 1);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    ck_assert_int_eq(close(fd), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sockdiag");
    TCase *tests = tcase_create("sockets");
    SRunner *runner;
    int failed;
    tcase_add_loop_test(tests, a_socket_tells_its_state_inode_and_uid, 0, sizeof kinds / sizeof kinds[0]);
    tcase_add_test(tests, the_uid_is_of_who_made_it);
    tcase_add_test(tests, a_socket_tells_its_control_group_and_so_its_unit);
    tcase_add_test(tests, what_is_not_there_is_not_found);
    tcase_add_test(tests, an_end_of_one_direction_is_not_a_close);
    const char *preload = getenv("LD_PRELOAD");
    if (!preload || !strstr(preload, "vgpreload")) /* valgrind has no seccomp */
        tcase_add_test(tests, it_may_be_asked_under_the_filter);
    suite_add_tcase(suite, tests);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
