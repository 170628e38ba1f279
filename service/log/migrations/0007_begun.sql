-- Of several workers that take a log over one begins its epoch, and says so: the others
-- get null. As before otherwise.
CREATE OR REPLACE FUNCTION begin_epoch(p_origin text, p_lanes smallint[],
    p_epochs integer[], p_seqs bigint[])
RETURNS integer LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
AS $$
DECLARE
    new_epoch integer;
BEGIN
    LOCK TABLE head IN SHARE ROW EXCLUSIVE MODE;
    IF EXISTS (SELECT FROM head h WHERE h.origin = p_origin) THEN
        RETURN NULL;
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
