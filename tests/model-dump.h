/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The model as text, for tests. */

#ifndef MODEL_DUMP_H
#define MODEL_DUMP_H 1

struct model;

/* Prints the objects that a source writes, a line each, sorted; policies with
 * their rules below, indented. */
void model_dump(const struct model *);

#endif /* tests/model-dump.h */
