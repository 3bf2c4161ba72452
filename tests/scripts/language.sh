# SPDX-License-Identifier: GPL-2.0-only
# The language: words, expansions, loops, functions, here-documents, command substitution, set -e.
printf '%s|%5d|%-5s|%05.1f|%x|%o|%c|%%\n' text 42 left 3.14159 255 8 q
printf '%b\n' 'tab\there' ; printf '%q\n' x 2>&1 | head -n 1
echo "$((1 + 2 * 3)) $((7 % 4)) $((1 << 10)) $((0x1f)) $((010)) $((5 > 3 && 2 < 1)) $((-7 / 2))"
i=5; echo "$((i++)) $i $((++i)) $((i -= 3)) $((i ? 10 : 20))"
v=path/to/file.tar.gz
echo "${v##*/} ${v%%.*} ${v#*/} ${v%.*} ${#v} ${v/to/from} ${unset:-default} ${unset:+no} ${v:5:2}"
(echo "${missing:?is missing}") 2>&1; echo "status $?"
set -- one 'two words' three
echo "$# $1 $2"; for a in "$@"; do echo "<$a>"; done; for a in $*; do echo "($a)"; done
shift 2; echo "$# $1"
IFS=:; set -- a:b:c; x=a:b:c; set -- $x; echo "$# $2"; unset IFS
case file.c in *.h) echo header;; *.c | *.cc) echo source;; *) echo other;; esac
f() { local y=inner; echo "f: $y $1 $#"; return 7; }
y=outer; f arg1 arg2; echo "status $? $y"
n=0; while :; do n=$((n + 1)); [ $n = 3 ] && continue; [ $n -ge 5 ] && break; echo "n=$n"; done
until [ $n -le 0 ]; do n=$((n - 2)); done; echo "n=$n"
cat <<END
expanded: $y $((2 + 2)) $(echo nested "$(echo deep)")
	tab kept
END
cat <<'END'
not expanded: $y $((2 + 2))
END
cat <<-END
	tab taken
	END
cat <<A; cat <<B
first
A
second
B
echo "$(cat <<END
here-document in a substitution
END
)"
out=$(echo a; echo b; exit 3); echo "status $? [$out]"
echo `echo back\`echo ticks\``
for t in '-f /proc/self/exe' '-d /tmp' '-e /none' '-z ""' '-n x' '3 -lt 4' 'a = b' 'a != b' '-c /dev/null' '-p /dev/null' '-L /proc/self' '-x /bin/busybox' '-s /proc/version' '-t 0'; do
    eval "[ $t ]"; echo "[ $t ] $?"
done
[ 1 -eq 1 -a 2 -gt 1 ] && echo and; [ 1 -eq 2 -o 2 -gt 1 ] && echo or; ! false && echo not
[ x -eq 1 ] 2>&1; echo "status $?"
sh -ec 'echo before; false; echo never' ; echo "set -e $?"
sh -ec 'if false; then :; fi; false || true; ! true; echo still; (exit 9); echo never'; echo "set -e $?"
sh -uc 'echo $none' 2>&1; echo "set -u $?"
sh -c 'set -o pipefail; false | true' ; echo "pipefail $?"
sh -xc 'a=1; echo $a' 2>&1
nosuchcommand 2>&1; echo "status $?"
/tmp 2>&1; echo "status $?"
sh -c 'echo $0 $1' name arg; sh -s one <<< 2>/dev/null; echo 'echo stdin $1' | sh -s word
eval 'echo "eval $((3*3))"'; . /dev/stdin <<END
echo sourced
END
alias hi='echo hello'; type hi cd ls 2>&1 | head -n 3
readonly r=1; (r=2) 2>&1; echo "status $?"
echo word1 word2 rest of it | { read a b c; echo "$b/$c/$a"; }
printf 'a\\b\nline2\n' | while read -r l; do echo "<$l>"; done
printf 'x' | { read l; echo "status $? <$l>"; }
exec 3>/tmp/lang.out; echo to three >&3; exec 3>&-; cat /tmp/lang.out; echo closed >&3 2>/dev/null; echo "status $?"
echo one >/tmp/lang.out; echo two >>/tmp/lang.out; cat </tmp/lang.out; set -C; (echo no >/tmp/lang.out) 2>&1; echo "status $?"; echo yes >|/tmp/lang.out; set +C; cat /tmp/lang.out
{ echo out; echo err >&2; } 2>&1 | sort
ls /none 2>/dev/null; echo "status $?"
cd /tmp && pwd && cd - && cd /proc/self && pwd; cd /; umask 027; umask; umask -S; umask 022
getopts ab:c opt -b value -a; echo "$opt $OPTARG $OPTIND"
echo $-; echo ${#@}; echo "$(ulimit -n) $(ulimit -c) $(ulimit -s) $(ulimit -f)"
