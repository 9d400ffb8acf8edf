/* SPDX-License-Identifier: GPL-3.0-or-later */
/* lateen-ike: speaks to strongSwan's charon for lateend.
 *
 * libvici waits for charon without limit, starts threads, and changes how
 * printf() works.  So it lives in this process, which lateend may kill at any
 * time.  One line of JSON on standard input is a command:
 *
 *     {"id": 1, "command": "load-conn", "message": {...}, "stream": "EVENT"}
 *
 * The message's objects, arrays and strings are VICI's sections, lists and
 * values.  "secret", in hexadecimal, goes into it as "data".  The answer is
 * one line on standard output:
 *
 *     {"id": 1, "ok": true, "reply": {...}, "events": [...]}
 *     {"id": 1, "ok": false, "error": "...", "lost": false}
 *
 * "stream" collects the events of that name that charon sends before its
 * reply.  "lost" tells that charon cannot be reached, or does not answer any
 * more.  {"id": 2, "register": ["EVENT", ...]} asks for events at any time,
 * which come as {"event": "EVENT", "message": {...}}, until "unregister".
 *
 * Ends with its standard input, and with the process that started it. */

#include <config.h>

#include <errno.h>
#include <jansson.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "vici-json.h"

/* A longer line costs the process its life.  VICI's messages are shorter. */
#define MAX_LINE (4 * 1024 * 1024)

static char *uri;
static vici_conn_t *commands;   /* Connection for commands, or NULL. */
static vici_conn_t *events;     /* Connection for registered events. */

/* libvici calls back in threads of its own. */
static pthread_mutex_t output = PTHREAD_MUTEX_INITIALIZER;

/* jansson's free(): its buffers may have held a key. */
static void
wipe_and_free(void *p)
{
    if (p) {
        explicit_bzero(p, malloc_usable_size(p));
        free(p);
    }
}

/* Prints 'object' as a line, and frees it. */
static void
print_line(json_t *object)
{
    char *text = json_dumps(object, JSON_COMPACT);

    pthread_mutex_lock(&output);
    fputs(text ? text : "{}", stdout);
    putchar('\n');
    fflush(stdout);
    pthread_mutex_unlock(&output);
    wipe_and_free(text);
    json_decref(object);
}

static json_t *
failure(const json_t *id, const char *error, bool lost)
{
    return json_pack("{s:O?, s:b, s:s, s:b}", "id", id, "ok", 0,
                     "error", error, "lost", lost);
}

static void
disconnect(void)
{
    if (commands) {
        vici_disconnect(commands);
        commands = NULL;
    }
    if (events) {
        vici_disconnect(events);
        events = NULL;
    }
}

/* Gives the connections up, so that the next command makes new ones, and says
 * so. */
static json_t *
lose_charon(const json_t *id, const char *what, int error)
{
    char text[512];

    disconnect();
    if (error == ECONNRESET || error == EPIPE) {
        return failure(id, "charon has ended", true);
    }
    /* libvici does not always say why. */
    snprintf(text, sizeof text, "%s at %s: %s", what, uri,
             error ? strerror(error) : "it is gone");
    return failure(id, text, true);
}

static void
collect_event(void *collected, char *name, vici_res_t *msg)
{
    (void) name;
    json_array_append_new(collected, vici_json_read(msg));
}

static void
print_event(void *user, char *name, vici_res_t *msg)
{
    (void) user;
    print_line(json_pack("{s:s, s:o}", "event", name,
                         "message", vici_json_read(msg)));
}

/* Appends the bytes that 'hex' stands for to 'req' as "data".  False if it is
 * no hexadecimal number of whole bytes, or too long. */
static bool
add_secret(vici_req_t *req, const json_t *secret)
{
    const char *hex = json_string_value(secret);
    size_t n = json_string_length(secret) / 2;
    unsigned char data[8192];

    if (!hex || json_string_length(secret) % 2 || n > sizeof data
        || strspn(hex, "0123456789abcdef") != 2 * n) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        const char digits[] = { hex[2 * i], hex[2 * i + 1], '\0' };

        data[i] = strtoul(digits, NULL, 16);
    }
    vici_add_key_value(req, "data", data, n);
    explicit_bzero(data, sizeof data);
    return true;
}

/* Turns charon's reply, which it frees, into an answer. */
static json_t *
make_answer(const json_t *id, json_t *reply, json_t *collected)
{
    const char *success
        = json_string_value(json_object_get(reply, "success"));
    json_t *answer;

    if (success && strcmp(success, "yes")) {
        const char *errmsg
            = json_string_value(json_object_get(reply, "errmsg"));

        answer = failure(id, errmsg && *errmsg ? errmsg : "charon refuses",
                         false);
    } else {
        answer = json_pack("{s:O?, s:b, s:O, s:O*}", "id", id, "ok", 1,
                           "reply", reply, "events", collected);
    }
    json_decref(reply);
    return answer;
}

static json_t *
run_command(const json_t *request, const json_t *id)
{
    const json_t *message = json_object_get(request, "message");
    const json_t *secret = json_object_get(request, "secret");
    const char *name
        = json_string_value(json_object_get(request, "command"));
    char *stream
        = (char *) json_string_value(json_object_get(request, "stream"));
    json_t *collected, *answer;
    vici_res_t *res;
    vici_req_t *req;
    int error;

    if (!name || !*name || strlen(name) > 255
        || (message && !json_is_object(message))) {
        return failure(id, "a command is a string, and its message an object",
                       false);
    }
    const char *why = vici_json_check(message);
    if (why) {
        return failure(id, why, false);
    }

    if (!commands) {
        commands = vici_connect(uri);
        if (!commands) {
            return lose_charon(id, "cannot reach charon", errno);
        }
    }
    req = vici_begin((char *) name);
    vici_json_add(req, message);
    if (secret && !add_secret(req, secret)) {
        vici_free_req(req);
        return failure(id, "a secret is hexadecimal", false);
    }

    collected = stream ? json_array() : NULL;
    if (stream && vici_register(commands, stream, collect_event, collected)) {
        error = errno;
        vici_free_req(req);
        answer = (error == ENOENT ? failure(id, "unknown stream", false)
                  : lose_charon(id, "charon does not answer", error));
        json_decref(collected);
        return answer;
    }
    errno = 0;
    res = vici_submit(req, commands);
    error = errno;
    if (res) {
        if (stream) {
            vici_register(commands, stream, NULL, NULL);
        }
        answer = make_answer(id, vici_json_read(res), collected);
        vici_free_res(res);
    } else if (error == ENOENT && !stream) {
        answer = failure(id, "charon does not know this command", false);
    } else {
        answer = lose_charon(id, "charon does not answer", error);
    }
    json_decref(collected);
    return answer;
}

/* Events come on a connection of their own: libvici allows no commands while
 * it calls back. */
static json_t *
register_events(const json_t *names, bool wanted, const json_t *id)
{
    const json_t *name;
    size_t i;

    if (!events) {
        events = vici_connect(uri);
        if (!events) {
            return lose_charon(id, "cannot reach charon", errno);
        }
    }
    json_array_foreach (names, i, name) {
        errno = 0;
        if (!json_is_string(name)) {
            return failure(id, "an event's name is a string", false);
        } else if (vici_register(events, (char *) json_string_value(name),
                                 wanted ? print_event : NULL, NULL)) {
            return (errno == ENOENT ? failure(id, "unknown event", false)
                    : lose_charon(id, "charon does not answer", errno));
        }
    }
    return json_pack("{s:O?, s:b}", "id", id, "ok", 1);
}

/* Returns the answer to 'line', and wipes it. */
static json_t *
answer_line(char *line, size_t length)
{
    json_t *request = json_loadb(line, length, 0, NULL);
    const json_t *id = json_object_get(request, "id");
    const json_t *names = json_object_get(request, "register");
    const json_t *unwanted = json_object_get(request, "unregister");
    json_t *answer;

    explicit_bzero(line, length);
    if (!json_is_object(request)) {
        answer = failure(NULL, "that is no JSON object", false);
    } else if (json_is_array(names)) {
        answer = register_events(names, true, id);
    } else if (json_is_array(unwanted)) {
        answer = register_events(unwanted, false, id);
    } else {
        answer = run_command(request, id);
    }
    json_decref(request);
    return answer;
}

/* Puts the next line of standard input into '*line', NULL at the end.  The
 * line is good until the next call, which wipes it. */
static void
read_line(char **line, size_t *length)
{
    static char *input;
    static size_t n, allocated, taken;

    if (taken) {
        n -= taken;
        memmove(input, input + taken, n);
        explicit_bzero(input + n, taken);
        taken = 0;
    }
    for (size_t looked_at = 0;;) {
        char *end = NULL;

        if (n > looked_at) {
            end = memchr(input + looked_at, '\n', n - looked_at);
        }
        if (end) {
            *line = input;
            *length = end - input;
            taken = *length + 1;
            return;
        }
        looked_at = n;
        if (n == allocated) {
            char *bigger = malloc(2 * allocated + 65536);

            if (!bigger || allocated >= MAX_LINE) {
                abort();
            }
            if (n) {
                memcpy(bigger, input, n);
            }
            wipe_and_free(input);
            input = bigger;
            allocated = 2 * allocated + 65536;
        }
        ssize_t got = read(STDIN_FILENO, input + n, allocated - n);
        if (got > 0) {
            n += got;
        } else if (!got || errno != EINTR) {
            wipe_and_free(input);
            *line = NULL;
            return;
        }
    }
}

int
main(int argc, char *argv[])
{
    pid_t parent = getppid();
    char *line;
    size_t n;

    if (argc != 2 || *argv[1] == '-') {
        bool help = argc == 2 && !strcmp(argv[1], "--help");

        if (argc == 2 && !strcmp(argv[1], "--version")) {
            printf("lateen-ike (Lateen) %s\n", PACKAGE_VERSION);
            return 0;
        }
        fprintf(help ? stdout : stderr,
                "lateen-ike (Lateen) %s: speaks to charon for lateend, which "
                "starts it\nusage: lateen-ike VICI-SOCKET\n",
                PACKAGE_VERSION);
        return help ? 0 : 2;
    }

    /* lateend may be killed without a chance to say so. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) {
        return 0;
    }
    signal(SIGPIPE, SIG_IGN);
    /* What libvici prints there is in the answers. */
    if (!freopen("/dev/null", "w", stderr)
        || asprintf(&uri, "%s%s", *argv[1] == '/' ? "unix://" : "",
                    argv[1]) < 0) {
        return 1;
    }
    json_set_alloc_funcs(malloc, wipe_and_free);
    json_object_seed(0);
    vici_init();

    for (read_line(&line, &n); line; read_line(&line, &n)) {
        print_line(answer_line(line, n));
    }
    disconnect();
    vici_deinit();
    free(uri);
    return 0;
}
