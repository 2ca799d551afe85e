//! What only this store has: a directory, a lock, a file that may be damaged or full, and processes that
//! are killed. What every store must do is in `tests/contract.rs`.

mod closing;
mod copying;
mod crash;
mod damage;
mod erasing;
mod faults;
mod opening;
mod plans;
#[cfg(target_os = "linux")]
mod power;
mod rig;
mod trimming;
mod work;
