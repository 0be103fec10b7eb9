-- The host names that stand for tenants. A name stays when its tenant is deleted: nobody else gets it
-- until it is taken away.
CREATE TABLE hosts (
    host TEXT PRIMARY KEY,
    tenant TEXT NOT NULL,
    created_at TEXT NOT NULL,
    author TEXT NOT NULL
) STRICT;

-- One row: the store's sequence of the last change of these names.
CREATE TABLE hosts_changed (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    sequence INTEGER NOT NULL
) STRICT;

INSERT INTO hosts_changed (one, sequence) VALUES (1, 0);
