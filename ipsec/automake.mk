# SPDX-License-Identifier: GPL-3.0-or-later

# The guard
liblateen_a_SOURCES += \
	ipsec/guard.c \
	ipsec/guard.h \
	ipsec/guard-xfrm.c \
	ipsec/guard-xfrm.h
