# SPDX-License-Identifier: GPL-3.0-or-later

dist_noinst_SCRIPTS += tests/install-deps tests/isolate

# lateen-test: the unit tests' subcommands
# ----------------------------------------
noinst_PROGRAMS += lateen-test
lateen_test_SOURCES = \
	tests/lateen-test.c \
	tests/lateen-test.h \
	tests/test-flow-table.c \
	tests/test-notify.c \
	tests/test-netpol.c \
	tests/test-ofctrl.c \
	tests/test-ovsdb.c
lateen_test_SOURCES += \
	tests/test-guard.c \
	tests/test-host.c \
	tests/test-mtu.c \
	tests/test-pace.c \
	tests/test-wire.c
lateen_test_SOURCES += \
	tests/model-dump.c \
	tests/model-dump.h \
	tests/test-config.c \
	tests/test-manifest.c \
	tests/test-source-dir.c \
	tests/test-yaml.c
lateen_test_SOURCES += tests/test-ike.c
lateen_test_LDADD = $(LATEEN_LIBS)

# The suites
# ----------
#
# One per privilege: tests/testsuite needs none, the system suites need root.
# tests/vms-testsuite needs none either, but virtual machines of its own, and
# tests/fuzz-testsuite needs clang.
TESTSUITE_AT = \
	tests/testsuite.at \
	tests/lateen-macros.at \
	tests/build.at \
	tests/compile.at \
	tests/completion.at \
	tests/fuzz-targets.at \
	tests/fuzz.at \
	tests/flow-table.at \
	tests/macros.at \
	tests/notify.at \
	tests/ofctrl.at \
	tests/ovsdb.at

SYSTEM_TESTSUITE_AT = \
	tests/system-userspace-testsuite.at \
	tests/system-userspace-macros.at \
	tests/system-kernel-testsuite.at \
	tests/system-kernel-macros.at \
	tests/system-common-macros.at \
	tests/system-environment.at \
	tests/system-lab-macros.at \
	tests/system-lab.at \
	tests/system-mtu.at \
	tests/system-phases.at \
	tests/system-verify.at \
	tests/fuzz-targets.at \
	tests/fuzz-testsuite.at \
	tests/demo.at \
	tests/vms-testsuite.at \
	tests/vms.at

TESTSUITE_AT += \
	tests/guard.at \
	tests/host.at \
	tests/mtu.at \
	tests/wire.at
SYSTEM_TESTSUITE_AT += \
	tests/system-netpol.at \
	tests/system-policy.at \
	tests/system-runtime.at \
	tests/system-userspace-lab.at \
	tests/system-visibility.at
SYSTEM_TESTSUITE_AT += \
	tests/system-guard.at \
	tests/system-host.at
TESTSUITE_AT += \
	tests/config.at \
	tests/manifest.at \
	tests/source-dir.at \
	tests/yaml.at

TESTSUITE = $(srcdir)/tests/testsuite
SYSTEM_TESTSUITES = \
	$(srcdir)/tests/system-userspace-testsuite \
	$(srcdir)/tests/system-kernel-testsuite \
	$(srcdir)/tests/fuzz-testsuite \
	$(srcdir)/tests/vms-testsuite

EXTRA_DIST += \
	$(TESTSUITE_AT) $(SYSTEM_TESTSUITE_AT) \
	tests/testsuite \
	tests/system-userspace-testsuite \
	tests/system-kernel-testsuite \
	tests/fuzz-testsuite \
	tests/vms-testsuite \
	tests/package.m4 \
	tests/atlocal.in
MAINTAINERCLEANFILES += \
	tests/package.m4 $(TESTSUITE) $(SYSTEM_TESTSUITES)
DISTCLEANFILES += tests/atconfig

AUTOM4TE = autom4te
AUTOTEST = $(AUTOM4TE) --language=autotest -I '$(srcdir)'

$(srcdir)/tests/package.m4: $(top_srcdir)/configure.ac
	$(AM_V_GEN){ \
	    echo 'm4_define([AT_PACKAGE_NAME], [$(PACKAGE_NAME)])'; \
	    echo 'm4_define([AT_PACKAGE_TARNAME], [$(PACKAGE_TARNAME)])'; \
	    echo 'm4_define([AT_PACKAGE_VERSION], [$(PACKAGE_VERSION)])'; \
	    echo 'm4_define([AT_PACKAGE_STRING], [$(PACKAGE_STRING)])'; \
	    echo 'm4_define([AT_PACKAGE_BUGREPORT], [])'; \
	} >$@.tmp && mv $@.tmp $@

$(TESTSUITE): $(TESTSUITE_AT) $(srcdir)/tests/package.m4
	$(AM_V_GEN)$(AUTOTEST) -I '$(srcdir)/tests' -o $@.tmp $@.at \
	    && mv $@.tmp $@

$(SYSTEM_TESTSUITES): $(SYSTEM_TESTSUITE_AT) tests/lateen-macros.at \
	tests/pki-macros.at \
		$(srcdir)/tests/package.m4
	$(AM_V_GEN)$(AUTOTEST) -I '$(srcdir)/tests' -o $@.tmp $@.at \
	    && mv $@.tmp $@

# Runs a suite; TESTSUITEFLAGS, such as '-k word', '-d' or '12-15', say how.
RUN_SUITE = $(SHELL) $(1) -C tests AUTOTEST_PATH='$(abs_top_builddir)' \
	$(TESTSUITEFLAGS)
SUITES_NEED = all tests/atconfig tests/atlocal tests/no-esp.so

# Never instrumented: charon loads it.  config.h needs what "all" makes first.
EXTRA_DIST += tests/no-esp.c
CLEANFILES += tests/no-esp.so
tests/no-esp.so: tests/no-esp.c | all
	$(AM_V_GEN)$(CC) -I. -O2 -Wall -Wextra -shared -fPIC -o $@ \
	    '$(srcdir)/tests/no-esp.c'

# All that suites need, so that several can run at once.
.PHONY: suites
suites: $(SUITES_NEED) $(TESTSUITE) $(SYSTEM_TESTSUITES)

CHECK_LOCAL += check-testsuite
.PHONY: check-testsuite
check-testsuite: $(SUITES_NEED) $(TESTSUITE)
	$(call RUN_SUITE,$(TESTSUITE))

.PHONY: check-system-userspace
check-system-userspace: $(SUITES_NEED) \
		$(srcdir)/tests/system-userspace-testsuite
	$(srcdir)/tests/isolate $(call RUN_SUITE, \
	    $(srcdir)/tests/system-userspace-testsuite)

dist_noinst_SCRIPTS += tests/check-kernel
EXTRA_DIST += tests/lab
.PHONY: check-kernel
check-kernel: $(SUITES_NEED) $(srcdir)/tests/system-kernel-testsuite
	'$(srcdir)/tests/check-kernel' '$(abs_top_srcdir)' \
	    '$(abs_top_builddir)' $(TESTSUITEFLAGS)

.PHONY: check-vms
check-vms: $(SUITES_NEED) $(srcdir)/tests/vms-testsuite
	$(call RUN_SUITE,$(srcdir)/tests/vms-testsuite)

CLEAN_LOCAL += clean-testsuite
.PHONY: clean-testsuite
clean-testsuite:
	-for suite in $(TESTSUITE) $(SYSTEM_TESTSUITES); do \
	    test ! -f "$$suite" || test ! -f tests/atconfig || \
	        $(SHELL) "$$suite" -C tests --clean; \
	done

TESTSUITE_AT += tests/cni.at
SYSTEM_TESTSUITE_AT += tests/system-cni.at
dist_noinst_SCRIPTS += tests/bench/cni.py
dist_noinst_SCRIPTS += tests/bench/ipsec.py

TESTSUITE_AT += tests/ike.at tests/pki-macros.at tests/x509.at
SYSTEM_TESTSUITE_AT += \
	tests/system-ike-auth.at \
	tests/system-ike-macros.at \
	tests/system-ike.at \
	tests/system-others.at \
	tests/system-xfrm-esp.at \
	tests/system-xfrm.at

# Fuzzing
# -------
#
# Each program of FUZZ_TARGETS has one LLVMFuzzerTestOneInput().  With clang
# and --enable-fuzzer ('make fuzz-targets' makes such a build) it searches for
# input that breaks it; otherwise, with the main() of tests/fuzz/replay.c, it
# takes the files that its arguments name, which 'make check' does with each
# tests/fuzz/NAME.corpus.
FUZZ_TARGETS = fuzz-ip
noinst_PROGRAMS += $(FUZZ_TARGETS)
if FUZZER
FUZZ_LINK = $(AM_LDFLAGS) -fsanitize=fuzzer
FUZZ_MAIN =
else
FUZZ_LINK = $(AM_LDFLAGS)
FUZZ_MAIN = tests/fuzz/replay.c
endif
EXTRA_DIST += tests/fuzz/replay.c

fuzz_ip_SOURCES = tests/fuzz/ip.c $(FUZZ_MAIN)
fuzz_ip_LDFLAGS = $(FUZZ_LINK)
fuzz_ip_LDADD = $(LATEEN_LIBS)
EXTRA_DIST += tests/fuzz/ip.corpus

FUZZ_TARGETS += fuzz-wire
fuzz_wire_SOURCES = tests/fuzz/wire.c $(FUZZ_MAIN)
fuzz_wire_LDFLAGS = $(FUZZ_LINK)
fuzz_wire_LDADD = $(LATEEN_LIBS)
EXTRA_DIST += tests/fuzz/wire.corpus

FUZZ_TARGETS += fuzz-manifest
fuzz_manifest_SOURCES = tests/fuzz/manifest.c $(FUZZ_MAIN)
fuzz_manifest_LDFLAGS = $(FUZZ_LINK)
fuzz_manifest_LDADD = $(LATEEN_LIBS)
EXTRA_DIST += tests/fuzz/manifest.corpus

FUZZ_TARGETS += fuzz-config
fuzz_config_SOURCES = tests/fuzz/config.c $(FUZZ_MAIN)
fuzz_config_LDFLAGS = $(FUZZ_LINK)
fuzz_config_LDADD = $(LATEEN_LIBS)
EXTRA_DIST += tests/fuzz/config.corpus

FUZZ_TARGETS += fuzz-cni-conf fuzz-cni-server
fuzz_cni_conf_SOURCES = \
	cni/cni-conf.c \
	cni/cni-result.c \
	tests/fuzz/cni-conf.c \
	$(FUZZ_MAIN)
fuzz_cni_conf_LDFLAGS = $(FUZZ_LINK)
fuzz_cni_conf_LDADD = $(JANSSON_LIBS)
fuzz_cni_server_SOURCES = tests/fuzz/cni-server.c $(FUZZ_MAIN)
fuzz_cni_server_LDFLAGS = $(FUZZ_LINK)
fuzz_cni_server_LDADD = $(LATEEN_LIBS)
EXTRA_DIST += tests/fuzz/cni-conf.corpus tests/fuzz/cni-server.corpus

FUZZ_TARGETS += fuzz-ike
fuzz_ike_SOURCES = tests/fuzz/ike.c ipsec/vici-json.c $(FUZZ_MAIN)
fuzz_ike_LDFLAGS = $(FUZZ_LINK)
fuzz_ike_LDADD = $(JANSSON_LIBS)
EXTRA_DIST += tests/fuzz/ike.corpus

FUZZ_TARGETS += fuzz-control fuzz-ike-edge
FUZZ_NO_KERNEL = \
	-Wl,--wrap=nlsock_open,--wrap=nlsock_dump,--wrap=nlsock_dump_all \
	-Wl,--wrap=nlsock_events
fuzz_control_SOURCES = \
	tests/fuzz/control.c \
	tests/fuzz/no-kernel.c \
	$(FUZZ_MAIN)
fuzz_control_LDFLAGS = $(FUZZ_LINK) $(FUZZ_NO_KERNEL)
fuzz_control_LDADD = $(LATEEN_LIBS)
fuzz_ike_edge_SOURCES = \
	tests/fuzz/ike-edge.c \
	tests/fuzz/no-kernel.c \
	$(FUZZ_MAIN)
fuzz_ike_edge_LDFLAGS = $(FUZZ_LINK) $(FUZZ_NO_KERNEL) \
	-Wl,--wrap=socketpair,--wrap=posix_spawn,--wrap=waitpid,--wrap=kill
fuzz_ike_edge_LDADD = $(LATEEN_LIBS)
EXTRA_DIST += tests/fuzz/control.corpus tests/fuzz/ike-edge.corpus

.PHONY: fuzz-targets
fuzz-targets: variants/src.stamp
	$(call MAKE_VARIANT,fuzz,CC=clang --enable-fuzzer --enable-sanitizers)
	$(AM_V_at)echo 'Fuzz targets:' $(FUZZ_TARGETS:%=variants/fuzz/%)

# LATEEN_FUZZ_SECONDS says how long each is run.
.PHONY: check-fuzz
check-fuzz: fuzz-targets $(srcdir)/tests/fuzz-testsuite
	cd variants/fuzz && \
	$(SHELL) '$(abs_top_srcdir)/tests/fuzz-testsuite' -C tests \
	    AUTOTEST_PATH='$(abs_top_builddir)/variants/fuzz' $(TESTSUITEFLAGS)

# Measuring
# ---------
dist_noinst_SCRIPTS += \
	tests/bench/memory.py \
	tests/bench/policy.py \
	tests/bench/run

# BENCH="NAME..." chooses; bench.json holds the results.
.PHONY: bench
bench: all
	$(PYTHON3) '$(srcdir)/tests/bench/run' --builddir='$(abs_top_builddir)' \
	    --output=bench.json $(BENCH)
CLEANFILES += bench.json

# Everything
# ----------
dist_noinst_SCRIPTS += tests/run-all tests/valgrind-wrapper
EXTRA_DIST += tests/valgrind.supp
CLEAN_LOCAL += clean-run-all
.PHONY: clean-run-all
clean-run-all:
	-rm -rf tests/run-all.logs tests/valgrind

.PHONY: sanitizers
sanitizers: variants/src.stamp
	$(call MAKE_VARIANT,sanitizers,--enable-sanitizers)

# The unit tests with each program under valgrind, by wrappers that come first
# in the path.
.PHONY: check-valgrind
check-valgrind: $(SUITES_NEED) $(TESTSUITE)
	$(AM_V_at)rm -rf tests/valgrind && $(MKDIR_P) tests/valgrind && \
	for program in $(INSPECTED); do \
	    ln -s '$(abs_top_srcdir)/tests/valgrind-wrapper' \
	        tests/valgrind/$$program || exit; \
	done
	LATEEN_BUILDDIR='$(abs_top_builddir)' $(SHELL) '$(TESTSUITE)' -C tests \
	    AUTOTEST_PATH='$(abs_top_builddir)/tests/valgrind' $(TESTSUITEFLAGS)

.PHONY: check-long
check-long:
	'$(srcdir)/tests/run-all' --long --no-install

# The pipeline
lateen_test_SOURCES += tests/test-compile.c
dist_noinst_SCRIPTS += tests/pipeline-doc.py

# The lab
dist_noinst_SCRIPTS += \
	tests/lab/capture.py \
	tests/lab/demo \
	tests/lab/forge.py \
	tests/lab/guest \
	tests/lab/init \
	tests/lab/lab \
	tests/lab/nodes.sh \
	tests/lab/vm \
	tests/lab/vms
EXTRA_DIST += tests/lab/Vagrantfile tests/lab/packages tests/lab/pods.sh

# NetworkPolicy cases
TESTSUITE_AT += tests/netpol.at
dist_noinst_SCRIPTS += \
	tests/netpol/attack \
	tests/netpol/breakages \
	tests/netpol/generate.py \
	tests/netpol/judge.py \
	tests/netpol/replay \
	tests/netpol/shrink.py \
	tests/netpol/test_cases.py \
	tests/netpol/test_generate.py \
	tests/netpol/test_judge.py \
	tests/netpol/trace
EXTRA_DIST += \
	tests/netpol/attack_changes.py \
	tests/netpol/attack_cut.py \
	tests/netpol/attack_flood.py \
	tests/netpol/attack_service.py \
	tests/netpol/cases \
	tests/netpol/cases.py \
	tests/netpol/conversations.py \
	tests/netpol/edits.py \
	tests/netpol/fabric.py \
	tests/netpol/matters.py \
	tests/netpol/mutants.py \
	tests/netpol/packets.py \
	tests/netpol/plans \
	tests/netpol/prober.py \
	tests/netpol/puppets.py \
	tests/netpol/renumber.py \
	tests/netpol/replay-steps.json \
	tests/netpol/validity.py
