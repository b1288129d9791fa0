# SPDX-License-Identifier: MIT
"""The training loop: schedule, validation, checkpoints, signals, the autopsy of a NaN."""

from __future__ import annotations

import datetime
import json
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from qdml.errors import ConfigError, DivergedError
from rich.console import Console

from qdml_train import checkpoint
from qdml_train.config import Config, dump_config
from qdml_train.dataset import Dataset
from qdml_train.frames import Frame
from qdml_train.metrics import Accumulator
from qdml_train.model.architecture import Architecture
from qdml_train.model.parameters import initial_parameters
from qdml_train.monitor import Monitor, append_metrics, truncate_metrics
from qdml_train.optimizer import learning_rate
from qdml_train.packing import Shape, assemble, epoch_batches, shared_buckets
from qdml_train.schema import MODELINE, write_schema
from qdml_train.step import Parameters, Steps, TrainState

# Keys that may differ when a fit is resumed: they do not change what a step does.
FREE_KEYS = ("output", "description", "train.time_budget", "train.epochs", "train.checkpoint_every",
             "train.patience", "data.accept")  # fmt: skip


@dataclass
class Progress:
    """Where a fit stands; stored in every checkpoint."""

    epoch: int = 0  # finished epochs
    position: int = 0  # finished batches of the epoch under way
    step: int = 0
    elapsed: float = 0.0  # seconds of training, all sessions
    best_loss: float = float("inf")
    best_epoch: int = 0
    stale: int = 0  # validations without gain
    sums: list[float] = field(default_factory=lambda: [0.0] * 8)
    norms: float = 0.0


class Fit:
    """One fit in one folder. `run` trains; `best` holds the averaged weights to export."""

    def __init__(self, config: Config, dataset: Dataset, console: Console) -> None:
        self.config, self.dataset, self.console = config, dataset, console
        self.folder = config.output
        model = config.model
        self.architecture = Architecture.build(
            species=dataset.species,
            cutoff=model.cutoff,
            l_max=model.l_max,
            n_layers=model.layers,
            channels=tuple(model.channels),
            message_channels=model.message_channels,
            knots=model.knots,
            readout=tuple(model.readout),
            separated=model.paths == "separated",
        )
        self.steps = Steps(
            architecture=self.architecture,
            avg_neighbors=dataset.avg_neighbors,
            energy_scale=(dataset.scale,) * len(dataset.species),
            section=config.train,
        )
        start = initial_parameters(
            self.architecture, model.bessel, tuple(model.radial_hidden), config.train.seed
        )
        self.state: TrainState = self.steps.initial_state(start)
        self.best = jnp.array(self.state.average)
        self.progress = Progress()
        self.resumed = False
        train = config.train
        self.train_samples = dataset.samples["train"]
        self.valid_samples = dataset.samples["valid"]
        self.buckets, self.valid_buckets = shared_buckets(
            self.train_samples, self.valid_samples, train.batch_atoms, train.batch_frames
        )
        self._valid_batches: list[tuple[Any, Any]] | None = None
        self._stop: int | None = None

    @property
    def n_parameters(self) -> int:
        return self.state.parameters.size

    @property
    def best_parameters(self) -> Parameters:
        """Averaged weights of the best validation, by name."""
        return self.steps.unravel(self.best)

    def shapes(self) -> list[Shape]:
        """All compiled batch shapes, training and validation."""
        return sorted({b.shape for b in (*self.buckets, *self.valid_buckets)})

    # -- resume ---------------------------------------------------------------------------------

    def identity(self) -> dict[str, Any]:
        """What must agree for a checkpoint to be continued."""
        content = _fixed_keys(self.config.model_dump(mode="json"))
        return {"config": content, "data_hash": self.dataset.hash}

    def restore(self) -> bool:
        """Continue from the newest checkpoint of the folder, if there is one.

        Raises ConfigError naming the difference when it belongs to another configuration or data.
        """
        found = checkpoint.checkpoints(self.folder / "checkpoints")
        if not found:
            return False
        extra = checkpoint.read_extra(found[-1])
        identity = extra["identity"]
        # keys that came after the checkpoint was written had their defaults then
        defaults = _fixed_keys(Config(data={"train": "-"}).model_dump(mode="json"))
        for name, section in defaults.items():
            kept = identity["config"].get(name, section)
            identity["config"][name] = section | kept if isinstance(kept, dict) else kept
        difference = _difference(identity, json.loads(json.dumps(self.identity())))
        if difference:
            raise ConfigError(
                f"{self.folder} holds a fit with {difference}; use another output folder, or "
                "--resume never to start over"
            )
        stored = checkpoint.load(found[-1], {"state": self.state, "best": self.best})
        self.state, self.best = stored.tree["state"], stored.tree["best"]
        self.progress = Progress(**stored.extra["progress"])
        truncate_metrics(self.folder / "metrics.jsonl", self.progress.epoch)
        self.resumed = True
        return True

    def save(self) -> Path:
        """Write a checkpoint of this moment."""
        return checkpoint.save(
            self.folder / "checkpoints",
            self.progress.step,
            {"state": self.state, "best": self.best},
            {"progress": self.progress.__dict__, "identity": self.identity()},
        )

    # -- training -------------------------------------------------------------------------------

    def run(self) -> str:
        """Train until the schedule ends; returns why it ended (metrics.jsonl, `reason`)."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "config.yaml").write_text(f"{MODELINE}\n{dump_config(self.config)}")
        write_schema(self.folder)
        append_metrics(
            self.folder / "metrics.jsonl",
            {
                "kind": "start",
                "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
                "resumed": self.resumed,
                "n_train": len(self.train_samples),
                "n_valid": len(self.valid_samples),
                "n_test": len(self.dataset.test),
                "n_parameters": self.n_parameters,
                "shapes": [list(s) for s in self.shapes()],
            },
        )
        previous = {
            number: signal.signal(number, self._on_signal)
            for number in (signal.SIGTERM, signal.SIGINT)
        }
        try:
            with Monitor(self.console) as monitor:
                reason = self._epochs(monitor)
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
        self.save()
        append_metrics(
            self.folder / "metrics.jsonl",
            {
                "kind": "end",
                "elapsed_s": round(self.progress.elapsed, 1),
                "best_epoch": self.progress.best_epoch,
                "reason": reason,
            },
        )
        return reason

    def _on_signal(self, number: int, _frame: object) -> None:
        self._stop = number

    def _schedule(self, n_batches: int) -> float:
        """Fraction of the schedule that is done: the further of epochs and time."""
        done = 0.0
        section, now = self.config.train, self.progress
        if section.epochs is not None:
            done = (now.epoch + now.position / max(n_batches, 1)) / section.epochs
        if section.time_budget is not None:
            done = max(done, now.elapsed / section.time_budget)
        return done

    def _epochs(self, monitor: Monitor) -> str:
        now, section = self.progress, self.config.train
        clock = time.monotonic()
        last_save = clock
        while True:
            batches = epoch_batches(self.buckets, self.train_samples, section.seed, now.epoch)
            while now.position < len(batches):
                done = self._schedule(len(batches))
                if done >= 1.0 and now.step > 0:
                    break
                self._train_batch(*batches[now.position], learning_rate(section, done))
                now.position += 1
                tick = time.monotonic()
                now.elapsed += tick - clock
                clock = tick
                if self._stop is not None:
                    self._leave()
                if tick - last_save > section.checkpoint_every:
                    self.save()
                    last_save = tick
                done = self._schedule(len(batches))
                left = now.elapsed * (1.0 - done) / done if now.step > 5 and done > 0 else None
                monitor.update(now.epoch + 1, done, now.elapsed, left)
            finished = self._schedule(len(batches)) >= 1.0
            if now.position:
                self._end_epoch(monitor, len(batches), finished)
            tick = time.monotonic()
            now.elapsed += tick - clock
            clock = tick
            if section.patience is not None and now.stale >= section.patience:
                return "patience"
            if finished or self._schedule(1) >= 1.0:
                by_time = section.epochs is None or now.epoch < section.epochs
                return "time_budget" if by_time else "epochs"

    def _leave(self) -> None:
        """Checkpoint and stop: the user or the batch system asked for it."""
        path = self.save()
        append_metrics(
            self.folder / "metrics.jsonl",
            {
                "kind": "end",
                "elapsed_s": round(self.progress.elapsed, 1),
                "best_epoch": self.progress.best_epoch,
                "reason": "signal",
            },
        )
        self.console.print(f"stopped by a signal; the same command goes on from {path}")
        raise KeyboardInterrupt

    def _train_batch(self, shape: Shape, members: list[int], rate: float) -> None:
        samples = [self.train_samples[i] for i in members]
        graphs, labels = assemble(samples, shape, self.config.model.cutoff)
        state, sums, norm = self.steps.train(self.state, graphs, labels, np.float32(rate))
        self.state = state
        if not (np.isfinite(float(sums.loss)) and np.isfinite(float(norm))):
            self._autopsy([self.dataset.train[i] for i in members], float(norm), rate)
        now = self.progress
        now.step += 1
        accumulator = Accumulator(np.array(now.sums))
        accumulator.add(sums)
        now.sums = accumulator.totals.tolist()
        now.norms += float(norm)

    def _autopsy(self, frames: list[Frame], norm: float, rate: float) -> None:
        """Stop with the frames of the batch that made the loss non-finite."""
        names = "; ".join(f"{f.where} ({f.origin}, {f.n_atoms} atoms)" for f in frames)
        raise DivergedError(
            f"the loss became non-finite in step {self.progress.step + 1} (gradient norm {norm:g}, "
            f"learning rate {rate:.2g}) with {names}. The last good state is in "
            f"{self.folder / 'checkpoints'}. Check these frames, lower train.learning_rate or "
            "train.clip, and start over with --resume never"
        )

    def _end_epoch(self, monitor: Monitor, n_batches: int, last: bool) -> None:
        now, section = self.progress, self.config.train
        train = Accumulator(np.array(now.sums)).summary()
        now.epoch += 1
        valid = None
        if last or now.epoch % section.validate_every == 0:
            valid = self.validate()
            if valid["loss"] is not None and valid["loss"] < now.best_loss:
                now.best_loss, now.best_epoch, now.stale = valid["loss"], now.epoch, 0
                self.best = jnp.array(self.state.average)
            else:
                now.stale += 1
        append_metrics(
            self.folder / "metrics.jsonl",
            {
                "kind": "epoch",
                "epoch": now.epoch,
                "step": now.step,
                "elapsed_s": round(now.elapsed, 1),
                "learning_rate": learning_rate(section, self._schedule(n_batches)),
                "train": train,
                "valid": valid,
                "gradient_norm": now.norms / max(now.position, 1),
            },
        )
        monitor.train, monitor.valid = train, valid or monitor.valid
        now.position, now.norms = 0, 0.0
        now.sums = [0.0] * len(now.sums)

    def validate(self) -> dict[str, float | None]:
        """Errors of the averaged weights over the validation frames."""
        if self._valid_batches is None:
            self._valid_batches = [
                assemble([self.valid_samples[i] for i in members], shape, self.config.model.cutoff)
                for shape, members in epoch_batches(self.valid_buckets, self.valid_samples, 0, 0)
            ]
        accumulator = Accumulator()
        for graphs, labels in self._valid_batches:
            accumulator.add(self.steps.evaluate(self.state.average, graphs, labels))
        return accumulator.summary()


def _fixed_keys(content: dict[str, Any]) -> dict[str, Any]:
    """A configuration without the keys that may change between sessions of a fit."""
    content = {k: dict(v) if isinstance(v, dict) else v for k, v in content.items()}
    for key in FREE_KEYS:
        section, _, name = key.partition(".")
        if name:
            content[section].pop(name, None)
        else:
            content.pop(section, None)
    for files in ("train", "valid", "test"):  # the hash of the frames stands for them
        content["data"].pop(files)
    return content


def _difference(old: Any, new: Any, where: str = "") -> str:
    """First difference of two nested dictionaries, in words; empty when there is none."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(set(old) | set(new)):
            text = _difference(old.get(key), new.get(key), f"{where}.{key}".lstrip("."))
            if text:
                return text
        return ""
    if old == new:
        return ""
    if where == "data_hash":
        return "other frames (the data changed)"
    return f"{where.removeprefix('config.')} = {old!r} instead of {new!r}"
