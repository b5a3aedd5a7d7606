import torch

from speechtl.image.augment import AugmentSection

PIXELS = torch.zeros(4, 3, 17, 17, dtype=torch.uint8)
PIXELS[:, :, 8, 12] = 255


def test_nothing_is_changed_by_default():
    assert not AugmentSection().changes
    assert (AugmentSection().render(PIXELS, 1).int() - PIXELS.int()).abs().max() <= 1


def test_copies_are_repeatable_by_seed_and_differ_between_pictures():
    moved = AugmentSection(shift=0.2)
    assert torch.equal(moved.render(PIXELS, 5), moved.render(PIXELS, 5))
    assert not torch.equal(moved.render(PIXELS, 5), moved.render(PIXELS, 6))
    assert not torch.equal(moved.render(PIXELS, 5)[0], moved.render(PIXELS, 5)[1])


def test_a_mirrored_picture_is_the_picture_mirrored():
    flipped = AugmentSection(flip=True).render(PIXELS, 0)
    columns = {int(picture[0, 8].argmax()) for picture in flipped}
    assert columns == {12, 4}


def test_light_changes_brightness_and_not_places():
    lit = AugmentSection(light=0.3).render(PIXELS // 2 + 60, 0)
    assert lit[:, 0, 0, 0].unique().numel() > 1
    assert all(int(picture[0].argmax()) == 8 * 17 + 12 for picture in lit)
