-- What was answered to a request that its caller may send again. Kept for a day.
CREATE TABLE requests (
    -- Whose it was: another caller's may have the same id.
    author TEXT NOT NULL,
    id TEXT NOT NULL,
    -- A hash of the whole request.
    fingerprint BLOB NOT NULL,
    -- In seconds.
    created_at INTEGER NOT NULL,
    -- What was current afterwards, and before; NULL: nothing.
    revision INTEGER NOT NULL,
    based_on INTEGER,
    -- Whether it made a change.
    changed INTEGER NOT NULL CHECK (changed IN (0, 1)),
    PRIMARY KEY (author, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX requests_by_age ON requests (created_at);
