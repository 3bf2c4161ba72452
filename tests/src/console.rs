// SPDX-License-Identifier: GPL-2.0-only
//! What a console must have carried.

/// Looks for some texts, in this order, each on a line of its own.
pub fn expect_in_order(console: &str, texts: &[&str]) -> Result<(), String> {
    let mut lines = console.lines();
    for text in texts {
        if !lines.any(|line| line.contains(text)) {
            let elsewhere = if console.contains(text) { "too early" } else { "nowhere" };
            return Err(format!("`{text}` is {elsewhere} on the console"));
        }
    }
    Ok(())
}

/// Looks for texts that must not be there.
pub fn expect_none(console: &str, texts: &[&str]) -> Result<(), String> {
    match texts.iter().find(|text| console.contains(*text)) {
        Some(text) => Err(format!("`{text}` is on the console")),
        None => Ok(()),
    }
}

/// What tells of a kernel that went wrong itself, whatever the test is about.
pub const FAULTS: [&str; 5] = ["Oops", "BUG:", "general protection fault", "double fault", "panicked at"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_matters() {
        let console = "one\r\ntwo\r\nthree\r\n";
        assert!(expect_in_order(console, &["one", "three"]).is_ok());
        assert!(expect_in_order(console, &["three", "one"]).unwrap_err().contains("too early"));
        assert!(expect_in_order(console, &["four"]).unwrap_err().contains("nowhere"));
        assert!(expect_none(console, &FAULTS).is_ok());
        assert!(expect_none("[ 1.0] Oops: 0002", &FAULTS).is_err());
    }
}
