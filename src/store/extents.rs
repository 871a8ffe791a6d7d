//! What was stored at some times and has changed since, as a list of extents.

use std::mem;

use super::timeline::Extent;

/// Disjoint extents by ascending time, at least one.
#[derive(Debug)]
pub enum Extents {
    /// Allocates nothing: there may be one for each of a million short series.
    One(Extent),
    Many(Vec<Extent>),
}

/// Times that no extent covers.
pub struct Gap {
    /// The first timestamp.
    pub from: i64,
    /// The last timestamp.
    pub to: i64,
    /// How many extents are before it.
    before: usize,
}

impl Extents {
    fn into_list(self) -> Vec<Extent> {
        match self {
            Extents::One(extent) => vec![extent],
            Extents::Many(list) => list,
        }
    }

    pub fn as_slice(&self) -> &[Extent] {
        match self {
            Extents::One(extent) => std::slice::from_ref(extent),
            Extents::Many(list) => list,
        }
    }

    /// How many extents there are.
    pub fn len(&self) -> usize {
        self.as_slice().len()
    }

    /// The extent that covers a timestamp, or the gap that it is in.
    pub fn find(&self, timestamp: i64) -> Result<&Extent, Gap> {
        let list = self.as_slice();
        let next = list.partition_point(|extent| extent.from <= timestamp);
        match list[..next].last() {
            Some(last) if timestamp <= last.to => Ok(last),
            last => Err(Gap {
                // Neither overflows: the timestamp is between.
                from: last.map_or(i64::MIN, |last| last.to + 1),
                to: list.get(next).map_or(i64::MAX, |next| next.from - 1),
                before: next,
            }),
        }
    }

    /// Inserts an extent that is in a gap.
    pub fn insert(&mut self, gap: &Gap, extent: Extent) {
        let mut list = mem::replace(self, Extents::Many(Vec::new())).into_list();
        list.insert(gap.before, extent);
        *self = Extents::Many(list);
    }

    /// `older` and, of `newer`, what the former do not cover and is not past `last`.
    pub fn joined(older: Option<Extents>, newer: Extents, last: i64) -> Option<Extents> {
        let mut older = older
            .map_or(Vec::new(), Extents::into_list)
            .into_iter()
            .peekable();
        let mut joined = Vec::with_capacity(older.len() + newer.len());
        // The first timestamp that is not joined yet; none where that was the last there is.
        let mut from = Some(i64::MIN);
        for newer in newer.into_list() {
            while let Some(next) = older.next_if(|older| older.from <= newer.to) {
                joined.extend(newer.part(from, next.from.checked_sub(1)));
                from = next.to.checked_add(1);
                joined.push(next);
            }
            joined.extend(
                newer
                    .part(from, Some(newer.to))
                    .filter(|part| part.from <= last),
            );
        }
        joined.extend(older);
        joined.shrink_to_fit();
        (!joined.is_empty()).then_some(Extents::Many(joined))
    }

    /// Bytes that are allocated, blocks that others may share included.
    pub fn allocated_bytes(&self) -> usize {
        let kept = self.as_slice().iter().map(Extent::allocated_bytes);
        self.list_bytes() + kept.sum::<usize>()
    }

    /// Bytes that are allocated for the list alone. Constant time.
    pub fn list_bytes(&self) -> usize {
        match self {
            Extents::One(_) => 0,
            Extents::Many(list) => list.capacity() * size_of::<Extent>(),
        }
    }
}
