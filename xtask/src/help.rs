//! The page that `cargo xtask help` prints.

/// What there is, in the order in which a newcomer needs it.
pub const PAGE: &str = "\
cargo xtask CHORE

  serve [--verbose] [ARGS…]    build the UI and the server, then run `trunkline dev ARGS…`
  test [--verbose] [SUITE…]    install what is missing, then run every suite, or the named ones:
                                 fmt tidy clippy doc rust bench ui sdk browser autobahn
  tidy                         check the shape of the source (CONTRIBUTING.md says what and why)
  lock                         write the npm lock files, complete for every platform
  conformance [server|client|all] [CASES…]
                               judge our echo server and client with the Autobahn suite
                               (CASES: core, limits, deflate, quick, all or numbers; default core limits)
  sim --seed N | --seeds A..B [--steps N]
                               run the hub at random beside a ground truth: one seed, told step by step, or many,
                               until a promise is broken; then the run is made small
  sim --plants [NAME…]         plant known bugs in a copy, one at a time, and see that each is found
  bench echo|idle [OPTIONS]    measure what an echo costs and what an idle connection keeps, against floors and
                               other libraries (`bench --help` says more)
  help                         this page

Suites write their full output to target/xtask/SUITE.log; --verbose shows it as it comes.
With CI=true in the environment a suite that has to be skipped counts as failed.
";
