/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "relay/settings.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

struct settings *settings_new(struct conf *conf)
{
    struct settings *settings = calloc(1, sizeof *settings);
    if (!settings) {
        conf_free(conf);
        return NULL;
    }
    settings->references = 1;
    settings->conf = conf;
    if (!conf->secure)
        error_set(&settings->tls_error, -EINVAL, CAUSE_NONE, "the secure channel is off in the configuration");
    else if (tls_context_new(conf, &settings->tls_error, &settings->tls) == 0)
        settings->tls_error.text[0] = '\0';
    conf_drop_files(conf); /* the private key, too */
    return settings;
}

struct settings *settings_ref(struct settings *settings)
{
    assert(settings->references > 0);
    settings->references++;
    return settings;
}

void settings_unref(struct settings *settings)
{
    if (!settings || --settings->references > 0)
        return;
    tls_context_free(settings->tls);
    conf_free(settings->conf);
    free(settings);
}
