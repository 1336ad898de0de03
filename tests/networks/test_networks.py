"""Networks: shapes, depths, widths, seeds, and the layers with a state or a formula."""

import pytest
import torch
from torch import nn

from workbench.core.errors import InputError
from workbench.networks import BACKBONES, backbone
from workbench.networks.blocks import Dropout, SqueezeExcite, scale_channels
from workbench.networks.large import Attention, Mask

pytestmark = pytest.mark.slow

LARGE = sorted(set(BACKBONES) - {"small", "mobilefacenet"})
NARROW = 0.125


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", BACKBONES)
@pytest.mark.parametrize("size", [16, 32, 45, 112])
def test_any_size_gives_embeddings(name, size):
    net = backbone(name, size, 24, width=NARROW)
    x = net(noise(2, 3, size, size))
    assert x.shape == (2, 24)
    assert torch.isfinite(x).all()


@pytest.mark.parametrize("name", BACKBONES)
def test_weights_depend_on_the_seed_and_the_global_generator_is_not_used(name):
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    a, b, c = (backbone(name, 32, 16, seed, NARROW) for seed in (0, 0, 1))
    images = noise(4, 3, 32, 32)
    first, again, other = a(images), b(images), c(images)
    assert torch.equal(torch.rand(1), expected)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize(
    ("name", "size", "dim", "total"),
    [("small", 32, 16, 16515.488822), ("mobilefacenet", 56, 128, 91197.526173)],
)
def test_the_compact_networks_keep_their_weights(name, size, dim, total):
    weights = torch.cat([p.detach().flatten() for p in backbone(name, size, dim).parameters()])
    assert weights.double().abs().sum().item() == pytest.approx(total)


def main_path(name):
    """The layers with weights from image to embedding at full width, without shortcuts, masks and excitations."""
    with torch.device("meta"):
        net = BACKBONES[name](112, 512, 1.0)
    aside = (".skip.", ".mask.", ".weigh.")
    return [
        m
        for path, m in net.named_modules()
        if isinstance(m, nn.Conv2d | nn.Linear) and not any(a in f".{path}." for a in aside)
    ]


@pytest.mark.parametrize(
    ("name", "layers", "channels"),
    [
        ("vgg19", 17, 512),  # one linear layer for its last three
        ("resnet18", 18, 512),
        ("resnet50", 50, 2048),
        ("resnet101", 101, 2048),
        ("se_resnet50", 50, 2048),
        ("attention56", 56, 2048),
        ("attention92", 92, 2048),
    ],
)
def test_depths_are_those_of_the_names(name, layers, channels):
    path = main_path(name)
    assert len(path) == layers
    assert path[-2].out_channels == channels
    assert (path[-1].in_features % channels, path[-1].out_features) == (0, 512)


def test_resnet18_has_the_weights_of_the_published_face_variant():
    with torch.device("meta"):
        count = sum(p.numel() for p in BACKBONES["resnet18"](112, 512, 1.0).parameters())
    assert count == pytest.approx(24.03e6, rel=2e-3)


@pytest.mark.parametrize("dim", [128, 256, 512, 1024])
@pytest.mark.parametrize("name", BACKBONES)
def test_any_dimension(name, dim):
    with torch.device("meta"):
        net = BACKBONES[name](32, dim, NARROW)
    assert net[-1].num_features == dim


@pytest.mark.parametrize("name", BACKBONES)
def test_width_multiplies_channels(name):
    with torch.device("meta"):
        widths = [
            next(m.out_channels for m in BACKBONES[name](32, 64, w).modules() if isinstance(m, nn.Conv2d))
            for w in (0.5, 1.0, 2.0)
        ]
    assert widths[1] in (24, 64)
    assert widths == [scale_channels(widths[1], w) for w in (0.5, 1.0, 2.0)]
    assert (scale_channels(24, 0.5), scale_channels(64, 0.25), scale_channels(64, 0.01)) == (16, 16, 8)


def test_invalid_input_is_an_error_with_the_value():
    for given, words in [
        (("resnet19", 32, 8), "did you mean 'resnet101'|did you mean 'resnet18'"),
        (("resnet18", 8, 8), "size = 8: at least 16"),
        (("resnet18", 32, 1), "dim = 1: at least 2"),
        (("resnet18", 32, 8, 0, 0.01), "width = 0.01: at least 0.0625"),
        (("resnet18", 32, 8, 0, float("nan")), "width = nan"),
    ]:
        with pytest.raises(InputError, match=words):
            backbone(*given)


@pytest.mark.parametrize("name", LARGE)
def test_large_networks_learn_a_batch(name):
    net = backbone(name, 16, 8, width=NARROW)
    images, y = noise(12, 3, 16, 16), torch.arange(12) % 3
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    losses = []
    for _ in range(8):
        loss = nn.functional.cross_entropy(net(images), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


def test_dropout_depends_on_its_seed_and_count_which_are_saved():
    x = torch.ones(200, 50)
    drop, twin = Dropout(0.4), Dropout(0.4)
    drop.restart(7)
    twin.restart(7)
    assert drop.eval()(x) is x
    drop.train()
    first, second = drop(x), drop(x)
    assert torch.equal(first, twin(x))
    assert not torch.equal(first, second)
    torch.testing.assert_close(first.unique(), torch.tensor([0, 1 / 0.6]))
    assert float(first.mean()) == pytest.approx(1, abs=0.03)
    later = Dropout(0.4)
    later.load_state_dict(drop.state_dict())
    assert torch.equal(later(x), drop(x))


def test_excitation_without_weights_halves_every_channel():
    excite = SqueezeExcite(8)
    for p in excite.parameters():
        nn.init.zeros_(p)
    x = noise(2, 8, 3, 3)
    torch.testing.assert_close(excite(x), x / 2)


def test_attention_adds_the_weighted_trunk_to_the_trunk():
    module = backbone("attention56", 32, 8, width=NARROW)[3].eval()
    assert isinstance(module, Attention)
    x = noise(2, 32, 16, 16)
    nn.init.zeros_(module.mask[-1].weight)
    torch.testing.assert_close(module(x), module.after(1.5 * module.trunk(module.before(x))))


@pytest.mark.parametrize("size", [32, 45])
def test_every_mask_downsamples_to_the_size_of_the_last_map(size):
    net = backbone("attention92", size, 8, width=NARROW)
    lowest = []
    for module in net.modules():
        if isinstance(module, Mask) and module.inner is None:
            module.down.register_forward_hook(lambda m, given, low: lowest.append(low.shape[-1]))
    net(noise(2, 3, size, size))
    assert lowest == [-(-size // 16)] * 6
