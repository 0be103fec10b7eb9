-- What was answered to a request that its caller may send again. Kept for a day.
CREATE TABLE requests (
    -- Whose it was: another caller's may have the same id.
    author TEXT NOT NULL,
    id TEXT NOT NULL,
    -- A hash of the whole request.
    fingerprint BYTEA NOT NULL,
    -- In seconds.
    created_at BIGINT NOT NULL,
    -- What was current afterwards, and before; NULL: nothing.
    revision BIGINT NOT NULL,
    based_on BIGINT,
    -- Whether it made a change.
    changed BOOLEAN NOT NULL,
    PRIMARY KEY (author, id)
);

CREATE INDEX requests_by_age ON requests (created_at);
