//! The claims of a token as serde sees them: any JSON object. What each may be is judged by `claims`.

use serde::Deserialize;
use serde_json::{Map, Value};

/// All claims, as they stand in the token.
#[derive(Deserialize)]
#[serde(transparent)]
pub(crate) struct RawClaims(pub(crate) Map<String, Value>);
