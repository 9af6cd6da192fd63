//! What people do to a row by hand.

use crate::ids::ChunkId;
use crate::record::{Chunk, Row, admit};

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Hand<'a> {
    /// Another vector; the row has nothing else after it.
    Vector(&'a [f32]),
    /// Another text; the rest of the row stays.
    Text(&'a str),
    Delete,
}

impl<'a> From<Option<&'a [f32]>> for Hand<'a> {
    fn from(vector: Option<&'a [f32]>) -> Self {
        vector.map_or(Self::Delete, Self::Vector)
    }
}

impl Hand<'_> {
    /// What stands after it.
    pub(super) fn write(self, id: &str, live: Option<&Row>) -> Option<Row> {
        match self {
            Self::Delete => None,
            Self::Vector(vector) => Some(super::row(id, vector)),
            Self::Text(text) => {
                let mut row = admit(Chunk::new(id).text(text), 1, false).expect("a text is enough");
                if let Some(live) = live {
                    let mut payload = live.payload.clone().or_else(|| row.payload.clone());
                    if let Some(payload) = &mut payload {
                        payload.text = Some(text.into());
                    }
                    row = Row { id: ChunkId::from(id), vector: live.vector.clone(), payload };
                }
                Some(row)
            }
        }
    }
}
