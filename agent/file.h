/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Whole files: reading one, and replacing one in a single step. */

#ifndef LATEEN_FILE_H
#define LATEEN_FILE_H 1

#include <stdbool.h>
#include <stddef.h>

struct stat;

/* Reads the regular file 'name', of at most 'max_size' bytes, into '*textp',
 * '*sizep' bytes of it and a null terminator, that the caller frees.  Stores
 * into '*st', if it is not NULL, the state of the file that it has read.
 * Never waits for a writer.
 *
 * Returns 0 or a positive errno value: among them EFBIG for a file that is
 * larger, EINVAL for one that is not regular, EAGAIN for one that changed
 * while it was read. */
int file_read(const char *name, size_t max_size, char **textp, size_t *sizep,
              struct stat *st);

/* Replaces the file 'name' by one with the 'size' bytes at 'text', readable
 * by everybody: whoever reads it sees the old or the new one, whole.  If
 * 'durable', that holds after a crash, too, and once this has returned it is
 * the new one.  Uses the hidden name ".BASE.tmp" beside it.  Returns 0 or a
 * positive errno value. */
int file_replace(const char *name, const char *text, size_t size,
                 bool durable);

#endif /* agent/file.h */
