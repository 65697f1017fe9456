/* SPDX-License-Identifier: GPL-2.0-or-later */
/* AES-GCM by libgcrypt for wolfSSL, behind its crypto callback: Debian's wolfSSL is built without AES instructions and
 * is 12 times slower. One engine per TLS context; everything but AES-GCM and the random seed stays with wolfSSL. */
#ifndef PENSTOCK_CHANNEL_TLS_ENGINE_H
#define PENSTOCK_CHANNEL_TLS_ENGINE_H

#include <stdbool.h>

struct tls_engine;

/* NULL: no AES instructions in this CPU, no free device in wolfSSL, a failed self-test, or no memory; wolfSSL then does
 * without. Initialises libgcrypt when nobody did so before. After wolfSSL_Init(). */
struct tls_engine *tls_engine_new(void);
void tls_engine_free(struct tls_engine *engine); /* takes NULL */

/* For wolfSSL_CTX_SetDevId(). */
int tls_engine_device(const struct tls_engine *engine);

/* Names the connection for which wolfSSL works now: keys that are set up belong to it. Takes a NULL engine. */
void tls_engine_enter(struct tls_engine *engine, const void *owner);
/* The connection is gone: wipes its keys. Takes a NULL engine. */
void tls_engine_forget(struct tls_engine *engine, const void *owner);

#endif
