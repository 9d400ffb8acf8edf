# SPDX-License-Identifier: GPL-3.0-or-later

liblateen_a_SOURCES += \
	agent/notify.c \
	agent/notify.h

liblateen_a_SOURCES += \
	agent/ip.c \
	agent/ip.h \
	agent/model.c \
	agent/model.h

liblateen_a_SOURCES += \
	agent/ovsdb-cleanup.c \
	agent/ovsdb-requests.c \
	agent/ovsdb-requests.h \
	agent/ovsdb-rows.c \
	agent/ovsdb-rows.h \
	agent/ovsdb-setup.c \
	agent/ovsdb-setup.h \
	agent/ovsdb.c \
	agent/ovsdb.h

# lateenctl speaks JSON with jansson, so it may not link liblateen.a.
bin_PROGRAMS += lateenctl
lateenctl_SOURCES = \
	agent/ctl-client.c \
	agent/ctl-client.h \
	agent/lateenctl.c
lateenctl_LDADD = $(JANSSON_LIBS)

# The host edge
liblateen_a_SOURCES += \
	agent/host-netlink.c \
	agent/host-netlink.h \
	agent/host-sync.c \
	agent/host-sync.h \
	agent/host-wanted.c \
	agent/host.c \
	agent/host.h \
	agent/mtu.c \
	agent/mtu.h \
	agent/nft.c \
	agent/nft.h \
	agent/nlsock.c \
	agent/nlsock.h \
	agent/sysctl.c \
	agent/sysctl.h

# What lateend reads: its configuration and the cluster's objects.
liblateen_a_SOURCES += \
	agent/catalog.c \
	agent/catalog.h \
	agent/config-get.c \
	agent/config-ipsec.c \
	agent/config-private.h \
	agent/config.c \
	agent/config.h \
	agent/file.c \
	agent/file.h \
	agent/manifest.c \
	agent/manifest.h \
	agent/names.c \
	agent/names.h \
	agent/pod-status.c \
	agent/pod-status.h \
	agent/policy.c \
	agent/policy.h \
	agent/selector.c \
	agent/selector.h \
	agent/source-dir.c \
	agent/source-dir.h \
	agent/source.h \
	agent/yaml-report.c \
	agent/yaml-report.h \
	agent/yaml.c \
	agent/yaml.h

liblateen_a_SOURCES += \
	agent/cluster.c \
	agent/cluster.h

liblateen_a_SOURCES += \
	agent/control-flows.c \
	agent/control-flows.h \
	agent/control-json.c \
	agent/control-json.h \
	agent/control-policies.c \
	agent/control-verify.c \
	agent/control.c \
	agent/control.h

sbin_PROGRAMS += lateend
lateend_SOURCES = agent/lateend.c agent/lateend.h
lateend_LDADD = $(LATEEN_LIBS)
