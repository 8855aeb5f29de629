#!/usr/bin/env python3
"""What outages cost: NAB with stretches cut out of each of its files, a table of docs/quality.md.

    cargo build --release -p agent
    AGENT_REFERENCE_DATA=DIR benches/quality/outages.py [--agent target/release/agent] [--up 600] [--down 120] [--set KEY=VALUE ...]

Of the rows of a file `--up` stay, then `--down` are left out, and so on: ten hours of every sixty at a sample in five minutes. Labels
are as they were, so that some of what they name cannot be found. The last row is of the files as they are.
"""
import argparse
import csv
import glob
import json
import os
import subprocess
import sys
import tempfile


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--agent", default="target/release/agent")
    parser.add_argument("--up", type=int, default=600)
    parser.add_argument("--down", type=int, default=120)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    args = parser.parse_args()
    data = os.environ.get("AGENT_REFERENCE_DATA")
    if not data:
        sys.exit("AGENT_REFERENCE_DATA is not set")
    data = os.path.join(data, "nab")
    print("| | NAB standard: best | at 1 | VUS-PR | overlap F1 | windows hit | outside |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as cut:
        for path in glob.glob(os.path.join(data, "*", "*.csv")):
            with open(path, newline="") as file:
                header, *rows = csv.reader(file)
            copy = os.path.join(cut, os.path.relpath(path, data))
            os.makedirs(os.path.dirname(copy), exist_ok=True)
            with open(copy, "w", newline="") as file:
                left = [row for i, row in enumerate(rows) if i % (args.up + args.down) < args.up]
                csv.writer(file, lineterminator="\n").writerows([header, *left])
        report(f"{args.down} rows lost after every {args.up}", args, cut, data)
    report("no row lost", args, data, data)


def report(title, args, data, labels):
    command = [args.agent, "evaluate", "--json", "--only-agent", "--data", data, "--labels", os.path.join(labels, "labels.json")]
    command += [part for value in args.set for part in ("--set", value)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    total = json.loads(done.stdout)["detectors"][0]["total"]
    nab, alerts = total["nab"]["standard"], total["alerts"]
    print(
        f"| {title} | {nab['best']:.1f} | {nab['at_boundary']:.1f} | {total['vus_pr']:.3f} | {total['overlap']['f1']:.3f} "
        f"| {alerts['windows_hit']} | {alerts['outside']} |",
        flush=True,
    )


if __name__ == "__main__":
    main()
