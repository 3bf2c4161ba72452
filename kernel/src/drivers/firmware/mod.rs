// SPDX-License-Identifier: GPL-2.0-only
//! What the firmware tells (Linux 6.1, `drivers/firmware/`).

pub mod dmi_scan;
