-- Streams whose definition and acknowledged position outlive their connection. A row
-- lives at the stream's home hub only, which alone says who owns the stream.

ALTER TABLE stream
    ADD COLUMN tenant text NOT NULL DEFAULT '',
    ADD COLUMN definition text NOT NULL DEFAULT '{}',  -- JSON
    ADD COLUMN lease_seconds integer NOT NULL DEFAULT 3600,
    ADD COLUMN turn bigint NOT NULL DEFAULT 0;         -- last message of its owner
-- Acknowledgements change no indexed column: most updates stay within their page.
ALTER TABLE stream SET (fillfactor = 70);
CREATE INDEX stream_tenant ON stream (tenant);

-- What an owner learns of a stream; the lease is in seconds since 1970.
CREATE VIEW kept_stream AS
    SELECT id, tenant, home, definition, definition_version, owner, epoch,
        lease_seconds, extract(epoch FROM lease_until)::double precision AS lease_until,
        acked_position AS acked
    FROM stream WHERE lease_until > clock_timestamp();

-- Makes a stream unless the tenant has p_most (null: no bound) here; `held` is how
-- many it had, `made` whether there is one more.
CREATE FUNCTION make_stream(p_id text, p_tenant text, p_home text, p_definition text,
    p_version integer, p_owner text, p_lease integer, p_acked text, p_most bigint)
RETURNS TABLE (made boolean, held bigint, lease_until double precision)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    here bigint;
    ends timestamptz := clock_timestamp() + make_interval(secs => p_lease);
BEGIN
    -- Two at once must not both be the last that fits.
    PERFORM pg_advisory_xact_lock(hashtextextended('meridian.streams.' || p_tenant, 0));
    SELECT count(*) INTO here FROM kept_stream k WHERE k.tenant = p_tenant;
    IF here < p_most OR p_most IS NULL THEN
        INSERT INTO stream (id, tenant, home, definition, definition_version, owner,
            lease_until, lease_seconds, acked_position)
        VALUES (p_id, p_tenant, p_home, p_definition, p_version, p_owner, ends,
            p_lease, p_acked);
        RETURN QUERY SELECT true, here, extract(epoch FROM ends)::double precision;
    ELSE
        RETURN QUERY SELECT false, here, 0::double precision;
    END IF;
END $$;

-- Gives a stream to an owner if its epoch is still p_epoch, which rises; asked again
-- by the same owner it answers the same. Empty: another one was faster, or it is gone.
CREATE FUNCTION take_stream(p_id text, p_tenant text, p_owner text, p_epoch integer)
RETURNS SETOF kept_stream
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    UPDATE stream s SET owner = p_owner, epoch = p_epoch + 1, turn = 0,
        lease_until = clock_timestamp() + make_interval(secs => s.lease_seconds)
    WHERE s.id = p_id AND s.tenant = p_tenant AND s.epoch = p_epoch
        AND s.owner IS DISTINCT FROM p_owner AND s.lease_until > clock_timestamp();
    SELECT * FROM kept_stream k
    WHERE k.id = p_id AND k.tenant = p_tenant AND k.owner = p_owner;
$$;

-- Renews what owners hold and takes what they acknowledge (null: nothing new). A
-- message that is not newer than the last one changes nothing: it may come twice.
-- `epoch` is the stream's, null where there is none.
CREATE FUNCTION keep_streams(p_ids text[], p_owners text[], p_turns bigint[],
    p_acked text[])
RETURNS TABLE (id text, kept boolean, epoch integer, lease_until double precision)
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH given AS (
        SELECT g.* FROM unnest(p_ids, p_owners, p_turns, p_acked)
            AS g(id, owner, turn, acked)
    ), renewed AS (
        UPDATE stream s SET turn = g.turn,
            acked_position = coalesce(g.acked, s.acked_position),
            lease_until = clock_timestamp() + make_interval(secs => s.lease_seconds)
        FROM given g WHERE s.id = g.id AND s.owner = g.owner AND s.turn < g.turn
            AND s.lease_until > clock_timestamp()
        RETURNING s.id, extract(epoch FROM s.lease_until)::double precision AS ends
    )
    SELECT g.id, coalesce(k.owner = g.owner, false), k.epoch,
        coalesce(r.ends, k.lease_until, 0)
    FROM given g LEFT JOIN kept_stream k ON k.id = g.id
    LEFT JOIN renewed r ON r.id = g.id;
$$;

-- What a stream has learned, from its owner; an older version changes nothing.
CREATE FUNCTION define_stream(p_id text, p_owner text, p_definition text,
    p_version integer)
RETURNS TABLE (kept boolean, epoch integer)
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    UPDATE stream s SET definition = p_definition, definition_version = p_version
    WHERE s.id = p_id AND s.owner = p_owner AND s.definition_version < p_version;
    SELECT k.owner = p_owner, k.epoch FROM kept_stream k WHERE k.id = p_id;
$$;

-- Forgets a stream, whoever owns it (p_owner null) or only if that owner does.
CREATE FUNCTION drop_stream(p_id text, p_tenant text, p_owner text)
RETURNS SETOF text
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    DELETE FROM stream s WHERE s.id = p_id AND s.tenant = p_tenant
        AND s.lease_until > clock_timestamp()
        AND (p_owner IS NULL OR s.owner = p_owner) RETURNING s.id;
$$;

-- Removes streams whose lease is over; returns how many.
CREATE FUNCTION sweep_streams() RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH gone AS (
        DELETE FROM stream s WHERE s.lease_until <= clock_timestamp() RETURNING 1
    ) SELECT count(*) FROM gone;
$$;

GRANT SELECT ON ALL TABLES IN SCHEMA public TO PUBLIC;
