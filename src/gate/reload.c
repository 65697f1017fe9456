/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "gate/reload.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/timer.h"
#include "model/conflicts.h"
#include "model/message_id.h"

#define TAKING_SECONDS 12. /* then it is over without waiting for the relays any longer; a prober has 10 */
#define FILES_SECONDS  1.  /* until files are tried again that no prober was there to try */

static void arm(struct reload *reload, double seconds)
{
    timer_arm(reload->loop, &reload->timer, seconds);
}

/* The next one begins from the loop, when those who wait for this one have been told. */
static void end(struct reload *reload)
{
    reload->state = RELOAD_IDLE;
    reload->files = false;
    ev_timer_stop(reload->loop, &reload->timer);
    if (reload->again || reload->files_again)
        arm(reload, 0.);
}

static void error_cb(const char *text, void *data)
{
    log_error("%s", text);
    texts_add(data, "%s", text);
}

/* why NULL: that was told already. */
static void refuse(struct reload *reload, const char *why)
{
    static const struct log_field fields[] = {{"MESSAGE_ID", MESSAGE_ID_NOT_RELOADED}, {NULL, NULL}};
    if (why)
        error_cb(why, &reload->told);
    log_event(LOG_LEVEL_ERROR, fields, "configuration is not reloaded, the old one stays in force");
    reload->refused = true;
    reload->files_again |= reload->files_owed;
    end(reload);
}

/* What is in force may be something that the new configuration does not allow. */
static bool is_allowed(enum verdict_kind kind, const struct conf *conf)
{
    switch (verdict_mode(kind)) {
    case VERDICT_MODE_SECURE:
    case VERDICT_MODE_BLOCKED:
    case VERDICT_MODE_OPEN: /* never wanted */
        return true;
    case VERDICT_MODE_PLAIN:
        return !conf->secure || conf->allow_fallback;
    case VERDICT_MODE_DIRECT:
        return conf->on_unavailable == CONF_UNAVAILABLE_DIRECT;
    }
    return false;
}

static void take_conf(struct reload *reload, struct conf *conf)
{
    static const struct verdict testing = {.kind = VERDICT_TESTING};
    struct enforcement *enforcement = reload->enforcement;
    struct conf *old = reload->conf;
    conf_keep_users(conf, old);
    reload->conf = conf;
    log_set_level(conf->log_level);
    foreign_set_conf(reload->foreign, conf);
    trial_set_conf(reload->trial, conf);
    keeper_set_conf(reload->keeper, conf);
    servers_set_conf(reload->servers, conf);
    test_run_set_conf(reload->test_run, conf); /* the prober asks for a test when it has taken it, too */
    enforce_pursue(enforcement, is_allowed(enforcement->wanted.kind, conf) ? &enforcement->wanted : &testing);
    users_set_conf(reload->users, conf);
    conf_free(old);
}

/* Those of the children follow. */
static void warn(struct reload *reload)
{
    texts_clear(&reload->warnings);
    for (size_t i = 0; i < reload->conflicts.n; i++)
        texts_add(&reload->warnings, "%s", reload->conflicts.lines[i]);
    if (reload->files_refused[0] != '\0')
        texts_add(&reload->warnings, "files of [SecureChannel] have changed and are not in force: %s",
                  reload->files_refused);
}

static void find_conflicts(struct reload *reload)
{
    texts_clear(&reload->conflicts);
    conflicts_find(reload->conf, &reload->conflicts);
    warn(reload);
    for (size_t i = 0; i < reload->warnings.n; i++)
        log_warning("%s", reload->warnings.lines[i]);
}

/* What was tried is what is put in force, byte for byte. */
static int configure_children(struct reload *reload, const struct conf *conf)
{
    int r = children_configure(reload->children, conf);
    if (r < 0 && reload->state == RELOAD_TRYING)
        children_end_try(reload->children);
    return r;
}

/* Everywhere. Takes conf over. */
static void put_in_force(struct reload *reload, struct conf *conf)
{
    static const struct log_field fields[] = {{"MESSAGE_ID", MESSAGE_ID_RELOADED}, {NULL, NULL}};
    int r = configure_children(reload, conf);
    if (r < 0) {
        conf_free(conf);
        refuse(reload, strerror(-r));
        return;
    }
    take_conf(reload, conf);
    file_watch_set_conf(reload->file_watch, conf);
    reload->files_again |= reload->file_watch->seen != reload->files_tried;
    reload->files_refused[0] = '\0';
    find_conflicts(reload);
    log_event(LOG_LEVEL_NOTICE, fields, "configuration is reloaded");
    reload->state = RELOAD_TAKING;
    arm(reload, TAKING_SECONDS);
}

static void begin(struct reload *reload)
{
    struct conf *conf;
    int r;
    assert(reload->state == RELOAD_IDLE && !reload->tried);
    ev_timer_stop(reload->loop, &reload->timer);
    reload->again = false;
    reload->files_owed = reload->files_again; /* it reads them, too */
    reload->files_again = false;
    reload->refused = false;
    reload->number++;
    texts_clear(&reload->told);
    if (conf_load(reload->path, error_cb, &reload->told, &conf) < 0) {
        refuse(reload, NULL);
        return;
    }
    reload->files_tried = file_watch_look(conf);
    r = children_try(reload->children, conf, &reload->tried_serial);
    if (r == 0) {
        reload->tried = conf;
        reload->state = RELOAD_TRYING;
    } else if (r == -EAGAIN) {
        put_in_force(reload, conf); /* nobody there to try it; the next prober will do with what it finds */
    } else {
        conf_free(conf);
        refuse(reload, strerror(-r));
    }
}

/* ---- the files alone ---- */

static void refuse_files(struct reload *reload, const char *why)
{
    static const struct log_field fields[] = {{"MESSAGE_ID", MESSAGE_ID_FILES_REFUSED}, {NULL, NULL}};
    if (strcmp(reload->files_refused, why) != 0)
        log_event(LOG_LEVEL_WARNING, fields,
                  "files of [SecureChannel] have changed, and the old ones stay in force until they change again: %s",
                  why);
    snprintf(reload->files_refused, sizeof reload->files_refused, "%s", why);
    warn(reload);
    end(reload);
}

static void take_files(struct reload *reload)
{
    static const struct log_field fields[] = {{"MESSAGE_ID", MESSAGE_ID_FILES_TAKEN}, {NULL, NULL}};
    int r = configure_children(reload, reload->conf);
    if (r < 0) {
        refuse_files(reload, strerror(-r));
        return;
    }
    test_run_set_conf(reload->test_run, reload->conf); /* the prober forgets the test that runs */
    reload->files_refused[0] = '\0';
    warn(reload);
    log_event(LOG_LEVEL_NOTICE, fields,
              "files of [SecureChannel] have changed, and are in force for the next handshake");
    reload->state = RELOAD_TAKING;
    arm(reload, TAKING_SECONDS);
}

static void begin_files(struct reload *reload)
{
    int r;
    assert(reload->state == RELOAD_IDLE && !reload->tried);
    ev_timer_stop(reload->loop, &reload->timer);
    reload->files_again = false;
    reload->files = true;
    r = children_try(reload->children, reload->conf, &reload->tried_serial);
    if (r == 0) {
        reload->state = RELOAD_TRYING;
    } else if (r == -EAGAIN) {
        reload->files = false;
        reload->files_again = true;
        arm(reload, FILES_SECONDS);
    } else {
        refuse_files(reload, strerror(-r));
    }
}

void reload_files(struct reload *reload)
{
    if (reload->state == RELOAD_IDLE && !reload->again)
        begin_files(reload);
    else
        reload->files_again = true;
}

/* ---- */

uint64_t reload_request(struct reload *reload)
{
    if (reload->state == RELOAD_IDLE && !reload->again) {
        begin(reload);
        return reload->number;
    }
    reload->again = true;
    return reload->number + 1;
}

bool reload_is_over(const struct reload *reload, uint64_t number)
{
    return (reload->state == RELOAD_IDLE || reload->files) && number <= reload->number;
}

const struct texts *reload_texts(const struct reload *reload)
{
    return reload->refused || reload->told.n > 0 ? &reload->told : &reload->warnings;
}

static void timer_cb(struct ev_loop *loop, ev_timer *watcher, int revents)
{
    struct reload *reload = watcher->data;
    switch (reload->state) {
    case RELOAD_IDLE:
        if (reload->again)
            begin(reload);
        else
            begin_files(reload);
        break;
    case RELOAD_TRYING:
        assert(false); /* the prober has its own time */
        break;
    case RELOAD_TAKING:
        if (!reload->files)
            texts_add(&reload->told, "not all relays have taken the configuration yet");
        end(reload);
        break;
    }
}

/* ---- what the children say ---- */

static void end_try(struct reload *reload, bool ok, const char *detail)
{
    struct conf *conf = reload->tried;
    assert(reload->state == RELOAD_TRYING);
    reload->tried = NULL;
    if (!ok)
        children_end_try(reload->children);
    if (reload->files) {
        if (ok)
            take_files(reload);
        else
            refuse_files(reload, detail);
        return;
    }
    if (ok) {
        put_in_force(reload, conf);
        return;
    }
    conf_free(conf);
    refuse(reload, detail);
}

/* Anew: a child that could not use its configuration may have taken it since. All read the same files, so one line is
 * enough. */
static void collect_warnings(struct reload *reload)
{
    const char *text;
    warn(reload);
    for (unsigned i = 0; (text = children_complaint(reload->children, i)); i++)
        if (*text && !texts_contain(&reload->warnings, text))
            texts_add(&reload->warnings, "%s", text);
}

bool reload_on_conf_done(struct reload *reload, const struct child *child, const struct ipc_conf_done *done)
{
    const char *detail = done->detail;
    if (!done->ok && detail[0] == '\0')
        detail = "the configuration could not be taken";
    if (reload->state == RELOAD_TRYING && done->serial == reload->tried_serial) {
        end_try(reload, done->ok, detail);
        return false;
    }
    if (detail[0] != '\0' && !texts_contain(&reload->warnings, detail))
        log_warning("%s: %s", child_name(child), detail);
    collect_warnings(reload);
    if (reload->state == RELOAD_TAKING && children_settled(reload->children))
        end(reload);
    return true;
}

void reload_on_prober_lost(struct reload *reload)
{
    if (reload->state != RELOAD_TRYING)
        return;
    reload->files_again = reload->files; /* nobody repeats that by hand */
    end_try(reload, false, "the prober ended while it read the configuration; try again");
}

/* ---- the object ---- */

void reload_init(struct reload *reload)
{
    assert(reload->conf && reload->keeper && reload->children);
    ev_timer_init(&reload->timer, timer_cb, 0., 0.);
    reload->timer.data = reload;
    find_conflicts(reload);
}

void reload_fini(struct reload *reload)
{
    if (reload->loop)
        ev_timer_stop(reload->loop, &reload->timer);
    conf_free(reload->tried);
    conf_free(reload->conf);
    texts_clear(&reload->told);
    texts_clear(&reload->warnings);
    texts_clear(&reload->conflicts);
}
