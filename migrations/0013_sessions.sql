-- Browsers that are logged in.
CREATE TABLE sessions (
    -- SHA-256 of the cookie's text, in lower-case hex.
    hash TEXT NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at BIGINT NOT NULL,
    last_used_at BIGINT NOT NULL,
    -- When it is over, however much it is used.
    expires_at BIGINT NOT NULL
);

CREATE INDEX sessions_user ON sessions (user_id, last_used_at);
CREATE INDEX sessions_expire ON sessions (expires_at);

-- What the servers of a database have made up together, as lower-case hex.
CREATE TABLE secrets (
    name TEXT NOT NULL PRIMARY KEY,
    secret TEXT NOT NULL
);
