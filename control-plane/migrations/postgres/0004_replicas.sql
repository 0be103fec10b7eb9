-- What is true at the moment, not what is to be kept: the control planes that run, and the replicas
-- that are connected to each. Without a log, because it is written often; who finds nothing of its own
-- after a crash says it again.
CREATE UNLOGGED TABLE control_planes (
    -- A new one for each process.
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    -- Up to where it knows the store: its replicas are what is said of them, seen from there.
    sequence BIGINT NOT NULL,
    -- Raised with every change of its replicas.
    version BIGINT NOT NULL,
    -- By this database's clock. One that has not been seen for some time is not there.
    seen_at TIMESTAMPTZ NOT NULL
);

CREATE UNLOGGED TABLE replicas (
    control_plane TEXT NOT NULL REFERENCES control_planes (id) ON DELETE CASCADE,
    replica TEXT NOT NULL,
    -- With which version of its control plane's replicas this was written.
    version BIGINT NOT NULL,
    -- What is said of it, as JSON; NULL: it is not connected any more.
    told TEXT,
    written_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (control_plane, replica)
);

CREATE INDEX replicas_by_version ON replicas (control_plane, version);
