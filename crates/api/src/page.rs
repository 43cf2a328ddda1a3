//! A part of a list.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A part of a list. It may be short though the list goes on: only `next` tells.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// In order.
    pub items: Vec<T>,
    /// The `cursor` (for events `after`) of the next page; absent: this was the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}
