# SPDX-License-Identifier: GPL-3.0-or-later

# The units' templates name the programs by where they are installed.
systemdsystemunit_DATA = \
	systemd/lateen-guard.service \
	systemd/lateend.service
EXTRA_DIST += \
	systemd/lateen-guard.service.in \
	systemd/lateend.service.in
CLEANFILES += $(systemdsystemunit_DATA)

%.service: %.service.in config.status
	$(AM_V_GEN)$(MKDIR_P) $(@D) && sed \
	    -e 's,[@]sbindir[@],$(sbindir),g' \
	    -e 's,[@]sysconfdir[@],$(sysconfdir),g' \
	    $< >$@.tmp && mv $@.tmp $@
