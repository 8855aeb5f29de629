//! Tests over the whole house: what no crate can say about itself.
#![expect(clippy::unwrap_used, reason = "a test may panic, and so may its helpers")]

mod brokers;
mod bundle;
mod cluster;
mod equality;
mod evaluate;
mod faults;
mod forecasts;
mod kafka_run;
mod layering;
mod nets_carry;
mod own_silence;
mod poison;
mod replay;
mod repository;
mod scenarios;
mod schema;
mod support;
mod topics;
mod wrong_input;
