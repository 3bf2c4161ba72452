# SPDX-License-Identifier: GPL-2.0-only
# Files: what they are, who they belong to, times, links, devices, archives.
mkdir -p /tmp/files && cd /tmp/files
echo hello >a; mkdir d; ln a hard; ln -s a soft; ln -s none dangling; mkfifo pipe; mknod null c 1 3; mknod blk b 7 0
touch -d '2001-02-03 04:05:06' a d pipe null blk; touch -h -d '2001-02-03 04:05:06' soft dangling
ls -l; ls -la d | wc -l; ls -F; ls -1 | wc -l; ls -i a hard | awk '{ print ($1 == p) ; p = $1 }'
stat -c '%n %s %F %a %U %h %t:%T %Y' a d soft pipe null blk hard; stat -L -c '%F %s' soft; stat -c '%b %B %o' a; stat dangling -L 2>&1
stat -f -c '%T %s %l' . ; readlink soft; readlink -f soft; readlink a; echo "status $?"
chmod 751 a; stat -c %a a; chmod u-x,g+w,o=r a; stat -c %A a; chmod 4755 a; ls -l a | cut -c1-10; chmod 1777 d; ls -ld d | cut -c1-10; chmod -R go= d; ls -ld d | cut -c1-10
chown 12:34 a; stat -c '%u:%g %a' a; chown -h 5 soft; stat -c %u soft; chgrp 99 d; stat -c '%u:%g' d
cp -p a copy; stat -c '%a %u:%g %Y' copy; mv copy moved; ls copy 2>&1; rm moved; rm none 2>&1; rm d 2>&1; rmdir d; echo "status $?"; mkdir x/y 2>&1; mkdir x && mkdir x 2>&1
mkdir -p x/y/z; echo 1 >x/1; echo 2 >x/y/2; rmdir x 2>&1; mv x renamed; find renamed | sort; find . -type l | sort; find . -type f -size -2c; find . -perm 755 -type f; find . -newer a | wc -l; find . -links 2 -type f | sort; find renamed -depth -name '[12]' -delete; find renamed | sort; cp -r renamed again; rm -r renamed; ls again
dd if=/dev/zero of=sparse bs=1 count=1 seek=1048575 2>/dev/null; stat -c '%s %b' sparse; du -k sparse | cut -f1; truncate -s 100 sparse; stat -c %s sparse; dd if=sparse bs=10 count=3 skip=2 2>&1 | tail -n 1 | cut -d, -f1 | tr -d '\0'
dd if=/dev/zero of=/dev/full bs=10 count=1 2>&1 | head -n 1; echo x >/dev/full; echo "status $?"; head -c 10 /dev/zero | od -An -tx1; head -c 16 /dev/urandom | wc -c; cat /dev/null; : >/dev/null; dd if=/dev/full bs=4 count=1 2>/dev/null | od -An -tx1
tar cf t.tar a soft pipe again; tar tvf t.tar | sed "s/  */ /g; s/20[2-9][0-9]-[-0-9]* [0-9:]*/DATE/"; mkdir out; tar xf t.tar -C out; ls -l out | sed 1d | cut -c1-10; tar cz a | tar tz; seq 1 5000 >big; gzip -k big 2>/dev/null || gzip -c big >big.gz; ls -s big >/dev/null; zcat big.gz | cmp - big && echo gzip; gunzip -c big.gz | wc -l; bzip2 -c big | bunzip2 | cmp - big && echo bzip2; xz -d 2>&1 </dev/null; echo "xz $?"
ls a big | cpio -o -H newc 2>/dev/null | cpio -t 2>/dev/null; unzip 2>&1 | head -n 1
test a -nt big; echo $?; test a -ef hard && echo same; [ -u a ]; echo "suid $?"; [ -k /tmp ]; echo "sticky $?"; [ -p pipe ] && [ -c null ] && [ -b blk ] && [ -h soft ] && echo kinds
su_cmd() { setpriv --reuid 1000 --regid 1000 --clear-groups "$@"; }
echo secret >priv; chmod 600 priv; su_cmd cat priv 2>&1; su_cmd sh -c 'echo x >/tmp/files/nope' 2>&1; su_cmd rm -f a 2>&1; su_cmd kill -0 1 2>&1; su_cmd touch /tmp/mine && ls -l /tmp/mine | awk '{ print $1, $3, $4 }'; su_cmd chown 0 /tmp/mine 2>&1; su_cmd id; su_cmd mkdir /proc/x 2>&1; su_cmd mount -t tmpfs none /tmp 2>&1
cat null; echo x >null; dd if=blk count=1 2>&1 | head -n 1; mkdir /proc/x 2>&1; touch /proc/x 2>&1; touch /sys/x 2>&1; mkdir /sys/x 2>&1; rm /proc/version 2>&1; echo x >/proc/version; echo "status $?"; ln a /proc/a 2>&1; mv a /proc/ 2>&1; mkdir /dev/x && rmdir /dev/x && echo dev
flock lock -c 'echo locked' ; install -m 640 a inst 2>/dev/null && stat -c %a inst; mktemp -p . zXXXXXX | cut -c1-3; cd ..; df -k /tmp >/dev/null; echo "df $?"; sync; rm -r /tmp/files /tmp/mine; ls /tmp
ls -ld /tmp /proc /sys /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty /dev/console /dev/kmsg /dev/ptmx | awk '{ print $1, $3, $4, $5, $6 ~ /^[0-9]+$/ ? $6 : "", $NF }'
