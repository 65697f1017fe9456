/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A new configuration: read by the gate, tried by the prober (which alone can tell whether key files and certificates
 * are good), then put in force everywhere. Bad in any way: the old one stays in force, everywhere as well. */
#include "config.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "gate/gate_private.h"

static void take_error_cb(const char *text, void *data)
{
    log_error("%s", text);
    status_add_text(data, "%s", text);
}

/* What is in force may be something that the new configuration does not allow. */
static bool is_allowed(enum verdict_kind kind, const struct conf *conf)
{
    switch (verdict_mode(kind)) {
    case VERDICT_MODE_SECURE:
    case VERDICT_MODE_BLOCKED:
        return true;
    case VERDICT_MODE_PLAIN:
        return !conf->secure || conf->allow_fallback;
    case VERDICT_MODE_DIRECT:
        return conf->on_unavailable == CONF_UNAVAILABLE_DIRECT;
    }
    return false;
}

static void take_conf(struct gate *gate, struct conf *conf)
{
    static const struct verdict testing = {.kind = VERDICT_TESTING};
    struct conf *old = gate->conf;
    gate->conf = conf;
    log_set_level(conf->log_level);
    keeper_set_conf(gate->keeper, conf);
    test_run_set_conf(&gate->test_run, conf); /* the prober asks for a test when it has taken it, too */
    enforce_pursue(&gate->enforcement,
                   is_allowed(gate->enforcement.wanted.kind, conf) ? &gate->enforcement.wanted : &testing);
    conf_free(old);
}

/* Everywhere. Takes conf over. */
static int put_in_force(struct gate *gate, struct conf *conf)
{
    int r = children_configure(gate->children, conf);
    if (r < 0) {
        conf_free(conf);
        return r;
    }
    gate->conf_warnings = (struct status_texts){.n = 0};
    take_conf(gate, conf);
    log_notice("configuration is reloaded");
    return 0;
}

/* Takes conf over. 0 or -errno. */
static int try(struct gate *gate, struct conf *conf)
{
    int r = children_try(gate->children, conf);
    if (r == -EAGAIN)
        return put_in_force(gate, conf); /* nobody there to try it; the next prober will do with what it finds */
    if (r < 0)
        conf_free(conf);
    else
        gate->new_conf = conf;
    return r;
}

static bool load_and_try(struct gate *gate, struct status_texts *ret_errors)
{
    struct conf *conf;
    int r;
    if (gate->new_conf) {
        take_error_cb("another reload is under way", ret_errors);
        return false;
    }
    if (conf_load(gate->options->conf_path, take_error_cb, ret_errors, &conf) < 0)
        return false;
    r = try(gate, conf);
    if (r < 0)
        take_error_cb(strerror(-r), ret_errors);
    return r == 0;
}

static const char refused_text[] = "configuration is not reloaded, the old one stays in force";

bool gate_reload(struct status_texts *ret_errors, void *data)
{
    struct gate *gate = data;
    bool tried;
    notify_reloading(&gate->notify);
    tried = load_and_try(gate, ret_errors);
    if (!tried)
        log_error(refused_text);
    if (!gate->new_conf)
        notify_reloaded(&gate->notify);
    return tried;
}

void gate_on_conf_tried(bool ok, const char *detail, void *data)
{
    struct gate *gate = data;
    struct conf *conf = gate->new_conf;
    int r = 0;
    gate->new_conf = NULL;
    if (ok) {
        r = put_in_force(gate, conf);
        detail = strerror(-r);
    } else {
        conf_free(conf);
    }
    if (!ok || r < 0) {
        log_error("%s", detail);
        log_error(refused_text);
        verbs_on_reload_refused(gate->verbs, detail);
    }
    notify_reloaded(&gate->notify);
}
