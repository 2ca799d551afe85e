//! The pages: the UI embedded in the binary, or without it one page that says how to get it.

use axum::extract::Request;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};

/// What the pages may load and talk to: this server and nothing else.
#[cfg(feature = "ui")]
const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; img-src 'self' data:; object-src 'none'; \
    base-uri 'none'; frame-ancestors 'none'; form-action 'self'";
/// The one page without the UI has its style in itself, and loads nothing.
#[cfg(not(feature = "ui"))]
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; \
    frame-ancestors 'none'; form-action 'none'";

/// Any path that is no endpoint.
pub(crate) async fn page(request: Request) -> Response {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "GET, HEAD")]).into_response();
    }
    let mut response = find(request.uri().path());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(CONTENT_SECURITY_POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    response
}

/// `/trunkline.js`: the SDK for pages, of this server's own version.
pub(crate) async fn sdk() -> Response {
    find("/trunkline.js")
}

/// The paths that are pages of the UI; all are drawn by the one `index.html`.
const PAGES: &[&str] = &["/", "/demo", "/demo/", "/demo/chat"];

#[cfg(feature = "ui")]
fn find(path: &str) -> Response {
    #[derive(rust_embed::Embed)]
    #[folder = "../../ui/dist"]
    struct Files;

    let (name, caching) = if PAGES.contains(&path) {
        ("index.html", "no-cache")
    } else if path.starts_with("/assets/") {
        // Their names change with their content.
        (path.trim_start_matches('/'), "public, max-age=31536000, immutable")
    } else {
        (path.trim_start_matches('/'), "no-cache")
    };
    match Files::get(name) {
        Some(file) => {
            let content_type = file.metadata.mimetype().to_owned();
            let caching = [(header::CONTENT_TYPE, content_type), (header::CACHE_CONTROL, caching.to_owned())];
            (caching, file.data.into_owned()).into_response()
        }
        None => not_found(),
    }
}

#[cfg(not(feature = "ui"))]
fn find(path: &str) -> Response {
    if PAGES.contains(&path) {
        let content_type = [(header::CONTENT_TYPE, "text/html; charset=utf-8")];
        return (content_type, include_str!("without_ui.html")).into_response();
    }
    not_found()
}

/// Any path that is no endpoint, of a server without pages.
pub(crate) async fn no_page() -> Response {
    not_found()
}

fn not_found() -> Response {
    (StatusCode::NOT_FOUND, "there is no such page\n").into_response()
}
