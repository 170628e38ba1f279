-- Who may write the log of an origin, and in which epoch: see ADR 0016.
--
-- A server that was promoted, or restored to a moment, is on another timeline than
-- the one its heads were counted on. Until it has fetched back what other hubs hold
-- of its own log and begun an epoch, and once another server has begun a later one,
-- nothing is committed here.

CREATE TABLE lineage (
    origin text PRIMARY KEY,
    timeline text,                     -- NULL: follows its own log, has no heads
    fenced integer                     -- epoch that another server has begun
);

-- Where the epochs before ended, and how far their origin is known to have come.
CREATE TABLE succession (
    origin text NOT NULL,
    lane smallint NOT NULL,
    epoch integer NOT NULL,            -- begun
    ended_epoch integer NOT NULL,
    ended_seq bigint NOT NULL,
    announced_epoch integer NOT NULL,
    announced_seq bigint NOT NULL,
    begun timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (origin, lane, epoch)
);

-- Eight hexadecimal digits; promotion and recovery to a moment change it, a restart
-- does not.
CREATE FUNCTION timeline() RETURNS text LANGUAGE sql VOLATILE
    RETURN left(pg_walfile_name(pg_current_wal_insert_lsn()), 8);

INSERT INTO lineage SELECT DISTINCT h.origin, timeline() FROM head h;

-- A log that was led here is followed like another hub's.
CREATE FUNCTION follow(p_origin text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    led constant head[] := ARRAY(SELECT h FROM head h WHERE h.origin = p_origin);
BEGIN
    DELETE FROM head h WHERE h.origin = p_origin;
    INSERT INTO applied SELECT l.origin, l.lane, l.epoch, l.seq FROM unnest(led) l;
END $$;

-- Lays the lanes of a new origin out. Afterwards `current`, `succeeds` (the log is
-- followed like another hub's until `begin_epoch`) or `fenced`.
CREATE FUNCTION take_lineage(p_origin text, p_lanes integer) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    known lineage;
    other text;
BEGIN
    LOCK TABLE head IN SHARE ROW EXCLUSIVE MODE;
    -- A server leads one log. One that copied another's follows that from now on.
    FOR other IN SELECT DISTINCT h.origin FROM head h WHERE h.origin <> p_origin LOOP
        PERFORM follow(other);
    END LOOP;
    DELETE FROM lineage l WHERE l.origin <> p_origin;
    SELECT * INTO known FROM lineage l WHERE l.origin = p_origin;
    IF NOT FOUND THEN
        INSERT INTO lineage VALUES (p_origin, timeline());
        INSERT INTO head SELECT p_origin, n, 1, 0, 0
            FROM generate_series(0, p_lanes - 1) n;
        PERFORM ensure_range(p_origin, 1, 1, 1);
        RETURN 'current';
    END IF;
    IF known.timeline = timeline() THEN
        RETURN CASE WHEN known.fenced IS NULL THEN 'current' ELSE 'fenced' END;
    END IF;
    PERFORM follow(p_origin);
    UPDATE lineage l SET timeline = NULL, fenced = NULL WHERE l.origin = p_origin;
    RETURN 'succeeds';
END $$;

-- The log goes on here, in an epoch above every known one. p_announced: how far the
-- origin's lanes are known to have come.
CREATE FUNCTION begin_epoch(p_origin text, p_lanes smallint[], p_epochs integer[],
    p_seqs bigint[])
RETURNS integer LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
AS $$
DECLARE
    new_epoch integer;
BEGIN
    LOCK TABLE head IN SHARE ROW EXCLUSIVE MODE;
    IF EXISTS (SELECT FROM head h WHERE h.origin = p_origin) THEN
        RETURN (SELECT max(h.epoch) FROM head h WHERE h.origin = p_origin);
    END IF;
    SELECT 1 + greatest(max(a.epoch), (SELECT max(e) FROM unnest(p_epochs) e))
        INTO new_epoch FROM applied a WHERE a.origin = p_origin;
    INSERT INTO succession SELECT p_origin, a.lane, new_epoch, a.epoch, a.seq,
        coalesce(g.epoch, a.epoch), coalesce(g.seq, a.seq)
    FROM applied a LEFT JOIN unnest(p_lanes, p_epochs, p_seqs) AS g(lane, epoch, seq)
        ON g.lane = a.lane AND (g.epoch, g.seq) > (a.epoch, a.seq)
    WHERE a.origin = p_origin;
    INSERT INTO head SELECT p_origin, a.lane, new_epoch, 0, coalesce((SELECT max(c.at)
        FROM change c WHERE c.origin = p_origin AND c.lane = a.lane), 0)
    FROM applied a WHERE a.origin = p_origin;
    DELETE FROM applied a WHERE a.origin = p_origin;
    UPDATE lineage l SET timeline = timeline() WHERE l.origin = p_origin;
    PERFORM ensure_range(p_origin, new_epoch, 1, 1);
    RETURN new_epoch;
END $$;

-- Another server has begun a later epoch of this origin; says whether that is news.
CREATE FUNCTION fence(p_origin text, p_epoch integer) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    UPDATE lineage l SET fenced = p_epoch WHERE l.origin = p_origin
        AND l.fenced IS DISTINCT FROM p_epoch
        AND p_epoch > (SELECT max(h.epoch) FROM head h WHERE h.origin = p_origin);
    RETURN FOUND;
END $$;

-- Whatever moves a head, on whichever path. The error is the one of a server that
-- only reads: the write goes to another hub.
CREATE FUNCTION refuse_unless_current() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM lineage l
            WHERE l.timeline = timeline() AND l.fenced IS NULL) THEN
        RAISE EXCEPTION 'no epoch was begun on this server, or another one has a later'
            USING ERRCODE = 'read_only_sql_transaction';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER current_only BEFORE UPDATE ON head
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_unless_current();

-- A log that is led here is not followed, too: of several workers that fetched the rest
-- one was first to begin the epoch.
CREATE FUNCTION refuse_led() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM head h WHERE h.origin = NEW.origin) THEN
        RAISE EXCEPTION 'the log of % is led here', NEW.origin
            USING ERRCODE = 'MD002';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER followed_only BEFORE INSERT ON applied
    FOR EACH ROW EXECUTE FUNCTION refuse_led();

-- How far this server is, and how far the farthest standby has its log on disk.
-- Standbys are in other regions; a zone's spare server shares the disk and is none.
-- A base backup and a logical subscriber receive the log, too, and cannot lead it.
CREATE FUNCTION copied(OUT here pg_lsn, OUT copied pg_lsn)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT pg_current_wal_flush_lsn(), max(r.flush_lsn) FROM pg_stat_replication r
    WHERE r.application_name <> 'pg_basebackup' AND NOT EXISTS (
        SELECT FROM pg_replication_slots s
        WHERE s.active_pid = r.pid AND s.slot_type = 'logical')
$$;

-- An epoch without a change yet has come as far as the one before it.
CREATE OR REPLACE VIEW position AS
    SELECT h.origin, h.lane, coalesce(s.ended_epoch, h.epoch) AS epoch,
        coalesce(s.ended_seq, h.seq) AS seq
    FROM head h LEFT JOIN succession s ON h.seq = 0 AND s.origin = h.origin
        AND s.lane = h.lane AND s.epoch = h.epoch
    UNION ALL SELECT origin, lane, epoch, seq FROM applied;
