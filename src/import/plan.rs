//! What an import will make, from what the file says, what is asked for and what is there: a pure function.

use super::job::{Mode, Request};
use super::journal::Way;
use super::source::Shape;
use crate::config::{Metric, Schema};
use crate::engine::check_name;
use crate::error::{Error, ErrorKind, Result};

/// What is there under the name.
#[derive(Clone, Debug)]
pub(super) struct There {
    pub(super) schema: Schema,
    pub(super) rows: usize,
    /// A database is to be told of what goes.
    pub(super) is_mirrored: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Plan {
    pub(super) schema: Schema,
    pub(super) way: Way,
    pub(super) notes: Vec<String>,
}

pub(super) fn plan(request: &Request, shape: &Shape, there: Option<&There>) -> Result<Plan> {
    let name = &request.into;
    check_name(name)?;
    check_mode(request, there)?;
    let mut notes = shape.notes.clone();
    let dim = dim(request, shape, there)?;
    let metric = metric(request, shape, there, &mut notes)?;
    let mut schema = Schema::new(dim, metric);
    let way = match there {
        None => Way::Rename,
        Some(there) if request.mode == Mode::Append || there.is_mirrored => {
            let has = &there.schema;
            if (has.dim, has.metric) != (dim, metric) {
                return Err(Error::new(
                    ErrorKind::Conflict,
                    format!(
                        "collection {name:?} has {} dimensions and the metric {}, the file {dim} and {metric}; import it into a \
                         collection of its own",
                        has.dim, has.metric
                    ),
                ));
            }
            schema = has.clone();
            Way::Exchange
        }
        Some(there) => {
            // What was chosen for the collection stays, but for what the file decides.
            let graph = if metric == there.schema.metric { there.schema.graph } else { schema.graph };
            schema = Schema { dim, metric, graph, ..there.schema.clone() };
            if dim != there.schema.dim
                && let Some(profile) = schema.embedding.take()
            {
                let was = there.schema.dim;
                notes.push(format!(
                    "the collection's profile, {profile}, was for {was} dimensions and is gone"
                ));
            }
            Way::Rename
        }
    };
    schema.validate()?;
    Ok(Plan { schema, way, notes })
}

fn check_mode(request: &Request, there: Option<&There>) -> Result<()> {
    let name = &request.into;
    match (request.mode, there) {
        (Mode::Create, Some(there)) => Err(Error::new(
            ErrorKind::Conflict,
            format!(
                "collection {name:?} exists, with {} rows; use another name, or --mode append or replace",
                there.rows
            ),
        )),
        (Mode::Append, None) => Err(Error::new(
            ErrorKind::NotFound,
            format!("there is no collection {name:?} to append to; leave --mode away to create it"),
        )),
        (Mode::Replace, Some(there)) if there.rows > 0 && !request.yes && !request.dry_run => {
            Err(Error::new(
                ErrorKind::Conflict,
                format!(
                    "collection {name:?} has {} rows, which this import replaces; say --yes to that (--rollback brings them \
                     back)",
                    there.rows
                ),
            ))
        }
        _ => Ok(()),
    }
}

fn dim(request: &Request, shape: &Shape, there: Option<&There>) -> Result<usize> {
    match (shape.dim, request.dim) {
        (Some(found), Some(said)) if found != said => Err(Error::invalid(format!(
            "{} has vectors of {found} dimensions, and --dim says {said}: leave --dim away, or use the right file",
            request.spec.path.display()
        ))),
        (Some(found), _) => Ok(found),
        (None, Some(said)) => Ok(said),
        (None, None) => there.map(|there| there.schema.dim).ok_or_else(|| {
            Error::invalid(format!(
                "{} begins with rows without a vector; say with --dim how long vectors are to be",
                request.spec.path.display()
            ))
        }),
    }
}

fn metric(
    request: &Request,
    shape: &Shape,
    there: Option<&There>,
    notes: &mut Vec<String>,
) -> Result<Metric> {
    if let (Some(said), Some(found)) = (request.metric, shape.metric)
        && said != found
    {
        notes.push(format!("the file says {found}, and {said} was asked for"));
    }
    let known = request.metric.or(shape.metric).or(there.map(|there| there.schema.metric));
    known.ok_or_else(|| {
        Error::invalid(format!(
            "{} does not say how its vectors are compared: name --metric cosine, l2, dot or l1",
            request.spec.path.display()
        ))
    })
}
