//! The server as its users meet it: a process with a port, a data folder and a command line. Each test starts
//! its own, on a free port and a folder of its own. What needs no process is tested in the crates below.

mod client;
mod http;
mod patience;
mod presence;
mod raw;
mod rng;
mod secure;
mod server;

mod acme;
mod bad_input;
mod bursts;
mod by_hand;
mod command_line;
mod compression;
mod configuration;
mod fan_out;
mod http2;
mod key_set;
mod kill;
mod leaks;
mod limits;
mod proxy;
mod rewound;
mod rpc;
mod sdk;
mod serve;
mod sessions;
mod shutdown;
mod tls;
mod tokens;
mod unix;
