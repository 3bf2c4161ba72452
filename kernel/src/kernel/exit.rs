// SPDX-License-Identifier: GPL-2.0-only
//! placeholder
/// Parent and children.
#[derive(Default)]
pub struct Relations {}
