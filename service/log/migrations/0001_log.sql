-- The change log and the rows it makes. Design: one row of `head` per lane is
-- what orders commits; a sequence would leave holes and show rows out of order.

CREATE TABLE collection (
    name text PRIMARY KEY,
    tenant text NOT NULL,
    lane smallint NOT NULL,
    definition text NOT NULL,          -- JSON: dimension, metric
    at bigint NOT NULL,                -- hybrid clock: ms * 1024 + counter
    origin text NOT NULL
);

CREATE TABLE item (
    tenant text NOT NULL,
    collection text NOT NULL,
    id text NOT NULL,
    vector bytea,                      -- little-endian float32; null in a tombstone
    metadata text NOT NULL,
    at bigint NOT NULL,
    origin text NOT NULL,
    event_id text NOT NULL,
    deleted boolean NOT NULL,
    PRIMARY KEY (tenant, collection, id)
) WITH (fillfactor = 90);

CREATE TABLE change (
    origin text NOT NULL,
    lane smallint NOT NULL,
    epoch integer NOT NULL,
    seq bigint NOT NULL,
    event_id text NOT NULL,
    tenant text NOT NULL,
    collection text NOT NULL,
    item_id text NOT NULL,
    op text NOT NULL,
    vector bytea,
    metadata text NOT NULL,
    at bigint NOT NULL,
    region text NOT NULL,
    written bigint NOT NULL,           -- ms, when the service received it
    committed bigint NOT NULL,         -- ms, when the hub committed it
    PRIMARY KEY (origin, lane, epoch, seq)
) PARTITION BY LIST (origin);
-- Vectors do not compress; without this TOAST tries to.
ALTER TABLE change ALTER COLUMN vector SET STORAGE EXTERNAL;
ALTER TABLE item ALTER COLUMN vector SET STORAGE EXTERNAL;

CREATE TABLE head (
    origin text NOT NULL,
    lane smallint NOT NULL,
    epoch integer NOT NULL,
    seq bigint NOT NULL,
    clock bigint NOT NULL,
    PRIMARY KEY (origin, lane)
) WITH (fillfactor = 50);

CREATE TABLE applied (
    origin text NOT NULL,
    lane smallint NOT NULL,
    epoch integer NOT NULL,
    seq bigint NOT NULL,
    PRIMARY KEY (origin, lane)
) WITH (fillfactor = 50);

CREATE TABLE published (
    origin text NOT NULL,
    lane smallint NOT NULL,
    epoch integer NOT NULL,
    seq bigint NOT NULL,
    PRIMARY KEY (origin, lane)
) WITH (fillfactor = 50);

CREATE TABLE stream (
    id text PRIMARY KEY,
    home text NOT NULL,
    definition_version integer NOT NULL,
    owner text,
    epoch integer NOT NULL DEFAULT 1,
    lease_until timestamptz,
    acked_position text
);

CREATE VIEW position AS
    SELECT origin, lane, epoch, seq FROM head
    UNION ALL SELECT origin, lane, epoch, seq FROM applied;

-- The range partitions that exist; lanes reach the same range at different times.
CREATE TABLE log_range (
    origin text NOT NULL,
    epoch integer NOT NULL,
    part bigint NOT NULL,              -- holds seq part * 65536 to the next
    PRIMARY KEY (origin, epoch, part)
);

-- The partitions that hold p_from to p_to of an epoch exist afterwards and stay
-- until the transaction ends.
CREATE FUNCTION ensure_range(p_origin text, p_epoch integer, p_from bigint, p_to bigint)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    width constant bigint := 65536;
    parent constant text := 'change_' || md5(p_origin);
    gate constant bigint := hashtextextended('meridian.range.' || p_origin, 0);
BEGIN
    PERFORM pg_advisory_xact_lock_shared(gate);
    FOR number IN p_from / width .. p_to / width LOOP
        CONTINUE WHEN EXISTS (SELECT FROM log_range r WHERE r.origin = p_origin
            AND r.epoch = p_epoch AND r.part = number);
        -- Makers exclude each other, and the shared lock above keeps droppers out.
        PERFORM pg_advisory_xact_lock(gate + 1);
        EXECUTE format('CREATE TABLE IF NOT EXISTS %I PARTITION OF change
            FOR VALUES IN (%L) PARTITION BY RANGE (epoch, seq)', parent, p_origin);
        EXECUTE format('CREATE INDEX IF NOT EXISTS %I ON %I (event_id)',
            parent || '_event', parent);
        EXECUTE format('CREATE TABLE IF NOT EXISTS %I PARTITION OF %I
            FOR VALUES FROM (%s, %s) TO (%s, %s)',
            parent || '_' || p_epoch || '_' || number, parent,
            p_epoch, number * width, p_epoch, (number + 1) * width);
        INSERT INTO log_range VALUES (p_origin, p_epoch, number) ON CONFLICT DO NOTHING;
    END LOOP;
END $$;

-- Drops the ranges whose newest change was committed before p_before (ms).
CREATE FUNCTION drop_ranges(p_before bigint) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    range record;
    name text;
    newest bigint;
    dropped integer := 0;
BEGIN
    FOR range IN SELECT * FROM log_range ORDER BY origin, epoch, part LOOP
        name := format('change_%s_%s_%s', md5(range.origin), range.epoch, range.part);
        EXECUTE format('SELECT max(committed) FROM %I', name) INTO newest;
        CONTINUE WHEN newest IS NULL OR newest >= p_before;
        PERFORM pg_advisory_xact_lock(
            hashtextextended('meridian.range.' || range.origin, 0));
        -- Looked at again: a writer may have been faster than the lock.
        EXECUTE format('SELECT max(committed) FROM %I', name) INTO newest;
        CONTINUE WHEN newest >= p_before;
        EXECUTE format('DROP TABLE %I', name);
        DELETE FROM log_range r WHERE r.origin = range.origin
            AND r.epoch = range.epoch AND r.part = range.part;
        dropped := dropped + 1;
    END LOOP;
    RETURN dropped;
END $$;

-- Group commit: items, changes, head and clock of one batch in one round trip.
-- An event id that the lane knows, or that stood earlier in the batch, returns
-- the change it made then (`repeated`).
CREATE FUNCTION commit_changes(
    p_origin text, p_region text, p_lanes smallint[], p_events text[],
    p_tenants text[], p_collections text[], p_items text[], p_ops text[],
    p_vectors bytea[], p_metadata text[], p_written bigint[])
RETURNS TABLE (n bigint, lane smallint, epoch integer, seq bigint, at bigint,
    committed bigint, repeated boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
#variable_conflict use_column
DECLARE
    moment constant bigint := (extract(epoch FROM clock_timestamp()) * 1000)::bigint;
    locked record;
BEGIN
    -- Locks in lane order, so that batches of several lanes never deadlock.
    FOR locked IN SELECT h.epoch, h.seq FROM head h
        WHERE h.origin = p_origin AND h.lane = ANY (p_lanes)
        ORDER BY h.lane FOR UPDATE
    LOOP
        PERFORM ensure_range(p_origin, locked.epoch, locked.seq + 1,
            locked.seq + cardinality(p_lanes));
    END LOOP;
    RETURN QUERY
    WITH given AS (
        SELECT g.* FROM unnest(p_lanes, p_events, p_tenants, p_collections, p_items,
            p_ops, p_vectors, p_metadata, p_written) WITH ORDINALITY
            AS g(lane, event_id, tenant, collection, item_id, op, vector, metadata,
                written, n)
    ), known AS (
        SELECT DISTINCT ON (c.event_id, c.lane)
            c.event_id, c.lane, c.epoch, c.seq, c.at, c.committed
        FROM change c
        WHERE c.origin = p_origin AND c.event_id = ANY (p_events)
    ), fresh AS (
        SELECT f.*, row_number() OVER (PARTITION BY f.lane ORDER BY f.n) AS k FROM (
            SELECT DISTINCT ON (g.lane, g.event_id) g.* FROM given g
            WHERE NOT EXISTS (SELECT FROM known w
                WHERE w.event_id = g.event_id AND w.lane = g.lane)
            ORDER BY g.lane, g.event_id, g.n) f
    ), counted AS (
        -- The clock passes whatever the items already carry from other hubs.
        SELECT f.lane, count(*) AS changes, max(i.at) AS seen
        FROM fresh f LEFT JOIN item i ON i.tenant = f.tenant
            AND i.collection = f.collection AND i.id = f.item_id
        GROUP BY f.lane
    ), moved AS (
        UPDATE head h SET seq = h.seq + c.changes,
            clock = greatest(h.clock, c.seen, moment * 1024) + c.changes
        FROM counted c WHERE h.origin = p_origin AND h.lane = c.lane
        RETURNING h.lane, h.epoch, h.seq - c.changes AS seq,
            h.clock - c.changes AS clock
    ), stamped AS (
        SELECT f.*, m.epoch, m.seq + f.k AS seq, m.clock + f.k AS at
        FROM fresh f JOIN moved m ON m.lane = f.lane
    ), logged AS (
        INSERT INTO change SELECT p_origin, s.lane, s.epoch, s.seq, s.event_id,
            s.tenant, s.collection, s.item_id, s.op, s.vector, s.metadata, s.at,
            p_region, s.written, moment
        FROM stamped s
    ), rows AS (
        INSERT INTO item AS old SELECT DISTINCT ON (s.tenant, s.collection, s.item_id)
            s.tenant, s.collection, s.item_id, s.vector, s.metadata, s.at, p_origin,
            s.event_id, s.op = 'delete'
        FROM stamped s WHERE s.op IN ('upsert', 'delete')
        ORDER BY s.tenant, s.collection, s.item_id, s.n DESC
        ON CONFLICT (tenant, collection, id) DO UPDATE SET
            (vector, metadata, at, origin, event_id, deleted) = (excluded.vector,
            excluded.metadata, excluded.at, excluded.origin, excluded.event_id,
            excluded.deleted)
        WHERE (old.at, old.origin) < (excluded.at, excluded.origin)
    ), collections AS (
        INSERT INTO collection SELECT DISTINCT ON (s.collection)
            s.collection, s.tenant, s.lane, s.metadata, s.at, p_origin
        FROM stamped s WHERE s.op = 'collection' ORDER BY s.collection, s.n
        ON CONFLICT DO NOTHING
    ), made AS (
        SELECT s.event_id, s.lane, s.epoch, s.seq, s.at, moment AS committed,
            s.n AS first FROM stamped s
        UNION ALL SELECT w.event_id, w.lane, w.epoch, w.seq, w.at, w.committed, 0
        FROM known w
    )
    SELECT g.n, g.lane, m.epoch, m.seq, m.at, m.committed, m.first <> g.n
    FROM given g JOIN made m ON m.event_id = g.event_id AND m.lane = g.lane
    ORDER BY g.n;
END $$;

-- Applies consecutive changes of one lane of another origin; what is applied
-- already is skipped. Returns the position reached. A hole is an error.
CREATE FUNCTION apply_changes(
    p_origin text, p_lane smallint, p_epochs integer[], p_seqs bigint[],
    p_events text[], p_tenants text[], p_collections text[], p_items text[],
    p_ops text[], p_vectors bytea[], p_metadata text[], p_ats bigint[],
    p_regions text[], p_written bigint[], p_committed bigint[])
RETURNS TABLE (epoch integer, seq bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
#variable_conflict use_column
DECLARE
    done record;
    last_epoch constant integer := p_epochs[cardinality(p_epochs)];
    last_seq constant bigint := p_seqs[cardinality(p_seqs)];
BEGIN
    INSERT INTO applied VALUES (p_origin, p_lane, 1, 0) ON CONFLICT DO NOTHING;
    SELECT a.epoch, a.seq INTO done FROM applied a
        WHERE a.origin = p_origin AND a.lane = p_lane FOR UPDATE;
    IF (last_epoch, last_seq) <= (done.epoch, done.seq) THEN
        RETURN QUERY SELECT done.epoch, done.seq;
        RETURN;
    END IF;
    IF NOT ((p_epochs[1] = done.epoch AND p_seqs[1] <= done.seq + 1)
            OR (p_epochs[1] > done.epoch AND p_seqs[1] = 1)) THEN
        RAISE EXCEPTION 'hole before (%, %) of % lane %: applied up to (%, %)',
            p_epochs[1], p_seqs[1], p_origin, p_lane, done.epoch, done.seq
            USING ERRCODE = 'MD001';
    END IF;
    PERFORM ensure_range(p_origin, e.epoch, min(e.seq), max(e.seq))
        FROM unnest(p_epochs, p_seqs) AS e(epoch, seq) GROUP BY e.epoch;
    WITH given AS (
        SELECT g.* FROM unnest(p_epochs, p_seqs, p_events, p_tenants, p_collections,
            p_items, p_ops, p_vectors, p_metadata, p_ats, p_regions, p_written,
            p_committed) AS g(epoch, seq, event_id, tenant, collection, item_id, op,
            vector, metadata, at, region, written, committed)
        WHERE (g.epoch, g.seq) > (done.epoch, done.seq)
    ), logged AS (
        INSERT INTO change SELECT p_origin, p_lane, g.epoch, g.seq, g.event_id,
            g.tenant, g.collection, g.item_id, g.op, g.vector, g.metadata, g.at,
            g.region, g.written, g.committed FROM given g
    ), rows AS (
        INSERT INTO item AS old SELECT DISTINCT ON (g.tenant, g.collection, g.item_id)
            g.tenant, g.collection, g.item_id, g.vector, g.metadata, g.at, p_origin,
            g.event_id, g.op = 'delete'
        FROM given g WHERE g.op IN ('upsert', 'delete')
        ORDER BY g.tenant, g.collection, g.item_id, g.at DESC
        ON CONFLICT (tenant, collection, id) DO UPDATE SET
            (vector, metadata, at, origin, event_id, deleted) = (excluded.vector,
            excluded.metadata, excluded.at, excluded.origin, excluded.event_id,
            excluded.deleted)
        WHERE (old.at, old.origin) < (excluded.at, excluded.origin)
    )
    -- The first creation wins everywhere: a definition never changes.
    INSERT INTO collection AS old SELECT DISTINCT ON (g.collection)
        g.collection, g.tenant, p_lane, g.metadata, g.at, p_origin
    FROM given g WHERE g.op = 'collection' ORDER BY g.collection, g.at
    ON CONFLICT (name) DO UPDATE SET (definition, at, origin) =
        (excluded.definition, excluded.at, excluded.origin)
    WHERE (excluded.at, excluded.origin) < (old.at, old.origin);
    UPDATE applied a SET epoch = last_epoch, seq = last_seq
        WHERE a.origin = p_origin AND a.lane = p_lane;
    RETURN QUERY SELECT last_epoch, last_seq;
END $$;

GRANT SELECT ON ALL TABLES IN SCHEMA public TO PUBLIC;
