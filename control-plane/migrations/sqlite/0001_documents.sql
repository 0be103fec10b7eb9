-- One row: the store itself.
CREATE TABLE store (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    -- Replicas tell by it whether the numbers that they hold were counted here.
    id TEXT NOT NULL,
    -- Raised by every writing transaction, so that its order is the order of commits.
    sequence INTEGER NOT NULL CHECK (sequence >= 0)
) STRICT;

INSERT INTO store (one, id, sequence) VALUES (1, lower(hex(randomblob(16))), 0);

-- Every configuration that was ever accepted.
CREATE TABLE revisions (
    tenant TEXT NOT NULL,
    revision INTEGER NOT NULL CHECK (revision > 0),
    sequence INTEGER NOT NULL UNIQUE,
    created_at TEXT NOT NULL,
    author TEXT NOT NULL,
    reason TEXT NOT NULL,
    -- What is different from the revision before, in words.
    summary TEXT NOT NULL,
    -- As its author wrote it.
    submitted TEXT NOT NULL,
    -- An encoded gateway.config.v1.TenantConfig with every reference pinned: what is pushed.
    resolved BLOB NOT NULL,
    PRIMARY KEY (tenant, revision)
) STRICT;

CREATE TRIGGER revisions_are_not_updated BEFORE UPDATE ON revisions
BEGIN SELECT raise(ABORT, 'revisions are immutable'); END;

CREATE TRIGGER revisions_are_not_deleted BEFORE DELETE ON revisions
BEGIN SELECT raise(ABORT, 'revisions are immutable'); END;

-- What is current. A removed tenant keeps its row: its replicas must be told, and if it comes
-- back its revisions go on counting.
CREATE TABLE documents (
    tenant TEXT PRIMARY KEY,
    -- The tenant's last revision.
    revision INTEGER NOT NULL,
    -- The last change to this row.
    sequence INTEGER NOT NULL UNIQUE,
    removed INTEGER NOT NULL DEFAULT 0 CHECK (removed IN (0, 1)),
    FOREIGN KEY (tenant, revision) REFERENCES revisions (tenant, revision)
) STRICT;

-- Who changed what; one row for each sequence.
CREATE TABLE audit (
    sequence INTEGER PRIMARY KEY,
    created_at TEXT NOT NULL,
    author TEXT NOT NULL,
    action TEXT NOT NULL CHECK (action IN ('apply', 'remove')),
    tenant TEXT NOT NULL,
    -- The revision that was made or, by a removal, taken out of force.
    revision INTEGER NOT NULL,
    reason TEXT NOT NULL,
    summary TEXT NOT NULL
) STRICT;

CREATE TRIGGER audit_is_not_updated BEFORE UPDATE ON audit
BEGIN SELECT raise(ABORT, 'the audit trail is immutable'); END;

CREATE TRIGGER audit_is_not_deleted BEFORE DELETE ON audit
BEGIN SELECT raise(ABORT, 'the audit trail is immutable'); END;
