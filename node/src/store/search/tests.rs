//! Search over small communities.
