#! /bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Makes ./configure and Makefile.in from configure.ac and Makefile.am.
set -e
cd "$(dirname "$0")"

missing=
for pair in autoreconf:autoconf automake:automake pkg-config:pkg-config; do
    command -v "${pair%:*}" >/dev/null || missing="$missing ${pair#*:}"
done
if test -n "$missing"; then
    echo "autogen.sh: please install these packages:$missing" >&2
    echo "autogen.sh: tests/install-deps installs all that is needed" >&2
    exit 1
fi
exec autoreconf --install --force --warnings=all
