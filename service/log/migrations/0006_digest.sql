-- What hubs compare and fetch of each other's state: items (tombstones included),
-- creations and drops, whatever hub wrote them. It repairs what the log no longer has.

-- Rounds of comparison with other hubs, as hybrid clocks: all that is older was the
-- same afterwards.
CREATE TABLE peer (
    hub text PRIMARY KEY,
    compared bigint NOT NULL DEFAULT 0,    -- this hub has all that the other one had
    confirmed bigint NOT NULL DEFAULT 0    -- the other one has all that this hub had
);

-- Items that came by comparison, in the order of their commits: no feed carries them,
-- instances look here. An empty id stands for the collection itself.
CREATE TABLE repaired (
    n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant text NOT NULL,
    collection text NOT NULL,
    id text NOT NULL,
    made bigint NOT NULL                   -- ms
);

-- One of 65,536 fine buckets; 64 of them are a coarse one (`>> 6`).
-- md5 and no hash of Postgres's own: hubs may run different versions of it.
CREATE FUNCTION bucket_of(p_tenant text, p_collection text, p_id text)
RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT ('x' || left(md5(p_tenant || '/' || p_collection || '/' || p_id), 4))
        ::bit(16)::integer
$$;

CREATE FUNCTION hash_of(p_text text)
RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT ('x' || left(md5(p_text), 16))::bit(64)::bigint
$$;

-- Items that count: not those of a collection that was dropped, nor those that a saved
-- search of one is kept in. They are swept when it suits each hub.
CREATE VIEW counted_item AS
    SELECT i.tenant, i.collection, i.id, i.at, i.origin, i.deleted,
        bucket_of(i.tenant, i.collection, i.id) AS bucket,
        hash_of(i.tenant || '/' || i.collection || '/' || i.id || '/' || i.at || '/'
            || i.origin || '/' || i.deleted) AS hash
    FROM item i LEFT JOIN dropped d ON d.tenant = i.tenant AND d.name =
        CASE WHEN starts_with(i.collection, '~queries.')
            THEN substr(i.collection, 10) ELSE i.collection END
    WHERE i.at >= coalesce(d.at, 0);

-- Per coarse bucket of item keys the number of rows and the exclusive or of their hashes,
-- of what is not newer than p_until, and of no tombstone older than p_floor. A key stands
-- once, so that two equal hashes never cancel out. It takes one core: writes go on.
CREATE FUNCTION digest_items(p_floor bigint, p_until bigint)
RETURNS TABLE (bucket integer, rows bigint, hash bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
SET max_parallel_workers_per_gather = 0 AS $$
    SELECT c.bucket >> 6, count(*), bit_xor(c.hash) FROM counted_item c
    WHERE c.at <= p_until AND (NOT c.deleted OR c.at >= p_floor) GROUP BY 1;
$$;

-- The same per fine bucket within some coarse ones.
CREATE FUNCTION digest_within(p_coarse integer[], p_floor bigint, p_until bigint)
RETURNS TABLE (bucket integer, rows bigint, hash bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
SET max_parallel_workers_per_gather = 0 AS $$
    SELECT c.bucket, count(*), bit_xor(c.hash) FROM counted_item c
    WHERE c.at <= p_until AND (NOT c.deleted OR c.at >= p_floor)
        AND c.bucket >> 6 = ANY (p_coarse) GROUP BY 1;
$$;

-- The same of all creations and of all drops.
CREATE FUNCTION digest_collections(p_until bigint)
RETURNS TABLE (kind text, rows bigint, hash bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT 'created', count(*), coalesce(bit_xor(hash_of(c.tenant || '/' || c.name
        || '/' || c.at || '/' || c.origin)), 0)
    FROM creation c WHERE c.at <= p_until
    UNION ALL SELECT 'dropped', count(*), coalesce(bit_xor(hash_of(d.tenant || '/'
        || d.name || '/' || d.at)), 0)
    FROM dropped d WHERE d.at <= p_until;
$$;

-- Keys and versions of coarse and fine buckets in the order of keys, after one of them.
CREATE FUNCTION keys_after(p_coarse integer[], p_fine integer[], p_floor bigint,
    p_until bigint, p_tenant text, p_collection text, p_id text, p_most integer)
RETURNS TABLE (tenant text, collection text, id text, at bigint, origin text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
SET enable_seqscan = off SET enable_sort = off AS $$
    SELECT c.tenant, c.collection, c.id, c.at, c.origin FROM counted_item c
    WHERE (c.tenant, c.collection, c.id) > (p_tenant, p_collection, p_id)
        AND c.at <= p_until AND (NOT c.deleted OR c.at >= p_floor)
        AND (c.bucket >> 6 = ANY (p_coarse) OR c.bucket = ANY (p_fine))
    ORDER BY c.tenant, c.collection, c.id LIMIT p_most;
$$;

-- Those of another hub's keys that this one lacks or has an older version of; `n`
-- counts the given ones from 1.
CREATE FUNCTION keys_wanted(p_tenants text[], p_collections text[], p_ids text[],
    p_ats bigint[], p_origins text[])
RETURNS TABLE (n bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
    SELECT g.n FROM unnest(p_tenants, p_collections, p_ids, p_ats, p_origins)
        WITH ORDINALITY AS g(tenant, collection, id, at, origin, n)
    LEFT JOIN item i ON i.tenant = g.tenant AND i.collection = g.collection
        AND i.id = g.id
    WHERE i.id IS NULL OR (i.at, i.origin) < (g.at, g.origin);
$$;

-- Rows of keys in the given order, at least one and else at most p_bytes of vectors
-- and metadata; `n` counts the keys from 1.
CREATE FUNCTION rows_of(p_tenants text[], p_collections text[], p_ids text[],
    p_bytes bigint)
RETURNS TABLE (n bigint, tenant text, collection text, id text, vector bytea,
    metadata text, at bigint, origin text, event_id text, deleted boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
    WITH sized AS (
        SELECT g.*, sum(coalesce(octet_length(i.vector), 0) + octet_length(i.metadata))
            OVER (ORDER BY g.n) AS total, row_number() OVER (ORDER BY g.n) AS place
        FROM unnest(p_tenants, p_collections, p_ids) WITH ORDINALITY
            AS g(tenant, collection, id, n)
        JOIN item i ON i.tenant = g.tenant AND i.collection = g.collection
            AND i.id = g.id
    )
    SELECT s.n, i.tenant, i.collection, i.id, i.vector, i.metadata, i.at, i.origin,
        i.event_id, i.deleted
    FROM sized s JOIN item i ON i.tenant = s.tenant AND i.collection = s.collection
        AND i.id = s.id
    WHERE s.total <= p_bytes OR s.place = 1 ORDER BY s.n;
$$;

-- Takes rows of another hub: the last writer wins, as in put_rows. Returns how many
-- were newer than what was here. Their order in `repaired` is that of their commits:
-- whoever has seen a number has seen all before it.
CREATE FUNCTION merge_items(p_tenants text[], p_collections text[], p_ids text[],
    p_vectors bytea[], p_metadata text[], p_ats bigint[], p_origins text[],
    p_events text[], p_deleted boolean[])
RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    taken bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('meridian.repaired', 0));
    WITH given AS (
        SELECT g.* FROM unnest(p_tenants, p_collections, p_ids, p_vectors, p_metadata,
            p_ats, p_origins, p_events, p_deleted) AS g(tenant, collection, id, vector,
            metadata, at, origin, event_id, deleted)
        -- In one order, so that two hubs' rows never deadlock.
        ORDER BY g.tenant, g.collection, g.id
    ), put AS (
        INSERT INTO item AS old SELECT g.tenant, g.collection, g.id, g.vector,
            g.metadata, g.at, g.origin, g.event_id, g.deleted FROM given g
        ON CONFLICT (tenant, collection, id) DO UPDATE SET
            (vector, metadata, at, origin, event_id, deleted) = (excluded.vector,
            excluded.metadata, excluded.at, excluded.origin, excluded.event_id,
            excluded.deleted)
        WHERE (old.at, old.origin) < (excluded.at, excluded.origin)
        RETURNING old.tenant, old.collection, old.id
    ), noted AS (
        INSERT INTO repaired (tenant, collection, id, made)
        SELECT p.tenant, p.collection, p.id, moment_ms() FROM put p RETURNING 1
    )
    SELECT count(*) INTO taken FROM noted;
    RETURN taken;
END $$;

-- Takes creations and drops of another hub; returns how many were not known.
CREATE FUNCTION merge_collections(p_kinds text[], p_tenants text[], p_names text[],
    p_ats bigint[], p_origins text[], p_lanes smallint[], p_definitions text[])
RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    taken bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('meridian.repaired', 0));
    WITH given AS (
        SELECT g.* FROM unnest(p_kinds, p_tenants, p_names, p_ats, p_origins, p_lanes,
            p_definitions) AS g(kind, tenant, name, at, origin, lane, definition)
    ), made AS (
        INSERT INTO creation AS c SELECT g.tenant, g.name, g.at, g.origin, g.lane,
            g.definition FROM given g WHERE g.kind = 'created'
        ON CONFLICT DO NOTHING RETURNING c.tenant, c.name
    ), gone AS (
        INSERT INTO dropped AS old SELECT g.tenant, g.name, g.at
        FROM given g WHERE g.kind = 'dropped'
        ON CONFLICT (tenant, name) DO UPDATE SET at = excluded.at
        WHERE old.at < excluded.at RETURNING old.tenant, old.name
    ), noted AS (
        INSERT INTO repaired (tenant, collection, id, made)
        SELECT b.tenant, b.name, '', moment_ms()
        FROM (SELECT * FROM made UNION ALL SELECT * FROM gone) b RETURNING 1
    )
    SELECT count(*) INTO taken FROM noted;
    RETURN taken;
END $$;

-- This hub has all that another one had at p_until; or, `confirmed`, the reverse.
CREATE FUNCTION note_round(p_hub text, p_compared bigint, p_confirmed bigint)
RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    INSERT INTO peer AS old VALUES (p_hub, p_compared, p_confirmed)
    ON CONFLICT (hub) DO UPDATE SET
        compared = greatest(old.compared, excluded.compared),
        confirmed = greatest(old.confirmed, excluded.confirmed);
$$;

-- Removes what is left here of the log of lanes that stand before a position, at most
-- p_most changes; returns how many. Whoever stands there is then told of one gap up to
-- where the lane will go on, and of no matches as if they were all.
CREATE FUNCTION trim_log(p_origin text, p_lanes smallint[], p_epochs integer[],
    p_seqs bigint[], p_most integer)
RETURNS bigint LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH old AS (
        SELECT c.origin, c.lane, c.epoch, c.seq
        FROM unnest(p_lanes, p_epochs, p_seqs) AS g(lane, epoch, seq)
        JOIN applied a ON a.origin = p_origin AND a.lane = g.lane
            AND (a.epoch, a.seq) < (g.epoch, g.seq)
        JOIN change c ON c.origin = p_origin AND c.lane = g.lane
            AND (c.epoch, c.seq) <= (g.epoch, g.seq) LIMIT p_most
    ), gone AS (
        DELETE FROM change c USING old o WHERE c.origin = o.origin AND c.lane = o.lane
            AND c.epoch = o.epoch AND c.seq = o.seq RETURNING 1
    )
    SELECT count(*) FROM gone;
$$;

-- Moves lanes of another hub past changes whose outcome came by comparison; never
-- backwards.
CREATE FUNCTION skip_lost(p_origin text, p_lanes smallint[], p_epochs integer[],
    p_seqs bigint[])
RETURNS TABLE (lane smallint)
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    INSERT INTO applied AS old SELECT p_origin, g.lane, g.epoch, g.seq
    FROM unnest(p_lanes, p_epochs, p_seqs) AS g(lane, epoch, seq) ORDER BY g.lane
    ON CONFLICT (origin, lane) DO UPDATE SET
        (epoch, seq) = (excluded.epoch, excluded.seq)
    WHERE (old.epoch, old.seq) < (excluded.epoch, excluded.seq)
    RETURNING old.lane;
$$;

-- A hub that lost its log (made anew, or set back) begins an epoch above all that
-- another hub has applied of it: numbers that were used mean something else there.
CREATE FUNCTION begin_epochs(p_origin text, p_lanes smallint[], p_epochs integer[],
    p_seqs bigint[])
RETURNS TABLE (lane smallint)
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    UPDATE head h SET epoch = g.epoch + 1, seq = 0
    FROM unnest(p_lanes, p_epochs, p_seqs) AS g(lane, epoch, seq)
    WHERE h.origin = p_origin AND h.lane = g.lane AND (h.epoch, h.seq) < (g.epoch, g.seq)
    RETURNING h.lane;
$$;

-- Forgets repairs that were noted before p_before (ms); returns how many.
CREATE FUNCTION sweep_repaired(p_before bigint) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH gone AS (DELETE FROM repaired r WHERE r.made < p_before RETURNING 1)
    SELECT count(*) FROM gone;
$$;

GRANT SELECT ON ALL TABLES IN SCHEMA public TO PUBLIC;
