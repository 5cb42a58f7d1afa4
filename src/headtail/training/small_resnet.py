"""ResNets for small images: three stages of basic blocks, 16 to 64 channels."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["SmallResNet", "subsample_and_pad"]


def subsample_and_pad(
    maps: Float[Tensor, "n_samples n_channels height width"],
    n_channels: int,
    stride: int,
) -> Float[Tensor, "n_samples n_more half_height half_width"]:
    """Return every `stride`-th pixel, with zero channels on both sides: option A.

    Half of the missing channels go before the others, the rest behind them, as in the
    code of LDAM-DRW.

    References
    ----------
    He, Zhang, Ren, Sun. "Deep Residual Learning for Image Recognition." CVPR 2016,
    section 3.3.

    Examples
    --------
    >>> import torch
    >>> subsample_and_pad(torch.ones(1, 1, 4, 4), 3, 2)[0, :, 0].tolist()
    [[0.0, 0.0], [1.0, 1.0], [0.0, 0.0]]
    """
    missing = n_channels - maps.shape[1]
    before = missing // 2
    kept = maps[:, :, ::stride, ::stride]
    return F.pad(kept, (0, 0, 0, 0, before, missing - before))


class BasicBlock(nn.Module):
    """Two convolutions of 3 by 3 pixels beside a shortcut without parameters."""

    def __init__(self, n_inputs: int, n_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(n_inputs, n_channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(n_channels)
        self.conv2 = nn.Conv2d(n_channels, n_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(n_channels)
        self.n_channels = n_channels
        self.stride = stride
        self.same = n_inputs == n_channels and stride == 1

    def forward(
        self, maps: Float[Tensor, "n_samples n_channels height width"]
    ) -> Float[Tensor, "n_samples n_more half_height half_width"]:
        """Return relu(convolutions + shortcut)."""
        residual = F.relu(self.bn1(self.conv1(maps)))
        residual = self.bn2(self.conv2(residual))
        if not self.same:
            maps = subsample_and_pad(maps, self.n_channels, self.stride)
        return F.relu(residual + maps)


class SmallResNet(nn.Module):
    """ResNet of depth 6n + 2 for images such as CIFAR's, without a classifier.

    Parameters
    ----------
    n_blocks
        Blocks per stage, n: 3 for ResNet-20, 5 for ResNet-32, 7 for ResNet-44.
    width
        Factor of the channels 16, 32 and 64.

    References
    ----------
    He, Zhang, Ren, Sun. "Deep Residual Learning for Image Recognition." CVPR 2016,
    section 4.2.

    Examples
    --------
    >>> import torch
    >>> SmallResNet(3)(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 64])
    """

    def __init__(self, n_blocks: int, *, width: int = 1) -> None:
        super().__init__()
        for name, value in (("n_blocks", n_blocks), ("width", width)):
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ValueError(
                    f"{name} must be a whole number, at least 1; got {value!r}."
                )
        channels = 16 * width
        self.conv1 = nn.Conv2d(3, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.layer1 = _stage(n_blocks, channels, channels, 1)
        self.layer2 = _stage(n_blocks, channels, 2 * channels, 2)
        self.layer3 = _stage(n_blocks, 2 * channels, 4 * channels, 2)
        self.n_features = 4 * channels
        self.feature_info = [{"module": f"layer{n}"} for n in (1, 2, 3)]  # as timm's
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)

    def forward(
        self, images: Float[Tensor, "n_samples 3 height width"]
    ) -> Float[Tensor, "n_samples n_features"]:
        """Return the mean over the pixels of the last maps."""
        maps = F.relu(self.bn1(self.conv1(images)))
        maps = self.layer3(self.layer2(self.layer1(maps)))
        features: Tensor = maps.mean(dim=(2, 3))
        return features


def _stage(n_blocks: int, n_inputs: int, n_channels: int, stride: int) -> nn.Sequential:
    later = [BasicBlock(n_channels, n_channels, 1) for _ in range(n_blocks - 1)]
    return nn.Sequential(BasicBlock(n_inputs, n_channels, stride), *later)
