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
    const char *charon;         /* What charon calls it once it is in use. */
    enum kind kind;
    unsigned int iv, icv, block;
} algorithms[] = {
    { "aes128gcm16", "AES_GCM_16-128", AEAD, 8, 16, 4 },
    { "aes192gcm16", "AES_GCM_16-192", AEAD, 8, 16, 4 },
    { "aes256gcm16", "AES_GCM_16-256", AEAD, 8, 16, 4 },
    { "chacha20poly1305", "CHACHA20_POLY1305", AEAD, 8, 16, 4 },
    { "aes128", "AES_CBC-128", CIPHER, 16, 0, 16 },
    { "aes192", "AES_CBC-192", CIPHER, 16, 0, 16 },
    { "aes256", "AES_CBC-256", CIPHER, 16, 0, 16 },
    { "sha256", "HMAC_SHA2_256_128", INTEGRITY, 0, 16, 0 },
    { "sha384", "HMAC_SHA2_384_192", INTEGRITY, 0, 24, 0 },
    { "sha512", "HMAC_SHA2_512_256", INTEGRITY, 0, 32, 0 },
    { "prfsha256", "PRF_HMAC_SHA2_256", PRF, 0, 0, 0 },
    { "prfsha384", "PRF_HMAC_SHA2_384", PRF, 0, 0, 0 },
    { "prfsha512", "PRF_HMAC_SHA2_512", PRF, 0, 0, 0 },
    { "x25519", "CURVE_25519", GROUP, 0, 0, 0 },
    { "ecp256", "ECP_256", GROUP, 0, 0, 0 },
    { "ecp384", "ECP_384", GROUP, 0, 0, 0 },
    { "ecp521", "ECP_521", GROUP, 0, 0, 0 },
    { "modp2048", "MODP_2048", GROUP, 0, 0, 0 },
    { "modp3072", "MODP_3072", GROUP, 0, 0, 0 },
    { "modp4096", "MODP_4096", GROUP, 0, 0, 0 },
    { "esn", "1", ESN, 0, 0, 0 },
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

bool
proposal_fits(const char *s, const struct proposal_used *used)
{
    const char *const in_use[N_KINDS] = {
        [CIPHER] = used->encryption, [INTEGRITY] = used->integrity,
        [PRF] = used->prf, [GROUP] = used->group, [ESN] = used->esn,
    };
    const struct algorithm *wanted[N_KINDS] = { NULL };
    char *copy = xstrdup(s), *next = copy, *name;
    bool fits = true;

    while ((name = strsep(&next, "-")) != NULL) {
        const struct algorithm *a = find_algorithm(name);

        if (a) {
            wanted[a->kind == AEAD ? CIPHER : a->kind] = a;
        }
    }
    free(copy);
    if (wanted[INTEGRITY] && !wanted[PRF]) {
        /* charon takes this for IKE then. */
        char *prf = xasprintf("prf%s", wanted[INTEGRITY]->name);

        wanted[PRF] = find_algorithm(prf);
        free(prf);
    }
    for (size_t kind = CIPHER; kind < N_KINDS; kind++) {
        /* A CHILD SA has no PRF, and no key exchange of its own where it has
         * come with the IKE SA. */
        if (*in_use[kind] || (kind != PRF && kind != GROUP)) {
            fits &= !strcmp(in_use[kind],
                            wanted[kind] ? wanted[kind]->charon : "");
        }
    }
    return fits;
}
