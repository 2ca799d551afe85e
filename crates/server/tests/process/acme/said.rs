//! What an authority answers: whole, or without end.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame};

/// The body of an answer.
pub(super) enum Said {
    Whole(Option<Bytes>),
    Endless,
}

impl Said {
    pub(super) fn text(text: String) -> Self {
        Self::Whole(Some(text.into()))
    }
}

impl Body for Said {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(match self.get_mut() {
            Self::Whole(text) => text.take().map(|text| Ok(Frame::data(text))),
            Self::Endless => Some(Ok(Frame::data(Bytes::from_static(&[b' '; 16 << 10])))),
        })
    }
}
