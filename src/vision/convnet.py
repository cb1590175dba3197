"""Baselines that need the patches in their places: a plain convolutional net, and two of torchvision's."""

import torch
from torch import Tensor, nn

from src.common.choices import refusal
from src.common.shapes import Float


class SmallConvNet(nn.Sequential):
    """Three stages of two 3x3 convolutions, pooled by two in between, averaged over the image at the end.

    A unit of the last stage sees 32 x 32 pixels, many patches of 4: this is the local prior that a fixed
    permutation of the patches breaks.

    Parameters
    ----------
    num_classes : number of logits.
    width : channels of the first stage, a multiple of 8; the next stages have twice and four times as many.
    in_channels : channels of an image; images have sides of 4 pixels or more.
    generator : random stream of the initial weights; the global one if None.

    Raises
    ------
    ValueError : a width that the 8 groups of the normalization do not divide.
    """

    def __init__(
        self,
        num_classes: int,
        width: int,
        in_channels: int = 3,
        *,
        generator: torch.Generator | None = None,
    ):
        if width < 8 or width % 8:
            nearest = max(1, round(width / 8)) * 8
            raise ValueError(refusal("width", width, "a multiple of 8", nearest))
        stages = [
            nn.Sequential(_convolution(inputs, outputs), _convolution(outputs, outputs))
            for inputs, outputs in [(in_channels, width), (width, 2 * width), (2 * width, 4 * width)]
        ]
        head = nn.Linear(4 * width, num_classes)
        super().__init__(
            stages[0], nn.MaxPool2d(2), stages[1], nn.MaxPool2d(2), stages[2],
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), head,
        )  # fmt: skip
        for parameter in self.parameters():
            if parameter.ndim > 1:
                nn.init.kaiming_normal_(parameter, generator=generator)
        nn.init.zeros_(head.bias)

    def forward(self, images: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch classes"]:
        """Class logits of images."""
        return super().forward(images)


def _convolution(inputs: int, outputs: int) -> nn.Sequential:
    # Group normalization: no statistics over the batch, so that one process and several compute the same.
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.GroupNorm(8, outputs), nn.ReLU()
    )


def small_resnet18(num_classes: int) -> nn.Module:
    """torchvision's ResNet-18 for images of about 32 pixels: its first convolution is 3x3, of stride 1; the pool stays.

    Group normalization instead of batch normalization, for the reason above.
    """
    from torchvision.models import resnet18

    network = resnet18(num_classes=num_classes, norm_layer=lambda channels: nn.GroupNorm(32, channels))
    network.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")
    return network


def small_vgg11(num_classes: int) -> nn.Module:
    """torchvision's VGG-11 for images of 16 pixels or more: without its last pool, with one linear layer at the end.

    The 4,096 hidden units of the original's end were made for 7 x 7 places; here there is one.
    """
    from torchvision.models import vgg11

    network = vgg11(num_classes=num_classes)
    network.features = network.features[:-1]
    network.avgpool, network.classifier = nn.AdaptiveAvgPool2d(1), nn.Linear(512, num_classes)
    return network
