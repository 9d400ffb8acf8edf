# SPDX-License-Identifier: GPL-3.0-or-later

dist_noinst_SCRIPTS += tests/install-deps

# lateen-test: the unit tests' subcommands
# ----------------------------------------
noinst_PROGRAMS += lateen-test
lateen_test_SOURCES = \
	tests/lateen-test.c \
	tests/lateen-test.h \
	tests/test-notify.c
lateen_test_LDADD = $(LATEEN_LIBS)

# The suites
# ----------
TESTSUITE_AT = \
	tests/testsuite.at \
	tests/lateen-macros.at \
	tests/build.at \
	tests/notify.at
EXTRA_DIST += $(TESTSUITE_AT) tests/package.m4 tests/testsuite \
	tests/atlocal.in
TESTSUITE = $(srcdir)/tests/testsuite
MAINTAINERCLEANFILES += tests/package.m4 $(TESTSUITE)
DISTCLEANFILES += tests/atconfig

AUTOM4TE = autom4te
AUTOTEST = $(AUTOM4TE) --language=autotest
AUTOTEST_PATH = $(abs_top_builddir)

$(srcdir)/tests/package.m4: $(top_srcdir)/configure.ac
	$(AM_V_GEN){ \
	    echo 'm4_define([AT_PACKAGE_NAME], [$(PACKAGE_NAME)])'; \
	    echo 'm4_define([AT_PACKAGE_TARNAME], [$(PACKAGE_TARNAME)])'; \
	    echo 'm4_define([AT_PACKAGE_VERSION], [$(PACKAGE_VERSION)])'; \
	    echo 'm4_define([AT_PACKAGE_STRING], [$(PACKAGE_STRING)])'; \
	    echo 'm4_define([AT_PACKAGE_BUGREPORT], [])'; \
	} >$@.tmp && mv $@.tmp $@

$(TESTSUITE): $(TESTSUITE_AT) $(srcdir)/tests/package.m4
	$(AM_V_GEN)$(AUTOTEST) -I '$(srcdir)' -I '$(srcdir)/tests' \
	    -o $@.tmp $(srcdir)/tests/testsuite.at && mv $@.tmp $@

CHECK_LOCAL += check-testsuite
.PHONY: check-testsuite
check-testsuite: all $(TESTSUITE) tests/atconfig tests/atlocal \
		check-symbols check-style
	$(SHELL) '$(TESTSUITE)' -C tests AUTOTEST_PATH='$(AUTOTEST_PATH)' \
	    $(TESTSUITEFLAGS)

CLEAN_LOCAL += clean-testsuite
.PHONY: clean-testsuite
clean-testsuite: tests/atconfig
	-test ! -f '$(TESTSUITE)' || \
	    $(SHELL) '$(TESTSUITE)' -C tests --clean
