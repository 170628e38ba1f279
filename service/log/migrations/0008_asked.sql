-- Writes that another hub's instance asked for and that were refused. A question may
-- come twice; without this the copy that comes later could store what the asker was
-- told is refused, once the item is gone, or there.
CREATE TABLE refused (
    question text,
    event_id text,
    version bigint NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (question, event_id)
);

-- `commit_changes` for writes of which some have a question (others null): what was
-- refused for a question stays refused for it, where that is its final answer.
CREATE FUNCTION commit_asked(
    p_origin text, p_region text, p_lanes smallint[], p_events text[],
    p_tenants text[], p_collections text[], p_items text[], p_ops text[],
    p_vectors bytea[], p_metadata text[], p_written bigint[], p_ifs bigint[],
    p_questions text[], p_final boolean[])
RETURNS TABLE (n bigint, lane smallint, epoch integer, seq bigint, at bigint,
    committed bigint, repeated boolean, refused boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
DECLARE
    ifs bigint[];
BEGIN
    -- The locks of `commit_changes`, sooner: a copy that another worker has at hand is
    -- over when the next statement looks.
    PERFORM FROM head h WHERE h.origin = p_origin AND h.lane = ANY (p_lanes)
        ORDER BY h.lane FOR UPDATE;
    -- No item has version -1.
    SELECT array_agg(CASE WHEN r.question IS NULL THEN g.wanted ELSE -1 END
        ORDER BY g.n) INTO ifs
    FROM unnest(p_questions, p_events, p_ifs)
        WITH ORDINALITY AS g(question, event_id, wanted, n)
    LEFT JOIN refused r ON r.question = g.question AND r.event_id = g.event_id;
    RETURN QUERY
    WITH done AS MATERIALIZED (
        SELECT d.*, p_questions[d.n] AS question, p_events[d.n] AS event_id
        FROM commit_changes(p_origin, p_region, p_lanes, p_events, p_tenants,
            p_collections, p_items, p_ops, p_vectors, p_metadata, p_written, ifs) d
    ), kept AS (
        INSERT INTO refused SELECT d.question, d.event_id, d.at FROM done d
        WHERE d.refused AND d.question IS NOT NULL AND p_final[d.n]
        ON CONFLICT DO NOTHING
    )
    SELECT d.n, d.lane, d.epoch, d.seq,
        CASE WHEN d.refused THEN coalesce(r.version, d.at) ELSE d.at END,
        d.committed, d.repeated, d.refused
    FROM done d
    LEFT JOIN refused r ON r.question = d.question AND r.event_id = d.event_id
    ORDER BY d.n;
END $$;

-- Nobody asks a question for as long as an hour.
CREATE FUNCTION sweep_refused() RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH gone AS (
        DELETE FROM refused r WHERE r.at < clock_timestamp() - interval '1 hour'
        RETURNING 1
    ) SELECT count(*) FROM gone;
$$;

GRANT SELECT ON ALL TABLES IN SCHEMA public TO PUBLIC;
