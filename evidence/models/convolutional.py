"""Convolutional networks written from their public descriptions, for the modules beside this."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F


def conv(
    channels: int,
    out: int,
    kernel: int = 3,
    stride: int = 1,
    *,
    groups: int = 1,
    activation: type[nn.Module] | None = nn.ReLU6,
    padding: int | None = None,
) -> nn.Sequential:
    """Return a convolution with batch norm and ``activation``."""
    padding = kernel // 2 if padding is None else padding
    layers: list[nn.Module] = [
        nn.Conv2d(channels, out, kernel, stride, padding, groups=groups, bias=False),
        nn.BatchNorm2d(out),
    ]
    return nn.Sequential(*layers, *([activation()] if activation else []))


def separable(channels: int, out: int, stride: int = 1) -> nn.Sequential:
    """Return the depthwise and the pointwise convolution of MobileNetV1."""
    return nn.Sequential(
        conv(channels, channels, 3, stride, groups=channels), conv(channels, out, 1)
    )


#: Output channels and stride of the 13 blocks of MobileNetV1 (Howard et al. 2017, table 1).
MOBILENET: tuple[tuple[int, int], ...] = (
    (64, 1),
    (128, 2),
    (128, 1),
    (256, 2),
    (256, 1),
    (512, 2),
    *((512, 1),) * 5,
    (1024, 2),
    (1024, 1),
)


def mobilenet_features(width: float = 1.0) -> list[nn.Module]:
    """Return the stem and the blocks of MobileNetV1, ``width`` times as wide."""
    channels = int(32 * width)
    modules: list[nn.Module] = [conv(3, channels, 3, 2)]
    for out, stride in MOBILENET:
        modules.append(separable(channels, int(out * width), stride))
        channels = int(out * width)
    return modules


class MobileNetV1(nn.Module):
    """MobileNetV1 with its classifier of 1,001 classes, as TensorFlow publishes it."""

    def __init__(self, width: float) -> None:
        super().__init__()
        self.features = nn.Sequential(*mobilenet_features(width))
        self.classifier = nn.Linear(int(1024 * width), 1001)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Image (batch, 3, height, width) to logits."""
        return self.classifier(F.adaptive_avg_pool2d(self.features(image), 1).flatten(1))


class Heads(nn.Module):
    """Convolutions that predict 4 numbers of a box and scores of each class, for each anchor."""

    def __init__(
        self,
        channels: Sequence[int],
        anchors: Sequence[int],
        classes: int,
        kernel: int,
        stride: int = 1,
    ) -> None:
        super().__init__()
        options = {"kernel_size": kernel, "stride": stride, "padding": kernel // 2}
        pairs = list(zip(channels, anchors, strict=True))
        self.boxes = nn.ModuleList(nn.Conv2d(c, 4 * a, **options) for c, a in pairs)
        self.scores = nn.ModuleList(nn.Conv2d(c, classes * a, **options) for c, a in pairs)
        self.classes = classes

    def forward(self, features: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return boxes (batch, anchors, 4) and probabilities (batch, anchors, classes)."""
        boxes = [head(x) for head, x in zip(self.boxes, features, strict=True)]
        scores = [head(x) for head, x in zip(self.scores, features, strict=True)]

        def rows(maps: Sequence[torch.Tensor], width: int) -> torch.Tensor:
            return torch.cat(
                [m.permute(0, 2, 3, 1).reshape(m.shape[0], -1, width) for m in maps], 1
            )

        return rows(boxes, 4), rows(scores, self.classes)


class SsdMobileNet(nn.Module):
    """ssd_mobilenet_v1_coco of TensorFlow's detection zoo: 300 pixels, heads of 1x1."""

    def __init__(self, classes: int = 91) -> None:
        super().__init__()
        features = mobilenet_features()
        self.first, self.second = nn.Sequential(*features[:12]), nn.Sequential(*features[12:])
        extras = ((1024, 256, 512), (512, 128, 256), (256, 128, 256), (256, 64, 128))
        self.extras = nn.ModuleList(
            nn.Sequential(conv(a, middle, 1), conv(middle, out, 3, 2)) for a, middle, out in extras
        )
        self.heads = Heads((512, 1024, 512, 256, 256, 128), (3, 6, 6, 6, 6, 6), classes, 1)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Image (batch, 3, 300, 300) to boxes and probabilities of 1,917 anchors."""
        features = [self.first(image)]
        features.append(self.second(features[-1]))
        for extra in self.extras:
            features.append(extra(features[-1]))
        boxes, scores = self.heads(features)
        return boxes, scores.sigmoid()


class SsdResNet34(nn.Module):
    """SSD-ResNet34 of MLPerf: ResNet-34 to its third stage, which keeps the resolution.

    Six feature maps are read by heads of 3x3 with stride 3, of 15,130 anchors at 1,200 pixels.
    """

    def __init__(self, backbone: nn.Module, classes: int = 81) -> None:
        super().__init__()
        stage = backbone.layer3[0]
        stage.conv1.stride = stage.downsample[0].stride = (1, 1)
        self.backbone = nn.Sequential(
            backbone.conv1,
            backbone.bn1,
            backbone.relu,
            backbone.maxpool,
            backbone.layer1,
            backbone.layer2,
            backbone.layer3,
        )
        extras = (
            (256, 256, 512, 2, 1),
            (512, 256, 512, 2, 1),
            (512, 128, 256, 2, 1),
            (256, 128, 256, 2, 0),
            (256, 128, 256, 1, 0),
        )
        self.extras = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(channels, middle, 1),
                nn.ReLU(),
                nn.Conv2d(middle, out, 3, stride, padding),
                nn.ReLU(),
            )
            for channels, middle, out, stride, padding in extras
        )
        self.heads = Heads((256, 512, 512, 256, 256, 256), (4, 6, 6, 6, 4, 4), classes, 3, 3)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Image (batch, 3, 1200, 1200) to boxes and probabilities."""
        features = [self.backbone(image)]
        for extra in self.extras:
            features.append(extra(features[-1]))
        boxes, scores = self.heads(features)
        return boxes, scores.softmax(dim=-1)


class Residual(nn.Module):
    """A block of Darknet-53: a narrow convolution, a wide one, and their input added."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.narrow = leaky(channels, channels // 2, 1)
        self.wide = leaky(channels // 2, channels, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Feature map to feature map."""
        return x + self.wide(self.narrow(x))


class Leaky(nn.LeakyReLU):
    """Darknet's activation."""

    def __init__(self) -> None:
        super().__init__(0.1)


def leaky(channels: int, out: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Return a convolution of Darknet."""
    return conv(channels, out, kernel, stride, activation=Leaky)


class YoloV3(nn.Module):
    """YOLOv3 (Redmon and Farhadi 2018), and its variant with spatial pyramid pooling.

    Three maps of 255 channels; decoding of boxes and suppression are left out.
    """

    def __init__(self, *, pyramid: bool = False) -> None:
        super().__init__()
        self.stem = leaky(3, 32, 3)
        self.stages = nn.ModuleList()
        channels = 32
        for blocks in (1, 2, 8, 8, 4):
            stage = [leaky(channels, 2 * channels, 3, 2)]
            channels *= 2
            self.stages.append(nn.Sequential(*stage, *(Residual(channels) for _ in range(blocks))))
        self.pools = nn.ModuleList(
            nn.MaxPool2d(size, 1, size // 2) for size in ((5, 9, 13) if pyramid else ())
        )
        self.necks, self.heads, self.laterals = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        incoming = (1024, 768, 384)
        for wide, channels in zip((1024, 512, 256), incoming, strict=True):
            middle = wide // 2
            first = [leaky(channels, middle, 1), leaky(middle, wide, 3), leaky(wide, middle, 1)]
            pooled = 4 * middle if pyramid and wide == 1024 else middle
            last = [leaky(middle, wide, 3), leaky(wide, middle, 1)]
            if pooled != middle:
                last.insert(0, leaky(pooled, middle, 1))
            self.necks.append(nn.ModuleList((nn.Sequential(*first), nn.Sequential(*last))))
            self.heads.append(nn.Sequential(leaky(middle, wide, 3), nn.Conv2d(wide, 255, 1)))
            self.laterals.append(leaky(middle, middle // 2, 1))

    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        """Image (batch, 3, height, width) to three maps."""
        x, skips, maps = self.stem(image), [], []
        for stage in self.stages:
            x = stage(x)
            skips.append(x)
        skips.pop()
        for index, (first, last) in enumerate(self.necks):
            x = first(x)
            if index == 0 and len(self.pools):
                x = torch.cat([*(pool(x) for pool in reversed(self.pools)), x], dim=1)
            x = last(x)
            maps.append(self.heads[index](x))
            if index < 2:
                x = F.interpolate(self.laterals[index](x), scale_factor=2, mode="nearest")
                x = torch.cat([x, skips.pop()], dim=1)
        return maps


def silu(channels: int, out: int, kernel: int = 1, stride: int = 1) -> nn.Sequential:
    """Return a convolution of YOLOv8."""
    return conv(channels, out, kernel, stride, activation=nn.SiLU)


class C2f(nn.Module):
    """A block of YOLOv8: half of a map passes bottlenecks, and all their results are kept."""

    def __init__(self, channels: int, out: int, depth: int, *, shortcut: bool) -> None:
        super().__init__()
        half = out // 2
        self.first, self.last = silu(channels, out), silu((2 + depth) * half, out)
        self.blocks = nn.ModuleList(
            nn.Sequential(silu(half, half, 3), silu(half, half, 3)) for _ in range(depth)
        )
        self.shortcut = shortcut

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Feature map to feature map."""
        parts = list(self.first(x).chunk(2, dim=1))
        for block in self.blocks:
            deeper = block(parts[-1])
            parts.append(parts[-1] + deeper if self.shortcut else deeper)
        return self.last(torch.cat(parts, dim=1))


class YoloV8(nn.Module):
    """YOLOv8 (Ultralytics 2023) of the size "n": a third of the depth, a quarter of the width.

    Heads predict 64 bins of a box's sides and 80 classes on strides 8, 16 and 32. The bins become
    distances; non-maximum suppression is left out.
    """

    def __init__(self, classes: int = 80) -> None:
        super().__init__()
        widths, depths = (16, 32, 64, 128, 256), (1, 2, 2, 1)
        self.stem = silu(3, widths[0], 3, 2)
        self.stages = nn.ModuleList(
            nn.Sequential(silu(a, b, 3, 2), C2f(b, b, depth, shortcut=True))
            for a, b, depth in zip(widths, widths[1:], depths, strict=False)
        )
        self.pool_in, self.pool_out = silu(256, 128), silu(512, 256)
        self.pool = nn.MaxPool2d(5, 1, 2)
        self.tops = nn.ModuleList(C2f(a, b, 1, shortcut=False) for a, b in ((384, 128), (192, 64)))
        self.downs = nn.ModuleList((silu(64, 64, 3, 2), silu(128, 128, 3, 2)))
        self.bottoms = nn.ModuleList(
            C2f(a, b, 1, shortcut=False) for a, b in ((192, 128), (384, 256))
        )
        levels = (64, 128, 256)
        self.boxes = nn.ModuleList(
            nn.Sequential(silu(c, 64, 3), silu(64, 64, 3), nn.Conv2d(64, 64, 1)) for c in levels
        )
        self.scores = nn.ModuleList(
            nn.Sequential(
                silu(c, classes, 3), silu(classes, classes, 3), nn.Conv2d(classes, classes, 1)
            )
            for c in levels
        )
        self.bins = nn.Conv2d(16, 1, 1, bias=False)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Image (batch, 3, height, width) to distances (batch, 4, anchors) and probabilities."""
        x, maps = self.stem(image), []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        pooled = [self.pool_in(x)]
        for _ in range(3):
            pooled.append(self.pool(pooled[-1]))
        x = self.pool_out(torch.cat(pooled, dim=1))
        tops = [x]
        for top, skip in zip(self.tops, (maps[2], maps[1]), strict=True):
            up = F.interpolate(tops[-1], scale_factor=2, mode="nearest")
            tops.append(top(torch.cat([up, skip], dim=1)))
        levels = [tops[2]]
        for down, bottom, skip in zip(self.downs, self.bottoms, (tops[1], tops[0]), strict=True):
            levels.append(bottom(torch.cat([down(levels[-1]), skip], dim=1)))
        boxes = torch.cat([h(m).flatten(2) for h, m in zip(self.boxes, levels, strict=True)], 2)
        scores = torch.cat([h(m).flatten(2) for h, m in zip(self.scores, levels, strict=True)], 2)
        bins = boxes.view(boxes.shape[0], 4, 16, -1).transpose(2, 1).softmax(1)
        return self.bins(bins).flatten(1, 2), scores.sigmoid()
