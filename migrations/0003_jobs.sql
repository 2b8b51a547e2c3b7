CREATE TABLE jobs (
    id TEXT NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    environment_id TEXT REFERENCES environments (id) ON DELETE SET NULL,
    kind TEXT NOT NULL,
    request TEXT NOT NULL,
    state TEXT NOT NULL,
    last_event BIGINT NOT NULL DEFAULT 0,
    result TEXT,
    error TEXT,
    cancel_requested BIGINT NOT NULL DEFAULT 0,
    created_at BIGINT NOT NULL,
    started_at BIGINT,
    finished_at BIGINT,
    lease_owner TEXT,
    lease_until BIGINT,
    -- The fencing number: each claim has a greater one, and only the last one's holder may write.
    attempt BIGINT NOT NULL DEFAULT 0,
    -- Claims whose holder was not heard of again.
    lost_leases BIGINT NOT NULL DEFAULT 0
);

CREATE INDEX jobs_queue ON jobs (created_at, id) WHERE state = 'queued';
CREATE INDEX jobs_leases ON jobs (lease_until) WHERE state = 'running';
CREATE INDEX jobs_finished ON jobs (finished_at) WHERE finished_at IS NOT NULL;
CREATE INDEX jobs_user ON jobs (user_id, created_at);
CREATE INDEX jobs_environment ON jobs (environment_id);

CREATE TABLE job_events (
    job_id TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    seq BIGINT NOT NULL,
    at BIGINT NOT NULL,
    event TEXT NOT NULL,
    PRIMARY KEY (job_id, seq)
);
