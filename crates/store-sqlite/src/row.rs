//! How an entry lies in the table `log`: the order of its columns, and the bits of `flags`. Used by the
//! transaction that writes it and the reader that reads it.

use rusqlite::types::Type;
use rusqlite::{Error, Row};
use trunkline_backend::Appended;
use trunkline_model::{
    ChannelName, ClientId, Entry, EntryName, Epoch, Form, Key, Offset, Op, Payload, Position, Publication,
    Reference, Role, Timestamp, UserName,
};

/// The columns that [`publication`] expects, in its order.
pub(crate) const COLUMNS: &str =
    "offset, epoch, ts, flags, author, key, payload, entry, expires, owner, target";

/// Which of them is the offset of what a reference is about; NULL if it is none.
pub(crate) const TARGET: usize = 10;

/// What an entry counts against byte limits: what [`Publication::cost`] says of it.
pub(crate) const COST: &str =
    "octet_length(log.payload) + ifnull(octet_length(log.author), 0) + ifnull(octet_length(log.key), 0) + 64";

/// Set in `flags` if the entry is the first of its epoch in its channel.
pub(crate) const BEGINS_EPOCH: i64 = 4;

/// The bit of `flags` that says whether it begins an epoch.
pub(crate) fn begins_bit(appended: &Appended) -> i64 {
    if appended.begins_epoch { BEGINS_EPOCH } else { 0 }
}

/// Set in `flags` if the entry tells that what it names is gone.
pub(crate) const REMOVED: i64 = 64;

/// Set in `flags` if a deletion has erased the payload.
pub(crate) const ERASED: i64 = 128;

/// The bits of `flags` that say what a reference does. Indexes of the schema rely on these numbers.
pub(crate) fn op_bits(op: Op) -> i64 {
    match op {
        Op::Edit => 8,
        Op::Delete => 16,
        Op::React => 24,
        Op::Unreact => 32,
    }
}

fn op(flags: i64) -> rusqlite::Result<Op> {
    let known = Op::ALL.iter().find(|op| op_bits(**op) == flags & 56);
    known.copied().ok_or(Error::IntegralValueOutOfRange(3, flags))
}

/// The name under which the newest state of `entry` is kept: none is empty, so that stands for the only one of a `value`.
pub(crate) fn entry_name(entry: &Entry) -> &str {
    entry.name.as_ref().map_or("", |name| name.as_str())
}

/// The bits of `flags` that say the payload's form.
pub(crate) fn form_bits(form: Form) -> i64 {
    match form {
        Form::Json => 0,
        Form::Text => 1,
        Form::Binary => 2,
    }
}

/// A number as SQLite keeps it. What is above 2^63 means "for ever" or "the last" and becomes the largest.
pub(crate) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A number as it was kept. A damaged file may hold a negative one.
pub(crate) fn unsigned(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let number: i64 = row.get(column)?;
    u64::try_from(number).map_err(|_| Error::IntegralValueOutOfRange(column, number))
}

/// The epoch in a column.
pub(crate) fn epoch(row: &Row<'_>, column: usize) -> rusqlite::Result<Epoch> {
    unsigned(row, column).map(Epoch::from_random)
}

/// The entry of `channel` that a row of [`COLUMNS`] holds.
pub(crate) fn publication(channel: &ChannelName, row: &Row<'_>) -> rusqlite::Result<Publication> {
    let flags: i64 = row.get(3)?;
    let bytes = row.get_ref(6)?.as_blob()?.to_vec();
    let payload = Payload::new(form(flags)?, bytes);
    let mut publication = Publication::new(channel.clone(), Timestamp(unsigned(row, 2)?), payload);
    publication.position = Some(Position { epoch: epoch(row, 1)?, offset: Offset(unsigned(row, 0)?) });
    publication.begins_epoch = flags & BEGINS_EPOCH != 0;
    publication.from = row.get_ref(4)?.as_str_or_null()?.map(UserName::new);
    publication.key = row
        .get_ref(5)?
        .as_str_or_null()?
        .map(Key::parse)
        .transpose()
        .map_err(|invalid| Error::FromSqlConversionFailure(5, Type::Text, Box::new(invalid)))?;
    publication.role = role(row, flags)?;
    publication.erased = flags & ERASED != 0;
    Ok(publication)
}

fn role(row: &Row<'_>, flags: i64) -> rusqlite::Result<Role> {
    if row.get::<_, Option<i64>>(TARGET)?.is_some() {
        let target = Offset(unsigned(row, TARGET)?);
        return Ok(Role::Reference(Reference { target, op: op(flags)? }));
    }
    let Some(name) = row.get_ref(7)?.as_str_or_null()? else { return Ok(Role::Message) };
    let name = Some(name).filter(|name| !name.is_empty()).map(EntryName::parse).transpose();
    let expires: Option<i64> = row.get(8)?;
    Ok(Role::Entry(Box::new(Entry {
        name: name.map_err(|invalid| Error::FromSqlConversionFailure(7, Type::Text, Box::new(invalid)))?,
        removed: flags & REMOVED != 0,
        expires: expires.map(|_| unsigned(row, 8).map(Timestamp)).transpose()?,
        owner: row.get_ref(9)?.as_str_or_null()?.map(ClientId::new),
    })))
}

/// The form that `flags` say.
pub(crate) fn form(flags: i64) -> rusqlite::Result<Form> {
    match flags & 3 {
        0 => Ok(Form::Json),
        1 => Ok(Form::Text),
        2 => Ok(Form::Binary),
        _ => Err(Error::IntegralValueOutOfRange(3, flags)),
    }
}
