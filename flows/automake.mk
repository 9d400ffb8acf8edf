# SPDX-License-Identifier: GPL-3.0-or-later

liblateen_a_SOURCES += \
	flows/flow-batch.c \
	flows/flow-table-private.h \
	flows/flow-table.c \
	flows/flow-table.h \
	flows/ofctrl.c \
	flows/ofctrl.h \
	flows/pipeline.h \
	flows/reval.c \
	flows/reval.h

liblateen_a_SOURCES += \
	flows/compile.c \
	flows/compile-policy.c \
	flows/compile.h \
	flows/policy-ends.c \
	flows/policy-index-private.h \
	flows/policy-index.c \
	flows/policy-index.h \
	flows/policy-members.c \
	flows/policy-rules.c \
	flows/sync.c \
	flows/sync.h
