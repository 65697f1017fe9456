/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The one list of verbs, of the command line and of the control socket; see verb.def. */
#ifndef PENSTOCK_MODEL_VERB_H
#define PENSTOCK_MODEL_VERB_H

enum verb {
#define VERB(name, word, right, arguments, help) VERB_##name,
#include "model/verb.def"
#undef VERB
    VERB_COUNT
};

enum verb_right { VERB_LOCAL, VERB_FOR_ALL, VERB_FOR_ROOT };

/* Static strings; the verb must be valid. */
const char *verb_word(enum verb verb);
const char *verb_arguments(enum verb verb);
const char *verb_help(enum verb verb);
enum verb_right verb_right(enum verb verb);

/* VERB_COUNT for what is none. */
enum verb verb_of(const char *word);

#endif
