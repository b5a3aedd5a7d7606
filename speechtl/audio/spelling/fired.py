"""Which words that sound like a wake word are taken for it."""

from __future__ import annotations

import tempfile
from bisect import bisect_right
from collections import Counter
from pathlib import Path
from typing import Any

from speechtl.audio.data.manifest import read_manifest
from speechtl.audio.data.recordings import load_recordings
from speechtl.audio.evaluation.model import Model
from speechtl.audio.evaluation.scoring import count, score_stream
from speechtl.audio.evaluation.streams import Condition, without_words
from speechtl.audio.spelling.material import speak_confusables
from speechtl.progress import say

TEXTS, TAKES_EACH = 24, 4
SEED = 0


def taken_for(model: Model) -> list[dict[str, Any]]:
    """The texts nearest to the model's phrases, how often each was said and how often that gave an event, the worst first.

    They are said by other voices and in other manners than in training.
    """
    with tempfile.TemporaryDirectory() as folder:
        manifest = speak_confusables(model.phrases, Path(folder), TEXTS, TAKES_EACH)
        if manifest is None:
            say("There is no dictionary of words that sound like it: confusables are known for English spellings only.")
            return []
        recordings = load_recordings(read_manifest(manifest), on_skip=say)
        stream = score_stream(model.scorer, without_words(recordings, Condition(), SEED), model.column)
    starts = [start for start, _, _ in stream.passages]
    texts = [recording.clip.text or "" for recording in recordings]
    fired = Counter(texts[index] for index in {bisect_right(starts, time) - 1 for time in count(stream, model.trigger).false_accepts})
    said = Counter(texts)
    return [{"text": text, "takes": said[text], "events": fired[text]} for text in sorted(said, key=lambda text: (-fired[text], text))]
