// SPDX-License-Identifier: GPL-2.0-only
//! The command line: parameters of the kernel, words for `/init`
//! (Linux 6.1, `lib/cmdline.c` `next_arg`, `kernel/params.c` `parse_args`,
//! `init/main.c` `unknown_bootoption`).

use crate::locking::SpinLock;
use alloc::vec::Vec;

/// The place of the last word, and of the last variable, that init gets (`MAX_INIT_ARGS`,
/// `MAX_INIT_ENVS`). Init's name is at place 0 of its words.
const MAX_INIT: usize = 32;

/// One word: `name` or `name=value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Param {
    /// What stands before the `=`.
    pub name: Vec<u8>,
    /// What stands after it, without quotes.
    pub value: Option<Vec<u8>>,
}

impl Param {
    /// As one word again.
    fn joined(&self) -> Vec<u8> {
        let mut w = self.name.clone();
        if let Some(v) = &self.value {
            w.push(b'=');
            w.extend_from_slice(v);
        }
        w
    }
}

/// A command line, taken apart.
#[derive(Debug, Default)]
pub struct Parsed {
    /// What stands before ` -- `.
    pub params: Vec<Param>,
    /// Words for init, without its name.
    pub init_args: Vec<Vec<u8>>,
    /// Variables for init.
    pub init_env: Vec<Vec<u8>>,
    /// What init was to get more of ("init" for words, "env" for variables) and the first
    /// parameter that found no place. Nothing is kept after it, and the boot ends with it.
    pub too_many: Option<(&'static str, Vec<u8>)>,
    /// How many of `init_args` were before ` -- `.
    before_dashes: usize,
}

/// Names that boot loaders add, which are for nobody (`unknown_bootoption`).
const BOOT_LOADERS: [&[u8]; 2] = [b"BOOT_IMAGE=", b"kexec"];
/// Variables that init always gets.
const ENV: [&[u8]; 2] = [b"HOME=/", b"TERM=linux"];

/// Whether two names are the same, `-` and `_` being one (`parameq`).
pub fn parameq(a: &[u8], b: &[u8]) -> bool {
    let dash = |&c: &u8| if c == b'-' { b'_' } else { c };
    a.len() == b.len() && a.iter().map(dash).eq(b.iter().map(dash))
}

/// White space as C's `isspace` sees it.
const fn is_space(c: u8) -> bool {
    matches!(c, b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r' | 0xa0)
}

/// Takes the first word of a line without leading blanks: the word, and the rest.
fn next_arg(line: &[u8]) -> (Param, &[u8]) {
    let quoted = line.first() == Some(&b'"');
    let args = if quoted { &line[1..] } else { line };
    let mut in_quote = quoted;
    let mut equals = None;
    let mut end = args.len();
    for (i, &c) in args.iter().enumerate() {
        if is_space(c) && !in_quote {
            end = i;
            break;
        }
        if equals.is_none() && c == b'=' {
            equals = Some(i);
        }
        if c == b'"' {
            in_quote = !in_quote;
        }
    }
    let mut word = &args[..end];
    let rest = args.get(end + 1..).unwrap_or(&[]);
    let value = equals.filter(|&e| e != 0).map(|e| {
        let v = &word[e + 1..];
        match v.strip_prefix(b"\"") {
            Some(v) => v.strip_suffix(b"\"").unwrap_or(v),
            None => v,
        }
    });
    // A quote around the whole word ends at its end.
    let value = value.map(|v| if quoted { v.strip_suffix(b"\"").unwrap_or(v) } else { v }.to_vec());
    if quoted && value.is_none() {
        word = word.strip_suffix(b"\"").unwrap_or(word);
    }
    let name = equals.filter(|&e| e != 0).map_or(word, |e| &word[..e]);
    (Param { name: name.to_vec(), value }, rest)
}

fn skip_spaces(line: &[u8]) -> &[u8] {
    let n = line.iter().take_while(|&&c| is_space(c)).count();
    &line[n..]
}

/// Names that Linux has a use for, so that init does not see them, whether or not
/// there is anything here that they could change.
const KNOWN: &[&[u8]] = &[
    b"acpi",
    b"apic",
    b"audit",
    b"clocksource",
    b"console",
    b"debug",
    b"disable_mtrr_cleanup",
    b"dmesg_restrict",
    b"eagerfpu",
    b"early_ioremap_debug",
    b"earlycon",
    b"earlyprintk",
    b"exec_shield",
    b"hpet",
    b"idle",
    b"ignore_loglevel",
    b"init",
    b"initrd",
    b"init_on_alloc",
    b"init_on_free",
    b"kaslr",
    b"lapic",
    b"log_buf_len",
    b"loglevel",
    b"lpj",
    b"maxcpus",
    b"mce",
    b"mem",
    b"memmap",
    b"ignore_rlimit_data",
    b"mitigations",
    b"no387",
    b"noacpi",
    b"noapic",
    b"noexec",
    b"nofxsr",
    b"nohz",
    b"noinitrd",
    b"nokaslr",
    b"nolapic",
    b"nomce",
    b"nompx",
    b"nopcid",
    b"nopku",
    b"nopti",
    b"norandmaps",
    b"nosmap",
    b"nosmep",
    b"nosmp",
    b"nospectre_v1",
    b"nospectre_v2",
    b"notsc",
    b"noxsave",
    b"noxsaveopt",
    b"noxsaves",
    b"no_timer_check",
    b"nr_cpus",
    b"oops",
    b"panic",
    b"panic_on_oops",
    b"panic_on_warn",
    b"pci",
    b"print_fatal_signals",
    b"pti",
    b"quiet",
    b"randomize_kstack_offset",
    b"rdinit",
    b"reboot",
    b"ro",
    b"root",
    b"rootdelay",
    b"rootflags",
    b"rootfstype",
    b"rootwait",
    b"rw",
    b"slub_debug",
    b"spectre_v2",
    b"tsc",
    b"tsc_early_khz",
    b"unknown_nmi_panic",
    b"vsyscall",
    b"vdso",
    b"x2apic_phys",
    b"clearcpuid",
    b"print-fatal-signals",
];

impl Parsed {
    /// Takes a command line apart. Never fails: any bytes are some parameters. `taken` says
    /// whether some part of the kernel has a use for a parameter.
    pub fn new(line: &[u8], mut taken: impl FnMut(&Param) -> bool) -> Self {
        let mut p = Self { init_env: ENV.map(<[u8]>::to_vec).into(), ..Self::default() };
        let line = line.split(|&b| b == 0).next().unwrap_or(&[]);
        let mut rest = skip_spaces(line);
        let mut behind = &[][..];
        while !rest.is_empty() {
            let (param, r) = next_arg(rest);
            rest = skip_spaces(r);
            if param.value.is_none() && param.name == b"--" {
                behind = rest;
                break;
            }
            let known = taken(&param);
            p.take_param(param, known);
        }
        p.before_dashes = p.init_args.len();
        p.take_init_args(behind);
        p
    }

    fn take_param(&mut self, param: Param, taken: bool) {
        if parameq(&param.name, b"init") || parameq(&param.name, b"rdinit") {
            // Words before it were meant for another loader.
            self.init_args.clear();
        }
        let known = taken || KNOWN.iter().any(|k| parameq(k, &param.name));
        // A dot names a module's parameter, which is not there.
        if !known && !param.name.contains(&b'.') {
            self.take_unknown(&param);
        }
        self.params.push(param);
    }

    fn take_unknown(&mut self, param: &Param) {
        let word = param.joined();
        if BOOT_LOADERS.iter().any(|b| word.starts_with(b)) || self.too_many.is_some() {
            return;
        }
        if param.value.is_none() {
            self.push_arg(word);
            return;
        }
        let same = |e: &Vec<u8>| e.starts_with(&param.name) && e.get(param.name.len()) == Some(&b'=');
        match self.init_env.iter().position(same) {
            Some(at) if at < MAX_INIT => self.init_env[at] = word,
            None if self.init_env.len() <= MAX_INIT => self.init_env.push(word),
            _ => self.too_many = Some(("env", word)),
        }
    }

    fn take_init_args(&mut self, mut rest: &[u8]) {
        while !rest.is_empty() {
            let (param, r) = next_arg(rest);
            rest = skip_spaces(r);
            self.push_arg(param.joined());
        }
    }

    fn push_arg(&mut self, word: Vec<u8>) {
        if self.too_many.is_some() {
            return;
        }
        if self.init_args.len() < MAX_INIT {
            self.init_args.push(word);
        } else {
            self.too_many = Some(("init", word));
        }
    }

    /// What nobody in the kernel has a use for, as `print_unknown_bootoptions` shows it:
    /// words before ` -- `, then variables. `None`: nothing to show.
    pub fn unknown(&self) -> Option<Vec<u8>> {
        let words = self.init_args.iter().take(self.before_dashes);
        let all: Vec<&[u8]> = words.chain(self.init_env.iter().skip(ENV.len())).map(Vec::as_slice).collect();
        (self.too_many.is_none() && !all.is_empty()).then(|| all.join(&b' '))
    }

    /// The last value given to `name`; empty if it stood there without one.
    pub fn value(&self, name: &str) -> Option<&[u8]> {
        let p = self.params.iter().rev().find(|p| parameq(&p.name, name.as_bytes()))?;
        Some(p.value.as_deref().unwrap_or(&[]))
    }
}

static BOOT: SpinLock<Option<Parsed>> = SpinLock::new(None);

/// Takes the boot command line apart, and lets the parts of the kernel that have parameters take theirs.
pub fn parse(line: &[u8]) {
    let parsed = Parsed::new(line, |p| {
        let text = |b| core::str::from_utf8(b).ok();
        let value = p.value.as_deref().and_then(text);
        text(&p.name).is_some_and(|name| crate::kernel::panic::setup_param(name, value))
    });
    *BOOT.lock() = Some(parsed);
}

/// Says what is for init, because nobody here knows it.
pub fn print_unknown_bootoptions() {
    if let Some(unknown) = BOOT.lock().as_ref().and_then(Parsed::unknown) {
        crate::pr_notice!(
            "Unknown kernel command line parameters \"{}\", will be passed to user space.\n",
            alloc::string::String::from_utf8_lossy(&unknown)
        );
    }
}

/// Ends the boot if init was to get more than fits (`panic_later`).
pub fn check_too_many() {
    let too_many = BOOT.lock().as_ref().and_then(|b| b.too_many.clone());
    if let Some((what, word)) = too_many {
        let word = alloc::string::String::from_utf8_lossy(&word);
        crate::kernel::panic::panic(format_args!("Too many boot {what} vars at `{word}'"));
    }
}

/// The last value that the command line gives to `name`; empty if it stands there without one.
pub fn value(name: &str) -> Option<Vec<u8>> {
    BOOT.lock().as_ref()?.value(name).map(<[u8]>::to_vec)
}

/// All values that it gives to `name`, in order.
pub fn values(name: &str) -> Vec<Vec<u8>> {
    let boot = BOOT.lock();
    let params = boot.iter().flat_map(|b| b.params.iter());
    params.filter(|p| parameq(&p.name, name.as_bytes())).filter_map(|p| p.value.clone()).collect()
}

/// Whether `name` stands on the command line at all.
pub fn flag(name: &str) -> bool {
    value(name).is_some()
}

/// The last value of `name` as a number: decimal, or hexadecimal after `0x`.
pub fn number(name: &str) -> Option<u64> {
    let v = value(name)?;
    let text = core::str::from_utf8(&v).ok()?;
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

/// Words for init, after its name.
pub fn init_args() -> Vec<Vec<u8>> {
    BOOT.lock().as_ref().map(|b| b.init_args.clone()).unwrap_or_default()
}

/// Variables for init.
pub fn init_env() -> Vec<Vec<u8>> {
    BOOT.lock().as_ref().map(|b| b.init_env.clone()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parsed(line: &[u8]) -> Parsed {
        Parsed::new(line, |_| false)
    }

    fn words(v: &[Vec<u8>]) -> Vec<&str> {
        v.iter().map(|w| core::str::from_utf8(w).unwrap()).collect()
    }

    #[test]
    fn words_after_the_dashes_are_inits() {
        let p = parsed(b"console=ttyS0 panic=-1 -- a \"b c\" d=\"e f\" quiet");
        assert_eq!(p.value("panic"), Some(&b"-1"[..]));
        assert_eq!(words(&p.init_args), ["a", "b c", "d=e f", "quiet"]);
        assert_eq!(words(&p.init_env), ["HOME=/", "TERM=linux"]);
    }

    #[test]
    fn unknown_words_go_to_init() {
        let p = parsed(b"single FOO=1 quiet mod.param=3 TERM=vt100 FOO=2");
        assert_eq!(words(&p.init_args), ["single"]);
        assert_eq!(words(&p.init_env), ["HOME=/", "TERM=vt100", "FOO=2"]);
    }

    #[test]
    fn init_forgets_words_before_it() {
        let p = parsed(b"auto init=/bin/x after");
        assert_eq!(words(&p.init_args), ["after"]);
    }

    #[test]
    fn quotes_keep_words_together() {
        let p = parsed(b"\"a b=c d\" x=\"y z\" e=\"\"");
        assert_eq!(p.params[0], Param { name: b"a b".to_vec(), value: Some(b"c d".to_vec()) });
        assert_eq!(p.value("x"), Some(&b"y z"[..]));
        assert_eq!(p.value("e"), Some(&b""[..]));
    }

    #[test]
    fn dashes_are_underscores() {
        let p = parsed(b"log-buf-len=1M");
        assert_eq!(p.value("log_buf_len"), Some(&b"1M"[..]));
    }

    #[test]
    fn init_gets_no_more_than_fits() {
        let numbered = |n: usize, f: fn(usize) -> std::string::String| {
            let words: Vec<_> = (1..=n).map(f).collect();
            parsed(words.join(" ").as_bytes())
        };
        let word = |i| std::format!("w{i}");
        let p = numbered(32, word);
        assert_eq!((p.init_args.len(), p.too_many), (32, None));
        let p = numbered(50, word);
        assert_eq!((p.init_args.len(), p.too_many), (32, Some(("init", b"w33".to_vec()))));
        let var = |i| std::format!("v{i}=x");
        let p = numbered(31, var);
        assert_eq!((p.init_env.len(), p.too_many), (33, None));
        let p = numbered(32, var);
        assert_eq!((p.init_env.len(), p.too_many), (33, Some(("env", b"v32=x".to_vec()))));
        let p = parsed(std::format!("-- {}", "y ".repeat(33)).as_bytes());
        assert_eq!(p.too_many, Some(("init", b"y".to_vec())));
    }

    #[test]
    fn what_nobody_knows_is_told() {
        let p = parsed(b"BOOT_IMAGE=/k quiet single FOO=1 mod.p=1 TERM=x -- one");
        assert_eq!(p.unknown().as_deref(), Some(&b"single FOO=1"[..]));
        assert_eq!(words(&p.init_args), ["single", "one"]);
        assert_eq!(parsed(b"quiet -- one").unknown(), None);
        let taken = Parsed::new(b"mine=1 other", |p| p.name == b"mine");
        assert_eq!(taken.unknown().as_deref(), Some(&b"other"[..]));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_command_line(line in proptest::collection::vec(any::<u8>(), 0..300)) {
            let p = parsed(&line);
            prop_assert!(p.init_args.len() <= MAX_INIT && p.init_env.len() <= MAX_INIT + 1);
        }

        #[test]
        fn plain_words_come_out_as_they_went_in(ws in proptest::collection::vec("[a-z]{1,8}", 0..20)) {
            let p = parsed(std::format!("-- {}", ws.join(" ")).as_bytes());
            prop_assert_eq!(words(&p.init_args), ws);
        }
    }
}
