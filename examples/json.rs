//! A calculator that speaks JSON: `{"a":1,"op":"+","b":2}` is answered with `{"result":3.0}`, what it does not understand
//! with `{"error":"…"}`.
//!
//! `cargo run --example json [ADDR:PORT]`, default 127.0.0.1:8080. Ctrl-C ends it.

use serde::{Deserialize, Serialize};
use trunkline_ws as ws;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    a: f64,
    op: char,
    b: f64,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Answer {
    Result(f64),
    Error(String),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), ws::Error> {
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let server = ws::Server::bind(addr).await?.origin(ws::OriginPolicy::Any);
    println!("listening on ws://{}", server.local_addr()?);
    server.serve_until(calculate, async { drop(tokio::signal::ctrl_c().await) }).await
}

async fn calculate(mut socket: ws::Socket) -> Result<(), ws::Error> {
    loop {
        let answer = match socket.recv_json::<Question>().await {
            Ok(question) => answer(&question),
            // The socket is as good as before.
            Err(ws::Error::Json(error)) => Answer::Error(error.to_string()),
            Err(ws::Error::Closed(_)) => return Ok(()),
            Err(error) => return Err(error),
        };
        socket.send_json(&answer).await?;
    }
}

fn answer(Question { a, op, b }: &Question) -> Answer {
    Answer::Result(match op {
        '+' => a + b,
        '-' => a - b,
        '*' => a * b,
        '/' if *b != 0.0 => a / b,
        '/' => return Answer::Error("division by zero".to_owned()),
        op => return Answer::Error(format!("there is no operation {op:?}")),
    })
}
