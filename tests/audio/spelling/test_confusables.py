"""Words that sound like a phrase."""

import pytest

from speechtl.audio.pretraining.phones import PHONES
from speechtl.audio.spelling import confusables
from speechtl.audio.spelling.confusables import dictionary, nearest, phone_costs

pytest.importorskip("espeakng_loader")
WORDS = ["commuter", "compute", "garden", "computers", "pewter", "tomorrow", "banana"]


def test_the_nearest_words_come_first_and_unrelated_ones_not_at_all():
    texts = [one.text for one in nearest(["computer"], 3, WORDS)]
    assert set(texts) == {"commuter", "compute", "pewter"}
    assert texts[-1] == "pewter"


def test_what_contains_the_phrase_or_sounds_the_same_is_no_confusable():
    assert not {"computers", "computer"} & {one.text for one in nearest(["computer"], 8, [*WORDS, "computer"])}
    assert [one.text for one in nearest(["sheila"], 3, ["sheela", "sheelah"])] == []


def test_of_a_phrase_one_word_is_replaced_or_left_out():
    texts = {one.text for one in nearest(["hey marvin"], 8, ["hay", "hate", "martin", "banana", "hey"])}
    assert {"marvin", "hey", "hate marvin", "hey martin"} <= texts
    assert not any("banana" in text for text in texts)


def test_there_are_none_in_another_language_and_for_a_pronunciation():
    assert nearest(["你好小智", "/mɑːvɪn/"], 8, WORDS) == []


def test_similar_phones_cost_less_than_different_ones():
    costs = phone_costs()
    cost = {(one, other): costs[PHONES.index(one), PHONES.index(other)] for one in PHONES for other in PHONES}
    assert all(cost[one, one] == 0.0 for one in PHONES)
    assert cost["P", "B"] < cost["P", "K"] < cost["P", "L"]
    assert cost["IY", "IH"] < cost["IY", "AA"] <= cost["IY", "S"] == 1.0


def test_the_lexicon_of_festival_is_read_and_other_words_are_looked_up_once(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SPEECHTL_CACHE", str(tmp_path))
    (tmp_path / "lexicon.out").write_text('MNCL\n("kemble" nil (((k eh m) 1) ((b ax l) 0)))\n("a" dt (((ax) 0)))\n')
    monkeypatch.setattr(confusables, "LEXICON", tmp_path / "lexicon.out")
    monkeypatch.setattr(confusables, "WORD_LISTS", ())
    monkeypatch.setattr(confusables, "_own_words", lambda: {"garden", "kemble"})
    for _ in range(2):
        assert dictionary() == {"kemble": ["K", "EH", "M", "B", "AH", "L"], "garden": ["G", "AA", "R", "D", "AH", "N"]}
    assert capsys.readouterr().err.count("Looking up how 1 words are said") == 1
