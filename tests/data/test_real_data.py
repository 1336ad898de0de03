"""Real faces and characters through `npz:`, from loading to results: short trainings that must beat chance clearly."""

import pytest

from workbench.core.record import Run
from workbench.probes.hardness import hardness
from workbench.training.config import Config
from workbench.training.evaluate import evaluate
from workbench.training.run import train

pytestmark = pytest.mark.slow

SETS = {  # file, identities, EER that 80 short steps stay below (chance is 0.5; photographs in the wild need more)
    "orl": ("orl_faces/orl_faces.npz", 40, 0.33),
    "omniglot": ("omniglot_small/omniglot_small.npz", 242, 0.33),
    "celeba": ("celeba_dev/celeba_dev.npz", 115, 0.49),
}


@pytest.mark.parametrize("name", SETS)
def test_a_short_training_on_real_images_beats_chance(name, shared_data, tmp_path):
    file, identities, most = SETS[name]
    config = Config(method="arcface", data=f"npz:{shared_data(file)}", size=32, steps=80, batch=32, dim=32, snapshots=2)
    train(config, tmp_path / "run")
    results = evaluate(tmp_path / "run")
    run = Run.open(tmp_path / "run")
    assert run.info["data"]["identities"] == identities
    assert len(run.split["train"]) + len(run.split["test"]) == identities
    assert results["verification"]["eer"] < most
    snapshots = [run.snapshot(step) for step in (run.snapshot_steps[0], run.snapshot_steps[-1])]
    first, last = (hardness(seen.cos, seen.y).misclassified.mean() for seen in snapshots)
    assert last < first - 0.02  # of the training images; a network that does not learn stays where it was
