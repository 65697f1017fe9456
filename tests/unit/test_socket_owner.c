/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Real connections over loopback, asked for by their addresses. */
#include "config.h"

#include <arpa/inet.h>
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/socket_owner.h"

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

/* False: this host has no such loopback address. */
static bool connect_pair(struct pair *pair, const char *host)
{
    struct addr addr;
    ck_assert(addr_parse(host, 0, &addr));
    pair->listener = socket(addr.sa.sa_family, SOCK_STREAM, 0);
    if (pair->listener < 0 || bind(pair->listener, &addr.sa, addr_length(&addr)) < 0)
        return false;
    ck_assert_int_eq(listen(pair->listener, 1), 0);
    address_of(pair->listener, false, &pair->peer);
    pair->client = socket(addr.sa.sa_family, SOCK_STREAM, 0);
    ck_assert_int_eq(connect(pair->client, &pair->peer.sa, addr_length(&pair->peer)), 0);
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

START_TEST(a_connection_leads_to_its_process)
{
    static const char *const hosts[] = {"127.0.0.1", "::1"};
    struct pair pair;
    struct socket_owner who;
    if (!connect_pair(&pair, hosts[_i])) {
        fprintf(stderr, "no %s here\n", hosts[_i]);
        return;
    }
    ck_assert_int_eq(prctl(PR_SET_NAME, "who are you?"), 0);
    who = (struct socket_owner){.local = pair.local, .peer = pair.peer};
    ck_assert_int_eq(socket_owner_find(&who, 1), 0);
    ck_assert(who.found);
    ck_assert_uint_eq(who.uid, geteuid());
    ck_assert_uint_eq(who.inode, inode_of(pair.client));
    ck_assert_int_eq(who.pid, getpid());
    ck_assert_str_eq(who.process, "who are you?");
}
END_TEST

START_TEST(the_other_end_is_another_socket)
{
    struct pair pair;
    struct socket_owner whos[2];
    ck_assert(connect_pair(&pair, "127.0.0.1"));
    whos[0] = (struct socket_owner){.local = pair.local, .peer = pair.peer};
    whos[1] = (struct socket_owner){.local = pair.peer, .peer = pair.local};
    ck_assert_int_eq(socket_owner_find(whos, 2), 0);
    ck_assert_uint_eq(whos[0].inode, inode_of(pair.client));
    ck_assert_uint_eq(whos[1].inode, inode_of(pair.server));
}
END_TEST

/* The kernel would name the listener, which has the same local address. */
START_TEST(what_is_closed_has_no_owner)
{
    struct pair pair;
    struct socket_owner who;
    ck_assert(connect_pair(&pair, "127.0.0.1"));
    who = (struct socket_owner){.local = pair.peer, .peer = pair.local};
    addr_set_port(&who.peer, (uint16_t)(addr_port(&pair.local) ^ 1));
    ck_assert_int_eq(socket_owner_find(&who, 1), 0);
    ck_assert(!who.found);
    ck_assert_int_eq(who.pid, 0);
    ck_assert_str_eq(who.process, "");
}
END_TEST

START_TEST(questions_that_make_no_sense_have_no_answer)
{
    struct socket_owner whos[2] = {{.found = false}, {.found = false}};
    ck_assert(addr_parse("127.0.0.1", 1, &whos[1].local));
    ck_assert(addr_parse("::1", 1, &whos[1].peer));
    ck_assert_int_eq(socket_owner_find(whos, 2), 0);
    ck_assert(!whos[0].found && !whos[1].found);
    ck_assert_int_eq(socket_owner_find(NULL, 0), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("socket_owner");
    TCase *sockets = tcase_create("sockets");
    SRunner *runner;
    int failed;
    tcase_add_loop_test(sockets, a_connection_leads_to_its_process, 0, 2);
    tcase_add_test(sockets, the_other_end_is_another_socket);
    tcase_add_test(sockets, what_is_closed_has_no_owner);
    tcase_add_test(sockets, questions_that_make_no_sense_have_no_answer);
    suite_add_tcase(suite, sockets);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
