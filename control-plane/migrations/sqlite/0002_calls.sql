-- The audit trail also holds calls that changed nothing, refused ones included.
DROP TRIGGER audit_is_not_updated;
DROP TRIGGER audit_is_not_deleted;
ALTER TABLE audit RENAME TO audit_of_changes;

CREATE TABLE audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    -- The change that was made; NULL: none.
    sequence INTEGER UNIQUE,
    created_at TEXT NOT NULL,
    -- Empty: nobody who is known.
    author TEXT NOT NULL,
    action TEXT NOT NULL,
    -- The tenant that was changed, or what a call was about in the words of its caller.
    target TEXT NOT NULL,
    -- The revision that was made or, by a removal, taken out of force; NULL: none.
    revision INTEGER,
    reason TEXT NOT NULL,
    -- 'Ok', or the gRPC code of the refusal.
    outcome TEXT NOT NULL,
    -- What changed, or why the call was refused.
    summary TEXT NOT NULL
) STRICT;

INSERT INTO audit (sequence, created_at, author, action, target, revision, reason, outcome, summary)
SELECT sequence, created_at, author, action, tenant, revision, reason, 'Ok', summary
FROM audit_of_changes ORDER BY sequence;

DROP TABLE audit_of_changes;

CREATE TRIGGER audit_is_not_updated BEFORE UPDATE ON audit
BEGIN SELECT raise(ABORT, 'the audit trail is immutable'); END;

CREATE TRIGGER audit_is_not_deleted BEFORE DELETE ON audit
BEGIN SELECT raise(ABORT, 'the audit trail is immutable'); END;
