# SPDX-License-Identifier: GPL-3.0-or-later

dist_man_MANS += \
	doc/lateen-cni.8 \
	doc/lateen-ike.8 \
	doc/lateend.8 \
	doc/lateend.yaml.5 \
	doc/lateenctl.8

EXTRA_DIST += doc/lateenctl.bash
# Written by "make check-long".
EXTRA_DIST += $(wildcard $(srcdir)/doc/test-results.rst)
dist_doc_DATA += \
	README.md \
	NEWS \
	doc/architecture.rst \
	doc/cni.rst \
	doc/guard.rst \
	doc/lab.rst \
	doc/pki.rst \
	doc/pipeline.rst \
	doc/policy.rst

bashcompletiondir = $(datadir)/bash-completion/completions
INSTALL_DATA_LOCAL += install-bash-completion
.PHONY: install-bash-completion
install-bash-completion:
	$(MKDIR_P) '$(DESTDIR)$(bashcompletiondir)'
	$(INSTALL_DATA) '$(srcdir)/doc/lateenctl.bash' \
	    '$(DESTDIR)$(bashcompletiondir)/lateenctl'
uninstall-local:
	rm -f '$(DESTDIR)$(bashcompletiondir)/lateenctl'
