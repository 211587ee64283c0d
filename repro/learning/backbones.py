"""The paper's four networks, VGG16, Inception-V1, ResNet-18 and ResNet-50, in 2D and 3D and at any width.

Each network is torchvision's own, rebuilt layer by layer: channels are multiplied by ``width`` and, for
``dims=3``, every 2D filter is replaced by the 3D filter whose temporal kernel, stride and padding equal the
spatial ones. That is the paper's comparison of Table 3 taken literally, and it keeps torchvision's parameter
names, so that published weights load (`load_torchvision`).

There is no classifier here. A backbone ends at pooled features; what is trained on them (the "last fully
connected layer" whose output the paper calls the representation, or the pain levels) is a linear head that
belongs to the task.

* ``vgg16``: Simonyan & Zisserman 2015, configuration D. Its two 4096-wide fully connected layers are part of
  the network, as in the count of layers that names it, and are scaled by ``width`` like the others. The last
  feature maps are averaged to 7 x 7 before them (1 x 7 x 7 in 3D, so that these layers keep their 2D size).
* ``inception_v1``: Szegedy et al. 2015, batch-normalised after Ioffe & Szegedy 2015, without the auxiliary
  classifiers. As in torchvision's GoogLeNet the "5 x 5" branches have 3 x 3 filters.
* ``resnet18``, ``resnet50``: He et al. 2016; a bottleneck's stride sits on its 3 x 3 filter.
"""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache, partial
from types import ModuleType
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

MIN_SIZE = 32
"""Smallest height and width in pixels: VGG16 halves the image five times."""

_RGB = 3


@dataclass(frozen=True)
class _Options:
    """The choices that change a network's layers before they are scaled."""

    stem: str
    norm: str | None
    dropout: float | None


class Level(NamedTuple):
    """A feature map of a pyramid: how many pixels lie between its points, and its number of channels."""

    stride: int
    channels: int


class Backbone(nn.Module):
    """A network without its classifier: images or clips to pooled features.

    Use `build`; this class adds to torchvision's network what a task needs to know about it.

    Attributes
    ----------
    name : str
        The entry of `NAMES`.
    dims : int
        2 for images, 3 for clips.
    in_channels : int
        Channels of the input.
    n_features : int
        Length of the feature vector.
    levels : tuple of Level
        Strides and channels of the maps that `pyramid` returns.
    network : torch.nn.Module
        torchvision's network, its last fully connected layer replaced by the identity.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        name: str,
        dims: int,
        in_channels: int,
        n_features: int,
        levels: tuple[Level, ...],
    ) -> None:
        super().__init__()
        self.name = name
        self.dims = dims
        self.in_channels = in_channels
        self.n_features = n_features
        self.levels = levels
        self.network = network

    def forward(self, inputs: Tensor) -> Tensor:
        """Compute the features of a batch.

        Parameters
        ----------
        inputs : Tensor, shape (B, C, H, W) for ``dims=2`` or (B, C, T, H, W) for ``dims=3``
            Floating point, already normalised by the caller; H, W >= 32 pixels, T >= 1 frames.

        Returns
        -------
        Tensor, shape (B, n_features)

        Raises
        ------
        ValueError
            For another rank, number of channels or type, or for inputs below 32 pixels.
        """
        self._check(inputs)
        return self.network(inputs)

    def pyramid(self, inputs: Tensor) -> tuple[Tensor, ...]:
        """Compute the last feature map of each resolution, for tasks that tell something of every point.

        `pool` of the coarsest gives what `forward` gives.

        ============  =======================================  =======================================
        network       strides, ``stem="imagenet"``             strides, ``stem="small"``
        ============  =======================================  =======================================
        vgg16         1, 2, 4, 8, 16, 32 (the last is pooled)  the same
        inception_v1  2, 4, 8, 16, 32                          2, 4, 8, 16
        resnet18, 50  2, 4, 8, 16, 32                          2, 4, 8, 16
        ============  =======================================  =======================================

        Parameters
        ----------
        inputs : Tensor
            As for `forward`.

        Returns
        -------
        tuple of Tensor, shapes (B, channels, h, w) for ``dims=2`` or (B, channels, t, h, w) for ``dims=3``
            Fine to coarse, one for each of `levels`; h and w are the input's height and width over the stride, rounded
            up or down as the network's layers do.

        Raises
        ------
        ValueError
            As by `forward`.
        """
        self._check(inputs)
        return _pyramid(self.network, inputs)

    def pool(self, coarsest: Tensor) -> Tensor:
        """Compute the features from the coarsest map: pooling, then VGG16's fully connected layers, and dropout.

        Parameters
        ----------
        coarsest : Tensor
            The last of `pyramid`.

        Returns
        -------
        Tensor, shape (B, n_features)
        """
        features = torch.flatten(self.network.avgpool(coarsest), 1)  # type: ignore[operator]
        for layer in _parts(self.network)[1]:
            features = layer(features)
        return features

    def _check(self, inputs: Tensor) -> None:
        layout = "(B, C, H, W)" if self.dims == 2 else "(B, C, T, H, W)"
        if inputs.ndim != self.dims + 2:
            raise ValueError(f"{self.name} in {self.dims}D takes {layout}, got shape {tuple(inputs.shape)}")
        if inputs.shape[1] != self.in_channels:
            raise ValueError(
                f"{self.name} was built for {self.in_channels} channels in {layout}, got {inputs.shape[1]}"
                f" in shape {tuple(inputs.shape)}"
            )
        if min(inputs.shape[-2:]) < MIN_SIZE:
            size = f"{MIN_SIZE} x {MIN_SIZE} px"
            raise ValueError(f"{self.name} needs at least {size}, got shape {tuple(inputs.shape)}")
        if not inputs.is_floating_point():
            raise ValueError(f"{self.name} takes floating point, got {inputs.dtype}: normalise the images")


class ShortClipMaxPool3d(nn.MaxPool3d):
    """Max pooling that takes all frames there are when a clip is shorter than the temporal kernel.

    Pooling by 32 in time would otherwise forbid clips below 32 frames; convolutions need no such care because
    they are padded.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Pool (B, C, T, H, W); for T + 2 padding >= kernel this is `torch.nn.MaxPool3d`."""
        kernel, padding = _tuple(self.kernel_size, 3), _tuple(self.padding, 3)
        frames = min(kernel[0], input.shape[2] + 2 * padding[0])
        return nn.functional.max_pool3d(
            input, (frames, *kernel[1:]), self.stride, padding, self.dilation, self.ceil_mode
        )


def build(
    name: str,
    *,
    dims: int = 2,
    width: float = 1.0,
    in_channels: int = 3,
    stem: str = "imagenet",
    norm: str | None = None,
    dropout: float | None = None,
    generator: torch.Generator | None = None,
) -> Backbone:
    """Build one of the paper's networks with fresh weights.

    Parameters
    ----------
    name : str
        One of `NAMES`.
    dims : {2, 3}
        3 replaces each 2D filter by a 3D filter: temporal kernel and stride equal the spatial ones. Clips of
        any length >= 1 are accepted: convolutions are padded and `ShortClipMaxPool3d` pools what there is.
    width : float
        Multiplier of all channel counts. Multiples of 1/8 fit every network; a width that gives some layer a
        fractional number of channels is an error, because rounding would hide which network was run.
    in_channels : int
        Channels of the input.
    stem : {"imagenet", "small"}
        ``"small"``, for inputs of about 64 px: a 3 x 3 stem with stride 2 and no pooling after it, so that
        twice the resolution reaches the first block (about 2.5 to 3 times the computation). VGG16 has no
        strided stem and is the same network under both.
    norm : {None, "batch", "none"}
        ``None`` is the network's own: none for VGG16, batch normalisation for the others. ``"batch"`` gives
        VGG16 batch normalisation, which it needs when trained from scratch on little data; ``"none"`` is
        accepted for VGG16 only.
    dropout : float, optional
        Dropout of VGG16's fully connected layers (its own: 0.5) or of Inception-V1's features (its own: 0.2).
        ResNets have none, so only 0 is accepted there.
    generator : torch.Generator, optional
        Source of the initial weights; the global generator is then neither read nor advanced. None draws from
        torch's global generator, as any torch module does.

    Returns
    -------
    Backbone
        In training mode, on the CPU, float32. Convolutions: He et al. 2015, normal, fan-out; fully connected
        layers: the same with fan-in; biases 0; batch normalisation 1 and 0.

    Raises
    ------
    ValueError
        For an unknown name or option, or a width that does not fit.
    """
    options = _Options(stem, norm, dropout)
    _check_options(name, dims, width, in_channels, options)
    plan = _plan(name, dims, width, in_channels, options)
    network = copy.deepcopy(plan.network).to_empty(device="cpu")
    _initialize(network, generator)
    return Backbone(
        network,
        name=name,
        dims=dims,
        in_channels=in_channels,
        n_features=plan.n_features,
        levels=plan.levels,
    )


class _Plan(NamedTuple):
    """A network without weights, on the meta device."""

    network: nn.Module
    n_features: int
    levels: tuple[Level, ...]


@lru_cache(maxsize=64)
def _plan(name: str, dims: int, width: float, in_channels: int, options: _Options) -> _Plan:
    """Plan a network; a copy takes a fifth of the time."""
    # On the meta device neither memory nor random numbers are spent on layers that are about to be replaced.
    with torch.device("meta"):
        network, n_features = _NETWORKS[name](options)
        _rebuild(network, dims=dims, width=width, in_channels=in_channels)
        levels = _levels(network, dims=dims, in_channels=in_channels)
    return _Plan(network, _scaled(n_features, width), levels)


def load_torchvision(model: Backbone, state_dict: Mapping[str, Tensor]) -> None:
    """Load weights of torchvision's ``vgg16``, ``vgg16_bn``, ``googlenet``, ``resnet18`` or ``resnet50``.

    Users hold ImageNet weights, and VGGFace2 weights trained with torchvision's definitions, in this form.
    The classifier and GoogLeNet's auxiliary classifiers are left out: a backbone has none. Note that
    torchvision's ImageNet weights for GoogLeNet expect images normalised with mean 0.5 and standard deviation
    0.5; those for the other networks expect mean (0.485, 0.456, 0.406) and standard deviation
    (0.229, 0.224, 0.225).

    Parameters
    ----------
    model : Backbone
        Built with ``dims=2, width=1, in_channels=3, stem="imagenet"`` and, for ``vgg16_bn``,
        ``norm="batch"``. Changed in place.
    state_dict : mapping of str to Tensor

    Raises
    ------
    ValueError
        When names or shapes differ from the model's; nothing has been loaded then.
    """
    heads = ("fc.", "classifier.6.", "aux1.", "aux2.")
    given = {key: value for key, value in state_dict.items() if not key.startswith(heads)}
    expected = model.network.state_dict()
    # Files from before PyTorch 0.4.1 lack the counters, which play no part in inference.
    missing = sorted(k for k in expected.keys() - given.keys() if not k.endswith("num_batches_tracked"))
    unknown = sorted(given.keys() - expected.keys())
    differing = sorted(
        f"{key} {tuple(given[key].shape)} instead of {tuple(expected[key].shape)}"
        for key in given.keys() & expected.keys()
        if given[key].shape != expected[key].shape
    )
    for problem, names in (("misses", missing), ("has unknown", unknown), ("has other shapes:", differing)):
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            raise ValueError(
                f"the state dict does not fit {model.name}: it {problem} {', '.join(names[:3])}{more}. It"
                " must come from torchvision's network of that name, and the model from build(name), dims=2,"
                " width=1, in_channels=3, stem='imagenet' (norm='batch' for vgg16_bn)"
            )
    model.network.load_state_dict(given, strict=False)


def _torchvision_models() -> ModuleType:
    """Import torchvision's networks, which takes longer than importing PyTorch: at the first one that is built."""
    from torchvision import models

    return models


def _vgg16(options: _Options) -> tuple[nn.Module, int]:
    models = _torchvision_models()
    make = models.vgg16_bn if options.norm == "batch" else models.vgg16
    dropout = 0.5 if options.dropout is None else options.dropout
    network = make(weights=None, init_weights=False, dropout=dropout)
    n_features = network.classifier[6].in_features
    network.classifier[6] = nn.Identity()
    return network, n_features


def _inception_v1(options: _Options) -> tuple[nn.Module, int]:
    _refuse_no_norm("inception_v1", options)
    dropout = 0.2 if options.dropout is None else options.dropout
    network = _torchvision_models().googlenet(weights=None, aux_logits=False, init_weights=False, dropout=dropout)
    if options.stem == "small":
        network.conv1.conv = _small_stem()
        network.maxpool1 = nn.Identity()
    n_features = network.fc.in_features
    network.fc = nn.Identity()
    return network, n_features


def _resnet(options: _Options, name: str) -> tuple[nn.Module, int]:
    _refuse_no_norm(name, options)
    if options.dropout:
        raise ValueError(f"{name} has no dropout, got dropout={options.dropout}")
    network = getattr(_torchvision_models(), name)(weights=None)
    if options.stem == "small":
        network.conv1 = _small_stem()
        network.maxpool = nn.Identity()
    n_features = network.fc.in_features
    network.fc = nn.Identity()
    return network, n_features


_NETWORKS: dict[str, Callable[[_Options], tuple[nn.Module, int]]] = {
    "vgg16": _vgg16,
    "inception_v1": _inception_v1,
    "resnet18": partial(_resnet, name="resnet18"),
    "resnet50": partial(_resnet, name="resnet50"),
}

NAMES: tuple[str, ...] = tuple(_NETWORKS)
"""The networks in the order of the paper's Table 3."""


def _check_options(name: str, dims: int, width: float, in_channels: int, options: _Options) -> None:
    if name not in _NETWORKS:
        raise ValueError(f"unknown backbone {name!r}; known are {', '.join(NAMES)}")
    if dims not in (2, 3):
        raise ValueError(f"dims must be 2 or 3, got {dims!r}")
    if in_channels < 1:
        raise ValueError(f"in_channels must be at least 1, got {in_channels}")
    if not 0 < width < float("inf"):
        raise ValueError(f"width must be positive and finite, got {width}")
    if options.stem not in ("imagenet", "small"):
        raise ValueError(f"stem must be 'imagenet' or 'small', got {options.stem!r}")
    if options.norm not in (None, "batch", "none"):
        raise ValueError(f"norm must be None, 'batch' or 'none', got {options.norm!r}")
    if options.dropout is not None and not 0 <= options.dropout < 1:
        raise ValueError(f"dropout must lie in [0, 1), got {options.dropout}")


def _refuse_no_norm(name: str, options: _Options) -> None:
    if options.norm == "none":
        raise ValueError(f"{name} is batch-normalised by definition; norm='none' is offered for vgg16 only")


def _small_stem() -> nn.Conv2d:
    return nn.Conv2d(_RGB, 64, kernel_size=3, stride=2, padding=1, bias=False)


def _rebuild(network: nn.Module, *, dims: int, width: float, in_channels: int) -> None:
    """Replace every layer that has a channel count or a spatial extent by its counterpart, in place."""
    for parent in list(network.modules()):
        for name, layer in list(parent.named_children()):
            counterpart = _counterpart(layer, dims, width, in_channels)
            if counterpart is not None:
                setattr(parent, name, counterpart)


def _counterpart(layer: nn.Module, dims: int, width: float, in_channels: int) -> nn.Module | None:
    """Return the layer at another width and number of dimensions, or None for a layer that has neither."""
    if isinstance(layer, nn.Conv2d):
        # Only the first layer of each network takes 3 channels: the image's, which no width scales.
        inputs = in_channels if layer.in_channels == _RGB else _scaled(layer.in_channels, width)
        conv: type[nn.Conv2d] | type[nn.Conv3d] = nn.Conv2d if dims == 2 else nn.Conv3d
        return conv(
            inputs,
            _scaled(layer.out_channels, width),
            kernel_size=layer.kernel_size[0],
            stride=layer.stride[0],
            padding=int(layer.padding[0]),
            bias=layer.bias is not None,
        )
    if isinstance(layer, nn.BatchNorm2d):
        norm = nn.BatchNorm2d if dims == 2 else nn.BatchNorm3d
        return norm(_scaled(layer.num_features, width), eps=layer.eps, momentum=layer.momentum)
    if isinstance(layer, nn.Linear):
        return nn.Linear(_scaled(layer.in_features, width), _scaled(layer.out_features, width))
    if dims == 3 and isinstance(layer, nn.MaxPool2d):
        return ShortClipMaxPool3d(
            layer.kernel_size, layer.stride, layer.padding, layer.dilation, ceil_mode=layer.ceil_mode
        )
    if dims == 3 and isinstance(layer, nn.AdaptiveAvgPool2d):
        return nn.AdaptiveAvgPool3d((1, *layer.output_size))  # type: ignore[misc]
    return None


def _parts(network: nn.Module) -> tuple[list[nn.Module], list[nn.Module]]:
    """Return the layers before and after the pooling of the last map, in order."""
    children = dict(network.named_children())
    pooling = list(children).index("avgpool")
    layers = list(children.values())
    before = [part for layer in layers[:pooling] for part in (layer if isinstance(layer, nn.Sequential) else [layer])]
    return before, layers[pooling + 1 :]


def _pyramid(network: nn.Module, inputs: Tensor) -> tuple[Tensor, ...]:
    """Return the last map of each resolution: what stands before a layer that changes it, and what comes out."""
    maps: list[Tensor] = []
    current = inputs
    for layer in _parts(network)[0]:
        following = layer(current)
        if current is not inputs and following.shape[-2:] != current.shape[-2:]:
            maps.append(current)
        current = following
    return (*maps, current)


def _levels(network: nn.Module, *, dims: int, in_channels: int) -> tuple[Level, ...]:
    """Follow shapes through a network on the meta device."""
    side = 2 * MIN_SIZE  # a power of two, so that strides are exact; the coarsest map keeps 2 x 2 points to normalise
    with torch.no_grad():
        maps = _pyramid(network, torch.empty(2, in_channels, *(side,) * dims, device="meta"))
    return tuple(Level(side // features.shape[-1], features.shape[1]) for features in maps)


def _scaled(channels: int, width: float) -> int:
    """Return ``channels * width``, which must be a whole number."""
    scaled = channels * Fraction(width).limit_denominator(4096)
    if scaled.denominator != 1:
        raise ValueError(f"width {width} makes {channels} channels {float(scaled):g}: use a multiple of 1/8")
    return int(scaled)


def _tuple(value: int | tuple[int, ...], length: int) -> tuple[int, ...]:
    return (value,) * length if isinstance(value, int) else tuple(value)


def _initialize(network: nn.Module, generator: torch.Generator | None) -> None:
    """Set every parameter and buffer, in the order of the network's layers."""
    for layer in network.modules():
        if isinstance(layer, (nn.Conv2d, nn.Conv3d, nn.Linear)):
            # Fan-in keeps the activations' variance where 7 x 7 maps meet a fully connected layer.
            mode: Literal["fan_in", "fan_out"] = "fan_in" if isinstance(layer, nn.Linear) else "fan_out"
            nn.init.kaiming_normal_(layer.weight, mode=mode, nonlinearity="relu", generator=generator)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, (nn.BatchNorm2d, nn.BatchNorm3d)):
            layer.reset_parameters()
