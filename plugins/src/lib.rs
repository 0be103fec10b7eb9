//! Plugin implementations, and the registry that builds a tenant's plugins.
