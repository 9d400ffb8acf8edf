# SPDX-License-Identifier: GPL-3.0-or-later

# The agent's side
liblateen_a_SOURCES += \
	cni/cni-request.c \
	cni/cni-request.h \
	cni/cni-server.c \
	cni/cni-server.h

# The plugin speaks JSON with jansson, so it may not link liblateen.a.
cni_PROGRAMS += lateen-cni
lateen_cni_SOURCES = \
	agent/ctl-client.c \
	agent/ctl-client.h \
	cni/cni-conf.c \
	cni/cni-conf.h \
	cni/cni-exec.c \
	cni/cni-exec.h \
	cni/cni-net.c \
	cni/cni-net.h \
	cni/cni-result.c \
	cni/cni-result.h \
	cni/lateen-cni.c
lateen_cni_LDADD = $(JANSSON_LIBS) $(LIBNL_ROUTE_LIBS) $(LIBNL_LIBS)
