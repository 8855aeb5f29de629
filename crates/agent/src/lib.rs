//! The agent: drivers, command line, configuration, HTTP and metrics around [`pipeline`].

pub mod check;
pub mod cli;
pub mod clock;
pub mod config;
pub mod decode;
pub mod demo;
pub mod evaluate;
pub mod exit_code;
pub mod failure;
pub mod http;
pub mod inspect;
pub mod logging;
pub mod metrics;
pub mod model;
pub mod plan;
pub mod replay;
pub mod report;
pub mod rows;
pub mod run;
pub mod settings;
pub mod sinks;
pub mod summary;
