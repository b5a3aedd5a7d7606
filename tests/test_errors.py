import pytest

from speechtl.errors import CheckFailedError, RecipeError, StoppedError, reported


def raising(error):
    def main():
        raise error

    return main


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (RecipeError("The recipe is wrong."), 2, "The recipe is wrong.\n"),
        (CheckFailedError("It differs."), 1, "It differs.\n"),
        (PermissionError(13, "Permission denied", "/x/y"), 2, "Permission denied (/x/y).\n"),
        (StoppedError("Stopped. Go on with --resume."), 130, "Stopped. Go on with --resume.\n"),
        (KeyboardInterrupt(), 130, "Stopped.\n"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_program_that_is_stopped_says_why_in_a_sentence(error, code, message, capsys):
    assert reported(raising(error)) == code
    assert capsys.readouterr() == ("", message)


def test_a_program_that_does_its_work_ends_with_0_or_its_own_code_and_a_mistake_of_ours_keeps_its_traceback():
    assert reported(lambda: [1]) == 0
    assert reported(lambda: 3) == 3
    with pytest.raises(ZeroDivisionError):
        reported(lambda: 1 / 0)
