//! The HTTP API under `/api/v1`: a channel's messages, read and published.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection, QueryRejection};
use axum::extract::{Extension, FromRequestParts, Path, Query};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use trunkline_dialect::json;
use trunkline_model::{
    Action, ChannelName, Command, Epoch, ErrorCode, Fault, HistoryQuery, Identity, Offset, Page, Position,
    Reply,
};
use trunkline_node::{Handle, Refusal, Refusals};

use crate::credentials;
use crate::door::ServerDoor;
use crate::dto::MessagesQuery;
use crate::problem::Problem;

/// When a page may be asked for again that there was no memory for.
const CROWDED_RETRY: Duration = Duration::from_secs(5);

/// The channel in the path.
pub(crate) struct Channel(ChannelName);

impl<S: Send + Sync> FromRequestParts<S> for Channel {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let name: Result<Path<String>, PathRejection> = Path::from_request_parts(parts, state).await;
        let Path(name) = name.map_err(|error| Problem::bad_request(error.body_text()))?;
        let channel = ChannelName::parse(&name)
            .map_err(|error| Problem::bad_request(format!("the channel in the path: {error}")))?;
        Ok(Self(channel))
    }
}

/// `GET /api/v1/channels/{channel}/messages?before=|after=&limit=&at=`
pub(crate) async fn messages(
    Channel(channel): Channel,
    caller: Caller,
    Extension(worker): Extension<Handle>,
    Extension(crowded): Extension<Arc<AtomicBool>>,
    query: Result<Query<MessagesQuery>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    if crowded.load(Ordering::Relaxed) {
        let message =
            "the server has as much memory in use as `limits.memory` allows, and a page would take more";
        return Err(Problem::new(Fault::new(ErrorCode::NotAvailable, message).retry_in(CROWDED_RETRY)));
    }
    let Query(query) = query.map_err(|error| Problem::bad_request(error.body_text()))?;
    let query = HistoryQuery {
        channel,
        before: query.before.map(Offset),
        after: query.after.map(Offset),
        limit: query.limit,
        at: query.at.as_deref().map(position).transpose()?,
    };
    match call(&worker, caller, Action::History(query)).await? {
        Reply::History { page, .. } => Ok(page_response(&page, &headers)),
        other => Err(unexpected(&other)),
    }
}

/// `POST /api/v1/channels/{channel}/messages` with `{"data": …}`, `{"text": …}` or `{"binary": …}`, and
/// perhaps a `key`.
pub(crate) async fn publish(
    Channel(channel): Channel,
    caller: Caller,
    Extension(worker): Extension<Handle>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    check_json(&headers)?;
    let body = body.map_err(|error| {
        let code = if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
            ErrorCode::TooLarge
        } else {
            ErrorCode::BadRequest
        };
        Problem::new(Fault::new(code, error.body_text()))
    })?;
    let text = std::str::from_utf8(&body)
        .map_err(|error| Problem::bad_request(format!("the body is not UTF-8: {error}")))?;
    let publish = json::decode_publish(channel, text).map_err(Problem::new)?;
    match call(&worker, caller, Action::Publish(publish)).await? {
        reply @ Reply::Published { .. } => {
            let mut json = Vec::new();
            json::encode_published(&reply, &mut json);
            Ok(([(header::CONTENT_TYPE, "application/json")], json).into_response())
        }
        other => Err(unexpected(&other)),
    }
}

/// Who makes the request, by its `Authorization`.
pub(crate) struct Caller(Identity);

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let door: Option<&Arc<ServerDoor>> = parts.extensions.get();
        let door = door.expect("the router has it for every request");
        let refusals: Option<&Arc<Refusals>> = parts.extensions.get();
        let caller = door.caller(credentials::bearer(&parts.headers).as_ref()).await;
        caller.map(Self).map_err(|fault| {
            if let Some(refusals) = refusals {
                refusals.note(Refusal::Credentials);
            }
            Problem::new(fault)
        })
    }
}

async fn call(worker: &Handle, Caller(identity): Caller, action: Action) -> Result<Reply, Problem> {
    let reply = worker.call(identity, Command { id: None, action }).await;
    match reply {
        Ok(Reply::Fault(fault)) => Err(Problem::new(fault)),
        Ok(reply) => Ok(reply),
        Err(stopped) => Err(Problem::new(Fault::new(ErrorCode::Draining, stopped.to_string()))),
    }
}

fn unexpected(reply: &Reply) -> Problem {
    tracing::error!(?reply, "a call was answered with another command's reply");
    Problem::new(Fault::new(ErrorCode::Internal, "the server gave an answer to another question"))
}

/// A form on a foreign page can post without asking, but not as JSON.
fn check_json(headers: &HeaderMap) -> Result<(), Problem> {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let essence = given.split(';').next().unwrap_or("").trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let message = format!("the Content-Type should be application/json, not {given:?}");
    Err(Problem::bad_request(message).with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE))
}

fn position(text: &str) -> Result<Position, Problem> {
    let wrong =
        || Problem::bad_request(format!("`at` should be a position, EPOCH:OFFSET like a1f:42, not {text:?}"));
    let (epoch, offset) = text.split_once(':').ok_or_else(wrong)?;
    let epoch = Epoch::parse(epoch).map_err(|_| wrong())?;
    let offset = offset.parse().map_err(|_| wrong())?;
    Ok(Position { epoch, offset: Offset(offset) })
}

fn page_response(page: &Page, request: &HeaderMap) -> Response {
    // A log only grows, so where a page begins and ends says all that is in it.
    let tag = format!(
        "\"{}.{}.{}.{}.{}.{}\"",
        page.epoch,
        page.top,
        page.lo,
        page.hi,
        page.floor,
        u8::from(page.more)
    );
    let caching = [(header::ETAG, tag.clone()), (header::CACHE_CONTROL, "private, no-cache".to_owned())];
    let known = request.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let is_this = |one: &str| one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag;
    if known.is_some_and(|known| known.split(',').any(|one| is_this(one.trim()))) {
        return (StatusCode::NOT_MODIFIED, caching).into_response();
    }
    let mut json = Vec::new();
    json::encode_page(page, &mut json);
    (caching, [(header::CONTENT_TYPE, "application/json")], json).into_response()
}

/// Anything under `/api` that is not there.
pub(crate) async fn not_found() -> Problem {
    Problem::new(Fault::new(
        ErrorCode::NotFound,
        "there is no such endpoint; there are GET and POST /api/v1/channels/{channel}/messages",
    ))
}
