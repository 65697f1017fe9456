/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "model/verb.h"

#include <assert.h>
#include <string.h>

static const struct {
    const char *word, *arguments, *help;
    enum verb_right right;
} verbs[VERB_COUNT] = {
#define VERB(name, word, right, arguments, help) [VERB_##name] = {word, arguments, help, VERB_##right},
#include "model/verb.def"
#undef VERB
};

const char *verb_word(enum verb verb)
{
    assert(verb < VERB_COUNT);
    return verbs[verb].word;
}

const char *verb_arguments(enum verb verb)
{
    assert(verb < VERB_COUNT);
    return verbs[verb].arguments;
}

const char *verb_help(enum verb verb)
{
    assert(verb < VERB_COUNT);
    return verbs[verb].help;
}

enum verb_right verb_right(enum verb verb)
{
    assert(verb < VERB_COUNT);
    return verbs[verb].right;
}

enum verb verb_of(const char *word)
{
    int verb = 0;
    while (verb < VERB_COUNT && strcmp(verbs[verb].word, word) != 0)
        verb++;
    return (enum verb)verb;
}
