/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Any bytes as the answer of a false daemon, in any pieces: the command line reads objects or an error out of them, and
 * nothing that it shows of an object would make a terminal obey. */
#include "config.h"

#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/page.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef void render_fn(FILE *out, const struct text_style *style, const json_t *object);

static void render_page(FILE *out, const struct text_style *style, const json_t *object)
{
    page_render(out, style, object, 1767323045);
}

static void render_verdict(FILE *out, const struct text_style *style, const json_t *object)
{
    page_render_verdict(out, style, object, 1767323045);
}

static void check_render(render_fn *render, const json_t *object, bool utf8)
{
    struct text_style style = {.utf8 = utf8, .width = 80};
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        abort();
    render(out, &style, object);
    if (fclose(out) != 0)
        abort();
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)text[i];
        if ((c < 0x20 && c != '\n') || c == 0x7f || (!utf8 && c > 0x7f))
            abort();
    }
    free(text);
}

static void show(const json_t *object)
{
    for (int utf8 = 0; utf8 < 2; utf8++) {
        check_render(render_page, object, utf8);
        check_render(render_verdict, object, utf8);
        check_render(page_render_stage, object, utf8);
    }
    int result = cli_exit_of(object);
    if (result < 0 || result > 7)
        abort();
}

/* The first byte: how long the pieces are. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cli_client client = {.fd = -1, .stop_fd = -1, .deadline_ms = INT64_MAX / 2};
    enum cli_answer answer;
    json_t *object;
    int ends[2];
    if (size < 2 || size > 32768)
        return 0;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        abort();
    client.fd = ends[0];
    for (size_t at = 1, piece = data[0] + 1u; at < size; at += piece)
        if (send(ends[1], data + at, piece < size - at ? piece : size - at, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
            break;
    close(ends[1]);
    while ((answer = cli_client_next(&client, &object)) == CLI_ANSWER_OBJECT) {
        show(object);
        json_decref(object);
    }
    if (answer == CLI_ANSWER_ERROR && !client.error.text[0])
        abort();
    cli_client_close(&client);
    return 0;
}
