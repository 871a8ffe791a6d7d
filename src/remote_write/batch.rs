//! Points that are sent at once, and the request that they become.

use std::ops::Range;

use super::labels::Labels;

/// Points in the order of their puts.
#[derive(Debug, Default)]
pub struct Batch {
    points: Vec<BatchPoint>,
}

#[derive(Clone, Copy, Debug)]
struct BatchPoint {
    series: u32,
    timestamp_ms: i64,
    value: f64,
}

impl Batch {
    /// Appends a point. Series are numbered densely from 0 on.
    pub fn push(&mut self, series: u32, timestamp_ms: i64, value: f64) {
        self.points.push(BatchPoint {
            series,
            timestamp_ms,
            value,
        });
    }

    /// How many points there are.
    pub fn len(&self) -> usize {
        self.points.len()
    }

    /// Forgets all points.
    pub fn clear(&mut self) {
        self.points.clear();
    }

    /// Writes the points of this range as a compressed `prometheus.WriteRequest`, in place of what
    /// `body` holds: each series once, with its points in their order. `key` says what the key of a series is.
    pub fn encode<'key>(
        &mut self,
        points: Range<usize>,
        labels: &Labels,
        key: &dyn Fn(u32) -> &'key str,
        body: &mut Vec<u8>,
    ) {
        let _ = (points, labels, key, body);
        todo!()
    }
}
