-- What a user has chosen: JSON.
ALTER TABLE users ADD COLUMN settings TEXT NOT NULL DEFAULT '{}';

-- When they wanted to be deleted: what they have goes piece by piece, and they themselves last.
ALTER TABLE users ADD COLUMN deleted_at BIGINT;

CREATE INDEX users_deleted ON users (deleted_at) WHERE deleted_at IS NOT NULL;
