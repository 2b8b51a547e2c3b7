-- Cells that ran. No reference but to their user: what came of a run outlives its document, environment and kernel.
CREATE TABLE executions (
    -- Made when the cell began: ids sort by that time.
    id TEXT NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    kind TEXT NOT NULL,
    outcome TEXT NOT NULL,
    -- The exception's class, of one that ended with an exception.
    ename TEXT,
    environment_id TEXT,
    document_id TEXT,
    kernel_id TEXT,
    fuel_used BIGINT NOT NULL,
    wall_us BIGINT NOT NULL,
    peak_memory_bytes BIGINT NOT NULL,
    output_bytes BIGINT NOT NULL,
    backend TEXT NOT NULL,
    started_at BIGINT NOT NULL,
    completed_at BIGINT NOT NULL,
    cell_index BIGINT,
    cell_label TEXT,
    cell_name TEXT NOT NULL,
    -- The beginning of it.
    code TEXT NOT NULL
);

-- Each in the order of lists: so SQLite takes the one that finds least. With what lists are filtered by besides: they are counted without a look at the table.
CREATE INDEX executions_user ON executions (user_id, started_at, id, kind, outcome);
CREATE INDEX executions_environment ON executions (user_id, environment_id, started_at, id)
    WHERE environment_id IS NOT NULL;
CREATE INDEX executions_document ON executions (user_id, document_id, started_at, id) WHERE document_id IS NOT NULL;
CREATE INDEX executions_kernel ON executions (user_id, kernel_id, started_at, id) WHERE kernel_id IS NOT NULL;

-- What cells showed, for as long as that is kept: shorter than the rows above.
CREATE TABLE execution_outputs (
    execution_id TEXT NOT NULL PRIMARY KEY REFERENCES executions (id) ON DELETE CASCADE,
    -- The execution's: the outputs of a user are counted together.
    user_id TEXT NOT NULL,
    size_bytes BIGINT NOT NULL,
    is_truncated BIGINT NOT NULL,
    -- JSON, in nbformat's shapes.
    outputs TEXT NOT NULL
);

CREATE INDEX execution_outputs_user ON execution_outputs (user_id, execution_id, size_bytes);
