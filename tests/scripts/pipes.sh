# SPDX-License-Identifier: GPL-2.0-only
# Pipes, fifos, background jobs, wait.
seq 1 1000 | sort -rn | head -n 3; seq 1 100000 | wc -l; seq 1 100000 | wc -c
seq 1 20000 | tee /tmp/p.tee | md5sum; md5sum </tmp/p.tee
echo a | cat | cat | cat | cat | tr a b
false | true; echo "status $?"; true | false; echo "status $?"; ! true | false; echo "status $?"
for i in 1 2 3; do (sleep 0.$i; echo "job $i"; exit $i) & eval "p$i=\$!"; done
wait $p2; echo "second $?"; wait $p1; echo "first $?"; wait $p3; echo "third $?"; wait; echo "all $?"; wait $p1; echo "again $?"
wait 99999; echo "not a child $?"
mkfifo /tmp/p.fifo; (echo through a fifo >/tmp/p.fifo) & cat /tmp/p.fifo; wait
(for i in 1 2 3; do echo line $i; done >/tmp/p.fifo) & while read l; do echo "<$l>"; done </tmp/p.fifo; wait
ls -l /tmp/p.fifo | cut -c1-10; rm /tmp/p.fifo
dd if=/dev/zero bs=1024 count=256 2>/dev/null | wc -c
dd if=/dev/zero bs=65536 count=16 2>/dev/null | dd bs=1000 2>/dev/null | wc -c
(echo a; sleep 0.2; echo b) | while read x; do echo "$x"; done
cat /proc/self/fd/0 </dev/null; readlink /proc/self/fd/0 </dev/null; echo x | readlink /proc/self/fd/0 | cut -d: -f1
sh -c 'exec 9<>/dev/null; ls /proc/self/fd | tr "\n" " "'; echo
echo sub | sh -c 'cat; cat'; (cat; echo done) </dev/null
x=$(sleep 0.1 & echo early); echo $x
{ sleep 0.3; echo late; } & { sleep 0.1; echo soon; }; wait
sh -c 'sleep 0.1 & exit 7'; echo "status $?"
xargs -n 2 echo pair <<END
1 2 3 4 5
END
seq 1 5 | xargs -I{} echo "item {}"; printf 'a\0b c\0' | xargs -0 -n 1 echo got
echo 1 | xargs sh -c 'exit 255' x 2>&1; echo "xargs $?"
find /bin -name 'ech*' -exec echo found {} \; ; find /bin/true /bin/false -print0 | xargs -0 ls
time -p true 2>&1 | cut -d' ' -f1
(trap '' PIPE; yes 2>/tmp/p.err | true); echo "status $?"
jobs; sleep 0.3 & jobs | sed 's/  */ /g'; wait; jobs
sh -c 'sleep 50 & sleep 50 | sleep 50 & jobs | wc -l; kill %1 %2; wait; echo ok' 2>&1
n=0; while [ $n -lt 60 ]; do : & n=$((n + 1)); done; wait; echo "sixty $n"
i=0; while [ $i -lt 40 ]; do (exit $i); [ $? = $i ] || echo bad; i=$((i + 1)); done; echo exits
sh -c 'echo $PPID' | grep -q '^[0-9]*$' && echo numeric
