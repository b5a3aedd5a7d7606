"""Read pictures of any kind safely: a file becomes bytes `(3, size, size)`, or an error that says what is wrong with it.

Workstation and device read pictures with this one definition, so that a network sees the same on both.
"""

from __future__ import annotations

import struct
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speechtl.errors import MissingExtraError, PictureError

try:
    from PIL import Image, ImageOps, UnidentifiedImageError
except ImportError as error:
    raise MissingExtraError("Reading pictures", "image") from error

MOST_PIXELS = 50_000_000  # the largest pictures of cameras; a file that claims more is not opened
SMALLEST = 4  # pixels of a side
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM")
ENDINGS = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm")


@dataclass(frozen=True)
class PictureSettings:
    """The form of a picture before it enters a network, as bytes `(3, size, size)`."""

    size: int = 224  # pixels
    shape: str = "stretch"  # how it becomes square: stretch, crop (the middle) or pad (with black)
    grey: bool = False  # drop colours before the three channels are filled

    def to_json(self) -> dict[str, Any]:
        """The fields, as JSON stores them."""
        return asdict(self)


def read_picture(path: Path) -> Image.Image:
    """Read a picture upright and in RGB; grey, palette, CMYK, 16-bit and transparent ones are converted.

    Transparency becomes white. Raises `PictureError` for a file that is missing, not a picture, cut short, animated or too large.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about size, which is checked here, and about metadata, which is not used
            with Image.open(path, formats=FORMATS) as picture:
                _refuse(picture, path)
                picture.load()
                return to_rgb(ImageOps.exif_transpose(picture), path)
    except FileNotFoundError:
        raise PictureError(f"{path} does not exist.") from None
    except IsADirectoryError:
        raise PictureError(f"{path} is a folder; give the pictures in it.") from None
    except UnidentifiedImageError:
        raise PictureError(f"{path} is not a picture that can be read; PNG, JPEG, GIF, BMP, TIFF, WebP and PPM can.") from None
    except Image.DecompressionBombError:
        raise PictureError(_huge(path)) from None
    except (OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, OverflowError, struct.error) as error:
        raise PictureError(f"{path} is damaged or cut short: {error}.") from error  # errors of Pillow's readers


def _refuse(picture: Image.Image, path: Path) -> None:
    width, height = picture.size
    if width * height > MOST_PIXELS:
        raise PictureError(_huge(path, f"{width} × {height} pixels"))
    if min(width, height) < SMALLEST:
        raise PictureError(f"{path} has {width} × {height} pixels; at least {SMALLEST} a side are needed.")
    frames = 1 if picture.format == "MPO" else getattr(picture, "n_frames", 1)  # of a camera's MPO the first is the photograph
    if frames > 1:
        raise PictureError(f"{path} contains {frames} pictures (an animation or pages); save the one to use as a separate file.")


def _huge(path: Path, size: str = "far too many pixels") -> str:
    return f"{path} has {size}, more than the {MOST_PIXELS // 1_000_000} million that are allowed; make it smaller first."


def to_rgb(picture: Image.Image, path: Path) -> Image.Image:
    """A picture of any mode in RGB, 8 bits a channel."""
    if picture.mode.startswith("I"):
        deep = np.asarray(picture).astype(np.float64)
        if deep.min() < 0 or deep.max() > 65_535:
            raise PictureError(f"{path} has values beyond 16 bits; save it with 8 or 16 bits.")
        picture = Image.fromarray((deep / 257.0).round().astype(np.uint8))
    if picture.mode == "F":
        raise PictureError(f"{path} contains floating-point values without a defined black and white; save it with 8 or 16 bits.")
    if picture.has_transparency_data:
        above = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", above.size, "white"), above)
    return picture.convert("RGB")


def to_pixels(picture: Image.Image, settings: PictureSettings) -> NDArray[np.uint8]:
    """A picture in the network's form, bytes `(3, size, size)`."""
    square = (settings.size, settings.size)
    if settings.grey:
        picture = picture.convert("L").convert("RGB")
    if settings.shape == "crop":
        picture = ImageOps.fit(picture, square, Image.Resampling.BILINEAR)
    elif settings.shape == "pad":
        picture = ImageOps.pad(picture, square, Image.Resampling.BILINEAR)
    else:
        picture = picture.resize(square, Image.Resampling.BILINEAR)
    return np.ascontiguousarray(np.asarray(picture).transpose(2, 0, 1))


def read_pixels(path: Path, settings: PictureSettings) -> NDArray[np.uint8]:
    """Read a picture in the network's form, bytes `(3, size, size)`."""
    return to_pixels(read_picture(path), settings)
