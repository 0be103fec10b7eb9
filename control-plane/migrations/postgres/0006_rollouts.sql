-- The last rollout of each tenant that had one.
CREATE TABLE rollouts (
    tenant TEXT COLLATE "C" PRIMARY KEY,
    -- What is rolled out.
    revision BIGINT NOT NULL,
    -- What all but the canaries keep; NULL: nothing.
    stable BIGINT,
    -- The plan: which share of the replicas, for how long, and how much may fail.
    share DOUBLE PRECISION NOT NULL,
    bake_milliseconds BIGINT NOT NULL,
    max_error_rate DOUBLE PRECISION NOT NULL,
    stage TEXT NOT NULL
        CHECK (stage IN ('canary', 'halted', 'complete', 'aborted', 'superseded')),
    reason TEXT NOT NULL,
    -- The names of the canaries, as a JSON array.
    canaries TEXT NOT NULL,
    lost BIGINT NOT NULL,
    author TEXT NOT NULL,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    baking_since TEXT,
    -- Of the last step: who has seen it may make the next one.
    sequence BIGINT NOT NULL,
    FOREIGN KEY (tenant, revision) REFERENCES revisions (tenant, revision),
    FOREIGN KEY (tenant, stable) REFERENCES revisions (tenant, revision)
);

CREATE INDEX rollouts_that_are_not_over ON rollouts (tenant)
WHERE stage IN ('canary', 'halted');
