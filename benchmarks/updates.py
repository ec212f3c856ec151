"""What an update costs the network: 200 MB over a line that is cut fifty times, and a head that was trained on.

The download is the updater's own, in a process that is killed five times by ``kill -9``; every byte that the server
sent counts. The deltas are of efficientnet-lite0 in INT8, built three times for ONNX Runtime and for OpenVINO: as it
is, with a head whose weights moved by 2 % of their spread, and with one of other weights altogether; and all that once
more with 20 classes instead of 1,000, as a plant has them. Takes about 4 minutes, and 1 GB of disk;
``--only cut`` and ``--only memory`` half a minute.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import rebuild
import yaml
from form import Row, at_least, at_most, main, stated
from onnx import numpy_helper
from torch_models import efficientnet_lite0
from updating_box import DEVICE

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "parts"))
from release_keys import Keys
from small_bundle import make_bundle
from static_server import serving

from edgemill_core.bundle import Bundle, open_bundle
from edgemill_core.durable import sha256_file
from edgemill_fleet.releases.publishing import publish
from edgemill_fleet.releases.repository import Repository
from edgemill_link.trust.blobs import BlobStore
from edgemill_link.trust.by_delta import ByDelta
from edgemill_link.trust.delta import delta_of
from edgemill_link.trust.plan import Plan, PlannedRelease, sign_plan
from edgemill_link.trust.source import HttpSource

HERE, MB = Path(__file__).parent, 1_000_000
SIZE, CUTS, KILLS, SEED = 200 * MB, 50, 5, 7
MOVED, CLASSES = 0.02, 20
RUNTIMES = ("onnxruntime", "openvino")


class Releases:
    """A folder of releases with keys."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.keys = folder, Keys()
        Repository.create(folder, self.keys.roles, self.keys.all)

    def publish(self, bundle: Bundle) -> float:
        """Gives the seconds that it took."""
        start = time.perf_counter()
        publish(Repository(self.folder), bundle, self.keys.all)
        return time.perf_counter() - start

    def plan(self, bundle: Bundle) -> None:
        path = f"{bundle.manifest.name}/{bundle.manifest.version}"
        listed = Repository(self.folder).releases()[f"{path}/manifest.json"].hashes["sha256"]
        one = PlannedRelease(name=bundle.manifest.name, version=bundle.manifest.version, manifest=listed)
        until = datetime.now(timezone.utc) + timedelta(days=7)
        plan = Plan(device=DEVICE, version=1, expires=until, releases=(one,))
        (self.folder / "plans").mkdir()
        (self.folder / "plans" / f"{DEVICE}.json").write_bytes(sign_plan(plan, [self.keys.plans]))


# --- a line that is cut ---


def cut_download(folder: Path) -> list[Row]:
    content = random.Random(SEED).randbytes(SIZE)
    bundle = make_bundle(folder / "made", {"large.weights": content})
    releases = Releases(folder / "releases")
    releases.publish(bundle)
    releases.plan(bundle)
    told, server = _followed(folder)
    (came,) = (folder / "state" / "slots").rglob("large.weights")
    cuts, grown = sum(server["cuts"].values()), (told["peak"] - told["before"]) / MB
    case = f"{SIZE // MB} MB, cut {cuts} times, killed {KILLS} times"
    return [
        at_least(case, "cuts", "cuts", cuts, CUTS, 1),
        at_most(case, "all bytes sent, over its size", "x", server["sent"] / SIZE, 1.05, 1),
        at_least(case, "the same to the last bit", "files", float(came.read_bytes() == content), 1, 1),
        at_most(case, "growth of memory while it came", "MB", grown, 16, 1),
        *(stated(case, f"of them: {kind}", "cuts", count, 1) for kind, count in server["cuts"].items()),
    ]


def _followed(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """What box and server told, after the box was killed at random shares of the download."""
    chance = random.Random(SEED)
    shares = sorted(chance.uniform(0.05, 0.9) for _ in range(KILLS))
    with _cutting(folder / "releases") as url:
        root = folder / "releases" / "metadata" / "1.root.json"
        command = [sys.executable, HERE / "updating_box.py", folder / "state", url, root]
        for share in shares:
            box = subprocess.Popen(command)
            while _came(folder / "state") < share * SIZE:
                time.sleep(0.01)
                assert box.poll() is None, "it ended by itself"
            box.kill()
            box.wait()
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        with urllib.request.urlopen(f"{url}/told") as answer:
            return json.loads(done.stdout), json.loads(answer.read())


def _came(state: Path) -> int:
    return max((part.stat().st_size for part in (state / "blobs").rglob("*.part")), default=0)


@contextmanager
def _cutting(folder: Path) -> Iterator[str]:
    command = [sys.executable, HERE / "cutting_server.py", folder, str(CUTS), str(SEED)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        yield server.stdout.readline().strip()
        assert server.stdin is not None
        server.stdin.close()


# --- a head that was trained on ---


def heads(folder: Path) -> list[Row]:
    rows, source = [], onnx.load(efficientnet_lite0())
    for classes in (1000, CLASSES):
        place = folder / f"{classes}"
        place.mkdir()
        model = with_classes(source, classes)
        before = built(place, "1.0.0", model, classes)
        for number, (what, after) in enumerate((("trained on", trained_on(model)), ("other", other_head(model)))):
            bundle = built(place, f"1.{number + 1}.0", after, classes)
            bar = 0.1 if (classes, what) != (1000, "other") else None
            rows += _deltas(place / f"releases-{number}", f"{classes} classes, head {what}", before, bundle, bar)
    return rows


def _head(model: onnx.ModelProto) -> list[onnx.TensorProto]:
    """Weights ``[classes, features]`` and bias of the last layer."""
    found = {tensor.name: tensor for tensor in model.graph.initializer}
    return [found["_fc.weight"], found["_fc.bias"]]


def with_classes(source: onnx.ModelProto, classes: int) -> onnx.ModelProto:
    model = onnx.ModelProto()
    model.CopyFrom(source)
    for tensor in _head(model):
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor)[:classes].copy(), tensor.name))
    for value in (*model.graph.output, *model.graph.value_info):
        dims = value.type.tensor_type.shape.dim
        if len(dims) == 2 and dims[-1].dim_value == 1000:
            dims[-1].dim_value = classes
    return model


def _changed(source: onnx.ModelProto, seed: int, moved: float | None) -> onnx.ModelProto:
    model, chance = onnx.ModelProto(), np.random.default_rng(seed)
    model.CopyFrom(source)
    tensor = _head(model)[0]
    weights = numpy_helper.to_array(tensor)
    noise = chance.normal(0, weights.std(), weights.shape)
    made = weights + moved * noise if moved is not None else noise
    tensor.CopyFrom(numpy_helper.from_array(made.astype(np.float32), tensor.name))
    return model


def trained_on(model: onnx.ModelProto) -> onnx.ModelProto:
    return _changed(model, SEED, MOVED)


def other_head(model: onnx.ModelProto) -> onnx.ModelProto:
    return _changed(model, SEED + 1, None)


def built(folder: Path, version: str, model: onnx.ModelProto, classes: int) -> Bundle:
    file = folder / f"{version}.onnx"
    onnx.save(model, file)
    if not (folder / "judge").exists():
        rebuild.JUDGE, rebuild.CALIBRATION = 200, 60
        rebuild.write_sets(folder, file)
    names = [f"class-{index}" for index in range(classes)]
    recipe = {
        **rebuild.recipe_of(file, names),
        "version": version,
        "budget": [{"metric": "escape_rate", "max_drop": 0.9}, {"metric": "overkill_rate", "max_drop": 0.9}],
        "targets": [{"runtime": runtime, "precisions": ["int8"]} for runtime in RUNTIMES],
    }
    path = folder / f"{version}.yaml"
    path.write_text(yaml.safe_dump(recipe, sort_keys=False))
    rebuild.build(path, folder / "out")
    return open_bundle(folder / "out" / f"efficientnet-lite0-{version}")


def _deltas(folder: Path, case: str, before: Bundle, after: Bundle, bar: float | None) -> list[Row]:
    """A box with the old bundle gets the new one's weights from the folder that publishing made."""
    releases = Releases(folder)
    releases.publish(before)
    took, rows = releases.publish(after), []
    with serving(folder) as url:
        source, store = HttpSource(url), BlobStore(folder / "box")
        for entry in before.manifest.files.values():
            store.fetch(source, entry.sha256, entry.bytes)
        for runtime in RUNTIMES:
            (name,) = (name for name in after.manifest.files if runtime in name and name.endswith(".weights"))
            entry, deltas = after.manifest.files[name], ByDelta(source, store)
            made = deltas.fetch(entry.sha256, entry.bytes)
            share = 1 - deltas.saved / entry.bytes
            said = (f"{runtime}: delta of the INT8 weights", "of them", share)
            rows += [at_most(case, *said, bar, 1) if bar is not None else stated(case, *said, 1)]
            whole = made and sha256_file(store.path(entry.sha256)) == entry.sha256
            rows += [at_least(case, f"{runtime}: the same to the last bit", "files", float(whole), 1, 1)]
    return [*rows, stated(case, "publishing it, deltas and all", "s", took, 1)]


# --- what it takes ---

_MAKE = """
import sys
from pathlib import Path
from edgemill_core.processes.own_memory import peak_resident_bytes, resident_bytes
from edgemill_link.trust.delta import blob_from
delta, base = Path(sys.argv[1]), Path(sys.argv[2])
before, length = resident_bytes(), 0
with delta.open("rb") as file:
    for piece in blob_from(iter(lambda: file.read(1 << 16), b""), base, base.stat().st_size):
        length += len(piece)
assert length == base.stat().st_size
print(peak_resident_bytes() - before)
"""


def memory(folder: Path) -> list[Row]:
    """A blob of 200 MB of which a twentieth changed here and there."""
    old = np.random.default_rng(SEED).integers(0, 256, SIZE, np.uint8)
    new = old.copy()
    for at in range(0, SIZE, MB):
        new[at : at + MB // 20] += 1
    (folder / "old").write_bytes(old.tobytes())
    (folder / "new").write_bytes(new.tobytes())
    del old, new
    start = time.perf_counter()
    with (folder / "delta").open("wb") as file:
        file.writelines(delta_of(folder / "new", folder / "old"))
    took = time.perf_counter() - start
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", _MAKE, folder / "delta", folder / "old"], check=True, capture_output=True, text=True
    )
    case = f"a delta of {SIZE // MB} MB"
    return [
        at_most(case, "memory to make the blob of it", "MB", int(done.stdout) / MB, 64, 1),
        stated(case, "its size", "MB", (folder / "delta").stat().st_size / MB, 1),
        stated(case, "making it", "s", took, 1),
        stated(case, "making the blob of it", "s", time.perf_counter() - start, 1),
    ]


PARTS = {"cut": cut_download, "memory": memory, "heads": heads}


def measure(parts: list[str]) -> list[Row]:
    rows = []
    for part in parts:
        with tempfile.TemporaryDirectory() as folder:
            rows += PARTS[part](Path(folder))
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--only", action="append", choices=PARTS)
    told, sys.argv[1:] = parser.parse_known_args()
    main(lambda: measure(told.only or list(PARTS)))
