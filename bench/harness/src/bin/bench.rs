//! `bench`: measures what was asked for. `cargo xtask bench` builds what it needs and calls it.

use trunkline_bench::options::{Chore, Options};
use trunkline_bench::{echo, idle};

fn main() -> anyhow::Result<()> {
    let options = Options::parse(std::env::args().skip(1))?;
    match options.chore {
        Chore::Echo => echo::run(&options),
        Chore::Idle => idle::run(&options),
    }
}
