"""A training step of the published MaskCycleGAN-VC and CycleGAN in PyTorch, beside `tests.bench full_size`.

  pip install torch && python tests/bench_pytorch.py [mask_cyclegan] [cyclegan]

`tests/bench_pytorch_photographs.py` trains the published CycleGAN and CUT on photographs.

Built here from the papers and the sizes of the public implementations (24.5 and 16.7 million parameters; 11.4 and
2.8), with the passes of the public training loops but for fakes, which are made once and not again for the
discriminators. PyTorch is no dependency of this project: install it somewhere else.
"""

import sys
import time

import torch
from torch import nn
from torch.nn import functional

STEPS = 5


class Gated(nn.Module):
    """A convolution times the sigmoid of another."""

    def __init__(self, make, norm):
        super().__init__()
        self.value, self.gate = (nn.Sequential(make(), norm()) for _ in range(2))

    def forward(self, x):
        return self.value(x) * torch.sigmoid(self.gate(x))


class Swish(nn.Module):
    """`x` times its own sigmoid."""

    def forward(self, x):
        return x * torch.sigmoid(x)


class Residual(nn.Module):
    """What is in it, added to its input."""

    def __init__(self, *parts):
        super().__init__()
        self.inside = nn.Sequential(*parts)

    def forward(self, x):
        return x + self.inside(x)


class MaskedGenerator(nn.Module):
    """The 2-1-2-D generator of arXiv:2102.12841, 80 mels."""

    def __init__(self):
        super().__init__()
        one, two = nn.InstanceNorm1d, nn.InstanceNorm2d
        self.down = nn.Sequential(
            Gated(lambda: nn.Conv2d(2, 128, (5, 15), padding=(2, 7)), nn.Identity),
            Gated(lambda: nn.Conv2d(128, 256, 5, 2, 2), lambda: two(256, affine=True)),
            Gated(lambda: nn.Conv2d(256, 256, 5, 2, 2), lambda: two(256, affine=True)),
        )
        gated = [Gated(lambda: nn.Conv1d(256, 512, 3, 1, 1), lambda: one(512, affine=True)) for _ in range(6)]
        blocks = [Residual(each, nn.Conv1d(512, 256, 3, 1, 1), one(256, affine=True)) for each in gated]
        ends = [nn.Conv1d(5120, 256, 1), one(256, affine=True)], [nn.Conv1d(256, 5120, 1), one(5120, affine=True)]
        self.middle = nn.Sequential(*ends[0], *blocks, *ends[1])
        sizes = ((256, 1024), (256, 512))
        ups = [(nn.Conv2d(n, m, 5, 1, 2), nn.PixelShuffle(2), two(m // 4, affine=True), Swish()) for n, m in sizes]
        self.up = nn.Sequential(*ups[0], *ups[1], nn.Conv2d(128, 1, (5, 15), padding=(2, 7)))

    def forward(self, x):
        h = self.down(torch.cat([x, torch.ones_like(x)], 1))
        return self.up(self.middle(h.flatten(1, 2)).reshape(h.shape))


def masked_discriminator() -> nn.Module:
    """That of the same paper."""
    parts = [nn.Conv2d(1, 128, 3, 1, 1), Swish()]
    for n in (128, 256, 512):
        parts += [nn.Conv2d(n, 2 * n, 3, 2, 1), nn.InstanceNorm2d(2 * n, affine=True), Swish()]
    last = nn.Conv2d(1024, 1024, (1, 10), padding=(0, 5)), nn.InstanceNorm2d(1024, affine=True), Swish()
    return nn.Sequential(*parts, *last, nn.Conv2d(1024, 1, (1, 3), padding=(0, 1)))


def picture_generator() -> nn.Module:
    """ResNet-9 of arXiv:1703.10593."""

    def layer(made, channels):
        return [made, nn.InstanceNorm2d(channels), nn.ReLU(True)]

    parts = [nn.ReflectionPad2d(3), *layer(nn.Conv2d(3, 64, 7), 64)]
    for n in (64, 128):
        parts += layer(nn.Conv2d(n, 2 * n, 3, 2, 1), 2 * n)
    for _ in range(9):
        inside = [nn.ReflectionPad2d(1), *layer(nn.Conv2d(256, 256, 3), 256)]
        parts.append(Residual(*inside, nn.ReflectionPad2d(1), nn.Conv2d(256, 256, 3), nn.InstanceNorm2d(256)))
    for n in (256, 128):
        parts += layer(nn.ConvTranspose2d(n, n // 2, 3, 2, 1, 1), n // 2)
    return nn.Sequential(*parts, nn.ReflectionPad2d(3), nn.Conv2d(64, 3, 7), nn.Tanh())


def picture_discriminator() -> nn.Module:
    """PatchGAN of 70 x 70."""
    parts = [nn.Conv2d(3, 64, 4, 2, 1), nn.LeakyReLU(0.2, True)]
    for n, stride in ((64, 2), (128, 2), (256, 1)):
        parts += [nn.Conv2d(n, 2 * n, 4, stride, 1), nn.InstanceNorm2d(2 * n), nn.LeakyReLU(0.2, True)]
    return nn.Sequential(*parts, nn.Conv2d(512, 1, 4, 1, 1))


def step(generators, critics, players, real, *, identity: bool) -> None:
    """One move of all players; with four critics those of the second step judge what came back."""
    (ab, ba), (a, b) = generators, real
    fake = ba(b), ab(a)
    back = ba(fake[1]), ab(fake[0])
    judged = [*fake, *back][: len(critics)]
    loss = sum(10 * functional.l1_loss(x, y) for x, y in zip(back, real, strict=True))
    loss = loss + sum((critic(x) - 1).square().mean() for critic, x in zip(critics, judged, strict=True))
    if identity:
        loss = loss + 5 * (functional.l1_loss(ba(a), a) + functional.l1_loss(ab(b), b))
    players[0].zero_grad()
    loss.backward()
    players[0].step()
    pairs = zip(critics, [*real, *real], judged, strict=False)
    loss = sum((critic(x) - 1).square().mean() + critic(y.detach()).square().mean() for critic, x, y in pairs)
    players[1].zero_grad()
    loss.backward()
    players[1].step()


def timed(generator, critic, count: int, shape: tuple[int, ...], *, identity: bool) -> tuple[float, float]:
    """Seconds a step, and those of all cores."""
    generators, critics = [generator() for _ in range(2)], [critic() for _ in range(count)]
    players = [
        torch.optim.Adam([p for each in some for p in each.parameters()], 2e-4, (0.5, 0.999))
        for some in (generators, critics)
    ]
    real = [torch.randn(1, *shape) for _ in range(2)]
    step(generators, critics, players, real, identity=identity)
    began, used = time.perf_counter(), time.process_time()
    for _ in range(STEPS):
        step(generators, critics, players, real, identity=identity)
    return (time.perf_counter() - began) / STEPS, (time.process_time() - used) / STEPS


MODELS = {
    "mask_cyclegan": ("MaskCycleGAN-VC, 80 x 64", (MaskedGenerator, masked_discriminator, 4, (1, 80, 64))),
    "cyclegan": ("CycleGAN, 256 x 256", (picture_generator, picture_discriminator, 2, (3, 256, 256))),
}


def main() -> None:
    """Prints a line for each of those asked for, or all, without the identity term and with it."""
    for name, made in (MODELS[each] for each in sys.argv[1:] or MODELS):
        millions = [sum(p.numel() for p in make().parameters()) / 1e6 for make in made[:2]]
        for identity in (False, True):
            seconds, cpu_s = timed(*made, identity=identity)
            sizes = f"{millions[0]:.1f} and {millions[1]:.1f} M"
            print(
                f"{name}, identity {identity}: {seconds:.2f} s a step, {cpu_s:.2f} s of CPU time; {sizes}", flush=True
            )


if __name__ == "__main__":
    main()
