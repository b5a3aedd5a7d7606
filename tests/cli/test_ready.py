from speechtl.runtime import ready


def test_words_lists_the_first_lines_of_the_cards(call):
    assert call("words").stdout.splitlines() == [ready.summary(name) for name in ready.names()]


def test_words_shows_a_card(call):
    assert call("words", "alexa").stdout.rstrip() == ready.card("alexa").rstrip()


def test_an_unknown_ready_word_is_one_sentence(call):
    done = call("words", "alexia")
    assert (done.returncode, done.stdout) == (2, "")
    assert "did you mean 'alexa'?" in done.stderr
    assert len(done.stderr.splitlines()) == 1
