//! Calls of the application as clients meet them: what it answers, refuses, breaks off, never answers, and when it is
//! not there. The application is a small HTTP endpoint inside the test, which does what its methods are called.

mod endpoint;

use std::sync::atomic::Ordering;

use rustix::process::Signal;
use serde_json::{Value, json};

use self::endpoint::Endpoint;
use crate::client::Client;
use crate::patience::{soon, until};
use crate::raw::{Raw, TEXT};
use crate::server::{Folder, Server};

fn rpc(method: &str, data: &Value) -> Value {
    json!({ "type": "rpc", "method": method, "data": data })
}

/// Calls `method`, which must be refused so.
async fn refused(client: &mut Client, method: &str, code: &str, part: &str) -> Value {
    let error = client.ask(rpc(method, &json!({ "n": 1 }))).await;
    assert_eq!((&error["type"], &error["code"]), (&json!("error"), &json!(code)), "{method}: {error}");
    let message = error["message"].as_str().expect("errors have a message");
    assert!(message.contains(part), "{method}: {message:?} should contain {part:?}");
    error
}

#[tokio::test]
async fn what_the_application_answers_comes_back() {
    let (endpoint, folder) = (Endpoint::start().await, Folder::new());
    let server = endpoint.server(&folder, "");
    let mut client = Client::open(&server).await;
    let welcome = client.ask(json!({ "type": "connect" })).await;
    for data in [json!({ "item": 7, "deep": [[1.5, null]] }), json!(null), json!("é\n"), json!([])] {
        let result = client.ask(rpc("echo", &data)).await;
        assert_eq!(result["type"], "result", "{result}");
        let asked = &result["data"];
        let expected = json!({
            "method": "echo", "data": data, "client": welcome["client"], "user": welcome["user"],
        });
        assert_eq!(asked["body"], expected);
        assert_eq!(asked["type"], "application/json");
        assert_eq!(asked["target"], "/rpc?key=1");
    }
    let nothing = client.ask(rpc("nothing", &json!(1))).await;
    assert_eq!((&nothing["type"], nothing.get("data")), (&json!("result"), Some(&Value::Null)), "{nothing}");
    client.close().await;
    let mut typed = Raw::upgraded(&server, "/ws").await;
    typed.send(TEXT, br#"{"type":"rpc","id":1,"method":"spaced"}"#).await;
    assert_eq!(typed.text().await, r#"{"type":"result","id":1,"data":{ "a": 1}}"#, "on one line");
}

#[tokio::test]
async fn what_the_application_refuses_or_gets_wrong_is_told() {
    let (endpoint, folder) = (Endpoint::start().await, Folder::new());
    let server = endpoint.server(&folder, "");
    let mut client = Client::open(&server).await;
    let forbidden = refused(&mut client, "refuse", "forbidden", "not for you").await;
    assert_eq!(forbidden.get("retry"), None);
    let limited = refused(&mut client, "limit", "rate_limited", "slowly").await;
    assert_eq!(limited["retry"], 250);
    let busy = refused(&mut client, "busy", "not_available", "503").await;
    assert_eq!(busy["retry"], 1_000);
    refused(&mut client, "odd", "internal", "418").await;
    refused(&mut client, "broken", "internal", "500").await;
    refused(&mut client, "elsewhere", "internal", "302").await;
    refused(&mut client, "text", "internal", "not with JSON").await;
    refused(&mut client, "large", "internal", "more than 65536 bytes").await;
    refused(&mut client, "hang_up", "internal", "broke off before it answered").await;
    let largest = client.ask(rpc("largest", &json!(1))).await;
    assert_eq!(largest["data"].as_str().map(str::len), Some(65_534), "{:.200}", largest.to_string());
    let unnamed = json!({ "type": "rpc", "method": "echo", "data": 1 });
    client.send(&unnamed).await;
    let error = client.next().await;
    assert_eq!((&error["code"], error.get("id")), (&json!("bad_request"), None), "{error}");
    client.close().await;
}

#[tokio::test]
async fn connections_to_the_application_are_kept() {
    const CALLS: usize = 40;
    let (endpoint, folder) = (Endpoint::start().await, Folder::new());
    let server = endpoint.server(&folder, "");
    let mut client = Client::open(&server).await;
    for number in 0..CALLS {
        let result = client.ask(rpc("echo", &json!(number))).await;
        assert_eq!(result["data"]["body"]["data"], number, "{result}");
    }
    let connections = endpoint.connections.load(Ordering::Relaxed);
    assert!(connections < CALLS / 2, "{connections} connections for {CALLS} calls, one after the other");
    client.close().await;
}

#[tokio::test]
async fn a_call_that_is_never_answered_times_out_and_holds_nobody_up() {
    let (mut endpoint, folder) = (Endpoint::start().await, Folder::new());
    let server = endpoint.server(&folder, "timeout = \"300ms\"");
    let mut client = Client::open(&server).await;
    let mut never = rpc("never", &json!(1));
    never["id"] = 1.into();
    client.send(&never).await;
    let quick = client.ask(rpc("echo", &json!("quick"))).await;
    assert_eq!(quick["data"]["body"]["data"], "quick", "{quick}");
    let late = client.answer(1).await;
    assert_eq!(late["code"], "timeout", "{late}");
    assert!(late["message"].as_str().is_some_and(|message| message.contains("within 300 ms")), "{late}");
    soon("the server to hang up on the application", endpoint.abandoned.recv()).await;
    client.close().await;
}

#[tokio::test]
async fn an_application_that_is_not_there() {
    let folder = Folder::new();
    let endpoint = Endpoint::start().await;
    let server = endpoint.server(&folder, "");
    endpoint.end().await;
    let mut client = Client::open(&server).await;
    let away = refused(&mut client, "echo", "not_available", "cannot be reached").await;
    assert_eq!(away["retry"], 1_000);
    client.close().await;
    drop(server);

    let server = Server::start(&Folder::new());
    let mut client = Client::open(&server).await;
    refused(&mut client, "echo", "not_found", "`url` of `[rpc]`").await;
    client.close().await;
}

#[tokio::test]
async fn a_call_under_way_is_answered_before_the_server_ends() {
    let (mut endpoint, folder) = (Endpoint::start().await, Folder::new());
    let server = endpoint.server(&folder, "");
    let mut client = Client::open(&server).await;
    client.send(&json!({ "type": "rpc", "id": 1, "method": "wait", "data": 1 })).await;
    soon("the call", endpoint.waits.recv()).await.expect("the endpoint runs");
    server.signal(Signal::TERM);
    // It takes no more connections: it has begun to end.
    let address = server.address();
    until("the listener to close", || std::net::TcpStream::connect(address).err()).await;
    endpoint.release.notify_one();
    let result = client.answer(1).await;
    assert_eq!(result["data"], "waited", "{result}");
    assert_eq!(client.closed().await, 4503);
    let (status, _) = server.ended().await;
    assert!(status.success(), "{status}");
}
