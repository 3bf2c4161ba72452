// SPDX-License-Identifier: GPL-2.0-only
//! What two kernels say of the same fault, in a form that is the same for both: every rule has its reason
//! beside it.

/// Brings what a kernel says into a common form, line by line.
#[derive(Debug, Default)]
pub(super) struct Normaliser {
    /// The fault is one of fetching an instruction that is not at address 0.
    wild_jump: bool,
    /// Registers are those of user mode.
    user: bool,
    /// In a call trace: the last function that was kept.
    trace: Option<String>,
}

/// Functions that every trace of a provoked fault must show. Others between the crash and the
/// entry are each kernel's own (how a write finds its file) or the compiler's (an `lkdtm_NAME`
/// whose last act is a call is not on the stack), and are not written.
const PATH: [&str; 7] = [
    "execute_location",
    "recursive_loop",
    "direct_entry",
    "panic",
    "dump_stack_lvl",
    "do_syscall_64",
    "entry_SYSCALL_64_after_hwframe",
];

/// Registers of user mode that the system call determines: the rest is the compiler's, which
/// makes another program of another version. The program is the same on both kernels.
const OF_THE_CALL: [&str; 9] = ["RAX:", "RCX:", "RDX:", "RSI:", "RDI:", "R08:", "R09:", "R10:", "R11:"];

impl Normaliser {
    /// A line in the common form; `None` for one that belongs to another (see [`PATH`]).
    pub(super) fn line(&mut self, line: &str) -> Option<String> {
        // lkdtm is a module on Debian's kernel; gcc splits cold code off.
        let line = line.replace(" [lkdtm]", "").replace(".cold+", "+");
        if line == " <TASK>" || line == " </TASK>" {
            self.trace = (line == " <TASK>").then(String::new);
            self.user = false;
            return Some(line);
        }
        if line.starts_with("RIP: 0033:") {
            self.user = true;
        }
        if self.user && self.wild_jump {
            // After a jump to nowhere Linux's unwinder guesses to the end (each of its lines has
            // a `?`) and does not come by the entry's registers; one by frame pointers does.
            return None;
        }
        if self.trace.is_some() && !self.user {
            return self.traced(&line);
        }
        let word = line.split(' ').next().unwrap_or_default();
        Some(match word {
            "CPU:" => who(&line),
            "Hardware" => firmware(&line),
            // A module's name here, none there.
            "Modules" => "Modules linked in:".into(),
            "RIP:" => self.place(&line),
            "Code:" => self.code(&line),
            "RSP:" => self.stack_pointer(&line),
            "RAX:" | "RDX:" | "RBP:" | "R10:" | "R13:" => self.registers(&line),
            "FS:" => bases(&line),
            "CS:" => line,
            "CR2:" => control(&line),
            "PGD" => walk(&line),
            "#PF:" => {
                self.wild_jump |= line.contains("instruction fetch");
                line
            }
            "Kernel" if line.starts_with("Kernel Offset: ") => "Kernel Offset: WHERE".into(),
            "WARNING:" | "kernel" => source(&line),
            "note:" => number_in_brackets(&line),
            _ => general(&line),
        })
    }

    /// A line of a call trace. Offsets are the compiler's. Lines with `?` are what the kernel
    /// itself calls unreliable, left from calls before: of them only [`PATH`] counts, for an
    /// unwinder that has lost the thread has nothing else. Repetitions are one: how many frames
    /// fit a stack is the compiler's.
    fn traced(&mut self, line: &str) -> Option<String> {
        let name = line.trim_start().trim_start_matches("? ");
        let name = name.split('+').next().unwrap_or(name);
        let last = self.trace.as_mut()?;
        if !PATH.contains(&name) || last == name {
            return None;
        }
        name.clone_into(last);
        Some(format!(" {name}"))
    }

    /// `RIP: 0010:function+0x1/0x2`, or an address.
    fn place(&mut self, line: &str) -> String {
        let Some((selector, place)) = line.rsplit_once(':') else { return line.to_owned() };
        if place == "0x0" {
            self.wild_jump = false;
            return line.to_owned();
        }
        let place = match place.split_once('+') {
            // Data, of which only a module's has symbols.
            Some((_, offset)) if self.wild_jump && offset.starts_with("0x0/") => "KERNEL".to_owned(),
            Some((function, _)) => function.to_owned(),
            None => address(place.trim_start_matches("0x")),
        };
        format!("{selector}:{place}")
    }

    /// The bytes of code are the compiler's. In user mode the marked one is behind `syscall`.
    fn code(&self, line: &str) -> String {
        if let Some((front, at)) = line.split_once(" at 0x") {
            return format!("{front} at {}", address(at.trim_end_matches('.')));
        }
        let bytes: Vec<&str> = line.split(' ').collect();
        let marked = bytes.iter().position(|b| b.starts_with('<')).unwrap_or(0);
        let shape = format!("{} bytes before", marked.saturating_sub(1));
        match (self.user, bytes.get(marked.saturating_sub(2)..marked)) {
            (true, Some(before)) => format!("Code: {shape}: {}", before.join(" ")),
            _ => format!("Code: {shape}, {} behind", bytes.len() - marked - 1),
        }
    }

    /// Of the flags, those of arithmetic are the compiler's.
    fn stack_pointer(&self, line: &str) -> String {
        let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        if let Some((selector, at)) = words.get(1).and_then(|word| word.split_once(':')) {
            words[1] = format!("{selector}:{}", address(at));
        }
        if let (false, Some(flags)) = (self.user, words.get(3).and_then(|w| u64::from_str_radix(w, 16).ok()))
        {
            words[3] = format!("{:08x}", flags & !0x8d5);
        }
        words.join(" ")
    }

    /// The kernel's registers are the compiler's business; see [`OF_THE_CALL`] for user mode's.
    fn registers(&self, line: &str) -> String {
        let words: Vec<&str> = line.split(' ').collect();
        let pair = |pair: &[&str]| match pair {
            [name, value] if self.user && OF_THE_CALL.contains(name) => format!("{name} {}", address(value)),
            [name, _] => format!("{name} VALUE"),
            other => other.join(" "),
        };
        words.chunks(2).map(pair).collect::<Vec<_>>().join(" ")
    }
}

/// `CPU: 0 PID: 79 Comm: provoke Tainted: G      D    OE      6.1.0-… #1 …`: process ids, releases
/// and versions differ, and the module that lkdtm is on Debian's kernel taints it (`O`, `E`).
fn who(line: &str) -> String {
    let (front, taint) = match line.split_once("Tainted: ") {
        Some((front, rest)) => (front, rest.get(..19).unwrap_or(rest)),
        None => (line.split("Not tainted").next().unwrap_or(line), "G"),
    };
    let letters: String = taint.chars().filter(|c| !matches!(c, ' ' | 'O' | 'E')).collect();
    let taint = if letters == "G" { "Not tainted".to_owned() } else { format!("Tainted: {letters}") };
    let mut words: Vec<&str> = front.split_whitespace().collect();
    if let Some(pid) = words.iter().position(|word| *word == "PID:").and_then(|at| words.get_mut(at + 1)) {
        *pid = "N";
    }
    format!("{} {taint} RELEASE", words.join(" "))
}

/// The firmware is the host's QEMU's.
fn firmware(line: &str) -> String {
    let machine = line.split(", BIOS ").next().unwrap_or(line);
    if machine == line { line.to_owned() } else { format!("{machine}, BIOS VERSION DATE") }
}

/// `FS:  BASE(selector) GS:BASE(selector) knlGS:BASE`: the kernel's own base is where its per-CPU
/// data are.
fn bases(line: &str) -> String {
    let word = |word: &str| match word.split_once(':') {
        Some((name, base)) if base.len() >= 16 => format!("{name}:{}{}", address(&base[..16]), &base[16..]),
        _ if word.len() >= 16 => format!("{}{}", address(&word[..16]), &word[16..]),
        _ => word.to_owned(),
    };
    line.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

/// `CR2: … CR3: … CR4: …`: page tables lie anywhere. Debian's kernel has FSGSBASE and no machine
/// checks in CR4, this one the reverse (`docs/DIFFERENCES.md`).
fn control(line: &str) -> String {
    const FSGSBASE_AND_MCE: u64 = 1 << 16 | 1 << 6;
    let words: Vec<&str> = line.split(' ').collect();
    let pair = |pair: &[&str]| match pair {
        ["CR3:", _] => "CR3: TABLES".to_owned(),
        ["CR4:", value] => {
            let value = u64::from_str_radix(value, 16).unwrap_or(0);
            format!("CR4: {:016x}", value & !FSGSBASE_AND_MCE)
        }
        [name, value] => format!("{name} {}", address(value)),
        other => other.join(" "),
    };
    words.chunks(2).map(pair).collect::<Vec<_>>().join(" ")
}

/// `PGD … P4D … PUD … PMD … PTE …`: of the page tables what is at the end of the walk, and of that
/// what it allows. Where the page is, how deep the tables are there already, and whether the
/// mapping is a large one (PSE) is each kernel's own, and so are the bits that the CPU ignores.
fn walk(line: &str) -> String {
    const RIGHTS: u64 = 0x8000_0000_0000_017f;
    let last = line.split_whitespace().next_back().and_then(|word| u64::from_str_radix(word, 16).ok());
    match last {
        Some(0) => "PGD … 0".into(),
        Some(entry) => format!("PGD … {:016x}", entry & RIGHTS),
        None => line.to_owned(),
    }
}

/// `WARNING: … at FILE:LINE FUNCTION+…` and `kernel BUG at FILE:LINE!`: sources are elsewhere.
fn source(line: &str) -> String {
    let Some((front, rest)) = line.split_once(" at ") else { return general(line) };
    let Some(function) = rest.split_once(' ').map(|(_, function)| function) else {
        return format!("{front} at SOURCE!");
    };
    let mut words: Vec<&str> = front.split(' ').collect();
    if let Some(pid) = words.iter().position(|word| *word == "PID:").and_then(|at| words.get_mut(at + 1)) {
        *pid = "N";
    }
    format!("{} at SOURCE {}", words.join(" "), function.split('+').next().unwrap_or(function))
}

/// `note: provoke[82] exited …`.
fn number_in_brackets(line: &str) -> String {
    match (line.split_once('['), line.split_once(']')) {
        (Some((front, _)), Some((_, back))) => format!("{front}[N]{back}"),
        _ => line.to_owned(),
    }
}

/// Any other line: addresses by what they are of, and how many bytes a function has.
fn general(line: &str) -> String {
    let hashed = line.starts_with("BUG: TASK stack guard page");
    let word = |word: &str| {
        let hex = word.len() >= 16 && word.chars().take(16).all(|c| c.is_ascii_hexdigit());
        match word.get(16..) {
            // Linux hashes these; each boot has its own key.
            _ if hashed && word.contains("..") => "HASHED..HASHED)".to_owned(),
            Some(rest) if hex && hashed => format!("HASHED{rest}"),
            Some(rest) if hex => format!("{}{rest}", address(&word[..16])),
            _ => word.to_owned(),
        }
    };
    let line = line.split(' ').map(word).collect::<Vec<_>>().join(" ");
    match line
        .split_once("attempting bad ")
        .and_then(|(front, rest)| Some((front, rest.split_once(" byte ")?)))
    {
        Some((front, (_, rest))) => format!("{front}attempting bad SIZE byte {rest}"),
        None => line,
    }
}

/// An address or another number: exact if it is small (a NULL pointer's neighbourhood, a
/// descriptor, a count) or the end of the address space, else what it is an address of.
fn address(text: &str) -> String {
    let Ok(value) = u64::from_str_radix(text, 16) else { return text.to_owned() };
    match value {
        0..0x1000 | 0xffff_ffff_ffff_f000.. => text.to_owned(),
        0x40_0000..0x80_0000 => "PROGRAM".into(),
        0x7fff_fff0_0000..0x8000_0000_0000 => "STACK".into(),
        0x8000_0000_0000.. => "KERNEL".into(),
        _ => "USER".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normalised(lines: &[&str]) -> Vec<String> {
        let mut n = Normaliser::default();
        lines.iter().filter_map(|line| n.line(line)).collect()
    }

    #[test]
    fn who_it_was() {
        let linux = "CPU: 0 PID: 79 Comm: provoke Tainted: G           OE      6.1.0-56 #1  Debian";
        let here = "CPU: 0 PID: 3 Comm: provoke Not tainted 6.1.0-trapline #1";
        assert_eq!(who(linux), "CPU: 0 PID: N Comm: provoke Not tainted RELEASE");
        assert_eq!(who(here), who(linux));
        let dead = "CPU: 0 PID: 8 Comm: provoke Tainted: G      D W          6.1.0-trapline #1";
        assert_eq!(who(dead), "CPU: 0 PID: N Comm: provoke Tainted: GDW RELEASE");
    }

    #[test]
    fn registers_by_whose_they_are() {
        let kernel = normalised(&["RSP: 0018:ffffc92000017df0 EFLAGS: 00010286", "RAX: 01 RBX: 02 RCX: 03"]);
        assert_eq!(kernel, ["RSP: 0018:KERNEL EFLAGS: 00010202", "RAX: VALUE RBX: VALUE RCX: VALUE"]);
        let user = normalised(&[
            "RIP: 0033:0x4015a6",
            "Code: cc 0f 05 <48> 3d",
            "RSP: 002b:00007fffffffec30 EFLAGS: 00000246 ORIG_RAX: 0000000000000001",
            "RAX: ffffffffffffffda RBX: 00007fffffffec58 RCX: 00000000004015a6",
        ]);
        assert_eq!(user[0], "RIP: 0033:PROGRAM");
        assert_eq!(user[1], "Code: 3 bytes before: 0f 05");
        assert_eq!(user[2], "RSP: 002b:STACK EFLAGS: 00000246 ORIG_RAX: 0000000000000001");
        assert_eq!(user[3], "RAX: ffffffffffffffda RBX: VALUE RCX: PROGRAM");
    }

    #[test]
    fn control_registers_and_page_tables() {
        assert_eq!(
            control("CR2: ffffd0d2c059ba18 CR3: 000000001ff08000 CR4: 0000000000750eb0"),
            "CR2: KERNEL CR3: TABLES CR4: 0000000000740eb0"
        );
        assert_eq!(control("CR2: 0000000000000000"), "CR2: 0000000000000000");
        assert_eq!(walk("PGD 17067 P4D 17067 PUD 1f067 PMD 0 "), "PGD … 0");
        assert_eq!(walk("PGD 1067 PUD 2067 PMD 80000000024001e3"), "PGD … 8000000000000163");
    }

    #[test]
    fn segment_bases() {
        assert_eq!(
            bases("FS:  0000000000000000(0000) GS:ffff8cd45f000000(0000) knlGS:0000000000000000"),
            "FS:  0000000000000000(0000) GS:KERNEL(0000) knlGS:0000000000000000"
        );
    }

    #[test]
    fn traces_keep_the_path() {
        let linux = normalised(&[
            " <TASK>",
            " direct_entry.cold+0x18/0x24 [lkdtm]",
            " vfs_write+0xc7/0x3f0",
            " ? do_set_pte+0x18e/0x1e0",
            " do_syscall_64+0x5d/0x90",
            " ? do_syscall_64+0x69/0x90",
            " </TASK>",
        ]);
        assert_eq!(linux, [" <TASK>", " direct_entry", " do_syscall_64", " </TASK>"]);
    }

    #[test]
    fn after_a_wild_jump() {
        let lines = |place: &str| {
            normalised(&[
                "#PF: supervisor instruction fetch in kernel mode",
                place,
                " <TASK>",
                " ? execute_location+0x49/0x57",
                "RIP: 0033:0x4015a6",
                "RAX: 01 RBX: 02 RCX: 03",
                " </TASK>",
            ])
        };
        let wild = lines("RIP: 0010:data_area+0x0/0xffffffffffff76e0 [lkdtm]");
        assert_eq!(wild[1..], ["RIP: 0010:KERNEL", " <TASK>", " execute_location", " </TASK>"]);
        assert_eq!(lines("RIP: 0010:0xffffffff8025b348"), wild);
        assert_eq!(lines("RIP: 0010:0x0").len(), 7);
    }

    #[test]
    fn other_lines() {
        assert_eq!(
            general("BUG: unable to handle page fault for address: 00007ffff7ff8000"),
            "BUG: unable to handle page fault for address: USER"
        );
        assert_eq!(
            general("lkdtm: attempting bad 6606 byte write at ffffffffc03b957e"),
            "lkdtm: attempting bad SIZE byte write at KERNEL"
        );
        assert_eq!(
            general(
                "BUG: TASK stack guard page was hit at 000000000d1c4394 (stack is 00000000a069273b..0000000023908274)"
            ),
            "BUG: TASK stack guard page was hit at HASHED (stack is HASHED..HASHED)"
        );
        assert_eq!(
            source("WARNING: CPU: 0 PID: 80 at /a/bugs.c:85 lkdtm_WARNING+0x13/0x20"),
            "WARNING: CPU: 0 PID: N at SOURCE lkdtm_WARNING"
        );
        assert_eq!(
            firmware("Hardware name: QEMU PC, BIOS 1 04/01/2014"),
            "Hardware name: QEMU PC, BIOS VERSION DATE"
        );
        assert_eq!(number_in_brackets("note: provoke[82] exited"), "note: provoke[N] exited");
    }
}
