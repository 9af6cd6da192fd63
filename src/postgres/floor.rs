//! What the database does by itself, for `bench mirror` to compare with: the rows of a collection out by COPY, and the same bytes in
//! by COPY into a table of the same shape.

use super::fault::on;
use super::line::{Lines, Purpose};
use super::{Settings, sql};
use crate::error::{Error, ErrorKind, Result};
use crate::mirror::remote::Done;
use sqlx::postgres::PgConnection;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What it took, one connection at a time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Floor {
    pub(crate) copy_out: Duration,
    pub(crate) copy_in: Duration,
}

/// Measures it. Leaves nothing behind.
pub(crate) fn floor(settings: &Settings) -> Result<Floor> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime =
        runtime.map_err(|e| Error::new(ErrorKind::Unavailable, "cannot make a runtime").with_source(e))?;
    let measured = runtime.block_on(async { both(&Lines::new(settings)?).await });
    measured.map_err(|fault| Error::new(ErrorKind::Unavailable, fault.to_string()))
}

async fn both(lines: &Arc<Lines>) -> Done<Floor> {
    let mut transaction = lines.begin(Purpose::Write).await?;
    let start = Instant::now();
    let pieces = out(transaction.connection()).await?;
    let copy_out = start.elapsed();
    let failed = on("copying");
    sqlx::raw_sql(sql::FLOOR).execute(transaction.connection()).await.map_err(&failed)?;
    transaction.commit().await?;
    let mut transaction = lines.begin(Purpose::Write).await?;
    let start = Instant::now();
    let mut inbox = transaction.connection().copy_in_raw(sql::FLOOR_IN).await.map_err(&failed)?;
    for piece in &pieces {
        inbox.send(piece.as_slice()).await.map_err(&failed)?;
    }
    inbox.finish().await.map_err(&failed)?;
    transaction.commit().await?;
    let copy_in = start.elapsed();
    let mut transaction = lines.begin(Purpose::Write).await?;
    sqlx::raw_sql(sql::FLOOR_END).execute(transaction.connection()).await.map_err(&failed)?;
    transaction.commit().await?;
    Ok(Floor { copy_out, copy_in })
}

/// Everything, in pieces of about a megabyte.
async fn out(connection: &mut PgConnection) -> Done<Vec<Vec<u8>>> {
    let failed = on("copying");
    let mut pieces = vec![Vec::new()];
    let mut stream = connection.copy_out_raw(sql::FLOOR_OUT).await.map_err(&failed)?;
    while let Some(bytes) = std::future::poll_fn(|context| stream.as_mut().poll_next(context)).await {
        let bytes = bytes.map_err(&failed)?;
        match pieces.last_mut() {
            Some(last) if last.len() < 1 << 20 => last.extend_from_slice(&bytes),
            _ => pieces.push(bytes.as_ref().to_vec()),
        }
    }
    Ok(pieces)
}
