//! Who makes vectors: what the flags of a command say, or else the collection's profile, by the providers of the settings.

use crate::{
    Embedder, EmbeddingProfile, Error, ErrorKind, Hashed, HttpEmbedder, HttpOptions, ProviderOptions,
    Providers, Result, Schema, Store, VectorCache,
};
use std::sync::Arc;

/// Requests at a time where nobody says how many.
const CONCURRENCY: usize = 4;

/// Who makes vectors of texts.
#[derive(clap::Args, Clone)]
pub(super) struct EmbedderArgs {
    /// hashed, which is built in and knows words and no meaning; a provider of the settings, or the address of a service that speaks
    /// OpenAI's API, with --model; or the folder of a model that runs in this process (a build with the feature local-model) [default: the
    /// collection's; hashed for one that has none]
    #[arg(long, value_name = "hashed|NAME|URL|DIR", help_heading = "Vectors")]
    embedder: Option<String>,
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
    /// Texts of one request [default: 256, or as the provider's settings say]
    #[arg(long, value_name = "N", help_heading = "Vectors")]
    embed_batch: Option<usize>,
    /// Requests at a time [default: 4, or as the provider's settings say]
    #[arg(long, value_name = "N", help_heading = "Vectors")]
    embed_concurrency: Option<usize>,
}

/// Who was chosen.
pub(super) struct Chosen {
    pub(super) embedder: Arc<dyn Embedder>,
    /// What a new collection is to remember of it; nothing of a service that the settings do not name.
    pub(super) profile: Option<EmbeddingProfile>,
    /// The settings of its provider, if it has some.
    pub(super) options: Option<ProviderOptions>,
    /// How many files are worked on at a time.
    pub(super) threads: usize,
}

/// What the flags name.
enum Named<'a> {
    Hashed,
    Provider(&'a str, &'a ProviderOptions),
    Url(&'a str),
    Folder(&'a str),
}

/// Who made the vectors that are there.
#[derive(clap::Args, Clone)]
pub(super) struct OldEmbedderArgs {
    /// Of the vectors that are there: hashed, a provider of the settings, the address of a service, with --old-model, or a folder
    /// [default: that of its profile; without one, rows stand for themselves]
    #[arg(long, value_name = "hashed|NAME|URL|DIR", help_heading = "Vectors that are there")]
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
    pub(super) fn is_given(&self) -> bool {
        self.old_embedder.is_some()
    }

    /// The embedder of a collection's vectors, if one is named, or else its own, if it has one; otherwise as `new` says.
    pub(super) fn open(
        &self,
        new: &EmbedderArgs,
        schema: &Schema,
        store: &Store,
        providers: &Providers,
    ) -> Result<Option<Arc<dyn Embedder>>> {
        let dim = schema.dim;
        if !self.is_given() {
            let own = schema.embedding.as_ref().map(|profile| providers.embedder(profile, dim));
            return own.transpose();
        }
        let args = EmbedderArgs {
            embedder: self.old_embedder.clone(),
            model: self.old_model.clone(),
            dim: Some(dim),
            key_file: self.old_key_file.clone(),
            key_env: self.old_key_env.clone(),
            ..new.clone()
        };
        Ok(Some(args.open(store, providers, None)?.embedder))
    }
}

impl EmbedderArgs {
    /// The embedder for a collection of this schema, or for one that is still to be made; of a service, behind the cache of `store`, so
    /// that it is paid once for a text.
    pub(super) fn open(
        &self,
        store: &Store,
        providers: &Providers,
        schema: Option<&Schema>,
    ) -> Result<Chosen> {
        let profile =
            schema.and_then(|schema| schema.embedding.as_ref().map(|profile| (profile, schema.dim)));
        let chosen = match profile {
            Some((profile, dim)) if self.embedder.is_none() => self.of_profile(profile, dim, providers)?,
            _ => self.of_flags(providers)?,
        };
        if let Some((profile, _)) = profile
            && profile.model != chosen.embedder.model()
        {
            return Err(Error::new(
                ErrorKind::Conflict,
                format!(
                    "the collection's vectors are made by {profile}, and not by {}; leave --embedder and --model away",
                    chosen.embedder.model()
                ),
            ));
        }
        if chosen.options.is_none() && chosen.profile.is_some() {
            return Ok(chosen);
        }
        Ok(match VectorCache::open(store, VectorCache::BYTES) {
            Ok(cache) => Chosen { embedder: Arc::new(cache.before(chosen.embedder)), ..chosen },
            // A dry run has a store in memory.
            Err(_) => chosen,
        })
    }

    /// What a collection that is made without vectors is to be: its width, and who is to make them if that is said.
    pub(super) fn planned(&self, providers: &Providers) -> Result<(Option<usize>, Option<EmbeddingProfile>)> {
        if self.embedder.is_none() {
            return Ok((self.dim, None));
        }
        Ok(match self.named(providers)? {
            Named::Hashed => {
                let dim = self.dim.unwrap_or(Hashed::default().dim());
                (Some(dim), Some(Providers::hashed(dim)))
            }
            Named::Provider(name, options) => {
                let known = Some(options.dimensions).filter(|dimensions| *dimensions > 0);
                (self.dim.or(known), Some(EmbeddingProfile::new(name, self.model_of(name)?)))
            }
            Named::Url(url) => (self.dim, self.profile_of_url(url, providers)?),
            Named::Folder(folder) => (Some(self.folder(folder)?.dim()), None),
        })
    }

    /// The model that the collection's vectors are of, as far as that can be said without asking anybody.
    pub(super) fn model_name(&self, schema: &Schema) -> Result<String> {
        let own = schema.embedding.as_ref().map(|profile| profile.model.clone());
        let hashed = || Providers::hashed(self.dim.unwrap_or(schema.dim)).model;
        match self.embedder.as_deref() {
            None | Some(Providers::HASHED) => Ok(self.model.clone().or(own).unwrap_or_else(hashed)),
            Some(folder) if is_folder(folder) => Ok(self.folder(folder)?.model().to_owned()),
            Some(name) => self.model_of(name),
        }
    }

    /// Who is meant on a running server, which has settings of its own, and how wide its vectors are if that is said.
    pub(super) fn of_server(&self) -> Result<(EmbeddingProfile, Option<usize>)> {
        let wrong = |what: &str| Error::invalid(format!("{what}: name a provider of the server's settings"));
        if self.has_key() || self.embed_batch.is_some() || self.embed_concurrency.is_some() {
            return Err(wrong("a server has keys, batches and requests at a time in its own settings"));
        }
        match self.embedder.as_deref() {
            None | Some(Providers::HASHED) => {
                let dim = self.dim.unwrap_or(Hashed::default().dim());
                Ok((Providers::hashed(dim), Some(dim)))
            }
            Some(name) if name.contains("://") || is_folder(name) => Err(wrong(&format!(
                "{name:?} is an address or a folder, and a server takes vectors from neither"
            ))),
            Some(name) => Ok((EmbeddingProfile::new(name, self.model_of(name)?), self.dim)),
        }
    }

    fn named<'a>(&'a self, providers: &'a Providers) -> Result<Named<'a>> {
        match self.embedder.as_deref() {
            None | Some(Providers::HASHED) => Ok(Named::Hashed),
            Some(url) if url.contains("://") => Ok(Named::Url(url)),
            Some(name) => match providers.get(name) {
                Some(options) => Ok(Named::Provider(name, options)),
                None if is_folder(name) => Ok(Named::Folder(name)),
                None => {
                    let known: Vec<&str> = providers.names().collect();
                    Err(Error::invalid(format!(
                        "{name:?} is neither an address, nor a folder that is there, nor a provider; known are: {}, and the settings make others known in sections \
                         embedding.NAME",
                        known.join(", ")
                    )))
                }
            },
        }
    }

    fn model_of(&self, who: &str) -> Result<String> {
        self.model
            .clone()
            .ok_or_else(|| Error::invalid(format!("the service at {who} has models; name one with --model")))
    }

    fn has_key(&self) -> bool {
        self.key_file.is_some() || self.key_env.is_some()
    }

    fn of_profile(&self, profile: &EmbeddingProfile, dim: usize, providers: &Providers) -> Result<Chosen> {
        let is_other = self.model.as_ref().is_some_and(|model| *model != profile.model);
        if is_other || self.has_key() || self.dim.is_some_and(|wanted| wanted != dim) {
            return Err(Error::new(
                ErrorKind::Conflict,
                format!(
                    "the collection's vectors are made by {profile}, {dim} numbers each, with the key of its settings; leave --model, --dim \
                     and keys away, or name somebody with --embedder who makes the same"
                ),
            ));
        }
        let options = providers.get(&profile.provider).map(|options| self.over(options));
        let embedder = match &options {
            Some(options) => one(&profile.provider, options)?.embedder(profile, dim)?,
            None => providers.embedder(profile, dim)?,
        };
        Ok(Chosen { embedder, profile: Some(profile.clone()), threads: threads(options.as_ref()), options })
    }

    fn of_flags(&self, providers: &Providers) -> Result<Chosen> {
        match self.named(providers)? {
            Named::Hashed => {
                if self.model.is_some() || self.has_key() {
                    return Err(Error::invalid(
                        "--model and keys are a service's; name its address with --embedder",
                    ));
                }
                let hashed = self.dim.map_or_else(|| Ok(Hashed::default()), Hashed::new)?;
                let profile = Some(Providers::hashed(hashed.dim()));
                Ok(Chosen { embedder: Arc::new(hashed), profile, options: None, threads: threads(None) })
            }
            Named::Provider(name, options) => {
                if self.has_key() {
                    return Err(Error::invalid(format!("the key of {name} is a matter of its settings")));
                }
                let (profile, options) =
                    (EmbeddingProfile::new(name, self.model_of(name)?), self.over(options));
                let one = one(name, &options)?;
                let embedder = match self.dim {
                    Some(dim) => one.embedder(&profile, dim)?,
                    None => one.seen(&profile)?,
                };
                Ok(Chosen {
                    embedder,
                    profile: Some(profile),
                    threads: threads(Some(&options)),
                    options: Some(options),
                })
            }
            Named::Folder(folder) => {
                if self.has_key() {
                    return Err(Error::invalid("keys are a service's; a folder needs none"));
                }
                let (embedder, threads) = (self.folder(folder)?, threads(None));
                Ok(Chosen { embedder, profile: None, options: None, threads })
            }
            Named::Url(url) => {
                let embedder: Arc<dyn Embedder> = Arc::new(HttpEmbedder::new(self.http(url)?)?);
                let threads = self.embed_concurrency.unwrap_or(CONCURRENCY).clamp(1, 64);
                Ok(Chosen { embedder, profile: self.profile_of_url(url, providers)?, options: None, threads }
                    .of_service())
            }
        }
    }

    #[cfg(feature = "local-model")]
    fn folder(&self, folder: &str) -> Result<Arc<dyn Embedder>> {
        let mut options = crate::LocalOptions::default().threads(threads(None).min(64));
        if let Some(name) = &self.model {
            options = options.name(name);
        }
        let embedder = crate::LocalEmbedder::open(folder, options)?;
        match self.dim.filter(|dim| *dim != embedder.dim()) {
            Some(dim) => Err(Error::invalid(format!(
                "--dim is {dim}, and vectors of {} have {} numbers: leave it out",
                embedder.model(),
                embedder.dim()
            ))),
            None => Ok(Arc::new(embedder)),
        }
    }

    #[cfg(not(feature = "local-model"))]
    fn folder(&self, folder: &str) -> Result<Arc<dyn Embedder>> {
        Err(Error::invalid(format!(
            "{folder} is a folder, and this nearfield was built without local models: build it with --features local-model"
        )))
    }

    /// A provider's settings with what flags say above them.
    fn over(&self, options: &ProviderOptions) -> ProviderOptions {
        ProviderOptions {
            batch: self.embed_batch.unwrap_or(options.batch),
            concurrency: self.embed_concurrency.unwrap_or(options.concurrency),
            ..options.clone()
        }
    }

    /// Who is at this address, by the settings.
    fn profile_of_url(&self, url: &str, providers: &Providers) -> Result<Option<EmbeddingProfile>> {
        let model = self.model_of(url)?;
        let plain = |url: &str| url.trim_end_matches('/').trim_end_matches("/v1").to_owned();
        let is_there =
            |name: &&str| providers.get(name).is_some_and(|options| plain(&options.url) == plain(url));
        let name = providers.names().find(is_there);
        Ok(name.map(|name| EmbeddingProfile::new(name, model)))
    }

    fn http(&self, url: &str) -> Result<HttpOptions> {
        let mut options = HttpOptions::new(url, self.model_of(url)?)
            .batch(self.embed_batch.unwrap_or(256))
            .concurrency(self.embed_concurrency.unwrap_or(CONCURRENCY));
        if let Some(dim) = self.dim {
            options = options.dim(dim);
        }
        if let Some(file) = &self.key_file {
            options = options.key_file(file)?;
        }
        if let Some(name) = &self.key_env {
            options = options.key_env(name)?;
        }
        Ok(options)
    }
}

impl Chosen {
    /// Marks it as somebody who is asked over a network.
    fn of_service(self) -> Self {
        Self { options: Some(ProviderOptions::default()), ..self }
    }

    /// Tokens a second and in all that the settings allow.
    pub(super) fn budget(&self) -> (Option<u64>, Option<u64>) {
        let limit =
            |value: fn(&ProviderOptions) -> u64| self.options.as_ref().map(value).filter(|max| *max > 0);
        (limit(|options| options.tokens_per_s), limit(|options| options.tokens_max))
    }
}

fn is_folder(name: &str) -> bool {
    !name.contains("://") && std::path::Path::new(name).is_dir()
}

/// One provider alone, with these settings.
fn one(name: &str, options: &ProviderOptions) -> Result<Providers> {
    Providers::new([(name.to_owned(), options.clone())])
}

fn threads(options: Option<&ProviderOptions>) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    options.map_or(cores, |options| options.concurrency.clamp(1, 64))
}
