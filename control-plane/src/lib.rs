//! Configuration store, revisions, and push to the data planes.
