//! `conformance/expectations.txt`: the cases that need not come out as a plain OK, each with its reason.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::tally::Tally;

/// What a case may be short of OK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Short {
    /// It may fail.
    Waived,
    /// The suite tolerates it and would rather see something else.
    NonStrict,
    /// The suite has no opinion.
    Informational,
}

/// The expectations of one role: case → what, and why.
#[derive(Debug, Default)]
pub(super) struct Expectations(BTreeMap<String, (Short, String)>);

/// What the runner writes into `summary.json`.
#[derive(Debug, Default)]
pub(super) struct Summary {
    passed: u64,
    failed: Vec<String>,
    did_not_run: Vec<String>,
    non_strict: Vec<String>,
    informational: Vec<String>,
    ran: Vec<String>,
}

impl Short {
    /// As the file and the suite call it.
    fn name(self) -> &'static str {
        match self {
            Self::Waived => "waived",
            Self::NonStrict => "non-strict",
            Self::Informational => "informational",
        }
    }
}

impl Expectations {
    /// Reads the file's lines for one role.
    pub(super) fn read(path: &Path, role: &str) -> Result<Self> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&text, role).with_context(|| path.display().to_string())
    }

    /// A line is `ROLE CASE waived|non-strict|informational REASON`; `#` starts a comment.
    fn parse(text: &str, role: &str) -> Result<Self> {
        let mut expectations = BTreeMap::new();
        let lines = text.lines().map(|line| line.split('#').next().unwrap_or("").trim());
        for line in lines.filter(|line| !line.is_empty()) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [of, case, short, reason @ ..] = &words[..] else {
                bail!("`{line}` is not ROLE CASE WHAT REASON")
            };
            if reason.is_empty() {
                bail!("`{line}` gives no reason");
            }
            let all = [Short::Waived, Short::NonStrict, Short::Informational];
            let Some(known) = all.into_iter().find(|known| known.name() == *short) else {
                bail!("`{short}` is none of waived, non-strict, informational")
            };
            if *of == role {
                expectations.insert((*case).to_owned(), (known, reason.join(" ")));
            }
        }
        Ok(Self(expectations))
    }

    /// The runner's own form of those that may fail.
    pub(super) fn waivers(&self) -> String {
        let waived = self.0.iter().filter(|(_, (short, _))| *short == Short::Waived);
        waived.map(|(case, (_, reason))| format!("{case} {reason}\n")).collect()
    }

    /// Counts, and a line for each case that differs from what is expected of it.
    pub(super) fn compare(&self, summary: &Summary) -> (Tally, Vec<String>) {
        let mut tally = Tally {
            passed: summary.passed,
            failed: (summary.failed.len() + summary.did_not_run.len()) as u64,
            skipped: 0,
        };
        let mut remarks = Vec::new();
        let softer =
            [(&summary.non_strict, Short::NonStrict), (&summary.informational, Short::Informational)];
        for (cases, short) in softer {
            for case in cases.iter().filter(|case| self.short(case) != Some(short)) {
                tally.passed -= 1;
                tally.failed += 1;
                remarks.push(format!(
                    "{case} is {} now; mend it, or expect it in conformance/expectations.txt",
                    short.name()
                ));
            }
        }
        let firm = |case: &String| summary.ran.contains(case);
        let soft = |case: &String| softer.iter().any(|(cases, _)| cases.contains(case));
        for (case, (short, _)) in self.0.iter().filter(|(case, _)| firm(case) && !soft(case)) {
            if *short != Short::Waived {
                remarks.push(format!("{case} is OK now: its line in conformance/expectations.txt can go"));
            }
        }
        (tally, remarks)
    }

    fn short(&self, case: &str) -> Option<Short> {
        self.0.get(case).map(|(short, _)| *short)
    }
}

impl Summary {
    /// Reads `summary.json`.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let summary: Value = serde_json::from_str(text).context("summary.json")?;
        let cases = |name: &str| -> Result<Vec<String>> {
            let list = summary[name].as_array().with_context(|| format!("summary.json has no {name}"))?;
            Ok(list.iter().filter_map(Value::as_str).map(str::to_owned).collect())
        };
        Ok(Self {
            passed: summary["passed"].as_u64().context("summary.json has no passed")?,
            failed: cases("failed")?,
            did_not_run: cases("did_not_run")?,
            non_strict: cases("non_strict")?,
            informational: cases("informational")?,
            ran: summary["milliseconds"].as_object().context("no milliseconds")?.keys().cloned().collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# role case what reason
server 7.1.6  informational  both orders are right
server 6.4.1  non-strict     fails at the frame's end   # not in the middle
client 6.4.1  waived         another role
server 9.9.9  waived         cannot be had
";

    fn summary(non_strict: &str, informational: &str) -> Summary {
        let text = format!(
            r#"{{"passed": 4, "failed": ["1.1.1"], "did_not_run": ["1.1.2"], "non_strict": [{non_strict}],
                "informational": [{informational}], "milliseconds": {{"6.4.1": 1, "7.1.6": 1, "1.1.3": 1}}}}"#
        );
        Summary::parse(&text).expect("well formed")
    }

    #[test]
    fn what_is_expected_is_compared_with_what_came() {
        let expectations = Expectations::parse(TEXT, "server").expect("well formed");
        let cases: [(&str, &str, u64, u64, &[&str]); 4] = [
            (r#""6.4.1""#, r#""7.1.6""#, 4, 2, &[]),
            (r#""6.4.1", "1.1.3""#, r#""7.1.6""#, 3, 3, &["1.1.3 is non-strict now"]),
            ("", r#""7.1.6""#, 4, 2, &["6.4.1 is OK now"]),
            (r#""7.1.6", "6.4.1""#, "", 3, 3, &["7.1.6 is non-strict now"]),
        ];
        for (non_strict, informational, passed, failed, expected) in cases {
            let (tally, remarks) = expectations.compare(&summary(non_strict, informational));
            assert_eq!((tally.passed, tally.failed), (passed, failed), "{non_strict} / {informational}");
            assert_eq!(remarks.len(), expected.len(), "{remarks:?}");
            remarks
                .iter()
                .zip(expected)
                .for_each(|(remark, start)| assert!(remark.starts_with(start), "{remark}"));
        }
    }

    #[test]
    fn waivers_are_those_of_the_role() {
        let expectations = Expectations::parse(TEXT, "server").expect("well formed");
        assert_eq!(expectations.waivers(), "9.9.9 cannot be had\n");
    }

    #[test]
    fn a_line_without_a_reason_is_refused() {
        assert!(Expectations::parse("server 1.1.1 waived", "server").is_err());
        assert!(Expectations::parse("server 1.1.1 maybe because", "server").is_err());
    }
}
