CREATE TABLE environments (
    id TEXT NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    is_default BIGINT NOT NULL DEFAULT 0,
    status TEXT NOT NULL,
    error TEXT,
    python_version TEXT NOT NULL,
    backend TEXT NOT NULL DEFAULT 'wasm',
    generation BIGINT NOT NULL DEFAULT 0,
    -- The greatest number that was given out: no two builds share a directory.
    last_generation BIGINT NOT NULL DEFAULT 0,
    lock_json TEXT NOT NULL,
    requested TEXT NOT NULL DEFAULT '[]',
    warm_imports TEXT NOT NULL DEFAULT '[]',
    warm TEXT,
    package_count BIGINT NOT NULL DEFAULT 0,
    total_size_bytes BIGINT NOT NULL DEFAULT 0,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    last_used_at BIGINT,
    deleted_at BIGINT
);

CREATE UNIQUE INDEX environments_name ON environments (user_id, name) WHERE deleted_at IS NULL;
CREATE UNIQUE INDEX environments_default ON environments (user_id) WHERE is_default = 1 AND deleted_at IS NULL;
CREATE INDEX environments_deleted ON environments (deleted_at) WHERE deleted_at IS NOT NULL;

CREATE TABLE environment_packages (
    environment_id TEXT NOT NULL REFERENCES environments (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    size_bytes BIGINT NOT NULL,
    requested BIGINT NOT NULL,
    installed_at BIGINT NOT NULL,
    PRIMARY KEY (environment_id, name)
);
