#!/usr/bin/env python3
"""A bundle of each file's own, trained on its beginning, against the one general bundle: a table of docs/quality.md.

    cargo build --release -p agent -p training
    AGENT_REFERENCE_DATA=DIR benches/quality/per_series.py --out FOLDER [--fraction 0.15] [--set KEY=VALUE ...]

Both are judged on what comes after the beginning, at the boundary of 1, file by file, and pooled: NAB's score weighted by
labelled windows, events by their counts. Own bundles start from the general one (200 steps) or from nothing (the default recipe).
"""
import argparse
import glob
import json
import os
import subprocess
import sys

KINDS = {
    "general": None,
    "own, from general": ["tadgan", "--warm-start", "models/general", "--steps", "200"],
    "own, from nothing": ["tadgan"],
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", default="target/release", help="folder of agent and train")
    parser.add_argument("--out", required=True, help="folder for the bundles; what is there is used again")
    parser.add_argument("--fraction", default="0.15")
    parser.add_argument("--set", action="append", default=[])
    args = parser.parse_args()
    data = os.path.join(os.environ["AGENT_REFERENCE_DATA"], "nab")
    files = sorted(glob.glob(os.path.join(data, "*", "*.csv")))
    os.makedirs(args.out, exist_ok=True)
    print("| bundle | NAB standard at 1 | low FP at 1 | overlap P | R | F1 | mean VUS-PR |")
    print("|---|---|---|---|---|---|---|")
    for name, how in KINDS.items():
        totals = [judge(args, data, file, name, how) for file in files]
        print(f"| {name} | {row([total for total in totals if total])} |", flush=True)


def judge(args, data, file, name, how):
    stem = os.path.basename(file)[: -len(".csv")]
    bundle = "models/general"
    if how:
        bundle = os.path.join(args.out, f"{stem}-{name.replace(' ', '-').replace(',', '')}")
        if not os.path.isdir(bundle):
            run(f"{args.bin}/train", *how, "--file", file, "--train-fraction", args.fraction, "--seed", "1", "--out", bundle)
    # A folder with the one file, under the name that the labels know.
    alone = os.path.join(args.out, "alone", stem, os.path.basename(os.path.dirname(file)))
    os.makedirs(alone, exist_ok=True)
    link = os.path.join(alone, os.path.basename(file))
    if not os.path.exists(link):
        os.symlink(os.path.abspath(file), link)
    settings = [part for value in args.set for part in ("--set", value)]
    out = run(
        f"{args.bin}/agent", "evaluate", "--json", "--only-agent", "--model", bundle, "--train-fraction", args.fraction,
        "--data", os.path.dirname(alone), "--labels", os.path.join(data, "labels.json"), *settings,
    )  # fmt: skip
    return json.loads(out)["detectors"][0]["total"]


def row(totals):
    scored = [t for t in totals if t["windows"]]
    windows = sum(t["windows"] for t in scored)
    nab = [
        sum(t["nab"][profile]["at_boundary"] * t["windows"] for t in scored) / windows
        for profile in ("standard", "reward_low_FP_rate")
    ]
    hit, false, missed = (
        sum(t["overlap"][key] for t in totals) for key in ("true_positive", "false_positive", "false_negative")
    )
    vus = [t["vus_pr"] for t in scored if "vus_pr" in t]
    precision, recall = hit / max(hit + false, 1), hit / max(hit + missed, 1)
    f1 = 2 * hit / max(2 * hit + false + missed, 1)
    return f"{nab[0]:.1f} | {nab[1]:.1f} | {precision:.3f} | {recall:.3f} | {f1:.3f} | {sum(vus) / len(vus):.3f}"


def run(*command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    main()
