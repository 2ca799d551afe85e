//! # Rust client of Trunkline
//!
//! Channels with history and recovery over one WebSocket: publishes that are stored once, subscriptions that miss
//! nothing, through lost lines and restarts of the server.
//!
//! ```text
//!   your tasks ── Client, Channel, Subscription ──▶ driver (one task) ──▶ rules::Session ──▶ trunkline.v1
//!                                                     socket, clock, dice       pure
//! ```
//!
#![cfg_attr(feature = "driver", doc = "```no_run")]
#![cfg_attr(not(feature = "driver"), doc = "```ignore")]
//! # async fn run() -> Result<(), trunkline_client::Error> {
//! use trunkline_client::{Client, Notice, Update};
//!
//! let client = Client::connect("ws://127.0.0.1:8000/ws");
//! let lobby = client.channel("chat:lobby")?;
//! let mut updates = lobby.subscribe_last(20).await?;
//! loop {
//!     match updates.next().await? {
//!         Update::Message(message) => println!("{:?}", message.payload),
//!         Update::Notice(Notice::Missed { messages }) => println!("{messages} messages are missing here"),
//!         _ => {}
//!     }
//! }
//! # }
//! ```
//!
//! What it promises:
//!
//! - A publish that is acknowledged is stored, once, at the place that is told. One whose answer was lost is sent again
//!   under the same key, in the order in which publishes were made.
//! - A subscription to a log gives its messages in order, each once, or says what is missing: [`Notice`].
//! - When a log was rewound, the last own publishes that it has lost are published again.
//! - It connects again with full jitter, until the server closes the line with a code after which a client does not come
//!   back.
//!
//! What it will not do: keep anything on disk. A publish that waits for its answer when the process ends was stored once
//! or not at all.
//!
//! [`rules`] is the whole of it without tokio, for other drivers and for simulations.

pub mod rules;

#[cfg(feature = "driver")]
mod client;
#[cfg(feature = "driver")]
mod content;
#[cfg(feature = "driver")]
mod driver;
#[cfg(feature = "driver")]
mod error;
#[cfg(feature = "driver")]
mod inbox;
#[cfg(feature = "driver")]
mod subscription;

#[cfg(feature = "driver")]
pub use client::{Channel, Client, State};
#[cfg(feature = "driver")]
pub use content::Content;
#[cfg(feature = "driver")]
pub use error::Error;
pub use rules::{Closed, Limits, Message, Notice, Page, PublishError, Receipt, Refusal, RequestError};
#[cfg(feature = "driver")]
pub use subscription::{Subscription, Update};
pub use trunkline_model::{ChannelName, Epoch, Form, Key, Offset, Payload, Position};
#[cfg(feature = "driver")]
pub use trunkline_ws::{self as ws, Connect};

/// The README's program compiles.
#[cfg(all(doctest, feature = "driver"))]
#[doc = include_str!("../README.md")]
struct Readme;
