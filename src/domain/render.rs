//! What is kept of renders, for those to come.

use super::SegmentId;

/// How what documents' cells came to is kept beyond the memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RenderPolicy {
    /// It is kept when the document was not rendered for so many milliseconds. Default: 2,000.
    pub keep_after_ms: u64,
    /// And so many milliseconds after its first render at the latest. Default: 15,000.
    pub keep_within_ms: u64,
    /// What was not used for so many days is deleted. Default: 30.
    pub keep_days: u64,
}

impl Default for RenderPolicy {
    fn default() -> Self {
        Self { keep_after_ms: 2_000, keep_within_ms: 15_000, keep_days: 30 }
    }
}

/// The results of cells that ran one after another: an object with their reports, and one with the states behind them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenderSegment {
    /// Which one.
    pub id: SegmentId,
    /// Behind which cell of which segment its first cell ran; none for a document's first.
    pub parent: Option<(SegmentId, u32)>,
    /// How many segments it takes to know its cells, this one included.
    pub depth: u32,
    /// Whether its first state is what has changed since the last one before it, or stands for itself.
    pub is_based: bool,
    /// Of the bytes of the object with the reports.
    pub reports_digest: String,
    /// How many they are.
    pub reports_bytes: u64,
    /// Of the bytes of the object with the states; without meaning where there are none.
    pub states_digest: String,
    /// How many they are.
    pub states_bytes: u64,
    /// The places of the cells behind which there is a state.
    pub stateful: Vec<u32>,
}

impl RenderSegment {
    /// Bytes that it takes.
    pub fn size_bytes(&self) -> u64 {
        self.reports_bytes.saturating_add(self.states_bytes)
    }
}
