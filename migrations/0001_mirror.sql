-- The tables of the mirror. README.md beside this file explains them to people who query.
--
-- No schema is named here: whoever runs this sets the search path first, the mirror's own schema in front and the schema of
-- pgvector's types behind it. Functions keep that path.

CREATE TABLE meta (
    one            boolean PRIMARY KEY DEFAULT true CHECK (one),
    schema_version integer NOT NULL,
    -- The oldest program that can still work with these tables.
    client_min     integer NOT NULL,
    -- Another one after every TRUNCATE: what was acknowledged before it may be gone.
    epoch          uuid NOT NULL DEFAULT gen_random_uuid(),
    -- Deletions below this version may have been removed.
    tombstone_floor bigint NOT NULL DEFAULT 0,
    -- A secret of this database: digests are made with it.
    digest_seed    bigint NOT NULL,
    created_at     timestamptz NOT NULL DEFAULT now()
);
INSERT INTO meta (schema_version, client_min, digest_seed)
VALUES (1, 1, ('x' || substr(md5(gen_random_uuid()::text || gen_random_uuid()::text), 1, 16))::bit(64)::bigint);

CREATE TABLE collection (
    name       text COLLATE "C" PRIMARY KEY CHECK (octet_length(name) BETWEEN 1 AND 128),
    dim        integer NOT NULL CHECK (dim BETWEEN 1 AND 16000),
    metric     text NOT NULL CHECK (metric IN ('cosine', 'l2', 'dot', 'l1')),
    -- Everything that the node knew about it that made it known here.
    schema     json NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE node (
    node        bigint PRIMARY KEY,
    incarnation bigint NOT NULL DEFAULT 0,
    pushes      bigint NOT NULL DEFAULT 0,
    -- It has read all changes that are visible in this snapshot.
    seen        pg_snapshot,
    last_seen   timestamptz NOT NULL DEFAULT now()
);

-- COLLATE "C", because ranges of ids are compared by bytes on both sides. Everything that a comparison of two sides reads is
-- in the primary key's index. No foreign key to collection: it would cost a look-up for every row that is written.
CREATE TABLE chunk (
    collection      text COLLATE "C" NOT NULL,
    id              text COLLATE "C" NOT NULL CHECK (octet_length(id) BETWEEN 1 AND 512),
    ver             bigint NOT NULL,
    node            bigint NOT NULL,
    deleted         boolean NOT NULL DEFAULT false,
    digest          bigint,
    document_id     text CHECK (octet_length(document_id) BETWEEN 1 AND 512),
    chunk_index     integer NOT NULL DEFAULT 0 CHECK (chunk_index >= 0),
    tenant          text CHECK (octet_length(tenant) BETWEEN 1 AND 512),
    text            text CHECK (octet_length(text) <= 16777216),
    text_length     integer GENERATED ALWAYS AS (char_length(text)) STORED,
    metadata        jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(metadata) = 'object'),
    embedding_model text CHECK (octet_length(embedding_model) BETWEEN 1 AND 512),
    embedding       vector,
    content_ref     text,
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    change_xid      xid8 NOT NULL DEFAULT pg_current_xact_id(),
    PRIMARY KEY (collection, id) INCLUDE (ver, node, digest, deleted),
    CONSTRAINT chunk_says_something CHECK (deleted OR embedding IS NOT NULL OR coalesce(text, '') <> ''),
    CONSTRAINT chunk_deleted_is_empty CHECK (NOT deleted OR (embedding IS NULL AND text IS NULL))
);
CREATE INDEX chunk_changes ON chunk (change_xid, collection, id);

-- Edits by hand. The mirror says `SET LOCAL nearfield.mirror = 'on'` and passes by.

-- A version above the old one, the node number that stands for people, no digest: whoever reads the row next makes it.
CREATE FUNCTION chunk_stamp() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    shape record;
BEGIN
    NEW.ver := (extract(epoch FROM clock_timestamp()) * 1000)::bigint << 16;
    IF TG_OP = 'UPDATE' THEN
        IF (NEW.collection, NEW.id) IS DISTINCT FROM (OLD.collection, OLD.id) THEN
            RAISE EXCEPTION 'the id of a chunk cannot change: insert it under the new id and delete the old one'
                USING ERRCODE = 'feature_not_supported';
        END IF;
        NEW.ver := greatest(NEW.ver, OLD.ver + 1);
        NEW.created_at := CASE WHEN OLD.deleted AND NOT NEW.deleted THEN now() ELSE OLD.created_at END;
    END IF;
    NEW.node := 1;
    NEW.digest := NULL;
    NEW.updated_at := now();
    NEW.change_xid := pg_current_xact_id();
    IF NEW.deleted THEN
        NEW.digest := 0;
        NEW.document_id := NULL;
        NEW.chunk_index := 0;
        NEW.tenant := NULL;
        NEW.text := NULL;
        NEW.metadata := '{}';
        NEW.embedding_model := NULL;
        NEW.embedding := NULL;
        NEW.content_ref := NULL;
        RETURN NEW;
    END IF;
    SELECT dim, metric INTO shape FROM collection WHERE name = NEW.collection;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'collection % is not known here: create it in the program first', NEW.collection
            USING ERRCODE = 'foreign_key_violation';
    END IF;
    IF NEW.embedding IS NOT NULL AND vector_dims(NEW.embedding) <> shape.dim THEN
        RAISE EXCEPTION 'embedding has % dimensions; collection % has %', vector_dims(NEW.embedding), NEW.collection, shape.dim
            USING ERRCODE = 'data_exception';
    END IF;
    IF shape.metric = 'cosine' AND vector_norm(NEW.embedding) = 0 THEN
        RAISE EXCEPTION 'embedding is all zeros and has no direction, which cosine needs' USING ERRCODE = 'data_exception';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER chunk_stamp BEFORE INSERT OR UPDATE ON chunk FOR EACH ROW
    WHEN (current_setting('nearfield.mirror', true) IS DISTINCT FROM 'on')
    EXECUTE FUNCTION chunk_stamp();

-- A row that is gone cannot say that it was deleted, so it stays and says so. Deleting it again changes nothing.
CREATE FUNCTION chunk_delete() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    UPDATE chunk SET deleted = true WHERE collection = OLD.collection AND id = OLD.id AND NOT deleted;
    RETURN NULL;
END $$;

CREATE TRIGGER chunk_delete BEFORE DELETE ON chunk FOR EACH ROW
    WHEN (current_setting('nearfield.mirror', true) IS DISTINCT FROM 'on')
    EXECUTE FUNCTION chunk_delete();

CREATE FUNCTION chunk_truncate() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    UPDATE meta SET epoch = gen_random_uuid();
    RETURN NULL;
END $$;

CREATE TRIGGER chunk_truncate AFTER TRUNCATE ON chunk FOR EACH STATEMENT EXECUTE FUNCTION chunk_truncate();

-- What people read and write: live rows, without the mirror's columns.
CREATE VIEW chunks AS
SELECT collection, id, document_id, chunk_index, tenant, text, text_length, metadata, embedding_model, embedding, content_ref,
       created_at, updated_at
  FROM chunk
 WHERE NOT deleted;
ALTER VIEW chunks ALTER COLUMN chunk_index SET DEFAULT 0;
ALTER VIEW chunks ALTER COLUMN metadata SET DEFAULT '{}';

CREATE FUNCTION chunks_write() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        UPDATE chunk SET deleted = true WHERE collection = OLD.collection AND id = OLD.id AND NOT deleted;
        RETURN CASE WHEN FOUND THEN OLD END;
    END IF;
    IF TG_OP = 'UPDATE' THEN
        UPDATE chunk
           SET collection = NEW.collection, id = NEW.id, document_id = NEW.document_id, chunk_index = coalesce(NEW.chunk_index, 0),
               tenant = NEW.tenant, text = NEW.text, metadata = coalesce(NEW.metadata, '{}'),
               embedding_model = NEW.embedding_model, embedding = NEW.embedding, content_ref = NEW.content_ref
         WHERE collection = OLD.collection AND id = OLD.id AND NOT deleted
        RETURNING text_length, created_at, updated_at INTO NEW.text_length, NEW.created_at, NEW.updated_at;
        RETURN CASE WHEN FOUND THEN NEW END;
    END IF;
    -- The row of a deleted id is still there, so every insert may be an update.
    INSERT INTO chunk (collection, id, ver, node, document_id, chunk_index, tenant, text, metadata, embedding_model, embedding,
                       content_ref)
    VALUES (NEW.collection, NEW.id, 0, 1, NEW.document_id, coalesce(NEW.chunk_index, 0), NEW.tenant, NEW.text,
            coalesce(NEW.metadata, '{}'), NEW.embedding_model, NEW.embedding, NEW.content_ref)
    ON CONFLICT (collection, id) DO UPDATE
       SET deleted = false, document_id = excluded.document_id, chunk_index = excluded.chunk_index, tenant = excluded.tenant,
           text = excluded.text, metadata = excluded.metadata, embedding_model = excluded.embedding_model,
           embedding = excluded.embedding, content_ref = excluded.content_ref
    RETURNING text_length, chunk_index, metadata, created_at, updated_at
         INTO NEW.text_length, NEW.chunk_index, NEW.metadata, NEW.created_at, NEW.updated_at;
    RETURN NEW;
END $$;

CREATE TRIGGER chunks_write INSTEAD OF INSERT OR UPDATE OR DELETE ON chunks FOR EACH ROW EXECUTE FUNCTION chunks_write();
