//! A step of a migration, by the providers that this server has.

use super::work::Done;
use super::{Crew, Progress};
use crate::server::migrate::{MigratedBy, NewModel};
use crate::server::wire::{MigrateBody, NewEmbedding, Object};
use crate::{Embedder, EmbeddingProfile, Error, Result};
use std::sync::Arc;

struct Named<'a> {
    crew: &'a Crew,
    order: &'a MigrateBody,
}

impl MigratedBy for Named<'_> {
    fn new_model(&self) -> Result<NewModel> {
        let Some(Object(NewEmbedding { provider, model })) = &self.order.embedding else {
            return Err(Error::invalid(
                "embedding is missing: name the provider and the model of the new vectors",
            ));
        };
        let profile = EmbeddingProfile::new(provider, model);
        let embedder = self.crew.makers.of_any_width(&profile, self.order.dim)?;
        let (budget, rate) = (self.crew.makers.budget(provider), self.crew.makers.rate(provider));
        Ok(NewModel { embedder, profile: Some(profile), budget, rate: Some(rate) })
    }

    fn old_model(&self) -> Result<Option<Arc<dyn Embedder>>> {
        let collection = self.crew.store.open_collection(&self.order.collection)?;
        let Some(profile) = &collection.schema().embedding else { return Ok(None) };
        self.crew.makers.of_any_width(profile, Some(collection.schema().dim)).map(Some)
    }
}

pub(super) fn run(crew: &Crew, progress: &Progress, order: &MigrateBody) -> Done {
    let tell = &mut |done: usize, of: usize| {
        progress.at(done as u64, of as u64);
        progress.goes_on()
    };
    match order.run(&crew.store, &Named { crew, order }, tell) {
        Ok(told) if told.was_stopped() => Ok(None),
        Ok(told) => Ok(Some(serde_json::to_value(told).unwrap_or_default())),
        // Stopped before the switch: nothing was given another name.
        Err(_) if !progress.goes_on() => Ok(None),
        Err(error) => Err(error.into()),
    }
}
