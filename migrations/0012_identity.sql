ALTER TABLE users ADD COLUMN picture TEXT;

-- Users as identity providers know them.
CREATE TABLE identities (
    issuer TEXT NOT NULL,
    subject TEXT NOT NULL,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    -- What the provider said last of them, as JSON, and when, in seconds since 1970.
    profile TEXT NOT NULL,
    issued_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (issuer, subject)
);

CREATE INDEX identities_user ON identities (user_id);

-- What a key may be used for: words with blanks in between.
ALTER TABLE api_keys ADD COLUMN scopes TEXT NOT NULL DEFAULT 'read write execute';
UPDATE api_keys SET scopes = 'read write execute admin'
WHERE user_id IN (SELECT id FROM users WHERE role = 'admin');
