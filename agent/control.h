/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The commands of the control socket, which lateenctl(8) and ovs-appctl(8)
 * speak to.  Each answers with JSON; lateenctl makes tables of it. */

#ifndef LATEEN_CONTROL_H
#define LATEEN_CONTROL_H 1

#include <stdbool.h>

struct lateend;
struct unixctl_conn;

/* Registers the commands; they read 'lateend', which must outlive them. */
void control_init(struct lateend *);

/* Answers those who wait and whose time has come. */
void control_run(struct lateend *);
void control_wait(void);

/* Whether this node has IPsec off; then 'conn' has been told so. */
bool control_refuses_ipsec(const struct lateend *, struct unixctl_conn *conn);

/* The same for the proof of encryption (control-verify.c). */
void control_verify_init(struct lateend *);
void control_verify_run(const struct lateend *);
void control_verify_wait(void);

#endif /* agent/control.h */
