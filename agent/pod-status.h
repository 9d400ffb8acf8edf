/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Publishing the addresses of this node's pods in a file, as Lateen's own
 * kind PodStatus, that manifest.h describes and reads. */

#ifndef LATEEN_POD_STATUS_H
#define LATEEN_POD_STATUS_H 1

#include <stddef.h>

struct source_pod;

/* A file that is to hold a PodStatus. */
struct pod_status {
    char *dir;                  /* The directory, made if it is missing. */
    char *name;                 /* Of the file in it; NULL at first. */
    char *text;                 /* What it is to hold; NULL at first. */
    long long int write_at;     /* When to write it, in ms; LLONG_MAX if it
                                 * holds that. */
    char *error;                /* Why it could not be written, or NULL. */
};

void pod_status_init(struct pod_status *, const char *dir);
void pod_status_destroy(struct pod_status *);

/* Makes the 'n' pods in 'pods', in any order, what 'node' publishes.  Does
 * nothing if that is so already. */
void pod_status_set(struct pod_status *, const char *node,
                    const struct source_pod *pods, size_t n);

/* Tells that the file 'name' of the directory holds 'text', or does not exist
 * if that is NULL.  If that is not what it is to hold, it will be written
 * again, but not at once, lest two nodes of one name race. */
void pod_status_seen(struct pod_status *, const char *name,
                     const char *text);

/* Writes the file if it needs to be. */
void pod_status_run(struct pod_status *);

/* Arranges for the poll loop to wake up when pod_status_run() has work. */
void pod_status_wait(const struct pod_status *);

#endif /* agent/pod-status.h */
