/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "gate/fail_closed.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "gate/control/state_file.h"
#include "gate/rules/table.h"
#include "model/conf/conf.h"

/* False: it is not closed. */
static bool close_web(const struct conf *conf, const char *why)
{
    char error[TABLE_ERROR_MAX] = "out of memory";
    struct table *table = table_new(false);
    bool closed = table && table_close(table, conf, why, error) == 0;
    if (closed)
        log_error("web traffic is refused (OnError=block): %s. To open it: nft delete table inet " RULESET_TABLE, why);
    else
        log_error("web traffic is NOT blocked, though OnError=block: %s", error);
    table_free(table);
    return closed;
}

static bool another_runs(const char *control_path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool runs;
    if (fd < 0)
        return false;
    snprintf(address.sun_path, sizeof address.sun_path, "%s", control_path);
    /* A full queue (EAGAIN) has somebody behind it, too. */
    runs = connect(fd, (struct sockaddr *)&address, sizeof address) == 0 || errno == EAGAIN;
    close(fd);
    return runs;
}

void fail_closed(const char *conf_path, const char *control_path, const char *why)
{
    if (another_runs(control_path)) {
        log_notice("another penstockd runs; its rules stay");
        return;
    }
    struct status_end end = {.at = time(NULL), .why = why, .failed = true};
    struct conf *conf = conf_load_partly(conf_path);
    if (!conf)
        log_error("web traffic is NOT blocked: out of memory");
    else if (conf->on_error == CONF_ON_ERROR_OPEN)
        log_warning("web traffic stays as it is (OnError=open): %s", why);
    else if (conf->n_servers > 0 || conf->unread) /* a file that cannot be read may name one */
        end.web_traffic = close_web(conf, why) ? "refused" : NULL;
    conf_free(conf);
    state_file_end_early(control_path, &end);
}
