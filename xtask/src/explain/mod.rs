// SPDX-License-Identifier: GPL-2.0-only
//! `cargo xtask explain …`: what the kernel does, stage by stage, read from a running one beside the
//! documents' words.
//!
//! | module | what it shows |
//! |---|---|
//! | [`nmi`] | the sixth document's stack, while an NMI is interrupted by another one |
//! | [`idtentry`] | the fifth document's path of one exception |
//! | `functions` | what is said of the functions on that path |
//! | [`walk`] | every instruction between two places, and the functions that it is in |
//! | [`picture`] | stages as text, and as a page |

mod functions;
pub mod idtentry;
pub mod nmi;
pub mod picture;
pub mod walk;

use crate::build;
use crate::cli::Explained;
use crate::paths::Paths;
use crate::tools;
use crate::ui;
use anyhow::{Context, Result};
use std::time::Duration;

/// How long the machine may take from one stage to the next.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs the command.
pub fn main(what: &Explained) -> Result<()> {
    let args = what.output();
    let paths = Paths::find()?;
    let install = args.install.install();
    tools::need_qemu(install)?;
    build::kernel(&paths, install)?;
    build::write_whole(&paths.rootfs(), &build::default_rootfs(&paths, install)?.finish())?;
    ui::say("booting, up to the moment of interest");
    let picture = match what {
        Explained::Nmi(_) => nmi::picture(&paths.kernel(), &paths.rootfs())?,
        Explained::Idtentry { exception, .. } => {
            idtentry::Path::walked(&paths.kernel(), &paths.rootfs(), *exception)?.picture()
        }
    };
    print!("{}", picture.as_text());
    if let Some(file) = &args.html {
        std::fs::write(file, picture.as_html())
            .with_context(|| format!("cannot write {}", file.display()))?;
        ui::say(&format!("the same as a page: {}", file.display()));
    }
    Ok(())
}
