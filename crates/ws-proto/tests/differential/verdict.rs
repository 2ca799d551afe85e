//! Whether two readings of one stream agree, and the differences that are meant. Used by `main.rs`.

use trunkline_ws_proto::{ProtocolError, Role};

use crate::FRAME_SIZE_MAX;
use crate::events::{Event, Fault, theirs};

/// Where this crate and tungstenite 0.30 differ on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Difference {
    /// We refuse a length that has a shorter form (RFC 6455 §5.2: "the minimal number of bytes MUST be used"); it takes any.
    LengthNotMinimal,
    /// We count fragments, because empty ones are free for the peer and for ever; it has no such limit.
    FragmentCap,
    /// We refuse from the first byte that says so, it when the frame is whole: a stream that ends inside the frame fails
    /// here and waits there. With the rest of the frame it must fail as well, for the same reason.
    Early,
    /// A close code that may not be on the wire is an error here; there it is a close frame of code 1002 with the words
    /// "Protocol violation", so that the application never sees that the peer was at fault.
    CloseCode,
    /// 1014 (bad gateway) is registered with IANA since 2016 and allowed here; there it is a violation.
    CloseCode1014,
    /// A close frame with both a wrong code and a reason that is not UTF-8: we name the code, it names the reason.
    CloseCodeAndReason,
    /// A frame with two faults, one of them its size: we name what is malformed (1002) before what is merely big (1009).
    MalformedAndBig,
}

impl Difference {
    pub(crate) const ALL: [Self; 7] = [
        Self::LengthNotMinimal,
        Self::FragmentCap,
        Self::Early,
        Self::CloseCode,
        Self::CloseCode1014,
        Self::CloseCodeAndReason,
        Self::MalformedAndBig,
    ];
}

/// The differences that explain two readings, or why they cannot be explained.
pub(crate) fn compare(
    role: Role,
    stream: &[u8],
    ours: &[Event],
    theirs: &[Event],
) -> Result<Vec<Difference>, String> {
    let same = ours.iter().zip(theirs).take_while(|(ours, theirs)| alike(ours, theirs)).count();
    let (ours, theirs) = (&ours[same..], &theirs[same..]);
    match (ours, theirs) {
        ([], []) => Ok(Vec::new()),
        ([Event::Failed(fault)], []) => match waits(*fault) {
            Some(difference) => Ok(vec![difference]),
            None => check_early(role, stream, same, *fault),
        },
        ([Event::Failed(fault)], [other, ..]) => match explain(*fault, other) {
            Some(difference) => Ok(vec![difference]),
            None => Err(format!("event {same} is {fault:?} here and {other:?} there")),
        },
        ([Event::Close(1014, _)], [Event::Close(1002, words)]) if words == "Protocol violation" => {
            Ok(vec![Difference::CloseCode1014])
        }
        (_, other) => Err(format!("from event {same} on: {ours:?} here, {other:?} there")),
    }
}

fn alike(ours: &Event, theirs: &Event) -> bool {
    match (ours, theirs) {
        (Event::Failed(Fault::Protocol(_)), Event::Failed(Fault::Protocol(_))) => true,
        (ours, theirs) => ours == theirs,
    }
}

/// What we refuse and it takes, so that it has nothing to say yet.
fn waits(fault: Fault) -> Option<Difference> {
    match fault {
        Fault::Protocol(Some(ProtocolError::LengthNotMinimal)) => Some(Difference::LengthNotMinimal),
        Fault::TooManyFragments => Some(Difference::FragmentCap),
        _ => None,
    }
}

/// What we refuse and it reads otherwise.
fn explain(fault: Fault, other: &Event) -> Option<Difference> {
    match (fault, other) {
        (Fault::Protocol(Some(ProtocolError::LengthNotMinimal)) | Fault::TooManyFragments, _) => waits(fault),
        (Fault::Protocol(Some(ProtocolError::CloseCodeInvalid(_))), Event::Close(1002, words)) => {
            (words == "Protocol violation").then_some(Difference::CloseCode)
        }
        (Fault::Protocol(Some(ProtocolError::CloseCodeInvalid(_))), Event::Failed(Fault::NotUtf8)) => {
            Some(Difference::CloseCodeAndReason)
        }
        (Fault::Protocol(_), Event::Failed(Fault::TooBig)) => Some(Difference::MalformedAndBig),
        // A control frame has no use for the longer forms: we need not read the length to refuse it.
        (Fault::Protocol(Some(ProtocolError::ControlTooLong)), _) => Some(Difference::LengthNotMinimal),
        _ => None,
    }
}

/// We failed and it waits: with the rest of the frame, whatever it is, it fails for the same reason.
fn check_early(role: Role, stream: &[u8], same: usize, fault: Fault) -> Result<Vec<Difference>, String> {
    let rest = vec![0; FRAME_SIZE_MAX + 20];
    let padded = theirs(role, &vec![stream.to_vec(), rest]);
    match padded.get(same) {
        Some(event) if alike(&Event::Failed(fault), event) => Ok(vec![Difference::Early]),
        Some(event) => match explain(fault, event) {
            Some(difference) => Ok(vec![Difference::Early, difference]),
            None => Err(format!("{fault:?} here, and {event:?} there when the frame is whole")),
        },
        None => Err(format!("{fault:?} here, and nothing there even when the frame is whole")),
    }
}
