# SPDX-License-Identifier: GPL-3.0-or-later

# Open vSwitch
# ------------
#
# Without --with-ovs-build, the part of Open vSwitch that Lateen links is built
# in ovs/build, once.  It speaks OpenFlow and OVSDB over Unix sockets only, so
# that it needs no SSL, name resolution or privilege dropping.
if OVS_OWN_BUILD
OVS_CONFIGURE = \
	CC='$(CC)' CFLAGS='-O2 -g1 -ffunction-sections -fdata-sections -fPIE' \
	LDFLAGS= LIBS= CPPFLAGS= PYTHON3='$(PYTHON3)' \
	'$(OVS_SRCDIR)/configure' -q \
	--prefix=/usr --sysconfdir=/etc --localstatedir=/var \
	--enable-static --disable-shared --disable-ssl --disable-libcapng \
	ac_cv_lib_unbound_ub_ctx_create=no ac_cv_lib_unwind_unw_backtrace=no \
	ovs_cv_binutils_avx512_good=no

ovs/src.stamp:
	@echo '  OVS      unpacking'
	$(AM_V_at)rm -rf ovs/src && $(MKDIR_P) ovs/src
	$(AM_V_at)if test -n '$(OVS_TARBALL)'; then \
	    tar -C ovs/src --strip-components=1 -xzf '$(OVS_TARBALL)'; \
	fi
	$(AM_V_at)touch $@

ovs/configure.stamp: ovs/src.stamp
	@echo '  OVS      configuring (log: ovs/configure.log)'
	$(AM_V_at)rm -rf ovs/build && $(MKDIR_P) ovs/build
	$(AM_V_at)(cd ovs/build && env -u MAKEFLAGS $(OVS_CONFIGURE)) \
	    >ovs/configure.log 2>&1 \
	    || { tail -n 20 ovs/configure.log; exit 1; }
	$(AM_V_at)touch $@

# The library's own rule does not know that it needs BUILT_SOURCES.  Without a
# job server to share, all processors are taken.
$(OVS_LIBRARY): ovs/configure.stamp
	@echo '  OVS      building libopenvswitch (log: ovs/make.log)'
	$(AM_V_at)jobs=; \
	case "$(MAKEFLAGS)" in \
	    *jobserver*) ;; \
	    *) jobs=-j$$(nproc) ;; \
	esac; \
	printf '%s\n' 'include Makefile' \
	    'lateen: $$(BUILT_SOURCES)' \
	    '	$$(MAKE) lib/libopenvswitch.la' >ovs/build/lateen.mk; \
	$(MAKE) $$jobs -C ovs/build -f lateen.mk lateen >ovs/make.log 2>&1 \
	    || { tail -n 20 ovs/make.log; exit 1; }
	$(AM_V_at)touch $@

OVS_CONFIGURED = ovs/configure.stamp

distclean-local:
	-rm -rf ovs
endif

BUILT_SOURCES += ovs-config.h $(OVS_LIBRARY)
CLEANFILES += ovs-config.h ovs-config.stamp

# What Open vSwitch was configured with, less its name and version.  The stamp
# lets it keep its date, and what includes it be, while it stays the same.
ovs-config.h: ovs-config.stamp
	@test -f $@ || { rm -f ovs-config.stamp; $(MAKE) ovs-config.stamp; }

ovs-config.stamp: config.status $(OVS_CONFIGURED)
	$(AM_V_GEN)sed '/^#define PACKAGE/d; /^#define VERSION/d' \
	    '$(OVS_BUILDDIR)/config.h' >ovs-config.tmp && \
	if cmp -s ovs-config.tmp ovs-config.h; then rm ovs-config.tmp; \
	else mv ovs-config.tmp ovs-config.h; fi && touch $@

# Checks of the tree itself
# -------------------------
dist_noinst_SCRIPTS += \
	build-aux/check-style \
	build-aux/check-symbols

INSPECTED = $(bin_PROGRAMS) $(sbin_PROGRAMS) $(pkglibexec_PROGRAMS) \
	$(cni_PROGRAMS) $(noinst_PROGRAMS)

# 'make check' does the same, in tests/build.at.  No two libraries of one
# program may define the same symbol.
.PHONY: check-symbols
check-symbols: all
	$(AM_V_at)$(foreach p,$(INSPECTED), \
	    $(srcdir)/build-aux/check-symbols $(p) \
	        $($(subst -,_,$(p))_OBJECTS) $($(subst -,_,$(p))_LDADD) &&) :

.PHONY: check-style
check-style:
	$(AM_V_at)if test -e '$(srcdir)/.git'; then \
	    cd '$(srcdir)' && build-aux/check-style $$(git ls-files); \
	fi

# Every file of the repository is in the tarball.
.PHONY: check-dist-files
check-dist-files:
	$(AM_V_at)if test -e '$(srcdir)/.git' && \
	    test '$(distdir)' != variants/src; then \
	    for f in $(DISTFILES); do \
	        echo "$$f"; \
	        test ! -d '$(srcdir)/'"$$f" || find '$(srcdir)/'"$$f" -type f; \
	    done | sed 's,^$(srcdir)/,,; s,^\./,,' | sort -u >dist-files.tmp; \
	    missing=$$(cd '$(srcdir)' && git ls-files | sort | \
	        comm -23 - '$(abs_builddir)/dist-files.tmp'); \
	    rm -f dist-files.tmp; \
	    if test -n "$$missing"; then \
	        echo 'in no list of distributed files (EXTRA_DIST?):' >&2; \
	        printf '    %s\n' $$missing >&2; \
	        exit 1; \
	    fi; \
	fi
dist-hook: check-dist-files

AM_DISTCHECK_CONFIGURE_FLAGS = \
	--with-ovs-source='$(OVS_SRCDIR)' --with-ovs-build='$(OVS_BUILDDIR)'

# Variants
# --------
#
# $(call MAKE_VARIANT,NAME,ARGUMENTS) builds this tree once more, configured
# with ARGUMENTS, in variants/NAME: in a copy of the sources, because a tree
# that was configured in place allows no other build of it.
.PHONY: variants/src.stamp
variants/src.stamp: $(BUILT_SOURCES)
	$(AM_V_at)chmod -R u+w variants/src 2>/dev/null; rm -rf variants/src
	$(AM_V_at)$(MKDIR_P) variants
	$(AM_V_at)$(MAKE) distdir distdir=variants/src >variants/src.log 2>&1 \
	    || { tail -n 20 variants/src.log; exit 1; }

MAKE_VARIANT = +$(AM_V_at)$(MKDIR_P) variants/$(1) && \
	cp -Rpu variants/src/. variants/$(1) && chmod -R u+w variants/$(1) && \
	cd variants/$(1) && \
	{ test config.status -nt configure || \
	      ./configure -q $(AM_DISTCHECK_CONFIGURE_FLAGS) $(2); } && \
	$(MAKE)

CLEAN_LOCAL += clean-variants
.PHONY: clean-variants
clean-variants:
	-chmod -R u+w variants 2>/dev/null
	-rm -rf variants
