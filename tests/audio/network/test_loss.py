import pytest
import torch

from speechtl.audio.network.loss import WakeWordLoss

TIMES = torch.arange(0.5, 4.0, 0.08)
LOSS = WakeWordLoss(TIMES, held_out=[9])
NO_WORD = [float("nan")] * 2


def value(logits: torch.Tensor, *words) -> torch.Tensor:
    return LOSS(logits[:, None, :, None], torch.tensor(words), torch.zeros(len(words), dtype=torch.int64))


def gradient(*words) -> torch.Tensor:
    """Return how the loss changes with every logit `(examples, steps)`, from logits that are hardly above or below 0."""
    torch.manual_seed(0)
    logits = (0.001 * torch.randn(len(words), len(TIMES))).requires_grad_()
    value(logits, *words).backward()
    return logits.grad


def test_raising_the_logit_near_the_words_end_lowers_the_loss():
    logits = torch.zeros(1, len(TIMES))
    near = int((TIMES - 2.1).abs().argmin())
    before = value(logits, (1.5, 2.0))
    logits[0, near] += 1
    assert value(logits, (1.5, 2.0)) < before


@pytest.mark.parametrize("step", [0, 10, 25, len(TIMES) - 1])
def test_raising_any_logit_without_a_word_raises_the_loss(step):
    logits = torch.zeros(2, len(TIMES))
    before = value(logits, NO_WORD, (1.5, 2.0))
    logits[0, step] += 1
    assert value(logits, NO_WORD, (1.5, 2.0)) > before


def test_every_step_without_a_word_is_pushed_down():
    assert (gradient(NO_WORD, NO_WORD) > 0).all()


def test_steps_before_the_word_are_pushed_down_and_only_the_best_near_its_end_up():
    slope = gradient((1.5, 2.0))[0]
    assert (slope[TIMES < 1.6] > 0.01).all()
    up = (slope < -0.01).nonzero().flatten()
    assert len(up) == 1
    assert 1.9 <= TIMES[up] <= 2.45


def test_steps_behind_the_word_may_be_high():
    assert (gradient((1.5, 2.0))[0][TIMES > 2.5].abs() < 1e-5).all()


def test_the_hardest_negatives_weigh_more():
    logits = torch.full((1, len(TIMES)), -5.0)
    logits[0, 7] = 3.0
    logits.requires_grad_()
    value(logits, NO_WORD).backward()
    assert logits.grad[0, 7] > 50 * logits.grad[0, 30]


@pytest.mark.parametrize("words", [[NO_WORD], [(1.0, 1.5)], [NO_WORD, (1.0, 1.5)]])
def test_batches_of_one_kind_are_finite_and_have_gradients(words):
    assert torch.isfinite(gradient(*words)).all()


def test_a_network_that_is_right_costs_little_and_one_that_misses_much():
    words = [(1.5, 2.0), NO_WORD]
    logits = torch.full((2, len(TIMES)), -5.0)
    missed = value(logits, *words)
    logits[0, (TIMES >= 1.9) & (TIMES <= 2.45)] = 5.0
    right = value(logits, *words)
    logits[1, 20] = 5.0
    false_accept = value(logits, *words)
    assert right < 0.5
    assert missed > right + 4
    assert false_accept > right + 0.5


def test_every_member_of_an_ensemble_is_judged_by_itself():
    torch.manual_seed(0)
    logits = torch.randn(3, 4, len(TIMES), 1)
    words = torch.tensor([(1.5, 2.0), NO_WORD, (2.0, 2.8)])
    folds = torch.zeros(3, dtype=torch.int64)
    alone = [LOSS(logits[:, [member]], words, folds) for member in range(4)]
    assert WakeWordLoss(TIMES, [9] * 4)(logits, words, folds) == pytest.approx(float(sum(alone)) / 4, rel=1e-5)


def test_a_member_does_not_learn_from_the_fold_held_out_from_it():
    torch.manual_seed(0)
    logits = torch.randn(4, 3, len(TIMES), 1, requires_grad=True)
    words = torch.tensor([(1.5, 2.0), NO_WORD, (2.0, 2.8), NO_WORD])
    folds = torch.tensor([0, 0, 1, 2])
    WakeWordLoss(TIMES, held_out=[0, 1, 2])(logits, words, folds).backward()
    learned = logits.grad.abs().sum(dim=(2, 3)) > 0
    assert learned.tolist() == [[False, True, True], [False, True, True], [True, False, True], [True, True, False]]
