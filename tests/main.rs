//! Tests over the whole house: what no crate can say about itself.
#![expect(clippy::unwrap_used, reason = "a test may panic, and so may its helpers")]

mod equality;
mod kafka_run;
mod layering;
mod repository;
mod schema;
mod support;
