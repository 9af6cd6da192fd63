//! Who makes vectors, from the flags of a command.

use crate::{Embedder, Error, Hashed, HttpEmbedder, HttpOptions, Result, Store, VectorCache};

/// Who makes vectors of texts.
#[derive(clap::Args, Clone)]
pub(super) struct EmbedderArgs {
    /// hashed, which is built in and knows words and no meaning; or the address of a service that speaks OpenAI's API, with --model
    #[arg(long, value_name = "hashed|URL", default_value = "hashed", help_heading = "Vectors")]
    embedder: String,
    /// The service's model
    #[arg(long, value_name = "NAME", help_heading = "Vectors")]
    model: Option<String>,
    /// Numbers of a vector; of a service it is seen if it is not given [default of hashed: 512]
    #[arg(long, value_name = "N", help_heading = "Vectors")]
    dim: Option<usize>,
    /// File whose first line is the service's key
    #[arg(long, value_name = "FILE", help_heading = "Vectors", conflicts_with = "key_env")]
    key_file: Option<std::path::PathBuf>,
    /// Variable of the environment that holds the service's key
    #[arg(long, value_name = "NAME", help_heading = "Vectors")]
    key_env: Option<String>,
    /// Texts of one request
    #[arg(long, value_name = "N", default_value_t = 256, help_heading = "Vectors")]
    embed_batch: usize,
    /// Requests at a time
    #[arg(long, value_name = "N", default_value_t = 4, help_heading = "Vectors")]
    embed_concurrency: usize,
}

/// Who made the vectors that are there.
#[derive(clap::Args, Clone)]
pub(super) struct OldEmbedderArgs {
    /// Of the vectors that are there: hashed, or the address of a service, with --old-model [default: they stand for themselves]
    #[arg(long, value_name = "hashed|URL", help_heading = "Vectors that are there")]
    old_embedder: Option<String>,
    /// The service's model
    #[arg(long, value_name = "NAME", help_heading = "Vectors that are there", requires = "old_embedder")]
    old_model: Option<String>,
    /// File whose first line is the service's key
    #[arg(long, value_name = "FILE", help_heading = "Vectors that are there", requires = "old_embedder")]
    old_key_file: Option<std::path::PathBuf>,
    /// Variable of the environment that holds the service's key
    #[arg(long, value_name = "NAME", help_heading = "Vectors that are there", requires = "old_embedder")]
    old_key_env: Option<String>,
}

impl OldEmbedderArgs {
    /// The embedder of vectors of `dim` numbers, if one is named; otherwise as `new` says.
    pub(super) fn open(
        &self,
        new: &EmbedderArgs,
        dim: usize,
        store: &Store,
    ) -> Result<Option<Box<dyn Embedder>>> {
        let Some(embedder) = self.old_embedder.clone() else { return Ok(None) };
        let args = EmbedderArgs {
            embedder,
            model: self.old_model.clone(),
            dim: Some(dim),
            key_file: self.old_key_file.clone(),
            key_env: self.old_key_env.clone(),
            ..new.clone()
        };
        args.open(store).map(Some)
    }
}

impl EmbedderArgs {
    /// The embedder; of a service, behind the cache of `store`, so that it is paid once for a text.
    pub(super) fn open(&self, store: &Store) -> Result<Box<dyn Embedder>> {
        if self.embedder == "hashed" {
            let given = [self.model.is_some(), self.key_file.is_some(), self.key_env.is_some()];
            if given.contains(&true) {
                return Err(Error::invalid(
                    "--model and keys are a service's; name its address with --embedder",
                ));
            }
            return Ok(Box::new(self.dim.map_or_else(|| Ok(Hashed::default()), Hashed::new)?));
        }
        let Some(model) = &self.model else {
            return Err(Error::invalid(format!(
                "the service at {} has models; name one with --model",
                self.embedder
            )));
        };
        let mut options = HttpOptions::new(&self.embedder, model)
            .batch(self.embed_batch)
            .concurrency(self.embed_concurrency);
        if let Some(dim) = self.dim {
            options = options.dim(dim);
        }
        if let Some(file) = &self.key_file {
            options = options.key_file(file)?;
        }
        if let Some(name) = &self.key_env {
            options = options.key_env(name)?;
        }
        let embedder = HttpEmbedder::new(options)?;
        Ok(match VectorCache::open(store, VectorCache::BYTES) {
            Ok(cache) => Box::new(cache.before(embedder)),
            // A dry run has a store in memory.
            Err(_) => Box::new(embedder),
        })
    }

    /// How many files are worked on at a time.
    pub(super) fn threads(&self) -> usize {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        if self.embedder == "hashed" { cores } else { self.embed_concurrency.clamp(1, 64) }
    }
}
