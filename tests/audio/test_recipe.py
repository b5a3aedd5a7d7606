import shutil

import pytest

from speechtl.audio.encoders import conv_ctc, parts_of
from speechtl.audio.recipe import make_recipe, read_recipe
from speechtl.errors import RecipeError
from speechtl.transfer import save_tensors

SMALL = 'name = "word"\n[data]\npositives = ["p.jsonl"]\nnegatives = ["n.jsonl", "/far/n.jsonl"]\n'


def write(tmp_path, text: str):
    (tmp_path / "r.toml").write_text(text, encoding="utf-8")
    return tmp_path / "r.toml"


def test_everything_but_name_and_recordings_has_a_default(tmp_path):
    recipe = read_recipe(write(tmp_path, SMALL))
    assert recipe.transfer.encoder == "speech-embedding+conv-ctc"
    assert recipe.transfer.policy == "head"
    assert recipe.calibrate.false_accepts_per_hour == 0.3
    assert recipe.spoken == ["word"]


def test_paths_are_relative_to_the_recipe(tmp_path):
    recipe = read_recipe(write(tmp_path, SMALL + 'rooms = ["r.jsonl"]\n'))
    assert recipe.data.positives == [tmp_path / "p.jsonl"]
    assert [str(path) for path in recipe.data.negatives] == [str(tmp_path / "n.jsonl"), "/far/n.jsonl"]
    assert recipe.data.rooms == [tmp_path / "r.jsonl"]


def test_a_name_is_spoken_as_words(tmp_path):
    assert read_recipe(write(tmp_path, SMALL.replace("word", "Smart_mirror-on"))).spoken == ["smart mirror on"]
    assert read_recipe(write(tmp_path, 'phrases = ["hey you"]\n' + SMALL)).spoken == ["hey you"]


@pytest.mark.parametrize(
    ("change", "suggestion"),
    [
        ("[train]\nepoch = 3\n", "'train.epoch' is not known (did you mean 'epochs'?)"),
        ("[trian]\nepochs = 3\n", "'trian' is not known (did you mean 'train'?)"),
        ("[transfer]\nencoders = 'x'\n", "'transfer.encoders' is not known (did you mean 'encoder'?)"),
        ("[transfer]\nencoder = 'speech_embeding'\n", "did you mean 'speech-embedding'?"),
        ("[transfer]\nhead = 'covn'\n", "did you mean 'conv'?"),
        ("[train]\nprecision = 'bf16'\n", "did you mean 'bf16-mixed'?"),
        ("[transfer]\npolicy = 'tail'\n", "head, last:2 (any number), all, gradual"),
    ],
)
def test_what_is_unknown_suggests_the_nearest(tmp_path, change, suggestion):
    with pytest.raises(RecipeError) as caught:
        read_recipe(write(tmp_path, SMALL + change))
    assert suggestion in str(caught.value)


def test_every_wrong_key_and_value_is_in_one_message(tmp_path):
    text = 'nmae = "x"\n[data]\npositives = []\n[train]\nepochs = "many"\nsteps = 0\n[calibrate]\nfalse_accepts_per_hour = -1\n'
    with pytest.raises(RecipeError) as caught:
        read_recipe(write(tmp_path, text))
    message = str(caught.value)
    for part in (
        "r.toml",
        "'nmae'",
        "'name' is missing",
        "data.positives",
        "train.epochs",
        "'many'",
        "train.steps",
        "-1",
    ):
        assert part in message
    assert "\n" not in message
    assert "http" not in message


@pytest.mark.parametrize("name", ["", "two words", "../up", "a/b", ".hidden", "x" * 65])
def test_a_name_that_could_not_be_a_files_is_refused(tmp_path, name):
    with pytest.raises(RecipeError, match=r"'name': it must be at most 64 letters.*goes into the phrases \(--phrase\)"):
        read_recipe(write(tmp_path, SMALL.replace('"word"', f'"{name}"')))


@pytest.mark.parametrize("text", ["name = word", "[data", "\x00"])
def test_what_is_no_toml_is_refused(tmp_path, text):
    with pytest.raises(RecipeError, match="not valid TOML"):
        read_recipe(write(tmp_path, text))


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(RecipeError, match="does not exist"):
        read_recipe(tmp_path / "none.toml")
    with pytest.raises(RecipeError, match="is a folder"):
        read_recipe(tmp_path)


def test_rooms_are_simulated_none_or_manifests(tmp_path):
    assert read_recipe(write(tmp_path, SMALL + 'rooms = "none"\n')).data.rooms == "none"
    with pytest.raises(RecipeError, match='"simulated", "none" or a list'):
        read_recipe(write(tmp_path, SMALL + 'rooms = "large"\n'))


def test_single_keys_can_be_replaced(tmp_path):
    recipe = read_recipe(
        write(tmp_path, SMALL + "[train]\nepochs = 3\nsteps = 7\n"), {"train": {"epochs": 5}, "transfer": {"policy": "all"}}
    )
    assert (recipe.train.epochs, recipe.train.steps, recipe.transfer.policy) == (5, 7, "all")
    assert recipe.train.fit_settings().epochs == 5


def test_only_a_synthesised_word_needs_no_recordings_and_none_needs_negatives(tmp_path):
    given = {"name": "a", "data": {"synthesise": True}}
    recipe = make_recipe(given, base=tmp_path, source="here")
    assert (recipe.data.positives, recipe.data.negatives) == ([], [])
    with pytest.raises(RecipeError, match=r"The key 'data.positives' is missing"):
        make_recipe({"name": "a", "data": {"negatives": ["n"]}}, base=tmp_path, source="here")


def test_pronunciations_are_spoken_but_not_looked_for_in_texts(tmp_path):
    recipe = read_recipe(write(tmp_path, 'phrases = ["mar-vin", "/mɑːvɪn/"]\n' + SMALL))
    assert (recipe.spoken, recipe.pronounced) == (["mar-vin"], ["mar-vin", "/mɑːvɪn/"])
    only = read_recipe(write(tmp_path, 'phrases = ["/mɑːvɪn/"]\n' + SMALL))
    assert (only.spoken, only.pronounced) == (["word"], ["/mɑːvɪn/"])


def test_a_section_that_is_no_table_is_refused_in_words(tmp_path):
    with pytest.raises(RecipeError, match="train"):
        read_recipe(write(tmp_path, 'train = "long"\n' + SMALL), {"train": {"epochs": 5}})


@pytest.mark.parametrize(
    ("positives", "says"),
    [
        ([], "The list 'data.positives' is empty; give at least one manifest or folder"),
        ("a.jsonl", "'data.positives' must be a list of manifests or folders"),
        ([1], "'data.positives.0' must be the path of a manifest or a folder"),
    ],
)
def test_a_wrong_list_of_recordings_is_refused_in_words(tmp_path, positives, says):
    with pytest.raises(RecipeError, match=says):
        make_recipe({"name": "a", "data": {"positives": positives, "negatives": ["n"]}}, base=tmp_path, source="here")


def test_mining_needs_epochs_before_and_after_it(tmp_path):
    values = {"name": "a", "data": {"positives": ["p"], "mine": ["m"]}, "train": {"epochs": 2}}
    with pytest.raises(RecipeError, match=r"data\.mine needs 3 epochs.*train\.epochs is 2"):
        make_recipe(values, base=tmp_path, source="here")
    made = make_recipe(values | {"train": {"epochs": 3}}, base=tmp_path, source="here")
    assert made.data.mine == [tmp_path / "m"]


def test_values_checked_are_those_given(tmp_path):
    with pytest.raises(RecipeError, match=r"negative_minutes.*given: -2"):
        make_recipe({"name": "a", "data": {"positives": ["p"], "negatives": ["n"], "negative_minutes": -2}}, base=tmp_path, source="here")


@pytest.mark.parametrize("name", ["computer", "jarvis", "smart_mirror", "alexa"])
def test_the_recipes_of_the_project_are_right_and_their_manifests_are_there(name, request):
    recipe = read_recipe(request.config.rootpath / "training" / "recipes" / "words" / f"{name}.toml")
    assert recipe.name == name
    for paths in (recipe.data.positives, recipe.data.negatives, recipe.data.noise):
        assert all(path.is_file() for path in paths)


def test_networks_of_torchaudio_are_encoders_with_and_without_the_sum_of_their_layers(tmp_path):
    for name in ("torchaudio:HUBERT_BASE", "torchaudio:WAV2VEC2_ASR_BASE_960H+layers"):
        assert read_recipe(write(tmp_path, SMALL + f"[transfer]\nencoder = '{name}'\n")).transfer.encoder == name
    with pytest.raises(RecipeError, match="did you mean 'torchaudio:WAVLM_BASE'"):
        read_recipe(write(tmp_path, SMALL + "[transfer]\nencoder = 'torchaudio:WAFLM_BASE'\n"))


def test_layers_are_trained_of_one_encoder(tmp_path):
    path = write(tmp_path, SMALL)
    assert read_recipe(path, {"transfer": {"policy": "last:2"}}).transfer.encoder == "speech-embedding"
    assert read_recipe(path, {"transfer": {"encoder": "conv-ctc", "policy": "all"}}).transfer.encoder == "conv-ctc"
    with pytest.raises(RecipeError, match=r"combines encoders, which stay frozen.*'last:2'"):
        read_recipe(path, {"transfer": {"encoder": "speech-embedding+conv-ctc", "policy": "last:2"}})


def test_weights_of_ones_own_are_named_by_their_file_from_the_recipe_on(tmp_path):
    folder = tmp_path / "c++"  # a path may have any sign
    folder.mkdir()
    shutil.copy(conv_ctc.WEIGHTS / "conv-ctc-tiny.safetensors", folder / "own.safetensors")
    for encoder in ("conv-ctc-tiny:own.safetensors", "speech-embedding+conv-ctc-tiny:own.safetensors"):
        recipe = read_recipe(write(folder, SMALL + f"[transfer]\nencoder = '{encoder}'\n"))
        assert recipe.transfer.encoder == encoder.replace(":", f":{folder}/")
    assert parts_of(recipe.transfer.encoder) == ["speech-embedding", f"conv-ctc-tiny:{folder}/own.safetensors"]


def test_a_file_that_holds_no_such_weights_is_refused_with_the_recipe(tmp_path):
    def refused(encoder: str, message: str) -> None:
        with pytest.raises(RecipeError, match=message):
            read_recipe(write(tmp_path, SMALL), {"transfer": {"encoder": encoder}})

    shutil.copy(conv_ctc.WEIGHTS / "conv-ctc-tiny.safetensors", tmp_path / "tiny.safetensors")
    (tmp_path / "text.safetensors").write_text("no weights")
    tensors = conv_ctc.load("conv-ctc-tiny").state_dict()
    save_tensors(tmp_path / "list.safetensors", tensors, [1])
    save_tensors(tmp_path / "odd.safetensors", tensors, {"hours": "many"})
    save_tensors(tmp_path / "whole.safetensors", {f"encoder.{name}": values for name, values in tensors.items()}, {})
    for path in ("gone.safetensors", tmp_path / "gone.safetensors"):
        refused(f"conv-ctc:{path}", rf"{tmp_path}/gone\.safetensors does not exist or is not a file")
    refused("conv-ctc:", r"'conv-ctc:' is not known.*conv-ctc:FILE")
    refused("+conv-ctc:tiny.safetensors", "a name is missing")
    refused("conv-ctc:tiny.safetensors", r"weights of conv-ctc-tiny; write conv-ctc-tiny:FILE")
    refused("conv-ctc-tiny:text.safetensors", "damaged or not a checkpoint")
    refused("conv-ctc-tiny:list.safetensors", "damaged or not a checkpoint")
    refused("conv-ctc-tiny:odd.safetensors", r"damaged: its hours are 'many'")
    refused("conv-ctc-tiny:whole.safetensors", r"use the encoder\.safetensors in the same folder")


@pytest.mark.parametrize(
    ("encoder", "says"),
    [
        ("conv-ctc+conv-ctc", "twice"),
        ("conv-ctc+conv-ctc:own.safetensors", "twice"),
        ("conv-ctc+torchaudio:HUBERT_BASE", "use it alone"),
        ("conv-ctc+", "encoder"),
    ],
)
def test_what_cannot_stand_side_by_side_is_refused_with_the_recipe(tmp_path, encoder, says):
    with pytest.raises(RecipeError, match=says):
        read_recipe(write(tmp_path, SMALL), {"transfer": {"encoder": encoder}})
