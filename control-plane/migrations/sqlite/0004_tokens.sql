-- The tokens that administrators, tenants and replicas present. None is ever deleted: the audit trail
-- names them, and no name may come to mean another one.
CREATE TABLE tokens (
    -- The tenant that the token is bound to; empty: none.
    tenant TEXT NOT NULL,
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    -- The SHA-256 of the secret, which is kept nowhere.
    hash BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
    created_at TEXT NOT NULL,
    author TEXT NOT NULL,
    -- NULL: it does not end by itself.
    expires_at TEXT,
    -- NULL: it was not.
    revoked_at TEXT,
    PRIMARY KEY (tenant, name)
) STRICT;

CREATE TRIGGER tokens_are_not_deleted BEFORE DELETE ON tokens
BEGIN SELECT raise(ABORT, 'tokens are revoked, not deleted'); END;
