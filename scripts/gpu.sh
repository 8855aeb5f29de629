#!/usr/bin/env bash
# Builds training with the feature `gpu` and compares the GPU with the processor, on whatever Vulkan driver there is.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

cargo clippy --locked -p training --features gpu --all-targets -- -D warnings
cargo test --locked -p training --features gpu --test gpu -- --nocapture
