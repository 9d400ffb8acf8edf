# SPDX-License-Identifier: GPL-3.0-or-later

# LATEEN_MISSING(WHAT, PACKAGE)
#
# Notes that WHAT, which Debian's PACKAGE holds, is missing here.
# LATEEN_REPORT_MISSING tells it together with everything else.
AC_DEFUN([LATEEN_MISSING],
  [AS_VAR_APPEND([lateen_missing], ["
    $1 (Debian package: $2)"])
   AS_VAR_APPEND([lateen_missing_packages], [" $2"])])

# Fails if anything is missing, with the list of all of it.
AC_DEFUN([LATEEN_REPORT_MISSING],
  [AS_IF([test -n "$lateen_missing"],
     [AC_MSG_ERROR([these are missing:$lateen_missing
To install them:  apt-get install$lateen_missing_packages
or everything that building and testing need:  tests/install-deps])])])

# LATEEN_PKG(VARIABLE, MODULE, PACKAGE)
#
# Finds a library by pkg-config and sets VARIABLE_CFLAGS and VARIABLE_LIBS.
AC_DEFUN([LATEEN_PKG],
  [PKG_CHECK_MODULES([$1], [$2], [], [LATEEN_MISSING([$2], [$3])])])

# LATEEN_ENABLE_OPTION(OPTION)
#
# Adds OPTION to WARNING_FLAGS if the compiler knows it.
AC_DEFUN([LATEEN_ENABLE_OPTION],
  [AS_VAR_PUSHDEF([cache], [lateen_cv_cc_$1])
   AC_CACHE_CHECK([whether $CC accepts $1], [cache],
     [lateen_save_CFLAGS=$CFLAGS
      # GCC accepts any unknown -Wno-option in silence.
      CFLAGS="$CFLAGS $WARNING_FLAGS -Werror m4_bpatsubst([$1], [^-Wno-], [-W])"
      AC_COMPILE_IFELSE([AC_LANG_PROGRAM()],
        [AS_VAR_SET([cache], [yes])], [AS_VAR_SET([cache], [no])])
      CFLAGS=$lateen_save_CFLAGS])
   AS_VAR_IF([cache], [yes], [WARNING_FLAGS="$WARNING_FLAGS $1"])
   AS_VAR_POPDEF([cache])])

# Finds libvici, which Debian packages without a header and outside the
# linker's path.
AC_DEFUN([LATEEN_CHECK_VICI],
  [AC_ARG_WITH([vici-libdir],
     [AS_HELP_STRING([--with-vici-libdir=DIR],
        [where libvici.so.0 is (default: /usr/lib/ipsec)])],
     [], [with_vici_libdir=/usr/lib/ipsec])
   VICI_LIBS="-L$with_vici_libdir -l:libvici.so.0"
   VICI_LIBS="$VICI_LIBS -Wl,-rpath,$with_vici_libdir"
   AC_SUBST([VICI_LIBS])
   AC_MSG_CHECKING([for libvici])
   lateen_save_LIBS=$LIBS
   LIBS="$VICI_LIBS $LIBS"
   AC_LINK_IFELSE(
     [AC_LANG_PROGRAM([void vici_init(void);], [vici_init();])],
     [AC_MSG_RESULT([$with_vici_libdir])],
     [AC_MSG_RESULT([no])
      LATEEN_MISSING([$with_vici_libdir/libvici.so.0],
                     [strongswan-swanctl])])
   LIBS=$lateen_save_LIBS])

# Finds Open vSwitch's sources and, where there is one, a build of them.  Sets
#
#   OVS_SRCDIR, OVS_BUILDDIR   absolute names
#   OVS_TARBALL                what 'make' unpacks to OVS_SRCDIR, or empty
#   OVS_LIBS                   what libopenvswitch.a needs besides itself
#
# and the conditional OVS_OWN_BUILD: 'make' builds it in OVS_BUILDDIR.
AC_DEFUN([LATEEN_CHECK_OVS],
  [AC_ARG_WITH([ovs-source],
     [AS_HELP_STRING([--with-ovs-source=DIR],
        [sources of Open vSwitch 3.1 (default: Debian's package
         openvswitch-source, unpacked in the build tree)])])
   AC_ARG_WITH([ovs-build],
     [AS_HELP_STRING([--with-ovs-build=DIR],
        [where Open vSwitch has been built with --enable-static
         (default: 'make' builds it once, in the build tree)])])
   OVS_TARBALL=
   OVS_LIBS="-latomic -lpthread -lrt -lm"
   lateen_ovs_own=no
   lateen_ovs_pwd=`pwd`
   AC_MSG_CHECKING([for Open vSwitch])
   AS_CASE([$with_ovs_build:$with_ovs_source],
     [no:* | yes:* | *:no | *:yes],
     [AC_MSG_RESULT([])
      AC_MSG_ERROR([--with-ovs-build and --with-ovs-source want a directory])])
   AS_IF([test -z "$with_ovs_build" && test -n "$with_ovs_source" \
          && test -e "$with_ovs_source/config.status"],
     [with_ovs_build=$with_ovs_source])

   AS_IF([test -n "$with_ovs_build"],
     [AS_IF([test ! -e "$with_ovs_build/config.h" \
             || test ! -e "$with_ovs_build/lib/.libs/libopenvswitch.a"],
        [AC_MSG_RESULT([no])
         AC_MSG_ERROR([$with_ovs_build holds no built Open vSwitch: there
'./configure --enable-static --disable-shared && make' is to be run first])])
      OVS_BUILDDIR=`cd "$with_ovs_build" && pwd`
      AS_IF([test -n "$with_ovs_source"],
        [OVS_SRCDIR=`cd "$with_ovs_source" && pwd`],
        [OVS_SRCDIR=`cd "$with_ovs_build" && \
                     cd "$(sed -n 's/^srcdir = //p' Makefile)" && pwd`])
      lateen_ovs_version=`sed -n \
        's/^#define PACKAGE_VERSION "\(.*\)"/\1/p' "$OVS_BUILDDIR/config.h"`
      # A libtool library there (AVX-512 code) is named by its archive.
      lateen_ovs_libs=`sed -n "s/^dependency_libs='\(.*\)'/\1/p" \
        "$OVS_BUILDDIR/lib/libopenvswitch.la" |
        sed 's,/\(lib@<:@^/ @:>@*\)\.la,/.libs/\1.a,g'`
      OVS_LIBS="$lateen_ovs_libs -lpthread"],

     [lateen_ovs_own=yes
      OVS_BUILDDIR=$lateen_ovs_pwd/ovs/build
      AS_IF([test -n "$with_ovs_source"],
        [AS_IF([test ! -x "$with_ovs_source/configure"],
           [AC_MSG_RESULT([no])
            AC_MSG_ERROR([$with_ovs_source/configure does not exist: if these
are Open vSwitch's sources, './boot.sh' makes it])])
         OVS_SRCDIR=`cd "$with_ovs_source" && pwd`
         lateen_ovs_ac=`cat "$OVS_SRCDIR/configure.ac"`],
        [OVS_SRCDIR=$lateen_ovs_pwd/ovs/src
         OVS_TARBALL=/usr/src/openvswitch/openvswitch.tar.gz
         AS_IF([test -e "$OVS_TARBALL"],
           [lateen_ovs_ac=`tar -xOzf "$OVS_TARBALL" \
                               openvswitch/configure.ac`],
           [lateen_ovs_ac=])])
      lateen_ovs_version=`AS_ECHO(["$lateen_ovs_ac"]) | sed -n \
        's/^.*INIT(openvswitch, *\([[0-9.]]*\),.*/\1/p'`])

   AS_IF([test -n "$OVS_TARBALL" && test ! -e "$OVS_TARBALL"],
     [AC_MSG_RESULT([no])
      LATEEN_MISSING([$OVS_TARBALL], [openvswitch-source])],
     [AC_MSG_RESULT([version $lateen_ovs_version in $OVS_SRCDIR])
      AS_CASE([$lateen_ovs_version],
        [3.1.*], [],
        [AC_MSG_ERROR([this Open vSwitch has version '$lateen_ovs_version'.
The interface of libopenvswitch differs from version to version, and Lateen
needs 3.1; Debian 12 has it as openvswitch-source])])])
   AC_SUBST([OVS_SRCDIR])
   AC_SUBST([OVS_BUILDDIR])
   AC_SUBST([OVS_TARBALL])
   AC_SUBST([OVS_LIBS])
   AM_CONDITIONAL([OVS_OWN_BUILD], [test $lateen_ovs_own = yes])])
