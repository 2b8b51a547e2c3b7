-- Servers that hold kernels, where a lock on a file does not tell whether they live: until then they are taken to.
CREATE TABLE servers (
    id TEXT NOT NULL PRIMARY KEY,
    lease_until BIGINT NOT NULL
);

CREATE TABLE kernels (
    id TEXT NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name TEXT,
    -- No references: a kernel may outlive both.
    environment_id TEXT,
    forked_from TEXT,
    limits TEXT NOT NULL,
    -- As it was when it was saved last.
    state TEXT NOT NULL,
    execution_count BIGINT NOT NULL,
    checkpoint_id TEXT,
    size_bytes BIGINT NOT NULL,
    -- Of its segments.
    stored_bytes BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    used_at BIGINT NOT NULL,
    -- Which server holds it; nobody's may be taken by any.
    server_id TEXT,
    -- Counts how often it changed hands: what one who held it before writes is refused.
    fence BIGINT NOT NULL,
    -- What another server wants of the one that holds it: `release`, `interrupt`.
    asked TEXT,
    -- The digest of the image that it began in, and the key of the packages that it sees.
    image TEXT NOT NULL,
    packages TEXT,
    -- The last column, as it may be long: which of the saved states are its checkpoints.
    history TEXT NOT NULL
);

CREATE INDEX kernels_user ON kernels (user_id, id);
CREATE INDEX kernels_server ON kernels (server_id) WHERE server_id IS NOT NULL;
CREATE INDEX kernels_image ON kernels (image);

-- Sets of packages that kernels began with, which their environments may not have any more.
CREATE TABLE kernel_packages (
    key TEXT NOT NULL PRIMARY KEY,
    content TEXT NOT NULL
);

-- The saved states of a kernel: objects, each of which begins where the one before it ends.
CREATE TABLE kernel_segments (
    kernel_id TEXT NOT NULL REFERENCES kernels (id) ON DELETE CASCADE,
    number BIGINT NOT NULL,
    -- Kernels of one fork share the first.
    object_key TEXT NOT NULL,
    -- Of the object's bytes.
    digest TEXT NOT NULL,
    size_bytes BIGINT NOT NULL,
    states BIGINT NOT NULL,
    PRIMARY KEY (kernel_id, number)
);

CREATE INDEX kernel_segments_object ON kernel_segments (object_key);

UPDATE tiers SET quotas = REPLACE(quotas, '}', ',"kernels":2000,"kernel_bytes":21474836480,"live_kernels":100}')
WHERE name = 'PRO';
