//! The files that a peer reads; `README.md` has their layouts.

use thanoslib::chunk::Encoding;

/// Adds a chunk: `encoding u8 | length u32 LE | data`.
pub(crate) fn put_chunk(out: &mut Vec<u8>, encoding: Encoding, data: &[u8]) {
    out.push(encoding as u8);
    out.extend_from_slice(&(data.len() as u32).to_le_bytes());
    out.extend_from_slice(data);
}

/// Ends a series of chunks: encoding 0 without data.
pub(crate) fn end_series(out: &mut Vec<u8>) {
    out.extend_from_slice(&[0; 5]);
}

/// Adds a list of numbers: `count u32 LE | count × u32 BE`.
pub(crate) fn put_list(out: &mut Vec<u8>, ids: &[u32]) {
    out.extend_from_slice(&(ids.len() as u32).to_le_bytes());
    ids.iter().for_each(|id| out.extend_from_slice(&id.to_be_bytes()));
}
