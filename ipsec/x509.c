/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A node's X.509 certificate: see x509.h. */

#include <config.h>
#include "x509.h"

#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#include "agent/file.h"
#include "openvswitch/dynamic-string.h"
#include "psk.h"
#include "util.h"

/* Largest files, in bytes; and VICI's longest value. */
#define MAX_KEY 8000
#define MAX_FILE (4 * 1024 * 1024)
#define MAX_ITEM 65535

/* How strong keys and signatures must be, as OpenSSL counts: 112 bits, which
 * RSA has with 2048, and SHA-1 does not have. */
#define AUTH_LEVEL 2

/* When to begin to warn, in seconds. */
#define WARN_TIME (3 * 24 * 3600)

/* Files. */

/* Reads 'file' into a BIO.  On error, returns NULL and stores what is wrong
 * into '*errorp'. */
static BIO *
read_file(const char *file, char **errorp)
{
    size_t size;
    char *text;
    BIO *bio;

    int error = file_read(file, MAX_FILE, &text, &size, NULL);
    if (error) {
        *errorp = xasprintf("%s: cannot be read: %s", file,
                            ovs_strerror(error));
        return NULL;
    }
    bio = BIO_new(BIO_s_mem());
    BIO_write(bio, text, size);
    free(text);
    return bio;
}

static char *
take_text(BIO *bio)
{
    char *data;
    long int size = BIO_get_mem_data(bio, &data);
    char *text = xmemdup0(data, size);

    BIO_free(bio);
    return text;
}

static char *
certificate_to_pem(X509 *certificate)
{
    BIO *bio = BIO_new(BIO_s_mem());

    PEM_write_bio_X509(bio, certificate);
    return take_text(bio);
}

static char *
crl_to_pem(X509_CRL *crl)
{
    BIO *bio = BIO_new(BIO_s_mem());

    PEM_write_bio_X509_CRL(bio, crl);
    return take_text(bio);
}

/* Whether PEM_read_bio_*() has failed for want of more, after 'n' items. */
static bool
at_end(int n)
{
    bool end = n && (ERR_GET_REASON(ERR_peek_last_error())
                     == PEM_R_NO_START_LINE);

    ERR_clear_error();
    return end;
}

/* Appends the certificates in 'file' to 'list'. */
static char *
read_certificates(const char *file, STACK_OF(X509) *list)
{
    char *error = NULL;
    BIO *bio = read_file(file, &error);
    X509 *certificate;

    if (error) {
        return error;
    }
    while ((certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL))) {
        sk_X509_push(list, certificate);
    }
    BIO_free(bio);
    return (at_end(sk_X509_num(list)) ? NULL
            : xasprintf("%s: is not made of certificates in PEM", file));
}

static char *
read_crls(const char *file, STACK_OF(X509_CRL) *list)
{
    char *error = NULL;
    BIO *bio = read_file(file, &error);
    X509_CRL *crl;

    if (error) {
        return error;
    }
    while ((crl = PEM_read_bio_X509_CRL(bio, NULL, NULL, NULL))) {
        sk_X509_CRL_push(list, crl);
    }
    BIO_free(bio);
    return (at_end(sk_X509_CRL_num(list)) ? NULL
            : xasprintf("%s: is not made of revocation lists in PEM", file));
}

/* For PEM_read_bio_PrivateKey(): there is nobody who knows a passphrase. */
static int
no_passphrase(char *buf OVS_UNUSED, int size OVS_UNUSED,
              int write OVS_UNUSED, void *aux OVS_UNUSED)
{
    return -1;
}

/* Checks that the key in 'file', which is 'secret', is that of
 * 'certificate'. */
static char *
check_key(const char *file, const struct psk *secret, X509 *certificate)
{
    BIO *bio = BIO_new_mem_buf(secret->data, secret->size);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
    char *error = NULL;

    if (!key) {
        error = xasprintf("%s: is no private key in PEM, without a passphrase",
                          file);
    } else if (!X509_check_private_key(certificate, key)) {
        error = xasprintf("%s: is not the certificate's key", file);
    }
    ERR_clear_error();
    EVP_PKEY_free(key);
    BIO_free(bio);
    return error;
}

/* What certificates say. */

/* Appends the DNS names that 'certificate' is for to 'names'. */
static void
get_names(X509 *certificate, struct svec *names)
{
    GENERAL_NAMES *list = X509_get_ext_d2i(certificate, NID_subject_alt_name,
                                           NULL, NULL);

    for (int i = 0; i < sk_GENERAL_NAME_num(list); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(list, i);

        if (name->type == GEN_DNS) {
            const ASN1_IA5STRING *s = name->d.dNSName;

            svec_add_nocopy(names, xmemdup0(
                                (const char *) ASN1_STRING_get0_data(s),
                                ASN1_STRING_length(s)));
        }
    }
    GENERAL_NAMES_free(list);
}

static char *
check_name(const char *file, X509 *certificate, const char *node)
{
    struct svec names = SVEC_EMPTY_INITIALIZER;
    char *error = NULL;

    get_names(certificate, &names);
    if (!svec_contains_unsorted(&names, node)) {
        char *list = svec_join(&names, ", ", "");

        error = xasprintf("%s: is not for this node, whose name \"%s\" is to "
                          "be a subjectAltName (\"pki --issue --san %s\"), "
                          "but for %s", file, node, node,
                          *list ? list : "none");
        free(list);
    }
    svec_destroy(&names);
    return error;
}

static char *
time_to_string(const ASN1_TIME *t)
{
    BIO *bio = BIO_new(BIO_s_mem());

    ASN1_TIME_print(bio, t);
    return take_text(bio);
}

/* "FILE: WHAT on TIME", for the caller to free. */
static char *
at_time(const char *file, const char *what, const ASN1_TIME *t)
{
    char *text = time_to_string(t);
    char *s = xasprintf("%s: %s on %s", file, what, text);

    free(text);
    return s;
}

/* Whether 't' is less than 'seconds' ahead. */
static bool
is_before(const ASN1_TIME *t, int seconds)
{
    time_t limit = time(NULL) + seconds;

    return X509_cmp_time(t, &limit) < 0;
}

/* Checks that one of 'cas', of 'ca_file', stands for 'certificate' of 'file',
 * perhaps by way of 'intermediates'. */
static char *
verify(const char *file, X509 *certificate, STACK_OF(X509) *intermediates,
       const char *ca_file, STACK_OF(X509) *cas)
{
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    char *error = NULL;

    X509_STORE_CTX_init(ctx, store, certificate, intermediates);
    X509_STORE_CTX_set0_trusted_stack(ctx, cas);
    X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(ctx);
    X509_VERIFY_PARAM_set_auth_level(param, AUTH_LEVEL);
    X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_PARTIAL_CHAIN);
    if (X509_verify_cert(ctx) != 1) {
        int code = X509_STORE_CTX_get_error(ctx);

        error = (code == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY
                 || code == X509_V_ERR_CERT_SIGNATURE_FAILURE
                 ? xasprintf("%s: is signed by none of the authorities in %s",
                             file, ca_file)
                 : xasprintf("%s: %s", file,
                             X509_verify_cert_error_string(code)));
    }
    ERR_clear_error();
    X509_STORE_CTX_free(ctx);
    X509_STORE_free(store);
    return error;
}

/* Whether a list in 'crls' revokes 'certificate'. */
static bool
is_revoked(X509 *certificate, STACK_OF(X509_CRL) *crls)
{
    for (int i = 0; i < sk_X509_CRL_num(crls); i++) {
        X509_CRL *crl = sk_X509_CRL_value(crls, i);
        X509_REVOKED *revoked;

        if (!X509_NAME_cmp(X509_CRL_get_issuer(crl),
                           X509_get_issuer_name(certificate))
            && X509_CRL_get0_by_cert(crl, &revoked, certificate) == 1) {
            return true;
        }
    }
    return false;
}

/* The certificate of 'cas' that has signed 'crl', or NULL. */
static X509 *
find_signer(X509_CRL *crl, STACK_OF(X509) *cas)
{
    for (int i = 0; i < sk_X509_num(cas); i++) {
        X509 *ca = sk_X509_value(cas, i);

        if (!X509_NAME_cmp(X509_CRL_get_issuer(crl), X509_get_subject_name(ca))
            && X509_CRL_verify(crl, X509_get0_pubkey(ca)) == 1) {
            return ca;
        }
    }
    ERR_clear_error();
    return NULL;
}

static char *
check_authorities(const char *file, STACK_OF(X509) *cas)
{
    for (int i = 0; i < sk_X509_num(cas); i++) {
        if (X509_check_ca(sk_X509_value(cas, i)) != 1) {
            return xasprintf("%s: certificate %d is not that of an authority "
                             "(\"pki --self --ca\")", file, i + 1);
        }
    }
    return NULL;
}

/* Stores into '*warningp' what is the matter with revocation lists that are
 * out of date. */
static char *
check_crls(const char *file, STACK_OF(X509_CRL) *crls, STACK_OF(X509) *cas,
           char **warningp)
{
    for (int i = 0; i < sk_X509_CRL_num(crls); i++) {
        X509_CRL *crl = sk_X509_CRL_value(crls, i);
        const ASN1_TIME *next = X509_CRL_get0_nextUpdate(crl);

        if (!find_signer(crl, cas)) {
            return xasprintf("%s: revocation list %d is signed by none of the "
                             "authorities", file, i + 1);
        } else if (next && is_before(next, 0) && !*warningp) {
            *warningp = at_time(file, "should have been replaced (it stays in "
                                "force)", next);
        }
    }
    return NULL;
}

static char *
check_certificate(const char *file, X509 *certificate, const char *node,
                  char **warningp)
{
    const ASN1_TIME *begin = X509_get0_notBefore(certificate);
    const ASN1_TIME *end = X509_get0_notAfter(certificate);

    if (is_before(end, 0)) {
        return at_time(file, "has expired", end);
    } else if (!is_before(begin, 0)) {
        return at_time(file, "begins to be valid only", begin);
    } else if (is_before(end, WARN_TIME)) {
        *warningp = at_time(file, "expires", end);
    }
    return check_name(file, certificate, node);
}

/* All together. */

/* Fills in 'x509' of what has been read. */
static void
fill(struct x509 *x509, STACK_OF(X509) *own, STACK_OF(X509) *cas,
     STACK_OF(X509_CRL) *crls)
{
    x509->certificate = certificate_to_pem(sk_X509_value(own, 0));
    for (int i = 1; i < sk_X509_num(own); i++) {
        svec_add_nocopy(&x509->intermediates,
                        certificate_to_pem(sk_X509_value(own, i)));
    }
    for (int i = 0; i < sk_X509_num(cas); i++) {
        svec_add_nocopy(&x509->cas, certificate_to_pem(sk_X509_value(cas, i)));
    }
    for (int i = 0; i < sk_X509_CRL_num(crls); i++) {
        svec_add_nocopy(&x509->crls, crl_to_pem(sk_X509_CRL_value(crls, i)));
    }
}

/* Returns what of 'x509' is too large for charon, or NULL. */
static char *
check_sizes(const struct x509 *x509, const char *crl)
{
    for (size_t i = 0; i < x509->crls.n; i++) {
        if (strlen(x509->crls.names[i]) > MAX_ITEM) {
            return xasprintf("%s: revocation list %"PRIuSIZE" has more than "
                             "%d bytes", crl, i + 1, MAX_ITEM);
        }
    }
    return NULL;
}

char *
x509_read(const char *certificate, const char *key, const char *ca,
          const char *crl, const char *node, struct x509 **x509p)
{
    STACK_OF(X509) *own = sk_X509_new_null(), *cas = sk_X509_new_null();
    STACK_OF(X509_CRL) *crls = sk_X509_CRL_new_null();
    struct x509 *x509 = xzalloc(sizeof *x509);
    char *error;

    svec_init(&x509->intermediates);
    svec_init(&x509->cas);
    svec_init(&x509->crls);
    error = read_certificates(certificate, own);
    error = error ? error : secret_read(key, MAX_KEY, &x509->key);
    error = error ? error : read_certificates(ca, cas);
    error = error || !crl ? error : read_crls(crl, crls);
    if (!error) {
        X509 *first = sk_X509_value(own, 0);

        error = check_key(key, x509->key, first);
        error = error ? error : check_certificate(certificate, first, node,
                                                  &x509->warning);
        error = error ? error : check_authorities(ca, cas);
        error = error ? error : verify(certificate, first, own, ca, cas);
        error = error ? error : check_crls(crl, crls, cas, &x509->warning);
        if (!error && is_revoked(first, crls)) {
            error = xasprintf("%s: is revoked by %s", certificate, crl);
        }
    }
    if (!error) {
        fill(x509, own, cas, crls);
        error = check_sizes(x509, crl);
    }
    sk_X509_pop_free(own, X509_free);
    sk_X509_pop_free(cas, X509_free);
    sk_X509_CRL_pop_free(crls, X509_CRL_free);
    if (error) {
        x509_free(x509);
        x509 = NULL;
    }
    *x509p = x509;
    return error;
}

bool
x509_equals(const struct x509 *a, const struct x509 *b)
{
    return (a == b
            || (a && b && !strcmp(a->certificate, b->certificate)
                && svec_equal(&a->intermediates, &b->intermediates)
                && psk_equals(a->key, b->key)
                && svec_equal(&a->cas, &b->cas)
                && svec_equal(&a->crls, &b->crls)));
}

void
x509_free(struct x509 *x509)
{
    if (x509) {
        free(x509->certificate);
        svec_destroy(&x509->intermediates);
        psk_free(x509->key);
        svec_destroy(&x509->cas);
        svec_destroy(&x509->crls);
        free(x509->warning);
        free(x509);
    }
}
