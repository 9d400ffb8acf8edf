/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a container runtime asks of the plugin: see cni-conf.h. */

#include <config.h>
#include "cni-conf.h"

#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

const char *const cni_versions[] = { "0.3.0", "0.3.1", "0.4.0", "1.0.0",
                                     NULL };

/* What nobody's configuration needs more of. */
#define MAX_INPUT (1024 * 1024)

struct cni_error *
cni_error(int code, const char *format, ...)
{
    struct cni_error *error = calloc(1, sizeof *error);
    va_list args;

    va_start(args, format);
    if (!error || vasprintf(&error->msg, format, args) < 0) {
        abort();
    }
    va_end(args);
    error->code = code;
    return error;
}

void
cni_error_free(struct cni_error *error)
{
    if (error) {
        free(error->msg);
        free(error->details);
        json_decref(error->verbatim);
        free(error);
    }
}

void
cni_error_print(const struct cni_error *error, const char *version)
{
    json_t *object;

    if (error->verbatim) {
        object = json_deep_copy(error->verbatim);
        json_object_set_new(object, "cniVersion", json_string(version));
    } else {
        object = json_pack("{s:s, s:i, s:s%, s:s*}", "cniVersion", version,
                           "code", error->code, "msg", error->msg,
                           strlen(error->msg), "details", error->details);
        if (!object) {
            /* Not UTF-8: whatever it was came from outside. */
            object = json_pack("{s:s, s:i, s:s}", "cniVersion", version,
                               "code", error->code, "msg",
                               "the call contains text that is not UTF-8");
        }
    }
    json_dumpf(object, stdout, JSON_INDENT(4));
    putchar('\n');
    fflush(stdout);
    json_decref(object);
}

json_t *
cni_get(const json_t *object, const char *name)
{
    const char *key;
    json_t *value = json_object_get(object, name);

    if (value || !json_is_object(object)) {
        return value;
    }
    json_object_foreach ((json_t *) object, key, value) {
        if (!strcasecmp(key, name)) {
            return value;
        }
    }
    return NULL;
}

void
cni_remove(json_t *object, const char *name)
{
    const char *key;
    json_t *value;
    void *next;

    json_object_foreach_safe (object, next, key, value) {
        if (!strcasecmp(key, name)) {
            json_object_del(object, key);
        }
    }
}

static bool
is_alnum(char c)
{
    return ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')
            || (c >= '0' && c <= '9'));
}

static bool
is_container_id(const char *s)
{
    if (!is_alnum(*s)) {
        return false;
    }
    for (; *s; s++) {
        if (!is_alnum(*s) && !strchr("_.-", *s)) {
            return false;
        }
    }
    return true;
}

static bool
is_ifname(const char *s)
{
    size_t n = strlen(s);

    if (!n || n >= IFNAMSIZ || !strcmp(s, ".") || !strcmp(s, "..")) {
        return false;
    }
    for (; *s; s++) {
        if (*s == '/' || *s == ':' || (unsigned char) *s <= ' '
            || *s == 0x7f) {
            return false;
        }
    }
    return true;
}

/* The variable's value, or NULL where it is unset or empty. */
static const char *
get_env(const char *name)
{
    const char *value = getenv(name);

    return value && *value ? value : NULL;
}

static struct cni_error *
parse_command(struct cni_call *call)
{
    static const char *const names[] = {
        [CNI_ADD] = "ADD",
        [CNI_DEL] = "DEL",
        [CNI_CHECK] = "CHECK",
        [CNI_VERSION] = "VERSION",
    };
    const char *command = get_env("CNI_COMMAND");

    if (!command) {
        return cni_error(CNI_BAD_ENVIRONMENT,
                         "required env variables [CNI_COMMAND] missing");
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (!strcmp(command, names[i])) {
            call->command = i;
            return NULL;
        }
    }
    return cni_error(CNI_BAD_ENVIRONMENT, "unknown CNI_COMMAND: %s",
                     command);
}

static struct cni_error *
parse_environment(struct cni_call *call)
{
    const struct {
        const char *name;
        const char **value;
        bool required;
    } variables[] = {
        { "CNI_CONTAINERID", &call->container_id, true },
        { "CNI_NETNS", &call->netns, call->command != CNI_DEL },
        { "CNI_IFNAME", &call->ifname, true },
        { "CNI_PATH", &call->path, false },
    };
    char missing[128] = "";

    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++) {
        *variables[i].value = get_env(variables[i].name);
        if (!*variables[i].value && variables[i].required) {
            strcat(missing, *missing ? " " : "");
            strcat(missing, variables[i].name);
        }
    }
    call->path = call->path ? call->path : "";
    if (*missing) {
        return cni_error(CNI_BAD_ENVIRONMENT,
                         "required env variables [%s] missing", missing);
    }
    if (!is_container_id(call->container_id)) {
        return cni_error(CNI_BAD_ENVIRONMENT, "CNI_CONTAINERID \"%s\" is not "
                         "letters, digits, '_', '.' and '-' after a letter "
                         "or digit", call->container_id);
    }
    if (!is_ifname(call->ifname)) {
        return cni_error(CNI_BAD_ENVIRONMENT, "CNI_IFNAME \"%s\" is no name "
                         "of an interface", call->ifname);
    }
    return NULL;
}

/* Takes CNI_ARGS apart: "K=V;K2=V2", in any order. */
static struct cni_error *
parse_args(struct cni_call *call)
{
    static const char *const known[] = { "IP", "MAC", "K8S_POD_NAMESPACE",
                                         "K8S_POD_NAME", "K8S_POD_UID",
                                         "K8S_POD_INFRA_CONTAINER_ID" };
    const char *args = get_env("CNI_ARGS");
    bool ignore_unknown = false;
    struct cni_error *error = NULL;
    char *unknown = NULL;
    char *copy, *pair, *save = NULL;

    if (!args) {
        return NULL;
    }
    copy = strdup(args);
    for (pair = strtok_r(copy, ";", &save); pair && !error;
         pair = strtok_r(NULL, ";", &save)) {
        char *value = strchr(pair, '=');
        bool found = false;

        if (!value) {
            error = cni_error(CNI_BAD_ENVIRONMENT,
                              "CNI_ARGS: \"%s\" is no KEY=VALUE", pair);
            break;
        }
        *value++ = '\0';
        if (!strcmp(pair, "IgnoreUnknown")) {
            ignore_unknown = (!strcmp(value, "1")
                              || !strcasecmp(value, "true"));
            continue;
        }
        for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
            found = found || !strcmp(pair, known[i]);
        }
        char **into = (!strcmp(pair, "K8S_POD_NAMESPACE")
                       ? &call->pod_namespace
                       : !strcmp(pair, "K8S_POD_NAME") ? &call->pod_name
                       : !strcmp(pair, "MAC") ? &call->mac : NULL);
        if (!strcmp(pair, "IP") && *value) {
            json_decref(call->ips);
            call->ips = json_pack("[s]", value);
        } else if (into && *value) {
            free(*into);
            *into = strdup(value);
        } else if (!found && !unknown) {
            unknown = strdup(pair);
        }
    }
    if (!error && unknown && !ignore_unknown && call->command != CNI_DEL) {
        error = cni_error(CNI_BAD_ENVIRONMENT, "CNI_ARGS: unknown key \"%s\" "
                          "(IgnoreUnknown=1 would pass over it)", unknown);
    }
    /* Both names make a pod.  Some runtimes give every container one. */
    if (!call->pod_namespace || !call->pod_name) {
        free(call->pod_namespace);
        free(call->pod_name);
        call->pod_namespace = call->pod_name = NULL;
    }
    free(unknown);
    free(copy);
    return error;
}

char *
cni_ipam_args(void)
{
    const char *args = get_env("CNI_ARGS");
    char *copy = strdup(args ? args : "");
    char *result = malloc(strlen(copy) + sizeof "IgnoreUnknown=1;");
    char *save = NULL;

    strcpy(result, "IgnoreUnknown=1");
    for (char *pair = strtok_r(copy, ";", &save); pair;
         pair = strtok_r(NULL, ";", &save)) {
        if (strncmp(pair, "IP=", 3) && strncmp(pair, "IgnoreUnknown=", 14)) {
            strcat(strcat(result, ";"), pair);
        }
    }
    free(copy);
    return result;
}

static bool
is_supported(const char *version)
{
    for (size_t i = 0; cni_versions[i]; i++) {
        if (!strcmp(version, cni_versions[i])) {
            return true;
        }
    }
    return false;
}

static struct cni_error *
parse_json(struct cni_call *call, const char *input, size_t size)
{
    struct cni_error *error;
    json_error_t where;
    json_t *version;

    if (size > MAX_INPUT) {
        return cni_error(CNI_BAD_CONTENT, "the network configuration has more "
                         "than %d bytes", MAX_INPUT);
    }
    call->conf = json_loadb(input, size, 0, &where);
    if (!call->conf) {
        return cni_error(CNI_BAD_CONTENT, "the network configuration on "
                         "standard input is no JSON: line %d: %s", where.line,
                         where.text);
    } else if (!json_is_object(call->conf)) {
        return cni_error(CNI_BAD_CONTENT, "the network configuration on "
                         "standard input is no JSON object");
    }
    version = json_object_get(call->conf, "cniVersion");
    if (version && !json_is_string(version)) {
        return cni_error(CNI_BAD_CONTENT, "cniVersion is no string");
    }

    /* What came before the key existed. */
    const char *text = version ? json_string_value(version) : "0.1.0";
    if (!is_supported(text)) {
        error = cni_error(CNI_INCOMPATIBLE_VERSION,
                          "incompatible CNI versions");
        if (asprintf(&error->details, "config is \"%s\", plugin supports "
                     "[\"0.3.0\" \"0.3.1\" \"0.4.0\" \"1.0.0\"]", text) < 0) {
            abort();
        }
        return error;
    }
    call->version = text;
    return NULL;
}

/* What is requested for this container: what the runtime says now beats what
 * the configuration says, which beats CNI_ARGS, which has been read. */
static struct cni_error *
parse_requests(struct cni_call *call)
{
    json_t *runtime = json_object_get(call->conf, "runtimeConfig");
    json_t *args = json_object_get(json_object_get(call->conf, "args"),
                                   "cni");
    json_t *value, *elem;
    size_t i;

    value = cni_get(runtime, "mac");
    value = value ? value : cni_get(args, "mac");
    if (value && !json_is_string(value)) {
        return cni_error(CNI_BAD_CONFIG, "mac: a MAC address is wanted");
    } else if (value && *json_string_value(value)) {
        free(call->mac);
        call->mac = strdup(json_string_value(value));
    }

    value = cni_get(runtime, "ips");
    if (!value || (json_is_array(value) && !json_array_size(value))) {
        value = cni_get(args, "ips");
    }
    if (value && !json_is_null(value) && !json_is_array(value)) {
        return cni_error(CNI_BAD_CONFIG,
                         "ips: an array of addresses is wanted");
    }
    json_array_foreach (value, i, elem) {
        if (!json_is_string(elem)) {
            return cni_error(CNI_BAD_CONFIG, "ips: element %zu is no address",
                             i);
        }
    }
    if (json_array_size(value)) {
        json_decref(call->ips);
        call->ips = json_incref(value);
    }
    return NULL;
}

static struct cni_error *
parse_conf(struct cni_call *call)
{
    json_t *name = json_object_get(call->conf, "name");
    json_t *ipam = json_object_get(call->conf, "ipam");
    json_t *value;

    if (!json_is_string(name)
        || !is_container_id(json_string_value(name))) {
        return cni_error(CNI_BAD_CONFIG, "name: the network's name is missing "
                         "or not letters, digits, '_', '.' and '-'");
    }
    value = json_object_get(call->conf, "socket");
    if (value && !json_is_string(value)) {
        return cni_error(CNI_BAD_CONFIG, "socket: the path of lateend's "
                         "control socket is wanted");
    }
    call->socket = json_string_value(value);

    value = json_object_get(ipam, "type");
    if (!json_is_string(value) || !*json_string_value(value)
        || strchr(json_string_value(value), '/')) {
        return cni_error(CNI_BAD_CONFIG, "ipam: a plugin that gives addresses "
                         "is wanted, as in {\"type\": \"host-local\"}");
    }
    call->ipam_type = json_string_value(value);

    if (call->command == CNI_CHECK) {
        if (!strncmp(call->version, "0.3.", 4)) {
            return cni_error(CNI_INCOMPATIBLE_VERSION,
                             "config version does not allow CHECK");
        }
        if (!json_is_object(json_object_get(call->conf, "prevResult"))) {
            return cni_error(CNI_BAD_CONFIG,
                             "prevResult: CHECK needs the result of ADD");
        }
    } else if (call->command == CNI_ADD) {
        if (json_is_object(json_object_get(call->conf, "prevResult"))) {
            return cni_error(CNI_BAD_CONFIG, "prevResult: lateen-cni must be "
                             "the first plugin of its list");
        }
        return parse_requests(call);
    }
    return NULL;
}

struct cni_error *
cni_call_parse(struct cni_call *call, const char *input, size_t size)
{
    struct cni_error *error, *json_error;

    memset(call, 0, sizeof *call);
    call->version = "1.0.0";
    /* First of all the version, in which errors are answered. */
    json_error = parse_json(call, input, size);
    error = parse_command(call);
    if (error || call->command == CNI_VERSION) {
        cni_error_free(json_error);
        return error;
    }
    error = parse_environment(call);
    if (error) {
        cni_error_free(json_error);
        return error;
    }
    error = json_error ? json_error : parse_args(call);
    return error ? error : parse_conf(call);
}

void
cni_call_destroy(struct cni_call *call)
{
    free(call->pod_namespace);
    free(call->pod_name);
    free(call->mac);
    json_decref(call->ips);
    json_decref(call->conf);
}
