"""Structure against torchvision's own networks; contracts that every backbone must keep."""

import copy
import pickle

import pytest
import torch
import torchvision
from torch import nn

from repro.learning.backbones import NAMES, Backbone, build, load_torchvision

TORCHVISION = {"vgg16": "vgg16", "inception_v1": "googlenet", "resnet18": "resnet18", "resnet50": "resnet50"}
FEATURES = {"vgg16": 4096, "inception_v1": 1024, "resnet18": 512, "resnet50": 2048}
BATCH_NORMALISED = [name for name in NAMES if name != "vgg16"]


def reference(name: str, **options: object) -> nn.Module:
    """torchvision's network, with torchvision's weights drawn on the meta device only (no memory)."""
    if name == "googlenet":
        options |= {"aux_logits": False, "init_weights": False}
    with torch.device("meta"):
        return torchvision.models.get_model(name, weights=None, **options)


def without_head(network: nn.Module) -> nn.Module:
    if isinstance(network, torchvision.models.VGG):
        network.classifier[6] = nn.Identity()
    else:
        network.fc = nn.Identity()
    return network


def materialise(network: nn.Module, seed: int) -> nn.Module:
    """Give every parameter and statistic a random value, so that a missed one shows."""
    network.to_empty(device="cpu")
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if name.endswith("num_batches_tracked"):
                tensor.fill_(7)
            elif name.endswith("running_var"):
                tensor.uniform_(0.5, 1.5, generator=generator)
            else:
                tensor.normal_(std=0.05, generator=generator)
    return network


def n_parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def seeded(name: str, **options: object) -> Backbone:
    return build(name, generator=torch.Generator().manual_seed(3), **options)


def randn(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def test_names_are_the_papers_in_its_order():
    assert NAMES == ("vgg16", "inception_v1", "resnet18", "resnet50")


@pytest.mark.parametrize("name", NAMES)
def test_full_width_has_torchvisions_parameters(name):
    with torch.device("meta"):
        ours = {k: tuple(v.shape) for k, v in seeded(name).network.state_dict().items()}
    theirs = {k: tuple(v.shape) for k, v in without_head(reference(TORCHVISION[name])).state_dict().items()}
    assert ours == theirs


def test_published_parameter_counts_with_a_1000_class_head():
    # The counts torchvision publishes for its ImageNet weights.
    published = {
        "vgg16": 138_357_544,
        "inception_v1": 6_624_904,
        "resnet18": 11_689_512,
        "resnet50": 25_557_032,
    }
    for name, count in published.items():
        model = seeded(name)
        assert n_parameters(model) + (model.n_features + 1) * 1000 == count


@pytest.mark.parametrize("name", BATCH_NORMALISED)
def test_torchvision_weights_load_and_give_torchvisions_features(name):
    source = materialise(reference(TORCHVISION[name]), seed=1)
    model = seeded(name)
    load_torchvision(model, source.state_dict())
    images = randn(2, 3, 64, 48)
    with torch.no_grad():
        expected = without_head(source).eval()(images)
        # The same operations on the same numbers in the same order.
        torch.testing.assert_close(model.eval()(images), expected, rtol=0, atol=0)


@pytest.mark.parametrize(("theirs", "norm"), [("vgg16", None), ("vgg16_bn", "batch")])
def test_vgg_weights_load(theirs, norm):
    source = reference(theirs)
    model = seeded("vgg16", norm=norm)
    state = {key: torch.full(value.shape, 0.25) for key, value in source.state_dict().items() if "features" in key}
    state |= {
        f"classifier.{i}.{p}": model.network.state_dict()[f"classifier.{i}.{p}"] + 1
        for i in (0, 3)
        for p in ("weight", "bias")
    }
    state |= {"classifier.6.weight": torch.zeros(1000, 4096), "classifier.6.bias": torch.zeros(1000)}
    load_torchvision(model, state)
    loaded = model.network.state_dict()
    assert loaded.keys() == {key for key in source.state_dict() if not key.startswith("classifier.6")}
    assert all(torch.equal(loaded[key].float(), state[key].float()) for key in loaded if "tracked" not in key)


def test_googlenets_auxiliary_classifiers_are_left_out():
    with torch.device("meta"):
        source = torchvision.models.googlenet(weights=None, aux_logits=True, init_weights=False)
    state = materialise(source, seed=2).state_dict()
    assert any(key.startswith("aux1.") for key in state)
    model = seeded("inception_v1")
    load_torchvision(model, state)
    assert torch.equal(model.network.conv2.conv.weight, state["conv2.conv.weight"])


def test_old_state_dicts_without_batch_counters_load():
    state = materialise(reference("resnet18"), seed=1).state_dict()
    state = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    model = seeded("resnet18")
    load_torchvision(model, state)
    assert torch.equal(model.network.bn1.running_mean, state["bn1.running_mean"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 0.5}, "other shapes"),
        ({"stem": "small"}, r"conv1.weight \(64, 3, 7, 7\) instead of \(64, 3, 3, 3\)"),
        ({"in_channels": 1}, "other shapes"),
        ({"dims": 3}, "other shapes"),
    ],
)
def test_weights_that_do_not_fit_are_refused_and_nothing_is_loaded(options, message):
    model = seeded("resnet18", **options)
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(ValueError, match=message):
        load_torchvision(model, materialise(reference("resnet18"), seed=1).state_dict())
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_weights_of_another_network_are_refused():
    with pytest.raises(ValueError, match="misses layer1.0.bn3.bias"):
        load_torchvision(seeded("resnet50", width=1), reference("resnet18").state_dict())
    with pytest.raises(ValueError, match="has unknown"):
        load_torchvision(seeded("resnet18"), reference("resnet18").state_dict() | {"surplus": torch.zeros(1)})


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("name", NAMES)
def test_contract(name, dims):
    """Shape, differentiability, no mutation of the input, pickling."""
    model = seeded(name, dims=dims, width=0.125, in_channels=4)
    shape = (2, 4, 40, 32) if dims == 2 else (2, 4, 5, 40, 32)
    inputs = randn(*shape)
    kept = inputs.clone()
    features = model(inputs)
    assert model.n_features == FEATURES[name] // 8
    assert features.shape == (2, model.n_features) and features.dtype == torch.float32
    assert torch.equal(inputs, kept)
    features.square().sum().backward()
    for parameter in model.parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all()
    clone = pickle.loads(pickle.dumps(model))
    assert torch.equal(clone.eval()(inputs), model.eval()(inputs))


PYRAMID = {  # channels at full width, by stride
    ("vgg16", "imagenet"): {1: 64, 2: 128, 4: 256, 8: 512, 16: 512, 32: 512},
    ("vgg16", "small"): {1: 64, 2: 128, 4: 256, 8: 512, 16: 512, 32: 512},
    ("inception_v1", "imagenet"): {2: 64, 4: 192, 8: 480, 16: 832, 32: 1024},
    ("inception_v1", "small"): {2: 192, 4: 480, 8: 832, 16: 1024},
    ("resnet18", "imagenet"): {2: 64, 4: 64, 8: 128, 16: 256, 32: 512},
    ("resnet18", "small"): {2: 64, 4: 128, 8: 256, 16: 512},
    ("resnet50", "imagenet"): {2: 64, 4: 256, 8: 512, 16: 1024, 32: 2048},
    ("resnet50", "small"): {2: 256, 4: 512, 8: 1024, 16: 2048},
}


@pytest.mark.parametrize("size", [32, 64, 75])
@pytest.mark.parametrize(("name", "stem"), PYRAMID)
def test_the_pyramid_has_the_last_map_of_each_resolution(name, stem, size):
    model = seeded(name, width=0.25, stem=stem).eval()
    expected = PYRAMID[name, stem]
    assert model.levels == tuple((stride, channels // 4) for stride, channels in expected.items())
    with torch.no_grad():
        maps = model.pyramid(randn(2, 3, size, size))
    for (stride, channels), features in zip(model.levels, maps, strict=True):
        assert features.shape[:2] == (2, channels)
        assert size // stride <= features.shape[2] == features.shape[3] <= -(-size // stride)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("stem", ["imagenet", "small"])
@pytest.mark.parametrize("name", NAMES)
def test_the_pyramid_leads_to_the_features(name, stem, training):
    model = seeded(name, width=0.125, stem=stem).train(training)
    images, state = randn(2, 3, 64, 48), copy.deepcopy(model.state_dict())
    with torch.no_grad():
        torch.manual_seed(0)  # of dropout
        expected, statistics = model(images), copy.deepcopy(model.state_dict())
        model.load_state_dict(state)
        torch.manual_seed(0)
        # the same operations on the same numbers in the same order
        torch.testing.assert_close(model.pool(model.pyramid(images)[-1]), expected, rtol=0, atol=0)
    assert all(torch.equal(value, statistics[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize("name", NAMES)
def test_no_map_is_overwritten_and_gradients_reach_the_layers_before_it(name):
    model = seeded(name, width=0.125).eval()
    images = randn(2, 3, 64, 64)
    maps = model.pyramid(images)
    kept = [features.clone() for features in maps]
    pooled = model.pool(maps[-1])
    assert all(torch.equal(before, after) for before, after in zip(kept, maps, strict=True))
    reached = []
    for output in (*maps, pooled):
        gradients = torch.autograd.grad(
            output.square().sum(), list(model.parameters()), retain_graph=True, allow_unused=True
        )
        reached.append(sum(gradient is not None and bool(gradient.any()) for gradient in gradients))
    assert reached == sorted(reached) and len(set(reached)) >= len(maps), "each map has layers of its own"
    assert reached[-1] == len(list(model.parameters()))


def test_clips_have_a_pyramid_too():
    model = seeded("resnet18", dims=3, width=0.125).eval()
    clip = randn(1, 3, 8, 32, 32)
    with torch.no_grad():
        maps = model.pyramid(clip)
        assert torch.equal(model.pool(maps[-1]), model(clip))
    assert [features.shape[1] for features in maps] == [channels for _, channels in model.levels]


@pytest.mark.parametrize("size", [32, 33, 64, 100])
@pytest.mark.parametrize("stem", ["imagenet", "small"])
@pytest.mark.parametrize("name", NAMES)
def test_any_size_from_32_pixels(name, stem, size):
    model = seeded(name, width=0.125, stem=stem).eval()
    with torch.no_grad():
        assert torch.isfinite(model(randn(1, 3, size, size))).all()


@pytest.mark.parametrize("frames", [1, 2, 3, 4, 7, 16])
@pytest.mark.parametrize("name", NAMES)
def test_clips_of_any_length(name, frames):
    model = seeded(name, dims=3, width=0.125).eval()
    with torch.no_grad():
        assert model(randn(1, 3, frames, 32, 32)).shape == (1, model.n_features)


@pytest.mark.parametrize("name", NAMES)
def test_the_3d_network_is_the_2d_one_with_3d_filters(name):
    """One frame through filters that are zero off their middle frame gives the 2D network's features."""
    flat, deep = seeded(name, width=0.125), seeded(name, width=0.125, dims=3)
    state = deep.state_dict()
    for key, value in flat.state_dict().items():
        if value.ndim == 4:
            state[key].zero_()
            state[key][:, :, state[key].shape[2] // 2] = value
        else:
            state[key].copy_(value)
    images = randn(2, 3, 64, 64)
    with torch.no_grad():
        # float32 sums in another order: 1e-4 relative to features of order 1.
        torch.testing.assert_close(deep.eval()(images[:, :, None]), flat.eval()(images), rtol=1e-4, atol=1e-5)
    for layer in deep.modules():
        if isinstance(layer, (nn.Conv3d, nn.MaxPool3d)):
            for value in (layer.kernel_size, layer.stride, layer.padding):
                assert isinstance(value, int) or len(set(value)) == 1


def test_3d_features_depend_on_the_order_of_frames():
    model = seeded("resnet18", dims=3, width=0.125).eval()
    clip = randn(1, 3, 8, 32, 32)
    with torch.no_grad():
        assert not torch.allclose(model(clip), model(clip.flip(2)), rtol=1e-2)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("width", [0.5, 0.25])
def test_width_scales_every_hidden_channel(name, width):
    whole, part = seeded(name, width=1.0 if name != "vgg16" else 0.5), seeded(name, width=width)
    ratio = width if name != "vgg16" else width / 0.5
    for (key, full), (_, scaled) in zip(whole.state_dict().items(), part.state_dict().items(), strict=True):
        if full.ndim == 0:
            continue
        assert scaled.shape[0] == full.shape[0] * ratio, key
        if full.ndim > 1:
            assert scaled.shape[1] == (3 if full.shape[1] == 3 else full.shape[1] * ratio), key


@pytest.mark.parametrize(("stem", "cells"), [("imagenet", 2), ("small", 4)])
@pytest.mark.parametrize("name", BATCH_NORMALISED)
def test_small_stem_doubles_the_resolution(name, stem, cells):
    model = seeded(name, width=0.125, stem=stem).eval()
    seen: list[torch.Size] = []
    model.network.avgpool.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape))
    with torch.no_grad():
        model(randn(1, 3, 64, 64))
    assert seen[0][-2:] == (cells, cells)


@pytest.mark.parametrize("name", NAMES)
def test_initial_weights_follow_the_generator_alone(name):
    torch.manual_seed(11)
    before = torch.get_rng_state()
    first, second = seeded(name, width=0.125), seeded(name, width=0.125)
    other = build(name, width=0.125, generator=torch.Generator().manual_seed(4))
    assert torch.equal(torch.get_rng_state(), before)
    for (key, value), same, different in zip(
        first.state_dict().items(), second.state_dict().values(), other.state_dict().values(), strict=True
    ):
        assert torch.equal(value, same), key
        if value.ndim > 1:
            assert not torch.equal(value, different), key


def test_without_a_generator_torchs_own_is_used():
    torch.manual_seed(5)
    first = build("resnet18", width=0.125).network.conv1.weight
    second = build("resnet18", width=0.125).network.conv1.weight
    torch.manual_seed(5)
    assert torch.equal(build("resnet18", width=0.125).network.conv1.weight, first)
    assert not torch.equal(first, second)


@pytest.mark.parametrize("name", NAMES)
def test_initial_scale(name):
    """He's rule: standard deviation sqrt(2 / fan), within 5 % for tensors of 5,000 values or more."""
    for key, weight in seeded(name, width=0.25).state_dict().items():
        if weight.ndim > 1 and weight.numel() >= 5000:
            fan = weight.shape[1] if weight.ndim == 2 else weight.shape[0] * weight[0, 0].numel()
            assert float(weight.std()) == pytest.approx((2 / fan) ** 0.5, rel=0.05), key
        elif key.endswith(("bias", "running_mean", "num_batches_tracked")):
            assert not weight.any(), key
        elif weight.ndim == 1:
            assert (weight == 1).all(), key


def test_vgg_norm_and_dropout():
    assert not any(isinstance(m, nn.BatchNorm2d) for m in seeded("vgg16", width=0.125).modules())
    assert sum(isinstance(m, nn.BatchNorm2d) for m in seeded("vgg16", width=0.125, norm="batch").modules()) == 13
    rates = [m.p for m in seeded("vgg16", width=0.125, dropout=0.0).modules() if isinstance(m, nn.Dropout)]
    assert rates == [0.0, 0.0]
    assert seeded("inception_v1", width=0.125).network.dropout.p == 0.2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "resnet34"}, "unknown backbone 'resnet34'; known are vgg16"),
        ({"dims": 1}, "dims must be 2 or 3, got 1"),
        ({"width": 0}, "width must be positive"),
        ({"width": float("nan")}, "width must be positive"),
        ({"width": 0.3}, "width 0.3 makes 64 channels 19.2"),
        ({"stem": "tiny"}, "stem must be"),
        ({"norm": "layer"}, "norm must be"),
        ({"norm": "none"}, "batch-normalised by definition"),
        ({"dropout": 0.5}, "resnet18 has no dropout"),
        ({"dropout": 1.0}, r"\[0, 1\)"),
        ({"in_channels": 0}, "in_channels"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        build(**({"name": "resnet18"} | options))


@pytest.mark.parametrize(
    ("dims", "inputs", "message"),
    [
        (2, torch.zeros(3, 32, 32), r"takes \(B, C, H, W\), got shape \(3, 32, 32\)"),
        (3, torch.zeros(3, 3, 32, 32), r"takes \(B, C, T, H, W\)"),
        (2, torch.zeros(1, 1, 32, 32), "built for 3 channels"),
        (2, torch.zeros(1, 3, 31, 64), "at least 32 x 32 px"),
        (2, torch.zeros(1, 3, 32, 32, dtype=torch.uint8), "floating point, got torch.uint8"),
    ],
)
def test_bad_inputs(dims, inputs, message):
    model = seeded("resnet18", width=0.125, dims=dims)
    for compute in (model, model.pyramid):
        with pytest.raises(ValueError, match=message):
            compute(inputs)
