/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Proposals of IKE and of ESP: see proposal.h. */

#include <config.h>
#include "proposal.h"

#include <stdlib.h>
#include <string.h>

#include "openvswitch/dynamic-string.h"
#include "util.h"

enum kind {
    AEAD,                       /* Encryption with integrity. */
    CIPHER,                     /* Encryption alone. */
    INTEGRITY,
    PRF,
    GROUP,                      /* Of a key exchange. */
    ESN,                        /* Extended sequence numbers. */
    N_KINDS
};

static const struct algorithm {
    const char *name;
    enum kind kind;
    unsigned int iv, icv, block;
} algorithms[] = {
    { "aes128gcm16", AEAD, 8, 16, 4 },
    { "aes192gcm16", AEAD, 8, 16, 4 },
    { "aes256gcm16", AEAD, 8, 16, 4 },
    { "chacha20poly1305", AEAD, 8, 16, 4 },
    { "aes128", CIPHER, 16, 0, 16 },
    { "aes192", CIPHER, 16, 0, 16 },
    { "aes256", CIPHER, 16, 0, 16 },
    { "sha256", INTEGRITY, 0, 16, 0 },
    { "sha384", INTEGRITY, 0, 24, 0 },
    { "sha512", INTEGRITY, 0, 32, 0 },
    { "prfsha256", PRF, 0, 0, 0 },
    { "prfsha384", PRF, 0, 0, 0 },
    { "prfsha512", PRF, 0, 0, 0 },
    { "x25519", GROUP, 0, 0, 0 },
    { "ecp256", GROUP, 0, 0, 0 },
    { "ecp384", GROUP, 0, 0, 0 },
    { "ecp521", GROUP, 0, 0, 0 },
    { "modp2048", GROUP, 0, 0, 0 },
    { "modp3072", GROUP, 0, 0, 0 },
    { "modp4096", GROUP, 0, 0, 0 },
    { "esn", ESN, 0, 0, 0 },
};

static const struct algorithm *
find_algorithm(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(algorithms); i++) {
        if (!strcmp(algorithms[i].name, name)) {
            return &algorithms[i];
        }
    }
    return NULL;
}

/* Appends the names of all algorithms that may be in a proposal. */
static void
format_names(bool for_esp, struct ds *ds)
{
    for (size_t i = 0; i < ARRAY_SIZE(algorithms); i++) {
        if (algorithms[i].kind != (for_esp ? PRF : ESN)) {
            ds_put_format(ds, "%s%s", i ? ", " : "", algorithms[i].name);
        }
    }
}

/* What is wrong with the 'found' algorithms as a whole, or NULL. */
static const char *
judge(const struct algorithm *const found[N_KINDS], bool for_esp)
{
    if (!found[AEAD] == !found[CIPHER]) {
        return "must name one cipher";
    } else if (found[AEAD] && found[INTEGRITY]) {
        return "has integrity in its cipher already; remove the second one";
    } else if (found[CIPHER] && !found[INTEGRITY]) {
        return "encrypts without integrity; add -sha256, or take aes256gcm16";
    } else if (!found[GROUP]) {
        return "has no key exchange of its own; add -x25519";
    } else if (found[AEAD] && !found[PRF] && !for_esp) {
        return "has no pseudorandom function; add -prfsha256";
    }
    return NULL;
}

char *
proposal_parse(const char *s, struct proposal_esp *esp)
{
    const struct algorithm *found[N_KINDS] = { NULL };
    char *copy = xstrdup(s), *next = copy, *name;
    struct ds error = DS_EMPTY_INITIALIZER;

    while (!error.length && (name = strsep(&next, "-")) != NULL) {
        const struct algorithm *a = find_algorithm(name);

        if (!a || a->kind == (esp ? PRF : ESN)) {
            ds_put_format(&error, "\"%s\": \"%s\" is not among what can "
                          "protect %s: ", s, name, esp ? "ESP" : "IKE");
            format_names(esp != NULL, &error);
        } else if (found[a->kind]) {
            ds_put_format(&error, "\"%s\": %s and %s exclude one another; "
                          "write two proposals", s, found[a->kind]->name,
                          name);
        } else {
            found[a->kind] = a;
        }
    }
    free(copy);
    if (!error.length) {
        const char *fault = judge(found, esp != NULL);

        if (fault) {
            ds_put_format(&error, "\"%s\" %s", s, fault);
        } else if (esp) {
            const struct algorithm *a = found[found[AEAD] ? AEAD : CIPHER];

            esp->iv = a->iv;
            esp->icv = a->icv + (found[INTEGRITY] ? found[INTEGRITY]->icv : 0);
            esp->block = a->block;
        }
    }
    return error.length ? ds_steal_cstr(&error) : NULL;
}
