/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The source "dir:": a directory of Kubernetes manifests
 * ======================================================
 *
 * Every file DIR/NAME.yaml, .yml and .json is a manifest (manifest.h).  Hidden
 * files and the directories below are no part of it, except for DIR/status,
 * where each node publishes the addresses of its pods, in NODE.json.
 *
 * Changes are seen by inotify, and by looking at all files at intervals: file
 * systems that come from another machine (9p, NFS, virtiofs) report nothing
 * of what happens there.  Only files that have changed are read again.
 *
 * What is wrong never takes anything away: while a file cannot be read or
 * parsed, what it said last stays in force, and so does the last version of
 * an object that has become invalid.  One object in two files is an error;
 * the file that had it first keeps it. */

#ifndef LATEEN_SOURCE_DIR_H
#define LATEEN_SOURCE_DIR_H 1

struct source;

/* How often all files are looked at, in ms. */
#define SOURCE_DIR_RESCAN_MS 5000

/* Opens the directory 'dir' as a source, to be closed by source_close().  A
 * directory that does not exist yet is waited for. */
struct source *source_dir_open(const char *dir);

#endif /* agent/source-dir.h */
