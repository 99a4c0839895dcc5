"""The yearly sunspots from 1700 to 2008, and autoregressive forecasts of them."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

CSV = Path(__file__).parent / "data" / "sunspots.csv"
YEARS, SPOTS = np.loadtxt(CSV, delimiter=",", skiprows=1).T
TRAIN = YEARS <= 1920
PERIODS = {"1921-55": (1921, 1955), "1956-79": (1956, 1979), "1980-2008": (1980, 2008)}
# The best of several Keras networks of each kind, trained once on the same years and windows.
KERAS = {
    "Keras LSTM(16)": {"1921-55": 0.097, "1956-79": 0.39, "1980-2008": 0.19},
    "Keras MLP(8)": {"1921-55": 0.093, "1956-79": 0.39, "1980-2008": 0.19},
}


def errors(forecast, first):
    """Squared error of each period over 1535, the variance by which this series is measured."""
    wrong = (forecast - SPOTS[first:]) ** 2 / 1535
    years = YEARS[first:]
    return {p: wrong[(years >= a) & (years <= b)].mean() for p, (a, b) in PERIODS.items()}


def autoregressive(order):
    """Errors of the least-squares forecast from the `order` years before, fitted up to 1920."""
    before = np.lib.stride_tricks.sliding_window_view(SPOTS[:-1], order)
    before = np.column_stack([np.ones(len(before)), before])
    past = TRAIN[order:]
    weights = np.linalg.lstsq(before[past], SPOTS[order:][past], rcond=None)[0]
    return errors(before @ weights, order)


def draw(forecasts, first):
    """Draws the series, and what a population forecasts: its mean, and its middle 80 %."""
    _, ax = plt.subplots(figsize=(9, 3))
    years = YEARS[first:]
    low, high = np.quantile(forecasts, [0.1, 0.9], axis=0)
    ax.axvspan(YEARS[TRAIN][-1], years[-1], color="0.93", label="not trained on")
    ax.plot(years, SPOTS[first:], "k", lw=1, label="truth")
    ax.fill_between(years, low, high, color="#D55E00", alpha=0.35, lw=0)
    title = f"mean of {len(forecasts)} forecasts"
    ax.plot(years, np.mean(forecasts, axis=0), color="#D55E00", lw=1, label=title)
    ax.set(xlim=(years[0], years[-1]), ylabel="sunspots", ylim=(None, 240))
    ax.legend(frameon=False, ncols=3, loc="upper left")
    return ax
