-- What came of a document when it was rendered last: its page, for exports and for readers.
CREATE TABLE document_renders (
    document_id TEXT NOT NULL PRIMARY KEY REFERENCES documents (id) ON DELETE CASCADE,
    -- The document's: the pages of a user are counted together.
    user_id TEXT NOT NULL,
    -- The document's version then.
    version BIGINT NOT NULL,
    -- Stands for what the cells found when they ran: runtime, environment, files, limits.
    inputs_key TEXT NOT NULL,
    rendered_at BIGINT NOT NULL,
    cell_count BIGINT NOT NULL,
    -- Those that did not run to their end.
    failed_count BIGINT NOT NULL,
    size_bytes BIGINT NOT NULL,
    -- BLAKE3 of the page, in lower-case hex.
    digest TEXT NOT NULL,
    -- Where the page is in the object store; nothing where it is too large to be kept.
    object_key TEXT
);

CREATE INDEX document_renders_user ON document_renders (user_id);
CREATE INDEX document_renders_object ON document_renders (object_key);

-- Nothing was ever in it. A document has one link or none, and one that is revoked is gone.
DROP TABLE document_publications;

CREATE TABLE document_publications (
    document_id TEXT NOT NULL PRIMARY KEY REFERENCES documents (id) ON DELETE CASCADE,
    -- Random. The token is made of it and of a secret that is not in the database.
    seed TEXT NOT NULL,
    -- SHA-256 of the token in the page's address, in lower-case hex.
    token_hash TEXT NOT NULL UNIQUE,
    created_at BIGINT NOT NULL
);

-- Tiers have new quotas. (What a tier without them has is in the program.)
UPDATE tiers SET quotas = REPLACE(quotas, '}', ',"rendered_bytes":4294967296,"publications":1000}')
WHERE name = 'PRO';
