-- What documents' cells came to, kept for renders to come: objects, each of which begins behind a cell of another one.
CREATE TABLE render_segments (
    id TEXT NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    -- Behind which of whose cells it begins; a document's first has none.
    parent_id TEXT REFERENCES render_segments (id) ON DELETE CASCADE,
    parent_place BIGINT NOT NULL,
    -- How many segments it takes to know its cells, this one included.
    depth BIGINT NOT NULL,
    -- Whether its first state is what has changed since the last one before it, or stands for itself.
    is_based BIGINT NOT NULL,
    -- Of the objects' bytes.
    reports_digest TEXT NOT NULL,
    reports_bytes BIGINT NOT NULL,
    states_digest TEXT NOT NULL,
    states_bytes BIGINT NOT NULL,
    size_bytes BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    used_at BIGINT NOT NULL,
    -- The last column, as it may be long: the places of the cells behind which there is a state.
    stateful TEXT NOT NULL
);

CREATE INDEX render_segments_user ON render_segments (user_id, used_at);
CREATE INDEX render_segments_parent ON render_segments (parent_id) WHERE parent_id IS NOT NULL;
CREATE INDEX render_segments_used ON render_segments (used_at);

-- Where a cell's result is: the latest one.
CREATE TABLE render_cells (
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    cell_key TEXT NOT NULL,
    segment_id TEXT NOT NULL REFERENCES render_segments (id) ON DELETE CASCADE,
    place BIGINT NOT NULL,
    PRIMARY KEY (user_id, cell_key)
);

CREATE INDEX render_cells_segment ON render_cells (segment_id);

UPDATE tiers SET quotas = REPLACE(quotas, '}', ',"checkpoint_bytes":10737418240}') WHERE name = 'PRO';
