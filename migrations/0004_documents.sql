CREATE TABLE documents (
    id TEXT NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    title TEXT NOT NULL,
    -- The title in small letters, which lists are sorted by.
    title_key TEXT NOT NULL,
    render_format TEXT NOT NULL,
    -- No reference: a document may outlive its environment, and must not change with it unseen.
    environment_id TEXT,
    -- What `document_tags` has, too: a document is read in one piece.
    tags TEXT NOT NULL DEFAULT '[]',
    -- Counts all changes.
    version BIGINT NOT NULL,
    -- Which of `document_versions` has its text.
    text_version BIGINT NOT NULL,
    size_bytes BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    deleted_at BIGINT
);

CREATE INDEX documents_user ON documents (user_id, updated_at);
CREATE INDEX documents_deleted ON documents (deleted_at) WHERE deleted_at IS NOT NULL;

CREATE TABLE document_versions (
    document_id TEXT NOT NULL REFERENCES documents (id) ON DELETE CASCADE,
    version BIGINT NOT NULL,
    title TEXT NOT NULL,
    render_format TEXT NOT NULL,
    size_bytes BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    -- The last column: SQLite reads what is before it without it.
    content TEXT NOT NULL,
    PRIMARY KEY (document_id, version)
);

CREATE TABLE document_tags (
    document_id TEXT NOT NULL REFERENCES documents (id) ON DELETE CASCADE,
    tag TEXT NOT NULL,
    PRIMARY KEY (document_id, tag)
);

CREATE TABLE document_files (
    document_id TEXT NOT NULL REFERENCES documents (id) ON DELETE CASCADE,
    path TEXT NOT NULL,
    -- The document's: the files of a user are counted together.
    user_id TEXT NOT NULL,
    size_bytes BIGINT NOT NULL,
    -- SHA-256 of the content, in lower-case hex.
    sha256 TEXT NOT NULL,
    media_type TEXT NOT NULL,
    -- Where the content is in the object store. Files of a user with the same content share it.
    object_key TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (document_id, path)
);

CREATE INDEX document_files_content ON document_files (user_id, sha256);
CREATE INDEX document_files_object ON document_files (object_key);

CREATE TABLE document_publications (
    -- SHA-256 of the token in the page's address, in lower-case hex.
    token_hash TEXT NOT NULL PRIMARY KEY,
    document_id TEXT NOT NULL REFERENCES documents (id) ON DELETE CASCADE,
    created_at BIGINT NOT NULL,
    revoked_at BIGINT
);

CREATE INDEX document_publications_document ON document_publications (document_id);

-- Words to search by. Which words there are is decided by the program, for both databases alike.
-- only sqlite:
CREATE TABLE document_search_rows (
    number INTEGER NOT NULL PRIMARY KEY,
    document_id TEXT NOT NULL UNIQUE REFERENCES documents (id) ON DELETE CASCADE
);

CREATE VIRTUAL TABLE document_search USING fts5 (
    title, content, content = '', contentless_delete = 1, detail = 'column', tokenize = 'ascii'
);

CREATE TRIGGER document_search_rows_gone AFTER DELETE ON document_search_rows BEGIN
    DELETE FROM document_search WHERE rowid = old.number;
END;
-- only postgres:
CREATE TABLE document_search (
    document_id TEXT NOT NULL PRIMARY KEY REFERENCES documents (id) ON DELETE CASCADE,
    words TSVECTOR NOT NULL
);

CREATE INDEX document_search_words ON document_search USING gin (words);
-- both:

-- Tiers have new quotas. (What a tier without them has is in the program.)
UPDATE tiers SET quotas = REPLACE(quotas, '}', ',"documents":5000,"document_bytes":10485760,"attached_bytes":2147483648}')
WHERE name = 'PRO';
