//! The program of the client's README, word for word.
#![expect(unreachable_pub, reason = "word for word as the README has it")]

use trunkline_client::{Client, Error};

pub async fn hello(url: &str) -> Result<(), Error> {
    let client = Client::connect(url); // again and again, in the background
    let lobby = client.channel("chat:lobby")?;
    let mut messages = lobby.subscribe_last(20).await?;
    let receipt = lobby.publish("Hello").await?; // stored, at this place
    while messages.next_message().await?.position() != receipt.position {}
    client.close().await;
    Ok(())
}
