// SPDX-License-Identifier: GPL-2.0-only
//! Pseudoterminals: nodes that come and go, locks, lines that are typed at the master and read at
//! the terminal, output as the settings have it, keys that stop it and that send signals, the
//! window's size, packets, and both kinds of end.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::ptr::{from_mut, from_ref};
use core::sync::atomic::{AtomicU64, Ordering::SeqCst};
use linux_raw_sys::general as abi;
use linux_raw_sys::ioctl as io;
use user::prelude::*;
use user::process::{WSTOPPED, setpgid, wait4};
use user::pty::{FLAGS, get, ioctl, open_slave, pair, put, setsid, with_devpts};
use user::signal::{SIGCONT, SIGHUP, SIGKILL};
use user::{event, file, time};

expect! { end: exit(0) }
program!(run);

const SIGINT: u32 = 2;
const SIGTTIN: i32 = 21;
const SIGTTOU: i32 = 22;
const SIGWINCH: u32 = 28;
const EIO: Errno = Errno(5);

fn termios(fd: i32) -> abi::termios {
    // SAFETY: all zeroes are a `termios`.
    let mut t: abi::termios = unsafe { core::mem::zeroed() };
    check_eq!(ioctl(fd, io::TCGETS, from_mut(&mut t).addr()), Ok(0), "TCGETS");
    t
}

fn set(fd: i32, t: &abi::termios) {
    check_eq!(ioctl(fd, io::TCSETS, from_ref(t).addr()), Ok(0), "TCSETS");
}

/// What one read gives must be this; Linux hands bytes over elsewhere, so they may take a moment.
fn reads(fd: i32, want: &[u8], what: &str) {
    let mut buf = [0; 512];
    let mut len = 0;
    for _ in 0..200 {
        if let Ok(n) = file::read(fd, &mut buf[len..]) {
            len += n;
        }
        if len >= want.len() {
            break;
        }
        time::sleep_ms(5);
    }
    check_eq!(&buf[..len], want, "{what}");
}

fn close(fds: [i32; 2]) {
    for fd in fds {
        check_eq!(file::close(fd), Ok(0), "close");
    }
}

fn nodes() {
    let Ok(m) = file::open(c"/dev/ptmx", file::O_RDWR | abi::O_NOCTTY, 0) else { return };
    let number = get(m, io::TIOCGPTN).unwrap_or(-1);
    check_eq!(get(m, io::TIOCGPTLCK), Ok(1), "locked at first");
    check_eq!(open_slave(number, FLAGS), Err(EIO), "a terminal that is locked");
    check_eq!(put(m, io::TIOCSPTLCK, 0), Ok(0), "unlock");
    let s = open_slave(number, FLAGS).unwrap_or(-1);
    check!(s >= 0, "the terminal");
    let peer = ioctl(m, io::TIOCGPTPEER, (file::O_RDWR | abi::O_NOCTTY) as usize).map(|fd| fd as i32);
    let Ok(peer) = peer else {
        check!(false, "TIOCGPTPEER: {peer:?}");
        return;
    };
    let device = |fd| get(fd, io::TIOCGDEV);
    check_eq!(device(peer), device(s), "both ways lead to one terminal");
    check_eq!(device(s), Ok(136 << 8 | number), "which is number 136:N");
    check_eq!(get(s, io::TIOCGPTN), Err(Errno(25)), "a terminal has no number to tell");
    close([peer, s]);
    let mut one = [0];
    check_eq!(file::read(m, &mut one), Err(EIO), "nobody has the terminal any more");
    let again = open_slave(number, FLAGS).unwrap_or(-1);
    check!(again >= 0, "it can be opened again");
    close([again, m]);
    check_eq!(open_slave(number, FLAGS), Err(Errno(ENOENT)), "the node went with the master");
}

fn lines() {
    let (m, s) = pair();
    let t = termios(s);
    check_eq!((t.c_cflag & abi::CBAUD, t.c_cflag & abi::CSIZE), (abi::B38400, abi::CS8), "speed and size");
    file::write_all(m, b"ab\x7fc\tx\x7f\x7fd\r");
    reads(s, b"acd\n", "an edited line");
    // The tab goes back to where it came from: column 2.
    reads(m, b"ab\x08 \x08c\tx\x08 \x08\x08\x08\x08\x08\x08\x08d\r\n", "its echo");
    file::write_all(m, b"one\n\x04two\x04");
    time::sleep_ms(20);
    let mut buf = [0; 16];
    check_eq!((file::read(s, &mut buf), &buf[..4]), (Ok(4), &b"one\n"[..]), "a line");
    check_eq!(file::read(s, &mut buf), Ok(0), "the end of a file");
    check_eq!((file::read(s, &mut buf), &buf[..3]), (Ok(3), &b"two"[..]), "half a line");
    check_eq!(file::read(s, &mut buf), Err(Errno(EAGAIN)), "no more");
    reads(m, b"one\r\ntwo", "the echo");
    close([s, m]);
}

fn output() {
    let (m, s) = pair();
    let mut t = termios(s);
    t.c_lflag &= !abi::ECHO;
    let cases: [(u32, &[u8], &[u8]); 6] = [
        (abi::OPOST | abi::ONLCR, b"a\nb\r", b"a\r\nb\r"),
        (abi::OPOST | abi::OCRNL, b"\ra\r", b"\na\n"),
        (abi::OPOST | abi::ONOCR | abi::ONLRET, b"\nx\n\ry\r", b"\nx\ny\r"),
        (abi::OPOST | abi::OLCUC, b"\rSmall 1", b"\rSMALL 1"),
        (abi::OPOST | abi::XTABS, b"\rab\tc\t", b"\rab      c       "),
        (abi::ONLCR, b"raw\n\t", b"raw\n\t"),
    ];
    for (flags, written, shown) in cases {
        t.c_oflag = flags;
        set(s, &t);
        check_eq!(file::write(s, written), Ok(written.len()), "write");
        reads(m, shown, "output");
    }
    // The keys that stop output.
    file::write_all(m, b"\x13");
    time::sleep_ms(20);
    check_eq!(file::write(s, b"held"), Err(Errno(EAGAIN)), "stopped");
    file::write_all(m, b"\x11");
    time::sleep_ms(20);
    check_eq!(file::write(s, b"let go"), Ok(6), "started");
    reads(m, b"let go", "what came then");
    check_eq!(ioctl(s, io::TCXONC, 0), Ok(0), "TCOOFF");
    check_eq!(file::write(s, b"held"), Err(Errno(EAGAIN)), "stopped by the program");
    check_eq!(ioctl(s, io::TCXONC, 1), Ok(0), "TCOON");
    check_eq!(ioctl(s, io::TCXONC, 2), Ok(0), "TCIOFF");
    reads(m, b"\x13", "the key that stops whoever types");
    close([s, m]);
}

fn settings() {
    let (m, s) = pair();
    // What is set at one end is seen at both, but a terminal of this kind has eight bits.
    let mut t = termios(m);
    t.c_cflag = abi::B9600 | abi::CS7 | abi::PARENB;
    set(m, &t);
    check_eq!(termios(s).c_cflag, abi::B9600 | abi::CS8 | abi::CREAD, "flags");
    // SAFETY: all zeroes are a `termios2`.
    let mut t2: abi::termios2 = unsafe { core::mem::zeroed() };
    check_eq!(ioctl(s, io::TCGETS2, from_mut(&mut t2).addr()), Ok(0), "TCGETS2");
    check_eq!((t2.c_ispeed, t2.c_ospeed), (9600, 9600), "speeds as numbers");
    file::write_all(m, b"abc\n");
    time::sleep_ms(20);
    check_eq!((get(s, io::FIONREAD), get(s, io::TIOCOUTQ)), (Ok(4), Ok(0)), "bytes that wait");
    check_eq!(ioctl(s, io::TCFLSH, 0), Ok(0), "TCIFLUSH");
    check_eq!(get(s, io::FIONREAD), Ok(0), "none");
    check_eq!(get(s, io::TIOCGETD), Ok(0), "the discipline");
    check_eq!(ioctl(s, io::TCSBRK, 1), Ok(0), "drained");
    check_eq!(ioctl(s, io::TIOCEXCL, 0), Ok(0), "TIOCEXCL");
    check_eq!(get(s, io::TIOCGEXCL), Ok(1), "alone");
    let pid = child(|| {
        let _ = user::process::become_user(1000);
        i32::from(ioctl(m, io::TIOCGPTPEER, file::O_RDWR as usize) == Err(Errno(EBUSY)))
    });
    check_eq!(wait(pid), Ok(WaitStatus::exited(1)), "others may not open it");
    check_eq!(ioctl(s, io::TIOCNXCL, 0), Ok(0), "TIOCNXCL");
    close([s, m]);
}

fn packets() {
    let (m, s) = pair();
    check_eq!((put(m, io::TIOCPKT, 1), get(m, io::TIOCGPKT)), (Ok(0), Ok(1)), "TIOCPKT");
    check_eq!(file::write(s, b"data"), Ok(4), "write");
    reads(m, b"\0data", "data");
    check_eq!(ioctl(s, io::TCFLSH, 0), Ok(0), "TCIFLUSH");
    reads(m, b"\x01", "told of it");
    check_eq!(put(m, io::TIOCPKT, 0), Ok(0), "off");
    close([s, m]);
}

static GOT: AtomicU64 = AtomicU64::new(0);

extern "C" fn note(sig: i32, _: &mut SigInfo, _: &mut UContext) {
    GOT.fetch_or(bit(sig as u32), SeqCst);
}

/// Waits until these signals came.
fn until(signals: u64) -> i32 {
    for _ in 0..400 {
        if GOT.load(SeqCst) & signals == signals {
            return 0;
        }
        time::sleep_ms(5);
    }
    1
}

/// In a child: the leader of a session that has the terminal.
fn lead(s: i32) {
    setsid();
    check_eq!(ioctl(s, io::TIOCSCTTY, 0), Ok(0), "TIOCSCTTY");
    for sig in [SIGINT, SIGWINCH, SIGHUP, SIGCONT] {
        let _ = sigaction(sig, Action::Handle(note), 0, 0);
    }
}

/// The terminal says that its leader is there.
fn ready(m: i32) {
    reads(m, b"ready", "the session");
}

fn keys_and_sizes() {
    let (m, s) = pair();
    let pid = child(|| {
        lead(s);
        file::write_all(s, b"ready");
        until(bit(SIGINT) | bit(SIGWINCH))
    });
    ready(m);
    check_eq!(get(m, io::TIOCGPGRP), Ok(pid), "whose the foreground is");
    check_eq!(get(m, io::TIOCGSID), Ok(pid), "and the session");
    check_eq!(get(s, io::TIOCGPGRP), Err(Errno(25)), "not ours");
    let size: [u16; 4] = [50, 132, 0, 0];
    check_eq!(ioctl(m, io::TIOCSWINSZ, size.as_ptr().addr()), Ok(0), "TIOCSWINSZ");
    let mut seen = [0u16; 4];
    check_eq!(ioctl(s, io::TIOCGWINSZ, seen.as_mut_ptr().addr()), Ok(0), "TIOCGWINSZ");
    check_eq!(seen, size, "the same at both ends");
    file::write_all(m, b"\x03");
    check_eq!(wait(pid), Ok(WaitStatus::exited(0)), "SIGWINCH and SIGINT came");
    reads(m, b"^C", "the key's echo");
    close([s, m]);
}

fn background() {
    let (m, s) = pair();
    let pid = child(|| {
        lead(s);
        let mut t = termios(s);
        t.c_lflag |= abi::TOSTOP;
        set(s, &t);
        let reader = child(|| {
            let _ = setpgid(0, 0);
            i32::from(file::read(s, &mut [0]).is_err())
        });
        let _ = setpgid(reader, reader);
        let stopped = wait4(reader, WSTOPPED).ok().flatten();
        check_eq!(stopped, Some((reader, WaitStatus::stopped(SIGTTIN))), "SIGTTIN");
        let _ = kill(reader, SIGKILL);
        let _ = wait(reader);
        let writer = child(|| {
            let _ = setpgid(0, 0);
            file::write_all(s, b"background");
            0
        });
        let _ = setpgid(writer, writer);
        let stopped = wait4(writer, WSTOPPED).ok().flatten();
        check_eq!(stopped, Some((writer, WaitStatus::stopped(SIGTTOU))), "SIGTTOU");
        // In the foreground it goes on.
        check_eq!(put(s, io::TIOCSPGRP, writer), Ok(0), "TIOCSPGRP");
        let _ = kill(writer, SIGCONT);
        check_eq!(wait(writer), Ok(WaitStatus::exited(0)), "the writer");
        let ignorer = child(|| {
            let _ = setpgid(0, 0);
            let _ = sigaction(SIGTTIN as u32, Action::Ignore, 0, 0);
            i32::from(file::read(s, &mut [0]) == Err(EIO))
        });
        check_eq!(wait(ignorer), Ok(WaitStatus::exited(1)), "who ignores SIGTTIN gets EIO");
        0
    });
    check_eq!(wait(pid), Ok(WaitStatus::exited(0)), "the leader");
    reads(m, b"background", "what the writer wrote");
    close([s, m]);
}

fn ends() {
    let (m, s) = pair();
    let pid = child(|| {
        let _ = file::close(m);
        lead(s);
        file::write_all(s, b"ready");
        let told = until(bit(SIGHUP) | bit(SIGCONT));
        let gone = (file::read(s, &mut [0]), file::write(s, b"x"));
        check_eq!(gone, (Ok(0), Err(EIO)), "a line that was cut");
        check_eq!(file::open(c"/dev/tty", file::O_RDWR, 0), Err(Errno(6)), "no terminal any more");
        told
    });
    ready(m);
    let _ = file::close(s);
    let _ = file::close(m);
    check_eq!(wait(pid), Ok(WaitStatus::exited(0)), "SIGHUP and SIGCONT came");
}

/// Both ends can be watched by epoll.
fn watched() {
    let (m, s) = pair();
    let ep = event::epoll_create(0).unwrap_or(-1);
    for (fd, what) in [(m, "the master"), (s, "the other end")] {
        let e = event::Event::new(event::ev::IN, fd as u64);
        check_eq!(event::epoll_ctl(ep, event::EPOLL_CTL_ADD, fd, e), Ok(0), "{what} can be watched");
    }
    file::write_all(s, b"news");
    let told = event::epoll_wait::<2>(ep, 1000);
    check_eq!(told, Ok((1, [(event::ev::IN, m as u64), (0, 0)])), "the master has something to read");
    let _ = file::close(ep);
    close([m, s]);
}

fn run() {
    with_devpts(|| {
        nodes();
        lines();
        output();
        settings();
        packets();
        keys_and_sizes();
        background();
        ends();
        watched();
    });
}
