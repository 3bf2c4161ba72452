# SPDX-License-Identifier: GPL-2.0-only
# sed, awk, sort and their kin.
cd /tmp; mkdir text; cd text
cat >t <<END
pear 3 red
apple 10 green
fig 7 purple
apple 2 yellow
END
sort t; sort -k2 -n t; sort -u -k1,1 t; sort -r t | uniq -c | sed 's/^ *//'
awk '{ s += $2; n[$1]++ } END { print s, n["apple"], NR }' t
awk -F' ' 'BEGIN { OFS = "-" } $2 > 5 { print $1, toupper($3), length($0), substr($1, 2, 2), index($1, "p") }' t
awk 'BEGIN { printf "%d %.3f %s %c\n", 3.9, 2/3, "s", 65; x["a"] = 1; for (k in x) print k; while ((getline line < "t") > 0) c++; print c; "echo cmd" | getline r; print r; print "piped" | "cat"; close("cat"); exit 3 }'; echo "status $?"
awk 'BEGIN { srand(1); print (rand() < 1), match("foobar", /o+/), RSTART, RLENGTH; gsub(/o/, "0", s = "foo"); print split("a:b:c", p, ":"), p[3], systime() > 0, ENVIRON["HOME"] }' 2>&1
sed -n '2,3p' t; sed 's/\([a-z]*\) \([0-9]*\)/\2 \1/' t; sed -e '/fig/d' -e '$a\
appended' t; sed -n '$=' t; sed 'y/abc/xyz/;1!d' t; sed -i 's/pear/PEAR/' t; head -n 1 t
cut -d' ' -f1,3 t; cut -c2-4 t; tr 'a-z' 'A-Z' <t | head -n 1; tr -d '[:digit:]' <t | tail -n 1; tr -s ' ' <<END
many    spaces
END
grep -c apple t; grep -n green t; grep -v apple t; grep -o '[0-9]*' t; grep -q none t; echo "status $?"; grep -E '(fig|PEAR)' t; grep -F . t; grep -i pear t; grep -rl apple . 
head -c 5 t; echo; tail -n 2 t; tail -c 7 t; wc t; nl t; rev t | head -n 1; tac t; fold -w 5 t | head -n 3; paste t t | head -n 1; 
seq 3 -1 1; seq -s, 1 5; seq -w 8 10; expr 3 + 4; expr abc : 'a\(.\)'; expr 1 = 2; echo "status $?"
echo hello | md5sum; echo hello | sha256sum; echo hello | sha1sum; echo hello | sha512sum | cut -c1-20; echo hello | base64; echo aGVsbG8K | base64 -d; echo hello | od -c; echo hello | hexdump -C; echo hello | xxd; cksum t 2>/dev/null | wc -w
sort -t' ' -k3 t | cmp - t; echo "cmp $?"; cp t u; echo more >>u; diff t u; echo "diff $?"; diff t t; echo "diff $?"
comm -12 t u 2>/dev/null; uniq -d <<END
a
a
b
END
split -l 2 t part 2>/dev/null; ls; strings /bin/busybox | grep -c 'BusyBox v1.35.0 (Debian'; expand <<END | head -n 1
	x
END
factor 600851475143; dc -e '2 100 ^ p' 2>&1; echo '2^64; scale=5; 1/3' | bc; cal 11 2026; date -u -d @0; date -u -d '2026-11-21 12:34:56' '+%s %j %U %a %b %e %H:%M:%S'; date -u -d @1234567890 -R; date -u -D %s -d 86400 +%F
basename /a/b/c.txt .txt; dirname /a/b/c.txt; realpath /tmp/../proc/self/../..; echo /bin/ech* /bin/nosuch*; echo /de[uv]/nul?; which awk; yes no | head -n 2; printf '3\n1\n2\n' | sort -n | tail -n 1; shuf -i 1-5 | sort -n | tr '\n' ' '; echo
uuencode t x <t | uudecode -o - | cmp - t && echo uu; ed t <<END
2p
s/10/11/p
q
END
printf 'a b\nc d\n' | while read x y; do echo "$y $x"; done; tsort 2>/dev/null </dev/null; cd /; rm -r /tmp/text
