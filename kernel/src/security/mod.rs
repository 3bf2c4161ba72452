// SPDX-License-Identifier: GPL-2.0-only
//! Linux's `security/`: the rules of privilege.

pub mod commoncap;
