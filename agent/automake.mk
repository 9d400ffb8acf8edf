# SPDX-License-Identifier: GPL-3.0-or-later

liblateen_a_SOURCES += \
	agent/notify.c \
	agent/notify.h
