# SPDX-License-Identifier: GPL-2.0-only
# Processes: ps, kill, limits, identity, environment, priorities.
sleep 77 & pid=$!; ps -o pid,ppid,stat,comm,args | awk -v p=$pid '$1 == p { print $3, $4, $5, $6 }'; ps -o comm,vsz,rss | awk 'NR == 1 || $1 == "sleep" { print $1, $2 > 0, NF }'
ps | head -n 1; ps -o user,group,nice,tty,rgroup,ruser,pgid,sid 2>&1 | head -n 1
cat /proc/$pid/comm; tr '\0' ' ' </proc/$pid/cmdline; echo; readlink /proc/$pid/exe /proc/$pid/cwd /proc/$pid/root; ls -l /proc/$pid/exe | cut -c1-10; kill -STOP $pid; cut -d' ' -f3 /proc/$pid/stat; kill -CONT $pid; grep -E '^(Name|State|Tgid|PPid|Threads|Uid|NoNewPrivs)' /proc/$pid/status | sed "s/[0-9][0-9][0-9]*/N/g"; kill $pid; wait $pid; ls /proc/$pid 2>&1 | sed "s/$pid/PID/"
env -i A=1 B='2 3' env; env -i sh -c 'echo $A; export X=1; env | sort | grep -v -E "^(PWD|SHLVL|_)="'; A=5 sh -c 'echo $A'; env -u HOME sh -c 'echo ${HOME-none}'; export E=1; sh -c 'echo $E'; unset E
id; id -u; id -un 2>&1; whoami 2>&1; groups 2>&1; hostname; uname -s; uname -m; uname -o; nproc; tty; echo "tty $?"; who | wc -l
nice; nice -n 5 nice; nice -n 19 sh -c 'nice; renice -n 3 $$ 2>&1; nice' ; renice 5 $$ >/dev/null 2>&1; nice; renice -n -5 -p $$ 2>/dev/null; nice; taskset -p $$ | sed "s/$$/PID/"; chrt -p $$ 2>/dev/null | wc -l
ulimit -a | sed 's/  */ /g' | grep -v -E 'processes|pending|memory|mqueue|locked'; (ulimit -n 10; ulimit -n; exec 9>/dev/null; echo "nine $?"); (ulimit -f 1; dd if=/dev/zero of=/tmp/limited bs=1024 count=4; echo "fsize $?") 2>&1 | tail -n 1; ls -l /tmp/limited | awk '{ print $5 }'; rm /tmp/limited; (ulimit -v 20000; sh -c 'dd if=/dev/zero of=/dev/null bs=40M count=1') 2>&1 | tail -n 1; (ulimit -t 1; sh -c 'while :; do :; done'); echo "cpu $?"; (ulimit -s 64; sh -c 'echo small stack')
(ulimit -u 1; setpriv --reuid 4242 sh -c 'ls >/dev/null; echo "fork $?"') 2>&1 | tail -n 1
time sh -c : 2>&1 | cut -c1-4; (times) | wc -l; sleep 0.01; usleep 1000; sh -c 'exec sleep 0'; exec 5</proc/self/stat; read a b c d <&5; echo $b $c; exec 5<&-
sh -c 'echo $$; exec sh -c "echo \$\$"' | uniq | wc -l
sh -c '(sleep 0.1; read a b c d e </proc/self/stat; echo "parent $d") & exit'; sleep 0.3
chroot / /bin/echo in a chroot; chroot /nosuch 2>&1; echo "chroot $?"; start-stop-daemon -S -x /bin/true; echo "ssd $?"; start-stop-daemon -K -x /nosuch -t 2>&1; setarch 2>/dev/null; linux32 uname -m; linux64 uname -m;
cat /proc/sys/kernel/ostype /proc/sys/kernel/hostname /proc/sys/kernel/pid_max /proc/sys/kernel/core_pattern; sysctl kernel.ostype; sysctl -n kernel.randomize_va_space; sysctl -w kernel.hostname=changed; hostname; hostname '(none)'; echo x >/proc/sys/kernel/ostype; echo "status $?"; 
uptime | sed 's/[0-9][0-9.:]*/N/g; s/  */ /g; s/ min,/,/'; free -m | head -n 1; top -b -n 1 | sed -n '4p;1s/[0-9].*//p;2s/[0-9].*//p;3s/[0-9].*//p'; cat /proc/loadavg | wc -w; cut -d' ' -f1 /proc/stat | head -n 2; dmesg | wc -l | awk '{ print ($1 > 5) }'; echo '<3>hello from a script' >/dev/kmsg; dmesg | tail -n 1 | sed 's/^\[[^]]*\] //'; dmesg -n 1; watch -n 1 -t true </dev/null >/dev/null & sleep 0.2; { kill $!; wait $!; } 2>/dev/null; echo "watch $?"
mount | awk '{ print $1, $3, $5 }' | sort | head -n 20; grep -c . /proc/mounts; cat /proc/filesystems | grep -E 'proc|sysfs|tmpfs|devpts' ; swapon 2>&1; mdev -s; echo "mdev $?"; hwclock 2>&1 | wc -l; last 2>/dev/null | wc -l; 
