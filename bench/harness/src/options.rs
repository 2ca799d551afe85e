//! The command line of `bench`, which is that of `cargo xtask bench`.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// What `--help` prints.
pub const USAGE: &str = include_str!("usage.txt");

/// What is to be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chore {
    /// What an echo costs.
    Echo,
    /// What an idle connection keeps.
    Idle,
}

/// What was asked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// What is to be measured.
    pub chore: Chore,
    /// Whether other libraries are measured too.
    pub peers: bool,
    /// Words of which a server's name has to contain one; floors always take part. None: all servers.
    pub only: Vec<String>,
    /// Which kinds of traffic: `20x16` is 20 bytes, 16 in flight. None: all.
    pub traffic: Vec<String>,
    /// How often everything is measured.
    pub runs: usize,
    /// How long one measurement takes.
    pub span: Duration,
    /// How many connections stand idle.
    pub connections: usize,
    /// Whether system calls are counted, in passes of their own.
    pub calls: bool,
    /// Whether the results are kept in `bench/results`.
    pub save: bool,
    /// The product's binary; without one it is left out.
    pub trunkline: Option<PathBuf>,
}

impl Options {
    /// What is done when nothing else is asked for.
    pub fn new(chore: Chore) -> Self {
        Self {
            chore,
            peers: false,
            only: Vec::new(),
            traffic: Vec::new(),
            runs: 3,
            span: Duration::from_secs(1),
            connections: 10_000,
            calls: false,
            save: false,
            trunkline: None,
        }
    }

    /// Reads the words after the program's name.
    pub fn parse(mut words: impl Iterator<Item = String>) -> Result<Self> {
        let chore = match words.next().as_deref() {
            Some("echo") => Chore::Echo,
            Some("idle") => Chore::Idle,
            other => bail!("`{}` is neither echo nor idle\n\n{USAGE}", other.unwrap_or("")),
        };
        let mut options = Self::new(chore);
        while let Some(word) = words.next() {
            let mut value = || words.next().with_context(|| format!("{word} needs a value\n\n{USAGE}"));
            match word.as_str() {
                "--peers" => options.peers = true,
                "--calls" => options.calls = true,
                "--save" => options.save = true,
                "--only" => options.only = list(&value()?),
                "--traffic" => options.traffic = list(&value()?),
                "--runs" => options.runs = number(&word, &value()?)?,
                "--connections" => options.connections = number(&word, &value()?)?,
                "--seconds" => {
                    let seconds: f64 = value()?.parse().with_context(|| format!("{word} needs a number"))?;
                    options.span =
                        Duration::try_from_secs_f64(seconds).context("a length of time is above 0")?;
                }
                "--trunkline" => options.trunkline = Some(value()?.into()),
                _ => bail!("there is no {word}\n\n{USAGE}"),
            }
        }
        Ok(options)
    }
}

fn list(value: &str) -> Vec<String> {
    value.split(',').map(str::to_owned).collect()
}

fn number(word: &str, value: &str) -> Result<usize> {
    match value.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => bail!("{word} needs a number above 0, not `{value}`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options> {
        Options::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn words_are_read() {
        let options =
            parse("echo --peers --only ws,yawc --runs 5 --seconds 0.5 --save").expect("all are known");
        assert_eq!((options.chore, options.peers, options.save), (Chore::Echo, true, true));
        assert_eq!((options.runs, options.span), (5, Duration::from_millis(500)));
        assert_eq!(options.only, ["ws", "yawc"]);
        assert_eq!(parse("idle --connections 100").expect("known").connections, 100);
    }

    #[test]
    fn nonsense_is_refused() {
        let cases = ["", "fly", "echo --fast", "echo --runs", "echo --runs 0", "echo --seconds -1", "idle x"];
        for line in cases {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
