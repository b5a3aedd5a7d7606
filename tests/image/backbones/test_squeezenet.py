import pytest
import torch
from safetensors.torch import save_file

from speechtl.errors import WeightsError
from speechtl.image.backbones import load_backbone
from speechtl.image.backbones.squeezenet import PUBLISHED, SqueezeNet, build, load
from speechtl.transfer import cut


def test_it_has_torchvisions_key_names_and_its_number_of_weights():
    network = SqueezeNet()
    names = set(network.state_dict())
    assert {"features.0.weight", "features.3.squeeze.weight", "features.12.expand3x3.bias", "classifier.1.weight"} <= names
    assert len(names) == 52
    assert sum(weights.numel() for weights in network.parameters()) == 1_248_424  # torchvision's documentation


def test_the_groups_and_the_output_layer_together_are_the_whole_network():
    torch.manual_seed(0)
    whole = SqueezeNet().eval()
    from speechtl.image.backbones.squeezenet import source

    pixels = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    torch.testing.assert_close(source(whole).eval()(pixels), whole(pixels), rtol=0, atol=0)


@pytest.mark.parametrize(("keep", "size"), [("conv1", 96), ("fire5", 256), ("fire7", 384), ("fire9", 512)])
def test_it_can_be_cut_behind_every_group(keep, size):
    encoder = cut(build(), keep)
    assert encoder.info.embedding_size == size
    assert encoder(torch.zeros(1, 3, 48, 48, dtype=torch.uint8)).shape[1] == size


def test_weights_from_a_path_are_taken_whatever_their_precision(tmp_path):
    network = SqueezeNet()
    save_file({name: tensor.half() for name, tensor in network.state_dict().items()}, tmp_path / "w.safetensors")
    loaded = load_backbone("squeezenet", str(tmp_path / "w.safetensors"))
    first = loaded.encoder.groups["conv1"][1].weight
    assert first.dtype == torch.float32
    torch.testing.assert_close(first, network.features[0].weight, atol=1e-3, rtol=1e-3)


def test_weights_of_another_architecture_are_refused_with_the_keys_that_differ(tmp_path):
    weights = SqueezeNet(classes=10).state_dict()
    weights["features.1.weight"] = weights.pop("features.0.weight")
    save_file(weights, tmp_path / "w.safetensors")
    with pytest.raises(WeightsError) as caught:
        load(tmp_path / "w.safetensors")
    message = str(caught.value)
    for part in (
        "4 tensors differ",
        "'classifier.1.bias' (shape (10,) there, (1000,) here)",
        "'features.0.weight' (missing there)",
        "and 1 more",
    ):
        assert part in message


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no", b"\x80\x04garbage"])
@pytest.mark.parametrize("name", ["w.safetensors", "w.pth"])
def test_damaged_files_of_weights_are_refused(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsError, match=rf"{name} is damaged, or not a file of weights"):
        load(tmp_path / name)


def test_a_backbone_that_reads_no_files_says_so(tmp_path):
    with pytest.raises(WeightsError, match="'small' does not read weights from files"):
        load_backbone("small", str(tmp_path / "w.safetensors"))


def test_a_file_that_would_run_code_is_refused(tmp_path):
    class Run:
        def __reduce__(self):
            return (print, ("run",))

    torch.save({"features.0.weight": Run()}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match="damaged, or not a file of weights"):
        load(tmp_path / "w.pth")


def test_without_a_network_and_without_a_file_the_error_says_where_to_get_it(tmp_path, monkeypatch):
    import urllib.error
    import urllib.request

    def refuse(*arguments, **options):
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    monkeypatch.setenv("SPEECHTL_CACHE", str(tmp_path))
    monkeypatch.setenv("SPEECHTL_IMAGES", str(tmp_path))
    with pytest.raises(WeightsError, match=PUBLISHED.url):
        load()


@pytest.mark.slow
@pytest.mark.real
def test_the_public_weights_know_what_is_in_street_photographs(image_folder):
    from speechtl.runtime.pictures import PictureSettings, read_pixels

    names = (image_folder / "weights" / "imagenet_labels.txt").read_text().splitlines()[1:]  # the first is for another network's background
    network = load().eval()
    files = sorted((image_folder / "road").glob("*.jpg"))[::40]
    pixels = torch.stack([torch.from_numpy(read_pixels(path, PictureSettings())) for path in files])
    with torch.no_grad():
        found = {names[index] for row in network(pixels).topk(5).indices.tolist() for index in row}
    assert found & {"street sign", "traffic light, traffic signal, stoplight"}
