/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Telling the service manager about this process: systemd's notification
 * protocol (sd_notify(3)), without its library. */

#ifndef LATEEN_NOTIFY_H
#define LATEEN_NOTIFY_H 1

/* Sends 'state', newline-separated assignments such as "READY=1" or
 * "STATUS=...", to the socket that $NOTIFY_SOCKET names.  Returns 0, also when
 * no service manager asks for notifications, or a positive errno value.  Does
 * not block. */
int notify_send(const char *state);

#endif /* agent/notify.h */
