#!/usr/bin/env python3
"""What a boundary of each series' own is worth on NAB, known from its labels or from its own past: a table of docs/quality.md.

    cargo build --release -p agent
    AGENT_REFERENCE_DATA=DIR benches/quality/budgets.py [--agent target/release/agent] [--model DIR] [--set KEY=VALUE ...]

Each file is replayed once, and its peaks are flagged by different rules. The NAB score is the one of `agent evaluate`, in its standard
profile: rows are flagged when a peak is known, and the first 15 % of them do not count. Where the two programs do not agree on what a
boundary of 1 comes to, there is no table.
"""
import argparse
import bisect
import csv
import datetime
import json
import math
import os
import subprocess
import sys
import tempfile

WEEK = 7 * 24 * 3600


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--agent", default="target/release/agent")
    parser.add_argument("--model", default="models/general")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    args = parser.parse_args()
    data = os.environ.get("AGENT_REFERENCE_DATA")
    if not data:
        sys.exit("AGENT_REFERENCE_DATA is not set")
    data = os.path.join(data, "nab")
    with open(os.path.join(data, "labels.json")) as labels:
        labels = json.load(labels)
    files = [File(args, data, name, labels[name]) for name in sorted(labels) if os.path.exists(os.path.join(data, name))]

    flagged = score(files, at(1))
    said = evaluated(args, data)
    if abs(flagged - said) > 1e-6:
        sys.exit(f"at 1 this is {flagged}, and agent evaluate says {said}")
    print("| boundary | NAB standard | odd files | even files | flagged outside | windows flagged |")
    print("|---|---|---|---|---|---|")
    report("1 for every series", files, at(1))
    best = max(thresholds(files), key=lambda least: score(files, at(least)))
    report("the one that is best for all files", files, at(best))
    own = {file.name: max([*thresholds([file]), math.inf], key=lambda least: file.worth(at(least)(file))) for file in files}
    report("each file's own best, by its labels", files, lambda file: at(own[file.name])(file))
    for budget in (1, 2, 4):
        title = f"1; of a week's finds beyond {budget} only those higher than {budget} of them"
        report(title, files, lambda file: capped(file, budget))
    for budget, least, most in [(0.5, 0.9, 1), (0.5, 0.7, 1), (1, 0.9, 1), (1, 0.7, 1), (2, 0.9, 1), (1, 1, 1.5), (2, 1, 1.5)]:
        title = f"what {budget:g} a week so far would have passed, but within {least:g} and {most:g}"
        report(title, files, lambda file: spent(file, budget, least, most))


def report(title, files, rule):
    flagged = {file.name: rule(file) for file in files}
    rule = lambda file: flagged[file.name]  # noqa: E731
    halves = [score(files[first::2], rule) for first in (0, 1)]
    outside = sum(file.outside(rule(file)) for file in files)
    hit = sum(len(file.hit(rule(file))) for file in files)
    print(f"| {title} | {score(files, rule):.1f} | {halves[0]:.1f} | {halves[1]:.1f} | {outside} | {hit} |", flush=True)


def at(least):
    return lambda file: [peak for peak in file.peaks if peak[1] >= least]


def thresholds(files):
    """All that could matter, but for those far below the boundary."""
    return sorted({height for file in files for (_, height, _) in file.peaks if height >= 0.5})


def capped(file, budget):
    """Those from 1 on that are higher than all but fewer than `budget` of those flagged in the week before."""
    flagged = []
    for peak in file.peaks:
        last = sorted((height for (time, height, _) in flagged if peak[0] - time < WEEK), reverse=True)
        if peak[1] >= 1 and (len(last) < budget or peak[1] > last[budget - 1]):
            flagged.append(peak)
    return flagged


def spent(file, budget, least, most):
    """Those above the boundary that would have flagged as many of the peaks so far as the budget of the time so far."""
    flagged, heights = [], []
    for peak in file.peaks:
        weeks = (peak[0] - file.begin) / WEEK
        allowed = int(budget * weeks)
        heights.sort(reverse=True)
        boundary = heights[allowed] if allowed < len(heights) else 0
        if peak[1] >= min(max(boundary, least), most):
            flagged.append(peak)
        heights.append(peak[1])
    return flagged


def score(files, rule):
    windows = sum(len(file.windows) for file in files)
    return 50 * (sum(file.worth(rule(file)) for file in files) + windows) / windows


class File:
    """One file: its rows, its windows and the agent's peaks (time in seconds, height, row at which it was known)."""

    def __init__(self, args, data, name, windows):
        self.name = name
        with open(os.path.join(data, name)) as file:
            times = [seconds(row[0]) for row in list(csv.reader(file))[1:]]
        times.sort()
        self.begin = times[0]
        self.first = min(len(times) * 15 // 100, 750)
        rows = lambda span: [i for i, t in enumerate(times) if span[0] <= t <= span[1]]  # noqa: E731
        inside = [rows([seconds(end) for end in window]) for window in windows]
        self.windows = [(found[0], found[-1]) for found in inside if found and found[-1] >= self.first]
        self.peaks = []
        for row in replay(args, os.path.join(data, name)):
            if row["peak"] and float(row["peak"]) > 0:
                known = seconds(row["available_at"])
                flagged = bisect.bisect_left(times, known)
                if self.first <= flagged < len(times):
                    self.peaks.append((known, float(row["peak"]), flagged))

    def window(self, row):
        return next(((left, right) for left, right in self.windows if left <= row <= right), None)

    def hit(self, flagged):
        return {window for (_, _, row) in flagged if (window := self.window(row))}

    def outside(self, flagged):
        return len({row for (_, _, row) in flagged if not self.window(row)})

    def worth(self, flagged):
        """What the flagged rows are worth, before it is put in relation: 1 a window at most, -1 where it is missed."""
        best, total = {}, 0.0
        for row in {row for (_, _, row) in flagged}:
            window = self.window(row)
            if window:
                left, right = window
                worth = sigmoid(-(right - row + 1) / (right - left + 1)) / sigmoid(-1)
                best[window] = max(best.get(window, -1.0), worth)
            else:
                before = [(left, right) for left, right in self.windows if right < row]
                far = (row - before[-1][1]) / (before[-1][1] - before[-1][0]) if before else math.inf
                total += 0.11 * (sigmoid(far) if far < 3 else -1)
        return total + sum(best.get(window, -1.0) for window in self.windows)


def sigmoid(position):
    return 2 / (1 + math.exp(5 * position)) - 1


def evaluated(args, data):
    """What `agent evaluate` says of all files at a boundary of 1."""
    labels = os.path.join(data, "labels.json")
    document = json.loads(agent(args, "evaluate", "--json", "--only-agent", "--data", data, "--labels", labels))
    return document["detectors"][0]["total"]["nab"]["standard"]["at_boundary"]


def agent(args, *command):
    settings = [part for value in args.set for part in ("--set", value)]
    command = [args.agent, *command, "--model", args.model, *settings]
    run = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if run.returncode:
        sys.exit(run.stderr)
    return run.stdout


def replay(args, path):
    with tempfile.NamedTemporaryFile(suffix=".csv") as out:
        agent(args, "replay", "--file", path, "--scores", out.name)
        with open(out.name) as rows:
            return list(csv.DictReader(rows))


def seconds(time):
    moment = datetime.datetime.fromisoformat(time.replace("Z", "+00:00").split(".")[0])
    return moment.replace(tzinfo=datetime.timezone.utc).timestamp()


if __name__ == "__main__":
    main()
