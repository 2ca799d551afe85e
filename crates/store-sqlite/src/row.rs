//! How an entry lies in the table `log`: the order of its columns, and the bits of `flags`. Used by the
//! transaction that writes it and the reader that reads it.

use rusqlite::types::Type;
use rusqlite::{Error, Row};
use trunkline_model::{
    ChannelName, Epoch, Form, Key, Offset, Payload, Position, Publication, Timestamp, UserName,
};

/// The columns that [`publication`] expects, in its order.
pub(crate) const COLUMNS: &str = "offset, epoch, ts, flags, author, key, payload";

/// Set in `flags` if the entry is the first of its epoch in its channel.
pub(crate) const BEGINS_EPOCH: i64 = 4;

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
    Ok(publication)
}

fn form(flags: i64) -> rusqlite::Result<Form> {
    match flags & 3 {
        0 => Ok(Form::Json),
        1 => Ok(Form::Text),
        2 => Ok(Form::Binary),
        _ => Err(Error::IntegralValueOutOfRange(3, flags)),
    }
}
