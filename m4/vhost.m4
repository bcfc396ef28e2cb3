dnl SPDX-License-Identifier: BSD-3-Clause
dnl Copyright (C) 2026 The libvhost authors

dnl VHOST_CFLAG(VARIABLE, FLAGS): append those of FLAGS that the compiler takes.
AC_DEFUN([VHOST_CFLAG], [
for vhost_flag in m4_normalize([$2]); do
	AC_MSG_CHECKING([whether $CC accepts $vhost_flag])
	vhost_save_CFLAGS=$CFLAGS
	CFLAGS="$CFLAGS -Werror $vhost_flag"
	AC_COMPILE_IFELSE([AC_LANG_PROGRAM([], [])],
		[AC_MSG_RESULT([yes])
		 $1="${$1:+$$1 }$vhost_flag"],
		[AC_MSG_RESULT([no])])
	CFLAGS=$vhost_save_CFLAGS
done])

dnl VHOST_LDFLAG(VARIABLE, FLAGS): the same for the linker.
AC_DEFUN([VHOST_LDFLAG], [
for vhost_flag in m4_normalize([$2]); do
	AC_MSG_CHECKING([whether the linker accepts $vhost_flag])
	vhost_save_LDFLAGS=$LDFLAGS
	LDFLAGS="$LDFLAGS -Werror $vhost_flag"
	AC_LINK_IFELSE([AC_LANG_PROGRAM([], [])],
		[AC_MSG_RESULT([yes])
		 $1="${$1:+$$1 }$vhost_flag"],
		[AC_MSG_RESULT([no])])
	LDFLAGS=$vhost_save_LDFLAGS
done])

dnl VHOST_OPTIONAL_PKG(VARIABLE, MODULE, HEADER, CALL): look for a package that
dnl we can do without, and link against it: with -m32, or another libc, what
dnl pkg-config finds may be of no use. Sets vhost_have_VARIABLE to yes or no.
AC_DEFUN([VHOST_OPTIONAL_PKG], [
vhost_have_$1=no
PKG_CHECK_MODULES([$1], [$2], [
	AC_MSG_CHECKING([whether a program links with $2])
	vhost_save_CPPFLAGS=$CPPFLAGS
	vhost_save_LIBS=$LIBS
	CPPFLAGS="$CPPFLAGS $$1_CFLAGS"
	LIBS="$$1_LIBS $LIBS"
	AC_LINK_IFELSE([AC_LANG_PROGRAM([[#include <stdlib.h>
#include <$3>]], [[$4]])], [vhost_have_$1=yes])
	CPPFLAGS=$vhost_save_CPPFLAGS
	LIBS=$vhost_save_LIBS
	AC_MSG_RESULT([$vhost_have_$1])], [:])
AS_IF([test "$vhost_have_$1" = no], [$1_CFLAGS= $1_LIBS=])])
