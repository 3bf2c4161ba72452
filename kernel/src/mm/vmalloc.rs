// SPDX-License-Identifier: GPL-2.0-only
//! placeholder
use crate::errno::Result;
/// A mapped stack with an unmapped page below it.
pub struct StackArea {
    top: usize,
}
impl StackArea {
    /// Maps `size` bytes.
    pub fn new(_size: usize) -> Result<Self> {
        todo!()
    }
    /// The address just above.
    pub fn top(&self) -> usize {
        self.top
    }
}
