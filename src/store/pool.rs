//! A list in no order, whose memory goes back to the system as it gets shorter.

/// Bytes that there is room for from the first item on, of which the system gives only the pages
/// that are used. glibc always returns what was allocated in more than 32 MiB at once, and what is
/// smaller not if it has once freed something larger.
const ROOM_BYTES: usize = (32 << 20) + (1 << 20);

/// How many bytes of unused room in the end are returned at once.
const UNUSED_BYTES: usize = 1 << 20;

/// Up to 2^32 - 1 items in no order, by an index that changes as others are removed.
#[derive(Debug)]
pub struct Pool<T> {
    items: Vec<T>,
}

/// The index of no item.
pub const NONE: u32 = u32::MAX;

impl<T> Default for Pool<T> {
    fn default() -> Pool<T> {
        Pool { items: Vec::new() }
    }
}

impl<T> Pool<T> {
    pub fn len(&self) -> usize {
        self.items.len()
    }

    pub fn get(&self, index: u32) -> Option<&T> {
        self.items.get(index as usize)
    }

    pub fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        self.items.get_mut(index as usize)
    }

    /// Adds an item and gives its index.
    pub fn push(&mut self, item: T) -> u32 {
        if self.items.capacity() == 0 {
            self.items.reserve_exact(ROOM_BYTES / size_of::<T>());
        }
        self.items.push(item);
        self.items.len() as u32 - 1
    }

    /// Removes an item. The last one takes its index.
    pub fn swap_remove(&mut self, index: u32) -> T {
        let item = self.items.swap_remove(index as usize);
        let unused = UNUSED_BYTES / size_of::<T>();
        if self.items.is_empty() {
            self.items = Vec::new();
        } else if self.items.len().is_multiple_of(unused) {
            self.items.shrink_to(self.items.len() + unused);
        }
        item
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_goes_back_in_pieces_as_the_items_go() {
        const UNUSED: usize = UNUSED_BYTES / size_of::<u64>();
        let mut pool = Pool::default();
        for item in 0..4 * UNUSED as u64 {
            assert_eq!(u64::from(pool.push(item)), item);
        }
        for length in (0..4 * UNUSED).rev() {
            assert_eq!(
                pool.swap_remove(0),
                (length as u64 + 1) % (4 * UNUSED as u64)
            );
            if length <= 3 * UNUSED {
                assert!(pool.items.capacity() <= length + 2 * UNUSED);
            }
        }
        assert_eq!((pool.len(), pool.items.capacity()), (0, 0));
    }
}
