// SPDX-License-Identifier: GPL-2.0-only
//! QEMU's gdb stub, as far as the proofs need it: breakpoints, steps, registers, memory, and
//! QEMU's monitor, all while the machine stands still. The protocol is that of gdb's manual,
//! appendix E; the registers' layout that of QEMU's `gdb-xml/i386-64bit.xml`.

use crate::qemu::{self, Machine};
use anyhow::{Context, Result, bail, ensure};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

/// The registers that a proof compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Registers {
    /// RAX, RBX, RCX, RDX, RSI, RDI, RBP, RSP, R8 … R15.
    pub general: [u64; 16],
    pub rip: u64,
    pub rflags: u32,
    /// CS, SS, DS, ES, FS, GS.
    pub segments: [u32; 6],
    pub fs_base: u64,
    pub gs_base: u64,
    /// What `swapgs` exchanges with it.
    pub kernel_gs_base: u64,
    pub cr2: u64,
}

impl Registers {
    /// RSP.
    pub fn rsp(&self) -> u64 {
        self.general[7]
    }
    /// RDI.
    pub fn rdi(&self) -> u64 {
        self.general[5]
    }

    fn parse(hex: &str) -> Result<Self> {
        let bytes = from_hex(hex)?;
        let mut at = 0;
        let mut take = |n: usize| -> Result<u64> {
            let piece = bytes.get(at..at + n).context("the stub sent too few registers")?;
            at += n;
            Ok(piece.iter().rev().fold(0, |v, b| v << 8 | u64::from(*b)))
        };
        let mut general = [0; 16];
        for r in &mut general {
            *r = take(8)?;
        }
        let rip = take(8)?;
        let rflags = take(4)? as u32;
        let mut segments = [0; 6];
        for s in &mut segments {
            *s = take(4)? as u32;
        }
        let (fs_base, gs_base, kernel_gs_base) = (take(8)?, take(8)?, take(8)?);
        take(8)?;
        let cr2 = take(8)?;
        Ok(Self { general, rip, rflags, segments, fs_base, gs_base, kernel_gs_base, cr2 })
    }
}

fn from_hex(digits: &str) -> Result<Vec<u8>> {
    hex::decode(digits).with_context(|| format!("no digits from the stub: {digits}"))
}

/// A machine that obeys the stub, standing still at first. It ends with this value.
pub struct Debugged {
    child: Child,
    stream: UnixStream,
    /// What was received and not yet read.
    input: Vec<u8>,
    console: std::path::PathBuf,
    _dir: tempfile::TempDir,
}

impl Drop for Debugged {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Debugged {
    /// Starts a machine that stands before its first instruction.
    pub fn start(machine: &Machine) -> Result<Self> {
        let dir = tempfile::tempdir().context("cannot make a temporary directory; is the disk full?")?;
        let (socket, console) = (dir.path().join("gdb"), dir.path().join("console"));
        let child = qemu::spawn_debugged(machine, &socket, &console)?;
        let stream = connect(&socket)?;
        stream.set_read_timeout(Some(Duration::from_millis(200)))?;
        let mut d = Self { child, stream, input: Vec::new(), console, _dir: dir };
        d.command("?")?;
        Ok(d)
    }

    /// What the first serial port carried so far.
    pub fn console(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.console).unwrap_or_default()).into_owned()
    }

    fn send(&mut self, packet: &str) -> Result<()> {
        let sum = packet.bytes().fold(0u8, u8::wrapping_add);
        write!(self.stream, "${packet}#{sum:02x}").context("the machine is gone")
    }

    /// The next packet; `None` if none has come by `deadline`.
    fn receive(&mut self, deadline: Instant) -> Result<Option<String>> {
        loop {
            if let Some(start) = self.input.iter().position(|&b| b == b'$')
                && let Some(len) = self.input[start..].iter().position(|&b| b == b'#')
                && self.input.len() >= start + len + 3
            {
                let packet = String::from_utf8_lossy(&self.input[start + 1..start + len]).into_owned();
                self.input.drain(..start + len + 3);
                self.stream.write_all(b"+").context("the machine is gone")?;
                return Ok(Some(packet));
            }
            if Instant::now() > deadline {
                return Ok(None);
            }
            let mut buffer = [0; 4096];
            match self.stream.read(&mut buffer) {
                Ok(0) => bail!("the machine has ended; its console:\n{}", self.console()),
                Ok(n) => self.input.extend_from_slice(&buffer[..n]),
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(e) => return Err(e).context("the machine is gone"),
            }
        }
    }

    fn command(&mut self, packet: &str) -> Result<String> {
        self.send(packet)?;
        let reply = self.receive(Instant::now() + Duration::from_secs(10))?;
        reply.with_context(|| format!("no answer to {packet}"))
    }

    fn ok(&mut self, packet: &str) -> Result<()> {
        let reply = self.command(packet)?;
        ensure!(reply == "OK", "{packet}: {reply}");
        Ok(())
    }

    /// The registers.
    pub fn registers(&mut self) -> Result<Registers> {
        let reply = self.command("g")?;
        Registers::parse(&reply)
    }

    /// Memory as the CPU sees it now.
    pub fn read(&mut self, addr: u64, len: usize) -> Result<Vec<u8>> {
        // More does not fit into one of QEMU's packets.
        const MOST: usize = 1024;
        let mut bytes = Vec::with_capacity(len);
        while bytes.len() < len {
            let (at, piece) = (addr + bytes.len() as u64, (len - bytes.len()).min(MOST));
            let reply = self.command(&format!("m{at:x},{piece:x}"))?;
            ensure!(!reply.starts_with('E') && reply.len() == 2 * piece, "no memory at {at:#x}: {reply}");
            bytes.extend(from_hex(&reply)?);
        }
        Ok(bytes)
    }

    /// A word of it.
    pub fn word(&mut self, addr: u64) -> Result<u64> {
        let bytes = self.read(addr, 8)?;
        Ok(u64::from_le_bytes(bytes.try_into().ok().context("too few bytes")?))
    }

    /// Words of it, in order.
    pub fn words(&mut self, addr: u64, count: usize) -> Result<Vec<u64>> {
        let bytes = self.read(addr, 8 * count)?;
        Ok(bytes.as_chunks().0.iter().map(|w| u64::from_le_bytes(*w)).collect())
    }

    /// Writes memory, read-only or not.
    pub fn write(&mut self, addr: u64, bytes: &[u8]) -> Result<()> {
        self.ok(&format!("M{addr:x},{:x}:{}", bytes.len(), hex::encode(bytes)))
    }

    /// The machine stands still when it comes to `addr`.
    pub fn insert(&mut self, addr: u64) -> Result<()> {
        self.ok(&format!("Z1,{addr:x},1"))
    }

    /// And no longer.
    pub fn remove(&mut self, addr: u64) -> Result<()> {
        self.ok(&format!("z1,{addr:x},1"))
    }

    /// Lets it run until a breakpoint: its registers there. `None`: it ran for `limit` and was
    /// stopped where it happened to be.
    pub fn run(&mut self, limit: Duration) -> Result<Option<Registers>> {
        self.send("c")?;
        if self.receive(Instant::now() + limit)?.is_some() {
            return self.registers().map(Some);
        }
        self.stream.write_all(&[3]).context("the machine is gone")?;
        let stopped = self.receive(Instant::now() + Duration::from_secs(10))?;
        stopped.context("the machine does not stop")?;
        Ok(None)
    }

    /// Runs to `addr`, within `limit`, where nothing else is in the way.
    pub fn run_to(&mut self, addr: u64, limit: Duration) -> Result<Registers> {
        self.insert(addr)?;
        let r = self.run(limit)?;
        self.remove(addr)?;
        match r {
            Some(r) if r.rip == addr => Ok(r),
            Some(r) => bail!("stopped at {:#x}, not at {addr:#x}", r.rip),
            None => bail!("never came to {addr:#x}; the console:\n{}", self.console()),
        }
    }

    /// Runs until the console has said something, within `limit`.
    pub fn run_until_said(&mut self, text: &str, limit: Duration) -> Result<()> {
        let deadline = Instant::now() + limit;
        while !self.console().contains(text) {
            self.run(Duration::from_millis(200))?;
            ensure!(Instant::now() < deadline, "no word of {text:?}; the console:\n{}", self.console());
        }
        Ok(())
    }

    /// One instruction, without interrupts.
    pub fn step(&mut self) -> Result<Registers> {
        self.command("s")?;
        self.registers()
    }

    /// A line for QEMU's monitor; what it says.
    pub fn monitor(&mut self, line: &str) -> Result<String> {
        self.send(&format!("qRcmd,{}", hex::encode(line.as_bytes())))?;
        let mut said = String::new();
        loop {
            let reply = self.receive(Instant::now() + Duration::from_secs(10))?.context("no answer")?;
            match reply.strip_prefix('O') {
                Some(hex) if reply != "OK" => said += &String::from_utf8_lossy(&from_hex(hex)?),
                _ => return Ok(said),
            }
        }
    }

    /// Has an NMI wait for the CPU's next instruction boundary.
    pub fn inject_nmi(&mut self) -> Result<()> {
        let said = self.monitor("nmi")?;
        ensure!(said.trim().is_empty(), "nmi: {said}");
        Ok(())
    }
}

fn connect(socket: &Path) -> Result<UnixStream> {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        match UnixStream::connect(socket) {
            Ok(stream) => return Ok(stream),
            Err(_) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(5)),
            Err(e) => return Err(e).context("QEMU's gdb stub does not answer"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_are_found() {
        let mut hex = String::new();
        for i in 0..17u64 {
            hex += &hex::encode((i + 0x100).to_le_bytes());
        }
        hex += &hex::encode(0x246u32.to_le_bytes());
        for s in [0x10u32, 0x18, 0, 0, 0, 0] {
            hex += &hex::encode(s.to_le_bytes());
        }
        for v in [1u64, 2, 3, 4, 5, 6] {
            hex += &hex::encode(v.to_le_bytes());
        }
        let r = Registers::parse(&hex).unwrap();
        assert_eq!((r.rsp(), r.rip, r.rflags, r.segments[0]), (0x107, 0x110, 0x246, 0x10));
        assert_eq!((r.fs_base, r.gs_base, r.kernel_gs_base, r.cr2), (1, 2, 3, 5));
        assert!(Registers::parse("00").is_err() && Registers::parse("zz").is_err());
    }
}
