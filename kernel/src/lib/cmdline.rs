// SPDX-License-Identifier: GPL-2.0-only
//! The kernel's command line (Linux 6.1, `kernel/params.c`; `unknown_bootoption` in
//! `init/main.c`): `name=value` words, quotes, and `--`, after which everything is init's.

use crate::locking::SpinLock;
use alloc::string::String;
use alloc::vec::Vec;

/// One word: name, and value if there was a `=`.
type Word = (Vec<u8>, Option<Vec<u8>>);

#[derive(Default)]
struct Parsed {
    params: Vec<Word>,
    init_args: Vec<Vec<u8>>,
    init_env: Vec<Vec<u8>>,
}

static PARSED: SpinLock<Parsed> =
    SpinLock::new(Parsed { params: Vec::new(), init_args: Vec::new(), init_env: Vec::new() });

/// Names that are the kernel's although nobody here looks at them: they do not
/// become init's arguments.
const KNOWN: &[&str] = &[
    "BOOT_IMAGE",
    "console",
    "earlycon",
    "init",
    "rdinit",
    "norandmaps",
    "nokaslr",
    "kaslr",
    "mitigations",
    "no387",
    "nofxsr",
    "noxsave",
    "eagerfpu",
    "mce",
    "reboot",
    "no_timer_check",
    "tsc_early_khz",
    "root",
    "ro",
    "rw",
    "rootfstype",
    "vsyscall",
    "pti",
    "nosmap",
    "nosmep",
    "noapic",
    "nolapic",
    "acpi",
    "log_buf_len",
];

/// Splits the next word off, minding quotes (`next_arg`).
fn next_word(s: &[u8]) -> Option<(Word, &[u8])> {
    let s = s.trim_ascii_start();
    if s.is_empty() {
        return None;
    }
    let mut quoted = false;
    let mut end = s.len();
    for (i, &c) in s.iter().enumerate() {
        if c == b'"' {
            quoted = !quoted;
        } else if c.is_ascii_whitespace() && !quoted {
            end = i;
            break;
        }
    }
    let (word, rest) = s.split_at(end);
    let unquote = |w: &[u8]| {
        let w = w.strip_prefix(b"\"").unwrap_or(w);
        w.strip_suffix(b"\"").unwrap_or(w).to_vec()
    };
    // A quote before the name encloses the whole word.
    let inner = match word.strip_prefix(b"\"") {
        Some(w) => w.strip_suffix(b"\"").unwrap_or(w),
        None => word,
    };
    let w = match inner.iter().position(|&c| c == b'=') {
        Some(i) => (inner[..i].to_vec(), Some(unquote(&inner[i + 1..]))),
        None => (inner.to_vec(), None),
    };
    Some((w, rest))
}

/// Divides a command line into the kernel's words and init's.
fn divide(line: &[u8], mut known: impl FnMut(&str, Option<&str>) -> bool) -> Parsed {
    let mut p = Parsed::default();
    let mut rest = line;
    while let Some(((name, value), r)) = next_word(rest) {
        rest = r;
        if name == b"--" && value.is_none() {
            while let Some(((n, v), r)) = next_word(rest) {
                rest = r;
                p.init_args.push(match v {
                    Some(v) => [&n[..], b"=", &v].concat(),
                    None => n,
                });
            }
            break;
        }
        let n = String::from_utf8_lossy(&name).into_owned();
        let v = value.as_deref().map(|v| String::from_utf8_lossy(v).into_owned());
        // Dashes and underscores are the same in names; a dot means a module's parameter.
        let same = |k: &&str| k.replace('-', "_") == n.replace('-', "_");
        if known(&n, v.as_deref()) || KNOWN.iter().any(same) || n.contains('.') {
            p.params.push((name, value));
        } else if let Some(v) = value {
            p.init_env.retain(|e| !(e.starts_with(&name) && e.get(name.len()) == Some(&b'=')));
            p.init_env.push([&name[..], b"=", &v].concat());
            p.params.push((name, Some(v)));
        } else {
            p.init_args.push(name);
        }
    }
    p
}

/// Parses the command line; the log's and the panic's parameters take effect here.
pub fn parse(line: &[u8]) {
    let p = divide(line, crate::kernel::panic::setup_param);
    *PARSED.lock() = p;
}

/// The value of the last `name=value`; empty for a bare `name`.
pub fn value(name: &str) -> Option<Vec<u8>> {
    let p = PARSED.lock();
    let w = p.params.iter().rev().find(|w| w.0 == name.as_bytes())?;
    Some(w.1.clone().unwrap_or_default())
}

/// Whether the word is there.
pub fn flag(name: &str) -> bool {
    value(name).is_some()
}

/// The value of `name=` as a decimal number.
pub fn number(name: &str) -> Option<u64> {
    core::str::from_utf8(&value(name)?).ok()?.parse().ok()
}

/// Arguments for init, without its name.
pub fn init_args() -> Vec<Vec<u8>> {
    PARSED.lock().init_args.clone()
}

/// Environment for init: `HOME`, `TERM`, and what the kernel did not know.
pub fn init_env() -> Vec<Vec<u8>> {
    let extra = PARSED.lock().init_env.clone();
    let mut env: Vec<Vec<u8>> = Vec::new();
    for d in [&b"HOME=/"[..], b"TERM=linux"] {
        let name = &d[..5];
        if !extra.iter().any(|e| e.starts_with(name)) {
            env.push(d.to_vec());
        }
    }
    env.extend(extra);
    env
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn d(s: &[u8]) -> Parsed {
        divide(s, |n, _| n == "quiet")
    }

    #[test]
    fn words_go_where_linux_sends_them() {
        let p = d(b"quiet console=ttyS0 single FOO=bar mod.x=1 -- --run \"a b\" c=d quiet");
        let args: Vec<&[u8]> = p.init_args.iter().map(|a| &a[..]).collect();
        assert_eq!(args, [&b"single"[..], b"--run", b"a b", b"c=d", b"quiet"]);
        assert_eq!(p.init_env, [b"FOO=bar".to_vec()]);
        assert!(p.params.iter().any(|w| w.0 == b"console" && w.1.as_deref() == Some(b"ttyS0")));
    }

    #[test]
    fn quotes_keep_blanks() {
        let p = d(b"console=\"a b\" X=\"1 2\"");
        assert_eq!(p.params[0].1.as_deref(), Some(&b"a b"[..]));
        assert_eq!(p.init_env, [b"X=1 2".to_vec()]);
        let p = d(b"\"Y=3 4\"");
        assert_eq!(p.init_env, [b"Y=3 4".to_vec()]);
    }

    #[test]
    fn a_later_variable_replaces_an_earlier_one() {
        assert_eq!(d(b"A=1 AB=2 A=3").init_env, [b"AB=2".to_vec(), b"A=3".to_vec()]);
    }

    proptest! {
        #[test]
        fn garbage_never_panics(s in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = d(&s);
        }
    }
}
