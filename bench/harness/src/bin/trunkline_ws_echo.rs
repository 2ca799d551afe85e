//! `trunkline-ws` as its documentation shows it; with the argument `deflate` it compresses for those who offer it.

use trunkline_ws as ws;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), ws::Error> {
    let mut server = ws::Server::bind("127.0.0.1:0").await?;
    if std::env::args().nth(1).as_deref() == Some("deflate") {
        server = server.compression(ws::Compression::default());
    }
    println!("ready {}", server.local_addr()?);
    server
        .serve(|mut socket| async move {
            while let Some(message) = socket.recv().await? {
                socket.send(message).await?;
            }
            Ok(())
        })
        .await
}
