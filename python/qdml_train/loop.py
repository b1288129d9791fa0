# SPDX-License-Identifier: MIT
"""The training loop: schedule, validation, checkpoints, signals, the autopsy of a NaN."""

from __future__ import annotations

import datetime
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from qdml.errors import ConfigError, DivergedError
from rich.console import Console

from qdml_train import checkpoint
from qdml_train.autopsy import examine, verdict, write_autopsy
from qdml_train.committee import calibration
from qdml_train.config import Config, dump_config
from qdml_train.dataset import Dataset
from qdml_train.devices import agreed, device_mesh, is_writer, place
from qdml_train.identity import fit_identity, identity_difference
from qdml_train.make_network import make_network
from qdml_train.metrics import Accumulator
from qdml_train.monitor import Monitor, append_metrics, truncate_metrics
from qdml_train.optimizer import learning_rate
from qdml_train.packing import (
    Shape,
    assemble,
    assemble_step,
    committee_steps,
    epoch_batches,
    epoch_steps,
    shared_buckets,
)
from qdml_train.schema import MODELINE, write_schema
from qdml_train.step import Parameters, Steps, TrainState

StepBatches = tuple[Shape, list[list[list[int]]]]
"""Shape and, per member and batch, the numbers of the samples."""


@dataclass
class Progress:
    """Where a fit stands; stored in every checkpoint."""

    epoch: int = 0  # finished epochs
    position: int = 0  # finished steps of the epoch under way
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
        train = config.train
        self.network = make_network(config, dataset)
        self.mesh = device_mesh(train)
        self.steps = Steps(self.network, train, self.mesh)
        self.seeds = [train.seed + k for k in range(train.committee)]
        self.state: TrainState = place(self.steps.initial_state(self.seeds), self.mesh, None)
        self.best = np.array(self.state.average)
        self.progress = Progress()
        self.resumed = False
        self.train_samples = dataset.samples["train"]
        self.valid_samples = dataset.samples["valid"]
        self.buckets, self.valid_buckets = shared_buckets(
            self.train_samples, self.valid_samples, train.batch_atoms, train.batch_frames
        )
        self._valid_batches: list[tuple[Any, Any]] | None = None
        self._stop: int | None = None

    @property
    def n_parameters(self) -> int:
        """Of one member."""
        return self.state.parameters.shape[-1]

    @property
    def best_members(self) -> list[Parameters]:
        """Averaged weights of the best validation, by name, of every member."""
        vectors = self.best.reshape(-1, self.n_parameters)
        return [self.steps.unravel(jnp.asarray(v)) for v in vectors]

    @property
    def best_parameters(self) -> Parameters:
        """Those of the first member."""
        return self.best_members[0]

    def shapes(self) -> list[Shape]:
        """All compiled batch shapes, training and validation."""
        return sorted({b.shape for b in (*self.buckets, *self.valid_buckets)})

    # -- resume ---------------------------------------------------------------------------------

    def identity(self) -> dict[str, Any]:
        """What must agree for a checkpoint to be continued."""
        start = self.dataset.start
        return fit_identity(self.config, self.dataset.hash, start.hash if start else None)

    def restore(self) -> bool:
        """Continue from the newest checkpoint of the folder, if there is one.

        Raises ConfigError naming the difference when it belongs to another configuration or data.
        """
        found = checkpoint.checkpoints(self.folder / "checkpoints")
        if not found:
            return False
        stored_identity = checkpoint.read_extra(found[-1])["identity"]
        difference = identity_difference(stored_identity, self.identity())
        if difference:
            raise ConfigError(
                f"{self.folder} holds a fit with {difference}; use another output folder, or "
                "--resume never to start over"
            )
        stored = checkpoint.load(found[-1], {"state": self.state, "best": self.best})
        self.state = place(stored.tree["state"], self.mesh, None)
        self.best = np.array(stored.tree["best"])
        self.progress = Progress(**stored.extra["progress"])
        if is_writer():
            truncate_metrics(self.folder / "metrics.jsonl", self.progress.epoch)
        self.resumed = True
        return True

    def save(self) -> Path:
        """Write a checkpoint of this moment."""
        folder = self.folder / "checkpoints"
        if not is_writer():
            return folder
        return checkpoint.save(
            folder,
            self.progress.step,
            {"state": self.state, "best": self.best},
            {"progress": self.progress.__dict__, "identity": self.identity()},
        )

    def _note(self, record: dict[str, Any]) -> None:
        if is_writer():
            append_metrics(self.folder / "metrics.jsonl", record)

    # -- training -------------------------------------------------------------------------------

    def run(self) -> str:
        """Train until the schedule ends; returns why it ended (metrics.jsonl, `reason`)."""
        if is_writer():
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / "config.yaml").write_text(f"{MODELINE}\n{dump_config(self.config)}")
            write_schema(self.folder)
        self._note(
            {
                "kind": "start",
                "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
                "resumed": self.resumed,
                "n_train": len(self.train_samples),
                "n_valid": len(self.valid_samples),
                "n_test": len(self.dataset.test),
                "n_parameters": self.n_parameters,
                "shapes": [list(s) for s in self.shapes()],
            }
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
        self._note_end(reason)
        return reason

    def _note_end(self, reason: str) -> None:
        self._note(
            {
                "kind": "end",
                "elapsed_s": round(self.progress.elapsed, 1),
                "best_epoch": self.progress.best_epoch,
                "reason": reason,
            }
        )

    def _on_signal(self, number: int, _frame: object) -> None:
        self._stop = number

    def _schedule(self, n_steps: int) -> float:
        """Fraction of the schedule that is done: the further of epochs and time."""
        done = 0.0
        section, now = self.config.train, self.progress
        if section.epochs is not None:
            done = (now.epoch + now.position / max(n_steps, 1)) / section.epochs
        if section.time_budget is not None:
            done = max(done, now.elapsed / section.time_budget)
        return done

    def epoch(self, number: int) -> list[StepBatches]:
        """The steps of an epoch, a function of the seeds and its number."""
        k = self.config.train.accumulate
        return committee_steps(
            [epoch_steps(self.buckets, self.train_samples, s, number, k) for s in self.seeds]
        )

    def arrays(self, step: StepBatches) -> tuple[Any, Any]:
        """Graphs and labels of a step as `Steps.train` takes them."""
        shape, members = step
        cutoff = self.config.model.cutoff
        found = [assemble_step(self.train_samples, shape, b, cutoff) for b in members]
        if len(found) == 1:
            return place(found[0], self.mesh, 0)
        return place(jax.tree.map(lambda *x: np.stack(x), *found), self.mesh, 1)

    def _epochs(self, monitor: Monitor) -> str:
        now, section = self.progress, self.config.train
        clock = time.monotonic()
        last_save = clock
        while True:
            steps = self.epoch(now.epoch)
            while now.position < len(steps):
                done = self._schedule(len(steps))
                if done >= 1.0 and now.step > 0:
                    break
                self._train_step(steps[now.position], learning_rate(section, done))
                now.position += 1
                tick = time.monotonic()
                passed, stop = agreed(tick - clock, self._stop or 0)
                now.elapsed += passed
                clock = tick
                if stop:
                    self._leave()
                if tick - last_save > section.checkpoint_every:
                    self.save()
                    last_save = tick
                done = self._schedule(len(steps))
                left = now.elapsed * (1.0 - done) / done if now.step > 5 and done > 0 else None
                monitor.update(now.epoch + 1, done, now.elapsed, left)
            finished = self._schedule(len(steps)) >= 1.0
            if now.position:
                self._end_epoch(monitor, len(steps), finished)
            tick = time.monotonic()
            now.elapsed += agreed(tick - clock)[0]
            clock = tick
            if section.patience is not None and now.stale >= section.patience:
                return "patience"
            if finished or self._schedule(1) >= 1.0:
                by_time = section.epochs is None or now.epoch < section.epochs
                return "time_budget" if by_time else "epochs"

    def _leave(self) -> None:
        """Checkpoint and stop: the user or the batch system asked for it."""
        path = self.save()
        self._note_end("signal")
        self.console.print(
            f"stopped by a signal in epoch {self.progress.epoch + 1}, step {self.progress.step}; "
            f"the same command goes on from {path}",
            soft_wrap=True,
        )
        raise KeyboardInterrupt

    def _train_step(self, step: StepBatches, rate: float) -> None:
        graphs, labels = self.arrays(step)
        self.state, sums, norm = self.steps.train(
            self.state, self.steps.frozen, graphs, labels, np.float32(rate)
        )
        norms = np.asarray(norm, dtype=float).reshape(-1)
        losses = np.asarray(sums.loss, dtype=float).reshape(-1)
        good = np.isfinite(norms) & np.isfinite(losses)
        if not good.all():
            self._autopsy(step, int(np.argmin(good)), float(norms[np.argmin(good)]), rate)
        now = self.progress
        now.step += 1
        accumulator = Accumulator(np.array(now.sums))
        accumulator.add(sums)
        now.sums = accumulator.totals.tolist()
        now.norms += float(norms.mean())

    def _autopsy(self, step: StepBatches, member: int, norm: float, rate: float) -> None:
        """Stop: look at every frame of the step alone; the state is still the last good one."""
        shape, members = step
        indices = [i for batch in members[member] for i in batch]
        frames = [self.dataset.train[i] for i in indices]
        average = np.asarray(self.state.parameters).reshape(-1, self.n_parameters)
        vector = jnp.asarray(average[member])

        def gradient_of(k: int) -> tuple[float, dict[str, Any]]:
            arrays = assemble_step(
                self.train_samples, shape, [[indices[k]]], self.config.model.cutoff
            )
            gradient, sums = self.steps.gradient(vector, self.steps.frozen, *arrays)
            return float(sums.loss), dict(self.steps.unravel(gradient))

        findings = examine(frames, gradient_of)
        text = verdict(findings, dict(self.steps.unravel(vector)))
        saved = self.save()
        head = f"the loss became non-finite in step {self.progress.step + 1}"
        numbers = {
            "step": self.progress.step + 1,
            "epoch": self.progress.epoch + 1,
            "member": member,
            "learning_rate": rate,
            "gradient_norm": norm,
            "verdict": text,
        }
        report = self.folder / "diverged.json"
        if is_writer():
            report = write_autopsy(self.folder, frames, findings, numbers)
        names = "; ".join(f"{f.where} ({f.origin}, {f.n_atoms} atoms)" for f in frames)
        who = f" of member {member}" if len(self.seeds) > 1 else ""
        raise DivergedError(
            f"{head}{who} (gradient norm {norm:g}, learning rate {rate:.2g}) with {names}. {text}. "
            f"Details: {report}; last good state: {saved}. Check these frames, lower "
            "train.learning_rate or train.clip, and start over with --resume never"
        )

    def _end_epoch(self, monitor: Monitor, n_steps: int, last: bool) -> None:
        now, section = self.progress, self.config.train
        train = Accumulator(np.array(now.sums)).summary()
        now.epoch += 1
        valid = None
        if last or now.epoch % section.validate_every == 0:
            valid = self.validate()
            if valid["loss"] is not None and valid["loss"] < now.best_loss:
                now.best_loss, now.best_epoch, now.stale = valid["loss"], now.epoch, 0
                self.best = np.array(self.state.average)
            else:
                now.stale += 1
        self._note(
            {
                "kind": "epoch",
                "epoch": now.epoch,
                "step": now.step,
                "elapsed_s": round(now.elapsed, 1),
                "learning_rate": learning_rate(section, self._schedule(n_steps)),
                "train": train,
                "valid": valid,
                "gradient_norm": now.norms / max(now.position, 1),
            }
        )
        monitor.train, monitor.valid = train, valid or monitor.valid
        now.position, now.norms = 0, 0.0
        now.sums = [0.0] * len(now.sums)

    def validate(self) -> dict[str, Any]:
        """Errors of the averaged weights over the validation frames.

        Of a committee: those of its mean, with `spread` as `committee.calibration` gives it.
        """
        if self._valid_batches is None:
            self._valid_batches = [
                assemble([self.valid_samples[i] for i in members], shape, self.config.model.cutoff)
                for shape, members in epoch_batches(self.valid_buckets, self.valid_samples, 0, 0)
            ]
        average = self.state.average if self.mesh is None else np.asarray(self.state.average)
        accumulator, spreads = Accumulator(), []
        for graphs, labels in self._valid_batches:
            sums, spread = self.steps.evaluate(average, self.steps.frozen, graphs, labels)
            accumulator.add(sums)
            spreads.append(spread)
        result: dict[str, Any] = accumulator.summary()
        if len(self.seeds) > 1 and spreads:
            result["spread"] = calibration(spreads)
        return result
