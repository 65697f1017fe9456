/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Makes the veth between two network namespaces slow, for kernels without netem: what a side sends is led into a TAP
 * device (by a tc filter that the lab sets), waits here, and is sent on through the veth itself past that filter. So
 * the devices, addresses, routes and the packets that arrive are those of the fast link.
 *
 * usage: slowlink NETNS_A DEVICE_A NETNS_B DEVICE_B [delay=MS] [loss=PERCENT] [rate=MBIT] [mtu=BYTES] [seed=NUMBER]
 *
 * delay: one way; rate: of each way, with a queue of 50 ms before the line, as in a router; mtu: larger packets vanish
 * without a word, as behind a firewall that drops ICMP too. (rate=0, mtu=0: any.) The TAP devices are called "slow".
 * "ready" is printed once they exist. It ends with its standard input, and so with whoever started it. */
#define _GNU_SOURCE
#include <assert.h>
#include <err.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define QUEUE_MAX     8192 /* frames of one way; what is more is lost, as in a router */
#define FRAME_MAX     1600 /* an Ethernet frame with a VLAN tag and more; of 9000 bytes none gets through a TAP of 1500 */
#define LINE_WAIT_MAX 50000000 /* ns that a frame may wait for the line */
#define BATCH         64       /* frames from one side before the other's turn */

struct path {
    uint64_t delay; /* ns, one way */
    double loss;    /* 0 to 1 */
    double ns_per_byte;
    size_t mtu;      /* of IP; 0: any */
    uint64_t random; /* state, never 0 */
};

struct frame {
    uint64_t due;
    size_t size;
    unsigned char bytes[FRAME_MAX];
};

/* One way: from the TAP in one namespace to the veth's end in the same one, and so to the other. */
struct way {
    int tap, out;
    struct frame *frames; /* a ring */
    unsigned head, tail;  /* equal: empty */
    uint64_t line_free;   /* when the last byte has left the line */
};

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* xorshift64*: the same losses in every run with the same packets. */
static double random_unit(struct path *path)
{
    path->random ^= path->random >> 12;
    path->random ^= path->random << 25;
    path->random ^= path->random >> 27;
    return (double)((path->random * 0x2545f4914f6cdd1du) >> 11) / (double)(1ull << 53);
}

static void enter(const char *netns)
{
    char file[256];
    int ns;
    snprintf(file, sizeof file, "/run/netns/%s", netns);
    ns = open(file, O_RDONLY | O_CLOEXEC);
    if (ns < 0 || setns(ns, CLONE_NEWNET) < 0)
        err(EXIT_FAILURE, "%s", file);
    close(ns);
}

static int tap_open(void)
{
    struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI, .ifr_name = "slow"};
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || ioctl(fd, TUNSETIFF, &request) < 0)
        err(EXIT_FAILURE, "TAP device");
    return fd;
}

/* Sends frames as they are; PACKET_QDISC_BYPASS leads past the filter that would bring them here again. */
static int out_open(const char *device)
{
    struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex(device)};
    int one = 1, fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || address.sll_ifindex == 0 || setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof one) < 0 ||
        bind(fd, (struct sockaddr *)&address, sizeof address) < 0)
        err(EXIT_FAILURE, "packet socket on %s", device);
    return fd;
}

static void way_open(struct way *way, const char *netns, const char *device)
{
    enter(netns);
    *way = (struct way){.tap = tap_open(), .out = out_open(device), .frames = calloc(QUEUE_MAX, sizeof *way->frames)};
    if (!way->frames)
        err(EXIT_FAILURE, "memory");
}

/* When the frame has left the line and travelled, or 0: it is lost. */
static uint64_t due_time(struct path *path, struct way *way, size_t size, uint64_t now)
{
    uint64_t start = way->line_free > now ? way->line_free : now;
    if (path->mtu > 0 && size > path->mtu + ETH_HLEN)
        return 0;
    if (path->loss > 0 && random_unit(path) < path->loss)
        return 0;
    if (start - now > LINE_WAIT_MAX)
        return 0;
    way->line_free = start + (uint64_t)((double)size * path->ns_per_byte);
    return way->line_free + path->delay;
}

static void way_take(struct path *path, struct way *way)
{
    for (unsigned n = 0; n < BATCH; n++) {
        struct frame *frame = &way->frames[way->tail];
        unsigned after = (way->tail + 1) % QUEUE_MAX;
        ssize_t size = read(way->tap, frame->bytes, sizeof frame->bytes);
        if (size <= 0)
            return;
        frame->size = (size_t)size;
        frame->due = due_time(path, way, frame->size, now_ns());
        if (frame->due > 0 && after != way->head) /* the last place is never filled: it is read into */
            way->tail = after;
    }
}

/* Sends what is due; returns when the next one is, or later. */
static uint64_t way_give(struct way *way, uint64_t now, uint64_t later)
{
    for (; way->head != way->tail; way->head = (way->head + 1) % QUEUE_MAX) {
        const struct frame *frame = &way->frames[way->head];
        if (frame->due > now)
            return frame->due < later ? frame->due : later;
        if (send(way->out, frame->bytes, frame->size, 0) < 0)
            continue; /* the device is down: lost */
    }
    return later;
}

static double number(const char *text, double max)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end || !(value >= 0 && value <= max))
        errx(64, "%s: a number from 0 to %g is wanted", text, max);
    return value;
}

static double ns_per_byte(double mbit)
{
    return mbit > 0 ? 8e3 / mbit : 0;
}

static void path_option(struct path *path, const char *word)
{
    if (strncmp(word, "delay=", 6) == 0)
        path->delay = (uint64_t)(number(word + 6, 10000) * 1e6);
    else if (strncmp(word, "loss=", 5) == 0)
        path->loss = number(word + 5, 100) / 100;
    else if (strncmp(word, "rate=", 5) == 0)
        path->ns_per_byte = ns_per_byte(number(word + 5, 100000));
    else if (strncmp(word, "mtu=", 4) == 0)
        path->mtu = (size_t)number(word + 4, 1500);
    else if (strncmp(word, "seed=", 5) == 0)
        path->random = (uint64_t)number(word + 5, 1e9) + 1;
    else
        errx(64, "%s: no such option", word);
}

static void carry(struct path *path, struct way ways[2])
{
    for (;;) {
        uint64_t now = now_ns(), next = now + 1000000000u;
        struct pollfd polls[3] = {{ways[0].tap, POLLIN, 0}, {ways[1].tap, POLLIN, 0}, {STDIN_FILENO, POLLIN, 0}};
        struct timespec wait = {0};
        char byte;
        for (int i = 0; i < 2; i++)
            next = way_give(&ways[i], now, next);
        assert(next >= now);
        wait.tv_nsec = (long)(next - now < 999999999u ? next - now : 999999999u);
        if (ppoll(polls, 3, &wait, NULL) < 0)
            err(EXIT_FAILURE, "ppoll");
        if (polls[2].revents && read(STDIN_FILENO, &byte, 1) <= 0)
            return;
        for (int i = 0; i < 2; i++)
            if (polls[i].revents & POLLIN)
                way_take(path, &ways[i]);
    }
}

int main(int argc, char **argv)
{
    struct path path = {.random = 7};
    struct way ways[2];
    if (argc < 5)
        errx(64, "usage: slowlink NETNS_A DEVICE_A NETNS_B DEVICE_B [delay=MS] [loss=PERCENT] [rate=MBIT] [mtu=BYTES]");
    for (int i = 5; i < argc; i++)
        path_option(&path, argv[i]);
    prctl(PR_SET_TIMERSLACK, 1);
    for (int i = 0; i < 2; i++)
        way_open(&ways[i], argv[1 + 2 * i], argv[2 + 2 * i]);
    puts("ready");
    fflush(stdout);
    carry(&path, ways);
    return EXIT_SUCCESS;
}
