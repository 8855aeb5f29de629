#!/usr/bin/env python3
"""Train TadGAN by Orion's own pipeline on one CSV file, and count what it costs.

The pipeline is `tadgan` as Orion ships it: mean of each interval, imputation by the mean, range onto [-1, 1], windows
of 100, TadGAN in float64. Only the interval, the epochs and the seed are set; fitting ends with TadGAN, so nothing is
scored. The last line of the output gives the generator steps and the CPU seconds, user and system, children included.
"""

import argparse
import os
import random
import resource

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

TADGAN = "orion.primitives.tadgan.TadGAN#1"
AGGREGATE = "mlstars.custom.timeseries_preprocessing.time_segments_aggregate#1"


def cpu_seconds():
    """CPU seconds of this process and of its children that have ended."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def read_series(path):
    """The columns `timestamp`, in unix seconds, and `value`."""
    import pandas as pd

    data = pd.read_csv(path, usecols=["timestamp", "value"])
    if not pd.api.types.is_numeric_dtype(data["timestamp"]):
        epoch = pd.Timestamp(0)
        data["timestamp"] = (pd.to_datetime(data["timestamp"]) - epoch) // pd.Timedelta("1s")
    return data


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", help="CSV with the columns timestamp and value")
    parser.add_argument("--interval", type=int, required=True, metavar="SECONDS")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    # Imported late, so that --help and a mistyped option answer at once.
    import numpy
    import tensorflow
    from mlblocks import MLPipeline
    from orion.primitives import tadgan  # sets float64 for all of Keras

    random.seed(arguments.seed)
    numpy.random.seed(arguments.seed)
    tensorflow.random.set_seed(arguments.seed)

    pipeline = MLPipeline("tadgan")
    settings = {AGGREGATE: {"interval": arguments.interval}, TADGAN: {"epochs": arguments.epochs}}
    pipeline.set_hyperparameters(settings)
    series = read_series(arguments.file)
    before = cpu_seconds()
    pipeline.fit(series)

    model = pipeline.blocks[TADGAN].instance
    assert isinstance(model, tadgan.TadGAN)
    # What the optimiser counted: epochs * floor(windows / 320). With fewer windows its fit raises an IndexError.
    steps = int(model.encoder_generator_optimizer.iterations.numpy())
    total = cpu_seconds()
    print(f"steps={steps} cpu={total:.1f} fit={total - before:.1f} dtype={model.encoder.dtype}")


if __name__ == "__main__":
    main()
