//! Who can make vectors, by name: what a collection's profile stands for here.
//!
//! Owns the names and what each stands for. Invariants: `hashed` is always there and needs nothing; what is known to be wrong is said before
//! anybody is asked; no secret is in a message.

mod options;
#[cfg(test)]
mod tests;

pub use options::ProviderOptions;

use super::{Embedder, Hashed, HttpEmbedder};
use crate::config::{EmbeddingProfile, check_provider};
use crate::error::{Error, ErrorKind, Result, excerpt};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What the built-in embedder's models are called, before their width.
const HASHED_MODEL: &str = "nearfield-hashed-";

/// Providers of embeddings by their names; [`Providers::HASHED`] is one of them without being given.
///
/// ```
/// use nearfield::{Metric, Providers, Schema, Store};
///
/// let store = Store::memory();
/// let docs = store.create_collection("docs", Schema::new(512, Metric::Cosine).embedding(Providers::hashed(512)))?;
/// // Later, and elsewhere: who embeds this collection?
/// let providers = Providers::default(); // or Providers::new([("openai".into(), ProviderOptions::new(url))])?
/// let schema = docs.schema();
/// let embedder = schema.embedding.as_ref().map(|profile| providers.embedder(profile, schema.dim)).transpose()?;
/// assert_eq!(embedder.map(|embedder| embedder.dim()), Some(512)); // for Documents::embedder, Backfill::start, questions
/// # Ok::<(), nearfield::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Providers {
    named: BTreeMap<String, ProviderOptions>,
}

impl Providers {
    /// The provider that is built in: words and no meaning, on this machine, at once. Its model of `d` numbers is `nearfield-hashed-d`.
    pub const HASHED: &'static str = "hashed";

    /// Services by their names, beside the one that is built in. Refuses what cannot work, with the reason.
    pub fn new(named: impl IntoIterator<Item = (String, ProviderOptions)>) -> Result<Self> {
        let named: BTreeMap<String, ProviderOptions> = named.into_iter().collect();
        for (name, options) in &named {
            Self::check_name(name)?;
            let of = |e: Error| Error::new(e.kind(), format!("the provider {name} of embeddings: {e}"));
            options.validate().map_err(of)?;
        }
        Ok(Self { named })
    }

    /// Refuses a name that no service can have.
    pub(crate) fn check_name(name: &str) -> Result<()> {
        if name == Self::HASHED {
            return Err(Error::invalid("the provider hashed is built in; give the service another name"));
        }
        check_provider(name)
    }

    /// All names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        [Self::HASHED].into_iter().chain(self.named.keys().map(String::as_str))
    }

    /// A service's settings; none for what is built in, and for what is not known.
    pub fn get(&self, provider: &str) -> Option<&ProviderOptions> {
        self.named.get(provider)
    }

    /// Whether its vectors are made in this process, without asking anybody.
    pub fn is_local(&self, profile: &EmbeddingProfile) -> bool {
        profile.provider == Self::HASHED
    }

    /// The profile of the built-in embedder for vectors of `dim` numbers.
    pub fn hashed(dim: usize) -> EmbeddingProfile {
        EmbeddingProfile::new(Self::HASHED, format!("{HASHED_MODEL}{dim}"))
    }

    /// Refuses a profile that nobody here serves ([`ErrorKind::Invalid`]), or whose vectors are known to be of another width
    /// ([`ErrorKind::Conflict`]). Asks nobody.
    pub fn check(&self, profile: &EmbeddingProfile, dim: usize) -> Result<()> {
        self.check_any_width(profile, Some(dim))
    }

    /// The same where it may not be said yet how wide its vectors are.
    pub(crate) fn check_any_width(&self, profile: &EmbeddingProfile, dim: Option<usize>) -> Result<()> {
        profile.validate()?;
        let known = if self.is_local(profile) {
            Some(hashed_width(&profile.model).ok_or_else(|| {
                let dim = dim.unwrap_or(Hashed::default().dim());
                let (model, right) = (excerpt(&profile.model), Self::hashed(dim).model);
                Error::invalid(format!(
                    "the provider hashed has no model {model}; for {dim} numbers it is {right}"
                ))
            })?)
        } else {
            let options = self.named.get(&profile.provider).ok_or_else(|| self.unknown(&profile.provider))?;
            Some(options.dimensions).filter(|dimensions| *dimensions > 0)
        };
        match known.zip(dim) {
            Some((width, dim)) if width != dim => Err(Error::new(
                ErrorKind::Conflict,
                format!(
                    "model {} of provider {} makes vectors of {width} numbers, the collection has {dim}; make it with dim {width}, or \
                     name another model",
                    excerpt(&profile.model),
                    profile.provider
                ),
            )),
            _ => Ok(()),
        }
    }

    /// Who makes the vectors of a profile, `dim` numbers each. Reads the service's key, and asks nobody yet.
    pub fn embedder(&self, profile: &EmbeddingProfile, dim: usize) -> Result<Arc<dyn Embedder>> {
        self.check(profile, dim)?;
        match self.named.get(&profile.provider) {
            Some(options) => Ok(Arc::new(HttpEmbedder::new(options.http(profile, Some(dim))?)?)),
            None => Ok(Arc::new(Hashed::new(dim)?)),
        }
    }

    /// The same where nobody says how wide its vectors are: the model's name does, or the settings do, or the service is asked.
    pub fn seen(&self, profile: &EmbeddingProfile) -> Result<Arc<dyn Embedder>> {
        profile.validate()?;
        if self.is_local(profile) {
            return self.embedder(profile, hashed_width(&profile.model).unwrap_or(Hashed::default().dim()));
        }
        let options = self.named.get(&profile.provider).ok_or_else(|| self.unknown(&profile.provider))?;
        let dim = Some(options.dimensions).filter(|dimensions| *dimensions > 0);
        Ok(Arc::new(HttpEmbedder::new(options.http(profile, dim)?)?))
    }

    fn unknown(&self, provider: &str) -> Error {
        let known: Vec<&str> = self.names().collect();
        Error::invalid(format!(
            "the provider {} of embeddings is not known here; known are: {}. Others are made known in the settings, in a section \
             embedding.NAME",
            excerpt(provider),
            known.join(", ")
        ))
    }
}

/// The width that a model of the built-in embedder is named after.
fn hashed_width(model: &str) -> Option<usize> {
    let width = model.strip_prefix(HASHED_MODEL)?.parse().ok()?;
    (Providers::hashed(width).model == model).then_some(width)
}
