// SPDX-License-Identifier: GPL-2.0-only
//! Stages of something that the kernel does, with the stack at each: as text, and as one page.

use std::fmt::Write;

/// All of it.
#[derive(Debug, Default)]
pub struct Picture {
    /// What it is about.
    pub title: String,
    /// In order.
    pub stages: Vec<Stage>,
    /// On a terminal, words of the stack that are as they were at the stage before are only counted.
    pub brief: bool,
    /// What else there is to know, in the end.
    pub summary: Vec<String>,
    /// A table that only the page has room for: its title, headings and rows.
    pub detail: Option<Detail>,
}

/// A table.
#[derive(Debug)]
pub struct Detail {
    /// What it shows.
    pub title: String,
    /// The columns.
    pub headings: Vec<&'static str>,
    /// One value for each.
    pub rows: Vec<Vec<String>>,
}

/// One moment.
#[derive(Debug, Default)]
pub struct Stage {
    /// Where it is.
    pub label: String,
    /// What happens there.
    pub text: String,
    /// What the document calls it.
    pub document: &'static str,
    /// What else is so at that moment.
    pub facts: Vec<(&'static str, String)>,
    /// The stack pointer.
    pub rsp: u64,
    /// The stack from its top down.
    pub words: Vec<Word>,
    /// Words down to RSP that are not shown.
    pub more: usize,
}

/// A word of the stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// Its address.
    pub at: u64,
    /// What it is for.
    pub name: String,
    /// What it holds.
    pub value: u64,
    /// Where that leads to.
    pub leads_to: Option<String>,
}

impl Word {
    fn shown(&self) -> String {
        match &self.leads_to {
            None => format!("{:#018x}", self.value),
            Some(label) => format!("{:#018x}  {label}", self.value),
        }
    }

    /// Whether the stage before had none such.
    fn is_new(&self, before: Option<&Stage>) -> bool {
        before.is_some_and(|b| !b.words.iter().any(|w| w.at == self.at && w.value == self.value))
    }
}

fn fact_is_new((name, value): &(&'static str, String), before: Option<&Stage>) -> bool {
    before.is_some_and(|b| !b.facts.iter().any(|(n, v)| n == name && v == value))
}

impl Picture {
    /// Each stage, and the one before it.
    fn pairs(&self) -> impl Iterator<Item = (usize, Option<&Stage>, &Stage)> {
        self.stages.iter().enumerate().map(|(n, s)| (n + 1, n.checked_sub(1).map(|b| &self.stages[b]), s))
    }

    /// For a terminal.
    #[must_use]
    pub fn as_text(&self) -> String {
        let mut out = format!("{}\n", self.title);
        for (n, before, s) in self.pairs() {
            let _ = writeln!(out, "\n{n}. {}\n   {}", s.label, s.text);
            if !s.document.is_empty() {
                let _ = writeln!(out, "   The document: {}", s.document);
            }
            let mark = |new| if new { '*' } else { ' ' };
            for f in &s.facts {
                let _ = writeln!(out, "   {} {:<12} {}", mark(fact_is_new(f, before)), f.0, f.1);
            }
            let mut same = 0;
            for w in &s.words {
                let (new, sp) = (w.is_new(before), w.at == s.rsp);
                if self.brief && before.is_some() && !new && !sp {
                    same += 1;
                    continue;
                }
                as_before(&mut out, &mut same);
                let (new, arrow, shown) = (mark(new), if sp { "  <- RSP" } else { "" }, w.shown());
                let _ = writeln!(out, "   {:#x} {new} | {:<23}| {shown}{arrow}", w.at, w.name);
            }
            as_before(&mut out, &mut same);
            if s.more != 0 {
                let _ = writeln!(out, "   … and {} words more, down to RSP = {:#x}", s.more, s.rsp);
            }
        }
        out.push_str("\n   * has changed since the stage before\n");
        for line in &self.summary {
            let _ = writeln!(out, "   {line}");
        }
        out
    }

    /// A page that needs nothing else.
    #[must_use]
    pub fn as_html(&self) -> String {
        let mut out = format!(
            "<!DOCTYPE html><html lang=en><meta charset=utf-8><title>{0}</title><style>\
             body{{font:15px sans-serif;max-width:70em;margin:2em auto}}table{{border-collapse:collapse;\
             font:13px monospace}}td,th{{border:1px solid #999;padding:2px 8px;text-align:left}}\
             .new{{background:#fd8}}.sp{{border-bottom:3px solid #c00}}.doc{{color:#046}}\
             .side{{display:flex;gap:2em;flex-wrap:wrap;align-items:flex-start}}</style><h1>{0}</h1>\
             <p>Read from the running kernel. Yellow: changed since the stage before. Red: RSP.</p>",
            escape(&self.title)
        );
        for (n, before, s) in self.pairs() {
            let _ = write!(out, "<h2>{n}. {}</h2><p>{}</p>", escape(&s.label), escape(&s.text));
            if !s.document.is_empty() {
                let _ = write!(out, "<p class=doc>The document: {}</p>", escape(s.document));
            }
            out.push_str("<div class=side>");
            page_facts(&mut out, s, before);
            page_words(&mut out, s, before);
            out.push_str("</div>");
        }
        for line in &self.summary {
            let _ = write!(out, "<p>{}</p>", escape(line));
        }
        if let Some(detail) = &self.detail {
            detail.page(&mut out);
        }
        out + "</html>\n"
    }
}

/// Says how many words were passed over.
fn as_before(out: &mut String, same: &mut usize) {
    match std::mem::take(same) {
        0 => {}
        1 => out.push_str("   (a word as before)\n"),
        n => {
            let _ = writeln!(out, "   ({n} words as before)");
        }
    }
}

fn page_facts(out: &mut String, s: &Stage, before: Option<&Stage>) {
    if s.facts.is_empty() {
        return;
    }
    out.push_str("<table>");
    for f in &s.facts {
        let new = if fact_is_new(f, before) { "new" } else { "" };
        let _ = write!(out, "<tr><th>{}</th><td class='{new}'>{}</td></tr>", escape(f.0), escape(&f.1));
    }
    out.push_str("</table>");
}

fn page_words(out: &mut String, s: &Stage, before: Option<&Stage>) {
    if s.words.is_empty() {
        return;
    }
    out.push_str("<table>");
    for w in &s.words {
        let new = if w.is_new(before) { "new" } else { "" };
        let sp = if w.at == s.rsp { "sp" } else { "" };
        let (name, value) = (escape(&w.name), escape(&w.shown()));
        let _ = write!(
            out,
            "<tr class='{sp}'><td>{:#x}</td><td>{name}</td><td class='{new}'>{value}</td></tr>",
            w.at
        );
    }
    if s.more != 0 {
        let _ = write!(
            out,
            "<tr class=sp><td colspan=3>… and {} words more, down to RSP = {:#x}</td></tr>",
            s.more, s.rsp
        );
    }
    out.push_str("</table>");
}

impl Detail {
    fn page(&self, out: &mut String) {
        let _ = write!(out, "<details><summary>{}</summary><table><tr>", escape(&self.title));
        for h in &self.headings {
            let _ = write!(out, "<th>{}</th>", escape(h));
        }
        for row in &self.rows {
            out.push_str("</tr><tr>");
            for value in row {
                let _ = write!(out, "<td>{}</td>", escape(value));
            }
        }
        out.push_str("</tr></table></details>");
    }
}

fn escape(s: &str) -> String {
    s.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(at: u64, name: &str, value: u64) -> Word {
        Word { at, name: name.into(), value, leads_to: (value == 5).then(|| "five+0x1".into()) }
    }

    fn stage(label: &str, text: &str, rsp: u64, values: [u64; 2]) -> Stage {
        let words = vec![word(0xff8, "original SS", values[0]), word(0xff0, "original RIP", values[1])];
        Stage { label: label.into(), text: text.into(), rsp, words, ..Stage::default() }
    }

    #[test]
    fn a_stage_is_shown() {
        let mut second = stage("b", "z", 0xff0, [0, 5]);
        second.facts = vec![("ctx_state", "CONTEXT_USER".into())];
        (second.more, second.document) = (3, "a & b");
        let mut p = Picture {
            title: "T".into(),
            brief: false,
            stages: vec![stage("a", "x < y", 0xff8, [0, 0]), second],
            summary: vec!["in sum".into()],
            detail: Some(Detail { title: "d".into(), headings: vec!["h"], rows: vec![vec!["<r>".into()]] }),
        };
        let text = p.as_text();
        assert!(text.contains("0xff8   | original SS            | 0x0000000000000000  <- RSP"), "{text}");
        assert!(text.contains("0xff0 * | original RIP           | 0x0000000000000005  five+0x1  <- RSP"));
        assert!(text.contains("* ctx_state    CONTEXT_USER") && text.contains("and 3 words more"));
        assert!(text.contains("The document: a & b") && text.ends_with("in sum\n"));
        let page = p.as_html();
        assert!(page.contains("x &lt; y") && page.contains("a &amp; b") && page.contains("&lt;r&gt;"));
        assert_eq!(page.matches("<tr").count(), 2 + 2 + 1 + 1 + 2, "{page}");
        assert_eq!(page.matches("class='new'").count(), 2);
        p.brief = true;
        let text = p.as_text();
        assert!(text.contains("(a word as before)\n   0xff0 * |"), "{text}");
    }
}
