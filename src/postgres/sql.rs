//! Every statement of the mirror, and nothing else. No statement is put together from what a user gave: values are parameters,
//! or settings of the transaction where a statement takes no parameters.
//!
//! No table is named with its schema: the search path of every transaction starts with the mirror's (`line.rs`).

/// Where pgvector's type lives, if it is there, and what else a transaction must know beforehand.
pub(super) const GREET: &str = "
SELECT (SELECT quote_ident(n.nspname) FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
         WHERE e.extname = 'vector'),
       current_setting('server_encoding'), current_setting('server_version_num')::int";

// Who answers.

pub(super) const SERVER: &str = "
SELECT pg_is_in_recovery(), current_setting('transaction_read_only') = 'on',
       (extract(epoch FROM clock_timestamp()) * 1000)::bigint,
       d.datname || '/' || d.oid, current_setting('server_version'),
       (SELECT extversion FROM pg_extension WHERE extname = 'vector'),
       (SELECT max(default_version) FROM pg_available_extensions WHERE name = 'vector'), current_user::text, d.datname::text
  FROM pg_database d WHERE d.datname = current_database()";

pub(super) const SYSTEM: &str = "SELECT system_identifier::text FROM pg_control_system()";

pub(super) const TIMELINE: &str = "
SELECT CASE WHEN pg_is_in_recovery() THEN (SELECT timeline_id FROM pg_control_checkpoint())
            ELSE ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int END";

/// The columns of our tables as they stand, by the names of `schema.rs`.
pub(super) const COLUMNS: &str = "
SELECT c.relname::text, a.attname::text, format_type(a.atttypid, a.atttypmod),
       coalesce((SELECT l.collname::text FROM pg_collation l WHERE l.oid = a.attcollation), '')
  FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = $1 AND c.relname = ANY ($2) AND c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped";

pub(super) const MAY_USE: &str = "SELECT has_schema_privilege($1, 'USAGE')";

pub(super) const TRIGGERS: &str = "
SELECT count(*) FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = $1 AND c.relname = 'chunk' AND t.tgname = ANY ($2) AND t.tgenabled IN ('O', 'A')";

pub(super) const META: &str =
    "SELECT schema_version, client_min, epoch::text, tombstone_floor, digest_seed FROM meta";

pub(super) const MARK: &str =
    "SELECT incarnation, pushes FROM node WHERE node = $1 AND pushes + incarnation > 0";

pub(super) const HELLO: &str =
    "INSERT INTO node (node) VALUES ($1) ON CONFLICT (node) DO UPDATE SET last_seen = now()";

// The schema.

/// One node migrates at a time, whatever the schema is called.
pub(super) const MIGRATION_LOCK: &str =
    "SELECT pg_advisory_xact_lock(hashtextextended('nearfield:' || $1, 0))";

pub(super) const MIGRATION_PATIENCE: &str = "SET LOCAL lock_timeout = '10s'";

pub(super) const SCHEMA_IS_THERE: &str = "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)";

pub(super) const SCHEMA_MAKE: &str = "SELECT format('CREATE SCHEMA %I', $1)";

pub(super) const EXTENSION: &str = "CREATE EXTENSION IF NOT EXISTS vector";

// Collections.

pub(super) const COLLECTIONS: &str = "SELECT name, dim, metric, schema::text FROM collection ORDER BY name";

pub(super) const DECLARE: &str = "
INSERT INTO collection (name, dim, metric, schema) VALUES ($1, $2, $3, $4::text::json) ON CONFLICT (name) DO NOTHING";

pub(super) const UNDECLARE: &str = "
DELETE FROM collection c WHERE c.name = $1 AND NOT EXISTS (SELECT FROM chunk WHERE collection = $1 AND NOT deleted)";

pub(super) const COLLECTION: &str = "SELECT name, dim, metric, schema::text FROM collection WHERE name = $1";

// Push. Digests are unsigned here and signed there: flipping the highest bit makes both sides order them alike.

macro_rules! upsert {
    ($source:literal) => {
        concat!(
            "INSERT INTO chunk AS c (collection, id, ver, node, deleted, digest, document_id, chunk_index, tenant, text,
                                     metadata, embedding_model, embedding) ",
            $source,
            " ON CONFLICT (collection, id) DO UPDATE
                 SET ver = excluded.ver, node = excluded.node, deleted = excluded.deleted, digest = excluded.digest,
                     document_id = excluded.document_id, chunk_index = excluded.chunk_index, tenant = excluded.tenant,
                     text = excluded.text, metadata = excluded.metadata, embedding_model = excluded.embedding_model,
                     embedding = excluded.embedding,
                     content_ref = CASE WHEN excluded.deleted THEN NULL ELSE c.content_ref END,
                     created_at = CASE WHEN c.deleted THEN excluded.created_at ELSE c.created_at END,
                     updated_at = excluded.updated_at, change_xid = excluded.change_xid
               WHERE (c.ver, c.node, coalesce(c.digest, 0) # (1::bigint << 63))
                   < (excluded.ver, excluded.node, excluded.digest # (1::bigint << 63))
              RETURNING id"
        )
    };
}

pub(super) const UPSERT: &str = upsert!(
    "SELECT $1, u.id, u.ver, u.node, u.deleted, u.digest, u.document_id, u.chunk_index, u.tenant, u.text,
            u.metadata::jsonb, u.embedding_model, u.embedding
       FROM unnest($2::text[], $3::bigint[], $4::bigint[], $5::boolean[], $6::bigint[], $7::text[], $8::int[], $9::text[],
                   $10::text[], $11::text[], $12::text[], $13::vector[])
            AS u (id, ver, node, deleted, digest, document_id, chunk_index, tenant, text, metadata, embedding_model,
                  embedding)"
);

/// Where `COPY` puts rows first. It stays with the connection, because making tables leaves rubbish in the catalogue; what is
/// not too wide stays in line, because it is on its way.
pub(super) const INBOX: &str = "
CREATE TEMPORARY TABLE IF NOT EXISTS nearfield_inbox (
    id text COLLATE \"C\", ver bigint, node bigint, deleted boolean, digest bigint, document_id text, chunk_index integer,
    tenant text, text text, metadata jsonb, embedding_model text, embedding vector
) WITH (toast_tuple_target = 8160) ON COMMIT DELETE ROWS";

pub(super) const MAY_HAVE_INBOX: &str = "SELECT has_database_privilege(current_database(), 'TEMPORARY')";

pub(super) const COPY_INBOX: &str = "
COPY pg_temp.nearfield_inbox (id, ver, node, deleted, digest, document_id, chunk_index, tenant, text, metadata,
                              embedding_model, embedding) FROM STDIN (FORMAT binary)";

pub(super) const UPSERT_INBOX: &str = upsert!(
    "SELECT $1, id, ver, node, deleted, digest, document_id, chunk_index, tenant, text, metadata, embedding_model, embedding
       FROM pg_temp.nearfield_inbox"
);

/// Counted, not asked for one: for one the planner would read the table from its beginning.
pub(super) const ARE_NEW: &str = "SELECT count(*) = 0 FROM chunk WHERE collection = $1 AND id = ANY ($2)";

pub(super) const COPY_NEW: &str = "
COPY chunk (id, ver, node, deleted, digest, document_id, chunk_index, tenant, text, metadata, embedding_model, embedding,
            collection) FROM STDIN (FORMAT binary)";

/// At once, or not at all: whoever makes an index or alters the table holds it.
pub(super) const TABLE_IS_FREE: &str = "LOCK TABLE chunk IN ROW EXCLUSIVE MODE NOWAIT";

pub(super) const HELD: &str = "
WITH free AS MATERIALIZED (
    SELECT id FROM chunk WHERE collection = $1 AND id = ANY ($2) FOR NO KEY UPDATE SKIP LOCKED
)
SELECT c.id FROM chunk c WHERE c.collection = $1 AND c.id = ANY ($2) AND NOT EXISTS (SELECT FROM free f WHERE f.id = c.id)";

pub(super) const NOTE: &str = "
INSERT INTO node AS n (node, incarnation, pushes) VALUES ($1, $2, $3)
ON CONFLICT (node) DO UPDATE
   SET incarnation = greatest(n.incarnation, excluded.incarnation), pushes = greatest(n.pushes, excluded.pushes),
       last_seen = now()";

// Upkeep.

macro_rules! unstamped {
    () => {
        "unnest($2::text[], $3::bigint[], $4::bigint[], $5::bigint[]) AS u (id, ver, node, digest)
           JOIN chunk c ON c.collection = $1 AND c.id = u.id COLLATE \"C\" AND c.ver = u.ver AND c.node = u.node AND c.digest IS NULL"
    };
}

/// Rows that somebody holds are passed over: people lock rows in any order, and one who waits for the mirror while the mirror waits
/// for him may be the one whom the server throws out.
pub(super) const STAMP: &str = concat!(
    "WITH free AS MATERIALIZED (SELECT c.id, u.digest FROM ",
    unstamped!(),
    " FOR NO KEY UPDATE OF c SKIP LOCKED)
     UPDATE chunk AS c SET digest = f.digest FROM free f WHERE c.collection = $1 AND c.id = f.id"
);

/// Those that are as they were.
pub(super) const NOT_STAMPED: &str = concat!("SELECT c.id FROM ", unstamped!());

pub(super) const SEEN: &str = "
INSERT INTO node AS n (node, seen) VALUES ($1, $2::text::pg_snapshot)
ON CONFLICT (node) DO UPDATE SET seen = excluded.seen, last_seen = now()";

/// A node that has not said how far it has read holds everything back, until it has been silent for too long.
pub(super) const COLLECT: &str = "
WITH gone AS (
    DELETE FROM chunk c
     WHERE c.deleted AND c.ver < $1
       AND NOT EXISTS (SELECT FROM node n
                        WHERE n.last_seen > now() - make_interval(days => $2)
                          AND (n.seen IS NULL OR NOT pg_visible_in_snapshot(c.change_xid, n.seen)))
    RETURNING c.ver
)
SELECT count(*), max(ver) FROM gone";

pub(super) const RAISE_FLOOR: &str = "UPDATE meta SET tombstone_floor = greatest(tombstone_floor, $1)";

// Read.

pub(super) const SNAPSHOT: &str = "SELECT pg_current_snapshot()::text, pg_is_in_recovery()";

/// The exact difference of two snapshots: neither the order of commits nor a transaction that stays open hides a row. The
/// order names the table: without it, it would be that of the text in the first column, where 10 comes before 9.
pub(super) const CHANGES: &str = "
SELECT c.change_xid::text, c.collection, c.id, c.ver, c.node, c.digest, c.deleted
  FROM chunk c
 WHERE c.change_xid >= pg_snapshot_xmin($1::text::pg_snapshot)
   AND NOT pg_visible_in_snapshot(c.change_xid, $1::text::pg_snapshot)
   AND pg_visible_in_snapshot(c.change_xid, $2::text::pg_snapshot)
   AND (c.change_xid, c.collection, c.id) > ($3::text::xid8, $4::text, $5::text)
 ORDER BY c.change_xid, c.collection, c.id
 LIMIT $6";

/// `vector_send` is the vector as COPY writes it, so that both ways are read by one decoder.
pub(super) const ROWS: &str = "
SELECT id, ver, node, deleted, digest, document_id, chunk_index, tenant, text, metadata::text, embedding_model,
       vector_send(embedding)
  FROM chunk
 WHERE collection = $1 AND id = ANY ($2)";

/// The server ends statements of this transaction that take longer, and does not compile what is asked for once.
pub(super) const PATIENCE: &str =
    "SELECT set_config('statement_timeout', $1, true), set_config('jit', 'off', true)";

/// All live rows of a collection by their distance. The index on vectors, if there is one, is of another expression and not used: it
/// does not find all. `$4` and `$7` are a path that metadata must have, and its variables; they are read once, not for each row.
macro_rules! nearest {
    ($operator:literal) => {
        concat!(
            "SELECT c.id, c.ver, c.node, c.digest, c.deleted, c.embedding ",
            $operator,
            " $2 AS distance, c.document_id, CASE WHEN $5 THEN c.metadata::text END
                FROM chunk c
               WHERE c.collection = $1 AND NOT c.deleted AND vector_dims(c.embedding) = vector_dims($2)
                 AND ($3::text IS NULL OR c.tenant = $3)
                 AND ($4::text IS NULL
                      OR jsonb_path_exists(c.metadata, (SELECT $4::text::jsonpath), (SELECT $7::text::jsonb)))
               ORDER BY distance, c.id
               LIMIT $6"
        )
    };
}

pub(super) const NEAREST_COSINE: &str = nearest!("<=>");
pub(super) const NEAREST_L2: &str = nearest!("<->");
pub(super) const NEAREST_DOT: &str = nearest!("<#>");
pub(super) const NEAREST_L1: &str = nearest!("<+>");

/// The bound behind all ids: 129 times the last character has more bytes than an id may have.
macro_rules! between {
    ($from:literal, $until:literal) => {
        concat!(
            "c.id >= coalesce(",
            $from,
            ", '') AND c.id < coalesce(",
            $until,
            ", repeat(chr(1114111), 129)) AND NOT c.deleted"
        )
    };
}

pub(super) const FINGERPRINTS: &str = concat!(
    "SELECT f.rows, f.x, f.s
       FROM unnest($2::text[], $3::text[]) WITH ORDINALITY AS r (since, until, n),
            LATERAL (SELECT count(*) AS rows, coalesce(bit_xor(coalesce(c.digest, 0) # c.ver), 0) AS x,
                            coalesce(sum(c.digest), 0)::text AS s
                       FROM chunk c WHERE c.collection = $1 AND ",
    between!("r.since", "r.until"),
    ") f ORDER BY r.n"
);

pub(super) const HEADS_OF: &str = "
SELECT id, ver, node, digest, deleted FROM chunk WHERE collection = $1 AND id = ANY ($2) AND NOT deleted";

pub(super) const HEADS: &str = concat!(
    "SELECT c.id, c.ver, c.node, c.digest, c.deleted FROM chunk c WHERE c.collection = $1 AND ",
    between!("$2::text", "$3::text"),
    " ORDER BY c.id LIMIT $4"
);

pub(super) const COUNT: &str = "SELECT count(*) FROM chunk WHERE collection = $1 AND NOT deleted";

/// Every `$2`th id, the first not among them.
pub(super) const SPLIT: &str = "
SELECT id FROM (SELECT id, row_number() OVER (ORDER BY id) - 1 AS n FROM chunk WHERE collection = $1 AND NOT deleted) s
 WHERE n > 0 AND n % $2 = 0 ORDER BY id";

/// COPY takes no parameters: what it scans is told to the transaction, where it cannot be anything but a text.
pub(super) const SCAN_SETTINGS: &str = "
SELECT set_config('nearfield.collection', $1, true), set_config('nearfield.since', coalesce($2, ''), true),
       set_config('nearfield.until', coalesce($3, repeat(chr(1114111), 129)), true)";

pub(super) const SCAN: &str = "
COPY (SELECT id, ver, node, deleted, digest, document_id, chunk_index, tenant, text, metadata::text, embedding_model, embedding
        FROM chunk
       WHERE collection = current_setting('nearfield.collection') AND NOT deleted
         AND id >= current_setting('nearfield.since') AND id < current_setting('nearfield.until')
       ORDER BY id)
  TO STDOUT (FORMAT binary)";

pub(super) const SEED: &str = "SELECT digest_seed FROM meta";

// pgvector's own index on a collection. DDL takes no parameters, so the database puts the statement together and quotes.

/// Whether the index is fit for use, if it is there; and whether somebody is at work on the table, making an index perhaps.
pub(super) const INDEX_STATE: &str = "
SELECT (SELECT i.indisvalid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname = $1 AND c.relname = $2),
       EXISTS (SELECT FROM pg_locks l JOIN pg_class c ON c.oid = l.relation JOIN pg_namespace n ON n.oid = c.relnamespace
                WHERE n.nspname = $1 AND c.relname = 'chunk' AND l.mode = 'ShareUpdateExclusiveLock' AND l.granted
                  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()))";

pub(super) const INDEX_DROP: &str = "SELECT format('DROP INDEX CONCURRENTLY IF EXISTS %I.%I', $1, $2)";

pub(super) const INDEX_MAKE: &str = "
SELECT format('CREATE INDEX CONCURRENTLY %I ON %I.chunk USING %s ((embedding::vector(%s)) %s) WITH (%s) '
              'WHERE collection = %L AND NOT deleted', $2::text, $1::text, $3::text, $4::int, $5::text, $6::text, $7::text)";

/// All of a table as people could copy it, and a table of the same shape to copy it into.
pub(super) const FLOOR_OUT: &str = "
COPY chunk (collection, id, ver, node, deleted, digest, document_id, chunk_index, tenant, text, metadata, embedding_model,
            embedding, content_ref, created_at, updated_at, change_xid) TO STDOUT (FORMAT binary)";

pub(super) const FLOOR: &str =
    "DROP TABLE IF EXISTS bench_floor; CREATE TABLE bench_floor (LIKE chunk INCLUDING ALL)";

pub(super) const FLOOR_IN: &str = "
COPY bench_floor (collection, id, ver, node, deleted, digest, document_id, chunk_index, tenant, text, metadata, embedding_model,
                  embedding, content_ref, created_at, updated_at, change_xid) FROM STDIN (FORMAT binary)";

pub(super) const FLOOR_END: &str = "DROP TABLE bench_floor";
