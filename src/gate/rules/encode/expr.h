/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The expressions of a rule in the making, out of which rule.c makes nft's words. Everything goes through register 1,
 * and what stands behind it. */
#ifndef PENSTOCK_GATE_RULES_ENCODE_EXPR_H
#define PENSTOCK_GATE_RULES_ENCODE_EXPR_H

#include <linux/netfilter/nf_tables.h>
#include <stddef.h>
#include <stdint.h>

#include "gate/rules/encode/rule.h"

struct nftnl_expr;

/* NULL: the rule has failed, or is NULL. */
struct nftnl_expr *expr_add(struct rule *rule, const char *name);
void expr_set_string(struct rule *rule, struct nftnl_expr *expr, uint16_t attribute, const char *value);

void expr_meta(struct rule *rule, uint32_t key);
void expr_ct(struct rule *rule, uint32_t key);
void expr_payload(struct rule *rule, uint32_t base, size_t offset, size_t length);
void expr_payload_to(struct rule *rule, uint32_t to, uint32_t base, size_t offset, size_t length);
void expr_bitwise(struct rule *rule, const void *mask, const void * xor, uint32_t length);
void expr_compare(struct rule *rule, enum nft_cmp_ops op, const void *value, size_t length);
void expr_lookup(struct rule *rule, const char *set);
void expr_find(struct rule *rule, const char *set, uint32_t flags); /* NFT_LOOKUP_F_INV: not in it */

#endif
