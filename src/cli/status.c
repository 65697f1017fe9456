/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "cli/absent.h"
#include "cli/brief.h"
#include "cli/changes.h"
#include "cli/cli.h"
#include "cli/page.h"

#define WATCH_EVERY_MS 1000
#define CHANGES_SHOWN  3

static void put_page(FILE *out, const struct text_style *style, const struct cli_options *options, const json_t *status)
{
    json_t *changes = changes_last(options, CHANGES_SHOWN);
    page_render(out, style, status, time(NULL));
    page_render_changes(out, style, changes, time(NULL));
    json_decref(changes);
}

/* What the daemon says, or what can be known without it; false: that, or an error. */
static bool ask(const struct cli_options *options, json_t **ret_status)
{
    struct cli_client client;
    json_t *status = NULL;
    bool open = cli_client_open(&client, options->control_path, VERB_STATUS, CLI_STATUS_WAIT_S, -1);
    if (open && cli_client_next(&client, &status) == CLI_ANSWER_END)
        error_set(&client.error, -EIO, CAUSE_NONE, "the daemon closed the connection without an answer");
    cli_client_close(&client);
    if (!status && !options->check)
        cli_problem("%s", client.error.text);
    *ret_status = status ? status
                  : open ? json_pack("{s:o}", "error", cli_json_text(client.error.text))
                         : absent_status(options, client.error.text, client.gone);
    return status;
}

/* With --json the status itself, with the same exit status. */
static int conclude_check(const struct cli_options *options, const json_t *status)
{
    if (options->json)
        cli_put_json(status);
    else
        brief_render(stdout, status, time(NULL));
    return (int)brief_of(status, time(NULL));
}

static int status_once(const struct cli_options *options)
{
    struct text_style style;
    json_t *status;
    bool answered = ask(options, &status);
    int result = CLI_EXIT_FAILED;
    text_style_of(stdout, &style);
    if (options->check)
        result = conclude_check(options, status);
    else if (options->json)
        cli_put_json(status);
    else if (!json_object_get(status, "error"))
        put_page(stdout, &style, options, status);
    if (answered && !options->check)
        result = cli_conclude(status);
    json_decref(status);
    return result;
}

struct watch {
    const struct cli_options *options;
    struct text_style style;
    int signal_fd;
    int last; /* exit status of the last answer */
    bool stop;
    bool painted; /* without a terminal: something stands above */
};

static void enter_screen(const struct watch *watch)
{
    if (watch->style.terminal)
        fputs("\033[?1049h\033[?25l", stdout);
    fflush(stdout);
}

static void leave_screen(const struct watch *watch)
{
    if (watch->style.terminal)
        fputs("\033[?25h\033[?1049l", stdout);
    fflush(stdout);
}

/* In place and without flicker: each line is cleared behind its end; what would scroll the screen is left out. */
static void paint_screen(char *text)
{
    struct winsize size = {0};
    unsigned rows = 24;
    char *rest = text, *line;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 1)
        rows = size.ws_row;
    fputs("\033[H", stdout);
    while (--rows > 0 && (line = strsep(&rest, "\n")))
        printf("%s\033[K%s", line, rest ? "\r\n" : "");
    fputs("\033[J", stdout);
}

/* error NULL: the daemon has answered. status NULL: nothing is known. */
static void paint(struct watch *watch, const json_t *status, const char *error)
{
    char *text = NULL, clean[TEXT_MAX];
    size_t size;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return;
    text_style_of(stdout, &watch->style); /* the terminal may have another size now */
    if (error) {
        text_tone(out, &watch->style, TEXT_BAD, true);
        text_wrap(out, &watch->style, text_clean(error, watch->style.utf8, clean, sizeof clean), 0, 0);
        text_tone_end(out, &watch->style);
        fputs("\n\nTrying again every second.\n\n", out);
    }
    if (status)
        put_page(out, &watch->style, watch->options, status);
    if (fclose(out) == 0 && watch->style.terminal)
        paint_screen(text);
    else if (text)
        printf("%s%s", watch->painted ? "\n" : "", text);
    watch->painted = true;
    fflush(stdout);
    free(text);
}

/* Asks once and shows the answer. */
static void look(struct watch *watch)
{
    struct cli_client client;
    json_t *status = NULL;
    enum cli_answer answer = CLI_ANSWER_ERROR;
    bool open =
        cli_client_open(&client, watch->options->control_path, VERB_STATUS, CLI_STATUS_WAIT_S, watch->signal_fd);
    if (open)
        answer = cli_client_next(&client, &status);
    if (answer == CLI_ANSWER_END)
        snprintf(client.error.text, sizeof client.error.text, "the daemon closed the connection without an answer");
    cli_client_close(&client);
    if (answer == CLI_ANSWER_STOPPED)
        return;
    watch->last = status ? cli_exit_of(status) : CLI_EXIT_FAILED;
    const char *error = status ? NULL : client.error.text;
    if (!open)
        status = absent_status(watch->options, error, client.gone);
    if (!watch->options->json)
        paint(watch, status, error);
    else if (status)
        cli_put_json(status);
    if (watch->options->json && error)
        cli_problem("%s", error);
    json_decref(status);
}

static void take_signal(struct watch *watch)
{
    struct signalfd_siginfo info;
    if (read(watch->signal_fd, &info, sizeof info) != (ssize_t)sizeof info || info.ssi_signo == SIGWINCH)
        return;
    if (info.ssi_signo != SIGTSTP) {
        watch->stop = true;
        return;
    }
    leave_screen(watch);
    raise(SIGSTOP);
    enter_screen(watch);
}

static int status_watch(const struct cli_options *options)
{
    struct watch watch = {.options = options, .last = CLI_EXIT_FAILED};
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGTSTP);
    sigaddset(&set, SIGWINCH);
    sigprocmask(SIG_BLOCK, &set, NULL);
    watch.signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (watch.signal_fd < 0) {
        cli_problem("signalfd: %s", strerror(errno));
        return CLI_EXIT_FAILED;
    }
    text_style_of(stdout, &watch.style);
    watch.style.terminal = watch.style.terminal && !options->json;
    enter_screen(&watch);
    while (!watch.stop && !ferror(stdout)) {
        struct pollfd fd = {.fd = watch.signal_fd, .events = POLLIN};
        look(&watch);
        if (poll(&fd, 1, WATCH_EVERY_MS) > 0)
            take_signal(&watch);
    }
    leave_screen(&watch);
    close(watch.signal_fd);
    return watch.last;
}

int cli_status(const struct cli_options *options)
{
    return options->watch ? status_watch(options) : status_once(options);
}
