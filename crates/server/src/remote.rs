//! The verbs that talk to a running server: `pub` over its HTTP API, `sub` over `trunkline.v1`.

use std::io::{self, Read as _, Write as _};
use std::time::Duration;

use anyhow::Context as _;
use axum::http::uri::Authority;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{StatusCode, Uri};
use serde_json::json;
use trunkline_model::ChannelName;
use trunkline_ws::Message;

use crate::cli::{Failure, Format, PubOptions, RemoteOptions, SubOptions};
use crate::dto::{ProblemAnswer, PublishAnswer, PublishBody, ServerMessage, ServerMessageItem};
use crate::outgoing::{self, whole};

/// How long a publish waits for its answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Publishes one message and prints where it stands.
pub(crate) fn publish(options: &PubOptions) -> anyhow::Result<()> {
    let data = data(&options.data)?;
    let mut body = PublishBody { data: None, text: None, key: options.key.as_deref() };
    if options.text {
        body.text = Some(&data);
    } else {
        body.data = Some(serde_json::from_str(&data).map_err(|error| {
            Failure::Usage(format!("the message is not JSON ({error}); --text sends it as text"))
        })?);
    }
    let body = serde_json::to_string(&body).context("the message could not be written as JSON")?;
    let channel = ChannelName::parse(&options.channel).map_err(|error| Failure::Usage(error.to_string()))?;
    let path = format!("/api/v1/channels/{channel}/messages");
    let posted = runtime()?
        .block_on(async { tokio::time::timeout(ANSWER_TIMEOUT, post(&options.remote, &path, body)).await });
    let (status, answer) = posted.map_err(|_| {
        anyhow::anyhow!("no answer in {ANSWER_TIMEOUT:?}; it is unknown whether it was stored")
    })??;
    if !status.is_success() {
        return Err(refused(&answer, status));
    }
    print_answer(&answer, options.output)?;
    Ok(())
}

/// Prints the messages of channels until the server or Ctrl-C ends it.
pub(crate) fn subscribe(options: &SubOptions) -> anyhow::Result<()> {
    runtime()?.block_on(async {
        let mut socket = connect(&options.remote.server).await?;
        if let Some(token) = &options.remote.token {
            socket.send(json!({ "type": "connect", "token": token }).to_string()).await?;
        }
        for channel in &options.channels {
            let mut command = json!({ "type": "subscribe", "channel": channel });
            if let Some(last) = options.last {
                command["last"] = last.into();
            }
            socket.send(command.to_string()).await?;
        }
        tokio::select! {
            result = follow(&mut socket, options) => result?,
            result = tokio::signal::ctrl_c() => result?,
        }
        // Nothing is expected of the line any more.
        let _ = socket.close(1000, "").await;
        Ok(())
    })
}

async fn follow(socket: &mut trunkline_ws::Socket, options: &SubOptions) -> anyhow::Result<()> {
    let mut left = options.count.unwrap_or(u64::MAX);
    while left > 0 {
        let received = socket.recv().await.map_err(|error| Failure::Connection(error.to_string()))?;
        let Some(received) = received else {
            let ended = socket.close_frame().map(|frame| format!("{} {}", frame.code, frame.reason));
            let reason = ended.unwrap_or_else(|| "without a reason".to_owned());
            return Err(Failure::Connection(format!("the server closed the line: {reason}")).into());
        };
        let Message::Text(text) = received else { continue };
        let message: ServerMessage =
            serde_json::from_str(&text).context("the server sent what is no message")?;
        left = left.saturating_sub(print_message(&text, &message, options)?);
    }
    Ok(())
}

/// Prints what is to be printed of it, and gives how many messages that were.
fn print_message(text: &str, message: &ServerMessage, options: &SubOptions) -> anyhow::Result<u64> {
    let mut out = io::stdout().lock();
    let channel = message.channel.as_deref().unwrap_or("?");
    let printed = match message.r#type.as_str() {
        "error" => {
            let code = message.code.as_ref().and_then(|code| code.as_str()).unwrap_or("error");
            let why = message.message.as_deref().unwrap_or("no reason was given");
            return Err(anyhow::anyhow!("refused ({code}): {why}"));
        }
        "message" | "subscribed" if options.output == Format::Json => {
            writeln!(out, "{text}")?;
            u64::from(message.r#type == "message")
        }
        "message" => {
            let content =
                content(message.data.as_deref(), message.text.as_deref(), message.binary.as_deref());
            write_line(&mut out, channel, message.offset, message.from.as_deref(), &content)?;
            1
        }
        "subscribed" => {
            for item in &message.items {
                let ServerMessageItem { offset, from, data, text, binary } = item;
                let content = content(data.as_deref(), text.as_deref(), binary.as_deref());
                write_line(&mut out, channel, *offset, from.as_deref(), &content)?;
            }
            message.items.len() as u64
        }
        _ => 0,
    };
    out.flush()?;
    Ok(printed)
}

fn write_line(
    out: &mut impl io::Write,
    channel: &str,
    offset: Option<u64>,
    from: Option<&str>,
    content: &str,
) -> io::Result<()> {
    let offset = offset.map(|offset| format!(" #{offset}")).unwrap_or_default();
    let from = from.map(|from| format!(" {from}:")).unwrap_or_default();
    writeln!(out, "{channel}{offset}{from} {content}")
}

/// A message's content on one line, with nothing in it that steers a terminal.
fn content(data: Option<&serde_json::value::RawValue>, text: Option<&str>, binary: Option<&str>) -> String {
    match (data, text, binary) {
        // JSON allows DEL and the C1 controls to stand unescaped in its strings.
        (Some(data), ..) => data
            .get()
            .chars()
            .map(|c| if c.is_control() { format!("\\u{:04x}", u32::from(c)) } else { c.into() })
            .collect(),
        (None, Some(text), _) => format!("{text:?}"),
        (None, None, Some(binary)) => format!("base64:{binary}"),
        (None, None, None) => String::new(),
    }
}

fn print_answer(answer: &[u8], format: Format) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    if format == Format::Json {
        out.write_all(answer)?;
        writeln!(out)?;
        return Ok(());
    }
    let answer: PublishAnswer =
        serde_json::from_slice(answer).context("the server's answer is not understood")?;
    let place = answer.offset.map(|offset| format!(" #{offset}")).unwrap_or_default();
    let again = if answer.dup { " (it was there already)" } else { "" };
    writeln!(out, "published to {}{place}{again}", answer.channel)?;
    Ok(())
}

fn refused(answer: &[u8], status: StatusCode) -> anyhow::Error {
    match serde_json::from_slice::<ProblemAnswer>(answer) {
        Ok(problem) => anyhow::anyhow!("refused ({}): {}", problem.code, problem.detail),
        Err(_) => anyhow::anyhow!("the server answered {status}; is it a Trunkline server?"),
    }
}

/// Posts `body` as JSON and gives the answer's status and body. Who speaks https:// is believed if the system trusts whom
/// it is signed by.
async fn post(remote: &RemoteOptions, path: &str, body: String) -> anyhow::Result<(StatusCode, Bytes)> {
    let server = remote.server.as_str();
    let url = http_url(server, path)?;
    let client = outgoing::client(&url, 0).map_err(Failure::Connection)?;
    let mut request = hyper::Request::post(url).header(hyper::header::CONTENT_TYPE, "application/json");
    if let Some(token) = &remote.token {
        request = request.header(hyper::header::AUTHORIZATION, format!("Bearer {token}"));
    }
    let answer = client.request(request.body(Full::new(Bytes::from(body)))?).await.map_err(|error| {
        if error.is_connect() {
            return Failure::Connection(no_connection(server, &whole(&error))).into();
        }
        anyhow::Error::new(error).context("the server closed the line before it answered")
    })?;
    let status = answer.status();
    let body = answer.into_body().collect().await.context("the answer was cut off")?.to_bytes();
    Ok((status, body))
}

fn http_url(server: &str, path: &str) -> Result<Uri, Failure> {
    let (scheme, rest) = server.split_once("://").unwrap_or(("http", server));
    let scheme = match scheme {
        "http" | "ws" => "http",
        "https" | "wss" => "https",
        other => {
            let message = format!("--server should be an http:// or https:// URL, not {other}://");
            return Err(Failure::Usage(message));
        }
    };
    let wrong = |error: &dyn std::fmt::Display| Failure::Usage(format!("--server {server:?}: {error}"));
    let authority = rest.split('/').next().unwrap_or(rest);
    let authority: Authority = authority.parse().map_err(|error| wrong(&error))?;
    let url = Uri::builder().scheme(scheme).authority(authority).path_and_query(path).build();
    url.map_err(|error| wrong(&error))
}

fn data(given: &str) -> anyhow::Result<String> {
    if given != "-" {
        return Ok(given.to_owned());
    }
    let mut text = String::new();
    io::stdin().lock().read_to_string(&mut text).context("standard input could not be read")?;
    Ok(text)
}

async fn connect(server: &str) -> anyhow::Result<trunkline_ws::Socket> {
    let url = websocket_url(server)?;
    trunkline_ws::connect(url.as_str())
        .subprotocol("trunkline.v1")
        .await
        .map_err(|error| Failure::Connection(no_connection(&url, &error)).into())
}

fn no_connection(server: &str, error: &dyn std::fmt::Display) -> String {
    format!(
        "no connection to {server}: {error}; is a server running there (`trunkline dev`), or is --server to be given?"
    )
}

fn websocket_url(server: &str) -> Result<String, Failure> {
    let (scheme, rest) = server.split_once("://").unwrap_or(("http", server));
    let scheme = match scheme {
        "http" | "ws" => "ws",
        "https" | "wss" => "wss",
        other => {
            return Err(Failure::Usage(format!(
                "--server should be an http:// or ws:// URL, not {other}://"
            )));
        }
    };
    let rest = rest.trim_end_matches('/');
    Ok(if rest.contains('/') { format!("{scheme}://{rest}") } else { format!("{scheme}://{rest}/ws") })
}

fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_found_by_http_and_websocket_urls() {
        let check = |server: &str, expect: Option<&str>| {
            assert_eq!(websocket_url(server).ok().as_deref(), expect, "{server}");
        };
        check("http://127.0.0.1:8000", Some("ws://127.0.0.1:8000/ws"));
        check("http://127.0.0.1:8000/", Some("ws://127.0.0.1:8000/ws"));
        check("https://live.example.com", Some("wss://live.example.com/ws"));
        check("ws://localhost:1/deep/ws", Some("ws://localhost:1/deep/ws"));
        check("localhost:8000", Some("ws://localhost:8000/ws"));
        check("ftp://x", None);
    }
}
