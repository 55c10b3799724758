"""CCA of CNN features and texts, in closed form.

Hardoon, Szedmak & Shawe-Taylor (2004); with CNN features and each direction weighted by its
correlation as in Gong et al. (2014) and Klein et al. (2015), whose "CCA mean vector (VGG)" is
the row to compare with. Printed there: VGG's last layer and the mean word2vec of a sentence.
Ours: the features of this library, regularised by a ridge on each side.

One linear map a side, compared by cosine or by Euclidean distance. A matcher's score is an inner
product of unit vectors, so a distance has to become one. With a and b the projections,

    -|a - b|² / 2 = <[a, -|a|² / 2, 1], [b, 1, -|b|² / 2]>.

Divided by a bound of their lengths and filled up to length 1 in a coordinate where the other
side is zero, both are unit vectors, and the order is that of the distance in either direction.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from visita.baselines.baseline import VectorBaseline, mean_view
from visita.kernels.cca import cca
from visita.training.loop import History
from visita.training.tensors import PairTensors, Spans, standardised, statistics
from visita.training.tuning import Validate, embed
from visita.types import FloatArray


class Sides(nn.Module):
    """Statistics and layers of pictures and of texts.

    Attributes
    ----------
    arguments : dict
        What rebuilds the network for use, as JSON values.
    """

    @staticmethod
    def layers(features: int, hidden: int, outputs: int, dropout: float) -> nn.Sequential:
        """Return the layers of one side."""
        raise NotImplementedError

    def __init__(
        self,
        image_features: int,
        text_features: int,
        *,
        hidden: int,
        outputs: int,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.dim = outputs
        self.arguments: dict[str, Any] = {"hidden": hidden, "outputs": outputs}
        for side, features in (("image", image_features), ("text", text_features)):
            self.register_buffer(f"{side}_mean", torch.zeros(features))
            self.register_buffer(f"{side}_scale", torch.ones(features))
            self.add_module(f"{side}_layers", self.layers(features, hidden, outputs, dropout))

    @classmethod
    def fresh(cls, config: Any, train: PairTensors) -> tuple[Self, FloatArray]:
        """Return an untrained network with the training statistics, and the pictures' mean views.

        ``config`` has a seed and the arguments of the network.
        """
        torch.manual_seed(config.seed)
        settings = {key: getattr(config, key) for key in ("hidden", "outputs", "dropout")}
        network = cls(train.images.shape[-1], train.texts.shape[-1], **settings)
        images = mean_view(train)
        for side, rows in (("image", images), ("text", train.texts)):
            network.set_statistics(side, *statistics(rows))
        return network, images

    @torch.no_grad()
    def set_statistics(self, side: str, mean: FloatArray, scale: FloatArray) -> None:
        """Set mean and scale, (d,) each, of image or text."""
        self.get_buffer(f"{side}_mean").copy_(torch.from_numpy(mean))
        self.get_buffer(f"{side}_scale").copy_(torch.from_numpy(scale))

    def outputs(self, side: str, features: Tensor) -> Tensor:
        """Map features (n, d) of image or text to (n, outputs)."""
        mean, scale = self.get_buffer(f"{side}_mean"), self.get_buffer(f"{side}_scale")
        mapped: Tensor = self.get_submodule(f"{side}_layers")((features - mean) / scale)
        return mapped


BOUND = 2.0
"""Times the longest vector in training; one that is longer yet would be cut to the bound."""


class Projection(nn.Module):
    """A two-sided network: (x - mean) / scale, times a linear map.

    Parameters
    ----------
    directions : int
        Of the projections; for the distance, the vectors have four more.

    Attributes
    ----------
    image_bound, text_bound : float32 ()
        What lengths are divided by; for the distance only.
    """

    def __init__(
        self,
        image_features: int,
        text_features: int,
        *,
        directions: int,
        distance: Literal["cosine", "euclidean"],
    ) -> None:
        super().__init__()
        self.arguments: dict[str, Any] = {"directions": directions, "distance": distance}
        self.distance = distance
        self.dim = directions + (4 if distance == "euclidean" else 0)
        for side, features in (("image", image_features), ("text", text_features)):
            self.register_buffer(f"{side}_mean", torch.zeros(features))
            self.register_buffer(f"{side}_scale", torch.ones(features))
            self.register_buffer(f"{side}_map", torch.zeros(features, directions))
            self.register_buffer(f"{side}_bound", torch.ones(()))

    @torch.no_grad()
    def set_side(self, side: str, mean: FloatArray, scale: FloatArray, linear: FloatArray) -> None:
        """Set statistics (d,), (d,) and map (d, at most ``directions``) of image or text."""
        for name, values in (("mean", mean), ("scale", scale)):
            self.get_buffer(f"{side}_{name}").copy_(torch.from_numpy(values))
        self.get_buffer(f"{side}_map")[:, : linear.shape[1]] = torch.from_numpy(linear)

    @torch.no_grad()
    def set_bounds(self, images: Tensor, texts: Tensor) -> None:
        """Bring projections to a length near 1, and bound them, by training features."""
        of_images, of_texts = self.project("image", images), self.project("text", texts)
        size = ((of_images.square().sum(1).mean() + of_texts.square().sum(1).mean()) / 2).sqrt()
        self.get_buffer("image_map").div_(size)
        self.get_buffer("text_map").div_(size)
        self.get_buffer("image_bound").copy_(BOUND * _lifted(of_images / size, 0).norm(dim=1).max())
        self.get_buffer("text_bound").copy_(BOUND * _lifted(of_texts / size, 1).norm(dim=1).max())

    def image(self, features: Tensor) -> Tensor:
        """Map (n, views, d) to unit vectors (n, dim); the views are averaged."""
        return self._finish("image", self.project("image", features.mean(1)))

    def text(self, features: Tensor) -> Tensor:
        """Map (m, e) to unit vectors (m, dim)."""
        return self._finish("text", self.project("text", features))

    def project(self, side: str, features: Tensor) -> Tensor:
        """Map features (n, d) of one side to projections (n, directions)."""
        mean, scale = self.get_buffer(f"{side}_mean"), self.get_buffer(f"{side}_scale")
        projected: Tensor = ((features - mean) / scale) @ self.get_buffer(f"{side}_map")
        return projected

    def _finish(self, side: str, projected: Tensor) -> Tensor:
        if self.distance == "cosine":
            return functional.normalize(projected, dim=-1)
        place = 0 if side == "image" else 1
        lifted = _lifted(projected, place) / self.get_buffer(f"{side}_bound")
        lifted = lifted / lifted.norm(dim=-1, keepdim=True).clamp(min=1)
        rest = (1 - lifted.square().sum(-1, keepdim=True)).clamp(min=0).sqrt()
        fill = [rest, torch.zeros_like(rest)] if place == 0 else [torch.zeros_like(rest), rest]
        return torch.cat([lifted, *fill], -1)


def _lifted(vectors: Tensor, place: int) -> Tensor:
    """Return [v, -|v|² / 2, 1], or with the last two exchanged at place 1."""
    half = -vectors.square().sum(-1, keepdim=True) / 2
    ends = [half, torch.ones_like(half)]
    return torch.cat([vectors, *(ends if place == 0 else ends[::-1])], -1)


class CCA(VectorBaseline):
    """Canonical correlation analysis, compared by cosine or Euclidean distance."""

    paper: ClassVar[str] = "Hardoon et al. 2004, Klein et al. 2015"

    network: ClassVar[str] = "projection"
    closed_form: ClassVar[bool] = True

    directions: Annotated[int, Field(ge=1, le=1000)] = 128
    distance: Literal["cosine", "euclidean"] = "cosine"
    image_ridge: Annotated[float, Field(gt=0)] = 1.0
    """Added to each feature's variance, which is 1."""
    text_ridge: Annotated[float, Field(gt=0)] = 1.0

    def learn(
        self, train: PairTensors, dev: PairTensors, validate: Validate
    ) -> tuple[Projection, History]:
        """Return the projection; there is nothing to repeat, so the start is the end."""
        widths = train.images.shape[-1], train.texts.shape[-1]
        network = Projection(*widths, directions=self.directions, distance=self.distance)
        fit_projection(network, train, self.image_ridge, self.text_ridge)
        return network.eval(), History(validate(*embed(network, dev, Spans.whole(*widths))))


def fit_projection(
    network: Projection, train: PairTensors, image_ridge: float, text_ridge: float
) -> None:
    """Set the statistics and maps of a projection by CCA of the training pairs."""
    images = mean_view(train)
    image_mean, image_scale = statistics(images)
    text_mean, text_scale = statistics(train.texts)
    image_map, text_map = cca(
        standardised(images, image_mean, image_scale),
        standardised(train.texts, text_mean, text_scale),
        train.truth,
        network.arguments["directions"],
        image_ridge=image_ridge,
        text_ridge=text_ridge,
    )
    network.set_side("image", image_mean, image_scale, image_map)
    network.set_side("text", text_mean, text_scale, text_map)
    if network.distance == "euclidean":
        network.set_bounds(torch.from_numpy(images), torch.from_numpy(train.texts))
