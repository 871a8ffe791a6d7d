//! What was stored at some times and has changed since, as a list of extents.

use super::timeline::Extent;

/// Disjoint extents by ascending time.
#[derive(Debug, Default)]
pub struct Extents {
    list: Vec<Extent>,
}

impl Extents {
    /// The extent that covers a timestamp. If none does: the place in the list where one would go,
    /// and the last timestamp for which this is so.
    pub fn find(&self, timestamp: i64) -> Result<&Extent, (usize, i64)> {
        let place = self.list.partition_point(|extent| extent.to < timestamp);
        match self.list.get(place) {
            Some(extent) if extent.from <= timestamp => Ok(extent),
            // Does not overflow: the next one begins past the timestamp.
            next => Err((place, next.map_or(i64::MAX, |next| next.from - 1))),
        }
    }

    /// Adds those parts of an extent, up to `last`, that no other covers. Returns how many bytes
    /// more are allocated, blocks that others may share included.
    pub fn add(&mut self, extent: &Extent, last: i64) -> usize {
        let (mut bytes, before) = (0, self.list_bytes());
        let last = extent.to.min(last);
        let mut next = Some(extent.from);
        while let Some(from) = next.filter(|&from| from <= last) {
            let to = match self.find(from) {
                Ok(covers) => covers.to,
                Err((place, gap_to)) => {
                    let to = gap_to.min(last);
                    // Mostly it stays the only one.
                    self.list.reserve_exact(usize::from(self.list.is_empty()));
                    self.list.insert(place, extent.part(from, to));
                    bytes += extent.allocated_bytes();
                    to
                }
            };
            next = to.checked_add(1);
        }
        bytes + self.list_bytes() - before
    }

    /// Takes the last extent out, if there is one.
    pub fn pop(&mut self) -> Option<Extent> {
        self.list.pop()
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Bytes that are allocated for the list alone.
    pub fn list_bytes(&self) -> usize {
        self.list.capacity() * size_of::<Extent>()
    }
}

#[cfg(test)]
impl Extents {
    /// Asserts that the extents are disjoint and in order; gives the bytes that are allocated,
    /// counted one by one.
    pub fn check(&self) -> usize {
        let list = &self.list;
        assert!(list.iter().all(|extent| extent.from <= extent.to));
        assert!(list.windows(2).all(|pair| pair[0].to < pair[1].from));
        self.list_bytes() + list.iter().map(Extent::allocated_bytes).sum::<usize>()
    }
}
