//! What was stored at some times and has changed since, as a list of extents.

use std::{mem, slice};

use super::Point;
use super::history::Sealed;
use super::run::{Kind, Run};

/// The points that were stored between two timestamps at one moment.
#[derive(Clone, Debug)]
pub struct Extent {
    /// The first timestamp.
    pub from: i64,
    /// The last timestamp.
    pub to: i64,
    /// These points, and perhaps others before and after.
    pub points: Points,
}

#[derive(Clone, Debug)]
pub enum Points {
    /// The only one of a series, which allocates nothing: a million short series may each have one.
    One(Point),
    Sealed(Sealed),
}

impl Extent {
    /// Decodes the next points past `after` and up to `until`, both of which are within it, and
    /// says whether there are any.
    pub fn next_run(&self, after: Option<i64>, until: i64, run: &mut Run) -> bool {
        match &self.points {
            Points::One(point) => {
                run.reset(0, Kind::Bits, false);
                run.push(point.timestamp, point.value.to_bits() as i64);
                run.keep(after, until);
                !run.is_empty()
            }
            Points::Sealed(sealed) => sealed.next_run(after, until, run),
        }
    }

    /// Bytes that are allocated, though others may share them.
    pub fn allocated_bytes(&self) -> usize {
        match &self.points {
            Points::One(_) => 0,
            Points::Sealed(sealed) => sealed.allocated_bytes(),
        }
    }
}

/// Disjoint extents by ascending time.
#[derive(Debug)]
pub enum Extents {
    /// Allocates nothing: there may be one for each of a million short series.
    One(Extent),
    Many(Vec<Extent>),
}

impl Extents {
    fn as_slice(&self) -> &[Extent] {
        match self {
            Extents::One(extent) => slice::from_ref(extent),
            Extents::Many(list) => list,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.as_slice().is_empty()
    }

    /// The extent that covers a timestamp. If none does: the place in the list where one would go,
    /// and the last timestamp for which this is so.
    pub fn find(&self, timestamp: i64) -> Result<&Extent, (usize, i64)> {
        let list = self.as_slice();
        let place = list.partition_point(|extent| extent.to < timestamp);
        match list.get(place) {
            Some(extent) if extent.from <= timestamp => Ok(extent),
            // Does not overflow: the next one begins past the timestamp.
            next => Err((place, next.map_or(i64::MAX, |next| next.from - 1))),
        }
    }

    /// Adds those parts of an extent, up to `last`, that no other covers. Returns how many bytes
    /// more are allocated, blocks that others may share included.
    pub fn add(&mut self, extent: &Extent, last: i64) -> usize {
        let mut bytes = 0;
        let last = extent.to.min(last);
        let mut next = Some(extent.from);
        while let Some(from) = next.filter(|&from| from <= last) {
            let to = match self.find(from) {
                Ok(covers) => covers.to,
                Err((place, gap_to)) => {
                    let to = gap_to.min(last);
                    let points = extent.points.clone();
                    bytes += self.insert(place, Extent { from, to, points });
                    to
                }
            };
            next = to.checked_add(1);
        }
        bytes
    }

    fn insert(&mut self, place: usize, extent: Extent) -> usize {
        let (bytes, before) = (extent.allocated_bytes(), self.list_bytes());
        let mut list = match mem::take(self) {
            Extents::One(extent) => vec![extent],
            Extents::Many(list) => list,
        };
        if list.is_empty() {
            *self = Extents::One(extent);
        } else {
            list.insert(place, extent);
            *self = Extents::Many(list);
        }
        bytes + self.list_bytes() - before
    }

    /// Takes the last extent out, if there is one, and says how many bytes less are allocated.
    pub fn pop(&mut self) -> Option<(Extent, usize)> {
        let before = self.list_bytes();
        let extent = match mem::take(self) {
            Extents::One(extent) => extent,
            Extents::Many(mut list) => {
                let extent = list.pop()?;
                if !list.is_empty() {
                    *self = Extents::Many(list);
                }
                extent
            }
        };
        let bytes = extent.allocated_bytes() + before - self.list_bytes();
        Some((extent, bytes))
    }

    /// Bytes that are allocated for the list alone.
    fn list_bytes(&self) -> usize {
        match self {
            Extents::One(_) => 0,
            Extents::Many(list) => list.capacity() * size_of::<Extent>(),
        }
    }
}

impl Default for Extents {
    fn default() -> Extents {
        Extents::Many(Vec::new())
    }
}

#[cfg(test)]
impl Extents {
    /// Asserts that the extents are disjoint and in order; gives the bytes that are allocated,
    /// counted one by one.
    pub fn check(&self) -> usize {
        let list = self.as_slice();
        assert!(list.iter().all(|extent| extent.from <= extent.to));
        assert!(list.windows(2).all(|pair| pair[0].to < pair[1].from));
        self.list_bytes() + list.iter().map(Extent::allocated_bytes).sum::<usize>()
    }
}
