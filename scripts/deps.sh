#!/usr/bin/env bash
# Fetches ONNX Runtime (CPU) into .deps/ under the repository root, where the agent and the tests look for it:
#   .deps/libonnxruntime.so       the shared library, a plain file
#   .deps/onnxruntime.version     its version and SHA-256
# Needs python3 with pip. Does nothing, and needs no network, when the pinned library is there already.
# The hash of the library itself is pinned, so it does not matter which mirror pip is set up to use.
set -euo pipefail

version=1.31.1
case "$(uname -s)-$(uname -m)" in
Linux-x86_64) library_sha256=fc44112fbe06d7d689c57e11d3862031f64711007e4ee020f8eed5185fd2c1d3 ;;
Linux-aarch64) library_sha256=8aa3b76b28c778a2b1dd660d34161adb1d508c9ccd04ff9dc80e26eca5df8467 ;;
*)
  echo "deps: no pinned ONNX Runtime for $(uname -s)-$(uname -m); install $version or newer and set ORT_DYLIB_PATH" >&2
  exit 1
  ;;
esac

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
deps=$root/.deps
library=$deps/libonnxruntime.so

matches() { [ -f "$1" ] && [ "$(sha256sum "$1" | cut -d' ' -f1)" = "$library_sha256" ]; }

if matches "$library"; then
  echo "deps: ONNX Runtime $version is present"
  exit 0
fi
if ! python3 -m pip --version >/dev/null 2>&1; then
  echo "deps: python3 with pip is needed to fetch ONNX Runtime $version (Debian: apt-get install python3-pip)" >&2
  exit 1
fi

mkdir -p "$deps"
work=$(mktemp -d "$deps/fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT

# One interpreter tag for everybody: the library inside is the same, and so the wheel is whatever Python runs pip.
if ! python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
  --implementation cp --python-version 3.12 --abi cp312 --platform "manylinux_2_28_$(uname -m)" \
  --dest "$work" "onnxruntime==$version" 2>"$work/pip.log"; then
  echo "deps: cannot fetch onnxruntime $version with pip: $(tail -n 1 "$work/pip.log")" >&2
  exit 1
fi

python3 - "$work" "$version" <<'PY'
import glob, shutil, sys, zipfile

work, version = sys.argv[1:]
with zipfile.ZipFile(glob.glob(f"{work}/*.whl")[0]) as wheel:
    with wheel.open(f"onnxruntime/capi/libonnxruntime.so.{version}") as source:
        with open(f"{work}/libonnxruntime.so", "wb") as target:
            shutil.copyfileobj(source, target)
PY

if ! matches "$work/libonnxruntime.so"; then
  echo "deps: the fetched ONNX Runtime $version does not have the pinned SHA-256 $library_sha256; nothing installed" >&2
  exit 1
fi
mv "$work/libonnxruntime.so" "$library"
echo "$version $library_sha256" >"$deps/onnxruntime.version"
echo "deps: ONNX Runtime $version installed in .deps/"
