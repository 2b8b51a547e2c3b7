-- How much a tier's users may ask for at once: JSON; what is absent is as in FREE.
ALTER TABLE tiers ADD COLUMN traffic TEXT NOT NULL DEFAULT '{}';

UPDATE tiers SET
    traffic = '{"weight":4,"running":16,"waiting":128,"wait_ms":60000,"requests_per_second":200,"burst":2000}'
WHERE name = 'PRO';

-- Counts its changes.
ALTER TABLE tiers ADD COLUMN version BIGINT NOT NULL DEFAULT 1;

-- What is different for one user than for the tier: JSON.
ALTER TABLE users ADD COLUMN overrides TEXT NOT NULL DEFAULT '{}';

-- Limits of what runs in one environment, where an admin has said so: JSON.
ALTER TABLE environments ADD COLUMN limits TEXT NOT NULL DEFAULT '{}';

-- What was asked for when a kernel was made: JSON. It has no more, whatever its owner's tier comes to allow.
ALTER TABLE kernels ADD COLUMN asked_limits TEXT NOT NULL DEFAULT '{}';

-- What all of a user's kernels take is counted from this alone.
CREATE INDEX kernels_stored ON kernels (user_id, stored_bytes);

-- What admins did, and what concerns who gets in. Nobody changes it.
CREATE TABLE audit (
    id TEXT NOT NULL PRIMARY KEY,
    at BIGINT NOT NULL,
    -- Who: no reference, as it outlives them. Nothing: the server, or who runs it.
    actor_id TEXT,
    -- Such as `tier.change`.
    act TEXT NOT NULL,
    -- What it was done to: its kind and its id or name, such as `tier FREE`.
    subject TEXT NOT NULL,
    request_id TEXT,
    -- JSON.
    before_act TEXT,
    after_act TEXT
);

CREATE INDEX audit_at ON audit (at);
CREATE INDEX audit_actor ON audit (actor_id, at);
CREATE INDEX audit_subject ON audit (subject, at);

-- only sqlite:
CREATE TRIGGER audit_unchanged BEFORE UPDATE ON audit
BEGIN
    SELECT RAISE(ABORT, 'the audit log is only added to');
END;

CREATE TRIGGER audit_kept BEFORE DELETE ON audit
BEGIN
    SELECT RAISE(ABORT, 'the audit log is only added to');
END;

-- only postgres:
CREATE FUNCTION audit_only_grows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is only added to';
END;
$$;

CREATE TRIGGER audit_only_grows BEFORE UPDATE OR DELETE ON audit
FOR EACH ROW EXECUTE FUNCTION audit_only_grows();

-- both:
