"""CCA of CNN features and texts, in closed form.

Hardoon, Szedmak & Shawe-Taylor (2004); with CNN features and each direction weighted by its
correlation as in Gong et al. (2014) and Klein et al. (2015), whose "CCA mean vector (VGG)" is
the row to compare with. Printed there: VGG's last layer and the mean word2vec of a sentence.
Ours: the features of this library, regularised by a ridge on each side.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field

from visita.kernels.cca import cca
from visita.networks.classical.projection import Projection
from visita.training.classical.baseline import Validate, VectorBaseline, mean_view
from visita.training.loop import History
from visita.training.spans import Spans
from visita.training.tensors import PairTensors, standardised, statistics
from visita.training.tuning import embed


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
