import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from speechtl.errors import PictureError
from speechtl.runtime.pictures import PictureSettings, read_picture, read_pixels


def gradient(height: int = 12, width: int = 20) -> np.ndarray:
    return np.linspace(0, 255, height * width).reshape(height, width).astype(np.uint8)


def colours(height: int = 12, width: int = 20) -> Image.Image:
    values = gradient(height, width)
    return Image.fromarray(np.stack([values, 255 - values, values // 2], axis=2))


def test_grey_pictures_get_three_equal_channels(tmp_path):
    Image.fromarray(gradient()).save(tmp_path / "g.png")
    values = np.asarray(read_picture(tmp_path / "g.png"))
    assert all(np.array_equal(values[:, :, channel], gradient()) for channel in range(3))


def test_16_bit_pictures_keep_black_and_white(tmp_path):
    Image.fromarray(gradient().astype(np.uint16) * 257).save(tmp_path / "deep.png")
    assert np.array_equal(np.asarray(read_picture(tmp_path / "deep.png"))[:, :, 0], gradient())


def test_palette_pictures_have_their_colours(tmp_path):
    picture = Image.new("P", (8, 8), 1)
    picture.putpalette([0, 0, 0, 200, 100, 50] + [0] * 762)
    picture.save(tmp_path / "p.png")
    assert read_picture(tmp_path / "p.png").getpixel((3, 3)) == (200, 100, 50)


def test_cmyk_pictures_become_rgb(tmp_path):
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(tmp_path / "c.jpg", quality=95)
    red, green, blue = read_picture(tmp_path / "c.jpg").getpixel((8, 8))
    assert red > 200
    assert max(green, blue) < 60


def test_what_is_transparent_becomes_white(tmp_path):
    Image.new("RGBA", (8, 8), (0, 0, 0, 0)).save(tmp_path / "t.png")
    assert read_picture(tmp_path / "t.png").getpixel((0, 0)) == (255, 255, 255)


def test_a_rotated_photograph_is_turned_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 90 degrees to the right
    colours().save(tmp_path / "r.png", exif=exif)
    turned = read_picture(tmp_path / "r.png")
    assert turned.size == (12, 20)
    assert np.array_equal(np.asarray(turned), np.rot90(np.asarray(colours()), -1))


def test_an_animation_is_refused(tmp_path):
    frames = [Image.new("L", (8, 8), value) for value in (0, 128, 255)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    with pytest.raises(PictureError, match=r"a\.gif contains 3 pictures"):
        read_picture(tmp_path / "a.gif")


def test_a_camera_s_photograph_with_a_preview_is_read(tmp_path):
    colours(40, 40).save(tmp_path / "m.mpo", save_all=True, append_images=[Image.new("RGB", (8, 8))])
    assert read_picture(tmp_path / "m.mpo").size == (40, 40)


def bomb(side: int) -> bytes:
    """A PNG that claims a huge size in a few bytes."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [8_000, 60_000, 2_000_000])
def test_a_decompression_bomb_is_refused_before_it_is_unpacked(tmp_path, side):
    (tmp_path / "bomb.png").write_bytes(bomb(side))
    with pytest.raises(PictureError, match="more than the 50 million"):
        read_picture(tmp_path / "bomb.png")


@pytest.mark.parametrize("ending", ["png", "jpg", "gif", "bmp", "tif", "webp"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_truncated_picture_is_refused(tmp_path, ending, share):
    stream = io.BytesIO()
    random = np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    Image.fromarray(random).save(stream, {"jpg": "jpeg", "tif": "tiff"}.get(ending, ending))
    (tmp_path / f"cut.{ending}").write_bytes(stream.getvalue()[: int(len(stream.getvalue()) * share)])
    with pytest.raises(PictureError, match=rf"cut\.{ending} is (damaged|not a picture)"):
        read_picture(tmp_path / f"cut.{ending}")


@pytest.mark.parametrize("content", [b"", b"hello", b"\x89PNG\r\n\x1a\n", b"%PDF-1.4", b"<svg></svg>", b"GIF89a"])
def test_what_is_no_picture_is_refused(tmp_path, content):
    (tmp_path / "x.png").write_bytes(content)
    with pytest.raises(PictureError, match=r"x\.png"):
        read_picture(tmp_path / "x.png")


def test_damaged_metadata_are_one_sentence_too(tmp_path):
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "maker", 6
    colours().save(tmp_path / "r.jpg", exif=exif)
    content = (tmp_path / "r.jpg").read_bytes()
    maker, width = b"\x01\x0f\x00\x02", b"\x01\x00\x00\x02"  # a width that is text
    assert maker in content
    (tmp_path / "r.jpg").write_bytes(content.replace(maker, width))
    with pytest.raises(PictureError, match=r"r\.jpg is damaged"):
        read_picture(tmp_path / "r.jpg")


def test_missing_files_folders_and_tiny_pictures_are_refused(tmp_path):
    Image.new("L", (1, 50)).save(tmp_path / "line.png")
    for name, match in (("none.png", "does not exist"), ("", "is a folder"), ("line.png", "1 × 50 pixels")):
        with pytest.raises(PictureError, match=match):
            read_picture(tmp_path / name)


@pytest.mark.parametrize("shape", ["stretch", "crop", "pad"])
def test_every_shape_gives_bytes_of_the_wanted_size(tmp_path, shape):
    colours().save(tmp_path / "c.png")
    pixels = read_pixels(tmp_path / "c.png", PictureSettings(size=16, shape=shape))
    assert pixels.shape == (3, 16, 16)
    assert pixels.dtype == np.uint8
    assert (pixels[:, 0] == 0).all() == (shape == "pad")


def test_grey_settings_drop_colours(tmp_path):
    colours().save(tmp_path / "c.png")
    pixels = read_pixels(tmp_path / "c.png", PictureSettings(size=16, grey=True))
    assert np.array_equal(pixels[0], pixels[1])


def test_arrays_are_resized_as_files_would_be():
    torch = pytest.importorskip("torch", reason="torch is not installed")
    from speechtl.image.data import resize_pixels

    picture = np.kron(gradient(7, 7), np.ones((4, 4), np.uint8))
    expected = np.asarray(Image.fromarray(picture).resize((56, 56), Image.Resampling.BILINEAR)).astype(int)
    ours = resize_pixels(torch.from_numpy(picture)[None], 56)[0]
    assert ours.shape == (3, 56, 56)
    assert np.abs(ours[0].numpy().astype(int) - expected).max() <= 1
