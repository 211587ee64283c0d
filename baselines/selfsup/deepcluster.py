"""Deep clustering: learn to predict clusters of the network's own features, and cluster again.

Caron, Bojanowski, Joulin and Douze, "Deep clustering for unsupervised learning of visual features", ECCV 2018. Before
each epoch the features of all training images, as they are, are reduced to 256 dimensions by PCA, whitened,
L2-normalised, and clustered by k-means. The clusters are the labels of the epoch, in which the network classifies
augmented images.

From the authors' code: features are taken in evaluation mode, k-means makes 20 iterations from a fresh seed and splits
large clusters where others are empty, batches draw the clusters that have images equally often, the classifier begins
anew with weights of N(0, 0.01^2), the optimiser is SGD with a constant learning rate of 0.05, momentum of 0.9 and
weight decay of 1e-5, and clusters may be kept for several epochs. Ours:

* The number of clusters is a hundredth of the number of images and at least 50; the paper has 10,000 for 1.3 million.
* Images are not turned into edges by Sobel filters, which keep the paper's clusters from being those of colour. The
  colours of a distilled image tell of motion, and the filters would destroy them. In plain frames colour stays a cue,
  and so does who is seen: ``nmi_subjects`` tells how far clusters are people.
* The features are the backbone's. VGG16 ends like the paper's networks, in two fully connected layers with ReLU and
  dropout, and the others in pooled maps; on either the classifier is one layer. The paper computes the features that it
  clusters without the last ReLU. A pooled map has none that could be left out, so it stays for all.
* The whole network has one optimiser; the classifier has momentum until it begins anew, which the authors' never has.
* A batch's images are drawn independently of each other, with replacement, where the authors' code shuffles a list in
  which all clusters are equally long.

Trivial solutions that are closed: empty clusters (split), all images in one cluster (drawn equally often, so that a
constant answer is no better than another), a classifier that lags behind its labels (begun anew without momentum).
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from baselines.selfsup.clustering import Whitening, fit_whitening, kmeans, nearest, normalized_mutual_information
from repro.data.stored_images import StoredImages
from repro.learning.augmentation import Augmentation, to_network
from repro.learning.pretext import Accuracy, PretextPool, PretextTask

__all__ = ["DeepCluster"]

_FEWEST_CLUSTERS = 50
_IMAGES_PER_CLUSTER = 100

_EVALUATED_IMAGES = 800
"""Held-out images, each of which is seen twice."""

_CHUNK = 128
"""Images whose features are computed at a time."""

_HEAD_DEVIATION = 0.01

_MEASURES = ("nmi_previous", "nmi_subjects", "empty_clusters", "largest_cluster", "dimensions")
"""What is logged of a clustering."""


class _ClusterNetwork(nn.Module):
    """A backbone, a classifier of clusters, and the last clustering with the backbone that it was made by.

    The number of images and of clusters is known from the first clustering on; before, what depends on it has a length
    of zero. Loading a state restores those lengths.

    Attributes
    ----------
    backbone, teacher : nn.Module
        The network that is trained, and a frozen copy of it from when images were clustered.
    weight, bias : Parameter, (k, F) and (k,)
        The classifier.
    assignment : Tensor, (N,) int64
        The cluster of each training image.
    mean, projection : Tensor, (F,) and (F, d)
        PCA and whitening of the teacher's features.
    centroids : Tensor, (c, d)
        Of the clusters that have images, c <= k.
    measures : Tensor, float64
        What is logged of the clustering, see `DeepCluster.start_epoch`.
    epochs : Tensor, () int64
        Epochs that have begun.
    """

    assignment: Tensor
    mean: Tensor
    projection: Tensor
    centroids: Tensor
    measures: Tensor
    epochs: Tensor

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.teacher = deepcopy(backbone).requires_grad_(False)
        features: int = backbone.n_features  # type: ignore[assignment]
        self.weight = nn.Parameter(torch.empty(0, features))
        self.bias = nn.Parameter(torch.empty(0))
        self.register_buffer("assignment", torch.empty(0, dtype=torch.int64))
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("projection", torch.empty(features, 0))
        self.register_buffer("centroids", torch.empty(0, 0))
        self.register_buffer("measures", torch.zeros(len(_MEASURES), dtype=torch.float64))
        self.register_buffer("epochs", torch.zeros((), dtype=torch.int64))

    @property
    def is_clustered(self) -> bool:
        """Whether there are clusters yet."""
        return len(self.assignment) > 0

    def train(self, mode: bool = True) -> _ClusterNetwork:
        """Set the mode of all but the teacher, which stays in evaluation mode."""
        super().train(mode)
        self.teacher.eval()
        return self

    def forward(self, images: Tensor) -> Tensor:
        """Classify images (B, 3, H, W); returns logits (B, k)."""
        return functional.linear(self.backbone(images), self.weight, self.bias)

    def describe(self, features: Tensor) -> Tensor:
        """Map the teacher's features (B, F) to what is clustered, (B, d)."""
        return functional.normalize(Whitening(self.mean, self.projection)(features), dim=1)

    def pseudo_labels(self, images: Tensor) -> Tensor:
        """Return the clusters (B,) of images (B, 3, H, W), by the teacher and the nearest centroid."""
        return nearest(self.describe(self.teacher(images)), self.centroids)[0]

    def restart_head(self, clusters: int, generator: torch.Generator, optimiser: torch.optim.Optimizer) -> None:
        """Begin the classifier anew, in place, for so many clusters; its momentum is forgotten."""
        weight = torch.empty(clusters, self.weight.shape[1]).normal_(0, _HEAD_DEVIATION, generator=generator)
        for parameter, value in ((self.weight, weight), (self.bias, torch.zeros(clusters))):
            parameter.grad = None
            parameter.data = value.to(parameter)
            optimiser.state.pop(parameter, None)

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *args: Any) -> None:
        """Take over lengths, which only a clustering decides, and load."""
        for name, own in (*self._parameters.items(), *self._buffers.items()):
            given = state_dict.get(prefix + name)
            if given is not None and own is not None and given.ndim == own.ndim:
                own.data = own.data.new_empty(given.shape)
        super()._load_from_state_dict(state_dict, prefix, *args)


@dataclass(frozen=True)
class DeepCluster(PretextTask):
    """Predict the clusters of the network's own features (Caron et al. 2018).

    Parameters
    ----------
    clusters : int, optional
        k of k-means; a hundredth of the training images and at least 50, if not given.
    dimensions : int
        Principal components that are clustered; fewer if the features have not as many.
    iterations : int
        Of k-means.
    reassign : int
        Epochs from one clustering to the next; the classifier begins anew with each, and needs updates enough to learn.
    augmentation : Augmentation
        Of the images that are classified; those that are clustered are not augmented.
    """

    name: ClassVar[str] = "deepcluster"
    version: ClassVar[int] = 1
    accuracy: ClassVar[Accuracy] = Accuracy("share of clusters recognised")
    stills: ClassVar[bool] = True

    clusters: int | None = None
    dimensions: int = 256
    iterations: int = 20
    reassign: int = 1
    augmentation: Augmentation = Augmentation()

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.clusters is not None and self.clusters < 2:
            raise ValueError(f"clusters {self.clusters} must be at least 2: one leaves nothing to tell apart")
        for what in ("dimensions", "iterations", "reassign"):
            if getattr(self, what) < 1:
                raise ValueError(f"{what} {getattr(self, what)} must be at least 1")

    def network(self, backbone: nn.Module, generator: torch.Generator) -> nn.Module:
        """Put a classifier on the backbone; it is initialised when the first clusters are known."""
        return _ClusterNetwork(backbone)

    @torch.no_grad()
    def start_epoch(
        self, network: nn.Module, pool: PretextPool, generator: torch.Generator, optimiser: torch.optim.Optimizer
    ) -> dict[str, float]:
        """Cluster the pool by the network's features and begin the classifier anew, if it is time to.

        Returns
        -------
        dict
            Of the last clustering: ``nmi_previous``, normalised mutual information with the one before, 0 at the first;
            ``nmi_subjects``, that with the subjects; ``empty_clusters``; ``largest_cluster``, its share of the
            images; ``dimensions``, principal components kept.

        Raises
        ------
        ValueError
            If the pool has fewer images than clusters.
        """
        assert isinstance(network, _ClusterNetwork)
        if int(network.epochs) % self.reassign == 0:
            measures = self._cluster(network, pool, generator)
            network.measures.copy_(torch.tensor([measures[name] for name in _MEASURES], dtype=torch.float64))
            network.restart_head(self.count(len(pool)), generator, optimiser)
        network.epochs += 1
        return dict(zip(_MEASURES, network.measures.tolist(), strict=True))

    def _cluster(self, network: _ClusterNetwork, pool: PretextPool, generator: torch.Generator) -> dict[str, float]:
        """Cluster the pool and keep the clustering in the network; return its measures."""
        k = self.count(len(pool))
        if k > len(pool):
            raise ValueError(f"{len(pool)} training images cannot form {k} clusters; set clusters to far fewer")
        network.teacher.load_state_dict(network.backbone.state_dict())
        features = _features(network.teacher, pool.images)
        network.mean, network.projection = fit_whitening(features, self.dimensions)
        found = kmeans(network.describe(features), k, generator, iterations=self.iterations)
        used, assignment = found.assignment.unique(return_inverse=True)
        labels, previous = assignment.cpu().numpy(), network.assignment.cpu().numpy()
        network.assignment, network.centroids = assignment, found.centroids[used]
        known = len(previous) == len(labels)
        return {
            "nmi_previous": normalized_mutual_information(previous, labels) if known else 0.0,
            "nmi_subjects": normalized_mutual_information(pool.subjects, labels),
            "empty_clusters": float(k - len(used)),
            "largest_cluster": float(np.bincount(labels).max() / len(labels)),
            "dimensions": float(network.projection.shape[1]),
        }

    def loss(
        self, network: nn.Module, pool: PretextPool, generator: torch.Generator, batch_size: int
    ) -> tuple[Tensor, dict[str, float]]:
        """Cross-entropy of the clusters of a batch of augmented images.

        Raises
        ------
        ValueError
            If this pool has not been clustered.
        """
        assert isinstance(network, _ClusterNetwork)
        if len(network.assignment) != len(pool):
            raise ValueError(
                f"{len(network.assignment)} images are clustered, but the pool has {len(pool)}; call start_epoch first"
            )
        index = self.draw(network.assignment.cpu(), batch_size, generator)
        images = to_network(pool.images[index]).to(network.bias.device)
        logits = network(self.augmentation(images, generator))
        target = network.assignment[index.to(logits.device)]
        log = {"accuracy": float((logits.detach().argmax(1) == target).float().mean())}
        return functional.cross_entropy(logits, target), log

    @torch.no_grad()
    def evaluate(self, network: nn.Module, pool: PretextPool, generator: torch.Generator) -> dict[str, float]:
        """Measure how often the cluster of a held-out image is recognised.

        The cluster of a held-out image is the one it would have joined: that of the nearest centroid to the feature of
        the image as it is, by the network as it was when the training images were clustered. It is recognised if the
        classifier names it when it sees the image augmented. That is the task itself on other people, and stricter than
        ``nmi``, which is above its chance for any function of the image, a classifier that was not trained included.

        Clusters count equally, as in training, however many of the held-out images they have. Answers that do not
        depend on the image then score 1 over the number of clusters at most: the chance. So do clusters that are all
        one, or answers that are. Before the first clustering both are a guess among as many clusters as this pool
        would be divided into.

        Returns
        -------
        dict
            ``accuracy``: share of a cluster's images that are recognised, averaged over clusters; its ``chance``;
            ``nmi``: normalised mutual information of answers and clusters; ``nmi_chance``: the same with the answers
            permuted, as some is shared by accident; ``clusters``: how many occur.
        """
        assert isinstance(network, _ClusterNetwork)
        if not network.is_clustered:
            guess = 1 / self.count(len(pool))
            return {"accuracy": guess, "chance": guess, "nmi": 0.0, "nmi_chance": 0.0, "clusters": 0.0}
        chosen = torch.randperm(len(pool), generator=generator)[:_EVALUATED_IMAGES].sort().values
        answers, clusters = [], []
        for chunk in chosen.split(_CHUNK):
            images = to_network(pool.images[chunk]).to(network.bias.device)
            clusters.append(network.pseudo_labels(images))
            answers.append(network(self.augmentation(images, generator)).argmax(1))
        answer, cluster = torch.cat(answers).cpu().numpy(), torch.cat(clusters).cpu().numpy()
        permuted = answer[torch.randperm(len(answer), generator=generator).numpy()]
        names, members, sizes = np.unique(cluster, return_inverse=True, return_counts=True)
        return {
            "accuracy": float((np.bincount(members, answer == cluster) / sizes).mean()),
            "chance": 1 / len(names),
            "nmi": normalized_mutual_information(answer, cluster),
            "nmi_chance": normalized_mutual_information(permuted, cluster),
            "clusters": float(len(names)),
        }

    def count(self, images: int) -> int:
        """Return the number of clusters of so many images."""
        return self.clusters or max(_FEWEST_CLUSTERS, images // _IMAGES_PER_CLUSTER)

    @staticmethod
    def draw(assignment: Tensor, n: int, generator: torch.Generator) -> Tensor:
        """Draw n images with replacement: each cluster that has images as often as another, then one of its own.

        Parameters
        ----------
        assignment : Tensor, (N,) int64
            The cluster of each image.
        n : int
        generator : torch.Generator

        Returns
        -------
        Tensor, (n,) int64
            Indices.
        """
        weights = torch.bincount(assignment).double().reciprocal()[assignment]
        return torch.multinomial(weights, n, replacement=True, generator=generator)


def _features(backbone: nn.Module, images: Tensor | StoredImages) -> Tensor:
    """Compute features (N, F) of images as they are, some at a time, on the backbone's device."""
    device = next(backbone.parameters()).device
    indices = torch.arange(len(images)).split(_CHUNK)
    return torch.cat([backbone(to_network(images[chunk]).to(device)) for chunk in indices])
