/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One line of the file of changes, which penstock history and monitor show. Lines as those of json.h. */
#ifndef PENSTOCK_CONTROL_CHANGE_H
#define PENSTOCK_CONTROL_CHANGE_H

#include <stdint.h>
#include <time.h>

#include "model/server.h"
#include "model/verdict.h"

/* Both programs derive the file's place from that of the control socket: for the service's own this, else beside it. */
#define CHANGES_NAME      "changes.jsonl"
#define CHANGES_DIRECTORY "/var/lib/penstock/"

/* Begins every line, with the number behind it. */
#define CHANGES_SEQ "{\"seq\":"

/* The path for the control socket at control_path, when the service's is default_path. */
void change_path(const char *control_path, const char *default_path, char *ret_path, size_t size);

char *change_verdict_json(uint64_t seq, time_t at, const struct verdict *verdict);
char *change_server_json(uint64_t seq, time_t at, const struct server_status *server);
/* The daemon has started; or has stopped, and web traffic is "refused" or "open". */
char *change_start_json(uint64_t seq, time_t at);
char *change_stop_json(uint64_t seq, time_t at, const char *web_traffic);

#endif
