from dataclasses import replace

import numpy as np
import pytest

from speechtl.audio.network.heads import MEMBERS, Head, make_head
from speechtl.audio.spelling.material import CONFUSABLE
from speechtl.audio.training import validation as module
from speechtl.audio.training.selection import FOLDS, prepare
from speechtl.audio.training.validation import held_out_folds, shift_scores, shipped_members, validate
from speechtl.transfer import AllLayers, HeadOnly

pytestmark = pytest.mark.usefixtures("known_tiny", "few_rooms")


def unmarked(corpus) -> None:
    """Take the validation marks out: every fold is then held out from some members."""
    for path in (corpus / "positives.jsonl", corpus / "negatives.jsonl"):
        path.write_text(path.read_text().replace('"split": "validation"', '"split": "train"'))


def test_words_are_validated_on_people_and_similar_synthesised_words_not_at_all(recipe, corpus):
    unmarked(corpus)
    data = prepare(recipe, lambda text: None)

    def spoken(recordings):
        return [replace(one, clip=replace(one.clip, source="synthesised")) for one in recordings]

    mixed = replace(
        data, positives=[*data.positives[:3], *spoken(data.positives)], negatives=[*data.negatives, *spoken(data.negatives[:2])]
    )
    scenes = module.Scenes(mixed, range(FOLDS), 0)
    words = [passage.recording for fold in range(FOLDS) for passage in next(scenes.words(fold))]
    others = [passage.recording for fold in range(FOLDS) for _, passages in scenes.others(fold) for passage in passages]
    assert len(words) == 3
    assert not any(recording.synthesised for recording in [*words, *others])
    alone = module.Scenes(replace(data, positives=spoken(data.positives)), range(FOLDS), 0)
    assert sum(len(list(next(alone.words(fold)))) for fold in range(FOLDS)) == len(data.positives)


def test_words_that_sound_like_it_are_not_validated_on_where_everything_is_synthesised(recipe, corpus):
    unmarked(corpus)
    data = prepare(recipe, lambda text: None)
    spoken = [replace(one, clip=replace(one.clip, source="synthesised")) for one in data.negatives]
    similar = [replace(one, clip=replace(one.clip, label=CONFUSABLE)) for one in spoken[:2]]
    scenes = module.Scenes(replace(data, negatives=[*spoken[2:], *similar]), range(FOLDS), 0)
    others = [passage.recording for fold in range(FOLDS) for _, passages in scenes.others(fold) for passage in passages]
    assert len({id(recording) for recording in others}) == len(spoken) - 2
    assert not any(recording.clip.label == CONFUSABLE for recording in others)


def test_shifted_scores_are_those_of_the_shifted_network(recipe, corpus, tiny_network):
    unmarked(corpus)
    data = prepare(recipe, lambda text: None)
    held_out = held_out_folds(HeadOnly(), data)
    tiny_network.head = make_head("linear", tiny_network.head.input_size, members=len(held_out))
    heard = validate(tiny_network, held_out, data, 0)
    tiny_network.head.shift(1.7)
    shift_scores(1.7, [*heard.words, *heard.negatives])
    again = validate(tiny_network, held_out, data, 0)
    for stream, expected in zip([*heard.words, *heard.negatives], [*again.words, *again.negatives], strict=True):
        np.testing.assert_allclose(stream.scores, expected.scores, atol=1e-5)


def test_every_recording_is_validated_on_once_a_condition_and_never_by_a_member_that_learned_from_it(
    recipe, corpus, tiny_network, monkeypatch
):
    unmarked(corpus)
    data = prepare(recipe, lambda text: None)
    held_out = held_out_folds(HeadOnly(), data)
    members = len(held_out)
    tiny_network.head = make_head("linear", tiny_network.head.input_size, members=members)
    everyone, only = tiny_network.head, Head.only
    asked, listening = [], {}

    def some(head, members):
        part = only(head, members)
        listening[part] = tuple(members)
        return part

    def record(scorer, passages):
        passages = list(passages)
        asked.append((listening[scorer.engine.network.head], {passage.recording.fold for passage in passages}, len(passages)))
        return real(scorer, passages)

    real = module.score_stream
    monkeypatch.setattr(module, "score_stream", record)
    monkeypatch.setattr(Head, "only", some)
    heard = validate(tiny_network, held_out, data, 0)
    for chosen, folds, _ in asked:
        assert all({held_out[member]} == folds for member in chosen)
    copies = heard.copies
    assert (copies.words, copies.others) == (3, 4)
    assert sum(len(stream.words) for stream in heard.words) == copies.words * len(data.positives)
    assert sum(count for _, _, count in asked) == copies.words * len(data.positives) + copies.others * len(data.negatives)
    assert tiny_network.head is everyone


def test_with_marked_lines_or_an_encoder_that_learns_one_fold_is_held_out_from_all(recipe, corpus):
    marked = prepare(recipe, lambda text: None)
    unmarked(corpus)
    free = prepare(recipe, lambda text: None)
    assert len(set(held_out_folds(HeadOnly(), marked))) == 1
    assert len(set(held_out_folds(AllLayers(), free))) == 1
    assert set(held_out_folds(HeadOnly(), free)) == {recording.fold for recording in free.positives} | {module.NO_FOLD}


def test_the_shipped_head_is_the_part_that_learned_from_all_folds(recipe, corpus):
    unmarked(corpus)
    held_out = held_out_folds(HeadOnly(), prepare(recipe, lambda text: None))
    shipped = shipped_members(held_out)
    assert len(shipped) == MEMBERS
    assert {held_out[member] for member in shipped} == {module.NO_FOLD}


def test_kinds_of_negatives_are_validated_on_by_name(recipe, corpus, tiny_network):
    unmarked(corpus)
    data = prepare(recipe, lambda text: None)
    held_out = held_out_folds(HeadOnly(), data)
    tiny_network.head = make_head("linear", tiny_network.head.input_size, members=len(held_out))
    heard = validate(tiny_network, held_out, data, 0)
    assert set(heard.others) == {"negatives", "negatives, noise", "negatives, rooms", "negatives, music"}
    hours = {round(sum(stream.hours for stream in streams), 6) for streams in heard.others.values()}
    assert len(hours) == 1
    parted = replace(data, negatives=data.negatives[::2], unlearned=data.negatives[1::2])
    heard = validate(tiny_network, held_out, parted, 0)
    assert {round(sum(stream.hours for stream in streams), 6) for streams in heard.others.values()} == hours


def test_of_many_negatives_some_are_validated_on_and_fewer_in_changed_conditions(recipe, corpus, tiny_network, monkeypatch):
    unmarked(corpus)
    data = prepare(recipe, lambda text: None)
    held_out = held_out_folds(HeadOnly(), data)
    tiny_network.head = make_head("linear", tiny_network.head.input_size, members=len(held_out))
    monkeypatch.setattr(module, "VALIDATED_SECONDS", 100.0)
    monkeypatch.setattr(module, "CHANGED_SECONDS", 10.0)
    heard = validate(tiny_network, held_out, data, 0)
    seconds = {name: sum(stream.seconds for stream in streams) for name, streams in heard.others.items()}
    changed = dict.fromkeys(("negatives, noise", "negatives, rooms", "negatives, music"), 80.0)
    assert seconds == pytest.approx({"negatives": 160.0, **changed})  # 20 s each
    assert heard.copies.others == pytest.approx(2.5)
