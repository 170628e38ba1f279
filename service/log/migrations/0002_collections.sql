-- Collections of several tenants that can be dropped and created again, and writes
-- that are made only if an item still has the version that the writer saw.
--
-- A collection is what remains of two sets that only grow, so that every region
-- ends with the same whatever the order of arrival: all creations, and the latest
-- drop of a name. The earliest creation after that drop is the collection, and an
-- item belongs to it when its version is above the creation's. `collection` is a
-- view with the columns that the revision before reads.

CREATE TABLE creation (
    tenant text NOT NULL,
    name text NOT NULL,
    at bigint NOT NULL,                -- hybrid clock
    origin text NOT NULL,
    lane smallint NOT NULL,
    definition text NOT NULL,          -- JSON
    PRIMARY KEY (tenant, name, at, origin)
);

CREATE TABLE dropped (
    tenant text NOT NULL,
    name text NOT NULL,
    at bigint NOT NULL,
    PRIMARY KEY (tenant, name)
);

INSERT INTO creation SELECT tenant, name, at, origin, lane, definition FROM collection;
DROP TABLE collection;
CREATE VIEW collection AS
    SELECT DISTINCT ON (c.tenant, c.name)
        c.name, c.tenant, c.lane, c.definition, c.at, c.origin
    FROM creation c LEFT JOIN dropped d USING (tenant, name)
    WHERE c.at > coalesce(d.at, 0)
    ORDER BY c.tenant, c.name, c.at, c.origin;

-- What a batch of changes does to items and collections, the same for a hub's own
-- writes and for what other hubs send.
CREATE FUNCTION put_rows(p_origin text, p_lane smallint[], p_events text[],
    p_tenants text[], p_collections text[], p_items text[], p_ops text[],
    p_vectors bytea[], p_metadata text[], p_ats bigint[])
RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH given AS (
        SELECT g.* FROM unnest(p_lane, p_events, p_tenants, p_collections, p_items,
            p_ops, p_vectors, p_metadata, p_ats) AS g(lane, event_id, tenant,
            collection, item_id, op, vector, metadata, at)
    ), made AS (
        INSERT INTO creation SELECT g.tenant, g.collection, g.at, p_origin, g.lane,
            g.metadata FROM given g WHERE g.op = 'collection' ON CONFLICT DO NOTHING
    ), gone AS (
        INSERT INTO dropped AS old SELECT g.tenant, g.collection, max(g.at)
        FROM given g WHERE g.op = 'drop' GROUP BY g.tenant, g.collection
        ON CONFLICT (tenant, name) DO UPDATE SET at = greatest(old.at, excluded.at)
    )
    INSERT INTO item AS old SELECT DISTINCT ON (g.tenant, g.collection, g.item_id)
        g.tenant, g.collection, g.item_id, g.vector, g.metadata, g.at, p_origin,
        g.event_id, g.op = 'delete'
    FROM given g WHERE g.op IN ('upsert', 'delete')
    ORDER BY g.tenant, g.collection, g.item_id, g.at DESC
    ON CONFLICT (tenant, collection, id) DO UPDATE SET
        (vector, metadata, at, origin, event_id, deleted) = (excluded.vector,
        excluded.metadata, excluded.at, excluded.origin, excluded.event_id,
        excluded.deleted)
    WHERE (old.at, old.origin) < (excluded.at, excluded.origin);
$$;

-- The one place where the log reads a clock. A session may move its own, in
-- milliseconds: tests hold that clocks that disagree change no outcome.
CREATE FUNCTION moment_ms() RETURNS bigint LANGUAGE sql VOLATILE AS $$
    SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint
        + coalesce(nullif(current_setting('meridian.skew_ms', true), ''), '0')::bigint;
$$;

DROP FUNCTION commit_changes(text, text, smallint[], text[], text[], text[], text[],
    text[], bytea[], text[], bigint[]);

-- Group commit as before. `p_ifs` holds per write the version that the item must
-- have (0: it must not be there; null: whatever it has). A write whose condition
-- does not hold is `refused` and leaves no trace; `at` is then the item's version.
CREATE FUNCTION commit_changes(
    p_origin text, p_region text, p_lanes smallint[], p_events text[],
    p_tenants text[], p_collections text[], p_items text[], p_ops text[],
    p_vectors bytea[], p_metadata text[], p_written bigint[],
    p_ifs bigint[] DEFAULT NULL)
RETURNS TABLE (n bigint, lane smallint, epoch integer, seq bigint, at bigint,
    committed bigint, repeated boolean, refused boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
#variable_conflict use_column
DECLARE
    moment constant bigint := moment_ms();
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
            p_ops, p_vectors, p_metadata, p_written,
            coalesce(p_ifs, array_fill(NULL::bigint, ARRAY[cardinality(p_lanes)])))
            WITH ORDINALITY AS g(lane, event_id, tenant, collection, item_id, op,
                vector, metadata, written, wanted, n)
    ), known AS (
        SELECT DISTINCT ON (c.event_id, c.lane)
            c.event_id, c.lane, c.epoch, c.seq, c.at, c.committed
        FROM change c
        WHERE c.origin = p_origin AND c.event_id = ANY (p_events)
    ), births AS (
        SELECT u.tenant, u.collection, greatest(
            (SELECT v.at FROM collection v
                WHERE v.tenant = u.tenant AND v.name = u.collection),
            (SELECT d.at FROM dropped d
                WHERE d.tenant = u.tenant AND d.name = u.collection)) AS born
        FROM (SELECT DISTINCT g.tenant, g.collection FROM given g) u
    ), asked AS (
        SELECT DISTINCT ON (g.lane, g.event_id) g.*, i.at AS seen, b.born,
            CASE WHEN i.deleted OR i.at IS NULL OR i.at <= coalesce(b.born, 0)
                THEN 0 ELSE i.at END AS version
        FROM given g
        JOIN births b ON b.tenant = g.tenant AND b.collection = g.collection
        LEFT JOIN item i ON i.tenant = g.tenant AND i.collection = g.collection
            AND i.id = g.item_id
        WHERE NOT EXISTS (SELECT FROM known w
            WHERE w.event_id = g.event_id AND w.lane = g.lane)
        ORDER BY g.lane, g.event_id, g.n
    ), judged AS (
        SELECT a.*, a.wanted IS NOT NULL AND (a.wanted <> a.version
            OR EXISTS (SELECT FROM asked o WHERE o.n < a.n AND o.tenant = a.tenant
                AND o.collection = a.collection AND o.item_id = a.item_id)) AS refused
        FROM asked a
    ), fresh AS (
        SELECT j.*, row_number() OVER (PARTITION BY j.lane ORDER BY j.n) AS k
        FROM judged j WHERE NOT j.refused
    ), counted AS (
        -- The clock passes whatever items and collections carry from other hubs.
        SELECT f.lane, count(*) AS changes, max(greatest(f.seen, f.born)) AS seen
        FROM fresh f GROUP BY f.lane
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
        SELECT put_rows(p_origin, array_agg(s.lane), array_agg(s.event_id),
            array_agg(s.tenant), array_agg(s.collection), array_agg(s.item_id),
            array_agg(s.op), array_agg(s.vector), array_agg(s.metadata),
            array_agg(s.at)) AS done
        FROM stamped s HAVING count(*) > 0
    ), answers AS (
        SELECT s.event_id, s.lane, s.epoch, s.seq, s.at, moment AS committed,
            s.n AS first, false AS refused FROM stamped s
        UNION ALL SELECT w.event_id, w.lane, w.epoch, w.seq, w.at, w.committed, 0,
            false FROM known w
        UNION ALL SELECT j.event_id, j.lane, 0, 0, j.version, moment, j.n, true
        FROM judged j WHERE j.refused
    )
    SELECT g.n, g.lane, m.epoch, m.seq, m.at, m.committed, m.first <> g.n, m.refused
    FROM given g JOIN answers m ON m.event_id = g.event_id AND m.lane = g.lane
    LEFT JOIN rows r ON true
    ORDER BY g.n;
END $$;

CREATE OR REPLACE FUNCTION apply_changes(
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
    )
    INSERT INTO change SELECT p_origin, p_lane, g.epoch, g.seq, g.event_id,
        g.tenant, g.collection, g.item_id, g.op, g.vector, g.metadata, g.at,
        g.region, g.written, g.committed FROM given g;
    -- Rows that were applied before lose against themselves: no need to leave out.
    PERFORM put_rows(p_origin, array_fill(p_lane, ARRAY[cardinality(p_seqs)]),
        p_events, p_tenants, p_collections, p_items, p_ops, p_vectors, p_metadata,
        p_ats);
    UPDATE applied a SET epoch = last_epoch, seq = last_seq
        WHERE a.origin = p_origin AND a.lane = p_lane;
    RETURN QUERY SELECT last_epoch, last_seq;
END $$;

-- Removes the rows of dropped collections and tombstones older than p_before (hybrid
-- clock), at most p_most; returns how many. What is removed can never come back:
-- a drop is kept, and it is above every version that it removed.
CREATE FUNCTION sweep_items(p_before bigint, p_most integer) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH dead AS (
        (SELECT i.tenant, i.collection, i.id FROM item i
            JOIN dropped d ON d.tenant = i.tenant
                AND i.collection IN (d.name, '~queries.' || d.name)
            WHERE i.at < d.at LIMIT p_most)
        UNION (SELECT i.tenant, i.collection, i.id FROM item i
            WHERE i.deleted AND i.at < p_before LIMIT p_most)
    ), gone AS (
        DELETE FROM item i USING dead d WHERE i.tenant = d.tenant
            AND i.collection = d.collection AND i.id = d.id
            AND ((i.deleted AND i.at < p_before) OR EXISTS (SELECT FROM dropped x
                WHERE x.tenant = i.tenant AND i.at < x.at
                AND i.collection IN (x.name, '~queries.' || x.name)))
        RETURNING 1
    ) SELECT count(*) FROM gone;
$$;

GRANT SELECT ON ALL TABLES IN SCHEMA public TO PUBLIC;
