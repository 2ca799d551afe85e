//! The checked name of what an `rpc` asks to be done, and the question as whoever answers it gets it. Made by dialects
//! and the hub; who answers, and how, is not known here.

use std::fmt;
use std::sync::Arc;

use crate::channel::is_allowed;
use crate::{ClientId, Payload, UserName};

/// The longest name of a method, in bytes.
pub const METHOD_MAX: usize = 64;

/// The name of a method: 1 to [`METHOD_MAX`] bytes of `A–Z a–z 0–9 _ - . : ~ @`.
///
/// Cheap to clone (reference-counted).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Method(Arc<str>);

/// Why a text is not the name of a method.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidMethod {
    /// It has no byte at all.
    #[error("the name of a method needs at least one character")]
    Empty,
    /// It is longer than [`METHOD_MAX`] bytes.
    #[error("the name of a method has at most {METHOD_MAX} bytes, this one has {0}")]
    TooLong(usize),
    /// It holds a character outside of the allowed set.
    #[error("the name of a method may hold A–Z a–z 0–9 _ - . : ~ @, not {0:?}")]
    Character(char),
}

impl Method {
    /// Checks `name`.
    ///
    /// # Errors
    /// [`InvalidMethod`] says which rule is broken.
    pub fn parse(name: &str) -> Result<Self, InvalidMethod> {
        if name.is_empty() {
            return Err(InvalidMethod::Empty);
        }
        if name.len() > METHOD_MAX {
            return Err(InvalidMethod::TooLong(name.len()));
        }
        match name.chars().find(|c| !is_allowed(*c)) {
            Some(c) => Err(InvalidMethod::Character(c)),
            None => Ok(Self(name.into())),
        }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

/// An `rpc` of a client, as the application gets it. Who asks is the server's word, not the client's.
#[derive(Clone, PartialEq, Debug)]
pub struct RpcRequest {
    /// What is to be done.
    pub method: Method,
    /// With what: JSON.
    pub data: Payload,
    /// The public id of the session that asks.
    pub client: ClientId,
    /// The user who asks; `None` for the server's own API.
    pub user: Option<UserName>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_methods() {
        let check = |name: &str, expect: Result<(), InvalidMethod>| {
            assert_eq!(Method::parse(name).map(|method| assert_eq!(method.as_str(), name)), expect);
        };
        check("orders.place:v2", Ok(()));
        check("~a_B-9@", Ok(()));
        check(&"x".repeat(64), Ok(()));
        check("", Err(InvalidMethod::Empty));
        check(&"x".repeat(65), Err(InvalidMethod::TooLong(65)));
        check("orders/place", Err(InvalidMethod::Character('/')));
        check("é", Err(InvalidMethod::Character('é')));
    }
}
