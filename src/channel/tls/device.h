/* SPDX-License-Identifier: GPL-2.0-or-later */
/* AES-GCM by libgcrypt for wolfSSL, behind its crypto callback: Debian's wolfSSL is built without AES instructions and
 * is 12 times slower. One engine per TLS context; everything but AES-GCM and the random seed stays with wolfSSL. */
#ifndef PENSTOCK_CHANNEL_TLS_DEVICE_H
#define PENSTOCK_CHANNEL_TLS_DEVICE_H

#include <stdbool.h>

struct tls_device;

/* NULL: no AES instructions in this CPU, no free device in wolfSSL, a failed self-test, or no memory; wolfSSL then does
 * without. Initialises libgcrypt when nobody did so before. After wolfSSL_Init(). */
struct tls_device *tls_device_new(void);
void tls_device_free(struct tls_device *engine); /* takes NULL */

/* For wolfSSL_CTX_SetDevId(). */
int tls_device_id(const struct tls_device *engine);

/* Names the connection for which wolfSSL works now: keys that are set up belong to it. Takes a NULL engine. */
void tls_device_enter(struct tls_device *engine, const void *owner);
/* The connection is gone: wipes its keys. Takes a NULL engine. */
void tls_device_forget(struct tls_device *engine, const void *owner);

#endif
