"""The published CycleGAN and CUT in PyTorch, trained on photographs for a given CPU time, beside `bench_photographs`.

  pip install torch pillow && python tests/bench_pytorch_photographs.py --photographs=horse2zebra --output_dir=out \\
      --pair=horse,zebra --cpu_minutes=30 [cyclegan] [cut]

Built here from the papers (arXiv:1703.10593, arXiv:2007.15651) and the settings of the public implementations: ResNet-9
generators, PatchGANs of 70 x 70, least squares, batches of one, random crops and flips, an image pool of 50 for
CycleGAN; PatchNCE on five layers, 256 patches and the identity term for CUT. The learning rate is constant, because the
public schedules, which let it fall, are far longer. Held-out pictures of the first domain are translated to the second,
as PNG files in `OUTPUT_DIR/NAME`, for the command that `bench_photographs --viewer` calls as well. PyTorch is no
dependency of this project: install it somewhere else.
"""

import argparse
import pathlib
import random
import time

import numpy as np
import PIL.Image
import torch
from bench_pytorch import picture_discriminator, picture_generator
from torch import nn
from torch.nn import functional

NCE_LAYERS = (0, 4, 7, 10, 14)  # of `picture_generator`: its input, both downsamplings, residual blocks 1 and 5
NUM_PATCHES, TEMPERATURE = 256, 0.07
POOL_SIZE = 50
REPORT_STEPS = 50


def read(paths, side: int) -> torch.Tensor:
    """Pictures `[n, 3, side, side]` in [-1, 1]."""
    size = (side, side)
    images = [PIL.Image.open(path).convert("RGB").resize(size, PIL.Image.BICUBIC) for path in paths]
    return torch.from_numpy(np.stack([np.asarray(image) for image in images])).permute(0, 3, 1, 2) / 127.5 - 1


def draw(pictures: torch.Tensor, side: int) -> torch.Tensor:
    """One picture, flipped at random, a random crop of what is an eighth larger."""
    x = pictures[random.randrange(len(pictures))][None]
    larger = side * 9 // 8
    x = functional.interpolate(x, (larger, larger), mode="bicubic").clamp(-1, 1)
    row, column = (random.randrange(larger - side + 1) for _ in range(2))
    x = x[:, :, row : row + side, column : column + side]
    return x.flip(3) if random.random() < 0.5 else x


def initialize(network: nn.Module) -> nn.Module:
    """Weights of deviation 0.02, as in the public implementations."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0, 0.02)
    return network


def adam(*networks: nn.Module) -> torch.optim.Adam:
    """The optimizer of the papers."""
    return torch.optim.Adam([p for network in networks for p in network.parameters()], 2e-4, (0.5, 0.999))


class Pool:
    """The last generated pictures (Sec. 4 of arXiv:1703.10593)."""

    def __init__(self):
        self.pictures = []

    def query(self, x: torch.Tensor) -> torch.Tensor:
        """`x`, or in half of the cases an older picture."""
        if len(self.pictures) < POOL_SIZE:
            self.pictures.append(x)
            return x
        if random.random() < 0.5:
            return x
        n = random.randrange(POOL_SIZE)
        self.pictures[n], older = x, self.pictures[n]
        return older


def train_discriminators(optimizer, networks, real, fake) -> None:
    """One step of least squares."""
    losses = [(n(x) - 1).square().mean() + n(y).square().mean() for n, x, y in zip(networks, real, fake, strict=True)]
    optimizer.zero_grad()
    (0.5 * sum(losses)).backward()
    optimizer.step()


class CycleGAN:
    """Both directions, with the identity term of the public implementation (0.5 of the cycle's weight)."""

    def __init__(self):
        self.generators = [initialize(picture_generator()) for _ in range(2)]
        self.discriminators = [initialize(picture_discriminator()) for _ in range(2)]
        self.optimizers = adam(*self.generators), adam(*self.discriminators)
        self.pools = Pool(), Pool()

    def step(self, a: torch.Tensor, b: torch.Tensor) -> None:
        """One step of the generators and of the discriminators."""
        ab, ba = self.generators
        fake_b, fake_a = ab(a), ba(b)
        loss = 10 * (functional.l1_loss(ba(fake_b), a) + functional.l1_loss(ab(fake_a), b))
        loss = loss + 5 * (functional.l1_loss(ba(a), a) + functional.l1_loss(ab(b), b))
        fake = (fake_a, fake_b)
        loss = loss + sum((n(x) - 1).square().mean() for n, x in zip(self.discriminators, fake, strict=True))
        self.optimizers[0].zero_grad()
        loss.backward()
        self.optimizers[0].step()
        older = [pool.query(x.detach()) for pool, x in zip(self.pools, fake, strict=True)]
        train_discriminators(self.optimizers[1], self.discriminators, (a, b), older)

    def translate(self, a: torch.Tensor) -> torch.Tensor:
        """Of the first domain to the second."""
        return self.generators[0](a)


class CUT:
    """One direction."""

    def __init__(self):
        self.generator, self.discriminator = initialize(picture_generator()), initialize(picture_discriminator())
        self.heads = nn.ModuleList(
            nn.Sequential(nn.Linear(width, 256), nn.ReLU(), nn.Linear(256, 256))
            for width in [x.shape[1] for x in self.features(torch.zeros(1, 3, 64, 64))]
        )
        self.optimizers = adam(self.generator, self.heads), adam(self.discriminator)

    def features(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Of the generator's encoder."""
        found = []
        for n, layer in enumerate(self.generator[: max(NCE_LAYERS) + 1]):
            x = layer(x)
            if n in NCE_LAYERS:
                found.append(x)
        return found

    def contrastive(self, source: torch.Tensor, translation: torch.Tensor) -> torch.Tensor:
        """PatchNCE (Eq. 3 of arXiv:2007.15651), no gradient into the source's features."""
        losses = []
        for head, k, q in zip(self.heads, self.features(source), self.features(translation), strict=True):
            chosen = torch.randperm(k[0, 0].numel())[:NUM_PATCHES]
            k, q = (functional.normalize(head(x.flatten(2)[0].T[chosen])) for x in (k, q))
            losses.append(functional.cross_entropy(q @ k.detach().T / TEMPERATURE, torch.arange(len(chosen))))
        return sum(losses) / len(losses)

    def step(self, a: torch.Tensor, b: torch.Tensor) -> None:
        """One step of generator, heads and discriminator."""
        fake, same = self.generator(a), self.generator(b)
        loss = (self.discriminator(fake) - 1).square().mean()
        loss = loss + 0.5 * (self.contrastive(a, fake) + self.contrastive(b, same))
        self.optimizers[0].zero_grad()
        loss.backward()
        self.optimizers[0].step()
        train_discriminators(self.optimizers[1], [self.discriminator], [b], [fake.detach()])

    def translate(self, a: torch.Tensor) -> torch.Tensor:
        """Of the first domain to the second."""
        return self.generator(a)


MODELS = {"cyclegan": CycleGAN, "cut": CUT}


def main() -> None:
    """Train each model and write what it makes of the held-out pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photographs", type=pathlib.Path, required=True, help="with train/NAME/* and test/NAME/*")
    parser.add_argument("--output_dir", type=pathlib.Path, required=True)
    parser.add_argument("--pair", required=True, metavar="A,B")
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--cpu_minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("models", nargs="*", metavar="MODEL", help="cyclegan or cut; default: both")
    flags = parser.parse_args()
    pair = flags.pair.split(",")
    domains = [read(sorted((flags.photographs / "train" / name).iterdir()), flags.side) for name in pair]
    held_out = sorted((flags.photographs / "test" / pair[0]).iterdir())
    for name in flags.models or MODELS:
        torch.manual_seed(flags.seed)
        random.seed(flags.seed)
        model, steps, began = MODELS[name](), 0, time.process_time()
        while time.process_time() - began < 60 * flags.cpu_minutes:
            model.step(*(draw(pictures, flags.side) for pictures in domains))
            steps += 1
            if steps % REPORT_STEPS == 0:
                print(f"{name}: {steps} steps, {time.process_time() - began:.0f} s of CPU time", flush=True)
        folder = flags.output_dir / name
        folder.mkdir(parents=True, exist_ok=True)
        with torch.no_grad():
            for path, x in zip(held_out, read(held_out, flags.side), strict=True):
                y = model.translate(x[None])[0].permute(1, 2, 0).numpy()
                PIL.Image.fromarray(np.uint8(np.round((y + 1) * 127.5))).save(folder / f"{path.stem}.png")
        print(f"{name}: {steps} steps in {flags.cpu_minutes:g} minutes of CPU time", flush=True)


if __name__ == "__main__":
    main()
