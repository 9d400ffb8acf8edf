# SPDX-License-Identifier: GPL-3.0-or-later

# The guard
liblateen_a_SOURCES += \
	ipsec/guard.c \
	ipsec/guard.h \
	ipsec/guard-alarm.c \
	ipsec/guard-alarm.h \
	ipsec/guard-tunnels.c \
	ipsec/guard-tunnels.h \
	ipsec/guard-xfrm.c \
	ipsec/guard-xfrm.h

# lateen-ike speaks JSON with jansson, so it may not link liblateen.a.
pkglibexec_PROGRAMS += lateen-ike
lateen_ike_SOURCES = \
	ipsec/lateen-ike.c \
	ipsec/vici-api.h \
	ipsec/vici-json.c \
	ipsec/vici-json.h
lateen_ike_LDADD = $(VICI_LIBS) $(JANSSON_LIBS) -lpthread

# strongSwan
liblateen_a_SOURCES += \
	ipsec/conns.c \
	ipsec/conns.h \
	ipsec/ike-cleanup.c \
	ipsec/ike-client.c \
	ipsec/ike-client.h \
	ipsec/ike-keys.c \
	ipsec/ike-link.c \
	ipsec/ike-load.c \
	ipsec/ike-look.c \
	ipsec/ike-private.h \
	ipsec/ike-renew.c \
	ipsec/ike-sas.c \
	ipsec/ike-sas.h \
	ipsec/ike-status.c \
	ipsec/ike-x509.c \
	ipsec/ike.c \
	ipsec/ike.h \
	ipsec/proposal.c \
	ipsec/proposal.h \
	ipsec/psk.c \
	ipsec/psk.h \
	ipsec/x509.c \
	ipsec/x509.h

# Proof
liblateen_a_SOURCES += \
	ipsec/verify.c \
	ipsec/verify.h \
	ipsec/wire.c \
	ipsec/wire.h

# The kernel's side
liblateen_a_SOURCES += \
	ipsec/xfrm-check.c \
	ipsec/xfrm-check.h \
	ipsec/xfrm-db.c \
	ipsec/xfrm-db.h \
	ipsec/xfrm-diff.c \
	ipsec/xfrm-diff.h \
	ipsec/xfrm-msg.c \
	ipsec/xfrm-msg.h
