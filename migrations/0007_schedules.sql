-- Objects that jobs need or have made.
CREATE TABLE job_objects (
    job_id TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    -- `content` (a text too long for the job's row), `file` (that lay beside a document) or `result`. The first two are
    -- held while the job is not over.
    role TEXT NOT NULL,
    -- Of a file, its path.
    name TEXT NOT NULL,
    -- The job's: the results of a user are counted together.
    user_id TEXT NOT NULL,
    object_key TEXT NOT NULL,
    size_bytes BIGINT NOT NULL,
    -- Of a file: SHA-256 of its content, in lower-case hex.
    sha256 TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (job_id, role, name)
);

CREATE INDEX job_objects_object ON job_objects (object_key);
CREATE INDEX job_objects_results ON job_objects (user_id, created_at) WHERE role = 'result';

-- Which run of which schedule a job is: there is one, however many servers see that it is due.
ALTER TABLE jobs ADD COLUMN schedule_id TEXT;
ALTER TABLE jobs ADD COLUMN due_at BIGINT;

CREATE UNIQUE INDEX jobs_due ON jobs (schedule_id, due_at) WHERE schedule_id IS NOT NULL;
-- Whose turn it is.
CREATE INDEX jobs_running ON jobs (user_id) WHERE state = 'running';
CREATE INDEX jobs_ended ON jobs (user_id, finished_at, id) WHERE finished_at IS NOT NULL;

CREATE TABLE schedules (
    id TEXT NOT NULL PRIMARY KEY,
    document_id TEXT NOT NULL UNIQUE REFERENCES documents (id) ON DELETE CASCADE,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    cron TEXT NOT NULL,
    time_zone TEXT NOT NULL,
    -- No reference, as of documents.
    environment_id TEXT,
    fresh BIGINT NOT NULL,
    enabled BIGINT NOT NULL,
    -- Why the server has disabled it.
    disabled_reason TEXT,
    next_run_at BIGINT NOT NULL,
    last_run_at BIGINT,
    last_job_id TEXT,
    -- Whether the end of that job is in `failures` already.
    is_counted BIGINT NOT NULL DEFAULT 1,
    -- Why the last time it was due no job was made; nothing where one was.
    last_skipped TEXT,
    -- Times in a row that came to nothing.
    failures BIGINT NOT NULL DEFAULT 0,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

CREATE INDEX schedules_due ON schedules (next_run_at) WHERE enabled = 1;
CREATE INDEX schedules_user ON schedules (user_id, created_at);
