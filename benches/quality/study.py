#!/usr/bin/env python3
"""The constants of the score, one at a time, on the public files of NAB: the tables of docs/quality.md.

    cargo build --release -p agent
    AGENT_REFERENCE_DATA=DIR benches/quality/study.py [--agent target/release/agent] [--bundle DIR ...] [KNOB ...]

Each value of each knob is one `agent evaluate`, for both halves of the files (odd and even places of the alphabetical list) and
for all of them, averaged over the bundles given (default: the shipped one). Under each knob stands what choosing its value on
one half brings on the other, and what the default brings there: nothing is chosen on the labels it is reported on.
"""
import argparse
import json
import os
import subprocess
import sys

DEFAULT = {
    "score.lag": [0, 1, 2, 4, 9, 19, 49, 99],
    "score.tail_share": [0.02, 0.01, 0.03, 0.05, 0.1],
    "score.history": [4000, 500, 1000, 2000],
    "score.refractory": [150, 25, 50, 100, 300],
    "score.rise": [0.4, 0, 0.2, 0.6, 1],
    "score.rarity": [0.75, 0, 0.5, 1, 1.5],
    "score.resolution": [0.05, 0, 0.03, 0.07, 0.1, 0.2],
    "score.hold": [100, 0, 30, 300],
    "score.range_bonus": [1.5, 0, 0.5, 1, 2],
    "score.warn_decades": [3.2, 2.8, 3, 3.4, 3.6],
    "score.interval_weight": [1, 0, 0.3, 0.5, 0.7],
    "score.envelope_weight": [0.8, 0, 0.6, 0.7, 0.9, 1],
    "score.coarse_factor": [6, 0, 2, 3, 4, 8, 12, 24],
    "score.drift": [50, 20, 30, 80, 150],
    "score.drift_weight": [0.8, 0, 0.5, 0.7, 0.9, 1],
    "score.linger": [20, 0, 5, 10, 40],
    "score.level_weight": [1, 0, 0.5, 2],
    "score.coarse_weight": [0.3, 0, 0.1, 0.2, 0.4, 0.6],
    "score.critic_weight": [0, 0.1, 0.2, 0.3, 0.5, 1],
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--agent", default="target/release/agent")
    parser.add_argument("--bundle", action="append", help="may be given several times")
    parser.add_argument("knobs", nargs="*", metavar="KNOB", help=", ".join(DEFAULT))
    args = parser.parse_args()
    unknown = [knob for knob in args.knobs if knob not in DEFAULT]
    data = os.environ.get("AGENT_REFERENCE_DATA")
    if unknown or not data:
        sys.exit(f"unknown knobs: {', '.join(unknown)}" if unknown else "AGENT_REFERENCE_DATA is not set")
    study = Study(args.agent, os.path.join(data, "nab"), args.bundle or ["models/general"])
    for knob in args.knobs or DEFAULT:
        study.table(knob, DEFAULT[knob])


class Study:
    def __init__(self, agent, data, bundles):
        self.agent, self.data, self.bundles = agent, data, bundles
        self.seen = {}

    def measures(self, knob, value, half):
        """What is measured of all files or one half, averaged over the bundles."""
        # Every first value is the default: one run serves all knobs.
        key = (None if value == DEFAULT[knob][0] else (knob, value), half)
        if key not in self.seen:
            totals = [self.evaluate(bundle, knob, value, half) for bundle in self.bundles]
            self.seen[key] = [sum(column) / len(column) for column in zip(*totals)]
        return self.seen[key]

    def evaluate(self, bundle, knob, value, half):
        command = [self.agent, "evaluate", "--json", "--only-agent", "--model", bundle, "--data", self.data]
        command += ["--labels", os.path.join(self.data, "labels.json"), "--set", f"{knob}={value}"]
        command += ["--half", half] if half else []
        run = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if run.returncode:
            sys.exit(run.stderr)
        document = json.loads(run.stdout)
        total = document["detectors"][0]["total"]
        nab = total["nab"]
        standard, low_fp = nab["standard"], nab["reward_low_FP_rate"]
        return [
            standard["best"],
            standard["at_boundary"],
            low_fp["best"],
            low_fp["at_boundary"],
            total["vus_pr"],
            total["overlap"].get("f1") or 0,
            total["alerts"]["outside"],
        ]

    def table(self, knob, values):
        print(f"\n`{knob}`\n")
        print("| value | standard: best | at 1 | low FP: best | at 1 | VUS-PR | overlap F1 | alerts outside | odd at 1 | even at 1 |")
        print("|---|---|---|---|---|---|---|---|---|---|")
        at_one = {}
        for value in values:
            best, at, low_best, low_at, vus, f1, outside = self.measures(knob, value, None)
            halves = [self.measures(knob, value, half)[1] for half in ("odd", "even")]
            at_one[value] = halves
            mark = "**" if value == values[0] else ""
            print(
                f"| {mark}{value}{mark} | {best:.1f} | {at:.1f} | {low_best:.1f} | {low_at:.1f} | {vus:.3f} "
                f"| {f1:.3f} | {outside:.0f} | {halves[0]:.1f} | {halves[1]:.1f} |",
                flush=True,
            )
        for chosen, reported, name in ((0, 1, "odd"), (1, 0, "even")):
            pick = max(values, key=lambda value: at_one[value][chosen])
            other = ("even", "odd")[chosen]
            print(
                f"\nChosen on the {name} files: {pick}; on the {other} ones it has {at_one[pick][reported]:.1f}, "
                f"the default {at_one[values[0]][reported]:.1f}."
            )


if __name__ == "__main__":
    main()
