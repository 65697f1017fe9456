/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "gate/control/record.h"

#include <time.h>

#include "gate/control/status.h"
#include "gate/decide/enforce.h"

void record_begin(struct record *record, const char *control_path)
{
    state_file_init(&record->state, control_path);
    history_init(&record->history, control_path);
}

void record_settle(struct record *record, const struct status_source *source)
{
    state_file_settle(&record->state, source);
    history_settle(&record->history, &source->enforcement->verdict, source->servers);
}

void record_stop(struct record *record, const struct status_source *source, const char *web_traffic)
{
    const struct status_end end = {.at = time(NULL), .why = "stopped", .web_traffic = web_traffic};
    state_file_end(&record->state, source, &end);
    history_stop(&record->history, web_traffic);
}

void record_fini(struct record *record)
{
    state_file_fini(&record->state);
    history_fini(&record->history);
}
