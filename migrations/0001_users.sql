CREATE TABLE tiers (
    name TEXT NOT NULL PRIMARY KEY,
    quotas TEXT NOT NULL,
    limits TEXT NOT NULL
);

INSERT INTO tiers (name, quotas, limits) VALUES
    (
        'FREE',
        '{"environments":3,"packages_per_environment":50,"environment_bytes":1073741824}',
        '{"fuel":180000000000,"memory_bytes":536870912,"wall_ms":30000,"output_bytes":16777216,"cpu_share":0.5,"open_files":256,"disk_bytes":268435456}'
    ),
    (
        'PRO',
        '{"environments":10,"packages_per_environment":500,"environment_bytes":10737418240}',
        '{"fuel":1800000000000,"memory_bytes":2147483648,"wall_ms":300000,"output_bytes":67108864,"cpu_share":2.0,"open_files":256,"disk_bytes":1073741824}'
    );

CREATE TABLE users (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    email TEXT,
    role TEXT NOT NULL,
    tier TEXT NOT NULL REFERENCES tiers (name),
    created_at BIGINT NOT NULL,
    suspended_at BIGINT
);

CREATE INDEX users_tier ON users (tier);

CREATE TABLE api_keys (
    id TEXT NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    prefix TEXT NOT NULL,
    -- SHA-256 of the key's text, in lower-case hex.
    hash TEXT NOT NULL UNIQUE,
    -- 1: the key of the one who runs the server, given with its settings.
    is_bootstrap BIGINT NOT NULL DEFAULT 0,
    created_at BIGINT NOT NULL,
    last_used_at BIGINT,
    expires_at BIGINT,
    revoked_at BIGINT
);

CREATE INDEX api_keys_user ON api_keys (user_id);
CREATE UNIQUE INDEX api_keys_bootstrap ON api_keys (is_bootstrap) WHERE is_bootstrap = 1;
