# SPDX-License-Identifier: GPL-2.0-only
# Signals: traps, their order, what children inherit, statuses of those who die.
kill -l | tr '\n' ' '; echo; kill -l 11; kill -l 139; kill -l SEGV
trap 'echo got USR1' USR1; kill -USR1 $$; echo after
trap 'echo got TERM; false' TERM; kill $$; echo "status $?"
trap '' INT; kill -INT $$; echo "ignored"; sh -c 'kill -INT $$; echo "child ignores too"'; trap - INT
trap; trap - USR1 TERM
sh -c 'trap "echo bye" EXIT; echo working'; echo "status $?"
sh -c 'trap "echo bye; exit 4" EXIT; exit 3'; echo "status $?"
sh -c 'trap "echo int; exit 5" INT; kill -INT $$; echo never'; echo "status $?"
(trap 'echo sub' EXIT; echo in subshell)
trap 'echo parent USR1' USR1; (kill -USR1 $$); :; sh -c 'kill -USR1 $PPID'; :
trap - USR1
for s in HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT XCPU XFSZ VTALRM PROF IO PWR SYS; do
    sh -c "kill -$s \$\$; exit 1" 2>/dev/null; echo "$s $?"
done
for s in CHLD CONT URG WINCH; do sh -c "kill -$s \$\$; exit 1"; echo "$s $?"; done
sh -c 'kill -SEGV $$' 2>&1; echo "status $?"
sh -c 'kill -TERM $$' ; sh -c 'ulimit -c 0; kill -ABRT $$'; echo "status $?"
sleep 100 & pid=$!; kill $pid; wait $pid; echo "status $?"
sleep 100 & pid=$!; kill -STOP $pid; kill -CONT $pid; kill -9 $pid; wait $pid 2>/dev/null; echo "status $?"
trap 'echo alarm' ALRM; (sleep 0.2; kill -ALRM $$) & wait $!; echo "wait $?"; wait; trap - ALRM
trap 'echo in sleep' USR1; (sleep 0.2; kill -USR1 $$) & sleep 0.6; echo slept; wait; trap - USR1
trap 'echo chld' CHLD; sh -c 'exit 0'; trap - CHLD
trap 'echo "read interrupted"; exit 0' USR1
sh -c '
trap "echo read interrupted; exit 6" USR1
mkfifo /tmp/traps.fifo; (sleep 0.2; kill -USR1 $$) &
read line <>/tmp/traps.fifo; echo "read $?"'; echo "status $?"; rm -f /tmp/traps.fifo
kill -0 $$; echo "alive $?"; kill -0 99999 2>&1; echo "none $?"; kill -99 $$ 2>&1; echo "bad $?"
kill -NOSUCH $$ 2>&1; echo "bad $?"
timeout 0.2 sleep 5; echo "timeout $?"; timeout -s KILL 0.2 sleep 5; echo "timeout $?"; timeout 5 sh -c 'exit 3'; echo "timeout $?"
nohup sh -c 'kill -HUP $$; echo survived' </dev/null 2>/dev/null; echo "nohup $?"
yes | head -n 1; yes | (sleep 0.1; exit 0); echo "pipe $?"
sh -c 'trap "" PIPE; yes | head -n 1 >/dev/null' 2>&1 | head -n 1
setsid sh -c 'kill -TERM 0; echo never'; echo "group $?"
sh -c 'sleep 100 & sleep 100 & jobs -p | wc -l; kill $(jobs -p); wait; echo reaped'
