/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How much is logged, in the numbers of syslog(3). */
#ifndef PENSTOCK_MODEL_LOG_LEVEL_H
#define PENSTOCK_MODEL_LOG_LEVEL_H

enum log_level {
    LOG_LEVEL_ALERT = 1, /* of single lines; no setting */
    LOG_LEVEL_ERROR = 3,
    LOG_LEVEL_WARNING = 4,
    LOG_LEVEL_NOTICE = 5,
    LOG_LEVEL_INFO = 6,
    LOG_LEVEL_DEBUG = 7
};

#endif
