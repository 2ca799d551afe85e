//! Edits, deletions and reactions: whether they are allowed, and what they make of their target. The tables `folds`,
//! `reactions` and `reactors`; used by the transaction, and by the reader for pages of history.

use bytes::Bytes;
use rusqlite::types::ToSqlOutput;
use rusqlite::{Connection, OptionalExtension as _, ToSql, params};
use trunkline_backend::{Append, Appended, REACTIONS_MAX, Refusal};
use trunkline_model::{Fold, Offset, Op, Payload, Position, Publication, Reference, Timestamp, UserName};

use crate::row::{self, BEGINS_EPOCH, ERASED, signed};

/// What weighs a message and what erases it; then the same for its edits.
const ERASURES: [(&str, &str); 2] = [
    (
        "SELECT ifnull(sum(octet_length(payload)), 0) FROM log WHERE channel = ?1 AND offset = ?2",
        "UPDATE log SET payload = x'', flags = flags | ?3 WHERE channel = ?1 AND offset = ?2",
    ),
    (
        "SELECT ifnull(sum(octet_length(payload)), 0) FROM log
         WHERE channel = ?1 AND target = ?2 AND flags & 56 = 8",
        "UPDATE log SET payload = x'', flags = flags | ?3
         WHERE channel = ?1 AND target = ?2 AND flags & 56 = 8",
    ),
];

/// What is asked of a reference's target.
struct Target {
    is_message: bool,
    is_reference: bool,
    is_erased: bool,
    author: Option<UserName>,
}

/// Who gave a reaction, so that nobody is not a user without a name.
struct Author<'a>(Option<&'a UserName>);

impl ToSql for Author<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        self.0.map_or_else(|| Ok(ToSqlOutput::from(0)), |name| Ok(ToSqlOutput::from(name.as_str())))
    }
}

/// Whether the reference that `append` is may be stored in the channel of this number. If the same reaction of the same
/// author stands, that one.
pub(crate) fn check(
    connection: &Connection,
    channel: i64,
    append: &Append,
    &Reference { target: at, op }: &Reference,
) -> rusqlite::Result<Result<Option<Appended>, Refusal>> {
    let Some(target) = find_target(connection, channel, at)?.filter(|target| target.is_message) else {
        return Ok(Err(Refusal::NoTarget(at)));
    };
    if target.is_reference {
        return Ok(Err(Refusal::TargetIsReference(at)));
    }
    if target.is_erased {
        return Ok(Err(Refusal::TargetDeleted(at)));
    }
    Ok(match op {
        Op::Edit | Op::Delete if !append.moderates && append.from != target.author => {
            Err(Refusal::NotAuthor(at))
        }
        Op::Edit | Op::Delete => Ok(None),
        Op::React if is_full(connection, channel, at, append)? => Err(Refusal::TooManyReactions(at)),
        Op::React => match given(connection, channel, at, append)? {
            Some(offset) => Ok(stored(connection, channel, offset)?),
            None => Ok(None),
        },
        Op::Unreact if given(connection, channel, at, append)?.is_none() => Err(Refusal::NoReaction(at)),
        Op::Unreact => Ok(None),
    })
}

fn find_target(connection: &Connection, channel: i64, at: Offset) -> rusqlite::Result<Option<Target>> {
    connection
        .prepare_cached(
            "SELECT flags, author, target IS NOT NULL, entry IS NULL FROM log WHERE channel = ?1 AND offset = ?2",
        )?
        .query_row(params![channel, signed(at.0)], |found| {
            Ok(Target {
                is_message: found.get(3)?,
                is_reference: found.get(2)?,
                is_erased: found.get::<_, i64>(0)? & ERASED != 0,
                author: found.get_ref(1)?.as_str_or_null()?.map(UserName::new),
            })
        })
        .optional()
}

/// Where the author of `append` has given this reaction, if it stands.
fn given(
    connection: &Connection,
    channel: i64,
    target: Offset,
    append: &Append,
) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached(
            "SELECT offset FROM reactors WHERE channel = ?1 AND target = ?2 AND value = ?3 AND author = ?4",
        )?
        .query_row(
            params![channel, signed(target.0), &append.payload.bytes[..], Author(append.from.as_ref())],
            |found| found.get(0),
        )
        .optional()
}

/// The answer to who wants to store it again.
fn stored(connection: &Connection, channel: i64, offset: i64) -> rusqlite::Result<Option<Appended>> {
    connection
        .prepare_cached("SELECT offset, epoch, ts, flags FROM log WHERE channel = ?1 AND offset = ?2")?
        .query_row([channel, offset], |found| {
            Ok(Appended {
                position: Position { offset: Offset(row::unsigned(found, 0)?), epoch: row::epoch(found, 1)? },
                begins_epoch: found.get::<_, i64>(3)? & BEGINS_EPOCH != 0,
                ts: Timestamp(row::unsigned(found, 2)?),
                duplicate: true,
            })
        })
        .optional()
}

/// Whether there would be too many different reactions with this one.
fn is_full(connection: &Connection, channel: i64, target: Offset, append: &Append) -> rusqlite::Result<bool> {
    connection
        .prepare_cached(
            "SELECT count(*) >= ?4 AND NOT max(value = ?3) FROM reactions WHERE channel = ?1 AND target = ?2",
        )?
        .query_row(
            params![channel, signed(target.0), &append.payload.bytes[..], REACTIONS_MAX as i64],
            |found| Ok(found.get::<_, Option<bool>>(0)?.unwrap_or(false)),
        )
}

/// Keeps what the reference at `offset`, which is allowed, makes of its target. Returns how many bytes were erased.
pub(crate) fn fold(
    connection: &Connection,
    channel: i64,
    append: &Append,
    &Reference { target, op }: &Reference,
    offset: Offset,
) -> rusqlite::Result<i64> {
    let (at, rev) = (signed(target.0), signed(offset.0));
    connection
        .prepare_cached(
            "INSERT INTO folds (channel, target, rev, edit) VALUES (?1, ?2, ?3, iif(?4, ?3, NULL))
             ON CONFLICT (channel, target) DO UPDATE SET rev = ?3, edit = iif(?4, ?3, edit)",
        )?
        .execute(params![channel, at, rev, op == Op::Edit])?;
    let value = &append.payload.bytes;
    match op {
        Op::Edit => Ok(0),
        Op::React => react(connection, channel, append, (at, rev), value).map(|()| 0),
        Op::Unreact => take_back(connection, channel, append, at, value).map(|()| 0),
        Op::Delete => erase(connection, channel, at),
    }
}

fn react(
    connection: &Connection,
    channel: i64,
    append: &Append,
    (target, offset): (i64, i64),
    value: &Bytes,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO reactors (channel, target, value, author, offset) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![channel, target, &value[..], Author(append.from.as_ref()), offset])?;
    connection
        .prepare_cached(
            "INSERT INTO reactions (channel, target, value, first, count) VALUES (?1, ?2, ?3, ?4, 1)
             ON CONFLICT (channel, target, value) DO UPDATE SET count = count + 1",
        )?
        .execute(params![channel, target, &value[..], offset])
        .map(|_| ())
}

fn take_back(
    connection: &Connection,
    channel: i64,
    append: &Append,
    target: i64,
    value: &Bytes,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "DELETE FROM reactors WHERE channel = ?1 AND target = ?2 AND value = ?3 AND author = ?4",
        )?
        .execute(params![channel, target, &value[..], Author(append.from.as_ref())])?;
    connection
        .prepare_cached(
            "UPDATE reactions SET count = count - 1 WHERE channel = ?1 AND target = ?2 AND value = ?3",
        )?
        .execute(params![channel, target, &value[..]])?;
    connection
        .prepare_cached(
            "DELETE FROM reactions WHERE channel = ?1 AND target = ?2 AND value = ?3 AND count <= 0",
        )?
        .execute(params![channel, target, &value[..]])
        .map(|_| ())
}

/// Erases a message and its edits, also from where they lay in the file.
fn erase(connection: &Connection, channel: i64, target: i64) -> rusqlite::Result<i64> {
    connection.pragma_update_and_check(None, "secure_delete", true, |_| Ok(()))?;
    let mut bytes = 0;
    for (weigh, erase) in ERASURES {
        bytes +=
            connection.prepare_cached(weigh)?.query_row([channel, target], |found| found.get::<_, i64>(0))?;
        connection.prepare_cached(erase)?.execute(params![channel, target, ERASED])?;
    }
    connection
        .prepare_cached("UPDATE folds SET edit = NULL WHERE channel = ?1 AND target = ?2")?
        .execute([channel, target])?;
    // Who gave them goes with the reactions' own entries: it may be a million.
    connection
        .prepare_cached("DELETE FROM reactions WHERE channel = ?1 AND target = ?2")?
        .execute([channel, target])?;
    Ok(bytes)
}

/// Forgets what was made of messages below `floor`, and who gave the reactions that lay there.
pub(crate) fn forget(connection: &Connection, channel: i64, floor: u64) -> rusqlite::Result<()> {
    connection
        .prepare_cached("DELETE FROM folds WHERE channel = ?1 AND target < ?2")?
        .execute(params![channel, signed(floor)])?;
    connection
        .prepare_cached("DELETE FROM reactions WHERE channel = ?1 AND target < ?2")?
        .execute(params![channel, signed(floor)])?;
    connection
        .prepare_cached("DELETE FROM reactors WHERE channel = ?1 AND offset < ?2")?
        .execute(params![channel, signed(floor)])
        .map(|_| ())
}

/// A message as readers of history see it.
pub(crate) fn folded(
    snapshot: &Connection,
    channel: i64,
    message: Publication,
) -> rusqlite::Result<Publication> {
    let Some(Position { offset, .. }) = message.position else { return Ok(message) };
    let fold: Option<(u64, Option<i64>)> = snapshot
        .prepare_cached("SELECT rev, edit FROM folds WHERE channel = ?1 AND target = ?2")?
        .query_row(params![channel, signed(offset.0)], |found| Ok((row::unsigned(found, 0)?, found.get(1)?)))
        .optional()?;
    let Some((rev, edit)) = fold else { return Ok(message) };
    let payload = match edit {
        None => message.payload.clone(),
        Some(edit) => payload(snapshot, channel, edit)?,
    };
    let mut select = snapshot.prepare_cached(
        "SELECT value, count FROM reactions WHERE channel = ?1 AND target = ?2 ORDER BY first",
    )?;
    let reactions = select.query_map(params![channel, signed(offset.0)], |found| {
        let value = String::from_utf8_lossy(found.get_ref(0)?.as_blob()?).into();
        Ok((value, u32::try_from(found.get::<_, i64>(1)?).unwrap_or(u32::MAX)))
    })?;
    let reactions = reactions.collect::<rusqlite::Result<_>>()?;
    Ok(message.folded(payload, Fold { rev: Offset(rev), reactions }))
}

fn payload(snapshot: &Connection, channel: i64, offset: i64) -> rusqlite::Result<Payload> {
    snapshot
        .prepare_cached("SELECT flags, payload FROM log WHERE channel = ?1 AND offset = ?2")?
        .query_row([channel, offset], |found| {
            Ok(Payload::new(row::form(found.get(0)?)?, found.get_ref(1)?.as_blob()?.to_vec()))
        })
}
