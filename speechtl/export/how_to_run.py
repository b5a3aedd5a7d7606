"""Instructions in a bundle for running its graphs without speechtl, for example in C++ or JavaScript: features, step and events."""

from __future__ import annotations

from speechtl.runtime.features import Features, LogMelSettings

LOG_MEL = (
    "Take mono samples at `sample_rate`, as numbers from -1 to 1, times 32768. Frame k covers the `dft` samples from k * `hop` on; nothing "
    "is padded. Multiply the middle `window` samples by a periodic Hann window, 0.5 - 0.5 * cos(2 * pi * n / `window`), the others by 0. "
    "Take the squared magnitudes of the DFT, bins 0 to `dft` / 2. Apply `bands` triangular filters whose edges are equally spaced on "
    "Slaney's mel scale from `low_hz` to `high_hz`, each divided by half its width in hertz. "
    "The value of a band is log10(max(sum, 10 ^ (`floor_db` / 10))) + 2."
)
WAVEFORM = "Take mono samples at `sample_rate`, as numbers from -1 to 1. A frame is the next `hop` samples; frames do not overlap."
STEP = (
    "Every `chunk`.`frames` frames, run the graph with these as `log_mel` (1, 1, frames, bands) and with all states; keep each output in "
    "place of its state. Graphs of layout NHWC take and give 4-dimensional tensors as (1, frames, bands, channels). A stream starts with "
    "states of zeros, of the type that the graph declares, and `chunk`.`silent_steps` steps in which every value is {silence:g}."
)
EVENT = (
    "`score` (1, words) has a number from 0 to 1 for each word. Average the last `smoothing` of them as log-odds, log(p / (1 - p)). "
    "An event is a rise of that average to `threshold` from below; for `refractory` seconds after it there is no other."
)


def how_to_run(features: Features) -> dict[str, str]:
    """Description of features, step and event; names in backquotes are keys of `bundle.json`."""
    spoken = LOG_MEL if isinstance(features, LogMelSettings) else WAVEFORM
    return {"features": spoken, "step": STEP.format(silence=features.silence), "event": EVENT}
