-- How long a cell ran, in milliseconds: nobody waits longer for its result. Of those that are there it is not known.
ALTER TABLE render_cells ADD COLUMN wall_ms BIGINT NOT NULL DEFAULT 10000;
