/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The main of what reads bytes of the network: prober or relay, started by penstockd, or by penstock for its tests. A
 * program of its own, so that what has privileges does not even map the libraries for that. */
#include "config.h"

#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sysexits.h>

#include "base/ipc.h"
#include "base/log.h"
#include "channel/prober/prober.h"
#include "relay/relay.h"

static const char usage_text[] = "Usage: penstock-worker --child=prober|relay --for=VERSION\n"
                                 "Started by penstockd and penstock, not by hand. See penstockd(8).\n";

static bool has_gate(void)
{
    int type = 0;
    socklen_t size = sizeof type;
    return getsockopt(IPC_FD, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_SEQPACKET;
}

/* Both ends of the messages must mean the same by their bytes. */
static int run(const char *role, const char *version)
{
    log_init(role, LOG_LEVEL_INFO);
    if (strcmp(version, PACKAGE_VERSION) != 0) {
        log_error("penstock-worker is version " PACKAGE_VERSION ", what started it is %s: restart penstockd (systemctl "
                  "restart penstock), or install penstock anew",
                  version);
        return EX_PROTOCOL;
    }
    if (!has_gate()) {
        fputs(usage_text, stderr);
        return EX_USAGE;
    }
    /* It is run by the path of a descriptor, which would be its name. */
    prctl(PR_SET_NAME, "penstock-worker");
    return strcmp(role, "prober") == 0 ? prober_main() : relay_main();
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"child", required_argument, NULL, 'c'},
                                            {"for", required_argument, NULL, 'f'},
                                            {"version", no_argument, NULL, 'V'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    const char *role = "", *version = "";
    for (int option; (option = getopt_long(argc, argv, "Vh", options, NULL)) != -1;) {
        switch (option) {
        case 'c':
            role = optarg;
            break;
        case 'f':
            version = optarg;
            break;
        case 'V':
            puts("penstock-worker " PACKAGE_VERSION);
            return EX_OK;
        case 'h':
            fputs(usage_text, stdout);
            return EX_OK;
        default:
            return EX_USAGE;
        }
    }
    if ((strcmp(role, "prober") == 0 || strcmp(role, "relay") == 0) && *version && optind == argc)
        return run(role, version);
    fputs(usage_text, stderr);
    return EX_USAGE;
}
