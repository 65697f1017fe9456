/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "relay/close/source_ports.h"

#include <stdio.h>
#include <unistd.h>

#define RANGE_FILE "/proc/sys/net/ipv4/ip_local_port_range"
#define COUNT      8192
#define DISTANCE   4096 /* from the ephemeral range: just below it are the node ports of Kubernetes */
#define LOWEST     8192
#define MINUTE     60.

void source_ports_init(struct source_ports *ports)
{
    unsigned first, last;
    FILE *file = fopen(RANGE_FILE, "re");
    *ports = (struct source_ports){0};
    if (file && fscanf(file, "%u %u", &first, &last) == 2 && first >= LOWEST + COUNT + DISTANCE && last <= UINT16_MAX) {
        ports->count = COUNT;
        ports->first = (uint16_t)(first - DISTANCE - COUNT);
    }
    if (file)
        fclose(file);
    /* Relays begin at different places. */
    if (ports->count > 0)
        ports->next = (uint16_t)((unsigned)getpid() * 2654435761u % ports->count);
}

static void ports_turn(struct source_ports *ports, double now)
{
    double passed = now - ports->minute_began;
    if (passed < MINUTE)
        return;
    ports->last_minute = passed < 2. * MINUTE ? ports->this_minute : 0;
    ports->this_minute = 0;
    ports->minute_began = now;
}

void source_ports_note_lost(struct source_ports *ports, double now)
{
    ports_turn(ports, now);
    ports->this_minute++;
}

uint16_t source_ports_next(struct source_ports *ports, double now)
{
    ports_turn(ports, now);
    if (ports->count == 0 || ports->this_minute + ports->last_minute < SOURCE_PORTS_LOST_MAX)
        return 0;
    ports->next = (uint16_t)((ports->next + 1) % ports->count);
    return (uint16_t)(ports->first + ports->next);
}
