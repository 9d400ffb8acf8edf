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
 * values.  Its answer is one line on standard output:
 *
 *     {"id": 1, "ok": true, "reply": {...}, "events": [...]}
 *     {"id": 1, "ok": false, "error": "..."}
 *
 * "stream" collects the events of that name that charon sends before its
 * reply.  {"register": ["EVENT", ...]} asks for events at any time, which come
 * as {"event": "EVENT", "message": {...}}.  Ends with its standard input. */

#include <config.h>

#include <errno.h>
#include <jansson.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "vici-api.h"

/* Longest line, and deepest message, that is taken in. */
#define MAX_LINE (16 * 1024 * 1024)
#define MAX_DEPTH 16

/* Values longer than this do not fit a VICI message. */
#define MAX_VALUE 65535

static char *uri;
static vici_conn_t *commands;   /* Connection for commands, or NULL. */
static vici_conn_t *events;     /* Connection for registered events. */

/* libvici calls back in threads of its own. */
static pthread_mutex_t output = PTHREAD_MUTEX_INITIALIZER;

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
    free(text);
    json_decref(object);
}

static json_t *
value_to_json(const void *value, int len)
{
    json_t *s = json_stringn(value, len);

    /* What is not text is of no interest to lateend. */
    return s ? s : json_string("");
}

/* Reads a section up to its end. */
static json_t *
section_to_json(vici_res_t *res, int depth)
{
    json_t *object = json_object();
    json_t *list = NULL;
    void *value;
    int len;

    for (;;) {
        switch (vici_parse(res)) {
        case VICI_PARSE_BEGIN_SECTION: {
            char *name = strdup(vici_parse_name(res));

            json_object_set_new(object, name,
                                (depth < MAX_DEPTH
                                 ? section_to_json(res, depth + 1)
                                 : json_null()));
            free(name);
            break;
        }
        case VICI_PARSE_BEGIN_LIST:
            list = json_array();
            json_object_set_new(object, vici_parse_name(res), list);
            break;
        case VICI_PARSE_LIST_ITEM:
            value = vici_parse_value(res, &len);
            if (list && value) {
                json_array_append_new(list, value_to_json(value, len));
            }
            break;
        case VICI_PARSE_END_LIST:
            list = NULL;
            break;
        case VICI_PARSE_KEY_VALUE:
            value = vici_parse_value(res, &len);
            if (value) {
                json_object_set_new(object, vici_parse_name(res),
                                    value_to_json(value, len));
            }
            break;
        case VICI_PARSE_END_SECTION:
        case VICI_PARSE_END:
        case VICI_PARSE_ERROR:
        default:
            return object;
        }
    }
}

/* Whether 'message' can be said in VICI; if not, '*what' says why. */
static bool
check_message(const json_t *message, int depth, const char **what)
{
    const char *key;
    json_t *value;

    if (depth > MAX_DEPTH) {
        *what = "the message is too deep";
        return false;
    }
    json_object_foreach ((json_t *) message, key, value) {
        const json_t *item;
        size_t i;

        if (strlen(key) > 255) {
            *what = "a name is longer than 255 bytes";
            return false;
        }
        switch (json_typeof(value)) {
        case JSON_OBJECT:
            if (!check_message(value, depth + 1, what)) {
                return false;
            }
            break;
        case JSON_ARRAY:
            json_array_foreach (value, i, item) {
                if (!json_is_string(item)
                    || json_string_length(item) > MAX_VALUE) {
                    *what = "a list has an item that is no string, or too "
                            "long";
                    return false;
                }
            }
            break;
        case JSON_STRING:
            if (json_string_length(value) > MAX_VALUE) {
                *what = "a value is too long";
                return false;
            }
            break;
        case JSON_INTEGER:
        case JSON_REAL:
        case JSON_TRUE:
        case JSON_FALSE:
        case JSON_NULL:
        default:
            *what = "values are strings";
            return false;
        }
    }
    return true;
}

static void
add_message(vici_req_t *req, const json_t *message)
{
    const char *key_;
    json_t *value;

    json_object_foreach ((json_t *) message, key_, value) {
        char *key = (char *) key_;
        const json_t *item;
        size_t i;

        if (json_is_object(value)) {
            vici_begin_section(req, key);
            add_message(req, value);
            vici_end_section(req);
        } else if (json_is_array(value)) {
            vici_begin_list(req, key);
            json_array_foreach (value, i, item) {
                vici_add_list_item(req, (char *) json_string_value(item),
                                   json_string_length(item));
            }
            vici_end_list(req);
        } else {
            vici_add_key_value(req, key, (char *) json_string_value(value),
                               json_string_length(value));
        }
    }
}

static void
collect_event(void *events_, char *name, vici_res_t *msg)
{
    (void) name;
    json_array_append_new(events_, section_to_json(msg, 0));
}

static void
print_event(void *user, char *name, vici_res_t *msg)
{
    (void) user;
    print_line(json_pack("{s:s, s:o}", "event", name,
                         "message", section_to_json(msg, 0)));
}

/* Gives the connection up, so that the next command makes a new one: libvici
 * cannot tell whether charon has been restarted. */
static void
drop_connections(void)
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

static json_t *
failure(const json_t *id, const char *error)
{
    return json_pack("{s:O?, s:b, s:s}", "id", id, "ok", 0, "error", error);
}

static json_t *
run_command(const json_t *request)
{
    const json_t *id = json_object_get(request, "id");
    const char *name = json_string_value(json_object_get(request,
                                                         "command"));
    const char *stream = json_string_value(json_object_get(request,
                                                           "stream"));
    const json_t *message = json_object_get(request, "message");
    const char *what = "";
    json_t *collected = NULL, *reply;
    vici_res_t *res;
    vici_req_t *req;
    char text[256];

    if (!name || (message && !json_is_object(message))) {
        return failure(id, "a command is a string and its message an object");
    }
    if (!check_message(message, 0, &what)) {
        return failure(id, what);
    }
    if (!commands) {
        commands = vici_connect(uri);
        if (!commands) {
            snprintf(text, sizeof text, "cannot reach charon at %s: %s", uri,
                     strerror(errno));
            return failure(id, text);
        }
    }
    if (stream) {
        collected = json_array();
        if (vici_register(commands, (char *) stream, collect_event,
                          collected)) {
            json_decref(collected);
            drop_connections();
            return failure(id, "charon is gone, or has no such event");
        }
    }
    req = vici_begin((char *) name);
    add_message(req, message);
    errno = 0;
    res = vici_submit(req, commands);
    if (!res) {
        /* With this version of libvici, errno may say nothing. */
        snprintf(text, sizeof text, "charon did not answer: %s",
                 errno ? strerror(errno) : "it is gone");
        json_decref(collected);
        drop_connections();
        return failure(id, text);
    }
    if (stream) {
        vici_register(commands, (char *) stream, NULL, NULL);
    }
    reply = section_to_json(res, 0);
    vici_free_res(res);

    const char *success = json_string_value(json_object_get(reply,
                                                            "success"));
    json_t *answer;
    if (success && strcmp(success, "yes")) {
        const char *errmsg
            = json_string_value(json_object_get(reply, "errmsg"));

        answer = failure(id, errmsg ? errmsg : "charon refused");
    } else {
        answer = json_pack("{s:O?, s:b, s:O, s:O*}", "id", id, "ok", 1,
                           "reply", reply, "events", collected);
    }
    json_decref(reply);
    json_decref(collected);
    return answer;
}

/* Events come on a connection of their own: libvici allows no commands while
 * it calls back. */
static json_t *
register_events(const json_t *request, const json_t *names)
{
    const json_t *id = json_object_get(request, "id");
    const json_t *name;
    char text[256];
    size_t i;

    if (!events) {
        events = vici_connect(uri);
    }
    if (!events) {
        snprintf(text, sizeof text, "cannot reach charon at %s: %s", uri,
                 strerror(errno));
        return failure(id, text);
    }
    json_array_foreach (names, i, name) {
        if (!json_is_string(name)
            || vici_register(events, (char *) json_string_value(name),
                             print_event, NULL)) {
            drop_connections();
            return failure(id, "charon is gone, or has no such event");
        }
    }
    return json_pack("{s:O?, s:b}", "id", id, "ok", 1);
}

int
main(int argc, char *argv[])
{
    char *line = NULL;
    size_t allocated = 0;
    ssize_t n;

    if (argc != 2 || !strcmp(argv[1], "--help")) {
        fprintf(argc == 2 ? stdout : stderr,
                "lateen-ike (Lateen) %s: speaks to charon for lateend, which "
                "starts it\nusage: lateen-ike VICI-SOCKET\n",
                PACKAGE_VERSION);
        return argc == 2 ? 0 : 2;
    }
    if (!strcmp(argv[1], "--version")) {
        printf("lateen-ike (Lateen) %s\n", PACKAGE_VERSION);
        return 0;
    }
    if (asprintf(&uri, "%s%s", *argv[1] == '/' ? "unix://" : "",
                 argv[1]) < 0) {
        abort();
    }

    /* lateend may be killed without a chance to say so. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGPIPE, SIG_IGN);
    vici_init();

    while ((n = getline(&line, &allocated, stdin)) > 0 && n <= MAX_LINE) {
        json_t *request = json_loadb(line, n, 0, NULL);
        json_t *names = json_object_get(request, "register");

        /* It may have held a key. */
        explicit_bzero(line, n);
        if (!json_is_object(request)) {
            print_line(failure(NULL, "that is no JSON object"));
        } else if (json_is_array(names)) {
            print_line(register_events(request, names));
        } else {
            print_line(run_command(request));
        }
        json_decref(request);
    }
    free(line);
    drop_connections();
    vici_deinit();
    free(uri);
    return 0;
}
