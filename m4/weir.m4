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
