//! Serves: REST, SSE, OpenAPI and metrics over the runtime.
