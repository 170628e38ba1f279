-- Which change an event made is asked of a table of its own with one index, by plans that
-- do not depend on what is believed of a table.
--
-- A plan made for the very values of a batch takes longer than the batch: 70 to 150 ms
-- for a hundred vectors, which the first five calls of every connection paid one each.
-- The plan for any values is made once, when a partition of the log may still be empty,
-- and stays until statistics come: it then read a whole partition for every batch
-- (172 ms at 16,000 changes, measured 2026-11-29), by the primary key of the log, which
-- costs an empty table as little as the index of its events. And that index was one more
-- to ask for every range of the log.

CREATE TABLE written (
    event_id text NOT NULL,
    lane smallint NOT NULL,
    origin text NOT NULL,
    hour integer NOT NULL,             -- of its commit, since 1970
    epoch integer NOT NULL,
    seq bigint NOT NULL,
    at bigint NOT NULL,
    committed bigint NOT NULL,
    PRIMARY KEY (event_id, lane, origin, hour)
) PARTITION BY LIST (hour);

CREATE TABLE written_hour (hour integer PRIMARY KEY);

CREATE FUNCTION hour_of(p_moment bigint) RETURNS integer LANGUAGE sql IMMUTABLE
AS $$ SELECT (p_moment / 3600000)::integer $$;

-- The partition of an hour and of the next exist afterwards and stay until the
-- transaction ends.
CREATE FUNCTION ensure_hour(p_hour integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    gate constant bigint := hashtextextended('meridian.hour', 0);
BEGIN
    PERFORM pg_advisory_xact_lock_shared(gate);
    FOR wanted IN p_hour .. p_hour + 1 LOOP
        CONTINUE WHEN EXISTS (SELECT FROM written_hour w WHERE w.hour = wanted);
        -- Makers exclude each other, and the shared lock above keeps droppers out.
        PERFORM pg_advisory_xact_lock(gate + 1);
        EXECUTE format('CREATE TABLE IF NOT EXISTS %I PARTITION OF written
            FOR VALUES IN (%s)', 'written_' || wanted, wanted);
        INSERT INTO written_hour VALUES (wanted) ON CONFLICT DO NOTHING;
    END LOOP;
END $$;

-- Drops the hours that ended before p_before (ms); returns how many.
CREATE FUNCTION drop_hours(p_before bigint) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    old record;
    dropped integer := 0;
BEGIN
    -- Commits wait for this lock: it is taken only when there is something to drop.
    IF NOT EXISTS (SELECT FROM written_hour w WHERE w.hour < hour_of(p_before)) THEN
        RETURN 0;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('meridian.hour', 0));
    FOR old IN SELECT w.hour FROM written_hour w WHERE w.hour < hour_of(p_before) LOOP
        EXECUTE format('DROP TABLE %I', 'written_' || old.hour);
        DELETE FROM written_hour w WHERE w.hour = old.hour;
        dropped := dropped + 1;
    END LOOP;
    RETURN dropped;
END $$;

CREATE OR REPLACE FUNCTION ensure_range(
    p_origin text, p_epoch integer, p_from bigint, p_to bigint)
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
        EXECUTE format('CREATE TABLE IF NOT EXISTS %I PARTITION OF %I
            FOR VALUES FROM (%s, %s) TO (%s, %s)',
            parent || '_' || p_epoch || '_' || number, parent,
            p_epoch, number * width, p_epoch, (number + 1) * width);
        INSERT INTO log_range VALUES (p_origin, p_epoch, number) ON CONFLICT DO NOTHING;
    END LOOP;
END $$;

DO $$
DECLARE
    made record;
BEGIN
    PERFORM ensure_hour(h.hour)
        FROM (SELECT DISTINCT hour_of(c.committed) AS hour FROM change c) h;
    INSERT INTO written SELECT DISTINCT ON (c.event_id, c.lane, c.origin)
        c.event_id, c.lane, c.origin, hour_of(c.committed), c.epoch, c.seq, c.at,
        c.committed
    FROM change c ORDER BY c.event_id, c.lane, c.origin, c.epoch, c.seq;
    FOR made IN SELECT DISTINCT 'change_' || md5(r.origin) AS parent FROM log_range r LOOP
        EXECUTE format('DROP INDEX IF EXISTS %I', made.parent || '_event');
    END LOOP;
END $$;

-- The changes that events made in a lane, whichever hub took them.
CREATE FUNCTION events_of(p_lanes smallint[], p_events text[]) RETURNS SETOF written
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
BEGIN
    RETURN QUERY SELECT w.* FROM written w
        WHERE w.event_id = ANY (p_events) AND w.lane = ANY (p_lanes);
END $$;

-- Group commit as before.
CREATE OR REPLACE FUNCTION commit_changes(
    p_origin text, p_region text, p_lanes smallint[], p_events text[],
    p_tenants text[], p_collections text[], p_items text[], p_ops text[],
    p_vectors bytea[], p_metadata text[], p_written bigint[],
    p_ifs bigint[] DEFAULT NULL)
RETURNS TABLE (n bigint, lane smallint, epoch integer, seq bigint, at bigint,
    committed bigint, repeated boolean, refused boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off
SET enable_hashjoin = off SET enable_mergejoin = off AS $$
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
    PERFORM ensure_hour(hour_of(moment));
    RETURN QUERY
    WITH given AS (
        SELECT g.*, min(g.n) OVER (PARTITION BY g.lane, g.event_id) AS first
        FROM unnest(p_lanes, p_events, p_tenants, p_collections, p_items,
            p_ops, p_vectors, p_metadata, p_written,
            coalesce(p_ifs, array_fill(NULL::bigint, ARRAY[cardinality(p_lanes)])))
            WITH ORDINALITY AS g(lane, event_id, tenant, collection, item_id, op,
                vector, metadata, written, wanted, n)
    ), known AS (
        SELECT DISTINCT ON (c.event_id, c.lane) c.*
        FROM events_of(p_lanes, p_events) c WHERE c.origin = p_origin
    ), births AS (
        SELECT u.tenant, u.collection, greatest(
            (SELECT v.at FROM collection v
                WHERE v.tenant = u.tenant AND v.name = u.collection),
            (SELECT d.at FROM dropped d
                WHERE d.tenant = u.tenant AND d.name = u.collection)) AS born
        FROM (SELECT DISTINCT g.tenant, g.collection FROM given g) u
    ), asked AS (
        SELECT g.*, i.at AS seen, b.born,
            CASE WHEN i.deleted OR i.at IS NULL OR i.at <= coalesce(b.born, 0)
                THEN 0 ELSE i.at END AS version
        FROM given g
        JOIN births b ON b.tenant = g.tenant AND b.collection = g.collection
        LEFT JOIN item i ON i.tenant = g.tenant AND i.collection = g.collection
            AND i.id = g.item_id
        WHERE g.n = g.first AND NOT EXISTS (SELECT FROM known w
            WHERE w.event_id = g.event_id AND w.lane = g.lane)
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
    ), noted AS (
        INSERT INTO written SELECT s.event_id, s.lane, p_origin, hour_of(moment),
            s.epoch, s.seq, s.at, moment
        FROM stamped s
    ), rows AS (
        SELECT put_rows(p_origin, array_agg(s.lane), array_agg(s.event_id),
            array_agg(s.tenant), array_agg(s.collection), array_agg(s.item_id),
            array_agg(s.op), array_agg(s.vector), array_agg(s.metadata),
            array_agg(s.at)) AS done
        FROM stamped s HAVING count(*) > 0
    ), answers AS (
        SELECT s.n AS first, s.epoch, s.seq, s.at, moment AS committed,
            false AS repeated, false AS refused FROM stamped s
        UNION ALL SELECT g.n, w.epoch, w.seq, w.at, w.committed, true, false
        FROM known w JOIN given g ON g.event_id = w.event_id AND g.lane = w.lane
            AND g.n = g.first
        UNION ALL SELECT j.n, 0, 0, j.version, moment, false, true
        FROM judged j WHERE j.refused
    )
    SELECT g.n, g.lane, m.epoch, m.seq, m.at, m.committed,
        m.repeated OR g.n <> g.first, m.refused
    FROM given g JOIN answers m ON m.first = g.first
    LEFT JOIN rows r ON true
    ORDER BY g.n;
END $$;

-- As before, and the events are noted.
CREATE OR REPLACE FUNCTION apply_changes(
    p_origin text, p_lane smallint, p_epochs integer[], p_seqs bigint[],
    p_events text[], p_tenants text[], p_collections text[], p_items text[],
    p_ops text[], p_vectors bytea[], p_metadata text[], p_ats bigint[],
    p_regions text[], p_written bigint[], p_committed bigint[])
RETURNS TABLE (epoch integer, seq bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off
SET enable_hashjoin = off SET enable_mergejoin = off AS $$
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
    PERFORM ensure_hour(h.hour)
        FROM (SELECT DISTINCT hour_of(c) AS hour FROM unnest(p_committed) c) h;
    WITH given AS (
        SELECT g.* FROM unnest(p_epochs, p_seqs, p_events, p_tenants, p_collections,
            p_items, p_ops, p_vectors, p_metadata, p_ats, p_regions, p_written,
            p_committed) AS g(epoch, seq, event_id, tenant, collection, item_id, op,
            vector, metadata, at, region, written, committed)
        WHERE (g.epoch, g.seq) > (done.epoch, done.seq)
    ), noted AS (
        INSERT INTO written SELECT g.event_id, p_lane, p_origin, hour_of(g.committed),
            g.epoch, g.seq, g.at, g.committed FROM given g
        ON CONFLICT DO NOTHING
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

ALTER FUNCTION put_rows(text, smallint[], text[], text[], text[], text[], text[],
    bytea[], text[], bigint[])
    SET plan_cache_mode = force_generic_plan;
