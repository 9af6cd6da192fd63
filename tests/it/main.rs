//! All integration tests, in one binary. A scenario is a file; its first lines say goal and method.
