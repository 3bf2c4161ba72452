// SPDX-License-Identifier: GPL-2.0-only
//! `bench::…`: the common paths cost what was recorded, and much around them makes them little dearer.
//! QEMU counts the guest's instructions, so that a busy host changes nothing.

use libtest_mimic::{Failed, Trial};
use tests::machine::{kernel, rootfs};
use xtask::bench::{self, rows, scale};
use xtask::paths::Paths;

/// How much dearer than recorded a row may become before somebody must look at it, in percent: what is
/// inlined where changes with code that has nothing to do with a row, and that alone was seen to make 12.
const TOLERANCE: u64 = 20;

/// The tests.
pub fn trials() -> Vec<Trial> {
    vec![Trial::test("bench::rows", common_paths), Trial::test("bench::scale", much_around)]
}

fn common_paths() -> Result<(), Failed> {
    let recorded = rows::read(&rows::file(&Paths::find()?))?;
    let measured = bench::measure(&kernel()?, &rootfs()?, "bench_rows")?;
    let mut bad = Vec::new();
    for (name, _) in rows::BUDGETS {
        let (Some(row), Some(costs)) = (measured.iter().find(|r| r.name == name), recorded.get(name)) else {
            bad.push(format!("{name}: not measured, or not recorded"));
            continue;
        };
        if row.median * 100 > costs.here * (100 + TOLERANCE) {
            bad.push(format!("{name}: {} instructions, {} when it was recorded", row.median, costs.here));
        }
    }
    if bad.is_empty() {
        return Ok(());
    }
    Err(format!("{}\n(if it must be so: cargo xtask bench rows --record)", bad.join("\n")).into())
}

fn much_around() -> Result<(), Failed> {
    let pairs = scale::pairs(&bench::measure(&kernel()?, &rootfs()?, "bench_scale")?);
    if pairs.len() != 9 {
        return Err(format!("{} paths were measured, not 9: {pairs:?}", pairs.len()).into());
    }
    match pairs.iter().find(|p| p.many[1] < 2000 || p.ratio() > p.limit()) {
        None => Ok(()),
        Some(p) => Err(format!("{p:?}: {:.2} times, at most {:.2}", p.ratio(), p.limit()).into()),
    }
}
