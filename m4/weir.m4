# SPDX-License-Identifier: MIT

# WEIR_PROBE_CFLAGS(VARIABLE, FLAGS)
# Appends to VARIABLE each of FLAGS that the C compiler takes without a warning, and substitutes it.
AC_DEFUN([WEIR_PROBE_CFLAGS],
[AC_REQUIRE([AC_PROG_CC])dnl
weir_kept_CFLAGS=$CFLAGS
for weir_flag in $2; do
    AC_MSG_CHECKING([whether $CC takes $weir_flag])
    CFLAGS="$weir_kept_CFLAGS -Werror $weir_flag"
    AC_COMPILE_IFELSE([AC_LANG_PROGRAM()],
        [AC_MSG_RESULT([yes])
         $1="$$1 $weir_flag"],
        [AC_MSG_RESULT([no])])
done
CFLAGS=$weir_kept_CFLAGS
AC_SUBST([$1])])

# WEIR_FIND_ALLOCATOR(NAME, VARIABLE, PKG-CONFIG-MODULE, FILES)
# Adds --with-NAME=PATH|no, and sets VARIABLE to the path of that allocator's library: as given, else from pkg-config,
# else the first of FILES where libraries are. "no" if it is not wanted, "" if it is not there.
AC_DEFUN([WEIR_FIND_ALLOCATOR],
[AC_REQUIRE([PKG_PROG_PKG_CONFIG])dnl
AC_ARG_WITH([$1],
    [AS_HELP_STRING([--with-$1=PATH|no],
        [library of $1 that weir compare runs programs under @<:@look for it@:>@])],
    [], [with_$1=yes])
AC_MSG_CHECKING([for the library of $1])
$2=
AS_CASE([$with_$1],
    [no], [$2=no],
    [yes],
        [weir_directories="$($PKG_CONFIG --variable=libdir $3 2>/dev/null) dnl
/usr/local/lib /usr/lib/$($CC -print-multiarch 2>/dev/null) /usr/lib64 /usr/lib"
         for weir_file in $4; do
             for weir_directory in $weir_directories; do
                 AS_IF([test -z "$$2" && test -f "$weir_directory/$weir_file"], [$2=$weir_directory/$weir_file])
             done
         done],
    [$2=$with_$1
     AS_IF([test -f "$$2"], [], [AC_MSG_ERROR([--with-$1: there is no library $with_$1])])])
AS_IF([test -n "$$2"], [AC_MSG_RESULT([$$2])],
    [AC_MSG_RESULT([not found])
     weir_absent_allocators="$weir_absent_allocators $1"])
AC_SUBST([$2])])
