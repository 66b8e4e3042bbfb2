"""The network of the discriminator: the released layers, and files of weights that are read or refused."""

import pickle

import numpy as np
import pytest
import torch
from toy_mips import OPTIONS, toy_mips

from clickpet.errors import InputError
from clickpet.tracer.network import MIN_SIZE, TracerNet, load_discriminator, save_discriminator
from clickpet.tracer.training import constant_discriminator, train_discriminator
from clickpet.tracer.voting import find_tracer


@pytest.fixture(scope="module")
def trained():
    mips, is_psma = toy_mips(8, 0)
    stop_mips, stop_is_psma = toy_mips(4, 1)
    return train_discriminator(mips, is_psma, validation_mips=stop_mips, validation_is_psma=stop_is_psma, **OPTIONS)


def test_layers_are_the_released_ones():
    shapes = {name: tuple(tensor.shape) for name, tensor in TracerNet().state_dict().items()}
    weights = {
        "conv1": (8, 1, 8, 8),
        "conv2": (16, 8, 3, 3),
        "conv3": (32, 16, 3, 3),
        "conv4": (64, 32, 3, 3),
        "conv5": (128, 64, 3, 3),
        "conv6": (256, 128, 6, 6),
        "fc1": (128, 256),
        "fc2": (64, 128),
        "fc3": (16, 64),
        "fc4": (4, 16),
        "fc5": (1, 4),
    }
    expected = {f"{name}.weight": shape for name, shape in weights.items()}
    expected |= {f"{name}.bias": shape[:1] for name, shape in weights.items()}
    assert shapes == expected
    network = TracerNet()
    assert (network.conv1.stride, network.conv1.padding) == ((2, 2), (3, 3))
    for name in ("conv2", "conv3", "conv4", "conv5"):
        assert (getattr(network, name).stride, getattr(network, name).padding) == ((2, 2), (0, 0))
    assert (network.conv6.stride, network.conv6.padding) == ((1, 1), (0, 0))


def test_network_at_224_is_the_plain_sequence_of_its_layers():
    torch.manual_seed(0)
    network = TracerNet()
    values = mips = torch.rand(2, 1, 224, 224) * 20
    edges = []
    for name in ("conv1", "conv2", "conv3", "conv4", "conv5", "conv6"):
        values = torch.relu(getattr(network, name)(values))
        edges.append(values.shape[-1])
    assert edges == [112, 55, 27, 13, 6, 1]
    values = torch.flatten(values, start_dim=1)
    assert values.shape == (2, 256)
    for name in ("fc1", "fc2", "fc3", "fc4"):
        values = torch.relu(getattr(network, name)(values))
    values = torch.sigmoid(network.fc5(values))[:, 0]
    assert torch.equal(network(mips), values)


@pytest.mark.parametrize("size", [MIN_SIZE, 96, 150, 221, 222, 233, 260])
def test_other_sizes_give_256_features(size):
    features = TracerNet().features(torch.rand(1, 1, size, size))
    assert features.shape == (1, 256)
    assert features.std() > 0


@pytest.mark.parametrize("shape", [(MIN_SIZE - 1, MIN_SIZE - 1), (100, 90)])
def test_impossible_sizes_name_the_config_key(shape):
    with pytest.raises(InputError, match=r"tracer\.size"):
        find_tracer(np.zeros(shape, np.float32), [constant_discriminator("fdg")])


def test_smallest_size_is_the_smallest_that_works():
    TracerNet().features(torch.rand(1, 1, MIN_SIZE, MIN_SIZE))
    with pytest.raises(RuntimeError):
        TracerNet().features(torch.rand(1, 1, MIN_SIZE - 1, MIN_SIZE - 1))


def test_weights_survive_saving(tmp_path, trained):
    save_discriminator(tmp_path / "checkpoint.pth", trained[0])
    read = load_discriminator(tmp_path / "checkpoint.pth")
    assert all(torch.equal(tensor, trained[0][name]) for name, tensor in read.items())
    first = (tmp_path / "checkpoint.pth").read_bytes()
    save_discriminator(tmp_path / "checkpoint.pth", trained[0])
    assert (tmp_path / "checkpoint.pth").read_bytes() == first


class Hostile:
    def __reduce__(self):
        return (pytest.fail, ("code of the file was run",))


def test_files_that_are_no_weights_are_refused(tmp_path, trained):
    path = tmp_path / "checkpoint.pth"
    with pytest.raises(InputError, match="no such file"):
        load_discriminator(path)
    path.write_bytes(b"not a file of torch")
    with pytest.raises(InputError, match="no file of network weights"):
        load_discriminator(path)
    path.write_bytes(b"")
    with pytest.raises(InputError, match="no file of network weights"):
        load_discriminator(path)
    with path.open("wb") as file:
        pickle.dump(Hostile(), file)
    with pytest.raises(InputError, match="no file of network weights"):
        load_discriminator(path)
    torch.save({"weights": Hostile()}, path)
    with pytest.raises(InputError, match="no file of network weights"):
        load_discriminator(path)
    torch.save({name: tensor for name, tensor in trained[0].items() if not name.startswith("fc5")}, path)
    with pytest.raises(InputError, match="fc5"):
        load_discriminator(path)
    torch.save(trained[0] | {"conv1.weight": torch.zeros(8, 3, 8, 8)}, path)
    with pytest.raises(InputError, match=r"conv1\.weight"):
        load_discriminator(path)
    torch.save([1, 2], path)
    with pytest.raises(InputError, match="no tracer discriminator"):
        load_discriminator(path)
