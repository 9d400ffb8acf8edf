/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Keeps a lateen-ike process and asks it things: see ike-client.h. */

#include <config.h>
#include "ike-client.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "openvswitch/dynamic-string.h"
#include "openvswitch/json.h"
#include "openvswitch/list.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "process.h"
#include "psk.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(ike_client);

/* How long charon may take for an answer, in ms. */
#define ANSWER_TIMEOUT 10000

/* Questions that lateen-ike has at a time, so that charon need not wait for
 * either of us. */
#define MAX_AHEAD 256

/* An answer about a thousand peers is far smaller. */
#define MAX_LINE (64 * 1024 * 1024)

struct question {
    struct ovs_list list_node;  /* In ike_client.questions. */
    char *line;                 /* What is written; wiped when freed. */
    unsigned int id;
    ike_client_cb *cb;
    void *aux;
};

struct ike_client {
    char *vici_socket;
    ike_client_event_cb *event_cb;
    void *aux;

    pid_t pid;                  /* 0 while no process runs. */
    int fd;                     /* Its standard input and output. */
    struct ovs_list questions;  /* In the order of their answers. */
    struct question *next;      /* The first not wholly written, or NULL. */
    size_t n_ahead;             /* Those before that. */
    size_t written;             /* Bytes of its line. */
    long long int deadline;     /* For the next answer, in ms. */
    unsigned int next_id;
    struct ds input;            /* A line that is not complete yet. */
};

struct ike_client *
ike_client_create(const char *vici_socket, ike_client_event_cb *event_cb,
                  void *aux)
{
    struct ike_client *client = xzalloc(sizeof *client);

    client->vici_socket = xstrdup(vici_socket);
    client->event_cb = event_cb;
    client->aux = aux;
    client->fd = -1;
    ovs_list_init(&client->questions);
    ds_init(&client->input);
    return client;
}

static void
question_free(struct question *q)
{
    ovs_list_remove(&q->list_node);
    explicit_bzero(q->line, strlen(q->line));
    free(q->line);
    free(q);
}

/* Ends the process, if there is one, and returns its status. */
static int
stop_process(struct ike_client *client)
{
    int status = 0;

    if (client->pid) {
        kill(client->pid, SIGKILL);
        waitpid(client->pid, &status, 0);
        client->pid = 0;
        close(client->fd);
        client->fd = -1;
    }
    client->next = (ovs_list_is_empty(&client->questions) ? NULL
                    : CONTAINER_OF(ovs_list_front(&client->questions),
                                   struct question, list_node));
    client->n_ahead = client->written = 0;
    ds_clear(&client->input);
    return status;
}

void
ike_client_destroy(struct ike_client *client)
{
    if (client) {
        struct question *q;

        stop_process(client);
        LIST_FOR_EACH_SAFE (q, list_node, &client->questions) {
            question_free(q);
        }
        ds_destroy(&client->input);
        free(client->vici_socket);
        free(client);
    }
}

void
ike_client_reset(struct ike_client *client, const char *error)
{
    struct ovs_list questions;
    struct question *q;

    stop_process(client);
    /* The callbacks may ask new ones. */
    ovs_list_move(&questions, &client->questions);
    ovs_list_init(&client->questions);
    client->next = NULL;
    if (client->event_cb) {
        client->event_cb(NULL, NULL, error, client->aux);
    }
    LIST_FOR_EACH_SAFE (q, list_node, &questions) {
        if (q->cb) {
            q->cb(NULL, NULL, error, q->aux);
        }
        question_free(q);
    }
}

/* Puts the question 'object', which it takes, in line.  'psk', if nonnull, is
 * its "secret". */
static void
ask(struct ike_client *client, struct json *object, const struct psk *psk,
    ike_client_cb *cb, void *aux)
{
    static const char secret[] = ",\"secret\":\"";
    struct question *q = xmalloc(sizeof *q);
    char *text, *p;
    size_t length;

    q->id = ++client->next_id;
    q->cb = cb;
    q->aux = aux;
    json_object_put(object, "id", json_integer_create(q->id));
    /* Sorted: charon takes the first child that fits (conns.h). */
    text = json_to_string(object, JSSF_SORT);
    json_destroy(object);

    /* The key is in no other memory than its own and the line's. */
    length = strlen(text);
    q->line = p = xmalloc(length + (psk ? 2 * psk->size : 0)
                          + sizeof secret + sizeof "\"}\n");
    memcpy(p, text, length);
    p += length;
    if (psk) {
        p = stpcpy(p - 1, secret);
        for (size_t i = 0; i < psk->size; i++) {
            p += sprintf(p, "%02x", psk->data[i]);
        }
        p = stpcpy(p, "\"}");
    }
    strcpy(p, "\n");
    free(text);
    ovs_list_push_back(&client->questions, &q->list_node);
    if (!client->next) {
        client->next = q;
    }
    poll_immediate_wake();
}

static struct json *
command_create(const char *command, struct json *message)
{
    struct json *object = json_object_create();

    json_object_put_string(object, "command", command);
    if (message) {
        json_object_put(object, "message", message);
    }
    return object;
}

void
ike_client_ask(struct ike_client *client, const char *command,
               struct json *message, const char *stream, ike_client_cb *cb,
               void *aux)
{
    struct json *object = command_create(command, message);

    if (stream) {
        json_object_put_string(object, "stream", stream);
    }
    ask(client, object, NULL, cb, aux);
}

void
ike_client_ask_secret(struct ike_client *client, const char *command,
                      struct json *message, const struct psk *psk,
                      ike_client_cb *cb, void *aux)
{
    ask(client, command_create(command, message), psk, cb, aux);
}

void
ike_client_register(struct ike_client *client, struct json *names,
                    bool wanted)
{
    struct json *object = json_object_create();

    json_object_put(object, wanted ? "register" : "unregister", names);
    ask(client, object, NULL, NULL, NULL);
}

bool
ike_client_is_busy(const struct ike_client *client)
{
    return !ovs_list_is_empty(&client->questions);
}

static char *
start_process(struct ike_client *client)
{
    const char *program = getenv("LATEEN_IKE");
    char *argv[] = { NULL, client->vici_socket, NULL };
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    sigset_t defaults;
    int fds[2], error;

    program = program && *program ? program : LATEEN_LIBEXECDIR "/lateen-ike";
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds)) {
        return xasprintf("socketpair: %s", ovs_strerror(errno));
    }
    argv[0] = CONST_CAST(char *, program);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, fds[1], STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, fds[1], STDOUT_FILENO);
    posix_spawnattr_init(&attr);
    sigfillset(&defaults);
    posix_spawnattr_setsigdefault(&attr, &defaults);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGDEF);
    error = posix_spawn(&client->pid, program, &actions, &attr, argv,
                        environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attr);
    close(fds[1]);
    if (error) {
        client->pid = 0;
        close(fds[0]);
        return xasprintf("cannot run %s: %s", program, ovs_strerror(error));
    }
    client->fd = fds[0];
    fcntl(client->fd, F_SETFL, fcntl(client->fd, F_GETFL) | O_NONBLOCK);
    return NULL;
}

/* Deals with a line of lateen-ike's. */
static void
take_line(struct ike_client *client, const char *line)
{
    struct json *object = json_from_string(line);
    const struct shash *members;
    const struct json *value;
    struct question *q;

    if (object->type != JSON_OBJECT) {
        VLOG_WARN("lateen-ike's answer is no JSON object");
        json_destroy(object);
        return;
    }
    members = json_object(object);
    value = shash_find_data(members, "event");
    if (value && value->type == JSON_STRING) {
        const struct json *message = shash_find_data(members, "message");

        if (message && message->type == JSON_OBJECT && client->event_cb) {
            client->event_cb(json_string(value), message, NULL, client->aux);
        }
        json_destroy(object);
        return;
    }
    if (!client->n_ahead) {
        VLOG_WARN("lateen-ike answers without a question");
        json_destroy(object);
        return;
    }

    const struct json *ok = shash_find_data(members, "ok");
    const struct json *reply = shash_find_data(members, "reply");
    const struct json *events = shash_find_data(members, "events");
    const struct json *lost = shash_find_data(members, "lost");
    const struct json *error_ = shash_find_data(members, "error");
    const char *error
        = (ok && ok->type == JSON_TRUE ? NULL
           : error_ && error_->type == JSON_STRING ? json_string(error_)
           : "lateen-ike does not say why it fails");

    if (lost && lost->type == JSON_TRUE) {
        ike_client_reset(client, error);
    } else {
        q = CONTAINER_OF(ovs_list_pop_front(&client->questions),
                         struct question, list_node);
        ovs_list_init(&q->list_node);
        client->n_ahead--;
        client->deadline = time_msec() + ANSWER_TIMEOUT;
        if (q->cb) {
            q->cb(error ? NULL : reply, error ? NULL : events, error, q->aux);
        }
        question_free(q);
    }
    json_destroy(object);
}

static void
receive(struct ike_client *client)
{
    char buf[16384];
    ssize_t n;

    while (client->pid) {
        n = read(client->fd, buf, sizeof buf);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            return;
        } else if (n <= 0) {
            char *status = process_status_msg(stop_process(client));
            char *error = xasprintf("lateen-ike has ended: %s", status);

            ike_client_reset(client, error);
            free(error);
            free(status);
            return;
        }
        for (ssize_t i = 0; i < n && client->pid; i++) {
            if (buf[i] != '\n') {
                ds_put_char(&client->input, buf[i]);
                continue;
            }
            char *line = ds_steal_cstr(&client->input);
            take_line(client, line);
            free(line);
        }
        if (client->input.length > MAX_LINE) {
            ike_client_reset(client, "lateen-ike's answer is too long");
        }
    }
}

static void
transmit(struct ike_client *client)
{
    while (client->next && client->n_ahead < MAX_AHEAD) {
        struct question *q = client->next;
        size_t size = strlen(q->line);

        if (!client->n_ahead && !client->written) {
            client->deadline = time_msec() + ANSWER_TIMEOUT;
        }
        while (client->written < size) {
            ssize_t n = send(client->fd, q->line + client->written,
                             size - client->written, MSG_NOSIGNAL);

            if (n < 0) {
                if (errno != EAGAIN && errno != EINTR) {
                    ike_client_reset(client, "lateen-ike has ended");
                }
                return;
            }
            client->written += n;
        }
        client->written = 0;
        client->n_ahead++;
        client->next = (&q->list_node == ovs_list_back(&client->questions)
                        ? NULL : CONTAINER_OF(q->list_node.next,
                                              struct question, list_node));
    }
}

void
ike_client_run(struct ike_client *client)
{
    receive(client);
    if (ovs_list_is_empty(&client->questions)) {
        return;
    }
    if (!client->pid) {
        char *error = start_process(client);

        if (error) {
            ike_client_reset(client, error);
            free(error);
            return;
        }
    }
    transmit(client);
    if (client->pid && ike_client_is_busy(client)
        && time_msec() >= client->deadline) {
        ike_client_reset(client, "charon did not answer in time");
    }
}

void
ike_client_flush(struct ike_client *client)
{
    if (client->pid) {
        transmit(client);
    }
}

void
ike_client_wait(struct ike_client *client)
{
    if (!client->pid) {
        if (ike_client_is_busy(client)) {
            poll_immediate_wake();
        }
        return;
    }
    poll_fd_wait(client->fd, POLLIN);
    if (ike_client_is_busy(client)) {
        if (client->next && client->n_ahead < MAX_AHEAD) {
            poll_fd_wait(client->fd, POLLOUT);
        }
        poll_timer_wait_until(client->deadline);
    }
}
