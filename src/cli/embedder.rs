//! Who makes vectors, from the flags of a command.

use crate::{Embedder, Error, Hashed, HttpEmbedder, HttpOptions, Result, Store, VectorCache};

/// Who makes vectors of texts.
#[derive(clap::Args, Clone)]
pub(super) struct EmbedderArgs {
    /// hashed, which is built in and knows words and no meaning; the address of a service that speaks OpenAI's API, with --model; or the
    /// folder of a model that runs in this process (a build with the feature local-model)
    #[arg(long, value_name = "hashed|URL|DIR", default_value = "hashed", help_heading = "Vectors")]
    embedder: String,
    /// The service's model; of a folder, what it is to be called
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

impl EmbedderArgs {
    /// The embedder; but for the built-in one behind the cache of `store`, so that a text is paid once.
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
        if !self.embedder.contains("://") {
            return self.local(store);
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
        Ok(cached(store, HttpEmbedder::new(options)?))
    }

    /// What is neither built in nor an address.
    fn local(&self, store: &Store) -> Result<Box<dyn Embedder>> {
        let folder = &self.embedder;
        if !std::path::Path::new(folder).is_dir() {
            return Err(Error::invalid(format!(
                "--embedder {folder} is not hashed, nor the address of a service (http://...), nor a folder that is there"
            )));
        }
        if self.key_file.is_some() || self.key_env.is_some() {
            return Err(Error::invalid("keys are a service's; a folder needs none"));
        }
        self.folder(store)
    }

    #[cfg(feature = "local-model")]
    fn folder(&self, store: &Store) -> Result<Box<dyn Embedder>> {
        let mut options = crate::LocalOptions::default().threads(cores().min(64));
        if let Some(name) = &self.model {
            options = options.name(name);
        }
        let embedder = crate::LocalEmbedder::open(&self.embedder, options)?;
        match self.dim.filter(|dim| *dim != embedder.dim()) {
            Some(dim) => Err(Error::invalid(format!(
                "--dim is {dim}, and vectors of {} have {} numbers: leave it out",
                embedder.model(),
                embedder.dim()
            ))),
            None => Ok(cached(store, embedder)),
        }
    }

    #[cfg(not(feature = "local-model"))]
    fn folder(&self, _: &Store) -> Result<Box<dyn Embedder>> {
        Err(Error::invalid(format!(
            "{} is a folder, and this nearfield was built without local models: build it with --features local-model",
            self.embedder
        )))
    }

    /// How many files are worked on at a time.
    pub(super) fn threads(&self) -> usize {
        if self.embedder.contains("://") { self.embed_concurrency.clamp(1, 64) } else { cores() }
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn cached(store: &Store, embedder: impl Embedder + 'static) -> Box<dyn Embedder> {
    match VectorCache::open(store, VectorCache::BYTES) {
        Ok(cache) => Box::new(cache.before(embedder)),
        // A dry run has a store in memory.
        Err(_) => Box::new(embedder),
    }
}
