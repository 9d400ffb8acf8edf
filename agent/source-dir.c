/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The source "dir:": see source-dir.h.
 *
 * A file that inotify reports as written is read at once.  A file that has
 * changed without a report is read when it looks the same twice: it may be
 * half written.  A file that has gone must be gone twice, because editors
 * and git take the old version away before they write the new one; but a
 * file of pods alone that was deleted goes at once, for the address of a pod
 * may be another's the next moment.
 *
 * Files are looked at and read in pieces, so that no turn of the main loop
 * takes long. */

#include <config.h>
#include "agent/source-dir.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/catalog.h"
#include "agent/file.h"
#include "agent/pod-status.h"
#include "agent/source.h"
#include "agent/yaml.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/shash.h"
#include "openvswitch/vlog.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(source_dir);

/* How long until a second look, in ms: at a file that has changed without a
 * report, and at one that has gone. */
#define SETTLE_MS 500
#define GONE_MS 100

/* How much to do in a turn of the main loop. */
#define LOOKS_PER_RUN 256
#define LOAD_MS_PER_RUN 5

/* A file of this size, in bytes, leaves behind memory worth giving back. */
#define TRIM_SIZE (1024 * 1024)

/* The folder below the directory where nodes publish. */
#define STATUS "status"

/* A file of the directory. */
struct dir_file {
    struct catalog_file catalog;
    char *name;                 /* "NAME.yaml" or "status/NODE.json". */
    bool loaded;                /* Has been read: 'state' is of then. */
    struct stat state;
    struct stat seen;           /* What the last look saw. */
    struct ovs_list todo_node;  /* In dir's 'todo', or empty. */
    long long int gone_at;      /* When to believe that it has gone, in ms;
                                 * LLONG_MAX while it is there. */
    unsigned int scan;          /* The last scan that has seen it. */
    char *error;                /* Why it cannot be read, or NULL. */
};

/* A watched directory. */
struct watch {
    char *path;
    int wd;                     /* -1 while there is none. */
    char *error;                /* Why it cannot be read, or NULL. */
};

struct source_dir {
    struct source up;
    struct watch dir;
    struct watch status;
    int inotify_fd;             /* -1 if there is none. */
    uint32_t move_cookie;       /* Of the last file that was moved away. */
    char *moved_name;           /* Its name, or NULL. */

    struct catalog catalog;
    struct shash files;         /* "struct dir_file"s, by 'name'. */
    struct ovs_list todo;       /* "struct dir_file"s to read. */
    size_t n_gone;              /* Files that have a 'gone_at'. */

    /* The scan, that looks at all files. */
    unsigned int scan;          /* Its number, from 1. */
    bool scanning;
    struct svec names;          /* What it is to look at. */
    size_t next_name;
    bool unsettled;             /* Something needs a second look. */
    long long int next_scan;    /* In ms. */
    dev_t dev;                  /* Identity of the directory, or 0. */
    ino_t ino;

    struct pod_status published;
};

static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(60, 60);

static const struct source_class source_dir_class;

static void handle_events(struct source_dir *);
static void scan_start(struct source_dir *);
static void scan_run(struct source_dir *);
static void look_at(struct source_dir *, const char *name);
static void file_is_gone(struct source_dir *, struct dir_file *,
                         long long int when);
static void gone_run(struct source_dir *, struct model *);
static void todo_run(struct source_dir *, struct model *);
static void file_remove(struct source_dir *, struct dir_file *,
                        struct model *);

static struct source_dir *
source_dir_cast(const struct source *source)
{
    ovs_assert(source->class == &source_dir_class);
    return CONTAINER_OF(CONST_CAST(struct source *, source),
                        struct source_dir, up);
}

/* Replaces '*errorp' by 'error', and logs it if it is news. */
static void
set_error(char **errorp, char *error)
{
    if (error && !nullable_string_is_equal(error, *errorp)) {
        VLOG_WARN_RL(&rl, "%s", error);
    }
    free(*errorp);
    *errorp = error;
}

struct source *
source_dir_open(const char *dir)
{
    struct source_dir *s = xzalloc(sizeof *s);

    s->up.class = &source_dir_class;
    s->dir.path = xstrdup(dir);
    s->dir.wd = -1;
    s->status.path = xasprintf("%s/" STATUS, dir);
    s->status.wd = -1;
    s->inotify_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (s->inotify_fd < 0) {
        VLOG_WARN("inotify is not available (%s): changes in %s are seen "
                  "after up to %d ms", ovs_strerror(errno), dir,
                  SOURCE_DIR_RESCAN_MS + SETTLE_MS);
    }
    catalog_init(&s->catalog);
    shash_init(&s->files);
    ovs_list_init(&s->todo);
    svec_init(&s->names);
    s->next_scan = LLONG_MIN;
    pod_status_init(&s->published, s->status.path);
    return &s->up;
}

static void
dir_file_destroy(struct source_dir *s, struct dir_file *file)
{
    if (file->gone_at != LLONG_MAX) {
        s->n_gone--;
    }
    ovs_list_remove(&file->todo_node);
    shash_find_and_delete_assert(&s->files, file->name);
    free(file->name);
    free(file->error);
    free(file);
}

static void
source_dir_close(struct source *source)
{
    struct source_dir *s = source_dir_cast(source);
    struct shash_node *node;

    SHASH_FOR_EACH_SAFE (node, &s->files) {
        struct dir_file *file = node->data;

        catalog_file_forget(&s->catalog, &file->catalog);
        dir_file_destroy(s, file);
    }
    shash_destroy(&s->files);
    catalog_destroy(&s->catalog);
    svec_destroy(&s->names);
    if (s->inotify_fd >= 0) {
        close(s->inotify_fd);
    }
    free(s->dir.path);
    free(s->dir.error);
    free(s->status.path);
    free(s->status.error);
    free(s->moved_name);
    pod_status_destroy(&s->published);
    free(s);
}

static void
source_dir_run(struct source *source, struct model *model)
{
    struct source_dir *s = source_dir_cast(source);

    handle_events(s);
    if (!s->scanning && time_msec() >= s->next_scan) {
        scan_start(s);
    }
    if (s->scanning) {
        scan_run(s);
    }
    gone_run(s, model);
    todo_run(s, model);
    pod_status_run(&s->published);
    if (s->scan && !s->scanning && !s->unsettled && !s->dir.error
        && ovs_list_is_empty(&s->todo)) {
        s->up.synced = true;
    }
}

static void
source_dir_wait(struct source *source)
{
    struct source_dir *s = source_dir_cast(source);

    if (s->scanning || !ovs_list_is_empty(&s->todo)) {
        poll_immediate_wake();
        return;
    }
    if (s->inotify_fd >= 0) {
        poll_fd_wait(s->inotify_fd, POLLIN);
    }
    poll_timer_wait_until(s->next_scan);
    if (s->n_gone) {
        poll_timer_wait(GONE_MS);
    }
    pod_status_wait(&s->published);
}

static void
source_dir_get_status(const struct source *source,
                      struct source_status *status)
{
    struct source_dir *s = source_dir_cast(source);
    const char *errors[] = {
        s->dir.error, s->status.error, s->published.error
    };
    const struct shash_node **nodes = shash_sort(&s->files);

    status->synced = s->up.synced;
    status->n_objects = hmap_count(&s->catalog.objects);
    status->n_ignored = 0;
    for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
        if (errors[i]) {
            svec_add(status->errors, errors[i]);
        }
    }
    for (size_t i = 0; i < shash_count(&s->files); i++) {
        const struct dir_file *file = nodes[i]->data;

        status->n_ignored += file->catalog.n_ignored;
        if (file->error) {
            svec_add(status->errors, file->error);
        }
        svec_append(status->errors, &file->catalog.errors);
        if (status->object_errors) {
            catalog_file_get_errors(&file->catalog, file->error,
                                    status->object_errors);
        }
    }
    free(nodes);
}

/* Whether a directory's entry called 'base' is of the set. */
static bool
name_is_wanted(const char *base, bool status)
{
    static const char *const ends[] = { ".json", ".yaml", ".yml" };

    if (base[0] == '.') {
        return false;
    }
    for (size_t i = 0; i < (status ? 1 : ARRAY_SIZE(ends)); i++) {
        if (strlen(base) > strlen(ends[i])
            && string_ends_with(base, ends[i])) {
            return true;
        }
    }
    return false;
}

/* The name of 'file' without that of its folder. */
static const char *
file_base(const struct dir_file *file)
{
    return file->name + (file->catalog.publisher ? strlen(STATUS "/") : 0);
}

/* Returns the file called 'name', new if it was not known. */
static struct dir_file *
get_file(struct source_dir *s, const char *name)
{
    struct dir_file *file = shash_find_data(&s->files, name);

    if (!file) {
        char *path = xasprintf("%s/%s", s->dir.path, name);
        char *publisher = NULL;

        if (!strncmp(name, STATUS "/", strlen(STATUS "/"))) {
            const char *base = name + strlen(STATUS "/");

            publisher = xmemdup0(base, strlen(base) - strlen(".json"));
        }
        file = xzalloc(sizeof *file);
        catalog_file_init(&file->catalog, path, publisher);
        file->name = xstrdup(name);
        file->gone_at = LLONG_MAX;
        ovs_list_init(&file->todo_node);
        shash_add(&s->files, name, file);
        free(publisher);
        free(path);
    }
    return file;
}

/* Arranges for 'file' to be read. */
static void
file_needs_load(struct source_dir *s, struct dir_file *file)
{
    if (file->gone_at != LLONG_MAX) {
        file->gone_at = LLONG_MAX;
        s->n_gone--;
    }
    if (ovs_list_is_empty(&file->todo_node)) {
        ovs_list_push_back(&s->todo, &file->todo_node);
    }
}

/* Has the directory scanned at latest 'ms' from now. */
static void
scan_soon(struct source_dir *s, int ms)
{
    s->next_scan = MIN(s->next_scan, time_msec() + ms);
}

/* Handles the arrival of a file by a move with 'cookie'.  If it was a file of
 * the set before, under another name, then that one need not be waited
 * for. */
static void
handle_rename(struct source_dir *s, uint32_t cookie)
{
    if (s->moved_name && cookie == s->move_cookie) {
        struct dir_file *old = shash_find_data(&s->files, s->moved_name);

        if (old && old->gone_at != LLONG_MAX) {
            file_is_gone(s, old, time_msec());
        }
    }
}

static void
handle_event(struct source_dir *s, const struct inotify_event *event)
{
    bool status = event->wd == s->status.wd;

    if (event->mask & IN_Q_OVERFLOW) {
        scan_soon(s, 0);
    } else if (event->wd < 0 || (!status && event->wd != s->dir.wd)) {
        /* Of a directory that was here before. */
    } else if (!event->len || !name_is_wanted(event->name, status)) {
        /* The directory itself, or the folder of status, or the hidden link
         * by which Kubernetes replaces a mounted ConfigMap. */
        if (!event->len || event->mask & IN_ISDIR
            || !strncmp(event->name, "..", 2)) {
            scan_soon(s, 0);
        }
    } else {
        char *name = xasprintf("%s%s", status ? STATUS "/" : "",
                               event->name);
        struct dir_file *file = shash_find_data(&s->files, name);

        if (event->mask & (IN_CLOSE_WRITE | IN_MOVED_TO)) {
            file_needs_load(s, get_file(s, name));
            if (event->mask & IN_MOVED_TO) {
                handle_rename(s, event->cookie);
            }
        } else if (file && event->mask & (IN_DELETE | IN_MOVED_FROM)) {
            bool at_once = (event->mask & IN_DELETE
                            && !file->catalog.n_lasting);

            file_is_gone(s, file, time_msec() + (at_once ? 0 : GONE_MS));
            s->move_cookie = event->cookie;
            free(s->moved_name);
            s->moved_name = xstrdup(name);
        }
        free(name);
    }
}

static void
handle_events(struct source_dir *s)
{
    union {
        struct inotify_event event; /* For its alignment. */
        char buf[16384];
    } u;
    ssize_t n;

    while (s->inotify_fd >= 0
           && (n = read(s->inotify_fd, u.buf, sizeof u.buf)) > 0) {
        for (char *p = u.buf; p < u.buf + n; ) {
            const struct inotify_event *event = ALIGNED_CAST(
                const struct inotify_event *, p);

            handle_event(s, event);
            p += sizeof *event + event->len;
        }
    }
}

/* Watches the directory, if it is not watched yet. */
static void
watch_directory(struct source_dir *s, struct watch *w)
{
    if (s->inotify_fd < 0) {
        return;
    }
    int wd = inotify_add_watch(s->inotify_fd, w->path,
                               IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM
                               | IN_CREATE | IN_DELETE | IN_DELETE_SELF
                               | IN_MOVE_SELF | IN_ONLYDIR);
    if (w->wd >= 0 && wd != w->wd) {
        inotify_rm_watch(s->inotify_fd, w->wd);
    }
    w->wd = wd;
}

/* Adds the names of the directory's files to 's->names', each after
 * 'prefix'.  Returns 0 or a positive errno value. */
static int
list_directory(struct source_dir *s, struct watch *w, const char *prefix,
               struct stat *st)
{
    struct dirent *entry;
    int error = 0;

    watch_directory(s, w);
    DIR *stream = opendir(w->path);
    if (!stream) {
        return errno;
    }
    if (fstat(dirfd(stream), st)) {
        error = errno;
    }
    while (errno = 0, (entry = readdir(stream)) != NULL) {
        if (name_is_wanted(entry->d_name, *prefix)) {
            svec_add_nocopy(&s->names,
                            xasprintf("%s%s", prefix, entry->d_name));
        }
    }
    if (!error) {
        error = errno;
    }
    closedir(stream);
    return error;
}

/* Begins to look at all files. */
static void
scan_start(struct source_dir *s)
{
    struct stat st, status_st;
    char *why = NULL;

    s->next_scan = time_msec() + SOURCE_DIR_RESCAN_MS;
    svec_clear(&s->names);
    int error = list_directory(s, &s->dir, "", &st);
    int status_error = list_directory(s, &s->status, STATUS "/", &status_st);

    if (error) {
        why = xasprintf("%s: cannot be read: %s; what it said last stays in "
                        "force", s->dir.path, ovs_strerror(error));
    } else if (svec_is_empty(&s->names) && !shash_is_empty(&s->files)
               && (st.st_dev != s->dev || st.st_ino != s->ino)) {
        why = xasprintf("%s: is now another directory, and empty: was a file "
                        "system unmounted?  What it said last stays in "
                        "force until there is a file", s->dir.path);
    }
    set_error(&s->dir.error, why);
    set_error(&s->status.error,
              status_error && status_error != ENOENT
              ? xasprintf("%s: cannot be read: %s", s->status.path,
                          ovs_strerror(status_error)) : NULL);
    if (why) {
        return;
    }
    s->dev = st.st_dev;
    s->ino = st.st_ino;
    svec_sort(&s->names);
    s->next_name = 0;
    s->scan++;
    s->scanning = true;
    s->unsettled = false;
}

/* Looks at some more files, and at the end finds those that have gone. */
static void
scan_run(struct source_dir *s)
{
    const struct shash_node *node;

    for (int i = 0; i < LOOKS_PER_RUN; i++) {
        if (s->next_name >= s->names.n) {
            SHASH_FOR_EACH (node, &s->files) {
                struct dir_file *file = node->data;

                if (file->scan != s->scan && file->gone_at == LLONG_MAX
                    && ovs_list_is_empty(&file->todo_node)
                    && !(file->catalog.publisher && s->status.error)) {
                    file_is_gone(s, file, time_msec() + GONE_MS);
                }
            }
            svec_clear(&s->names);
            s->scanning = false;
            if (s->unsettled) {
                scan_soon(s, SETTLE_MS);
            }
            return;
        }
        look_at(s, s->names.names[s->next_name++]);
    }
}

static bool
timespec_equals(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static bool
same_state(const struct stat *a, const struct stat *b)
{
    return (a->st_dev == b->st_dev && a->st_ino == b->st_ino
            && a->st_size == b->st_size
            && timespec_equals(&a->st_mtim, &b->st_mtim)
            && timespec_equals(&a->st_ctim, &b->st_ctim));
}

/* Has the file called 'name' read if it has changed. */
static void
look_at(struct source_dir *s, const char *name)
{
    char *path = xasprintf("%s/%s", s->dir.path, name);
    struct stat st;
    int error = stat(path, &st) ? errno : 0;

    free(path);
    if (error == ENOENT || (!error && S_ISDIR(st.st_mode))) {
        return;
    }
    struct dir_file *file = get_file(s, name);
    file->scan = s->scan;
    if (error) {
        /* Reading it will tell the same. */
        file_needs_load(s, file);
    } else if (!file->loaded || !same_state(&st, &file->state)) {
        if (!s->up.synced || same_state(&st, &file->seen)) {
            file_needs_load(s, file);
        } else {
            s->unsettled = true;
        }
        file->seen = st;
    }
}

/* Has 'file' looked for at 'when', in ms, and removed if it has really
 * gone. */
static void
file_is_gone(struct source_dir *s, struct dir_file *file, long long int when)
{
    ovs_list_remove(&file->todo_node);
    ovs_list_init(&file->todo_node);
    if (file->gone_at == LLONG_MAX) {
        s->n_gone++;
    }
    file->gone_at = when;
}

static void
gone_run(struct source_dir *s, struct model *model)
{
    struct shash_node *node;

    if (!s->n_gone) {
        return;
    }
    SHASH_FOR_EACH_SAFE (node, &s->files) {
        struct dir_file *file = node->data;
        struct stat st;

        if (time_msec() < file->gone_at) {
            continue;
        } else if (!stat(file->catalog.path, &st) && !S_ISDIR(st.st_mode)) {
            file_needs_load(s, file);
        } else {
            file_remove(s, file, model);
        }
    }
}

/* Has the files read again that may hold an object that is free now. */
static void
reload_duplicates(struct source_dir *s)
{
    const struct shash_node **nodes = shash_sort(&s->files);

    for (size_t i = 0; i < shash_count(&s->files); i++) {
        struct dir_file *file = nodes[i]->data;

        if (file->catalog.has_duplicates && file->gone_at == LLONG_MAX) {
            file_needs_load(s, file);
        }
    }
    free(nodes);
}

static void
file_remove(struct source_dir *s, struct dir_file *file, struct model *model)
{
    VLOG_DBG("%s has gone", file->catalog.path);
    if (file->catalog.publisher) {
        pod_status_seen(&s->published, file_base(file), NULL);
    }
    bool released = catalog_unload(&s->catalog, &file->catalog, model);
    dir_file_destroy(s, file);
    if (released) {
        reload_duplicates(s);
    }
}

/* Logs the errors of 'file' that are not among 'old'. */
static void
log_new_errors(const struct dir_file *file, const struct svec *old)
{
    const char *error;
    size_t i;

    SVEC_FOR_EACH (i, error, &file->catalog.errors) {
        if (!svec_contains_unsorted(old, error)) {
            VLOG_WARN_RL(&rl, "%s", error);
        }
    }
    if (svec_is_empty(&file->catalog.errors) && !svec_is_empty(old)) {
        VLOG_INFO_RL(&rl, "%s: has no errors any more", file->catalog.path);
    }
}

static void
file_load(struct source_dir *s, struct dir_file *file, struct model *model)
{
    char *text;
    size_t size;

    int error = file_read(file->catalog.path, YAML_MAX_SIZE, &text, &size,
                          &file->state);
    file->loaded = !error;
    if (error == ENOENT) {
        file_is_gone(s, file, time_msec() + GONE_MS);
    } else if (error == EAGAIN) {
        s->unsettled = true;
        scan_soon(s, SETTLE_MS);
    } else if (error && error != EISDIR) {
        set_error(&file->error,
                  xasprintf("%s: cannot be read: %s", file->catalog.path,
                            error == EINVAL ? "it is no regular file"
                            : ovs_strerror(error)));
    } else if (!error) {
        struct svec old;

        VLOG_DBG("reading %s", file->catalog.path);
        set_error(&file->error, NULL);
        if (file->catalog.publisher) {
            pod_status_seen(&s->published, file_base(file), text);
        }
        svec_clone(&old, &file->catalog.errors);
        if (catalog_load(&s->catalog, &file->catalog, text, size, model)) {
            reload_duplicates(s);
        }
        log_new_errors(file, &old);
        svec_destroy(&old);
        free(text);
        if (size >= TRIM_SIZE) {
            malloc_trim(0);
        }
    }
}

/* Reads files for a while. */
static void
todo_run(struct source_dir *s, struct model *model)
{
    long long int start = time_msec();

    while (!ovs_list_is_empty(&s->todo)
           && time_msec() <= start + LOAD_MS_PER_RUN) {
        struct dir_file *file = CONTAINER_OF(ovs_list_pop_front(&s->todo),
                                             struct dir_file, todo_node);

        ovs_list_init(&file->todo_node);
        file_load(s, file, model);
    }
}

static void
source_dir_publish(struct source *source, const char *node,
                   const struct source_pod *pods, size_t n)
{
    pod_status_set(&source_dir_cast(source)->published, node, pods, n);
}

static const struct source_class source_dir_class = {
    .run = source_dir_run,
    .wait = source_dir_wait,
    .publish = source_dir_publish,
    .get_status = source_dir_get_status,
    .close = source_dir_close,
};
