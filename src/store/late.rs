//! Late points, until there are enough of them to be worth rewriting what they fall into.

use std::sync::Arc;

use super::Point;
use super::block::SHARED_BYTES;
use super::head::Head;
use super::run::{Kind, RUN_POINTS, Run};

/// Points that came late and are not merged yet, in the order in which they came: a point replaces
/// those at its timestamp that came before it. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Late {
    /// In as few bytes as the head, which can keep points in any order.
    pub points: Option<Arc<Head>>,
}

impl Late {
    pub fn is_empty(&self) -> bool {
        self.points.is_none()
    }

    pub fn len(&self) -> usize {
        self.points.as_ref().map_or(0, |points| points.len())
    }

    /// Adds a point. The first one says how many there may be and of what kind they are likely to
    /// be: as soon as there are so many, takes all out.
    pub fn put(&mut self, point: Point, kind: Kind, limit: usize) -> Option<Late> {
        let begin = || Arc::new(Head::unordered(kind, limit.clamp(1, RUN_POINTS)));
        // Copied only if a snapshot shares them.
        let points = Arc::make_mut(self.points.get_or_insert_with(begin));
        points.reserve_exact();
        points.push_apart(point.timestamp, point.value.into());
        let points = self.points.take_if(|points| points.is_full());
        points.is_some().then_some(Late { points })
    }

    /// The points by ascending timestamp, each timestamp once.
    pub fn in_order(&self) -> Run {
        let mut run = Run::new();
        if let Some(points) = &self.points {
            points.decode(&mut run);
            run.sort();
        }
        run
    }

    /// Merges those after `after` into `run`, up to its last point or, if it is empty, up to
    /// `until`. Leaves as many of the first points as fit; the others come with the next run.
    pub fn merge_into(&self, after: Option<i64>, until: i64, run: &mut Run) {
        if self.is_empty() {
            return;
        }
        let mut late = self.in_order();
        late.keep(after, run.timestamps().last().copied().unwrap_or(until));
        if !late.is_empty() {
            *run = run.merged(&late).swap_remove(0);
        }
    }

    pub fn allocated_bytes(&self) -> usize {
        self.points.as_ref().map_or(0, |points| {
            SHARED_BYTES + size_of::<Head>() + points.allocated_bytes()
        })
    }
}
