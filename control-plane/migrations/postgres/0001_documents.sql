-- One row: the store itself.
CREATE TABLE store (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    -- Replicas tell by it whether the numbers that they hold were counted here.
    id TEXT NOT NULL,
    -- Raised first by every writing transaction. The row stays locked until it is committed, so that
    -- the order of sequences is the order of commits: who has seen one has seen all before it.
    sequence BIGINT NOT NULL CHECK (sequence >= 0)
);

INSERT INTO store (one, id, sequence) VALUES (1, replace(gen_random_uuid()::text, '-', ''), 0);

-- The other control planes are told on commit, by the sequence.
CREATE FUNCTION tell_of_a_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('mcp_gateway_store', NEW.sequence::text);
    RETURN NULL;
END;
$$;

CREATE TRIGGER changes_are_told AFTER UPDATE ON store
FOR EACH ROW EXECUTE FUNCTION tell_of_a_change();

CREATE FUNCTION refuse_as_immutable() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is immutable', TG_TABLE_NAME;
END;
$$;

-- Every configuration that was ever accepted.
CREATE TABLE revisions (
    -- Names are in the order of their bytes, whatever the language of the database.
    tenant TEXT COLLATE "C" NOT NULL,
    revision BIGINT NOT NULL CHECK (revision > 0),
    sequence BIGINT NOT NULL UNIQUE,
    -- Text, here and below, because it has nanoseconds.
    created_at TEXT NOT NULL,
    author TEXT NOT NULL,
    reason TEXT NOT NULL,
    -- What is different from the revision before, in words.
    summary TEXT NOT NULL,
    -- As its author wrote it.
    submitted TEXT NOT NULL,
    -- An encoded gateway.config.v1.TenantConfig with every reference pinned: what is pushed.
    resolved BYTEA NOT NULL,
    PRIMARY KEY (tenant, revision)
);

CREATE TRIGGER revisions_are_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON revisions
FOR EACH STATEMENT EXECUTE FUNCTION refuse_as_immutable();

-- What is current. A removed tenant keeps its row: its replicas must be told, and if it comes
-- back its revisions go on counting.
CREATE TABLE documents (
    tenant TEXT COLLATE "C" PRIMARY KEY,
    -- The tenant's last revision.
    revision BIGINT NOT NULL,
    -- The last change to this row.
    sequence BIGINT NOT NULL UNIQUE,
    removed BOOLEAN NOT NULL DEFAULT FALSE,
    FOREIGN KEY (tenant, revision) REFERENCES revisions (tenant, revision)
);

-- Who changed what, and calls that changed nothing, refused ones included.
CREATE TABLE audit (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- The change that was made; NULL: none.
    sequence BIGINT UNIQUE,
    created_at TEXT NOT NULL,
    -- Empty: nobody who is known.
    author TEXT NOT NULL,
    action TEXT NOT NULL,
    -- The tenant that was changed, or what a call was about in the words of its caller.
    target TEXT NOT NULL,
    -- The revision that was made or, by a removal, taken out of force; NULL: none.
    revision BIGINT,
    reason TEXT NOT NULL,
    -- 'Ok', or the gRPC code of the refusal.
    outcome TEXT NOT NULL,
    -- What changed, or why the call was refused.
    summary TEXT NOT NULL
);

CREATE TRIGGER audit_is_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
FOR EACH STATEMENT EXECUTE FUNCTION refuse_as_immutable();
