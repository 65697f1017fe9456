/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Any bytes as a message: the first says how many descriptors come along. What is taken can be sent on and arrives
 * the same; every string in it has an end. Behind the bytes that came, nothing is read or written: there is no memory.
 */
#include "config.h"

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/ipc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);
/* libFuzzer's; not there where replay.c stands in for it. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size) __attribute__((weak));

#define FDS_MAX 6

/* Messages have exact sizes, which bytes drawn by chance never meet: mostly a message keeps, or gets, the size of its
 * type, and its contents are changed. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    static struct ipc_message message;
    uint8_t *bytes = (uint8_t *)&message;
    size_t whole;
    if (seed % 8 == 0 || size < 1)
        return LLVMFuzzerMutate(data, size, max_size);
    memset(&message, 0, sizeof message);
    memcpy(bytes, data + 1, size - 1 < sizeof message ? size - 1 : sizeof message);
    if (seed % 8 == 1)
        message.type = seed / 8 % (IPC_PONG + 1);
    if (message.type == IPC_REPORT)
        message.report.n_servers = seed / 128 % (CONF_SERVERS_MAX + 2);
    whole = ipc_size(&message);
    if (whole == 0 || whole > sizeof message || whole + 1 > max_size)
        return LLVMFuzzerMutate(data, size, max_size);
    if (seed % 8 > 1) {
        size_t payload = offsetof(struct ipc_message, conf), at = payload + seed / 8 % (whole - payload);
        (void)LLVMFuzzerMutate(bytes + at, whole - at, whole - at);
    }
    memcpy(data + 1, bytes, whole);
    return 1 + whole;
}

static void send_bytes(int fd, const uint8_t *data, size_t size, unsigned n_fds)
{
    struct iovec iov = {.iov_base = (void *)data, .iov_len = size};
    struct msghdr header = {.msg_iov = &iov, .msg_iovlen = 1};
    union {
        char bytes[CMSG_SPACE(FDS_MAX * sizeof(int))];
        struct cmsghdr align;
    } control = {{0}};

    if (n_fds > 0) {
        header.msg_control = &control;
        header.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
        control.align.cmsg_len = CMSG_LEN(n_fds * sizeof(int));
        control.align.cmsg_level = SOL_SOCKET;
        control.align.cmsg_type = SCM_RIGHTS;
        for (unsigned i = 0; i < n_fds; i++)
            memcpy(CMSG_DATA(&control.align) + i * sizeof(int), &fd, sizeof(int));
    }
    if (sendmsg(fd, &header, MSG_NOSIGNAL) != (ssize_t)size)
        abort();
}

/* As the gate would use them. */
static size_t read_strings(const struct ipc_message *message)
{
    const struct test_report *report = &message->report;
    char buf[ADDR_TEXT_MAX];
    size_t length = 0;
    if (message->type == IPC_REPORT) {
        for (uint32_t i = 0; i < report->n_servers; i++)
            length += strlen(report->servers[i].server) + strlen(report->servers[i].stages[STAGE_MUTUAL_AUTH].detail) +
                      strlen(report->servers[i].tls.cipher) +
                      strlen(addr_text(&report->servers[i].secure_address, buf));
    } else if (message->type == IPC_SESSION) {
        length = strlen(message->session.name) + strlen(message->session.state) +
                 strlen(addr_text(&message->session.client, buf));
    } else if (message->type == IPC_TROUBLE) {
        length = strlen(message->trouble.detail) + strlen(reason_text(message->trouble.reason));
    }
    return length;
}

static void send_on(const int ends[2], const struct ipc_message *message, int passed)
{
    static struct ipc_message again;
    int passed_again;
    if (ipc_send(ends[1], message, passed) != 0 || ipc_receive(ends[0], &again, &passed_again) != 1)
        abort();
    if (ipc_size(message) != ipc_size(&again) || memcmp(message, &again, ipc_size(message)) != 0 ||
        (passed >= 0) != (passed_again >= 0))
        abort();
    if (passed_again >= 0)
        close(passed_again);
}

/* A place for a message of which size bytes exist, up to the alignment that it needs. */
static struct ipc_message *place_for(size_t size)
{
    static uint8_t *memory;
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), align = _Alignof(struct ipc_message);
    const size_t room = (sizeof(struct ipc_message) + 16 + page - 1) / page * page;
    if (!memory) {
        memory = mmap(NULL, room + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED || mprotect(memory + room, page, PROT_NONE) < 0)
            abort();
    }
    return (struct ipc_message *)(memory + room - (size + align - 1) / align * align);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ipc_message *message;
    int ends[2], passed = -1, result;
    if (size < 2 || size > sizeof *message + 16)
        return 0;
    message = place_for(size - 1);
    if (ipc_pair(ends) < 0)
        abort();
    send_bytes(ends[0], data + 1, size - 1, data[0] % (FDS_MAX + 1));
    result = ipc_receive(ends[1], message, &passed);
    if (result != 1 && result != -EBADMSG)
        abort();
    if (result == 1) {
        if (ipc_size(message) != size - 1 || read_strings(message) > sizeof *message)
            abort();
        send_on(ends, message, passed);
    }
    if (passed >= 0)
        close(passed);
    close(ends[0]);
    close(ends[1]);
    return 0;
}
