/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Journal message ids (MESSAGE_ID=), each with an entry in systemd/penstock.catalog. They never change. */
#ifndef PENSTOCK_GATE_HOST_MESSAGE_ID_H
#define PENSTOCK_GATE_HOST_MESSAGE_ID_H

#define MESSAGE_ID_CONNECTED "7ff04749974243fcacebf8764ee8041a"
#define MESSAGE_ID_BLOCKED   "ffca52a485b74875b653028902e9857e"
#define MESSAGE_ID_DIRECT    "6805453416b0437d9be1035f0dad2bec"
#define MESSAGE_ID_OPEN      "8f2c61d5b7a94e0e9a3f0c5d4be1726a"
#define MESSAGE_ID_SERVER    "60f9390573aa45558d64492f978066ae"
#define MESSAGE_ID_REPAIRED  "325a5473e92f4f7dab8fb221cd7fcb69"
#define MESSAGE_ID_OTHERS    "ed85d272b7264f60b09765844d65b16a"

#endif
