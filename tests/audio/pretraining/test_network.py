import pytest
import torch

from speechtl.audio.encoders import AudioEncoder, TimeConv, audio_input, conv_ctc
from speechtl.audio.pretraining.network import AFTER, CLASSES, Answers, PretrainingHead, PretrainingLoss, PretrainingNetwork
from speechtl.runtime.features import LogMelSettings
from speechtl.transfer import EncoderInfo

FEATURES = LogMelSettings()
NO_WORDS = torch.zeros(1, 0, 2, dtype=torch.int16)


def pick(field):
    """Return an encoder that gives the newest of `field` frames, every eight frames."""
    layer = TimeConv(1, 1, field, 1, stride=(8, 1), bias=False)
    with torch.no_grad():
        layer.weight.zero_()
        layer.weight[0, 0, -1, 0] = 1.0
    groups = {"pick": torch.nn.Sequential(layer, torch.nn.AvgPool2d((1, 32)))}
    info = EncoderInfo("pick", audio_input(FEATURES), embedding_size=1)
    return AudioEncoder(groups, info, FEATURES, stride=8, receptive_field=field)


def network(encoder, teacher_size=3):
    torch.manual_seed(0)
    return PretrainingNetwork(encoder, PretrainingHead(encoder.info.embedding_size, teacher_size)).eval()


@pytest.mark.parametrize("field", [76, 84, 110, 142])
def test_the_student_answers_at_the_very_frames_of_the_teacher(field):
    student = network(pick(field), 1)
    with torch.no_grad():
        student.head.teacher.weight.fill_(1.0)
        student.head.teacher.bias.zero_()
    frames = torch.arange(300.0)[None, None, :, None].expand(1, 1, 300, 32)
    heard = torch.arange(75.0, 300.0, 8.0)[None, :, None]  # what a teacher with 76 frames would give: its newest frame
    answers = student(frames)
    assert answers.heard.shape[1] == heard.shape[1] - student.first_step
    loss = PretrainingLoss(student, ctc=0.0, teacher=1.0)
    assert float(loss(answers, torch.zeros(1, 1), torch.tensor([-1]), heard, NO_WORDS)) == pytest.approx(0.0, abs=1e-6)


def test_two_frames_of_a_step_stand_in_their_order():
    head = PretrainingHead(2, 0, frames=2)
    with torch.no_grad():
        head.phones.weight.zero_()
        head.phones.bias.zero_()
        head.phones.weight[5, 0] = 9.0  # first frame of a step: class 5 where the first number is one
        head.phones.weight[CLASSES + 7, 1] = 9.0  # second frame: class 7 where the second is
    said = head(torch.tensor([[[[1.0], [0.0]], [[0.0], [1.0]]]]))[0].argmax(dim=2)[:, 0].tolist()
    assert said == [5, 0, 0, 7]


def test_windows_without_phones_teach_no_phones():
    student = network(conv_ctc.build("conv-ctc-tiny"))
    loss = PretrainingLoss(student, ctc=1.0, teacher=0.0)
    frames = torch.randn(2, 1, 300, 32)
    heard = torch.zeros(2, 29, 3)
    phones = torch.tensor([[1, 2, 3], [4, 5, 6]], dtype=torch.int16)
    both, first, none = (
        float(loss(student(frames), phones, torch.tensor(counts), heard, NO_WORDS)) for counts in ([3, 3], [3, -1], [-1, -1])
    )
    alone = float(loss(student(frames[:1]), phones[:1], torch.tensor([3]), heard[:1], NO_WORDS))
    assert first == pytest.approx(alone, rel=1e-4)
    assert both != pytest.approx(first)
    assert none == 0.0


def test_the_teachers_numbers_are_standardised():
    student = network(conv_ctc.build("conv-ctc-tiny"))
    heard = torch.randn(4, 50, 3) * torch.tensor([1.0, 10.0, 100.0]) + 5.0
    student.head.measure(heard)
    answers = Answers(torch.zeros(2, 4, CLASSES), torch.zeros(4, 50 - student.first_step, 3), torch.zeros(4, 0, 1))
    loss = PretrainingLoss(student, ctc=0.0, teacher=1.0)(answers, torch.zeros(4, 1), torch.full((4,), -1), heard, NO_WORDS)
    assert float(loss) == pytest.approx(1.0, abs=0.1)


def test_an_encoder_without_a_teacher_learns_phones_alone():
    student = network(conv_ctc.build("conv-ctc-tiny"), teacher_size=0)
    answers = student(torch.randn(1, 1, 300, 32))
    assert answers.heard is None
    value = PretrainingLoss(student, 1.0, 0.0)(answers, torch.tensor([[3, 4]]), torch.tensor([2]), torch.zeros(1, 0, 0), NO_WORDS)
    value.backward()
    assert all(weights.grad is not None for weights in student.parameters())


@pytest.mark.parametrize("field", [76, 84, 142])
def test_a_word_is_to_be_known_at_the_first_steps_that_have_heard_it(field):
    """The encoder gives the number of its newest frame, so its outputs tell when they were made."""
    student = network(pick(field))
    newest = student(torch.arange(400.0)[None, None, :, None].expand(1, 1, 400, 32)).embeddings[0, :, 0]
    ends = torch.arange(150, 300, dtype=torch.int16)
    for after in AFTER:
        heard = newest[student.steps_after(ends, after)] + 1  # frames
        assert ((heard >= ends + after) & (heard < ends + after + 8)).all()


def test_words_teach_and_what_stands_outside_of_the_outputs_does_not():
    torch.manual_seed(0)
    encoder = conv_ctc.build("conv-ctc-tiny")
    student = PretrainingNetwork(encoder, PretrainingHead(encoder.info.embedding_size, 0, words=3))
    loss = PretrainingLoss(student, ctc=0.0, teacher=0.0, words=1.0)
    optimizer = torch.optim.Adam(student.parameters(), lr=0.01)
    frames = torch.randn(4, 1, 300, 32)
    nothing = (torch.zeros(4, 1), torch.full((4,), -1), torch.zeros(4, 0, 0))
    words = torch.tensor([[[0, 200], [2, 260]], [[1, 200], [-1, -1]], [[2, 210], [1, 5]], [[0, 220], [1, 299]]], dtype=torch.int16)
    first = float(loss(student(frames), *nothing, words))
    for _ in range(30):
        optimizer.zero_grad()
        loss(student(frames), *nothing, words).backward()
        optimizer.step()
    assert float(loss(student(frames), *nothing, words)) < 0.5 * first
    outside = torch.tensor([[[1, 299]]] * 4, dtype=torch.int16)
    assert float(loss(student(frames), *nothing, outside)) == 0.0
