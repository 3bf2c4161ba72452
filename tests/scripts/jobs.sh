# SPDX-License-Identifier: GPL-2.0-only
# Job control: a shell with a terminal of its own, and jobs that are stopped, continued and ended. Processes are
# told by their jobs' numbers, never by their own.
cat >/tmp/jobs.in <<'END'
set -m
shown() { jobs | sed 's/  */ /g'; }
# Shows the jobs when one of them has come to be so, however slow the machine is.
until_one() { n=0; while ! jobs | grep -q "$1" && [ $n -lt 100 ]; do sleep 0.1; n=$((n + 1)); done; shown; }
sleep 100 &
sleep 200 | sleep 200 &
shown
kill -STOP %1; until_one Stopped
bg %1; until_one '1.*Running'
kill %1; wait %1; echo "first $?"
kill -KILL %2; wait %2; echo "second $?"; shown
sh -c 'kill -STOP $$; echo continued'; echo "stopped $?"
shown
fg; echo "ended $?"
sh -c 'kill -TSTP $$; exit 7'; echo "stopped $?"; fg %1; echo "ended $?"
sh -c 'read x </dev/tty; echo "read <$x>"' & until_one Stopped; kill -KILL %1; wait %1; echo "reader $?"
stty tostop </dev/tty; sh -c 'echo text >/dev/tty; echo written' & until_one Stopped; kill -KILL %1; wait %1; echo "writer $?"; stty -tostop </dev/tty
sh -c 'stty echo </dev/tty; echo set' & until_one Stopped; fg; echo "setter $?"
sh -c 'trap "echo cont" CONT; kill -STOP $$; :'; fg; echo "ended $?"
own() { cut -d' ' -f5,7,8 /proc/self/stat | awk '{ print ($1 == $3) ? "foreground" : "background", $2 }'; }
own; own & wait
sh -c 'sleep 0.1; exit 3' & wait %1; echo "waited $?"
fg %9; echo "none $?"
set +m; sleep 100 & shown; kill $!; wait $!; echo "without $?"; set -m
sh -c 'kill -INT 0'; echo "never, for who interrupts a job interrupts its shell"
END
setsid -c sh /tmp/jobs.in </dev/ttyS0 >/tmp/jobs.out 2>&1
echo "status $?"
# Whether a job that was killed is told of at once or by `wait` is a matter of time.
grep -vxE 'Killed|Terminated' /tmp/jobs.out; rm /tmp/jobs.in /tmp/jobs.out
