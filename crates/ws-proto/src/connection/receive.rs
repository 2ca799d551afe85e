//! Receiving: chunks from the decoder become messages, or parts of them; control frames are taken in.

use std::borrow::Cow;

use super::{Connection, Phase, Rare, Streamed};
use crate::close::CloseFrame;
use crate::decoder::{Chunk, Sizes};
use crate::deflate::{DeflatePool, Inflation, Rules, keep_window};
use crate::error::ProtocolError;
use crate::incoming::{Incoming, IncomingChunk, Payload};
use crate::opcode::{MessageKind, Opcode};

/// Compressed bytes of a message that has not ended are kept as they came up to this size; only then an inflater is
/// lent to it. So whoever wants us to hold one has to send as much as it takes.
const COMPRESSED_HELD_MAX: usize = Inflation::INFLATER_SIZE;

/// Of a compressed message that goes out in chunks, this much is inflated at a time; it may become 1,032 times more, which
/// is less than 4 MiB.
const COMPRESSED_CHUNK_MAX: usize = 4_000;

/// In what form messages go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Whole,
    Chunks,
}

/// What one chunk led to.
enum Step<'b> {
    Continue,
    NeedsMore,
    Done(IncomingChunk<'b>),
}

impl Connection {
    /// Takes what came from the front of `input`, unmasking in place, and advances it past what was used.
    /// Call it until it returns `None`: then all of `input` was used and more is needed (or nothing is
    /// read any more; see [`Connection::is_closed`]).
    ///
    /// # Errors
    /// What the peer did wrong, once. The close frame that says so is queued; from then on all input is discarded.
    ///
    /// A connection that has agreed on compression should use [`Connection::receive_with`]: here each compressed message
    /// gets an inflater of its own, which takes longer than inflating it.
    #[inline]
    pub fn receive<'b>(&mut self, input: &mut &'b mut [u8]) -> Result<Option<Incoming<'b>>, ProtocolError> {
        if let Some(message) = self.receive_whole(input)? {
            return Ok(Some(message));
        }
        Ok(self.receive_as(Form::Whole, input, None)?.map(Incoming::from_whole))
    }

    /// [`Connection::receive`] with the inflaters of `pool`.
    ///
    /// # Errors
    /// As `receive`.
    pub fn receive_with<'b>(
        &mut self,
        pool: &mut DeflatePool,
        input: &mut &'b mut [u8],
    ) -> Result<Option<Incoming<'b>>, ProtocolError> {
        if let Some(message) = self.receive_whole(input)? {
            return Ok(Some(message));
        }
        Ok(self.receive_as(Form::Whole, input, Some(pool))?.map(Incoming::from_whole))
    }

    /// [`Connection::receive`] for messages too big to hold: each part goes out as it comes, nothing is assembled, and the
    /// limits on frame and message size do not apply (of fragments, those without payload are counted). May be called
    /// when the beginning of a message was already taken in by `receive`: that is then the first chunk. The other way
    /// round, `receive` skips the rest of a message whose beginning went out in chunks, as [`Connection::skip_message`]
    /// does.
    ///
    /// # Errors
    /// As `receive`. The error may come after chunks of the message were handed out.
    pub fn receive_chunk<'b>(
        &mut self,
        input: &mut &'b mut [u8],
    ) -> Result<Option<IncomingChunk<'b>>, ProtocolError> {
        self.receive_as(Form::Chunks, input, None)
    }

    /// [`Connection::receive_chunk`] with the inflaters of `pool`. A chunk of a compressed message has up to 4 MiB; the
    /// first one besides what `receive` had taken in.
    ///
    /// # Errors
    /// As `receive_chunk`.
    pub fn receive_chunk_with<'b>(
        &mut self,
        pool: &mut DeflatePool,
        input: &mut &'b mut [u8],
    ) -> Result<Option<IncomingChunk<'b>>, ProtocolError> {
        self.receive_as(Form::Chunks, input, Some(pool))
    }

    /// Drops what is still to come of a message whose beginning went out in chunks: the next chunk is of another one.
    pub fn skip_message(&mut self) {
        if self.streamed == Streamed::Begun {
            self.streamed = Streamed::Skipped;
        }
    }

    /// Whether the front of `input` begins a message: nothing of it was decoded yet, so that the caller may still choose
    /// between [`Connection::receive`] and [`Connection::receive_chunk`], or leave it where it is.
    pub fn begins_message(&self, input: &[u8]) -> bool {
        let opcode = input.first().and_then(|first| Opcode::from_bits(first & 0x0F));
        self.decoder.is_idle() && matches!(opcode, Some(Opcode::Text | Opcode::Binary))
    }

    /// The commonest case in a few steps; see [`Decoder::decode_whole`](crate::Decoder).
    #[inline]
    fn receive_whole<'b>(&mut self, input: &mut &'b mut [u8]) -> Result<Option<Incoming<'b>>, ProtocolError> {
        if self.phase != Phase::Open || self.streamed != Streamed::No {
            return Ok(None);
        }
        match self.decoder.decode_whole(input) {
            Ok(None) => Ok(None),
            Ok(Some((kind, payload))) => {
                Ok(Some(Incoming::Message { kind, payload: Payload(Cow::Borrowed(payload)) }))
            }
            Err(error) => {
                self.fail(error);
                *input = &mut [];
                Err(error)
            }
        }
    }

    fn receive_as<'b>(
        &mut self,
        form: Form,
        input: &mut &'b mut [u8],
        mut pool: Option<&mut DeflatePool>,
    ) -> Result<Option<IncomingChunk<'b>>, ProtocolError> {
        if form == Form::Whole {
            self.skip_message();
        }
        while matches!(self.phase, Phase::Open | Phase::CloseSent) {
            let sizes = self.sizes(form);
            let step = self.decoder.decode_as(sizes, input).and_then(|chunk| match chunk {
                None => Ok(Step::NeedsMore),
                Some(chunk) if chunk.opcode.is_control() => self.handle_control(chunk),
                Some(chunk) if chunk.compressed => match pool.as_deref_mut() {
                    Some(pool) => self.handle_compressed(form, chunk, pool),
                    None => self.handle_compressed(form, chunk, &mut DeflatePool::default()),
                },
                Some(chunk) => Ok(self.handle_data(form, chunk)),
            });
            match step {
                Ok(Step::Continue) => {}
                Ok(Step::NeedsMore) => return Ok(None),
                Ok(Step::Done(incoming)) => return Ok(Some(incoming)),
                Err(error) => {
                    self.fail(error);
                    *input = &mut [];
                    return Err(error);
                }
            }
        }
        *input = &mut [];
        Ok(None)
    }

    fn sizes(&self, form: Form) -> Sizes {
        match (form, self.streamed, self.deflate) {
            (Form::Whole, Streamed::No, _) => Sizes::Limited,
            (_, _, None) => Sizes::Streamed { chunk_max: usize::MAX },
            (_, _, Some(_)) => Sizes::Streamed { chunk_max: COMPRESSED_CHUNK_MAX },
        }
    }

    fn handle_data<'b>(&mut self, form: Form, chunk: Chunk<'b>) -> Step<'b> {
        if self.phase != Phase::Open {
            return Step::Continue;
        }
        let (kind, last) = (message_kind(&chunk), chunk.last);
        let done = |payload| Step::Done(IncomingChunk::Chunk { kind, payload: Payload(payload), last });
        let then = |now: Streamed| if last { Streamed::No } else { now };
        match form {
            _ if self.streamed == Streamed::Skipped => {
                self.streamed = then(Streamed::Skipped);
                Step::Continue
            }
            Form::Whole if chunk.first && last => done(Cow::Borrowed(chunk.payload)),
            Form::Whole => self
                .with_rare(|rare| {
                    rare.message.extend_from_slice(chunk.payload);
                    last.then(|| std::mem::take(&mut rare.message))
                })
                .map_or(Step::Continue, |whole| done(Cow::Owned(whole))),
            Form::Chunks => {
                self.streamed = then(Streamed::Begun);
                match self.take_message() {
                    None => done(Cow::Borrowed(chunk.payload)),
                    Some(mut begun) => {
                        begun.extend_from_slice(chunk.payload);
                        done(Cow::Owned(begun))
                    }
                }
            }
        }
    }

    /// What was assembled of a message, if anything was.
    fn take_message(&mut self) -> Option<Vec<u8>> {
        self.rare.as_ref().filter(|rare| !rare.message.is_empty())?;
        Some(self.with_rare(|rare| std::mem::take(&mut rare.message)))
    }

    /// Short messages are inflated when they are whole; of longer ones each piece as it comes.
    fn handle_compressed<'b>(
        &mut self,
        form: Form,
        chunk: Chunk<'b>,
        pool: &mut DeflatePool,
    ) -> Result<Step<'b>, ProtocolError> {
        let direction = self.deflate.map(|params| params.received_by(self.role()));
        let (Phase::Open, Some(direction)) = (self.phase, direction) else { return Ok(Step::Continue) };
        let streamed = form == Form::Chunks || self.streamed != Streamed::No;
        let kind = message_kind(&chunk);
        let rules = Rules { limits: self.decoder.limits(), kind, streamed };
        let (lent, held, window) = match &mut self.rare {
            Some(rare) => {
                let window = rare.takeover.as_ref().map_or(&[][..], |takeover| &takeover.window);
                (rare.inflation.take(), std::mem::take(&mut rare.message), window)
            }
            None => (None, Vec::new(), &[][..]),
        };
        if !streamed
            && !chunk.last
            && lent.is_none()
            && held.len() + chunk.payload.len() <= COMPRESSED_HELD_MAX
        {
            let mut message = held;
            message.extend_from_slice(chunk.payload);
            self.with_rare(|rare| rare.message = message);
            return Ok(Step::Continue);
        }
        let mut inflation = lent.map_or_else(|| Inflation::begin(pool, window), |lent| *lent);
        inflation.push(&held, rules, pool)?;
        inflation.push(chunk.payload, rules, pool)?;
        let (made, rest) = match (chunk.last, streamed) {
            (true, _) => (inflation.finish(rules, pool)?, None),
            (false, true) => (inflation.take(), Some(inflation)),
            (false, false) => (Vec::new(), Some(inflation)),
        };
        if direction.takeover || self.rare.is_some() || rest.is_some() {
            self.with_rare(|rare| {
                rare.inflation = rest.map(Box::new);
                if direction.takeover {
                    let takeover = rare.takeover.get_or_insert_default();
                    keep_window(&mut takeover.window, &made, direction.window_bits);
                }
            });
        }
        let skipped = self.streamed == Streamed::Skipped;
        self.streamed = match self.streamed {
            _ if chunk.last => Streamed::No,
            Streamed::No if streamed && !made.is_empty() => Streamed::Begun,
            before => before,
        };
        if skipped || (!chunk.last && made.is_empty()) {
            return Ok(Step::Continue);
        }
        Ok(Step::Done(IncomingChunk::Chunk { kind, payload: Payload(Cow::Owned(made)), last: chunk.last }))
    }

    fn handle_control<'b>(&mut self, chunk: Chunk<'b>) -> Result<Step<'b>, ProtocolError> {
        let payload = if chunk.first && chunk.last {
            Payload(Cow::Borrowed(chunk.payload))
        } else {
            let whole = self.with_rare(|rare| {
                rare.control.extend_from_slice(chunk.payload);
                chunk.last.then(|| std::mem::take(&mut rare.control))
            });
            let Some(whole) = whole else { return Ok(Step::Continue) };
            Payload(Cow::Owned(whole))
        };
        Ok(Step::Done(match chunk.opcode {
            Opcode::Ping => self.handle_ping(payload),
            Opcode::Pong => IncomingChunk::Pong(payload),
            _ => self.handle_close(CloseFrame::decode(&payload)?),
        }))
    }

    /// One pong waits at most: only the newest ping has to be answered (§5.5.3), so a flood costs no memory.
    fn handle_ping<'b>(&mut self, payload: Payload<'b>) -> IncomingChunk<'b> {
        if self.phase == Phase::Open {
            self.with_rare(|rare| rare.pong = Some(payload.to_vec()));
        }
        IncomingChunk::Ping(payload)
    }

    fn handle_close<'b>(&mut self, frame: CloseFrame) -> IncomingChunk<'b> {
        self.phase = if self.phase == Phase::Open { Phase::CloseReceived } else { Phase::Closed };
        self.with_rare(|rare| {
            rare.drop_message();
            rare.close_received = Some(frame.clone());
        });
        IncomingChunk::Close(frame)
    }

    fn fail(&mut self, error: ProtocolError) {
        self.phase = if self.phase == Phase::Open { Phase::Failed } else { Phase::Closed };
        self.with_rare(|rare| *rare = Rare { failure: Some(error), ..Rare::default() });
    }
}

fn message_kind(chunk: &Chunk<'_>) -> MessageKind {
    if chunk.opcode == Opcode::Text { MessageKind::Text } else { MessageKind::Binary }
}
