"""Parity of a picture bundle: does every graph give, on this machine, the scores of the trained network?"""

from __future__ import annotations

import numpy as np

from speechtl.runtime.bundle.pictures import PictureBundle
from speechtl.runtime.engine.pictures import ENGINE, SECONDS_PER_PICTURE, PictureEngine
from speechtl.runtime.verify import Allowance, Parity


def verify_pictures(bundle: PictureBundle) -> list[Parity]:
    """Show the golden pictures to every graph and compare the scores with those of the trained network."""
    bundle.files.check_hashes()
    pixels, expected = bundle.golden()
    results = []
    for name, graph in bundle.graphs.items():
        engine = PictureEngine(bundle, name)
        allowance = Allowance(f"{bundle.path}: verifying {name}", SECONDS_PER_PICTURE, bounded=not bundle.made_here)
        difference = 0.0
        for picture, scores in zip(pixels, expected, strict=True):
            difference = float(np.maximum(difference, np.abs(engine.run(picture) - scores).max()))  # NaN where one is
            allowance.spend(1.0)
        results.append(Parity(name, ENGINE, difference, graph.tolerance, len(pixels), difference <= graph.tolerance))
    return results
